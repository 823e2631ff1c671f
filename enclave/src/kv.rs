//! The kv engine: versioned secrets. Planning looks and decides, applying cannot fail: a refused request
//! leaves nothing behind (V3).

use std::collections::{BTreeMap, BTreeSet};

use vouchsafe_crypto::secret::SecretBytes;
use vouchsafe_protocol::kv::{
    Cas, KvCasRule, KvFields, KvMetadata, KvReply, KvRequest, KvSelect, KvSettings, KvState, KvValue,
    KvVersion, SecretValue,
};
use vouchsafe_protocol::limits::{KV_LIFE_SECS, KV_VALUE_LEN, KV_VERSIONS};
use vouchsafe_protocol::path::Path;
use vouchsafe_protocol::refusal::RefusalCode;

use crate::change::Change;
use crate::names;
use crate::ports::Ports;

mod change;
mod generate;
mod settings;
#[cfg(test)]
mod tests;
mod upkeep;
mod watch;

pub(crate) use change::{KvChange, Write};
pub(crate) use watch::Watches;

/// All secrets, by canonical path, and the settings of prefixes.
#[derive(Default)]
pub(crate) struct Kv {
    secrets: BTreeMap<Box<str>, Secret>,
    prefixes: BTreeMap<Box<str>, KvSettings>,
    /// When something is due, and at which secret; the earliest of each secret only.
    due: BTreeSet<(u64, Box<str>)>,
}

/// One secret: its versions, oldest first. Most have one version and nothing else.
#[derive(Default)]
struct Secret {
    versions: Vec<Version>,
    extras: Option<Box<Extras>>,
    /// Its entry in [`Kv::due`].
    due_secs: Option<u64>,
}

/// What only some secrets have.
struct Extras {
    settings: KvSettings,
    /// When the next version is made.
    next_secs: Option<u64>,
}

/// One version.
struct Version {
    number: u64,
    created_secs: u64,
    until_secs: Option<u64>,
    content: Content,
}

/// What a version still holds.
enum Content {
    Deleted(Held),
    Destroyed,
    Expired,
    Live(Held),
}

/// A value in one piece of memory.
struct Held {
    form: Form,
    bytes: SecretBytes,
}

#[derive(Clone, Copy)]
enum Form {
    Bytes,
    Fields,
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

    fn change(versions: Vec<u64>, change: KvChange) -> Self {
        Self { reply: KvReply::Changed, change: Some(Change::Kv(change)), versions }
    }

    fn write(write: Write) -> Self {
        let version = write.version;
        let change = Some(Change::Kv(KvChange::Write(Box::new(write))));
        Self { reply: KvReply::Written { version }, change, versions: vec![version] }
    }
}

impl Kv {
    /// Number of secrets.
    pub fn len(&self) -> usize {
        self.secrets.len()
    }

    /// Decides on an authorised request without changing anything.
    pub fn plan(&self, request: KvRequest, now: u64, ports: &mut dyn Ports) -> Result<Plan, RefusalCode> {
        match request {
            KvRequest::Configure { scope, edits } => self.plan_configure(scope, *edits, now),
            KvRequest::Delete { path, versions } => self.plan_delete(path, versions, now),
            KvRequest::Destroy { path, versions } => {
                self.known(&path, &versions)?;
                Ok(Plan::change(versions.clone(), KvChange::Destroy { path, versions }))
            }
            KvRequest::Forget { path } => {
                self.secret(&path)?;
                Ok(Plan::change(Vec::new(), KvChange::Forget { path }))
            }
            KvRequest::Generate { path, generator, cas } => {
                self.plan_generate(path, generator, cas, now, ports)
            }
            KvRequest::Get { path, select } => self.get(&path, select, now),
            KvRequest::List { prefix, after, limit } => {
                let (names, more) = names::page(&self.secrets, &prefix, after.as_deref(), limit)?;
                Ok(Plan::look(KvReply::Names { names, more }, None))
            }
            KvRequest::Metadata { path } => self.metadata(&path, now),
            KvRequest::Patch { path, set, remove, cas, ttl_secs } => {
                self.check_cas(&path, cas)?;
                let merged = self.merge(&path, &set, &remove, now)?;
                self.write(path, KvValue::Fields(merged), ttl_secs, now).map(Plan::write)
            }
            KvRequest::Put { path, value, cas, ttl_secs } => {
                self.check_cas(&path, cas)?;
                self.write(path, value, ttl_secs, now).map(Plan::write)
            }
            KvRequest::Rotate { path } => self.plan_rotate(&path, now, ports).map(Plan::write),
            KvRequest::Settings { prefix } => {
                let settings = self.prefixes.get(prefix.as_str()).cloned().unwrap_or_default();
                Ok(Plan::look(KvReply::Settings(Box::new(settings)), None))
            }
            KvRequest::Undelete { path, versions } => {
                self.kept(&path, &versions, now)?;
                Ok(Plan::change(versions.clone(), KvChange::Undelete { path, versions }))
            }
            KvRequest::Unwatch { .. } => Ok(Plan::look(KvReply::Changed, None)),
            KvRequest::Watch { path, after: _ } => {
                Ok(Plan::look(KvReply::Watching { current: self.current(&path) }, None))
            }
        }
    }

