//! The transit engine: keys that do not leave the core, and their use. Planning looks and decides, applying cannot
//! fail: a refused request leaves nothing behind (V3). Using a key changes nothing: it is in the access log alone.

use std::collections::{BTreeMap, BTreeSet};

use vouchsafe_protocol::kv::SecretValue;
use vouchsafe_protocol::limits::{RANDOM_LEN, TRANSIT_ITEMS, TRANSIT_KEYS};
use vouchsafe_protocol::path::Path;
use vouchsafe_protocol::policy::{Capability, Permission};
use vouchsafe_protocol::refusal::RefusalCode;
use vouchsafe_protocol::transit::{KeyOptions, TransitOperation, TransitReply, TransitRequest};

use crate::names;
use crate::policy::Need;
use crate::ports::Ports;

mod change;
mod key;
mod requests;
mod usage;

pub(crate) use change::TransitChange;
use key::Key;
pub(crate) use requests::named;

/// The one place where the transit engine's paths are anchored: every key lives below it.
const TRANSIT_MOUNT: &str = "transit";

/// All keys, by canonical path.
#[derive(Default)]
pub(crate) struct Transit {
    keys: BTreeMap<Box<str>, Key>,
    /// When a key is to be rotated by the vault itself.
    due: BTreeSet<(u64, Box<str>)>,
}

/// What a request comes to.
struct Plan {
    pub reply: TransitReply,
    pub change: Option<TransitChange>,
    /// Versions used, made, given out or named; for the log.
    pub versions: BTreeSet<u32>,
    /// Items that failed; for the log.
    pub failed: u32,
}

impl Plan {
    fn look(reply: TransitReply, versions: impl IntoIterator<Item = u32>) -> Self {
        Self { reply, change: None, versions: versions.into_iter().collect(), failed: 0 }
    }

    fn change(change: TransitChange) -> Self {
        Self { change: Some(change), ..Self::look(TransitReply::Changed, None) }
    }

    /// A new version.
    fn made(version: u32, change: TransitChange) -> Self {
        Self { change: Some(change), ..Self::look(TransitReply::Version(version), Some(version)) }
    }
}

/// What `request` needs and what the log calls it; any identity may have random bytes.
pub(crate) fn need(request: &TransitRequest) -> Option<Need<'_, TransitOperation>> {
    use TransitOperation as Op;
    let below = matches!(request, TransitRequest::List { .. });
    let (operation, capability, path) = match request {
        TransitRequest::Configure { key, .. } => (Op::Configure, Capability::Manage, key),
        TransitRequest::Create { key, .. } => (Op::Create, Capability::Manage, key),
        TransitRequest::DataKey { key, .. } => (Op::DataKey, Capability::DataKey, key),
        TransitRequest::Decrypt { key, .. } => (Op::Decrypt, Capability::Decrypt, key),
        TransitRequest::Delete { key } => (Op::Delete, Capability::Manage, key),
        TransitRequest::Encrypt { key, .. } => (Op::Encrypt, Capability::Encrypt, key),
        TransitRequest::Export { key, .. } => (Op::Export, Capability::Export, key),
        TransitRequest::Import { key, .. } => (Op::Import, Capability::Manage, key),
        TransitRequest::List { prefix, .. } => (Op::List, Capability::List, prefix),
        TransitRequest::Metadata { key } => (Op::Metadata, Capability::List, key),
        TransitRequest::Random { .. } => return None,
        TransitRequest::Rewrap { key, .. } => (Op::Rewrap, Capability::Rewrap, key),
        TransitRequest::Rotate { key } => (Op::Rotate, Capability::Manage, key),
        TransitRequest::Sign { key, .. } => (Op::Sign, Capability::Sign, key),
        TransitRequest::Trim { key, .. } => (Op::Trim, Capability::Manage, key),
        TransitRequest::Verify { key, .. } => (Op::Verify, Capability::Verify, key),
    };
    Some(Need { operation, mount: TRANSIT_MOUNT, capability, path, below })
}

