//! `ascii_runtime_measurements`: a line per entry, `PCR template-hash template digest name`, and
//! what fields the template has behind the name.

use std::borrow::Cow;

use super::entry::{Entry, FileMeasurement, ShortDigest, Template, TemplateData};
use super::error::ImaError;
use super::fields::{self, Digested, Field};
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
    let pcr = pcr.ok_or_else(malformed)?;
    let (hash, rest) = word(rest).ok_or_else(malformed)?;
    let (template, rest) = word(rest).ok_or_else(malformed)?;
    let template = Template::named(template);
    let template_hash = hex_digest(hash).ok_or_else(malformed)?;
    let (digest, rest) = word(rest).ok_or_else(malformed)?;
    let entry = |file, data| Entry { number, pcr, template, template_hash, file, data };
    if template == Template::Ima {
        let file = FileMeasurement {
            digest_type: fields::OF_CONTENT,
            algorithm: b"sha1",
            digest: hex_digest(digest).ok_or_else(malformed)?,
            name: rest,
            signature: Cow::Borrowed(&[]),
        };
        return Ok(entry(Some(file), TemplateData::Old));
    }
    let behind_name = fields::behind_name(template).ok_or(ImaError::Template { number })?;
    let digested = digested(digest, fields::has_digest_type(template)).ok_or_else(malformed)?;
    let read = |name: &'a [u8], behind: &[Vec<u8>]| {
        let data = fields::written(&digested, name, behind);
        let file = FileMeasurement {
            digest_type: digested.digest_type,
            algorithm: digested.algorithm,
            digest: digested.digest,
            name,
            signature: Cow::Owned(behind.first().cloned().unwrap_or_default()),
        };
        entry(fields::is_of_file(template).then_some(file), TemplateData::Fields(Cow::Owned(data)))
    };
    // The name of a file may hold spaces, and the spaces before empty fields at the end may be cut off, so where it ends
    // cannot be seen: the template hash tells. Of the ways to read the rest of the line, with all the fields behind the
    // name down to none, the first that hashes right is taken, and if none does, the entry is refused later.
    let mut split = (0..=behind_name.len()).rev().filter_map(|present| {
        let (name, mut behind) = split_fields(rest, behind_name.get(..present)?)?;
        behind.resize(behind_name.len(), Vec::new());
        Some(read(name, &behind))
    });
    let is_right = |split: &Entry<'_>| split.is_violation() || split.has_right_template_hash();
    Ok(split.find(is_right).unwrap_or_else(|| read(rest, &vec![Vec::new(); behind_name.len()])))
}

/// The name and the fields behind it, an empty one of which still has a space before it.
fn split_fields<'a>(rest: &'a [u8], fields: &[Field]) -> Option<(&'a [u8], Vec<Vec<u8>>)> {
    let mut parts = rest.rsplitn(fields.len() + 1, |byte| *byte == b' ');
    let mut behind = Vec::with_capacity(fields.len());
    for field in fields.iter().rev() {
        let text = parts.next()?;
        behind.push(match field {
            Field::Digest if !text.is_empty() => digested(text, false)?.field(),
            Field::Bytes | Field::Digest => hex(text)?.collect(),
        });
    }
    behind.reverse();
    Some((parts.next()?, behind))
}

/// `algorithm:digest`, or `type:algorithm:digest`.
fn digested(text: &[u8], has_type: bool) -> Option<Digested<'_>> {
    let (head, digest) = split_last_colon(text)?;
    let (digest_type, algorithm) =
        if has_type { split_last_colon(head)? } else { (fields::OF_CONTENT, head) };
    if digest_type.contains(&b':') || algorithm.contains(&b':') {
        return None;
    }
    Some(Digested { head, digest_type, algorithm, digest: hex_digest(digest)? })
}

fn split_last_colon(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (before, after) = text.split_at_checked(text.iter().rposition(|byte| *byte == b':')?)?;
    Some((before, after.strip_prefix(b":")?))
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
