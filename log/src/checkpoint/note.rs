//! C2SP signed-note with exactly one signature, by an Ed25519 key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use vouchsafe_crypto::digest::sha256;
use vouchsafe_crypto::signature::{LogKey, LogPublicKey};

use super::{CHECKPOINT_LEN, CheckpointError};

/// The algorithm byte of Ed25519.
const ED25519: u8 = 0x01;

/// Signs: the text, an empty line, and a line with the signature.
pub(super) fn sign(text: &str, name: &str, key: &LogKey) -> Vec<u8> {
    let mut blob = key_hash(name, &key.public()).to_vec();
    blob.extend_from_slice(&key.sign(text.as_bytes()));
    format!("{text}\n\u{2014} {name} {}\n", BASE64.encode(blob)).into_bytes()
}

/// Verifies a note and returns its text, which ends with a newline.
pub(super) fn open<'a>(note: &'a [u8], name: &str, key: &LogPublicKey) -> Result<&'a str, CheckpointError> {
    // 1. Length.
    if note.len() > CHECKPOINT_LEN {
        return Err(CheckpointError::TooLong { len: note.len() });
    }
    // 2. Form: a text, an empty line, one signature line.
    let note = core::str::from_utf8(note).map_err(|_| CheckpointError::Malformed)?;
    let (body, line) = note.rsplit_once("\n\n").ok_or(CheckpointError::Malformed)?;
    let (text, _) = note.split_at_checked(body.len() + 1).ok_or(CheckpointError::Malformed)?;
    let (signer, blob) = line
        .strip_prefix("\u{2014} ")
        .and_then(|line| line.strip_suffix('\n'))
        .and_then(|line| line.split_once(' '))
        .ok_or(CheckpointError::Malformed)?;
    let blob: [u8; 68] =
        BASE64.decode(blob).ok().and_then(|blob| blob.try_into().ok()).ok_or(CheckpointError::Malformed)?;
    let (hash, signature) = blob.split_at(4);
    // 3. The name of the key.
    if signer != name {
        return Err(CheckpointError::Signer);
    }
    // 4. The hash of the key.
    if hash != key_hash(name, key) {
        return Err(CheckpointError::Key);
    }
    // 5. The signature. Only now is the text believed.
    key.verify(text.as_bytes(), signature).map_err(|_| CheckpointError::Signature)?;
    Ok(text)
}

/// `SHA-256(key name || 0x0A || 0x01 || public key)`, its first four bytes.
fn key_hash(name: &str, key: &LogPublicKey) -> [u8; 4] {
    let [a, b, c, d, ..] = sha256(&[name.as_bytes(), &[b'\n', ED25519], &key.0]);
    [a, b, c, d]
}
