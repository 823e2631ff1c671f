//! Changes of keys: what the journal holds, and the one way to apply it.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use vouchsafe_crypto::secret::SecretBytes;
use vouchsafe_protocol::codec;
use vouchsafe_protocol::kv::SecretValue;
use vouchsafe_protocol::path::Path;
use vouchsafe_protocol::transit::{KeyConfiguration, KeyOptions};

use super::Transit;
use super::key::{Key, Version};
use crate::state::Inconsistent;

/// One change. The order of variants is the stored form: append only.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum TransitChange {
    /// A key was made or brought.
    Create { key: Path, options: KeyOptions, version: NewVersion },
    /// Its next version was made or brought.
    Version { key: Path, version: NewVersion },
    /// Settings are these from now on.
    Configure { key: Path, config: KeyConfiguration },
    /// Versions below this one were wiped.
    Trim { key: Path, below: u32 },
    /// A key was wiped whole.
    Delete { key: Path },
}

/// A version as it comes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NewVersion {
    pub version: u32,
    pub created_secs: u64,
    pub material: SecretValue,
    /// DER SubjectPublicKeyInfo of a kind that signs; so that a restart does no curve arithmetic.
    pub public: Vec<u8>,
}

impl From<&NewVersion> for Version {
    fn from(NewVersion { version, created_secs, material, public }: &NewVersion) -> Self {
        Self {
            number: *version,
            created_secs: *created_secs,
            material: SecretBytes::new(material.expose_secret().to_vec()),
            public: public.as_slice().into(),
            ready: OnceLock::new(),
        }
    }
}

impl Transit {
    /// Applies a change that was planned against this very state.
    pub fn apply(&mut self, change: &TransitChange) -> Result<(), Inconsistent> {
        let path = match change {
            TransitChange::Create { key, options, version } => {
                let new = Key::new(*options, version.into());
                if version.version != 1 || self.keys.insert(key.as_str().into(), new).is_some() {
                    return Err(Inconsistent);
                }
                key
            }
            TransitChange::Version { key, version } => {
                let found = self.keys.get_mut(key.as_str()).ok_or(Inconsistent)?;
                if found.next() != Ok(version.version) {
                    return Err(Inconsistent);
                }
                found.versions.push(version.into());
                key
            }
            TransitChange::Configure { key, config } => {
                self.keys.get_mut(key.as_str()).ok_or(Inconsistent)?.config = *config;
                key
            }
            TransitChange::Trim { key, below } => {
                let found = self.keys.get_mut(key.as_str()).ok_or(Inconsistent)?;
                found.check_trim(*below).map_err(|_| Inconsistent)?;
                found.versions.retain(|version| version.number >= *below);
                key
            }
            TransitChange::Delete { key } => {
                let removed = self.keys.remove(key.as_str()).ok_or(Inconsistent)?;
                if let Some(at) = removed.due_secs {
                    self.due.remove(&(at, key.as_str().into()));
                }
                key
            }
        };
        self.reschedule(path);
        Ok(())
    }

    /// Keeps what is due true for one key.
    fn reschedule(&mut self, path: &Path) {
        let Some(key) = self.keys.get_mut(path.as_str()) else { return };
        let due = key.due();
        if let Some(before) = std::mem::replace(&mut key.due_secs, due) {
            self.due.remove(&(before, path.as_str().into()));
        }
        self.due.extend(due.map(|at| (at, path.as_str().into())));
    }

    /// Feeds everything to a digest of the state, each part framed.
    pub fn digest_into(&self, part: &mut dyn FnMut(&[u8])) {
        for (path, Key { options, config, versions, due_secs }) in &self.keys {
            part(path.as_bytes());
            part(&codec::encode(&(options, config, due_secs, versions.len() as u64)).unwrap_or_default());
            for Version { number, created_secs, material, public, ready: _ } in versions {
                part(&number.to_be_bytes());
                part(&created_secs.to_be_bytes());
                part(material.expose_secret());
                part(public);
            }
        }
    }
}
