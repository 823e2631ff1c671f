//! The certificate table that a host hands to its guests (AMD 56421, GHCB specification 2.03, section 4.1.8.1).
//!
//! Who controls it: the host. It is a table of entries (GUID of 16 bytes, offset and length of 4 bytes each,
//! little-endian), ended by an entry of zeros; offsets count from the start of the table. Only public
//! certificates are in it, and the verifier checks them; here only the form is checked, strictly (S16).

use vouchsafe_protocol::limits::CERTIFICATE_LEN;

/// Largest table in bytes: the kernel's own limit (`SEV_FW_BLOB_MAX_SIZE`).
pub const TABLE_LEN: usize = 16 * 1024;
/// Entries accepted; five kinds are known.
const MAX_ENTRIES: usize = 16;
/// Bytes of an entry.
const ENTRY_LEN: usize = 24;

/// GUIDs, most significant byte first.
const VCEK: [u8; 16] = 0x63da_758d_e664_4564_adc5_f4b9_3be8_accd_u128.to_be_bytes();
const VLEK: [u8; 16] = 0xa807_4bc2_a25a_483e_aae6_39c0_45a0_b8a1_u128.to_be_bytes();
const ASK: [u8; 16] = 0x4ab7_b379_bbac_4fe4_a02f_05ae_f327_c782_u128.to_be_bytes();
const CRL: [u8; 16] = 0x92f8_1bc3_5811_4d3d_97ff_d19f_88dc_67ea_u128.to_be_bytes();

/// Why bytes are not a certificate table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertTableError {
    /// A GUID occurs twice.
    #[error("a certificate is given twice")]
    Duplicate,
    /// A certificate begins inside the table of entries, or ends beyond the bytes.
    #[error("a certificate lies outside the table")]
    OutOfRange,
    /// Two certificates share bytes.
    #[error("two certificates overlap")]
    Overlap,
    /// A certificate is empty or longer than [`CERTIFICATE_LEN`]; a revocation list, than [`TABLE_LEN`].
    #[error("a certificate has {len} bytes")]
    CertificateLength {
        /// Length in bytes.
        len: usize,
    },
    /// Longer than [`TABLE_LEN`].
    #[error("the table has {len} bytes")]
    TooLong {
        /// Length in bytes.
        len: usize,
    },
    /// More entries than 16.
    #[error("the table has too many entries")]
    TooManyEntries,
    /// The entry of zeros that ends the table is missing or cut.
    #[error("the table has no end")]
    Unterminated,
}

/// A table of the right form. Empty when the host gives none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertTable<'a> {
    certificates: Vec<([u8; 16], &'a [u8])>,
}

impl<'a> CertTable<'a> {
    /// Parses a table. No bytes at all are an empty table.
    ///
    /// # Errors
    /// [`CertTableError`], one variant per rule.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, CertTableError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        // 1. Not longer than the kernel allows.
        if bytes.len() > TABLE_LEN {
            return Err(CertTableError::TooLong { len: bytes.len() });
        }
        // 2. Entries up to one of zeros.
        let entries = entries(bytes)?;
        // 3. Each certificate lies behind the entries and within the bytes.
        let first_free = (entries.len() + 1) * ENTRY_LEN;
        let mut certificates: Vec<([u8; 16], &[u8])> = Vec::with_capacity(entries.len());
        let mut ranges: Vec<(usize, usize)> = Vec::with_capacity(entries.len());
        for Entry { guid, offset, len } in entries {
            // 4. Of a length that a certificate has, or a revocation list in such a table.
            let most = if guid == CRL { TABLE_LEN } else { CERTIFICATE_LEN };
            if !(1..=most).contains(&len) {
                return Err(CertTableError::CertificateLength { len });
            }
            let end = offset.checked_add(len).ok_or(CertTableError::OutOfRange)?;
            let certificate = bytes.get(offset..end).ok_or(CertTableError::OutOfRange)?;
            if offset < first_free {
                return Err(CertTableError::OutOfRange);
            }
            // 5. Once per GUID. 6. Sharing no byte with another.
            if certificates.iter().any(|(other, _)| *other == guid) {
                return Err(CertTableError::Duplicate);
            }
            if ranges.iter().any(|&(from, to)| offset < to && from < end) {
                return Err(CertTableError::Overlap);
            }
            ranges.push((offset, end));
            certificates.push((guid, certificate));
        }
        Ok(Self { certificates })
    }

    /// DER of the VCEK.
    #[must_use]
    pub fn vcek(&self) -> Option<&'a [u8]> {
        self.get(&VCEK)
    }

    /// DER of the VLEK.
    #[must_use]
    pub fn vlek(&self) -> Option<&'a [u8]> {
        self.get(&VLEK)
    }

    /// DER of the ASK, or of the ASVK beside a VLEK. (An ARK in the table is not looked at: evidence never
    /// supplies a root.)
    #[must_use]
    pub fn ask(&self) -> Option<&'a [u8]> {
        self.get(&ASK)
    }

    /// DER of the revocation list of the product's root.
    #[must_use]
    pub fn crl(&self) -> Option<&'a [u8]> {
        self.get(&CRL)
    }

    fn get(&self, guid: &[u8; 16]) -> Option<&'a [u8]> {
        self.certificates.iter().find(|(other, _)| other == guid).map(|(_, certificate)| *certificate)
    }
}

struct Entry {
    guid: [u8; 16],
    offset: usize,
    len: usize,
}

