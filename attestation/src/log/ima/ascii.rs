//! `ascii_runtime_measurements`: a line per entry, `PCR template-hash template digest name [signature]`.

use std::borrow::Cow;

use super::entry::{Entry, FileMeasurement, ShortDigest, Template, TemplateData};
use super::error::ImaError;
use crate::bytes::Reader;
use crate::log::PCR_COUNT;

/// Reads one line and its line feed; the last line may lack it.
pub(super) fn read_line<'a>(at: &mut Reader<'a>, number: u32) -> Result<Entry<'a>, ImaError> {
    let mut parts = at.0.splitn(2, |byte| *byte == b'\n');
    let line = parts.next().unwrap_or_default();
    *at = Reader(parts.next().unwrap_or_default());
    let malformed = || ImaError::Malformed { number };
    // A PCR below 10 is printed with a space before it.
    let line = line.strip_prefix(b" ").unwrap_or(line);
    let (pcr, rest) = word(line).ok_or_else(malformed)?;
    let pcr = std::str::from_utf8(pcr).ok().and_then(|pcr| pcr.parse().ok()).filter(|pcr| *pcr < PCR_COUNT);
    let (hash, rest) = word(rest).ok_or_else(malformed)?;
    let (template, rest) = word(rest).ok_or_else(malformed)?;
    let template = Template::named(template);
    let (digest, rest) = word(rest).ok_or_else(malformed)?;
    let (algorithm, digest, data) = match template {
        Template::Ima => (&b"sha1"[..], digest, TemplateData::Old),
        Template::ImaNg | Template::ImaSig => {
            let colon = digest.iter().position(|byte| *byte == b':').ok_or_else(malformed)?;
            let (algorithm, digest) = digest.split_at_checked(colon).ok_or_else(malformed)?;
            (algorithm, digest.strip_prefix(b":").unwrap_or_default(), TemplateData::Text)
        }
        Template::Other(_) => return Err(ImaError::Template { number }),
    };
    let file = FileMeasurement {
        algorithm,
        digest: hex_digest(digest).ok_or_else(malformed)?,
        name: rest,
        signature: Cow::Borrowed(&[]),
    };
    let entry = Entry {
        number,
        pcr: pcr.ok_or_else(malformed)?,
        template,
        template_hash: hex_digest(hash).ok_or_else(malformed)?,
        file: Some(file),
        data,
    };
    Ok(if template == Template::ImaSig { split_signature(entry) } else { entry })
}

/// The name of a file may hold spaces, so where it ends cannot be seen: the template hash tells. Of the two ways to
/// read the rest of the line the one that hashes right is taken, and if neither does, the entry is refused later.
fn split_signature(entry: Entry<'_>) -> Entry<'_> {
    let Some(file) = entry.file.clone() else { return entry };
    let Some(space) = file.name.iter().rposition(|byte| *byte == b' ') else { return entry };
    let Some((name, signature)) = file.name.split_at_checked(space) else { return entry };
    // Without a signature the line ends with a space.
    let Some(signature) = signature.strip_prefix(b" ").and_then(hex) else { return entry };
    let split = Entry {
        file: Some(FileMeasurement { name, signature: Cow::Owned(signature.collect()), ..file }),
        ..entry.clone()
    };
    if !split.is_violation() && !split.has_right_template_hash() { entry } else { split }
}

/// The bytes up to a space, and those behind it.
fn word(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = line.iter().position(|byte| *byte == b' ')?;
    let (word, rest) = line.split_at_checked(space)?;
    (!word.is_empty()).then_some((word, rest.strip_prefix(b" ")?))
}

fn hex_digest(text: &[u8]) -> Option<ShortDigest> {
    hex(text).filter(|bytes| bytes.len() > 0).and_then(ShortDigest::new)
}

/// The bytes that lower-case hexadecimal digits stand for.
fn hex(text: &[u8]) -> Option<impl ExactSizeIterator<Item = u8> + use<'_>> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let (pairs, odd) = text.as_chunks::<2>();
    if !odd.is_empty() || !text.iter().all(|byte| digit(*byte).is_some()) {
        return None;
    }
    Some(
        pairs
            .iter()
            .map(move |[high, low]| digit(*high).unwrap_or_default() << 4 | digit(*low).unwrap_or_default()),
    )
}
