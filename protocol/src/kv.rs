//! Versioned secrets: requests and replies.

use core::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::path::Path;

/// A secret value on its way through the inner session. Wiped on drop and never printed; it can be encoded
/// because that is what it is for, so only messages of the inner session contain one.
pub struct SecretValue(Zeroizing<Vec<u8>>);

impl Serialize for SecretValue {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretValue {
    /// In one piece: a vector that grew would leave parts of the secret behind.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_bytes::deserialize::<Vec<u8>, D>(deserializer).map(Self::new)
    }
}

impl SecretValue {
    /// Takes the bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, borrowed at the last moment.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretValue({} bytes)", self.0.len())
    }
}

/// What to do with a secret.
#[derive(Debug, Serialize, Deserialize)]
pub enum KvRequest {
    /// Marks versions as deleted; they can be undeleted. Empty: the current version.
    Delete {
        /// Where.
        path: Path,
        /// Which.
        versions: Vec<u64>,
    },
    /// Wipes versions for good. Never empty.
    Destroy {
        /// Where.
        path: Path,
        /// Which.
        versions: Vec<u64>,
    },
    /// Reads a version.
    Get {
        /// Where.
        path: Path,
        /// Which; the current one if none.
        version: Option<u64>,
    },
    /// Names directly below a prefix, in order, at most [`crate::limits::LIST_PAGE`].
    List {
        /// The prefix.
        prefix: Path,
        /// Continue after this name.
        after: Option<String>,
    },
    /// Reads what is known about a secret, without its values.
    Metadata {
        /// Where.
        path: Path,
    },
    /// Writes a new version.
    Put {
        /// Where.
        path: Path,
        /// The value, at most [`crate::limits::KV_VALUE_LEN`] bytes.
        value: SecretValue,
        /// What must be there now.
        cas: Cas,
    },
    /// Takes a deletion back. Never empty.
    Undelete {
        /// Where.
        path: Path,
        /// Which.
        versions: Vec<u64>,
    },
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
    /// Delete, undelete or destroy was done.
    Changed,
    /// A page of names; `/` ends those that have more below. `more` says whether to ask again.
    Names {
        /// Names.
        names: Vec<String>,
        /// Whether there are more.
        more: bool,
    },
    /// A value and its version.
    Value {
        /// Version.
        version: u64,
        /// When it was written, seconds since 1970.
        created_secs: u64,
        /// The value.
        value: SecretValue,
    },
    /// What is known.
    Metadata(KvMetadata),
    /// The version just written.
    Written {
        /// Version.
        version: u64,
    },
}

/// What is known about a secret, without its values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvMetadata {
    /// The current version.
    pub current: u64,
    /// Every version still known, oldest first.
    pub versions: Vec<KvVersion>,
}

/// One version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvVersion {
    /// Number, from 1.
    pub version: u64,
    /// When it was written, seconds since 1970.
    pub created_secs: u64,
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
    /// Readable.
    Live,
}
