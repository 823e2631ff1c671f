//! Text that boot loaders measure in another form than they log.

use vouchsafe_crypto::verify::HashAlgorithm;

use super::event::Event;

/// Longest text that is decoded, in bytes as logged; GRUB measures whole menus of some ten KiB.
const TEXT_LEN: usize = 64 * 1024;
/// Longest name of a section of a PE image, in bytes (PE Format, section table).
const SECTION_NAME_LEN: usize = 8;

/// PCR that GRUB measures commands and command lines into.
const PCR_GRUB: u32 = 8;
/// PCR that systemd measures command lines into.
const PCR_KERNEL_CONFIG: u32 = 12;

/// What GRUB puts before the text in the log and not in the hash (`grub_tpm_measure`; the forms without a colon are
/// those of RHEL 8).
const GRUB_PREFIXES: [&[u8]; 5] =
    [b"grub_cmd: ", b"kernel_cmdline: ", b"module_cmdline: ", b"grub_cmd ", b"grub_kernel_cmdline "];

/// Text that the digest of an event covers. Which command it belonged to is the sender's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoveredText {
    /// GRUB's: UTF-8, logged with a prefix and a NUL, hashed without the prefix.
    Grub(String),
    /// systemd-boot's and systemd-stub's: UTF-16LE.
    Systemd(String),
}

impl CoveredText {
    /// The text, without prefix and NUL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Grub(text) | Self::Systemd(text) => text,
        }
    }
}

/// The text of an event of PCR 8 (GRUB, old versions of systemd-boot) or 12 (systemd), if its digest covers one. The
/// text is never guessed: of the bytes in the log a prefix or a NUL is left out, or the NUL put back that old versions
/// of systemd-boot hash and do not log, and the rest must hash to the digest.
pub(super) fn covered_text(event: &Event<'_>, bank: HashAlgorithm) -> Option<CoveredText> {
    let digest = event.digest(bank).filter(|_| event.data.len() <= TEXT_LEN)?;
    let is_hashed = |text: &[u8], nul: &[u8]| {
        bank.hash(&[text]).as_ref() == digest || bank.hash(&[text, nul]).as_ref() == digest
    };
    let systemd = || {
        let text = utf16(event.data).filter(|text| is_hashed(text.bytes, &[0, 0]))?;
        Some(CoveredText::Systemd(text.decoded))
    };
    match event.pcr {
        // What is text in both ways is GRUB's: its own has no NUL bytes, and Latin text in UTF-16 has nothing else.
        PCR_GRUB => grub_text(event.data, is_hashed).or_else(systemd),
        PCR_KERNEL_CONFIG => systemd(),
        _ => None,
    }
}

fn grub_text(data: &[u8], is_hashed: impl Fn(&[u8], &[u8]) -> bool) -> Option<CoveredText> {
    let text = GRUB_PREFIXES.iter().find_map(|prefix| data.strip_prefix(*prefix)).unwrap_or(data);
    let text = text.strip_suffix(&[0]).unwrap_or(text);
    let decoded = std::str::from_utf8(text).ok().filter(|text| !text.contains('\0'))?;
    is_hashed(text, &[0]).then(|| CoveredText::Grub(decoded.to_owned()))
}

/// The name of a section of a unified kernel image: logged in UTF-16LE, hashed in ASCII with a NUL
/// (`TPM2_PCR_MEASUREMENTS.md` of systemd, PCR 11).
pub(super) fn covered_section_name(event: &Event<'_>, bank: HashAlgorithm) -> Option<String> {
    // Nothing longer than a name in UTF-16 with its NUL is decoded at all.
    if event.data.len() > 2 * (SECTION_NAME_LEN + 1) {
        return None;
    }
    let name = utf16(event.data)?.decoded;
    let is_name = name.starts_with('.') && name.is_ascii() && name.len() <= SECTION_NAME_LEN;
    let is_hashed = || Some(bank.hash(&[name.as_bytes(), &[0]]).as_ref()) == event.digest(bank);
    (is_name && is_hashed()).then_some(name)
}

struct Utf16<'a> {
    bytes: &'a [u8],
    decoded: String,
}

/// UTF-16LE without its NUL, of which one byte may be missing.
fn utf16(data: &[u8]) -> Option<Utf16<'_>> {
    let (even, odd) = data.split_at_checked(data.len() & !1)?;
    let bytes = even.strip_suffix(&[0, 0]).unwrap_or(even);
    if bytes.is_empty() || !matches!(odd, [] | [0]) {
        return None;
    }
    let (units, _) = bytes.as_chunks::<2>();
    let decoded = char::decode_utf16(units.iter().map(|unit| u16::from_le_bytes(*unit)));
    let decoded = decoded.collect::<Result<String, _>>().ok().filter(|text| !text.contains('\0'))?;
    Some(Utf16 { bytes, decoded })
}
