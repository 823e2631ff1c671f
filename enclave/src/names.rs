//! Pages of names, for every engine whose things lie below paths.

use std::collections::BTreeMap;
use std::ops::Bound;

use vouchsafe_protocol::limits::LIST_PAGE;
use vouchsafe_protocol::path::Path;
use vouchsafe_protocol::refusal::RefusalCode;

/// One page of the names directly below a prefix, and whether there are more; `/` ends those that have more below. At
/// most `limit` of them, and [`LIST_PAGE`]; 0 for as many as that. A whole subtree costs one step, so the work is bounded
/// by the names that are given, whatever lies below them.
pub(crate) fn page<T>(
    map: &BTreeMap<Box<str>, T>,
    prefix: &Path,
    after: Option<&str>,
    limit: u16,
) -> Result<(Vec<String>, bool), RefusalCode> {
    let limit = if limit == 0 { LIST_PAGE } else { usize::from(limit).min(LIST_PAGE) };
    let below = format!("{prefix}/");
    let end = format!("{prefix}0"); // '0' is the byte after '/'
    let mut from = match after {
        None => Bound::Included(below.clone()),
        Some(name) => {
            // In one form only, as the vault gave it (V1).
            let segment: Path =
                name.strip_suffix('/').unwrap_or(name).parse().map_err(|_| RefusalCode::Path)?;
            if segment.as_str().contains('/') {
                return Err(RefusalCode::Path);
            }
            behind(&below, name)
        }
    };
    let mut names = Vec::new();
    'seek: loop {
        let start = from.as_ref().map(String::as_str);
        if matches!(start, Bound::Included(key) | Bound::Excluded(key) if key >= end.as_str()) {
            return Ok((names, false));
        }
        for (path, _) in map.range::<str, _>((start, Bound::Excluded(end.as_str()))) {
            if names.len() == limit {
                return Ok((names, true));
            }
            let Some(rest) = path.strip_prefix(&below) else { return Ok((names, false)) };
            match rest.split_once('/') {
                None => names.push(rest.to_owned()),
                Some((subtree, _)) => {
                    let name = format!("{subtree}/");
                    from = behind(&below, &name);
                    names.push(name);
                    continue 'seek;
                }
            }
        }
        return Ok((names, false));
    }
}

/// Where the names after this one begin.
fn behind(below: &str, name: &str) -> Bound<String> {
    match name.strip_suffix('/') {
        Some(subtree) => Bound::Included(format!("{below}{subtree}0")),
        None => Bound::Excluded(format!("{below}{name}")),
    }
}
