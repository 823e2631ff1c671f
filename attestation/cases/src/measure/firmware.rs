//! What a firmware volume says of itself: OVMF's table of GUIDs before its last 32 bytes, and the SEV metadata that it
//! points to (edk2, OvmfPkg/ResetVector/X64/OvmfSevMetadata.asm). Little-endian.
//!
//! Whoever made the file controls every byte of it.

/// Largest firmware volume in bytes: what fits below 4 GiB on a PC.
pub const FIRMWARE_LEN: usize = 16 * 1024 * 1024;
/// Largest section of the metadata in bytes; OVMF's have at most 64 KiB. Bounds the hashes that a crafted volume
/// can cause.
const SECTION_LEN: u32 = 16 * 1024 * 1024;
/// Most sections; OVMF has under ten.
const SECTIONS: u32 = 64;
/// Bytes behind the table.
const TAIL: usize = 32;
/// Length and GUID at the end of each entry.
const ENTRY: usize = 18;
const FOUR_GIB: u64 = 1 << 32;

const FOOTER: [u8; 16] =
    [0xde, 0x82, 0xb5, 0x96, 0xb2, 0x1f, 0xf7, 0x45, 0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d];
const RESET_BLOCK: [u8; 16] =
    [0xde, 0x71, 0xf7, 0x00, 0x7e, 0x1a, 0xcb, 0x4f, 0x89, 0x0e, 0x68, 0xc7, 0x7e, 0x2f, 0xb4, 0x4e];
const HASH_TABLE: [u8; 16] =
    [0x1f, 0x37, 0x55, 0x72, 0x3b, 0x3a, 0x04, 0x4b, 0x92, 0x7b, 0x1d, 0xa6, 0xef, 0xa8, 0xd4, 0x54];
const METADATA: [u8; 16] =
    [0x66, 0x65, 0x88, 0xdc, 0x4a, 0x98, 0x98, 0x47, 0xa7, 0x5e, 0x55, 0x85, 0xa7, 0xbf, 0x67, 0xcc];

/// Why bytes are not a firmware that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FirmwareError {
    /// The table is not where it should be, or does not add up.
    #[error("firmware has no table of GUIDs before its last 32 bytes")]
    Footer,
    /// Nothing, or more than 16 MiB.
    #[error("firmware of {len} bytes is not between 1 byte and 16 MiB")]
    Length {
        /// Length in bytes.
        len: usize,
    },
    /// The SEV metadata is missing or does not add up.
    #[error("firmware has no readable SEV metadata")]
    Metadata,
    /// A section of another kind.
    #[error("firmware's SEV metadata has a section of the unknown type {kind:#x}")]
    Section {
        /// Type.
        kind: u32,
    },
    /// A section is larger than 16 MiB.
    #[error("a section of the firmware's SEV metadata has {len} bytes")]
    SectionLength {
        /// Length in bytes.
        len: u32,
    },
}

/// A firmware volume, its tables read.
#[derive(Clone, Debug)]
pub struct Firmware {
    bytes: Vec<u8>,
    sections: Vec<Section>,
    reset_vector: Option<u32>,
    hashes_address: u32,
}

/// A part of memory that the firmware asks the machine monitor to prepare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) address: u32,
    pub(crate) len: u32,
    pub(crate) kind: SectionKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SectionKind {
    Cpuid,
    KernelHashes,
    Memory,
    Secrets,
    SvsmCaa,
}

impl Firmware {
    /// Reads the tables of a volume.
    ///
    /// # Errors
    /// [`FirmwareError`].
    pub fn parse(bytes: Vec<u8>) -> Result<Self, FirmwareError> {
        let len = bytes.len();
        if !(1..=FIRMWARE_LEN).contains(&len) {
            return Err(FirmwareError::Length { len });
        }
        let table = table(&bytes).ok_or(FirmwareError::Footer)?;
        let entry = |guid: &[u8; 16]| -> Result<Option<u32>, FirmwareError> {
            match find(table, guid).ok_or(FirmwareError::Footer)? {
                None => Ok(None),
                Some(data) => data
                    .first_chunk()
                    .map(|first| Some(u32::from_le_bytes(*first)))
                    .ok_or(FirmwareError::Footer),
            }
        };
        let (reset_vector, hashes_address) = (entry(&RESET_BLOCK)?, entry(&HASH_TABLE)?);
        let from_end = entry(&METADATA)?.ok_or(FirmwareError::Metadata)?;
        let sections = sections(&bytes, from_end)?;
        Ok(Self { sections, reset_vector, hashes_address: hashes_address.unwrap_or(0), bytes })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where it begins: it ends at 4 GiB.
    pub(crate) fn address(&self) -> u64 {
        FOUR_GIB - u64::try_from(self.bytes.len()).unwrap_or(0)
    }

    pub(crate) fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// Where further processors begin.
    pub(crate) fn reset_vector(&self) -> Option<u32> {
        self.reset_vector
    }

    /// Where the hashes of a kernel go.
    pub(crate) fn hashes_address(&self) -> u32 {
        self.hashes_address
    }
}

/// The entries of the table, each ending in its length (with itself) and its GUID; the last one is the footer's,
/// whose length is that of the whole table.
fn table(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.get(..bytes.len().checked_sub(TAIL)?)?;
    let (rest, guid) = rest.split_last_chunk::<16>()?;
    let (rest, len) = rest.split_last_chunk::<2>()?;
    let len = usize::from(u16::from_le_bytes(*len)).checked_sub(ENTRY)?;
    (*guid == FOOTER).then_some(rest)?.get(rest.len().checked_sub(len)?..)
}

/// The data of the last entry with a GUID, if there is one; the outer `None` if the table does not add up.
fn find<'a>(mut table: &'a [u8], wanted: &[u8; 16]) -> Option<Option<&'a [u8]>> {
    while let Some((rest, guid)) = table.split_last_chunk::<16>() {
        let (rest, len) = rest.split_last_chunk::<2>()?;
        let start = rest.len().checked_sub(usize::from(u16::from_le_bytes(*len)).checked_sub(ENTRY)?)?;
        let (before, data) = rest.split_at_checked(start)?;
        if guid == wanted {
            return Some(Some(data));
        }
        table = before;
    }
    Some(None)
}

/// Header ("ASEV", length, version 1, count) and sections (address, length, type).
fn sections(bytes: &[u8], from_end: u32) -> Result<Vec<Section>, FirmwareError> {
    let mut words = usize::try_from(from_end)
        .ok()
        .and_then(|from_end| bytes.get(bytes.len().checked_sub(from_end)?..))
        .ok_or(FirmwareError::Metadata)?
        .chunks_exact(4)
        .map(|word| word.iter().rev().fold(0u32, |value, byte| value << 8 | u32::from(*byte)));
    let mut word = || words.next().ok_or(FirmwareError::Metadata);
    let (signature, _len, version, count) = (word()?, word()?, word()?, word()?);
    if signature != u32::from_le_bytes(*b"ASEV") || version != 1 || count > SECTIONS {
        return Err(FirmwareError::Metadata);
    }
    (0..count)
        .map(|_| {
            let (address, len, kind) = (word()?, word()?, word()?);
            if len > SECTION_LEN {
                return Err(FirmwareError::SectionLength { len });
            }
            let kind = match kind {
                1 => SectionKind::Memory,
                2 => SectionKind::Secrets,
                3 => SectionKind::Cpuid,
                4 => SectionKind::SvsmCaa,
                0x10 => SectionKind::KernelHashes,
                kind => return Err(FirmwareError::Section { kind }),
            };
            Ok(Section { address, len, kind })
        })
        .collect()
}