impl Transit {
    /// Decides on an authorised request without changing anything.
    fn plan(&self, request: TransitRequest, now: u64, ports: &mut dyn Ports) -> Result<Plan, RefusalCode> {
        match request {
            TransitRequest::Configure { key, config } => {
                let config = self.key(&key)?.configured(config)?;
                Ok(Plan::change(TransitChange::Configure { key, config }))
            }
            TransitRequest::Create { key, options } => {
                self.check_new(&key, &options)?;
                let version = key::make(options.kind, 1, now, ports)?;
                Ok(Plan::made(1, TransitChange::Create { key, options, version }))
            }
            TransitRequest::DataKey { key, form, len, items } => {
                self.key(&key)?.data_keys(&key, form, len, bounded(items)?, ports)
            }
            TransitRequest::Decrypt { key, items } => self.key(&key)?.decrypt(&key, bounded(items)?),
            TransitRequest::Delete { key } => match self.key(&key)?.config.deletion {
                Permission::Allowed => Ok(Plan::change(TransitChange::Delete { key })),
                Permission::Forbidden => Err(RefusalCode::KeyUse),
            },
            TransitRequest::Encrypt { key, version, items } => {
                self.key(&key)?.encrypt(&key, version, bounded(items)?, ports)
            }
            TransitRequest::Export { key, version } => self.key(&key)?.export(version),
            TransitRequest::Import { key, options, material } => {
                self.plan_import(key, options, &material, now)
            }
            TransitRequest::List { prefix, after } => {
                let (names, more) = names::page(&self.keys, &prefix, after.as_deref(), 0)?;
                Ok(Plan::look(TransitReply::Names { names, more }, None))
            }
            TransitRequest::Metadata { key } => {
                Ok(Plan::look(TransitReply::Metadata(self.key(&key)?.metadata()), None))
            }
            TransitRequest::Random { len } => {
                let len = Some(len).filter(|len| RANDOM_LEN.contains(len)).ok_or(RefusalCode::TooLarge)?;
                Ok(Plan::look(TransitReply::Random(random(len as usize, ports)?), None))
            }
            TransitRequest::Rewrap { key, items } => self.key(&key)?.rewrap(&key, bounded(items)?, ports),
            TransitRequest::Rotate { key } => self.plan_rotate(key, now, ports),
            TransitRequest::Sign { key, version, items } => {
                self.key(&key)?.sign(&key, version, bounded(items)?)
            }
            TransitRequest::Trim { key, below } => {
                self.key(&key)?.check_trim(below)?;
                Ok(Plan::change(TransitChange::Trim { key, below }))
            }
            TransitRequest::Verify { key, items } => self.key(&key)?.verify(&key, bounded(items)?),
        }
    }

    fn key(&self, path: &Path) -> Result<&Key, RefusalCode> {
        self.keys.get(path.as_str()).ok_or(RefusalCode::NotFound)
    }

    /// 1. The vault can make such a key.
    /// 2. Its kind can do what its options say.
    /// 3. There is none yet.
    /// 4. There is room for one more.
    fn check_new(&self, path: &Path, options: &KeyOptions) -> Result<(), RefusalCode> {
        if !options.kind.can_be_made() {
            return Err(RefusalCode::NotSupported);
        }
        self.check_options(path, options)
    }

    /// Steps 2 to 4 of [`Self::check_new`].
    fn check_options(&self, path: &Path, options: &KeyOptions) -> Result<(), RefusalCode> {
        if !key::fits(options) {
            return Err(RefusalCode::KeyUse);
        }
        if self.keys.contains_key(path.as_str()) {
            return Err(RefusalCode::Exists);
        }
        if self.keys.len() >= TRANSIT_KEYS { Err(RefusalCode::TooLarge) } else { Ok(()) }
    }

    /// Material comes in only where the key was made for it.
    fn plan_import(
        &self,
        key: Path,
        options: Option<KeyOptions>,
        material: &SecretValue,
        now: u64,
    ) -> Result<Plan, RefusalCode> {
        let (kind, import, number) = match &options {
            Some(options) => {
                self.check_options(&key, options)?;
                (options.kind, options.import, 1)
            }
            None => {
                let found = self.key(&key)?;
                (found.options.kind, found.options.import, found.next()?)
            }
        };
        if import == Permission::Forbidden {
            return Err(RefusalCode::KeyUse);
        }
        let version = key::import(kind, material, number, now)?;
        Ok(Plan::made(
            number,
            match options {
                Some(options) => TransitChange::Create { key, options, version },
                None => TransitChange::Version { key, version },
            },
        ))
    }

    fn plan_rotate(&self, key: Path, now: u64, ports: &mut dyn Ports) -> Result<Plan, RefusalCode> {
        let found = self.key(&key)?;
        if !found.options.kind.can_be_made() {
            return Err(RefusalCode::NotSupported);
        }
        let number = found.next()?;
        let version = key::make(found.options.kind, number, now, ports)?;
        Ok(Plan::made(number, TransitChange::Version { key, version }))
    }
}

/// A batch has 1 to [`TRANSIT_ITEMS`] items.
fn bounded<T>(items: Vec<T>) -> Result<Vec<T>, RefusalCode> {
    if (1..=TRANSIT_ITEMS).contains(&items.len()) { Ok(items) } else { Err(RefusalCode::TooLarge) }
}

fn random(len: usize, ports: &mut dyn Ports) -> Result<SecretValue, RefusalCode> {
    let mut bytes = zeroize::Zeroizing::new(vec![0; len]);
    ports.random(&mut bytes).map_err(|_| RefusalCode::Busy)?;
    Ok(SecretValue::new(std::mem::take(&mut *bytes)))
}
