//! Sealing with AES-256-GCM under a key that only the machine derives (`sim` and `snp`).

use serde::Serialize;
use vouchsafe_crypto::aead::{NONCE_LEN, SealingKey};
use vouchsafe_crypto::secret::Key32;
use vouchsafe_crypto::{digest, random};
use vouchsafe_protocol::codec;

use crate::PlatformError;
use crate::sealed::{MachineSealed, SealedError};

/// The one nonce. It cannot repeat under its key: the key comes from a salt that is drawn for each sealing.
const NONCE: [u8; NONCE_LEN] = [0; NONCE_LEN];

/// The bytes do not open under the machine's key: the binding, salt or ciphertext was changed, or the machine
/// key is another.
pub(crate) struct DoesNotOpen;

/// Seals a root key; `label` is the purpose of the derived key, one per platform.
pub(crate) fn seal<Binding: Serialize>(
    machine_key: &Key32,
    label: &str,
    binding: Binding,
    root: &Key32,
) -> Result<MachineSealed<Binding>, PlatformError> {
    let salt = random::array().map_err(|_| PlatformError::NoRandomness)?;
    let aad = associated(&binding)?;
    let mut ciphertext = Vec::with_capacity(crate::sealed::CIPHERTEXT_LEN);
    ciphertext.extend_from_slice(root.expose_secret());
    key(machine_key, label, &salt).seal(NONCE, &aad, &mut ciphertext);
    Ok(MachineSealed { binding, salt, ciphertext })
}

/// Opens what [`seal`] made.
pub(crate) fn open<Binding: Serialize>(
    machine_key: &Key32,
    label: &str,
    sealed: &MachineSealed<Binding>,
) -> Result<Result<Key32, DoesNotOpen>, PlatformError> {
    let MachineSealed { binding, salt, ciphertext } = sealed;
    let aad = associated(binding)?;
    let mut opened = ciphertext.clone();
    if key(machine_key, label, salt).open(NONCE, &aad, &mut opened).is_err() {
        return Ok(Err(DoesNotOpen));
    }
    // `take` wipes what it moves from.
    Ok(Key32::take(&mut opened).ok_or(DoesNotOpen))
}

fn key(machine_key: &Key32, label: &str, salt: &[u8; 32]) -> SealingKey {
    SealingKey::new(&digest::hkdf_sha256(machine_key, salt, &[label.as_bytes()]))
}

fn associated<Binding: Serialize>(binding: &Binding) -> Result<Vec<u8>, SealedError> {
    codec::encode(binding).map_err(SealedError::Codec)
}