    /// The current version; 0 if there is none.
    pub fn current(&self, path: &Path) -> u64 {
        self.secrets.get(path.as_str()).map_or(0, Secret::current)
    }

    fn secret(&self, path: &Path) -> Result<&Secret, RefusalCode> {
        self.secrets.get(path.as_str()).ok_or(RefusalCode::NotFound)
    }

    fn get(&self, path: &Path, select: KvSelect, now: u64) -> Result<Plan, RefusalCode> {
        let found = self.secret(path)?.select(select).ok_or(RefusalCode::NotFound)?;
        let (version, held) = (found.number, found.readable(now)?);
        let Version { created_secs, until_secs, .. } = *found;
        let reply = KvReply::Value { version, created_secs, until_secs, value: held.copied()? };
        Ok(Plan::look(reply, Some(version)))
    }

    fn metadata(&self, path: &Path, now: u64) -> Result<Plan, RefusalCode> {
        let secret = self.secret(path)?;
        let version = |version: &Version| KvVersion {
            version: version.number,
            created_secs: version.created_secs,
            until_secs: version.until_secs,
            state: version.state(now),
        };
        let metadata = KvMetadata {
            current: secret.current(),
            versions: secret.versions.iter().map(version).collect(),
            settings: secret.extras.as_ref().map(|extras| extras.settings.clone()).unwrap_or_default(),
            limits: self.limits(path.as_str()),
            next_secs: secret.extras.as_ref().and_then(|extras| extras.next_secs),
        };
        Ok(Plan::look(KvReply::Metadata(Box::new(metadata)), None))
    }

    /// Whether a writer named what it replaces as far as it must, and named it right.
    fn check_cas(&self, path: &Path, cas: Cas) -> Result<(), RefusalCode> {
        match cas {
            Cas::Any if self.limits(path.as_str()).cas == KvCasRule::Required => {
                Err(RefusalCode::CasRequired)
            }
            Cas::Version(expected) if expected != self.current(path) => Err(RefusalCode::CasMismatch),
            Cas::Any | Cas::Version(_) => Ok(()),
        }
    }

    /// The next version of a secret.
    fn write(
        &self,
        path: Path,
        value: KvValue,
        ttl_secs: Option<u64>,
        now: u64,
    ) -> Result<Write, RefusalCode> {
        let empty = matches!(&value, KvValue::Fields(fields) if fields.is_empty());
        let life = ttl_secs.or(self.limits(path.as_str()).delete_after_secs);
        if empty || ttl_secs.is_some_and(|secs| !KV_LIFE_SECS.contains(&secs)) {
            return Err(RefusalCode::Settings);
        }
        if value.expose_secret().len() > KV_VALUE_LEN {
            return Err(RefusalCode::TooLarge);
        }
        Ok(Write {
            version: self.current(&path).checked_add(1).ok_or(RefusalCode::TooLarge)?,
            path,
            created_secs: now,
            until_secs: life.map(|secs| now.saturating_add(secs)),
            value,
            retire_secs: None,
            generator: None,
        })
    }

    /// The fields of the current version, some of them changed: whoever may write need not read.
    fn merge(
        &self,
        path: &Path,
        set: &KvFields,
        remove: &[vouchsafe_protocol::kv::KvName],
        now: u64,
    ) -> Result<KvFields, RefusalCode> {
        let current = self.secret(path)?.versions.last().ok_or(RefusalCode::NotFound)?;
        match current.readable(now)?.copied()? {
            KvValue::Bytes(_) => Err(RefusalCode::NoFields),
            KvValue::Fields(fields) => fields.merged(set, remove).map_err(|_| RefusalCode::TooLarge),
        }
    }

    fn plan_delete(&self, path: Path, mut versions: Vec<u64>, now: u64) -> Result<Plan, RefusalCode> {
        if versions.is_empty() {
            versions.push(self.secret(&path)?.current());
        }
        self.kept(&path, &versions, now)?;
        Ok(Plan::change(versions.clone(), KvChange::Delete { path, versions }))
    }

