//! The Spec ID event that opens a crypto-agile log (TCG_EfiSpecIDEvent, section 10.4.5.1), and the algorithms it
//! may announce.

use vouchsafe_crypto::verify::HashAlgorithm;

use super::error::EventLogError;
use crate::bytes::Reader;

/// What a crypto-agile header begins with.
pub(super) const SIGNATURE: &[u8; 16] = b"Spec ID Event03\0";
/// Most algorithms that a header may announce: as many as are known.
pub(super) const ALGORITHMS: u32 = 8;

/// TPM_ALG_ID of a bank (TCG Algorithm Registry 1.34, table 3).
pub(super) const fn algorithm_id(bank: HashAlgorithm) -> u16 {
    match bank {
        HashAlgorithm::DangerousSha1 => 0x0004,
        HashAlgorithm::Sha256 => 0x000b,
        HashAlgorithm::Sha384 => 0x000c,
        HashAlgorithm::Sha512 => 0x000d,
    }
}

/// Length in bytes of every digest that the registry knows, whether or not a bank of it can be replayed here.
pub(super) const fn digest_len(id: u16) -> Option<usize> {
    match id {
        0x0004 => Some(20),
        // SHA-256, SM3_256, SHA3_256.
        0x000b | 0x0012 | 0x0027 => Some(32),
        // SHA-384, SHA3_384.
        0x000c | 0x0028 => Some(48),
        // SHA-512, SHA3_512.
        0x000d | 0x0029 => Some(64),
        _ => None,
    }
}

/// Reads the data of a Spec ID event whose signature is [`SIGNATURE`]: the announced algorithms and what the
/// vendor added.
///
/// # Errors
/// [`EventLogError::Header`], [`EventLogError::Algorithms`].
pub(super) fn read_header(data: &[u8]) -> Result<(Vec<u16>, &[u8]), EventLogError> {
    let mut at = Reader(data);
    let read = |at: &mut Reader<'_>| {
        let _signature: [u8; 16] = at.array()?;
        let _platform_class = at.u32_le()?;
        let [_minor, major, _errata, uintn_size] = at.array()?;
        Ok((major, uintn_size, at.u32_le()?))
    };
    let (major, uintn_size, count) =
        read(&mut at).map_err(|_: crate::bytes::WrongLength| EventLogError::Header)?;
    // Version 2; UINTN of 4 or 8 bytes, counted in units of 4.
    if major != 2 || !matches!(uintn_size, 1 | 2) {
        return Err(EventLogError::Header);
    }
    if !(1..=ALGORITHMS).contains(&count) {
        return Err(EventLogError::Algorithms);
    }
    let mut algorithms = Vec::new();
    for _ in 0..count {
        let id = at.u16_le().map_err(|_| EventLogError::Header)?;
        let len = at.u16_le().map_err(|_| EventLogError::Header)?;
        if digest_len(id) != Some(usize::from(len)) || algorithms.contains(&id) {
            return Err(EventLogError::Algorithms);
        }
        algorithms.push(id);
    }
    let vendor_len = at.u8().map_err(|_| EventLogError::Header)?;
    let vendor_info = at.take(usize::from(vendor_len)).map_err(|_| EventLogError::Header)?;
    at.end().map_err(|_| EventLogError::Header)?;
    Ok((algorithms, vendor_info))
}
