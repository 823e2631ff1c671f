//! Frames: a 4-byte big-endian length, then that many bytes. Used inside every connection.

use crate::codec::CodecError;

/// Length of a frame header in bytes.
pub const HEADER_LEN: usize = 4;

/// Reads the body length from a frame header and refuses it before anything is allocated.
///
/// # Errors
/// [`CodecError::TooLong`] beyond `limit`; [`CodecError::Malformed`] for an empty frame.
pub fn body_len(header: [u8; HEADER_LEN], limit: usize) -> Result<usize, CodecError> {
    let len = u32::from_be_bytes(header) as usize;
    match len {
        0 => Err(CodecError::Malformed),
        _ if len > limit => Err(CodecError::TooLong { len, limit }),
        _ => Ok(len),
    }
}

/// Puts a header before a body of 1 to 2^32-1 bytes.
///
/// # Errors
/// [`CodecError::TooLong`] beyond `limit`; [`CodecError::Malformed`] for an empty body.
pub fn enclose(body: &[u8], limit: usize) -> Result<Vec<u8>, CodecError> {
    let len = u32::try_from(body.len()).map_err(|_| CodecError::TooLong { len: body.len(), limit })?;
    body_len(len.to_be_bytes(), limit)?;
    let mut frame = Vec::with_capacity(HEADER_LEN + body.len());
    frame.extend_from_slice(&len.to_be_bytes());
    frame.extend_from_slice(body);
    Ok(frame)
}
