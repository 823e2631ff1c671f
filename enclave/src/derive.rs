//! The derive engine: keys for an attested role and a label, always the same and never stored. What is stored is one
//! seed, and the versions of labels that were rotated or configured.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vouchsafe_crypto::derive::{Purpose, derived_key};
use vouchsafe_crypto::secret::Key32;
use vouchsafe_protocol::derive::{DeriveOperation, DeriveReply, DeriveRequest, LabelMetadata};
use vouchsafe_protocol::id::{RoleName, VaultId};
use vouchsafe_protocol::kv::SecretValue;
use vouchsafe_protocol::limits::{DERIVE_LABELS, DERIVED_KEY_LEN};
use vouchsafe_protocol::log::Action;
use vouchsafe_protocol::path::Path;
use vouchsafe_protocol::policy::Capability;
use vouchsafe_protocol::refusal::RefusalCode;
use vouchsafe_protocol::session::Reply;

use crate::change::{Change, IdentitySubject};
use crate::core::Core;
use crate::names;
use crate::policy::Need;
use crate::ports::Ports;
use crate::requests::Decided;
use crate::state::Inconsistent;

/// The one place where the derive engine's labels are anchored: every label lies below it.
const DERIVE_MOUNT: &str = "derive";

/// A label that was neither rotated nor configured.
const UNTOUCHED: LabelMetadata = LabelMetadata { current: 1, min_version: 1, rotated_secs: 0 };

/// The seed, once one was needed, and labels that were touched.
#[derive(Default)]
pub(crate) struct Derive {
    seed: Option<Key32>,
    labels: BTreeMap<Box<str>, LabelMetadata>,
}

/// One change. The order of variants is the stored form: append only.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum DeriveChange {
    /// The vault's seed, before the first key. Never another.
    Seed(SecretValue),
    /// A label is this from now on.
    Label { label: Path, metadata: LabelMetadata },
}

/// What a request comes to.
struct Plan {
    pub reply: DeriveReply,
    pub change: Option<DeriveChange>,
    pub version: Option<u32>,
}

impl Plan {
    fn look(reply: DeriveReply, version: Option<u32>) -> Self {
        Self { reply, change: None, version }
    }
}

/// What `request` needs and what the log calls it.
pub(crate) fn need(request: &DeriveRequest) -> Need<'_, DeriveOperation> {
    use DeriveOperation as Op;
    let below = matches!(request, DeriveRequest::List { .. });
    let (operation, capability, path) = match request {
        DeriveRequest::Configure { label, .. } => (Op::Configure, Capability::Manage, label),
        DeriveRequest::Key { label, .. } => (Op::Key, Capability::Derive, label),
        DeriveRequest::List { prefix, .. } => (Op::List, Capability::List, prefix),
        DeriveRequest::Metadata { label } => (Op::Metadata, Capability::List, label),
        DeriveRequest::Rotate { label } => (Op::Rotate, Capability::Manage, label),
    };
    Need { operation, mount: DERIVE_MOUNT, capability, path, below }
}

/// What the log calls a request, if it is refused.
pub(crate) fn named(request: &DeriveRequest) -> Action {
    let Need { operation, path: label, .. } = need(request);
    let version = match request {
        DeriveRequest::Configure { min_version, .. } => Some(*min_version),
        DeriveRequest::Key { version, .. } => *version,
        _ => None,
    };
    Action::Derive { operation, label: label.to_string(), version }
}

impl Core {
    pub(crate) fn decide_derive(
        &self,
        subject: &IdentitySubject,
        request: DeriveRequest,
        now: u64,
        ports: &mut dyn Ports,
    ) -> Result<Decided, RefusalCode> {
        let mut action = named(&request);
        let role = match subject {
            IdentitySubject::Agent { role, .. } => Some(role),
            IdentitySubject::Operator(_) => None,
        };
        let state = self.state();
        let plan = state.derive.plan(request, (&state.vault_id, role), now, ports)?;
        if let Action::Derive { version, .. } = &mut action {
            *version = plan.version.or(*version);
        }
        Ok(Decided { action, change: plan.change.map(Change::Derive), reply: Reply::Derive(plan.reply) })
    }
}

