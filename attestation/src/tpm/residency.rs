//! Proof that a TPM holds an attestation key: by the answer to a credential that was made for it and the TPM's
//! endorsement key (TPM 2.0 Part 1, section 24), or by a certificate of the attestation key itself.
//!
//! The types force the order: a credential can be made only for a verified EK, and [`ResidentAk`] can be had
//! only for the answer to it, or for a verified certificate. Whether the answer came in time, once, and from whom
//! was asked is for the caller.

use vouchsafe_crypto::make_credential::{EndorsementKey, MakeCredentialError, make_credential as protect};
use vouchsafe_crypto::secret::Key32;
use vouchsafe_crypto::verify::PublicKey;
use vouchsafe_protocol::evidence::CredentialBlob;
use vouchsafe_protocol::id::{AnchorClass, AnchorName};
use vouchsafe_protocol::policy::TpmKind;

use super::ak::AttestationKey;
use super::ek::VerifiedEk;

/// The answer is not the secret: this TPM does not hold both keys, or was not asked. One variant, because
/// what is wrong with the answer depends on a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("attestation key is not proven resident in the TPM of the endorsement key")]
pub struct ResidencyError;

impl ResidencyError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "tpm.residency"
    }
}

/// How an attestation key was shown to be a TPM's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShownBy {
    /// Its own certificate.
    Certificate,
    /// The credential that only the TPM of a certified endorsement key could open.
    Credential,
}

/// An attestation key that a TPM holds: only [`confirm_residency`] and
/// [`super::ak_certificate::verify_ak_certificate`] make one.
#[derive(Clone, Debug)]
pub struct ResidentAk {
    pub(super) ak: AttestationKey,
    pub(super) shown_by: ShownBy,
    pub(super) spki_digest: [u8; 32],
    pub(super) anchor: AnchorName,
    pub(super) class: AnchorClass,
    pub(super) kind: TpmKind,
}

impl ResidentAk {
    /// The key.
    #[must_use]
    pub fn ak(&self) -> &AttestationKey {
        &self.ak
    }

    /// How it was shown to be a TPM's.
    #[must_use]
    pub fn shown_by(&self) -> ShownBy {
        self.shown_by
    }

    /// SHA-256 of the SubjectPublicKeyInfo of the certificate that chains to the anchor: the EK's for a credential,
    /// else the AK's.
    #[must_use]
    pub fn spki_digest(&self) -> &[u8; 32] {
        &self.spki_digest
    }

    /// Anchor set that vouches for the TPM.
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

/// Makes the blob that only the TPM of `ek`, holding an object with the name of `ak`, can open to `secret`.
///
/// # Errors
/// [`MakeCredentialError`].
pub fn make_credential(
    ek: &VerifiedEk,
    ak: &AttestationKey,
    secret: &Key32,
) -> Result<CredentialBlob, MakeCredentialError> {
    let key = match ek.public() {
        PublicKey::P256(point) => match point.as_slice() {
            [4, xy @ ..] => {
                let (x, y) = xy.split_first_chunk::<32>().ok_or(MakeCredentialError::Key)?;
                let y = y.try_into().map_err(|_| MakeCredentialError::Key)?;
                EndorsementKey::EccP256 { x: *x, y }
            }
            _ => return Err(MakeCredentialError::Key),
        },
        PublicKey::Rsa { modulus, exponent } => {
            let exponent = exponent.iter().fold(0u32, |value, byte| value << 8 | u32::from(*byte));
            EndorsementKey::Rsa2048 { modulus: modulus.clone(), exponent }
        }
        PublicKey::P384(_) => return Err(MakeCredentialError::Key),
    };
    let made = protect(&key, ak.name(), secret.expose_secret())?;
    Ok(CredentialBlob { id_object: made.id_object, encrypted_secret: made.encrypted_secret })
}

/// Compares the answer with the secret, in constant time and all 32 bytes of it.
///
/// # Errors
/// [`ResidencyError`].
pub fn confirm_residency(
    ek: VerifiedEk,
    ak: AttestationKey,
    expected: &Key32,
    answer: &[u8],
) -> Result<ResidentAk, ResidencyError> {
    if !expected.ct_eq(answer) {
        return Err(ResidencyError);
    }
    Ok(ResidentAk {
        ak,
        shown_by: ShownBy::Credential,
        spki_digest: *ek.spki_digest(),
        anchor: ek.anchor().clone(),
        class: ek.class(),
        kind: ek.kind(),
    })
}
