//! Proof that one TPM holds both an endorsement key and an attestation key (TPM 2.0 Part 1, section 24).
//!
//! The types force the order: a credential can be made only for a verified EK, and [`ResidentAk`] can be had
//! only for the answer to it. Whether the answer came in time, once, and from whom was asked is for the caller.

use vouchsafe_crypto::make_credential::{EndorsementKey, MakeCredentialError, make_credential as protect};
use vouchsafe_crypto::secret::Key32;
use vouchsafe_crypto::verify::PublicKey;
use vouchsafe_protocol::evidence::CredentialBlob;
use vouchsafe_protocol::id::{AnchorClass, AnchorName};

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

/// An attestation key that the TPM of a verified endorsement key holds.
#[derive(Clone, Debug)]
pub struct ResidentAk {
    ak: AttestationKey,
    ek_spki_digest: [u8; 32],
    anchor: AnchorName,
    class: AnchorClass,
}

impl ResidentAk {
    /// The key.
    #[must_use]
    pub fn ak(&self) -> &AttestationKey {
        &self.ak
    }

    /// SHA-256 of the SubjectPublicKeyInfo of the EK's certificate.
    #[must_use]
    pub fn ek_spki_digest(&self) -> &[u8; 32] {
        &self.ek_spki_digest
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
    Ok(ResidentAk { ak, ek_spki_digest: *ek.spki_digest(), anchor: ek.anchor().clone(), class: ek.class() })
}
