//! `[release.NAME]`: a dated set of reference values, with its end.

use std::collections::BTreeMap;

use vouchsafe_protocol::policy::{Expiry, LaunchDigest, ReferenceValue};
use vouchsafe_protocol::policy_check::check_pcr_index;

use crate::policy::error::{CompileError, Reason};
use crate::policy::reader::{Entry, Table};

/// Reference values that were published together.
pub(super) struct Release {
    /// Launch digests.
    pub(super) snp: Vec<LaunchDigest>,
    /// Values by PCR.
    pub(super) pcrs: BTreeMap<u8, Vec<[u8; 32]>>,
    expiry: Expiry,
}

impl Release {
    /// Values of this release, with its end.
    pub(super) fn dated<T: Copy>(&self, values: &[T]) -> Vec<ReferenceValue<T>> {
        values.iter().map(|value| ReferenceValue { value: *value, expiry: self.expiry }).collect()
    }
}

/// Reads one. A value holds to the end, in UTC, of the day that `expires` names, and then for the `grace` with a
/// warning; without `expires` it holds until policy changes.
pub(super) fn read(table: &mut Table<'_>) -> Result<Release, CompileError> {
    let date = table.required("date", "when these values were published, YYYY-MM-DD")?.date()?;
    if let Some(source) = table.optional("source") {
        source.text()?;
    }
    let expires = table.optional("expires");
    let grace = table.optional("grace");
    let expiry = match (expires, grace) {
        (None, None) => Expiry::Never,
        (None, Some(grace)) => return Err(grace.fail(Reason::GraceWithoutExpiry)),
        (Some(expires), grace) => {
            let day = expires.date()?;
            if day < date {
                return Err(expires.fail(Reason::ExpiresBeforeDate));
            }
            let grace_secs = grace.map_or(Ok(0), |grace| grace.duration())?;
            Expiry::At { expires_unix_secs: day.end_unix_secs(), grace_secs }
        }
    };
    let snp = match table.optional("snp") {
        Some(list) => list.parse_list()?,
        None => Vec::new(),
    };
    let mut pcrs = BTreeMap::new();
    if let Some(section) = table.optional("pcr") {
        for entry in section.table()?.entries() {
            pcrs.insert(pcr_index(&entry)?, entry.item.parse_list()?);
        }
    }
    Ok(Release { snp, pcrs, expiry })
}

/// Each value once: what several releases share holds, and has its grace, as long as in any of them. Values keep
/// the order in which they were first named.
pub(super) fn merged<T: Copy + Ord>(
    values: impl IntoIterator<Item = ReferenceValue<T>>,
) -> Vec<ReferenceValue<T>> {
    let mut places: BTreeMap<T, usize> = BTreeMap::new();
    let mut kept: Vec<ReferenceValue<T>> = Vec::new();
    for ReferenceValue { value, expiry } in values {
        let place = *places.entry(value).or_insert(kept.len());
        match kept.get_mut(place) {
            Some(known) => known.expiry = longer(known.expiry, expiry),
            None => kept.push(ReferenceValue { value, expiry }),
        }
    }
    kept
}

fn longer(one: Expiry, other: Expiry) -> Expiry {
    let (
        Expiry::At { expires_unix_secs: first, grace_secs: first_grace },
        Expiry::At { expires_unix_secs: second, grace_secs: second_grace },
    ) = (one, other)
    else {
        return Expiry::Never;
    };
    let end = |expires: u64, grace: u32| expires.saturating_add(u64::from(grace));
    let expires_unix_secs = first.max(second);
    let grace = end(first, first_grace).max(end(second, second_grace)).saturating_sub(expires_unix_secs);
    // At most the longer of two u32.
    Expiry::At { expires_unix_secs, grace_secs: u32::try_from(grace).unwrap_or(u32::MAX) }
}

/// A PCR index as a key, in its one form, and one that may be trusted (T3).
pub(in crate::policy) fn pcr_index(entry: &Entry<'_>) -> Result<u8, CompileError> {
    let index = entry.key.parse().ok().filter(|index: &u8| index.to_string() == entry.key);
    let index =
        index.ok_or_else(|| entry.fail(Reason::Value { expected: "a PCR index, 0 to 15, as key" }))?;
    check_pcr_index(index).map_err(|error| entry.fail(Reason::Accept(error)))?;
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(expires_unix_secs: u64, grace_secs: u32) -> Expiry {
        Expiry::At { expires_unix_secs, grace_secs }
    }

    #[test]
    fn a_shared_value_holds_as_long_as_in_any_release() {
        assert_eq!(longer(at(10, 5), Expiry::Never), Expiry::Never);
        assert_eq!(longer(Expiry::Never, at(10, 5)), Expiry::Never);
        assert_eq!(longer(at(10, 5), at(20, 0)), at(20, 0));
        assert_eq!(longer(at(10, 15), at(20, 0)), at(20, 5));
        assert_eq!(longer(at(20, 1), at(10, 0)), at(20, 1));
        let value = |value: u8, expiry| ReferenceValue { value, expiry };
        let both = merged([value(2, at(10, 0)), value(1, at(5, 0)), value(2, at(30, 0))]);
        assert_eq!(both, [value(2, at(30, 0)), value(1, at(5, 0))]);
    }
}
