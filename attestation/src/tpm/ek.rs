//! Endorsement keys: the identity of a TPM, vouched for by whoever issued its certificate.

use vouchsafe_crypto::digest;
use vouchsafe_crypto::verify::PublicKey;
use vouchsafe_protocol::evidence::{AkProof, TpmKeys};
use vouchsafe_protocol::id::{AnchorClass, AnchorName};
use vouchsafe_protocol::limits::CERTIFICATES;
use vouchsafe_protocol::policy::TpmKind;

use super::public::{ALG_SHA256, Attributes, KeyScheme, Public, PublicError};
use crate::anchors::{TpmAnchorSet, TrustAnchors};
use crate::x509::{Certificate, CertificateError, ChainError, verify_chain};

/// tcg-kp-EKCertificate (TCG EK Credential Profile 2.5, section 3.2.16).
pub(super) const EK_USAGE: &str = "2.23.133.8.1";

/// Why an endorsement key is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EkError {
    /// The certificate is an authority's.
    #[error("certificate of the endorsement key is an authority's")]
    Authority,
    /// A certificate cannot be read.
    #[error("certificate of the endorsement key cannot be read")]
    Certificate(#[source] CertificateError),
    /// The chain does not hold.
    #[error("certificate of the endorsement key does not chain to a trust anchor")]
    Chain(#[source] ChainError),
    /// The extended key usage names other purposes only.
    #[error("certificate is for other purposes than an endorsement key's")]
    ExtendedUsage,
    /// The certificate is for another key than the public area.
    #[error("certificate is for another key")]
    KeyMismatch,
    /// The key usage allows neither to encipher nor to agree on keys.
    #[error("certificate is not for a key that protects keys")]
    KeyUsage,
    /// The subject is empty, and no critical alternative name stands in for it.
    #[error("certificate names no subject")]
    Name,
    /// No certificate, or too many.
    #[error("there is no certificate of the endorsement key, or too many")]
    NoCertificate,
    /// The public area cannot be read.
    #[error("endorsement key cannot be read")]
    Public(#[source] PublicError),
    /// Not a restricted decryption key made by and fixed to its TPM, with SHA-256 and AES-128-CFB.
    #[error("endorsement key does not follow an endorsement template")]
    Template,
    /// The certificate does not say what it is for.
    #[error("certificate does not say that it is for an endorsement key")]
    UnstatedUsage,
}

impl EkError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Authority => "tpm.ek.authority",
            Self::Certificate(_) => "tpm.ek.certificate",
            Self::Chain(ChainError::Expired) => "tpm.ek.expired",
            Self::Chain(ChainError::NotYetValid) => "tpm.ek.not-yet-valid",
            Self::Chain(ChainError::SelfSigned) => "tpm.ek.self-signed",
            Self::Chain(ChainError::UnknownIssuer) => "tpm.ek.unknown-issuer",
            Self::Chain(_) => "tpm.ek.chain",
            Self::ExtendedUsage => "tpm.ek.extended-usage",
            Self::KeyMismatch => "tpm.ek.key",
            Self::KeyUsage => "tpm.ek.key-usage",
            Self::Name => "tpm.ek.name",
            Self::NoCertificate => "tpm.ek.no-certificate",
            Self::Public(_) => "tpm.ek.malformed",
            Self::Template => "tpm.ek.template",
            Self::UnstatedUsage => "tpm.ek.usage",
        }
    }
}

/// An endorsement key whose certificate chains to an anchor set. Only [`verify_ek`] makes one.
#[derive(Clone, Debug)]
pub struct VerifiedEk {
    public: PublicKey,
    spki_digest: [u8; 32],
    anchor: AnchorName,
    class: AnchorClass,
    kind: TpmKind,
}

impl VerifiedEk {
    /// The key.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// SHA-256 of the certificate's SubjectPublicKeyInfo: what policy lists.
    #[must_use]
    pub fn spki_digest(&self) -> &[u8; 32] {
        &self.spki_digest
    }

    /// The anchor set that vouches for it.
    #[must_use]
    pub fn anchor(&self) -> &AnchorName {
        &self.anchor
    }

    /// Class of that set.
    #[must_use]
    pub fn class(&self) -> AnchorClass {
        self.class
    }

    /// Kind of TPM that the set stands for.
    #[must_use]
    pub fn kind(&self) -> TpmKind {
        self.kind
    }
}

/// Verifies an endorsement key at `now`, in seconds since 1970.
///
/// Steps: 1. a certificate is there, the public area reads and follows an endorsement template (cheap);
/// 2. the certificate is for exactly this key; 3. it is meant for an endorsement key; 4. it chains to an anchor
/// set, whose name is recorded.
///
/// # Errors
/// [`EkError`].
pub fn verify_ek(keys: &TpmKeys, anchors: &TrustAnchors, now: u64) -> Result<VerifiedEk, EkError> {
    // Step 1.
    let AkProof::Credential { ek_chain, ek_public } = &keys.proof else {
        return Err(EkError::NoCertificate);
    };
    let (leaf, intermediates) = ek_chain.split_first().ok_or(EkError::NoCertificate)?;
    if ek_chain.len() > CERTIFICATES {
        return Err(EkError::NoCertificate);
    }
    let public = Public::parse(ek_public).map_err(EkError::Public)?;
    check_template(&public)?;
    // Step 2.
    let leaf = Certificate::parse(leaf).map_err(EkError::Certificate)?;
    if leaf.key() != Some(&public.key) {
        return Err(EkError::KeyMismatch);
    }
    // Step 3.
    check_ek_usage(&leaf)?;
    // Step 4.
    let intermediates = parse_all(intermediates).map_err(EkError::Certificate)?;
    let set = find_anchor_set(&leaf, &intermediates, anchors, now).map_err(EkError::Chain)?;
    Ok(VerifiedEk {
        public: public.key,
        spki_digest: digest::sha256(&[leaf.spki()]),
        anchor: set.name.clone(),
        class: set.class,
        kind: set.kind,
    })
}

