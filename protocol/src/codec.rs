//! The one strict codec: postcard with an exact length and one canonical encoding.
//!
//! Plain `postcard::from_bytes` accepts trailing bytes and over-long varints, so two byte strings could
//! decode to one message. Here a message has exactly one encoding: what is decoded is encoded again and
//! compared. Only this module calls postcard.

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
    if encode(&message)? != bytes {
        return Err(CodecError::NotCanonical);
    }
    Ok(message)
}
