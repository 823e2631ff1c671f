//! Settings of secrets: limits by path and by prefix, and custom metadata.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bounded;
use super::generator::KvGenerator;
use super::value::KvName;
use crate::limits::{KV_CUSTOM, KV_CUSTOM_LEN, KV_LIFE_SECS, KV_VERSIONS};
use crate::path::Path;

/// What settings are for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KvScope {
    /// Every secret strictly below a prefix, unless a longer prefix or the secret itself says otherwise.
    Below(Path),
    /// One secret.
    Secret(Path),
}

impl KvScope {
    /// The prefix, or the secret's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Below(path) | Self::Secret(path) => path,
        }
    }
}

/// Settings. What is not set here is as the longest prefix says that sets it, and else as by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvSettings {
    /// Versions that are kept, 1 to [`KV_VERSIONS`]; by default [`crate::limits::KV_VERSIONS_DEFAULT`]. The oldest
    /// are destroyed with the next one written.
    pub max_versions: Option<u16>,
    /// Whether a write must say which version it replaces; by default it need not.
    pub cas: Option<KvCasRule>,
    /// How long a version lives, in seconds, if its write does not say so; by default for ever.
    pub delete_after_secs: Option<u64>,
    /// What users say about a secret; not of a prefix.
    pub custom: BTreeMap<KvName, String>,
    /// What makes the secret's versions; not of a prefix.
    pub generator: Option<KvGenerator>,
}

/// Whether a write must say which version it replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KvCasRule {
    /// It may.
    Optional,
    /// It must.
    Required,
}

/// What is done to one setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Edit<T> {
    /// It is not set any more.
    Clear,
    /// It stays as it is.
    #[default]
    Keep,
    /// It is set.
    Set(T),
}

impl<T> Edit<T> {
    fn apply(self, to: &mut Option<T>) {
        match self {
            Self::Clear => *to = None,
            Self::Keep => {}
            Self::Set(value) => *to = Some(value),
        }
    }
}

/// What is done to settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvEdits {
    /// Of [`KvSettings::max_versions`].
    pub max_versions: Edit<u16>,
    /// Of [`KvSettings::cas`].
    pub cas: Edit<KvCasRule>,
    /// Of [`KvSettings::delete_after_secs`].
    pub delete_after_secs: Edit<u64>,
    /// Of [`KvSettings::custom`], by name; without a value it is removed.
    #[serde(deserialize_with = "bounded::list::<_, _, KV_CUSTOM>")]
    pub custom: Vec<(KvName, Option<String>)>,
    /// Of [`KvSettings::generator`].
    pub generator: Edit<KvGenerator>,
}

/// Why settings are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KvSettingsError {
    /// Versions kept.
    #[error("the versions kept are 1 to 256")]
    MaxVersions,
    /// A life.
    #[error("a version lives 1 second to 100 years")]
    Life,
    /// Custom metadata.
    #[error("custom metadata is at most 32 items of at most 512 bytes each")]
    Custom,
    /// The generator.
    #[error("the generator is not acceptable")]
    Generator(#[from] super::generator::KvGeneratorError),
    /// A generator or custom metadata of a prefix.
    #[error("custom metadata and a generator belong to one secret, not to a prefix")]
    OnePath,
}

impl KvSettings {
    /// These settings once `edits` were made.
    #[must_use]
    pub fn edited(mut self, edits: KvEdits) -> Self {
        let KvEdits { max_versions, cas, delete_after_secs, custom, generator } = edits;
        max_versions.apply(&mut self.max_versions);
        cas.apply(&mut self.cas);
        delete_after_secs.apply(&mut self.delete_after_secs);
        generator.apply(&mut self.generator);
        for (name, value) in custom {
            match value {
                Some(value) => drop(self.custom.insert(name, value)),
                None => drop(self.custom.remove(&name)),
            }
        }
        self
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`KvSettingsError`], by the setting that is beyond its limit.
    pub fn check(&self, scope: &KvScope) -> Result<(), KvSettingsError> {
        let Self { max_versions, cas: _, delete_after_secs, custom, generator } = self;
        if max_versions.is_some_and(|max| max == 0 || usize::from(max) > KV_VERSIONS) {
            return Err(KvSettingsError::MaxVersions);
        }
        if delete_after_secs.is_some_and(|secs| !KV_LIFE_SECS.contains(&secs)) {
            return Err(KvSettingsError::Life);
        }
        if custom.len() > KV_CUSTOM || custom.values().any(|value| value.len() > KV_CUSTOM_LEN) {
            return Err(KvSettingsError::Custom);
        }
        if matches!(scope, KvScope::Below(_)) && (!custom.is_empty() || generator.is_some()) {
            return Err(KvSettingsError::OnePath);
        }
        generator.as_ref().map_or(Ok(()), |generator| Ok(generator.check()?))
    }

    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
