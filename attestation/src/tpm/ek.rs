//! Endorsement keys: the identity of a TPM, vouched for by whoever issued its certificate.

use vouchsafe_crypto::digest;
use vouchsafe_crypto::verify::PublicKey;
use vouchsafe_protocol::evidence::TpmKeys;
use vouchsafe_protocol::id::{AnchorClass, AnchorName};
use vouchsafe_protocol::limits::CERTIFICATES;

use super::public::{ALG_SHA256, Attributes, KeyScheme, Public, PublicError};
use crate::anchors::TrustAnchors;
use crate::x509::{Certificate, CertificateError, ChainError, verify_chain};

/// tcg-kp-EKCertificate (TCG EK Credential Profile 2.5, section 3.2.16).
const EK_USAGE: &str = "2.23.133.8.1";

/// Why an endorsement key is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EkError {
    /// A certificate cannot be read.
    #[error("certificate of the endorsement key cannot be read")]
    Certificate(#[source] CertificateError),
    /// The chain does not hold.
    #[error("certificate of the endorsement key does not chain to a trust anchor")]
    Chain(#[source] ChainError),
    /// The certificate is for another key than the public area.
    #[error("certificate is for another key")]
    KeyMismatch,
    /// No certificate, or too many.
    #[error("there is no certificate of the endorsement key, or too many")]
    NoCertificate,
    /// The public area cannot be read.
    #[error("endorsement key cannot be read")]
    Public(#[source] PublicError),
    /// Not a restricted decryption key made by and fixed to its TPM, with SHA-256 and AES-128-CFB.
    #[error("endorsement key does not follow an endorsement template")]
    Template,
    /// The certificate is not for an endorsement key.
    #[error("certificate is not for an endorsement key")]
    Usage,
}

impl EkError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Certificate(_) => "tpm.ek.certificate",
            Self::Chain(ChainError::Expired) => "tpm.ek.expired",
            Self::Chain(ChainError::NotYetValid) => "tpm.ek.not-yet-valid",
            Self::Chain(ChainError::SelfSigned) => "tpm.ek.self-signed",
            Self::Chain(ChainError::UnknownIssuer) => "tpm.ek.unknown-issuer",
            Self::Chain(_) => "tpm.ek.chain",
            Self::KeyMismatch => "tpm.ek.key",
            Self::NoCertificate => "tpm.ek.no-certificate",
            Self::Public(_) => "tpm.ek.malformed",
            Self::Template => "tpm.ek.template",
            Self::Usage => "tpm.ek.usage",
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
    let (leaf, intermediates) = keys.ek_chain.split_first().ok_or(EkError::NoCertificate)?;
    if keys.ek_chain.len() > CERTIFICATES {
        return Err(EkError::NoCertificate);
    }
    let public = Public::parse(&keys.ek_public).map_err(EkError::Public)?;
    check_template(&public)?;
    // Step 2.
    let leaf = Certificate::parse(leaf).map_err(EkError::Certificate)?;
    if leaf.key() != Some(&public.key) {
        return Err(EkError::KeyMismatch);
    }
    // Step 3.
    check_ek_usage(&leaf)?;
    // Step 4.
    let intermediates = intermediates
        .iter()
        .map(|der| Certificate::parse(der).map_err(EkError::Certificate))
        .collect::<Result<Vec<_>, _>>()?;
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let mut failure = ChainError::NoAnchor;
    for set in anchors.tpm() {
        match verify_chain(&leaf, &intermediates, &set.certificates, now) {
            Ok(_) => {
                return Ok(VerifiedEk {
                    public: public.key,
                    spki_digest: digest::sha256(&[leaf.spki()]),
                    anchor: set.name.clone(),
                    class: set.class,
                });
            }
            // Keep what says more than "this set does not know the issuer".
            Err(error) if matches!(failure, ChainError::NoAnchor | ChainError::UnknownIssuer) => {
                failure = error;
            }
            Err(_) => {}
        }
    }
    Err(EkError::Chain(failure))
}

/// Whether a certificate is meant for an endorsement key: it says so by an extended key usage that names it or,
/// without one (Google's have none), by a key usage; what it has of the two must allow it; and it is no
/// authority's (profile 2.5, sections 3.2.11, 3.2.15 and 3.2.16).
///
/// # Errors
/// [`EkError::Usage`].
pub fn check_ek_usage(certificate: &Certificate) -> Result<(), EkError> {
    let extended =
        certificate.extended_usage.as_ref().map(|usages| usages.iter().any(|usage| usage == EK_USAGE));
    let usage = certificate.key_usage.map(|usage| usage.key_encipherment || usage.key_agreement);
    let allowed = extended != Some(false) && usage != Some(false);
    let stated = extended.is_some() || usage.is_some();
    if allowed && stated && !certificate.is_authority() { Ok(()) } else { Err(EkError::Usage) }
}

/// Profile 2.5, Annex B: the low-range templates, by what MakeCredential relies on.
fn check_template(public: &Public) -> Result<(), EkError> {
    let Public { name_algorithm, attributes, auth_policy: _, aes_128_cfb, scheme, key: _ } = public;
    let required = [
        Attributes::FIXED_TPM,
        Attributes::FIXED_PARENT,
        Attributes::SENSITIVE_DATA_ORIGIN,
        Attributes::RESTRICTED,
        Attributes::DECRYPT,
    ];
    let follows = *name_algorithm == ALG_SHA256
        && required.iter().all(|attribute| attributes.contains(*attribute))
        && !attributes.contains(Attributes::SIGN)
        && *aes_128_cfb
        && *scheme == KeyScheme::Null;
    if follows { Ok(()) } else { Err(EkError::Template) }
}
