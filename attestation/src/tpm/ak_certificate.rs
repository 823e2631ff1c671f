//! Attestation keys by certificate: a cloud, or a maker of TPMs, says of a key that one of its TPMs holds it as an
//! attestation key, and no endorsement key is asked for.
//!
//! Whoever attests controls the public area and every certificate but the anchors. A certificate covers the key
//! and not the public area: that the TPM holds it with the attributes of an attestation key is the word of the
//! authority, which issues such certificates for nothing else. The public area is checked all the same, as the
//! scheme and the name that the quote is held against come from it.

use vouchsafe_crypto::digest;
use vouchsafe_protocol::limits::CERTIFICATES;

use super::ak::{AkError, parse_ak};
use super::ek::{EK_USAGE, find_anchor_set, parse_all};
use super::residency::{ResidentAk, ShownBy};
use crate::anchors::TrustAnchors;
use crate::x509::{Certificate, CertificateError, ChainError, verify_chain};

/// tcg-kp-AIKCertificate (TCG Credential Profiles for TPM Family 1.2, revision 8, section 3.3.10; Microsoft's have
/// it).
const AK_USAGE: &str = "2.23.133.8.3";

/// Why the certificate of an attestation key is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AkCertError {
    /// The public area is not an attestation key's.
    #[error("attestation key is not acceptable")]
    Ak(#[source] AkError),
    /// The certificate is an authority's.
    #[error("certificate of the attestation key is an authority's")]
    Authority,
    /// A certificate cannot be read.
    #[error("certificate of the attestation key cannot be read")]
    Certificate(#[source] CertificateError),
    /// The chain does not hold.
    #[error("certificate of the attestation key does not chain to a trust anchor")]
    Chain(#[source] ChainError),
    /// The extended key usage names other purposes only.
    #[error("certificate is for other purposes than an attestation key's")]
    ExtendedUsage,
    /// The certificate is for another key than the public area.
    #[error("certificate is for another key")]
    KeyMismatch,
    /// There is no key usage, it does not allow to sign, or it allows more than that.
    #[error("certificate is not for a key that only signs")]
    KeyUsage,
    /// The subject is empty, and no critical alternative name stands in for it.
    #[error("certificate names no subject")]
    Name,
    /// No certificate, or too many.
    #[error("there is no certificate of the attestation key, or too many")]
    NoCertificate,
}

impl AkCertError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Ak(error) => error.code(),
            Self::Authority => "tpm.ak-cert.authority",
            Self::Certificate(_) => "tpm.ak-cert.certificate",
            Self::Chain(ChainError::Expired) => "tpm.ak-cert.expired",
            Self::Chain(ChainError::NotYetValid) => "tpm.ak-cert.not-yet-valid",
            Self::Chain(ChainError::SelfSigned) => "tpm.ak-cert.self-signed",
            Self::Chain(ChainError::UnknownIssuer) => "tpm.ak-cert.unknown-issuer",
            Self::Chain(_) => "tpm.ak-cert.chain",
            Self::ExtendedUsage => "tpm.ak-cert.extended-usage",
            Self::KeyMismatch => "tpm.ak-cert.key",
            Self::KeyUsage => "tpm.ak-cert.key-usage",
            Self::Name => "tpm.ak-cert.name",
            Self::NoCertificate => "tpm.ak-cert.no-certificate",
        }
    }
}

/// Verifies an attestation key by its certificate (`chain`, leaf first, without the root) at `now`, in seconds
/// since 1970.
///
/// Steps: 1. a certificate is there, and the public area is an attestation key's (cheap); 2. the certificate is for
/// exactly this key; 3. it is meant for an attestation key; 4. it chains to an anchor set, whose name is recorded.
///
/// # Errors
/// [`AkCertError`].
pub fn verify_ak_certificate(
    ak_public: &[u8],
    chain: &[Vec<u8>],
    anchors: &TrustAnchors,
    now: u64,
) -> Result<ResidentAk, AkCertError> {
    // Step 1.
    let (leaf, intermediates) = split(chain)?;
    let ak = parse_ak(ak_public).map_err(AkCertError::Ak)?;
    // Step 2.
    let leaf = Certificate::parse(leaf).map_err(AkCertError::Certificate)?;
    if leaf.key() != Some(ak.key()) {
        return Err(AkCertError::KeyMismatch);
    }
    // Step 3.
    check_ak_usage(&leaf)?;
    // Step 4.
    let intermediates = parse_all(intermediates).map_err(AkCertError::Certificate)?;
    let set = find_anchor_set(&leaf, &intermediates, anchors, now).map_err(AkCertError::Chain)?;
    Ok(ResidentAk {
        ak,
        shown_by: ShownBy::Certificate,
        spki_digest: digest::sha256(&[leaf.spki()]),
        anchor: set.name.clone(),
        class: set.class,
        kind: set.kind,
    })
}

/// Verifies an AK certificate and its chain (leaf first) without a public area, against roots of the caller's, at
/// `now` in seconds since 1970: what can be said of stored certificates.
///
/// Steps: 1. a certificate is there and reads; 2. it is meant for an attestation key; 3. it chains to a root.
///
/// # Errors
/// [`AkCertError`].
pub fn verify_ak_chain(
    chain: &[Vec<u8>],
    roots: &[Certificate],
    now: i64,
) -> Result<Certificate, AkCertError> {
    let (leaf, intermediates) = split(chain)?;
    let leaf = Certificate::parse(leaf).map_err(AkCertError::Certificate)?;
    check_ak_usage(&leaf)?;
    let intermediates = parse_all(intermediates).map_err(AkCertError::Certificate)?;
    verify_chain(&leaf, &intermediates, roots, now).map_err(AkCertError::Chain)?;
    Ok(leaf)
}

/// Whether a certificate is meant for an attestation key.
///
/// Steps: 1. it is no authority's; 2. it names its subject, or has a critical alternative name instead (Google's
/// have an empty subject); 3. its key usage allows to sign and nothing else, so that no certificate of an
/// endorsement key, which decrypts, passes for one; 4. an extended key usage, which newer certificates of Google's
/// lack, names attestation keys, or endorsement keys as their older ones do.
///
/// # Errors
/// [`AkCertError::Authority`], [`AkCertError::Name`], [`AkCertError::KeyUsage`], [`AkCertError::ExtendedUsage`].
pub fn check_ak_usage(certificate: &Certificate) -> Result<(), AkCertError> {
    // Step 1.
    if certificate.is_authority() {
        return Err(AkCertError::Authority);
    }
    // Step 2.
    if !certificate.names_its_subject() {
        return Err(AkCertError::Name);
    }
    // Step 3.
    let usage = certificate.key_usage.ok_or(AkCertError::KeyUsage)?;
    let more = usage.key_encipherment || usage.key_agreement || usage.cert_sign || usage.crl_sign;
    if !usage.digital_signature || more {
        return Err(AkCertError::KeyUsage);
    }
    // Step 4.
    let names = |usages: &Vec<String>| usages.iter().any(|usage| usage == AK_USAGE || usage == EK_USAGE);
    if certificate.extended_usage.as_ref().is_some_and(|usages| !names(usages)) {
        return Err(AkCertError::ExtendedUsage);
    }
    Ok(())
}

fn split(chain: &[Vec<u8>]) -> Result<(&Vec<u8>, &[Vec<u8>]), AkCertError> {
    if chain.len() > CERTIFICATES {
        return Err(AkCertError::NoCertificate);
    }
    chain.split_first().ok_or(AkCertError::NoCertificate)
}
