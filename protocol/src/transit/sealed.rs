//! Ciphertexts of the transit engine, which users keep for years: format 1.
//!
//! `format (1) || version of the key (4, big-endian) || salt (32) || ciphertext || tag (16)`. A change of any of it
//! is a new format byte.

use serde::{Deserialize, Serialize};

/// The format byte: it decides the layout and the derivation; the key's kind decides the algorithm.
pub const FORMAT: u8 = 1;
/// Length of the salt in bytes.
pub const SALT_LEN: usize = 32;
/// Bytes before the ciphertext: format, version, salt.
pub const HEADER_LEN: usize = 1 + 4 + SALT_LEN;
/// Bytes that a sealed plaintext is longer than itself: header and tag.
pub const OVERHEAD_LEN: usize = HEADER_LEN + 16;

/// A ciphertext, as it was given. Whether it is one shows when it is decrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ciphertext(#[serde(with = "serde_bytes")] Vec<u8>);

/// Why bytes are not a ciphertext of format 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CiphertextError {
    /// Another format byte.
    #[error("the ciphertext is of another format than 1")]
    Format,
    /// Shorter than an empty plaintext would be.
    #[error("the ciphertext is shorter than {OVERHEAD_LEN} bytes")]
    TooShort,
    /// Versions count from 1.
    #[error("the ciphertext names version 0 of its key")]
    Version,
}

impl Ciphertext {
    /// Takes the bytes as they are.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Version of the key and salt, as the header says; not authentic before it is decrypted.
    ///
    /// # Errors
    /// [`CiphertextError`].
    pub fn header(&self) -> Result<(u32, &[u8; SALT_LEN]), CiphertextError> {
        if self.0.len() < OVERHEAD_LEN {
            return Err(CiphertextError::TooShort);
        }
        let (format, rest) = self.0.split_first().ok_or(CiphertextError::TooShort)?;
        if *format != FORMAT {
            return Err(CiphertextError::Format);
        }
        let (version, rest) = rest.split_first_chunk::<4>().ok_or(CiphertextError::TooShort)?;
        let (salt, _) = rest.split_first_chunk::<SALT_LEN>().ok_or(CiphertextError::TooShort)?;
        match u32::from_be_bytes(*version) {
            0 => Err(CiphertextError::Version),
            version => Ok((version, salt)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h5_a_header_is_of_one_format_and_long_enough() {
        let mut bytes = vec![FORMAT, 0, 0, 1, 2];
        bytes.extend([7; SALT_LEN + 16]);
        assert_eq!(Ciphertext::new(bytes.clone()).header(), Ok((258, &[7; SALT_LEN])));
        for len in 0..bytes.len() {
            let short = Ciphertext::new(bytes.get(..len).unwrap().to_vec());
            assert_eq!(short.header(), Err(CiphertextError::TooShort), "{len}");
        }
        for format in [0, 2, 0xff] {
            bytes[0] = format;
            assert_eq!(Ciphertext::new(bytes.clone()).header(), Err(CiphertextError::Format));
        }
        bytes[..5].copy_from_slice(&[FORMAT, 0, 0, 0, 0]);
        assert_eq!(Ciphertext::new(bytes).header(), Err(CiphertextError::Version));
    }
}
