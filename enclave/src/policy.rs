//! Who may do what. Deny by default: what no grant covers is refused, whether or not it exists.

use vouchsafe_protocol::kv::{KvRequest, KvScope};
use vouchsafe_protocol::log::KvOperation;
use vouchsafe_protocol::path::Path;
use vouchsafe_protocol::policy::Capability;

/// The one place where the kv engine's paths are anchored: every secret lives below it.
pub(crate) const KV_MOUNT: &str = "kv";

/// What a request to an engine needs, where, and what the log calls it.
pub(crate) struct Need<'a, O = KvOperation> {
    pub operation: O,
    /// The first segment of all of the engine's paths.
    pub mount: &'static str,
    pub capability: Capability,
    pub path: &'a Path,
    /// Whether the grant must cover everything below the path, rather than the path itself.
    pub below: bool,
}

impl<'a> Need<'a> {
    /// What `request` needs.
    pub fn of(request: &'a KvRequest) -> Self {
        let (operation, capability, path, below) = match request {
            KvRequest::Configure { scope, .. } => {
                let below = matches!(scope, KvScope::Below(_));
                (KvOperation::Configure, Capability::Manage, scope.path(), below)
            }
            KvRequest::Delete { path, .. } => (KvOperation::Delete, Capability::Delete, path, false),
            KvRequest::Destroy { path, .. } => (KvOperation::Destroy, Capability::Destroy, path, false),
            KvRequest::Forget { path } => (KvOperation::Forget, Capability::Destroy, path, false),
            KvRequest::Generate { path, .. } => (KvOperation::Generate, Capability::Manage, path, false),
            KvRequest::Get { path, .. } => (KvOperation::Get, Capability::Read, path, false),
            KvRequest::List { prefix, .. } => (KvOperation::List, Capability::List, prefix, true),
            KvRequest::Metadata { path } => (KvOperation::Metadata, Capability::List, path, false),
            KvRequest::Patch { path, .. } => (KvOperation::Patch, Capability::Write, path, false),
            KvRequest::Put { path, .. } => (KvOperation::Put, Capability::Write, path, false),
            KvRequest::Rotate { path } => (KvOperation::Rotate, Capability::Write, path, false),
            KvRequest::Settings { prefix } => (KvOperation::Settings, Capability::List, prefix, true),
            KvRequest::Undelete { path, .. } => (KvOperation::Undelete, Capability::Delete, path, false),
            KvRequest::Unwatch { path } => (KvOperation::Unwatch, Capability::Read, path, false),
            KvRequest::Watch { path, .. } => (KvOperation::Watch, Capability::Read, path, false),
        };
        Self { operation, mount: KV_MOUNT, capability, path, below }
    }

    /// What reading a secret needs.
    pub fn read(path: &'a Path) -> Self {
        Self {
            operation: KvOperation::Get,
            mount: KV_MOUNT,
            capability: Capability::Read,
            path,
            below: false,
        }
    }
}

impl<'a, O> Need<'a, O> {
    /// The same, whatever the engine calls it.
    pub fn erased(self) -> Need<'a, ()> {
        let Self { operation: _, mount, capability, path, below } = self;
        Need { operation: (), mount, capability, path, below }
    }

    /// Whether the path is one of the engine's: the mount itself can only be listed.
    pub fn in_mount(&self) -> bool {
        let rest = self.path.as_str().strip_prefix(self.mount);
        rest.is_some_and(|rest| rest.starts_with('/') || (self.below && rest.is_empty()))
    }
}

/// What operators may do: write and manage secrets and keys, and neither read nor use one. Values go to attested agents.
pub(crate) fn operators_may(capability: Capability) -> bool {
    match capability {
        Capability::Delete
        | Capability::Destroy
        | Capability::List
        | Capability::Manage
        | Capability::Write => true,
        Capability::DataKey
        | Capability::Decrypt
        | Capability::Derive
        | Capability::Encrypt
        | Capability::Export
        | Capability::Read
        | Capability::Rewrap
        | Capability::Sign
        | Capability::Verify => false,
    }
}
