//! Pages of names.

use std::ops::Bound;

use vouchsafe_protocol::kv::KvReply;
use vouchsafe_protocol::limits::LIST_PAGE;
use vouchsafe_protocol::path::Path;
use vouchsafe_protocol::refusal::RefusalCode;

use super::{Kv, Plan};

impl Kv {
    /// One page of the names directly below a prefix. A whole subtree costs one step, so the work is bounded by
    /// the names that are given, whatever lies below them.
    pub(super) fn list(&self, prefix: &Path, after: Option<&str>, limit: u16) -> Result<Plan, RefusalCode> {
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
        let mut more = false;
        'seek: loop {
            let start = from.as_ref().map(String::as_str);
            if matches!(start, Bound::Included(key) | Bound::Excluded(key) if key >= end.as_str()) {
                break;
            }
            for (path, _) in self.secrets.range::<str, _>((start, Bound::Excluded(end.as_str()))) {
                if names.len() == limit {
                    more = true;
                    break 'seek;
                }
                let Some(rest) = path.strip_prefix(&below) else { break 'seek };
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
            break;
        }
        Ok(Plan::look(KvReply::Names { names, more }, None))
    }
}

/// Where the names after this one begin.
fn behind(below: &str, name: &str) -> Bound<String> {
    match name.strip_suffix('/') {
        Some(subtree) => Bound::Included(format!("{below}{subtree}0")),
        None => Bound::Excluded(format!("{below}{name}")),
    }
}
