//! The log as it travels: audit entries, checkpoints, receipts and sealed frames.
//!
//! Two streams (journal and access log) are RFC 6962 Merkle trees. A leaf commits to one audit entry and to
//! the sealed state that goes with it; the tree itself needs no key to be built.

use serde::{Deserialize, Serialize};

use crate::derive::DeriveOperation;
use crate::id::{OperatorName, RoleName};
use crate::lease::Selector;
use crate::link::StreamId;
use crate::policy::PlatformKind;
use crate::refusal::RefusalCode;
use crate::transit::TransitOperation;

/// One entry: who, what, when, decision. Never a secret value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Random, so that the leaf's hash does not tell the entry.
    pub blind: [u8; 16],
    /// Seconds since 1970, by the enclave's clock.
    pub at_secs: u64,
    /// Who.
    pub actor: Actor,
    /// The place in its session of the request that this is about; none outside of sessions.
    pub request: Option<RequestRef>,
    /// What.
    pub action: Action,
    /// Decision; a refusal changes nothing.
    pub decision: Decision,
    /// By which rule of its role.
    pub rule: PolicyRule,
    /// The lease that was handed out, renewed or ended.
    pub lease: Option<u64>,
}

/// The rule of a role that decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PolicyRule {
    /// No rule was asked, or none matched.
    #[default]
    None,
    /// This allow rule, from 1.
    Allow(u16),
    /// This deny rule, from 1.
    Deny(u16),
}

/// A request's place in the signed chain of its session. With the chain's start and signature, which
/// [`Action::ChainHead`] holds, and the key, which [`Action::Introduce`] holds, anyone who can read the log can
/// verify that the holder of that key asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRef {
    /// The session: the first 16 bytes of its chain's start.
    pub session: [u8; 16],
    /// Number of the request, from 1.
    pub number: u64,
    /// Whether a receipt was asked for; part of the chain.
    pub receipt: bool,
    /// SHA-256 of the encoded request.
    pub digest: [u8; 32],
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Actor {
    /// An introduced agent.
    Agent {
        /// Role.
        role: RoleName,
        /// Serial number of its identity.
        identity: u64,
        /// SHA-256 of the evidence that the identity rests on.
        evidence: [u8; 32],
        /// Kind of platform that the evidence is of.
        platform: PlatformKind,
    },
    /// An operator.
    Operator(OperatorName),
    /// Somebody who has shown nothing yet, asking for a role.
    Unknown(RoleName),
    /// The vault itself.
    Vault,
}

/// What was done or asked for. The order of variants is the stored form: append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// The audit key was handed to an operator.
    AuditKey,
    /// A signed head of a session's request chain: the holder of the session's key cannot deny the requests up
    /// to here.
    ChainHead {
        /// The chain's start; its first 16 bytes name the session.
        start: [u8; 32],
        /// Number of the last request covered.
        upto: u64,
        /// The chain after that request.
        head: [u8; 32],
        /// The identity's signature over it.
        signature: Vec<u8>,
    },
    /// An enclave began an epoch.
    EpochBegin {
        /// Epoch.
        epoch: u64,
    },
    /// An enclave stopped in order; the next one knows that nothing came after.
    EpochEnd {
        /// Epoch.
        epoch: u64,
        /// Size of the epoch's access log.
        access_size: u64,
        /// Its root.
        access_root: [u8; 32],
    },
    /// The vault was created.
    Init,
    /// An identity was issued, or refused.
    Introduce {
        /// The public key, P-256 SubjectPublicKeyInfo; empty if a refused one was of another form.
        key: Vec<u8>,
        /// SHA-256 of the evidence; zero for an operator's key.
        evidence: [u8; 32],
        /// Stable name of the rule that refused it.
        rule: Option<String>,
    },
    /// A request to the kv engine.
    Kv {
        /// Operation.
        operation: KvOperation,
        /// Where.
        path: String,
        /// Versions read, written, deleted, undeleted or destroyed; of a refusal, those named.
        versions: Vec<u64>,
    },
    /// Something was looked at: status, roles, log.
    Look,
    /// Roles were applied: each by name, with the SHA-256 of its typed form.
    RoleApply(Vec<(RoleName, [u8; 32])>),
    /// The vault was sealed.
    Seal,
    /// An attestation result was signed, over this nonce.
    AttestationResult {
        /// Nonce of the relying party.
        nonce: Vec<u8>,
    },
    /// Collateral was imported: the SHA-256 of each item.
    CollateralImport(Vec<[u8; 32]>),
    /// What the vault knows of a TPM's clock was forgotten.
    ForgetTpm {
        /// Names the attestation key: see [`crate::seen::SeenClock`].
        key: [u8; 32],
    },
    /// Identities were ended before their time.
    Revoke {
        /// Serial numbers.
        identities: Vec<u64>,
        /// Stable code of the rule that ended them.
        rule: String,
    },
    /// A request to the transit engine; of the vault itself when a rotation is due.
    Transit {
        /// Operation.
        operation: TransitOperation,
        /// The key; empty for random bytes.
        path: String,
        /// Versions used, made, given out or named; distinct, ascending.
        versions: Vec<u32>,
        /// Items of the batch; 0 for what takes none.
        items: u32,
        /// Those of them that were refused, or whose signature is not one.
        failed: u32,
    },
    /// A request to the derive engine.
    Derive {
        /// Operation.
        operation: DeriveOperation,
        /// The label.
        label: String,
        /// The version derived, made or named.
        version: Option<u32>,
    },
    /// Leases were looked at.
    LeaseList,
    /// A lease was renewed.
    LeaseRenew {
        /// What it is for; empty if the caller holds no such lease.
        path: String,
    },
    /// It was decided to end identities or leases.
    LeaseRevoke(Selector),
    /// The vault forgot leases and identities that had ended.
    CleanUp,
}