impl Derive {
    /// Decides on an authorised request without changing anything. `role` is the agent's; operators have none.
    fn plan(
        &self,
        request: DeriveRequest,
        (vault, role): (&VaultId, Option<&RoleName>),
        now: u64,
        ports: &mut dyn Ports,
    ) -> Result<Plan, RefusalCode> {
        match request {
            DeriveRequest::Configure { label, min_version } => {
                let known = self.label(&label);
                if !(known.min_version..=known.current).contains(&min_version) {
                    return Err(RefusalCode::Settings);
                }
                self.touch(label, LabelMetadata { min_version, ..known }, DeriveReply::Changed)
            }
            DeriveRequest::Key { label, version, len } => {
                let role = role.ok_or(RefusalCode::Denied)?;
                let known = self.label(&label);
                let version = version.unwrap_or(known.current);
                if !DERIVED_KEY_LEN.contains(&len) {
                    return Err(RefusalCode::TooLarge);
                }
                if !(known.min_version..=known.current).contains(&version) {
                    return Err(RefusalCode::NotFound);
                }
                let vault = &vault.to_bytes();
                let purpose = Purpose { vault, role: role.as_str(), label: label.as_str(), version, len };
                self.key(&purpose, ports)
            }
            DeriveRequest::List { prefix, after } => {
                let (names, more) = names::page(&self.labels, &prefix, after.as_deref(), 0)?;
                Ok(Plan::look(DeriveReply::Names { names, more }, None))
            }
            DeriveRequest::Metadata { label } => {
                Ok(Plan::look(DeriveReply::Metadata(self.label(&label)), None))
            }
            DeriveRequest::Rotate { label } => {
                let known = self.label(&label);
                let current = known.current.checked_add(1).ok_or(RefusalCode::TooLarge)?;
                let rotated = LabelMetadata { current, rotated_secs: now, ..known };
                self.touch(label, rotated, DeriveReply::Version(current))
            }
        }
    }

    fn label(&self, label: &Path) -> LabelMetadata {
        self.labels.get(label.as_str()).copied().unwrap_or(UNTOUCHED)
    }

    /// The key. The first one of a vault makes the seed, which is durable before the key is given.
    fn key(&self, purpose: &Purpose<'_>, ports: &mut dyn Ports) -> Result<Plan, RefusalCode> {
        let derive = |seed: &Key32| DeriveReply::Key {
            version: purpose.version,
            key: SecretValue::new(derived_key(seed, purpose).expose_secret().to_vec()),
        };
        if let Some(seed) = &self.seed {
            return Ok(Plan::look(derive(seed), Some(purpose.version)));
        }
        let seed = Key32::fill_with(|bytes| ports.random(bytes)).map_err(|_| RefusalCode::Busy)?;
        let change = DeriveChange::Seed(SecretValue::new(seed.expose_secret().to_vec()));
        Ok(Plan { change: Some(change), ..Plan::look(derive(&seed), Some(purpose.version)) })
    }

    fn touch(&self, label: Path, metadata: LabelMetadata, reply: DeriveReply) -> Result<Plan, RefusalCode> {
        if !self.labels.contains_key(label.as_str()) && self.labels.len() >= DERIVE_LABELS {
            return Err(RefusalCode::TooLarge);
        }
        let version = match reply {
            DeriveReply::Version(version) => version,
            _ => metadata.min_version,
        };
        Ok(Plan { reply, change: Some(DeriveChange::Label { label, metadata }), version: Some(version) })
    }

    /// Applies a change that was planned against this very state.
    pub fn apply(&mut self, change: &DeriveChange) -> Result<(), Inconsistent> {
        match change {
            DeriveChange::Seed(seed) => {
                let mut bytes = zeroize::Zeroizing::new(seed.expose_secret().to_vec());
                let seed = Key32::take(&mut bytes).ok_or(Inconsistent)?;
                if self.seed.replace(seed).is_some() {
                    return Err(Inconsistent);
                }
            }
            DeriveChange::Label { label, metadata } => {
                self.labels.insert(label.as_str().into(), *metadata);
            }
        }
        Ok(())
    }

    /// Feeds everything to a digest of the state, each part framed.
    pub fn digest_into(&self, part: &mut dyn FnMut(&[u8])) {
        part(self.seed.as_ref().map_or(&[], |seed| seed.expose_secret().as_slice()));
        for (label, LabelMetadata { current, min_version, rotated_secs }) in &self.labels {
            part(label.as_bytes());
            part(&current.to_be_bytes());
            part(&min_version.to_be_bytes());
            part(&rotated_secs.to_be_bytes());
        }
    }
}
