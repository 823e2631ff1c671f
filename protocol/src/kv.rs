//! Versioned secrets: requests and replies.

use serde::{Deserialize, Serialize};

use crate::limits::KV_VERSIONS;
use crate::path::Path;

pub(crate) mod bounded;
mod generator;
mod made;
mod settings;
#[cfg(test)]
mod tests;
mod value;

pub use generator::{KvClass, KvGenerator, KvGeneratorError, KvKeyKind, KvRule};
pub use settings::{Edit, KvCasRule, KvEdits, KvScope, KvSettings, KvSettingsError};
pub use value::{KvFields, KvFieldsError, KvName, KvNameError, KvValue, SecretValue};

/// What to do with a secret.
#[derive(Debug, Serialize, Deserialize)]
pub enum KvRequest {
    /// Changes settings.
    Configure {
        /// Of what.
        scope: KvScope,
        /// How.
        edits: Box<KvEdits>,
    },
    /// Marks versions as deleted; they can be undeleted. Empty: the current version.
    Delete {
        /// Where.
        path: Path,
        /// Which.
        #[serde(deserialize_with = "bounded::list::<_, _, KV_VERSIONS>")]
        versions: Vec<u64>,
    },
    /// Wipes versions for good. Never empty.
    Destroy {
        /// Where.
        path: Path,
        /// Which.
        #[serde(deserialize_with = "bounded::list::<_, _, KV_VERSIONS>")]
        versions: Vec<u64>,
    },
    /// Wipes a secret with all its versions and settings, as if it had never been.
    Forget {
        /// Where.
        path: Path,
    },
    /// Sets the generator of a secret and makes its next version.
    Generate {
        /// Where.
        path: Path,
        /// What, and when again.
        generator: KvGenerator,
        /// What must be there now.
        cas: Cas,
    },
    /// Reads a version.
    Get {
        /// Where.
        path: Path,
        /// Which.
        select: KvSelect,
    },
    /// Names directly below a prefix, in order.
    List {
        /// The prefix.
        prefix: Path,
        /// Continue after this name.
        after: Option<String>,
        /// At most this many, and [`crate::limits::LIST_PAGE`]; 0 for as many as that.
        limit: u16,
    },
    /// Reads what is known about a secret, without its values.
    Metadata {
        /// Where.
        path: Path,
    },
    /// Writes a new version: the fields of the current one, some of them changed.
    Patch {
        /// Where.
        path: Path,
        /// Fields that are set.
        set: KvFields,
        /// Fields that go.
        #[serde(deserialize_with = "bounded::list::<_, _, { crate::limits::KV_FIELDS }>")]
        remove: Vec<KvName>,
        /// What must be there now.
        cas: Cas,
        /// Life of the version in seconds; as the settings say if none.
        ttl_secs: Option<u64>,
    },
    /// Writes a new version.
    Put {
        /// Where.
        path: Path,
        /// The value, at most [`crate::limits::KV_VALUE_LEN`] bytes.
        value: KvValue,
        /// What must be there now.
        cas: Cas,
        /// Life of the version in seconds; as the settings say if none.
        ttl_secs: Option<u64>,
    },
    /// Makes the next version with the secret's generator, now.
    Rotate {
        /// Where.
        path: Path,
    },
    /// Reads the settings of a prefix itself.
    Settings {
        /// The prefix.
        prefix: Path,
    },
    /// Takes a deletion back. Never empty.
    Undelete {
        /// Where.
        path: Path,
        /// Which.
        #[serde(deserialize_with = "bounded::list::<_, _, KV_VERSIONS>")]
        versions: Vec<u64>,
    },
    /// Ends a watch.
    Unwatch {
        /// Where.
        path: Path,
    },
    /// From now on this session is told of new versions, at most [`crate::limits::KV_WATCHES`] secrets at once.
    Watch {
        /// Where.
        path: Path,
        /// Told at once if the current version is a later one.
        after: u64,
    },
}

/// Which version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KvSelect {
    /// The newest.
    Current,
    /// The one before it.
    Previous,
    /// This one.
    Version(u64),
}

/// Check-and-set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cas {
    /// Whatever is there.
    Any,
    /// Exactly this current version; 0 means that there is no secret yet.
    Version(u64),
}

/// Answers.
#[derive(Debug, Serialize, Deserialize)]
pub enum KvReply {
    /// It was done.
    Changed,
    /// What is known.
    Metadata(Box<KvMetadata>),
    /// A page of names; `/` ends those that have more below. `more` says whether to ask again.
    Names {
        /// Names.
        names: Vec<String>,
        /// Whether there are more.
        more: bool,
    },
    /// Settings of a prefix; empty if it has none.
    Settings(Box<KvSettings>),
    /// A value and its version.
    Value {
        /// Version.
        version: u64,
        /// When it was written, seconds since 1970.
        created_secs: u64,
        /// When it ends, seconds since 1970.
        until_secs: Option<u64>,
        /// The value.
        value: KvValue,
    },
    /// The watch has begun.
    Watching {
        /// The current version; 0 if there is none.
        current: u64,
    },
    /// The version just written.
    Written {
        /// Version.
        version: u64,
    },
}

/// What is known about a secret, without its values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvMetadata {
    /// The current version; 0 if there is none.
    pub current: u64,
    /// Every version still known, oldest first.
    pub versions: Vec<KvVersion>,
    /// Its own settings.
    pub settings: KvSettings,
    /// Limits in force, its own and those of prefixes.
    pub limits: KvLimits,
    /// When the vault makes the next version by itself, seconds since 1970.
    pub next_secs: Option<u64>,
}

/// Limits in force for a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvLimits {
    /// Versions kept.
    pub max_versions: u16,
    /// Whether a write must say which version it replaces.
    pub cas: KvCasRule,
    /// Life of a version whose write does not say so, in seconds.
    pub delete_after_secs: Option<u64>,
}

/// One version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvVersion {
    /// Number, from 1.
    pub version: u64,
    /// When it was written, seconds since 1970.
    pub created_secs: u64,
    /// When it ends, or ended, seconds since 1970.
    pub until_secs: Option<u64>,
    /// What became of it.
    pub state: KvState,
}

/// What became of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KvState {
    /// Deleted; can be undeleted.
    Deleted,
    /// Gone for good.
    Destroyed,
    /// Its time is over; gone for good.
    Expired,
    /// Readable.
    Live,
}

/// What a session that watches is told: paths and their newest versions. Never a value; whoever is told reads it,
/// as far as policy lets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvNotice {
    /// At most [`crate::limits::KV_WATCHES`].
    #[serde(deserialize_with = "bounded::list::<_, _, { crate::limits::KV_WATCHES }>")]
    pub versions: Vec<(Path, u64)>,
}