    /// Every version named must be known; naming none is no request.
    fn known(&self, path: &Path, versions: &[u64]) -> Result<(), RefusalCode> {
        if versions.len() > KV_VERSIONS {
            return Err(RefusalCode::TooLarge);
        }
        let secret = self.secret(path)?;
        let all = versions.iter().all(|number| secret.find(*number).is_some());
        if all && !versions.is_empty() { Ok(()) } else { Err(RefusalCode::NotFound) }
    }

    /// Known, and none of them destroyed or expired: those neither go nor come back.
    fn kept(&self, path: &Path, versions: &[u64], now: u64) -> Result<(), RefusalCode> {
        self.known(path, versions)?;
        let secret = self.secret(path)?;
        versions.iter().try_for_each(|number| match secret.find(*number).map(|found| found.state(now)) {
            Some(KvState::Deleted | KvState::Live) => Ok(()),
            Some(KvState::Expired) => Err(RefusalCode::Expired),
            Some(KvState::Destroyed) | None => Err(RefusalCode::Destroyed),
        })
    }

    /// Feeds everything to a digest of the state, each part framed. (What is due follows from the rest.)
    pub fn digest_into(&self, part: &mut dyn FnMut(&[u8])) {
        let encoded = |settings: &KvSettings| vouchsafe_protocol::codec::encode(settings).unwrap_or_default();
        for (prefix, settings) in &self.prefixes {
            part(prefix.as_bytes());
            part(&encoded(settings));
        }
        for (path, Secret { versions, extras, due_secs: _ }) in &self.secrets {
            part(path.as_bytes());
            part(&versions.len().to_be_bytes());
            for Version { number, created_secs, until_secs, content } in versions {
                part(&number.to_be_bytes());
                part(&created_secs.to_be_bytes());
                part(&until_secs.unwrap_or(u64::MAX).to_be_bytes());
                let (state, held) = match content {
                    Content::Deleted(held) => (0, Some(held)),
                    Content::Destroyed => (1, None),
                    Content::Expired => (2, None),
                    Content::Live(held) => (3, Some(held)),
                };
                part(&[state, held.map_or(0, |held| held.form as u8)]);
                part(held.map_or(&[], |held| held.bytes.expose_secret()));
            }
            if let Some(extras) = extras {
                part(&encoded(&extras.settings));
                part(&extras.next_secs.unwrap_or(u64::MAX).to_be_bytes());
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

    fn select(&self, select: KvSelect) -> Option<&Version> {
        match select {
            KvSelect::Current => self.versions.last(),
            KvSelect::Previous => self.versions.iter().nth_back(1),
            KvSelect::Version(number) => self.find(number),
        }
    }
}

impl Version {
    /// A version whose time is over is expired, whether or not it was wiped yet.
    fn state(&self, now: u64) -> KvState {
        match &self.content {
            Content::Destroyed => KvState::Destroyed,
            Content::Expired => KvState::Expired,
            Content::Deleted(_) | Content::Live(_) if self.until_secs.is_some_and(|until| now >= until) => {
                KvState::Expired
            }
            Content::Deleted(_) => KvState::Deleted,
            Content::Live(_) => KvState::Live,
        }
    }

    fn readable(&self, now: u64) -> Result<&Held, RefusalCode> {
        match (self.state(now), &self.content) {
            (KvState::Live, Content::Live(held)) => Ok(held),
            (KvState::Destroyed, _) => Err(RefusalCode::Destroyed),
            (KvState::Expired, _) => Err(RefusalCode::Expired),
            (KvState::Deleted | KvState::Live, _) => Err(RefusalCode::Deleted),
        }
    }
}

impl Held {
    fn new(value: &KvValue) -> Self {
        let form = match value {
            KvValue::Bytes(_) => Form::Bytes,
            KvValue::Fields(_) => Form::Fields,
        };
        Self { form, bytes: SecretBytes::new(value.expose_secret().to_vec()) }
    }

    /// A copy to be sent. Fields were parsed before they were kept.
    fn copied(&self) -> Result<KvValue, RefusalCode> {
        let bytes = SecretValue::new(self.bytes.expose_secret().to_vec());
        match self.form {
            Form::Bytes => Ok(KvValue::Bytes(bytes)),
            Form::Fields => KvFields::parse(bytes).map(KvValue::Fields).map_err(|_| RefusalCode::Malformed),
        }
    }
}
