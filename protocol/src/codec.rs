//! The one strict codec: postcard with an exact length and one canonical encoding.
//!
//! Plain `postcard::from_bytes` accepts trailing bytes and over-long varints, so two byte strings could
//! decode to one message. Here a message has exactly one encoding: what was decoded is encoded again,
//! straight against the input and without a copy. Only this module calls postcard.

use postcard::ser_flavors::Flavor;
use serde::{Serialize, de::DeserializeOwned};

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes decode, but are not the canonical encoding (trailing bytes, over-long integer).
    #[error("message is not in canonical form")]
    NotCanonical,
    /// The bytes do not decode as the expected type.
    #[error("message is malformed")]
    Malformed,
    /// The message is longer than its limit.
    #[error("message of {len} bytes exceeds the limit of {limit}")]
    TooLong {
        /// Length in bytes.
        len: usize,
        /// Limit in bytes.
        limit: usize,
    },
}

/// Encodes a message.
///
/// # Errors
/// [`CodecError::Malformed`] if a type cannot be encoded; no wire type of this crate is such a type.
#[allow(clippy::disallowed_methods, reason = "the one place that calls postcard")]
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, CodecError> {
    postcard::to_allocvec(message).map_err(|_| CodecError::Malformed)
}

/// Decodes a message of at most `limit` bytes.
///
/// Postcard allocates no more than the input can hold: a length prefix beyond the remaining bytes is an
/// error, and sequences reserve at most a page ahead of their elements.
///
/// # Errors
/// [`CodecError`], by what is wrong with the bytes.
#[allow(clippy::disallowed_methods, reason = "the one place that calls postcard")]
pub fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, CodecError> {
    if bytes.len() > limit {
        return Err(CodecError::TooLong { len: bytes.len(), limit });
    }
    let message: T = postcard::from_bytes(bytes).map_err(|_| CodecError::Malformed)?;
    postcard::serialize_with_flavor(&message, Expected(bytes)).map_err(|_| CodecError::NotCanonical)?;
    Ok(message)
}

/// A postcard output that only compares: what is written must be the next bytes expected.
struct Expected<'a>(&'a [u8]);

impl Flavor for Expected<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0 = self.0.strip_prefix(bytes).ok_or(postcard::Error::SerializeBufferFull)?;
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(postcard::Error::SerializeBufferFull) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_exactly_one_encoding() {
        let bytes = encode(&(300u64, vec![1u8, 2])).unwrap();
        assert_eq!(decode::<(u64, Vec<u8>)>(&bytes, 64), Ok((300, vec![1, 2])));
        let trailing = [bytes.as_slice(), &[0]].concat();
        assert_eq!(decode::<(u64, Vec<u8>)>(&trailing, 64), Err(CodecError::NotCanonical));
        let over_long = [0x80 | 5, 0];
        assert_eq!(decode::<u64>(&over_long, 64), Err(CodecError::NotCanonical));
        for len in 0..bytes.len() {
            assert_eq!(decode::<(u64, Vec<u8>)>(&bytes[..len], 64), Err(CodecError::Malformed));
        }
    }

    #[test]
    fn length_is_checked_before_decoding() {
        assert_eq!(decode::<Vec<u8>>(&[0; 10], 9), Err(CodecError::TooLong { len: 10, limit: 9 }));
        let claims_4_gib = [0xff, 0xff, 0xff, 0xff, 0x0f, 1];
        assert_eq!(decode::<Vec<u8>>(&claims_4_gib, 64), Err(CodecError::Malformed));
    }
}
