//! The kv engine: versioned secrets. Planning looks and decides, applying cannot fail: a refused request
//! leaves nothing behind (V3).

use std::collections::BTreeMap;
use std::ops::Bound;

use vouchsafe_crypto::secret::SecretBytes;
use vouchsafe_protocol::kv::{Cas, KvMetadata, KvReply, KvRequest, KvState, KvVersion, SecretValue};
use vouchsafe_protocol::limits::{KV_VALUE_LEN, KV_VERSIONS, LIST_PAGE};
use vouchsafe_protocol::path::Path;
use vouchsafe_protocol::refusal::RefusalCode;

use crate::change::Change;

/// All secrets, by canonical path.
#[derive(Default)]
pub(crate) struct Kv(BTreeMap<Box<str>, Secret>);

/// One secret: its versions, oldest first.
#[derive(Default)]
struct Secret {
    versions: Vec<Version>,
}

/// One version; `value` is gone once destroyed.
struct Version {
    number: u64,
    created_secs: u64,
    value: Option<SecretBytes>,
    deleted: bool,
}

/// What a request comes to: a reply, and the change that must be stored before it is given.
pub(crate) struct Plan {
    pub reply: KvReply,
    pub change: Option<Change>,
    /// The versions touched, for the log.
    pub versions: Vec<u64>,
}

impl Plan {
    fn look(reply: KvReply, version: Option<u64>) -> Self {
        Self { reply, change: None, versions: version.into_iter().collect() }
    }

    fn change(versions: Vec<u64>, change: Change) -> Self {
        Self { reply: KvReply::Changed, change: Some(change), versions }
    }
}

impl Kv {
    /// Number of secrets.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Decides on an authorised request without changing anything.
    pub fn plan(&self, request: KvRequest, now: u64) -> Result<Plan, RefusalCode> {
        match request {
            KvRequest::Delete { path, versions } => self.plan_delete(path, versions),
            KvRequest::Destroy { path, versions } => {
                self.known(&path, &versions)?;
                Ok(Plan::change(versions.clone(), Change::Destroy { path, versions }))
            }
            KvRequest::Get { path, version } => self.get(&path, version),
            KvRequest::List { prefix, after } => Ok(self.list(&prefix, after.as_deref())),
            KvRequest::Metadata { path } => self.metadata(&path),
            KvRequest::Put { path, value, cas } => self.plan_put(path, value, cas, now),
            KvRequest::Undelete { path, versions } => {
                self.undestroyed(&path, &versions)?;
                Ok(Plan::change(versions.clone(), Change::Undelete { path, versions }))
            }
        }
    }

    fn get(&self, path: &Path, version: Option<u64>) -> Result<Plan, RefusalCode> {
        let secret = self.0.get(path.as_str()).ok_or(RefusalCode::NotFound)?;
        let found = match version {
            None => secret.versions.last(),
            Some(number) => secret.find(number),
        }
        .ok_or(RefusalCode::NotFound)?;
        match &found.value {
            Some(value) if !found.deleted => Ok(Plan::look(
                KvReply::Value {
                    version: found.number,
                    created_secs: found.created_secs,
                    value: SecretValue::new(value.expose_secret().to_vec()),
                },
                Some(found.number),
            )),
            Some(_) => Err(RefusalCode::Deleted),
            None => Err(RefusalCode::Destroyed),
        }
    }

    fn metadata(&self, path: &Path) -> Result<Plan, RefusalCode> {
        let secret = self.0.get(path.as_str()).ok_or(RefusalCode::NotFound)?;
        let versions = secret
            .versions
            .iter()
            .map(|version| KvVersion {
                version: version.number,
                created_secs: version.created_secs,
                state: version.state(),
            })
            .collect();
        Ok(Plan::look(KvReply::Metadata(KvMetadata { current: secret.current(), versions }), None))
    }

    fn plan_put(&self, path: Path, value: SecretValue, cas: Cas, now: u64) -> Result<Plan, RefusalCode> {
        if value.expose_secret().len() > KV_VALUE_LEN {
            return Err(RefusalCode::TooLarge);
        }
        let current = self.0.get(path.as_str()).map_or(0, Secret::current);
        if matches!(cas, Cas::Version(expected) if expected != current) {
            return Err(RefusalCode::CasMismatch);
        }
        let version = current.checked_add(1).ok_or(RefusalCode::TooLarge)?;
        Ok(Plan {
            reply: KvReply::Written { version },
            change: Some(Change::Put { path, version, created_secs: now, value }),
            versions: vec![version],
        })
    }

    fn plan_delete(&self, path: Path, mut versions: Vec<u64>) -> Result<Plan, RefusalCode> {
        if versions.is_empty() {
            let secret = self.0.get(path.as_str()).ok_or(RefusalCode::NotFound)?;
            versions.push(secret.current());
        }
        self.undestroyed(&path, &versions)?;
        Ok(Plan::change(versions.clone(), Change::Delete { path, versions }))
    }

