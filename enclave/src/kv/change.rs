//! Changes of secrets: what the journal holds, and the one way to apply it.

use serde::{Deserialize, Serialize};
use vouchsafe_protocol::kv::{KvGenerator, KvScope, KvSettings, KvValue};
use vouchsafe_protocol::path::Path;

use super::{Content, Extras, Held, Kv, Secret, Version};
use crate::state::Inconsistent;

/// One change. The order of variants is the stored form: append only.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum KvChange {
    /// A version was written.
    Write(Box<Write>),
    /// Versions were deleted.
    Delete { path: Path, versions: Vec<u64> },
    /// Versions were undeleted.
    Undelete { path: Path, versions: Vec<u64> },
    /// Versions were destroyed.
    Destroy { path: Path, versions: Vec<u64> },
    /// Versions were wiped because their time was over.
    Expire { path: Path, versions: Vec<u64> },
    /// A secret was wiped whole.
    Forget { path: Path },
    /// Settings are these from now on; the generator's next version is due then.
    Configure { scope: KvScope, settings: Box<KvSettings>, next_secs: Option<u64> },
}

/// A version that was written.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Write {
    pub path: Path,
    pub version: u64,
    pub created_secs: u64,
    /// When it ends.
    pub until_secs: Option<u64>,
    pub value: KvValue,
    /// When the version before it ends, if not earlier.
    pub retire_secs: Option<u64>,
    /// The generator that made it, and when it makes the next one.
    pub generator: Option<Box<(KvGenerator, Option<u64>)>>,
}

impl Kv {
    /// Applies a change that was planned against this very state.
    pub fn apply(&mut self, change: &KvChange) -> Result<(), Inconsistent> {
        match change {
            KvChange::Write(write) => self.apply_write(write)?,
            KvChange::Delete { path, versions } => {
                self.each(path, versions, |content| match content {
                    Content::Live(held) => Content::Deleted(held),
                    other => other,
                });
            }
            KvChange::Undelete { path, versions } => {
                self.each(path, versions, |content| match content {
                    Content::Deleted(held) => Content::Live(held),
                    other => other,
                });
            }
            KvChange::Destroy { path, versions } => self.each(path, versions, |_| Content::Destroyed),
            KvChange::Expire { path, versions } => self.each(path, versions, |_| Content::Expired),
            KvChange::Forget { path } => {
                let forgotten = self.secrets.remove_entry(path.as_str()).ok_or(Inconsistent)?;
                if let (path, Secret { due_secs: Some(at), .. }) = forgotten {
                    self.due.remove(&(at, path));
                }
            }
            KvChange::Configure { scope: KvScope::Below(prefix), settings, next_secs: _ } => {
                if settings.is_empty() {
                    self.prefixes.remove(prefix.as_str());
                } else {
                    self.prefixes.insert(prefix.as_str().into(), KvSettings::clone(settings));
                }
            }
            KvChange::Configure { scope: KvScope::Secret(path), settings, next_secs } => {
                let secret = self.secrets.entry(path.as_str().into()).or_default();
                let extras = Extras { settings: KvSettings::clone(settings), next_secs: *next_secs };
                secret.extras = (!settings.is_empty()).then(|| Box::new(extras));
                self.reschedule(path);
            }
        }
        Ok(())
    }

    /// Writes a version. Beyond what the settings keep, the oldest are destroyed.
    fn apply_write(&mut self, write: &Write) -> Result<(), Inconsistent> {
        let Write { path, version, created_secs, until_secs, value, retire_secs, generator } = write;
        let keep = usize::from(self.limits(path.as_str()).max_versions);
        let secret = self.secrets.entry(path.as_str().into()).or_default();
        if secret.current().checked_add(1) != Some(*version) {
            return Err(Inconsistent);
        }
        if let (Some(retire), Some(before)) = (retire_secs, secret.versions.last_mut()) {
            before.until_secs = Some(before.until_secs.map_or(*retire, |until| until.min(*retire)));
        }
        // Most secrets have one version: no room for more.
        secret.versions.reserve_exact(1);
        secret.versions.push(Version {
            number: *version,
            created_secs: *created_secs,
            until_secs: *until_secs,
            content: Content::Live(Held::new(value)),
        });
        let beyond = secret.versions.len().saturating_sub(keep);
        drop(secret.versions.drain(..beyond));
        if let Some((generator, next_secs)) = generator.as_deref() {
            let extras = secret
                .extras
                .get_or_insert_with(|| Box::new(Extras { settings: KvSettings::default(), next_secs: None }));
            extras.settings.generator = Some(generator.clone());
            extras.next_secs = *next_secs;
        }
        self.reschedule(path);
        Ok(())
    }

    fn each(&mut self, path: &Path, numbers: &[u64], change: impl Fn(Content) -> Content) {
        let versions =
            self.secrets.get_mut(path.as_str()).into_iter().flat_map(|secret| secret.versions.iter_mut());
        for version in versions.filter(|version| numbers.contains(&version.number)) {
            version.content = change(std::mem::replace(&mut version.content, Content::Destroyed));
        }
        self.reschedule(path);
    }

    /// Keeps [`Kv::due`] true for one secret.
    fn reschedule(&mut self, path: &Path) {
        let Some(secret) = self.secrets.get_mut(path.as_str()) else { return };
        let due = secret.due();
        if due == secret.due_secs {
            return;
        }
        if let Some(before) = std::mem::replace(&mut secret.due_secs, due) {
            self.due.remove(&(before, path.as_str().into()));
        }
        self.due.extend(due.map(|at| (at, path.as_str().into())));
    }
}

impl Secret {
    /// When something is to be done here next: a version wiped, or one made.
    fn due(&self) -> Option<u64> {
        let ends = self.versions.iter().filter(|version| version.content.is_held());
        let ends = ends.filter_map(|version| version.until_secs);
        ends.chain(self.extras.as_ref().and_then(|extras| extras.next_secs)).min()
    }
}

impl Content {
    pub(super) fn is_held(&self) -> bool {
        matches!(self, Self::Deleted(_) | Self::Live(_))
    }
}
