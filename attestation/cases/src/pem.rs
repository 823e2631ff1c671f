//! PEM armour: exactly one block, or DER as it is.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Why armour cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// The body is not base64.
    #[error("PEM body is not base64")]
    Base64,
    /// No header, or no end that belongs to it.
    #[error("PEM header or end is malformed")]
    Frame,
    /// Something follows the first block.
    #[error("PEM holds more than one block")]
    MoreThanOne,
}

/// The DER of a file that is DER, or one PEM block.
///
/// # Errors
/// [`PemError`].
pub fn to_der(file: &[u8]) -> Result<Vec<u8>, PemError> {
    let start = file.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(0);
    let is_armoured = file.get(start..).is_some_and(|rest| rest.starts_with(b"-----BEGIN "));
    if !is_armoured {
        return Ok(file.to_vec());
    }
    let text = std::str::from_utf8(file).map_err(|_| PemError::Frame)?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let label = lines
        .next()
        .and_then(|line| line.strip_prefix("-----BEGIN "))
        .and_then(|line| line.strip_suffix("-----"))
        .ok_or(PemError::Frame)?;
    let end = format!("-----END {label}-----");
    let mut body = String::new();
    loop {
        match lines.next() {
            Some(line) if line == end => break,
            Some(line) => body.push_str(line),
            None => return Err(PemError::Frame),
        }
    }
    if lines.next().is_some() {
        return Err(PemError::MoreThanOne);
    }
    STANDARD.decode(body).map_err(|_| PemError::Base64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn armour_is_taken_off_and_der_is_left_alone() {
        assert_eq!(to_der(&[0x30, 0x01, 0x00]), Ok(vec![0x30, 1, 0]));
        assert_eq!(to_der(b"\n-----BEGIN X-----\nMAEA\n-----END X-----\n"), Ok(vec![0x30, 1, 0]));
    }

    #[test]
    fn broken_armour_is_refused() {
        let two = b"-----BEGIN X-----\nMAEA\n-----END X-----\n-----BEGIN X-----\nMAEA\n-----END X-----\n";
        assert_eq!(to_der(two), Err(PemError::MoreThanOne));
        assert_eq!(to_der(b"-----BEGIN X-----\nMAEA\n-----END Y-----\n"), Err(PemError::Frame));
        assert_eq!(to_der(b"-----BEGIN X-----\nMA\xffEA\n"), Err(PemError::Frame));
        assert_eq!(to_der(b"-----BEGIN X-----\nM!EA\n-----END X-----\n"), Err(PemError::Base64));
    }
}