    /// Every version named must be known; naming none is no request.
    fn known(&self, path: &Path, versions: &[u64]) -> Result<(), RefusalCode> {
        if versions.len() > KV_VERSIONS {
            return Err(RefusalCode::TooLarge);
        }
        let secret = self.0.get(path.as_str()).ok_or(RefusalCode::NotFound)?;
        let all = versions.iter().all(|number| secret.find(*number).is_some());
        if all && !versions.is_empty() { Ok(()) } else { Err(RefusalCode::NotFound) }
    }

    /// Known, and none of them destroyed: those neither go nor come back.
    fn undestroyed(&self, path: &Path, versions: &[u64]) -> Result<(), RefusalCode> {
        self.known(path, versions)?;
        let secret = self.0.get(path.as_str()).ok_or(RefusalCode::NotFound)?;
        let gone = |number: &u64| secret.find(*number).is_none_or(|version| version.value.is_none());
        if versions.iter().any(gone) { Err(RefusalCode::Destroyed) } else { Ok(()) }
    }

    /// One page of the names directly below a prefix. A whole subtree costs one step.
    fn list(&self, prefix: &Path, after: Option<&str>) -> Plan {
        let below = format!("{prefix}/");
        let end = format!("{prefix}0"); // '0' is the byte after '/'
        let mut from = match after {
            None => Bound::Included(below.clone()),
            Some(name) => match name.strip_suffix('/') {
                Some(subtree) => Bound::Included(format!("{below}{subtree}0")),
                None => Bound::Excluded(format!("{below}{name}")),
            },
        };
        let mut names = Vec::new();
        let mut more = false;
        while let Some(name) = self.next_name(&below, &from, &end) {
            if names.len() == LIST_PAGE {
                more = true;
                break;
            }
            from = match name.strip_suffix('/') {
                Some(subtree) => Bound::Included(format!("{below}{subtree}0")),
                None => Bound::Excluded(format!("{below}{name}")),
            };
            names.push(name);
        }
        Plan::look(KvReply::Names { names, more }, None)
    }

    fn next_name(&self, below: &str, from: &Bound<String>, end: &str) -> Option<String> {
        let start = from.as_ref().map(String::as_str);
        let beyond = match start {
            Bound::Included(key) | Bound::Excluded(key) => key >= end,
            Bound::Unbounded => true,
        };
        if beyond {
            return None;
        }
        let (path, _) = self.0.range::<str, _>((start, Bound::Excluded(end))).next()?;
        let rest = path.strip_prefix(below)?;
        Some(match rest.split_once('/') {
            Some((subtree, _)) => format!("{subtree}/"),
            None => rest.to_owned(),
        })
    }

    /// Writes a version. Beyond [`KV_VERSIONS`] the oldest is forgotten.
    pub fn apply_put(&mut self, path: &Path, number: u64, created_secs: u64, value: &SecretValue) {
        let secret = self.0.entry(path.as_str().into()).or_default();
        let value = Some(SecretBytes::new(value.expose_secret().to_vec()));
        // Most secrets have one version: no room for more.
        secret.versions.reserve_exact(1);
        secret.versions.push(Version { number, created_secs, value, deleted: false });
        if secret.versions.len() > KV_VERSIONS {
            drop(secret.versions.remove(0));
        }
    }

    /// Marks versions as deleted or not.
    pub fn apply_deleted(&mut self, path: &Path, numbers: &[u64], deleted: bool) {
        self.each(path, numbers, |version| version.deleted = deleted);
    }

    /// Wipes versions.
    pub fn apply_destroy(&mut self, path: &Path, numbers: &[u64]) {
        self.each(path, numbers, |version| version.value = None);
    }

    fn each(&mut self, path: &Path, numbers: &[u64], change: impl Fn(&mut Version)) {
        let versions =
            self.0.get_mut(path.as_str()).into_iter().flat_map(|secret| secret.versions.iter_mut());
        versions.filter(|version| numbers.contains(&version.number)).for_each(change);
    }

    /// Feeds everything to a digest of the state, each part framed.
    pub fn digest_into(&self, part: &mut dyn FnMut(&[u8])) {
        for (path, secret) in &self.0 {
            part(path.as_bytes());
            part(&secret.versions.len().to_be_bytes());
            for Version { number, created_secs, value, deleted } in &secret.versions {
                part(&number.to_be_bytes());
                part(&created_secs.to_be_bytes());
                part(&[u8::from(*deleted), u8::from(value.is_some())]);
                part(value.as_ref().map_or(&[], |value| value.expose_secret()));
            }
        }
    }
}

impl Secret {
    fn current(&self) -> u64 {
        self.versions.last().map_or(0, |version| version.number)
    }

    fn find(&self, number: u64) -> Option<&Version> {
        self.versions.iter().find(|version| version.number == number)
    }
}

impl Version {
    fn state(&self) -> KvState {
        match (&self.value, self.deleted) {
            (None, _) => KvState::Destroyed,
            (Some(_), true) => KvState::Deleted,
            (Some(_), false) => KvState::Live,
        }
    }
}

#[cfg(test)]
mod tests;
