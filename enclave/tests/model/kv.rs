//! The kv engine, said as plainly as possible: every rule once, in the slowest way.

use std::collections::BTreeMap;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use vouchsafe_protocol::kv::{
    Cas, Edit, KvCasRule, KvEdits, KvFields, KvGenerator, KvReply, KvRequest, KvRule, KvScope, KvSelect,
    KvState, KvValue, SecretValue,
};
use vouchsafe_protocol::limits::KV_VERSIONS_DEFAULT;
use vouchsafe_protocol::policy::Capability;
use vouchsafe_protocol::refusal::RefusalCode;

pub const PATHS: [&str; 5] = ["kv/web/a", "kv/web/b", "kv/web/b/c", "kv/secret", "kv/ops/x"];
const PREFIXES: [&str; 4] = ["kv", "kv/web", "kv/web/b", "kv/none"];
const FIELDS: [&str; 3] = ["a", "b", "c"];

/// What a version holds. What the vault made is known by the leaf of the journal that it was made in.
#[derive(Clone, Debug, PartialEq)]
pub enum Held {
    Bytes(Vec<u8>),
    Fields(BTreeMap<String, Vec<u8>>),
    Made(u64),
}

#[derive(Clone, Debug, PartialEq)]
struct Version {
    number: u64,
    until: Option<u64>,
    /// `Expired` here once it was wiped.
    state: KvState,
    held: Held,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Settings {
    max: Option<u16>,
    cas: Option<KvCasRule>,
    life: Option<u64>,
    custom: BTreeMap<String, String>,
    generator: Option<(Option<u64>, Option<u64>)>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Secret {
    versions: Vec<Version>,
    settings: Settings,
    next: Option<u64>,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    secrets: BTreeMap<String, Secret>,
    prefixes: BTreeMap<String, Settings>,
}

/// What it answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    Changed,
    Metadata {
        current: u64,
        versions: Vec<(u64, Option<u64>, KvState)>,
        max: u16,
        custom: usize,
        next: Option<u64>,
    },
    Names(Vec<String>, bool),
    /// Whether there are any.
    Settings(bool),
    Value(u64, Option<u64>, Held),
    Watching(u64),
    Written(u64),
}

/// A request as the model understands it.
#[derive(Clone, Debug)]
pub enum Ask {
    Configure(&'static str, bool, KvEdits),
    Delete(&'static str, Vec<u64>),
    Destroy(&'static str, Vec<u64>),
    Forget(&'static str),
    Generate(&'static str, (Option<u64>, Option<u64>), Option<u64>),
    Get(&'static str, KvSelect),
    List(&'static str, u16),
    Metadata(&'static str),
    Patch(&'static str, BTreeMap<String, Vec<u8>>, Vec<&'static str>, Option<u64>),
    Put(&'static str, Held, Option<u64>, Option<u64>),
    Rotate(&'static str),
    Settings(&'static str),
    Undelete(&'static str, Vec<u64>),
    Unwatch(&'static str),
    Watch(&'static str, u64),
}

fn bytes(rng: &mut StdRng) -> Vec<u8> {
    (0..rng.random_range(0..9)).map(|_| rng.random()).collect()
}

fn fields(rng: &mut StdRng) -> BTreeMap<String, Vec<u8>> {
    let chosen: Vec<_> = FIELDS.iter().filter(|_| rng.random_bool(0.5)).collect();
    chosen.into_iter().map(|name| ((*name).to_owned(), bytes(rng))).collect()
}

fn maybe<T>(rng: &mut StdRng, share: f64, value: impl FnOnce(&mut StdRng) -> T) -> Option<T> {
    rng.random_bool(share).then(|| value(rng))
}

fn edits(rng: &mut StdRng) -> KvEdits {
    fn edit<T>(rng: &mut StdRng, value: impl FnOnce(&mut StdRng) -> T) -> Edit<T> {
        match rng.random_range(0..4) {
            0 => Edit::Clear,
            1 => Edit::Set(value(rng)),
            _ => Edit::Keep,
        }
    }
    KvEdits {
        max_versions: edit(rng, |rng| rng.random_range(0..4)),
        cas: edit(rng, |rng| if rng.random_bool(0.3) { KvCasRule::Required } else { KvCasRule::Optional }),
        delete_after_secs: edit(rng, |rng| rng.random_range(0..9)),
        custom: maybe(rng, 0.2, |rng| {
            let value = maybe(rng, 0.7, |rng| "v".repeat(rng.random_range(0..3)));
            (FIELDS.choose(rng).unwrap().parse().unwrap(), value)
        })
        .into_iter()
        .collect(),
        generator: if rng.random_bool(0.1) { Edit::Clear } else { Edit::Keep },
    }
}

impl Ask {
    pub fn random(rng: &mut StdRng) -> Self {
        let path = PATHS.choose(rng).unwrap();
        let versions =
            |rng: &mut StdRng| (0..rng.random_range(0..3)).map(|_| rng.random_range(0..4)).collect();
        let cas = |rng: &mut StdRng| maybe(rng, 0.5, |rng| rng.random_range(0..5));
        match rng.random_range(0..34) {
            0..5 => {
                let held =
                    if rng.random_bool(0.5) { Held::Bytes(bytes(rng)) } else { Held::Fields(fields(rng)) };
                let ttl = maybe(rng, 0.3, |rng| rng.random_range(0..6));
                Self::Put(path, held, cas(rng), ttl)
            }
            5..8 => {
                let remove = FIELDS.iter().copied().filter(|_| rng.random_bool(0.2)).collect();
                Self::Patch(path, fields(rng), remove, cas(rng))
            }
            8..13 => Self::Get(
                path,
                match rng.random_range(0..5) {
                    0 => KvSelect::Previous,
                    1 => KvSelect::Version(rng.random_range(0..5)),
                    _ => KvSelect::Current,
                },
            ),
            13..15 => Self::Delete(path, versions(rng)),
            15 => Self::Undelete(path, versions(rng)),
            16 => Self::Destroy(path, versions(rng)),
            17..19 => Self::List(PREFIXES.choose(rng).unwrap(), rng.random_range(0..4)),
            19..22 => Self::Metadata(path),
            22..25 => {
                let below = rng.random_bool(0.5);
                Self::Configure(if below { PREFIXES.choose(rng).unwrap() } else { path }, below, edits(rng))
            }
            25 => Self::Forget(path),
            26..28 => {
                let every = maybe(rng, 0.8, |rng| *[10, 60, 90].choose(rng).unwrap());
                let grace = maybe(rng, 0.7, |rng| rng.random_range(0..20));
                Self::Generate(path, (every, grace), cas(rng))
            }
            28..30 => Self::Rotate(path),
            30 => Self::Settings(PREFIXES.choose(rng).unwrap()),
            31 => Self::Unwatch(path),
            _ => Self::Watch(path, rng.random_range(0..4)),
        }
    }

    pub fn request(&self) -> KvRequest {
        let path = |text: &str| text.parse().unwrap();
        let guard = |cas: &Option<u64>| cas.map_or(Cas::Any, Cas::Version);
        match self {
            Self::Configure(at, below, edits) => {
                let scope = if *below { KvScope::Below(path(at)) } else { KvScope::Secret(path(at)) };
                KvRequest::Configure { scope, edits: Box::new(edits.clone()) }
            }
            Self::Delete(at, versions) => KvRequest::Delete { path: path(at), versions: versions.clone() },
            Self::Destroy(at, versions) => KvRequest::Destroy { path: path(at), versions: versions.clone() },
            Self::Forget(at) => KvRequest::Forget { path: path(at) },
            Self::Generate(at, (every_secs, grace_secs), cas) => {
                let generator =
                    KvGenerator { rule: KvRule::Uuid, every_secs: *every_secs, grace_secs: *grace_secs };
                KvRequest::Generate { path: path(at), generator, cas: guard(cas) }
            }
            Self::Get(at, select) => KvRequest::Get { path: path(at), select: *select },
            Self::List(at, limit) => KvRequest::List { prefix: path(at), after: None, limit: *limit },
            Self::Metadata(at) => KvRequest::Metadata { path: path(at) },
            Self::Patch(at, set, remove, cas) => KvRequest::Patch {
                path: path(at),
                set: kv_fields(set),
                remove: remove.iter().map(|name| name.parse().unwrap()).collect(),
                cas: guard(cas),
                ttl_secs: None,
            },
            Self::Put(at, held, cas, ttl_secs) => {
                let value = match held {
                    Held::Bytes(value) => KvValue::Bytes(SecretValue::new(value.clone())),
                    Held::Fields(all) => KvValue::Fields(kv_fields(all)),
                    Held::Made(_) => unreachable!(),
                };
                KvRequest::Put { path: path(at), value, cas: guard(cas), ttl_secs: *ttl_secs }
            }
            Self::Rotate(at) => KvRequest::Rotate { path: path(at) },
            Self::Settings(at) => KvRequest::Settings { prefix: path(at) },
            Self::Undelete(at, versions) => {
                KvRequest::Undelete { path: path(at), versions: versions.clone() }
            }
            Self::Unwatch(at) => KvRequest::Unwatch { path: path(at) },
            Self::Watch(at, after) => KvRequest::Watch { path: path(at), after: *after },
        }
    }

    /// What it needs, where, and whether everything below that.
    pub fn needs(&self) -> (Capability, &'static str, bool) {
        match self {
            Self::Configure(at, below, _) => (Capability::Manage, at, *below),
            Self::Delete(at, _) | Self::Undelete(at, _) => (Capability::Delete, at, false),
            Self::Destroy(at, _) | Self::Forget(at) => (Capability::Destroy, at, false),
            Self::Generate(at, ..) => (Capability::Manage, at, false),
            Self::Get(at, _) | Self::Unwatch(at) | Self::Watch(at, _) => (Capability::Read, at, false),
            Self::List(at, _) | Self::Settings(at) => (Capability::List, at, true),
            Self::Metadata(at) => (Capability::List, at, false),
            Self::Patch(at, ..) | Self::Put(at, ..) | Self::Rotate(at) => (Capability::Write, at, false),
        }
    }
}

fn kv_fields(all: &BTreeMap<String, Vec<u8>>) -> KvFields {
    let all = all.iter().map(|(name, value)| (name.parse().unwrap(), SecretValue::new(value.clone())));
    KvFields::new(&all.collect()).unwrap()
}

impl Secret {
    fn current(&self) -> u64 {
        self.versions.last().map_or(0, |version| version.number)
    }
}

impl Version {
    fn state(&self, now: u64) -> KvState {
        let held = matches!(self.state, KvState::Live | KvState::Deleted);
        if held && self.until.is_some_and(|until| until <= now) { KvState::Expired } else { self.state }
    }
}

impl Model {
    /// Serves an allowed request at this time; what it makes is made in this leaf. `Ok(.., true)` for a change.
    pub fn serve(&mut self, ask: &Ask, now: u64, leaf: u64) -> Result<(Expected, bool), RefusalCode> {
        let look = |expected| Ok((expected, false));
        match ask {
            Ask::Configure(at, below, edits) => self.configure(at, *below, edits, now),
            Ask::Delete(at, numbers) => {
                let current = self.secret(at)?.current();
                let numbers = if numbers.is_empty() { &vec![current] } else { numbers };
                self.mark(at, numbers, KvState::Deleted, now)
            }
            Ask::Undelete(at, numbers) => self.mark(at, numbers, KvState::Live, now),
            Ask::Destroy(at, numbers) => self.mark(at, numbers, KvState::Destroyed, now),
            Ask::Forget(at) => {
                self.secrets.remove(*at).ok_or(RefusalCode::NotFound)?;
                Ok((Expected::Changed, true))
            }
            Ask::Generate(at, (every, grace), cas) => {
                if *every == Some(10) {
                    return Err(RefusalCode::Settings);
                }
                self.guard(at, *cas)?;
                let settings = &mut self.secrets.entry((*at).to_owned()).or_default().settings;
                settings.generator = Some((*every, *grace));
                self.make(at, now, leaf)
            }
            Ask::Rotate(at) => {
                self.secret(at)?.settings.generator.ok_or(RefusalCode::NoGenerator)?;
                self.make(at, now, leaf)
            }
            Ask::Get(at, select) => {
                let versions = &self.secret(at)?.versions;
                let found = match select {
                    KvSelect::Current => versions.last(),
                    KvSelect::Previous => versions.iter().rev().nth(1),
                    KvSelect::Version(number) => versions.iter().find(|version| version.number == *number),
                };
                let found = found.ok_or(RefusalCode::NotFound)?;
                readable(found, now)?;
                look(Expected::Value(found.number, found.until, found.held.clone()))
            }
            Ask::List(at, limit) => {
                let below = format!("{at}/");
                let mut names: Vec<String> = Vec::new();
                for path in self.secrets.keys() {
                    let Some(rest) = path.strip_prefix(&below) else { continue };
                    let name = rest.split_once('/').map_or(rest.to_owned(), |(first, _)| format!("{first}/"));
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
                let limit = if *limit == 0 { usize::MAX } else { usize::from(*limit) };
                let more = names.len() > limit;
                names.truncate(limit);
                look(Expected::Names(names, more))
            }
            Ask::Metadata(at) => {
                let secret = self.secret(at)?;
                let state = |version: &Version| (version.number, version.until, version.state(now));
                look(Expected::Metadata {
                    current: secret.current(),
                    versions: secret.versions.iter().map(state).collect(),
                    max: self.setting(at, |settings| settings.max).unwrap_or(KV_VERSIONS_DEFAULT),
                    custom: secret.settings.custom.len(),
                    next: secret.next,
                })
            }
            Ask::Patch(at, set, remove, cas) => {
                self.guard(at, *cas)?;
                let current = self.secret(at)?.versions.last().ok_or(RefusalCode::NotFound)?;
                readable(current, now)?;
                let Held::Fields(mut all) = current.held.clone() else { return Err(RefusalCode::NoFields) };
                remove.iter().for_each(|name| drop(all.remove(*name)));
                all.extend(set.clone());
                self.write(at, Held::Fields(all), None, now)
            }
            Ask::Put(at, held, cas, ttl) => {
                self.guard(at, *cas)?;
                self.write(at, held.clone(), *ttl, now)
            }
            Ask::Settings(at) => look(Expected::Settings(self.prefixes.contains_key(*at))),
            Ask::Unwatch(_) => look(Expected::Changed),
            Ask::Watch(at, _) => look(Expected::Watching(self.current(at))),
        }
    }

    pub fn current(&self, at: &str) -> u64 {
        self.secrets.get(at).map_or(0, Secret::current)
    }

    fn secret(&self, at: &str) -> Result<&Secret, RefusalCode> {
        self.secrets.get(at).ok_or(RefusalCode::NotFound)
    }

    /// A setting of a secret: its own, else of the longest prefix that has it.
    fn setting<T>(&self, at: &str, of: impl Fn(&Settings) -> Option<T>) -> Option<T> {
        let own = self.secrets.get(at).and_then(|secret| of(&secret.settings));
        let mut prefixes: Vec<_> =
            self.prefixes.iter().filter(|(prefix, _)| at.starts_with(&format!("{prefix}/"))).collect();
        prefixes.sort_by_key(|(prefix, _)| prefix.len());
        own.or_else(|| prefixes.iter().rev().find_map(|(_, settings)| of(settings)))
    }

    fn guard(&self, at: &str, cas: Option<u64>) -> Result<(), RefusalCode> {
        let required = self.setting(at, |settings| settings.cas) == Some(KvCasRule::Required);
        match cas {
            None if required => Err(RefusalCode::CasRequired),
            Some(expected) if expected != self.current(at) => Err(RefusalCode::CasMismatch),
            _ => Ok(()),
        }
    }

    fn write(
        &mut self,
        at: &str,
        held: Held,
        ttl: Option<u64>,
        now: u64,
    ) -> Result<(Expected, bool), RefusalCode> {
        if ttl == Some(0) || held == Held::Fields(BTreeMap::new()) {
            return Err(RefusalCode::Settings);
        }
        let life = ttl.or(self.setting(at, |settings| settings.life));
        let max = self.setting(at, |settings| settings.max).unwrap_or(KV_VERSIONS_DEFAULT);
        let secret = self.secrets.entry(at.to_owned()).or_default();
        let number = secret.current() + 1;
        let until = life.map(|life| now + life);
        secret.versions.push(Version { number, until, state: KvState::Live, held });
        while secret.versions.len() > usize::from(max) {
            secret.versions.remove(0);
        }
        Ok((Expected::Written(number), true))
    }

    fn make(&mut self, at: &str, now: u64, leaf: u64) -> Result<(Expected, bool), RefusalCode> {
        let secret = self.secrets.get_mut(at).unwrap();
        let (every, grace) = secret.settings.generator.unwrap();
        secret.next = every.map(|every| now + every);
        if let (Some(grace), Some(before)) = (grace, secret.versions.last_mut()) {
            before.until = Some(before.until.map_or(now + grace, |until| until.min(now + grace)));
        }
        self.write(at, Held::Made(leaf), None, now)
    }

    fn configure(
        &mut self,
        at: &str,
        below: bool,
        edits: &KvEdits,
        now: u64,
    ) -> Result<(Expected, bool), RefusalCode> {
        fn edited<T: Copy>(before: Option<T>, edit: &Edit<T>) -> Option<T> {
            match edit {
                Edit::Clear => None,
                Edit::Keep => before,
                Edit::Set(value) => Some(*value),
            }
        }
        let before = if below {
            self.prefixes.get(at).cloned()
        } else {
            self.secrets.get(at).map(|secret| secret.settings.clone())
        };
        let mut settings = before.unwrap_or_default();
        settings.max = edited(settings.max, &edits.max_versions);
        settings.cas = edited(settings.cas, &edits.cas);
        settings.life = edited(settings.life, &edits.delete_after_secs);
        for (name, value) in &edits.custom {
            match value {
                Some(value) => drop(settings.custom.insert(name.to_string(), value.clone())),
                None => drop(settings.custom.remove(name.as_str())),
            }
        }
        if edits.generator == Edit::Clear {
            settings.generator = None;
        }
        if settings.max == Some(0) || settings.life == Some(0) || (below && !settings.custom.is_empty()) {
            return Err(RefusalCode::Settings);
        }
        let _ = now;
        if !below {
            let secret = self.secrets.entry(at.to_owned()).or_default();
            if settings.generator.is_none() {
                secret.next = None;
            }
            secret.settings = settings;
        } else if settings == Settings::default() {
            self.prefixes.remove(at);
        } else {
            self.prefixes.insert(at.to_owned(), settings);
        }
        Ok((Expected::Changed, true))
    }

    fn mark(
        &mut self,
        at: &str,
        numbers: &[u64],
        state: KvState,
        now: u64,
    ) -> Result<(Expected, bool), RefusalCode> {
        let versions = &mut self.secrets.get_mut(at).ok_or(RefusalCode::NotFound)?.versions;
        let known = numbers.iter().all(|number| versions.iter().any(|version| version.number == *number));
        if numbers.is_empty() || !known {
            return Err(RefusalCode::NotFound);
        }
        if state != KvState::Destroyed {
            for number in numbers {
                let named = versions.iter().find(|version| version.number == *number).unwrap();
                match named.state(now) {
                    KvState::Destroyed => return Err(RefusalCode::Destroyed),
                    KvState::Expired => return Err(RefusalCode::Expired),
                    KvState::Deleted | KvState::Live => {}
                }
            }
        }
        let named = versions.iter_mut().filter(|version| numbers.contains(&version.number));
        named.for_each(|version| version.state = state);
        Ok((Expected::Changed, true))
    }

    /// When something is to be done next, and where.
    fn due(&self) -> Option<(u64, String)> {
        let held = |version: &&Version| matches!(version.state, KvState::Live | KvState::Deleted);
        let of = |secret: &Secret| {
            let ends = secret.versions.iter().filter(held).filter_map(|version| version.until);
            ends.chain(secret.next).min()
        };
        self.secrets.iter().filter_map(|(at, secret)| Some((of(secret)?, at.clone()))).min()
    }

    pub fn next_due(&self) -> u64 {
        self.due().map_or(u64::MAX, |(at, _)| at)
    }

    /// Does the next thing that is due; gives where a version was made, and which.
    pub fn upkeep(&mut self, now: u64, leaf: u64) -> Option<Option<(String, u64)>> {
        let (_, at) = self.due().filter(|(due, _)| *due <= now)?;
        let mut wiped = false;
        for version in &mut self.secrets.get_mut(&at).unwrap().versions {
            if version.state != KvState::Expired && version.state(now) == KvState::Expired {
                version.state = KvState::Expired;
                wiped = true;
            }
        }
        if wiped {
            return Some(None);
        }
        match self.make(&at, now, leaf).unwrap() {
            (Expected::Written(version), _) => Some(Some((at, version))),
            other => panic!("{other:?}"),
        }
    }
}

fn readable(version: &Version, now: u64) -> Result<(), RefusalCode> {
    match version.state(now) {
        KvState::Live => Ok(()),
        KvState::Deleted => Err(RefusalCode::Deleted),
        KvState::Destroyed => Err(RefusalCode::Destroyed),
        KvState::Expired => Err(RefusalCode::Expired),
    }
}

/// What the vault said. A value that it made is taken as bytes here, and compared by the world.
pub fn seen(reply: KvReply) -> Expected {
    match reply {
        KvReply::Changed => Expected::Changed,
        KvReply::Metadata(known) => Expected::Metadata {
            current: known.current,
            versions: known
                .versions
                .iter()
                .map(|version| (version.version, version.until_secs, version.state))
                .collect(),
            max: known.limits.max_versions,
            custom: known.settings.custom.len(),
            next: known.next_secs,
        },
        KvReply::Names { names, more } => Expected::Names(names, more),
        KvReply::Settings(settings) => Expected::Settings(!settings.is_empty()),
        KvReply::Value { version, until_secs, value, .. } => {
            let held = match value {
                KvValue::Bytes(value) => Held::Bytes(value.expose_secret().to_vec()),
                KvValue::Fields(fields) => {
                    let all = fields.iter().map(|(name, value)| (name.to_owned(), value.to_vec()));
                    Held::Fields(all.collect())
                }
            };
            Expected::Value(version, until_secs, held)
        }
        KvReply::Watching { current } => Expected::Watching(current),
        KvReply::Written { version } => Expected::Written(version),
    }
}
