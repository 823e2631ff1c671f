//! The fields of the templates but `ima` (`supported_fields` in `ima_template.c`), and what they are made of
//! (`ima_template_lib.c`): each has a 4-byte little-endian length.
//!
//! * `d-ng`: the algorithm, `:`, NUL, digest; `d-ngv2`: a type and `:` before that; `d-modsig`: as `d-ng`, or empty
//! * `n-ng`: name, NUL
//! * `sig`, `buf`, `modsig`: bytes, or empty

use std::borrow::Cow;

use super::binary::sized;
use super::entry::{FileMeasurement, ShortDigest, Template};
use crate::bytes::{Reader, WrongLength};

/// Type of a digest of a file's content, which templates without types have.
pub(super) const OF_CONTENT: &[u8] = b"ima";

/// A field behind the name.
#[derive(Clone, Copy)]
pub(super) enum Field {
    /// `sig`, `buf` or `modsig`.
    Bytes,
    /// `d-modsig`.
    Digest,
}

/// The fields behind digest and name; `None` for a template that is not made so, or not known.
pub(super) fn behind_name(template: Template<'_>) -> Option<&'static [Field]> {
    match template {
        Template::ImaNg | Template::ImaNgV2 => Some(&[]),
        Template::ImaBuf | Template::ImaSig | Template::ImaSigV2 => Some(&[Field::Bytes]),
        Template::ImaModsig => Some(&[Field::Bytes, Field::Digest, Field::Bytes]),
        Template::Ima | Template::Other(_) => None,
    }
}

/// Whether the digest is a `d-ngv2`.
pub(super) fn has_digest_type(template: Template<'_>) -> bool {
    matches!(template, Template::ImaNgV2 | Template::ImaSigV2)
}

/// Whether what was measured is a file.
pub(super) fn is_of_file(template: Template<'_>) -> bool {
    !matches!(template, Template::ImaBuf | Template::Other(_))
}

/// A digest with what stands before it.
pub(super) struct Digested<'a> {
    /// Type, if there is one, and algorithm, as they stand.
    pub head: &'a [u8],
    pub digest_type: &'a [u8],
    pub algorithm: &'a [u8],
    pub digest: ShortDigest,
}

impl<'a> Digested<'a> {
    /// The bytes of the field.
    pub fn field(&self) -> Vec<u8> {
        [self.head, b":\0", self.digest.as_ref()].concat()
    }

    fn read(field: &'a [u8], has_type: bool) -> Result<Self, WrongLength> {
        let colon = |bytes: &[u8]| bytes.iter().position(|byte| *byte == b':').ok_or(WrongLength);
        let type_len = if has_type { colon(field)? + 1 } else { 0 };
        let (digest_type, behind) = field.split_at_checked(type_len).ok_or(WrongLength)?;
        let algorithm_len = colon(behind)?;
        let (head, digest) = field.split_at_checked(type_len + algorithm_len).ok_or(WrongLength)?;
        let algorithm = behind.get(..algorithm_len).ok_or(WrongLength)?;
        let digest = digest.strip_prefix(b":\0").filter(|digest| !digest.is_empty()).ok_or(WrongLength)?;
        let digest = ShortDigest::new(digest.iter().copied()).ok_or(WrongLength)?;
        let digest_type = digest_type.strip_suffix(b":").unwrap_or(OF_CONTENT);
        Ok(Self { head, digest_type, algorithm, digest })
    }
}

/// Reads the template data of an entry, all of it. `None` if it is no file's, or of a template that is not known.
pub(super) fn read<'a>(
    template: Template<'_>,
    data: &'a [u8],
) -> Result<Option<FileMeasurement<'a>>, WrongLength> {
    let Some(behind_name) = behind_name(template) else { return Ok(None) };
    let mut at = Reader(data);
    let digested = Digested::read(sized(&mut at, usize::MAX)?, has_digest_type(template))?;
    let name = sized(&mut at, usize::MAX)?.strip_suffix(&[0]).ok_or(WrongLength)?;
    let mut signature = None;
    for field in behind_name {
        let bytes = sized(&mut at, usize::MAX)?;
        if matches!(field, Field::Digest) && !bytes.is_empty() {
            Digested::read(bytes, false)?;
        }
        signature.get_or_insert(bytes);
    }
    at.end()?;
    let Digested { head: _, digest_type, algorithm, digest } = digested;
    let signature = Cow::Borrowed(signature.unwrap_or_default());
    Ok(is_of_file(template).then_some(FileMeasurement { digest_type, algorithm, digest, name, signature }))
}

/// The template data that a line of text stands for.
pub(super) fn written(digested: &Digested<'_>, name: &[u8], behind: &[Vec<u8>]) -> Vec<u8> {
    let digested = digested.field();
    let mut data = Vec::with_capacity(digested.len() + name.len() + 9);
    let mut push = |parts: [&[u8]; 2]| {
        // INVARIANT: no field is longer than the log, which is at most [`crate::log::LOG_LEN`].
        let len = u32::try_from(parts.iter().map(|part| part.len()).sum::<usize>()).unwrap_or(u32::MAX);
        data.extend(len.to_le_bytes());
        parts.iter().for_each(|part| data.extend_from_slice(part));
    };
    push([&digested, &[]]);
    push([name, &[0]]);
    behind.iter().for_each(|field| push([field, &[]]));
    data
}
