//! Keys derived for an attested identity and a label: requests and replies of the derive engine.
//!
//! A label is a whole canonical path, its mount included: `derive/disk/data`. A role, a label, a version and a vault
//! always give the same key, on every machine and release that the role accepts, and no other gives it.

use serde::{Deserialize, Serialize};

use crate::kv::SecretValue;
use crate::path::Path;

/// What to do with a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeriveRequest {
    /// Raises the lowest version that is still derived.
    Configure {
        /// Which label.
        label: Path,
        /// From the one in force to the current version.
        min_version: u32,
    },
    /// Derives a key for the asking identity's role.
    Key {
        /// Which label.
        label: Path,
        /// Which version; the current one if none.
        version: Option<u32>,
        /// Length in bytes, [`crate::limits::DERIVED_KEY_LEN`]. Keys of other lengths are other keys.
        len: u8,
    },
    /// Names directly below a prefix that were rotated or configured, in order, at most
    /// [`crate::limits::LIST_PAGE`]. Every other label exists as well, with one version.
    List {
        /// The prefix.
        prefix: Path,
        /// Continue after this name.
        after: Option<String>,
    },
    /// What is known about a label.
    Metadata {
        /// Which label.
        label: Path,
    },
    /// Makes the next version the current one; older ones are derived until `min_version` is raised.
    Rotate {
        /// Which label.
        label: Path,
    },
}

/// Operations, as the log names them. The order of variants is the stored form: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeriveOperation {
    /// Configure.
    Configure,
    /// A key was derived.
    Key,
    /// List.
    List,
    /// Metadata.
    Metadata,
    /// Rotate.
    Rotate,
}

/// Answers.
#[derive(Debug, Serialize, Deserialize)]
pub enum DeriveReply {
    /// Configure was done.
    Changed,
    /// A key.
    Key {
        /// Version.
        version: u32,
        /// The key.
        key: SecretValue,
    },
    /// What is known.
    Metadata(LabelMetadata),
    /// A page of names; `/` ends those that have more below. `more` says whether to ask again.
    Names {
        /// Names.
        names: Vec<String>,
        /// Whether there are more.
        more: bool,
    },
    /// The version that is current after a rotation.
    Version(u32),
}

/// What is known about a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelMetadata {
    /// The current version, from 1.
    pub current: u32,
    /// The lowest version that is still derived.
    pub min_version: u32,
    /// When the current version became so, seconds since 1970; 0 for a label that was never rotated.
    pub rotated_secs: u64,
}