/// Operations of the kv engine. The order of variants is the stored form: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KvOperation {
    /// Delete.
    Delete,
    /// Destroy.
    Destroy,
    /// Get.
    Get,
    /// List.
    List,
    /// Metadata.
    Metadata,
    /// Put.
    Put,
    /// Undelete.
    Undelete,
    /// Configure.
    Configure,
    /// The vault wiped versions whose time was over.
    Expire,
    /// Forget.
    Forget,
    /// Generate.
    Generate,
    /// A session that watches was told of a version.
    Notice,
    /// Patch.
    Patch,
    /// Rotate; of the vault itself when it is due.
    Rotate,
    /// Settings of a prefix were read.
    Settings,
    /// Unwatch.
    Unwatch,
    /// Watch.
    Watch,
}

/// The decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// Done.
    Allowed,
    /// Refused.
    Refused(RefusalCode),
}

/// A sealed frame: one group commit of one stream, as the host stores it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedFrame {
    /// Format version; 1.
    pub version: u8,
    /// Names the vault to whoever holds its audit key, so that a frame of another vault is told from an edited
    /// one. Says nothing to anyone else.
    pub vault: [u8; 8],
    /// The stream.
    pub stream: StreamId,
    /// Index of the frame in its stream.
    pub index: u64,
    /// Epoch of the enclave that wrote it.
    pub epoch: u64,
    /// Random, one per writer session: its keys are derived from it, so that no key and nonce pair repeats.
    pub writer: [u8; 32],
    /// SHA-256 of the frame before, as stored; zero for the first.
    pub previous: [u8; 32],
    /// Number of leaves before this frame.
    pub first_leaf: u64,
    /// Merkle leaf hashes of the entries of this frame.
    pub leaves: Vec<[u8; 32]>,
    /// The audit entries, sealed under the audit key: what an auditor opens.
    #[serde(with = "serde_bytes")]
    pub sealed_audit: Vec<u8>,
    /// The changes of state, sealed under the journal key; empty in an access log.
    #[serde(with = "serde_bytes")]
    pub sealed_state: Vec<u8>,
}

/// Proof that an entry is in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The stream.
    pub stream: StreamId,
    /// Index of the leaf.
    pub leaf_index: u64,
    /// The entry, encoded; the caller's own, so it may see it.
    pub entry: Vec<u8>,
    /// HMAC-SHA256 of the state change that goes with it, under a key of its writer, so that nobody can guess the
    /// change; zero if there is none.
    pub state_digest: [u8; 32],
    /// RFC 6962 inclusion proof, from the leaf up.
    pub proof: Vec<[u8; 32]>,
    /// C2SP signed note over the tree that the proof leads to.
    pub checkpoint: Vec<u8>,
}
