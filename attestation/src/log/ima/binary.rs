//! `binary_runtime_measurements`, little-endian: PCR, 20-byte template hash, name of the template with its length, and
//! the template data.

use std::borrow::Cow;

use super::entry::{Entry, FileMeasurement, ShortDigest, Template, TemplateData};
use super::error::ImaError;
use super::fields;
use crate::bytes::{Reader, WrongLength};
use crate::log::PCR_COUNT;

/// Longest name of a template in bytes (TEMPLATE_NAME_LEN_MAX is 255 in the kernel; formats may stand in its place).
const TEMPLATE_NAME_LEN: usize = 255;
/// Longest name in template `ima` (IMA_EVENT_NAME_LEN_MAX).
const OLD_NAME_LEN: usize = 255;

/// Reads one record.
pub(super) fn read_record<'a>(at: &mut Reader<'a>, number: u32) -> Result<Entry<'a>, ImaError> {
    let malformed = |_: WrongLength| ImaError::Malformed { number };
    let pcr = at.u32_le().map_err(malformed)?;
    let pcr = u8::try_from(pcr).ok().filter(|pcr| *pcr < PCR_COUNT).ok_or(ImaError::Malformed { number })?;
    let hash = at.array::<20>().map_err(malformed)?;
    let template_hash = ShortDigest::new(hash.into_iter()).ok_or(ImaError::Malformed { number })?;
    let name = sized(at, TEMPLATE_NAME_LEN).map_err(malformed)?;
    let template = Template::named(name);
    let (file, data) = if template == Template::Ima {
        (Some(old_file(at).map_err(malformed)?), TemplateData::Old)
    } else {
        let data = sized(at, usize::MAX).map_err(malformed)?;
        (fields::read(template, data).map_err(malformed)?, TemplateData::Fields(Cow::Borrowed(data)))
    };
    Ok(Entry { number, pcr, template, template_hash, file, data })
}

/// Template `ima`: a digest without a length, a name without a NUL.
fn old_file<'a>(at: &mut Reader<'a>) -> Result<FileMeasurement<'a>, WrongLength> {
    let digest = ShortDigest::new(at.array::<20>()?.into_iter()).ok_or(WrongLength)?;
    Ok(FileMeasurement {
        digest_type: fields::OF_CONTENT,
        algorithm: b"sha1",
        digest,
        name: sized(at, OLD_NAME_LEN)?,
        signature: Cow::Borrowed(&[]),
    })
}

/// A 4-byte little-endian length of at most `longest`, and that many bytes.
pub(super) fn sized<'a>(at: &mut Reader<'a>, longest: usize) -> Result<&'a [u8], WrongLength> {
    let len = usize::try_from(at.u32_le()?).map_err(|_| WrongLength)?;
    if len > longest { Err(WrongLength) } else { at.take(len) }
}
