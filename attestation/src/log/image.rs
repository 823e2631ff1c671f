//! UEFI_IMAGE_LOAD_EVENT (PC Client Platform Firmware Profile 1.06, section 10.2.3): little-endian. The event's digest is
//! the Authenticode hash of the image; none of this is covered by it.

use crate::bytes::Reader;

/// Device path node of a file (UEFI 2.10, section 10.3.5.4): its type and sub-type, and the end of a path.
const MEDIA_FILE_PATH: [u8; 2] = [4, 4];
const END: u8 = 0x7f;
/// Longest device path that is looked through for showing, in bytes.
const SHOWN_LEN: usize = 4096;

/// Where an image was loaded from, by the sender's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageLoad<'a> {
    /// Length of the image in memory, in bytes.
    pub image_len: u64,
    /// EFI_DEVICE_PATH_PROTOCOL, or whatever stands in its place.
    pub device_path: &'a [u8],
}

impl<'a> ImageLoad<'a> {
    /// Parses the data of an event. What follows the device path is ignored, as boot loaders put padding there.
    #[must_use]
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        let mut at = Reader(data);
        let (_location, image_len, _link_time_address) =
            (at.u64_le().ok()?, at.u64_le().ok()?, at.u64_le().ok()?);
        let path_len = usize::try_from(at.u64_le().ok()?).ok()?;
        Some(Self { image_len, device_path: at.take(path_len).ok()? })
    }

    /// The file names in the device path, for showing; empty where there is none, or the path is very long.
    #[must_use]
    pub fn file_path(&self) -> String {
        let mut at = Reader(if self.device_path.len() > SHOWN_LEN { &[] } else { self.device_path });
        let mut path = String::new();
        while let Ok([kind, sub_kind, len0, len1]) = at.array() {
            // The length counts its own four bytes, so the loop ends.
            let len = usize::from(u16::from_le_bytes([len0, len1]));
            let Some(node) = len.checked_sub(4).and_then(|len| at.take(len).ok()) else { break };
            if kind == END {
                break;
            }
            if [kind, sub_kind] == MEDIA_FILE_PATH {
                let (units, _) = node.as_chunks::<2>();
                let units = units.iter().map(|unit| u16::from_le_bytes(*unit)).take_while(|unit| *unit != 0);
                path.extend(
                    char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)),
                );
            }
        }
        path
    }
}
