//! Attestation keys: what a key must be so that a TPM signs nothing with it that it did not make itself.

use vouchsafe_crypto::verify::{HashAlgorithm, PublicKey, Scheme};

use super::public::{ALG_SHA256, ALG_SHA384, Attributes, KeyScheme, Public, PublicError, name};

/// Why a public area is not an attestation key's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AkError {
    /// It may decrypt too.
    #[error("attestation key may also decrypt")]
    Decrypt,
    /// The private part may have been made elsewhere.
    #[error("private part of the attestation key was not made by the TPM")]
    ForeignOrigin,
    /// nameAlg is not SHA-256.
    #[error("attestation key is not named with SHA-256")]
    NameAlgorithm,
    /// The parent may change.
    #[error("parent of the attestation key is not fixed")]
    NotFixedParent,
    /// The private part may leave the TPM.
    #[error("attestation key is not fixed to its TPM")]
    NotFixedTpm,
    /// It does not sign.
    #[error("attestation key may not sign")]
    NotSigning,
    /// It cannot be read.
    #[error("attestation key cannot be read")]
    Public(#[source] PublicError),
    /// The scheme is not ECDSA, RSASSA or RSAPSS with SHA-256 or SHA-384, or not one for the key.
    #[error("attestation key has no accepted signature scheme")]
    Scheme,
    /// It signs anything that is given to it, so also forged quotes.
    #[error("attestation key is not restricted")]
    Unrestricted,
}

impl AkError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Decrypt => "tpm.ak.decrypt",
            Self::ForeignOrigin => "tpm.ak.foreign-origin",
            Self::NameAlgorithm => "tpm.ak.name-algorithm",
            Self::NotFixedParent => "tpm.ak.not-fixed-parent",
            Self::NotFixedTpm => "tpm.ak.not-fixed-tpm",
            Self::NotSigning => "tpm.ak.not-signing",
            Self::Public(_) => "tpm.ak.malformed",
            Self::Scheme => "tpm.ak.scheme",
            Self::Unrestricted => "tpm.ak.unrestricted",
        }
    }
}

/// An attestation key whose public area is as it must be. That some TPM holds it is for
/// [`super::residency::ResidentAk`] to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestationKey {
    key: PublicKey,
    scheme: Scheme,
    name: [u8; 34],
}

impl AttestationKey {
    /// The key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The one scheme it signs with.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Its name, computed from the public area.
    #[must_use]
    pub fn name(&self) -> &[u8; 34] {
        &self.name
    }
}

/// Parses a TPMT_PUBLIC and checks that it is an attestation key's.
///
/// Steps: 1. well-formed; 2. named with SHA-256; 3. restricted; 4. fixed to its TPM; 5. and to its parent; 6. made
/// by the TPM; 7. may sign; 8. may not decrypt; 9. one accepted scheme: ECDSA on P-256 with SHA-256 or on P-384 with
/// SHA-384, RSASSA or RSAPSS with either hash.
///
/// The name is computed with SHA-256 whatever the key signs with: a second way to name keys would be a second way
/// to list, pin and compare them, and every TPM can name a P-384 key with SHA-256.
///
/// # Errors
/// [`AkError`], one variant per step.
pub fn parse_ak(bytes: &[u8]) -> Result<AttestationKey, AkError> {
    let public = Public::parse(bytes).map_err(AkError::Public)?;
    let Public { name_algorithm, attributes, auth_policy: _, aes_128_cfb: _, scheme, key } = public;
    if name_algorithm != ALG_SHA256 {
        return Err(AkError::NameAlgorithm);
    }
    let required = [
        (Attributes::RESTRICTED, AkError::Unrestricted),
        (Attributes::FIXED_TPM, AkError::NotFixedTpm),
        (Attributes::FIXED_PARENT, AkError::NotFixedParent),
        (Attributes::SENSITIVE_DATA_ORIGIN, AkError::ForeignOrigin),
        (Attributes::SIGN, AkError::NotSigning),
    ];
    for (attribute, error) in required {
        if !attributes.contains(attribute) {
            return Err(error);
        }
    }
    if attributes.contains(Attributes::DECRYPT) {
        return Err(AkError::Decrypt);
    }
    use HashAlgorithm::{Sha256, Sha384};
    let scheme = match (scheme, &key) {
        (KeyScheme::Ecdsa(ALG_SHA256), PublicKey::P256(_)) => Scheme::EcdsaFixed(Sha256),
        (KeyScheme::Ecdsa(ALG_SHA384), PublicKey::P384(_)) => Scheme::EcdsaFixed(Sha384),
        (KeyScheme::RsaSsa(ALG_SHA256), PublicKey::Rsa { .. }) => Scheme::RsaPkcs1(Sha256),
        (KeyScheme::RsaSsa(ALG_SHA384), PublicKey::Rsa { .. }) => Scheme::RsaPkcs1(Sha384),
        (KeyScheme::RsaPss(ALG_SHA256), PublicKey::Rsa { .. }) => Scheme::RsaPss(Sha256),
        (KeyScheme::RsaPss(ALG_SHA384), PublicKey::Rsa { .. }) => Scheme::RsaPss(Sha384),
        _ => return Err(AkError::Scheme),
    };
    Ok(AttestationKey { key, scheme, name: name(bytes) })
}
