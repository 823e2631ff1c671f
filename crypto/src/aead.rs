//! AES-256-GCM, the one AEAD of every sealed format of version 1.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::secret::Key32;

/// Bytes that a sealed message is longer than its plaintext.
pub const TAG_LEN: usize = 16;
/// Length of a nonce in bytes.
pub const NONCE_LEN: usize = 12;

/// What was sealed cannot be opened: wrong key, wrong context, or changed bytes. No more is ever told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sealed bytes do not open")]
pub struct OpenError;

/// An AES-256-GCM key. Whoever calls `seal` says beside the call why the nonce cannot repeat under this key.
pub struct SealingKey(LessSafeKey);

impl SealingKey {
    /// Prepares a key.
    #[must_use]
    pub fn new(key: &Key32) -> Self {
        #[expect(
            clippy::expect_used,
            reason = "ring refuses only a wrong key length; Key32 has the right one"
        )]
        let unbound = UnboundKey::new(&AES_256_GCM, key.expose_secret()).expect("32-byte key");
        Self(LessSafeKey::new(unbound))
    }

    /// Seals in place: the plaintext becomes ciphertext and tag.
    pub fn seal(&self, nonce: [u8; NONCE_LEN], aad: &[u8], in_out: &mut Vec<u8>) {
        let nonce = Nonce::assume_unique_for_key(nonce);
        #[expect(
            clippy::expect_used,
            reason = "ring refuses only plaintexts over 64 GiB; frames are bounded"
        )]
        self.0.seal_in_place_append_tag(nonce, Aad::from(aad), in_out).expect("bounded plaintext");
    }

    /// Opens in place and shortens to the plaintext.
    ///
    /// # Errors
    /// [`OpenError`]; `in_out` then holds nothing to be used.
    pub fn open(&self, nonce: [u8; NONCE_LEN], aad: &[u8], in_out: &mut Vec<u8>) -> Result<(), OpenError> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let len = self.0.open_in_place(nonce, Aad::from(aad), in_out).map_err(|_| OpenError)?.len();
        in_out.truncate(len);
        Ok(())
    }
}

/// The nonce of message number `counter` under a key that one writer uses for one sequence of messages.
#[must_use]
pub fn counter_nonce(counter: u64) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    for (byte, value) in nonce.iter_mut().skip(NONCE_LEN - 8).zip(counter.to_be_bytes()) {
        *byte = value;
    }
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    #[test]
    fn every_changed_bit_is_refused() {
        let key = SealingKey::new(&random::key().unwrap());
        let mut sealed = b"a secret".to_vec();
        key.seal(counter_nonce(1), b"context", &mut sealed);
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.open(counter_nonce(1), b"context", &mut flipped), Err(OpenError));
        }
        assert_eq!(key.open(counter_nonce(2), b"context", &mut sealed.clone()), Err(OpenError));
        assert_eq!(key.open(counter_nonce(1), b"other", &mut sealed.clone()), Err(OpenError));
        key.open(counter_nonce(1), b"context", &mut sealed).unwrap();
        assert_eq!(sealed, b"a secret");
    }
}
