//! The part of a certificate or revocation list that its signature does not cover, in its one DER form.

use super::certificate::CertificateError;
use crate::bytes::{Reader, WrongLength};

/// Tag of a SEQUENCE (X.690, section 8.9).
const SEQUENCE: u8 = 0x30;
/// Tag of a BIT STRING (section 8.6).
const BIT_STRING: u8 = 0x03;

/// Nothing around the signed part may be written in another way: whoever could change a certificate without breaking
/// it could make many of one. `x509-parser` compares what the two algorithms say, not how they say it, and takes a
/// SEQUENCE or BIT STRING of another class for one.
///
/// Steps: 1. the whole is a SEQUENCE; 2. the algorithm beside the signed part is, byte for byte, the one inside it (RFC
/// 5280, section 4.1.1.2); 3. the signature is a BIT STRING. Left to the caller, which parses the rest: lengths.
///
/// `before` is the number of elements before the algorithm inside: a certificate has version and serial number there, a
/// revocation list the version.
///
/// # Errors
/// [`CertificateError::Malformed`], [`CertificateError::AlgorithmMismatch`].
pub(crate) fn check_envelope(der: &[u8], before: usize) -> Result<(), CertificateError> {
    let malformed = |WrongLength| CertificateError::Malformed;
    // Step 1.
    if der.first() != Some(&SEQUENCE) {
        return Err(CertificateError::Malformed);
    }
    // Step 2.
    let mut certificate = contents(der).map_err(malformed)?;
    let mut signed = contents(element(&mut certificate).map_err(malformed)?).map_err(malformed)?;
    let outer = element(&mut certificate).map_err(malformed)?;
    for _ in 0..before {
        element(&mut signed).map_err(malformed)?;
    }
    if element(&mut signed).map_err(malformed)? != outer {
        return Err(CertificateError::AlgorithmMismatch);
    }
    // Step 3.
    if certificate.u8().map_err(malformed)? != BIT_STRING {
        return Err(CertificateError::Malformed);
    }
    Ok(())
}

/// The next element, header and all.
fn element<'a>(at: &mut Reader<'a>) -> Result<&'a [u8], WrongLength> {
    let mut ahead = *at;
    let len = header(&mut ahead)?;
    let header_len = at.0.len().saturating_sub(ahead.0.len());
    at.take(header_len.saturating_add(len))
}

/// What is in an element.
fn contents(element: &[u8]) -> Result<Reader<'_>, WrongLength> {
    let mut at = Reader(element);
    let len = header(&mut at)?;
    at.take(len).map(Reader)
}

/// Reads tag and length (X.690, section 8.1.3); no certificate is so long that the length takes three bytes.
fn header(at: &mut Reader<'_>) -> Result<usize, WrongLength> {
    at.u8()?;
    match at.u8()? {
        short @ 0..=0x7f => Ok(usize::from(short)),
        0x81 => at.u8().map(usize::from),
        0x82 => at.u16_be().map(usize::from),
        _ => Err(WrongLength),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEQUENCE { SEQUENCE { INTEGER 2, INTEGER 7, SEQUENCE { NULL } }, SEQUENCE { NULL }, BIT STRING }
    const RIGHT: [u8; 20] = [0x30, 18, 0x30, 10, 2, 1, 2, 2, 1, 7, 0x30, 2, 5, 0, 0x30, 2, 5, 0, 3, 0];

    #[test]
    fn the_two_algorithms_are_the_same_bytes() {
        assert_eq!(check_envelope(&RIGHT, 2), Ok(()));
        let mut other = RIGHT;
        other[16] = 0x45;
        assert_eq!(check_envelope(&other, 2), Err(CertificateError::AlgorithmMismatch));
    }

    #[test]
    fn elements_of_another_class_are_others() {
        for (at, tag) in [(0, 0x70), (18, 0x43)] {
            let mut other = RIGHT;
            other[at] = tag;
            assert_eq!(check_envelope(&other, 2), Err(CertificateError::Malformed));
        }
        assert_eq!(check_envelope(&[], 2), Err(CertificateError::Malformed));
    }

    #[test]
    fn s16_every_shorter_certificate_is_malformed() {
        for len in 0..RIGHT.len() {
            assert_eq!(check_envelope(&RIGHT[..len], 2), Err(CertificateError::Malformed), "{len}");
        }
        // What is inside ends early.
        let mut short = RIGHT;
        short[1] = 16;
        assert_eq!(check_envelope(&short, 2), Err(CertificateError::Malformed));
    }

    #[test]
    fn long_lengths_are_read() {
        for form in [vec![0x81, 200], vec![0x82, 0, 200]] {
            let mut bytes = [&[0x04], form.as_slice(), &[9; 200]].concat();
            let len = bytes.len();
            bytes.push(1);
            assert_eq!(element(&mut Reader(&bytes)).unwrap().len(), len);
            assert_eq!(contents(&bytes).unwrap().0, [9; 200]);
        }
        assert_eq!(header(&mut Reader(&[4, 0x83, 0, 0, 1])), Err(WrongLength));
        assert_eq!(header(&mut Reader(&[4, 0x80])), Err(WrongLength));
    }
}