fn entries(bytes: &[u8]) -> Result<Vec<Entry>, CertTableError> {
    let mut entries = Vec::new();
    for entry in bytes.chunks(ENTRY_LEN) {
        let entry: &[u8; ENTRY_LEN] = entry.try_into().map_err(|_| CertTableError::Unterminated)?;
        if entry == &[0; ENTRY_LEN] {
            return Ok(entries);
        }
        if entries.len() == MAX_ENTRIES {
            return Err(CertTableError::TooManyEntries);
        }
        let (guid, rest) = entry.split_first_chunk::<16>().ok_or(CertTableError::Unterminated)?;
        let (offset, rest) = rest.split_first_chunk::<4>().ok_or(CertTableError::Unterminated)?;
        let (len, _) = rest.split_first_chunk::<4>().ok_or(CertTableError::Unterminated)?;
        let number = |bytes: [u8; 4]| usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX);
        entries.push(Entry { guid: *guid, offset: number(*offset), len: number(*len) });
    }
    Err(CertTableError::Unterminated)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds a table of entries as given; certificates follow the entries.
    fn table(entries: &[([u8; 16], u32, u32)], certificates: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (guid, offset, len) in entries {
            bytes.extend_from_slice(guid);
            bytes.extend_from_slice(&offset.to_le_bytes());
            bytes.extend_from_slice(&len.to_le_bytes());
        }
        bytes.extend_from_slice(&[0; ENTRY_LEN]);
        bytes.extend_from_slice(certificates);
        bytes
    }

    /// VCEK "vcek" and ASK "ask" behind three entries.
    fn good() -> Vec<u8> {
        table(&[(VCEK, 72, 4), (ASK, 76, 3)], b"vcekask")
    }

    #[test]
    fn certificates_are_found_by_guid_whatever_follows() {
        let bytes = [good(), vec![0; 100]].concat();
        let table = CertTable::parse(&bytes).unwrap();
        assert_eq!(table.vcek(), Some(&b"vcek"[..]));
        assert_eq!(table.ask(), Some(&b"ask"[..]));
        assert_eq!(table.vlek(), None);
        assert_eq!(CertTable::parse(&[]), Ok(CertTable::default()));
        assert_eq!(CertTable::parse(&[0; 4096]), Ok(CertTable::default()));
    }

    #[test]
    fn guids_are_those_of_the_specification() {
        assert_eq!(VCEK[..4], [0x63, 0xda, 0x75, 0x8d]);
        assert_eq!(VLEK[..4], [0xa8, 0x07, 0x4b, 0xc2]);
        assert_eq!(ASK[..4], [0x4a, 0xb7, 0xb3, 0x79]);
        assert_eq!(CRL[..4], [0x92, 0xf8, 0x1b, 0xc3]);
    }

    #[test]
    fn s16_every_truncation_is_refused() {
        let bytes = good();
        for len in 1..bytes.len() {
            let error = CertTable::parse(&bytes[..len]).unwrap_err();
            let expected = if len < 72 { CertTableError::Unterminated } else { CertTableError::OutOfRange };
            assert_eq!(error, expected, "{len} bytes");
        }
    }

    #[test]
    fn s16_an_over_long_table_is_refused() {
        let bytes = [good(), vec![0; TABLE_LEN]].concat();
        assert_eq!(CertTable::parse(&bytes), Err(CertTableError::TooLong { len: bytes.len() }));
    }

    #[test]
    fn s16_a_certificate_outside_the_table_is_refused() {
        for (offset, len) in [(47, 4), (0, 4), (49, 4), (u32::MAX, 1), (u32::MAX, 8)] {
            let bytes = table(&[(VCEK, offset, len)], b"vcek");
            assert_eq!(CertTable::parse(&bytes), Err(CertTableError::OutOfRange), "{offset} {len}");
        }
    }

    #[test]
    fn s16_impossible_certificate_lengths_are_refused() {
        for len in [0, 8193, u32::MAX] {
            let bytes = table(&[(VCEK, 48, len)], &[1; 9000]);
            let len = usize::try_from(len).unwrap();
            assert_eq!(CertTable::parse(&bytes), Err(CertTableError::CertificateLength { len }));
        }
    }

    #[test]
    fn s16_a_revocation_list_may_fill_the_table_and_no_more() {
        let len = TABLE_LEN - 48;
        let bytes = table(&[(CRL, 48, u32::try_from(len).unwrap())], &vec![7; len]);
        assert_eq!(CertTable::parse(&bytes).unwrap().crl(), Some(&vec![7; len][..]));
        let len = TABLE_LEN + 1;
        let bytes = table(&[(CRL, 48, u32::try_from(len).unwrap())], &[7; 100]);
        assert_eq!(CertTable::parse(&bytes), Err(CertTableError::CertificateLength { len }));
        let bytes = table(&[(CRL, 48, 0)], &[7; 100]);
        assert_eq!(CertTable::parse(&bytes), Err(CertTableError::CertificateLength { len: 0 }));
    }

    #[test]
    fn s16_overlapping_certificates_are_refused() {
        for (offset, len) in [(72, 4), (75, 3), (71 + 2, 1)] {
            let bytes = table(&[(VCEK, 72, 4), (ASK, offset, len)], b"vcekask");
            assert_eq!(CertTable::parse(&bytes), Err(CertTableError::Overlap), "{offset} {len}");
        }
    }

    #[test]
    fn s16_duplicate_certificates_are_refused() {
        let bytes = table(&[(VCEK, 72, 4), (VCEK, 76, 3)], b"vcekask");
        assert_eq!(CertTable::parse(&bytes), Err(CertTableError::Duplicate));
    }

    #[test]
    fn s16_too_many_entries_are_refused() {
        let entry = |index: u8| ([index + 1; 16], 24 * 18 + u32::from(index), 1);
        let entries: Vec<_> = (0..17).map(entry).collect();
        assert_eq!(CertTable::parse(&table(&entries, &[1; 17])), Err(CertTableError::TooManyEntries));
    }
}