/// Verifies an EK certificate and its chain (leaf first) without a public area, against roots of the caller's, at
/// `now` in seconds since 1970: what can be said of stored certificates.
///
/// Steps: 1. a certificate is there and reads; 2. it is meant for an endorsement key; 3. it chains to a root.
///
/// # Errors
/// [`EkError`].
pub fn verify_ek_chain(chain: &[Vec<u8>], roots: &[Certificate], now: i64) -> Result<Certificate, EkError> {
    let (leaf, intermediates) = chain.split_first().ok_or(EkError::NoCertificate)?;
    if chain.len() > CERTIFICATES {
        return Err(EkError::NoCertificate);
    }
    let leaf = Certificate::parse(leaf).map_err(EkError::Certificate)?;
    check_ek_usage(&leaf)?;
    let intermediates = parse_all(intermediates).map_err(EkError::Certificate)?;
    verify_chain(&leaf, &intermediates, roots, now).map_err(EkError::Chain)?;
    Ok(leaf)
}

/// Whether a certificate is meant for an endorsement key (profile 2.5, sections 3.2.5, 3.2.10, 3.2.11, 3.2.15 and
/// 3.2.16). Manufacturers leave out much of the profile (Google's certificates have neither an extended key usage
/// nor the TPM's model as alternative name), so what a certificate says must be right, and it must say something.
///
/// Steps: 1. it is no authority's; 2. it names its subject, or has a critical alternative name instead; 3. an
/// extended key usage names endorsement keys; 4. a key usage allows to encipher or to agree on keys; 5. at least
/// one of the two is there.
///
/// # Errors
/// [`EkError::Authority`], [`EkError::Name`], [`EkError::ExtendedUsage`], [`EkError::KeyUsage`],
/// [`EkError::UnstatedUsage`].
pub fn check_ek_usage(certificate: &Certificate) -> Result<(), EkError> {
    // Step 1.
    if certificate.is_authority() {
        return Err(EkError::Authority);
    }
    // Step 2.
    if !certificate.names_its_subject() {
        return Err(EkError::Name);
    }
    // Step 3.
    let extended = certificate.extended_usage.as_ref();
    if extended.is_some_and(|usages| !usages.iter().any(|usage| usage == EK_USAGE)) {
        return Err(EkError::ExtendedUsage);
    }
    // Step 4.
    if certificate.key_usage.is_some_and(|usage| !usage.key_encipherment && !usage.key_agreement) {
        return Err(EkError::KeyUsage);
    }
    // Step 5.
    if extended.is_none() && certificate.key_usage.is_none() {
        return Err(EkError::UnstatedUsage);
    }
    Ok(())
}

pub(super) fn parse_all(chain: &[Vec<u8>]) -> Result<Vec<Certificate>, CertificateError> {
    chain.iter().map(|der| Certificate::parse(der)).collect()
}

/// The anchor set that a certificate chains to at `now`, in seconds since 1970.
///
/// # Errors
/// [`ChainError`] of the set that says more than "the issuer is unknown".
pub(super) fn find_anchor_set<'a>(
    leaf: &Certificate,
    intermediates: &[Certificate],
    anchors: &'a TrustAnchors,
    now: u64,
) -> Result<&'a TpmAnchorSet, ChainError> {
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let mut failure = ChainError::NoAnchor;
    for set in anchors.tpm() {
        match verify_chain(leaf, intermediates, &set.certificates, now) {
            Ok(_) => return Ok(set),
            Err(error) if matches!(failure, ChainError::NoAnchor | ChainError::UnknownIssuer) => {
                failure = error;
            }
            Err(_) => {}
        }
    }
    Err(failure)
}

/// Profile 2.5, Annex B: the low-range templates (RSA of 2,048 bits, P-256), by what MakeCredential relies on.
fn check_template(public: &Public) -> Result<(), EkError> {
    let Public { name_algorithm, attributes, auth_policy: _, aes_128_cfb, scheme, key } = public;
    let low_range = match key {
        PublicKey::P256(_) => true,
        PublicKey::P384(_) => false,
        PublicKey::Rsa { modulus, .. } => modulus.len() == 256,
    };
    let required = [
        Attributes::FIXED_TPM,
        Attributes::FIXED_PARENT,
        Attributes::SENSITIVE_DATA_ORIGIN,
        Attributes::RESTRICTED,
        Attributes::DECRYPT,
    ];
    let follows = low_range
        && *name_algorithm == ALG_SHA256
        && required.iter().all(|attribute| attributes.contains(*attribute))
        && !attributes.contains(Attributes::SIGN)
        && *aes_128_cfb
        && *scheme == KeyScheme::Null;
    if follows { Ok(()) } else { Err(EkError::Template) }
}
