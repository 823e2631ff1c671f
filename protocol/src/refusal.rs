//! Why the vault refuses: short stable codes, the only thing about a failure that crosses the boundary.

use serde::{Deserialize, Serialize};

/// A refusal. `rule` names the rule that failed, only where the role's policy allows telling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}{}", rule.as_ref().map(|rule| format!(" ({rule})")).unwrap_or_default())]
pub struct Refusal {
    /// Stable code.
    pub code: RefusalCode,
    /// Stable name of the rule of verification or policy.
    pub rule: Option<String>,
}

impl From<RefusalCode> for Refusal {
    fn from(code: RefusalCode) -> Self {
        Self { code, rule: None }
    }
}

/// Stable codes. The order is the wire form: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum RefusalCode {
    /// Not a message of this protocol in canonical form, or beyond a limit.
    #[error("the message is malformed or beyond a limit")]
    Malformed,
    /// No common version.
    #[error("no common protocol version")]
    Version,
    /// The caller expects another vault.
    #[error("this is another vault than the caller expects")]
    WrongVault,
    /// The challenge is not ours, or not for this hello.
    #[error("the challenge is not valid here")]
    Challenge,
    /// The challenge is older than its lifetime.
    #[error("the challenge has expired; ask for a new one")]
    ChallengeExpired,
    /// The challenge was used before.
    #[error("the challenge was used before; ask for a new one")]
    ChallengeUsed,
    /// Evidence, residency or role: not accepted. Which of them is told only in `rule`, if at all.
    #[error("the evidence is not accepted for this role")]
    Evidence,
    /// The identity key did not sign this proof, or is not the operator's pinned key.
    #[error("the proof is not signed by the identity key")]
    Possession,
    /// Too much of something; try later.
    #[error("the vault is busy; try again later")]
    Busy,
    /// The vault is sealed.
    #[error("the vault is sealed; restart its enclave to serve again")]
    Sealed,
    /// There is no vault yet.
    #[error("there is no vault here yet; create one with 'vouchsafe init'")]
    NotInitialised,
    /// There is one already.
    #[error("there is a vault here already")]
    AlreadyInitialised,
    /// The request to initialise is not acceptable (no operators, unusable anchors, simulated mismatch).
    #[error("the initialisation request is not acceptable")]
    Init,
    /// Policy does not allow it.
    #[error("policy does not allow this")]
    Denied,
    /// Nothing there.
    #[error("there is nothing at this path")]
    NotFound,
    /// The version expected is not the current one.
    #[error("the current version is not the one expected; read it and try again")]
    CasMismatch,
    /// This version was deleted or destroyed.
    #[error("this version is deleted")]
    Deleted,
    /// The path is not in canonical form.
    #[error("the path is not in canonical form")]
    Path,
    /// The value or the list is beyond a limit.
    #[error("the request is beyond a limit")]
    TooLarge,
    /// The evidence behind this session is older than its role allows.
    #[error("the evidence behind this session is too old; introduce again")]
    EvidenceExpired,
    /// The identity is not, or no longer, valid.
    #[error("the identity is not valid; introduce again")]
    Identity,
    /// A request does not continue the session's chain, or its signature does not verify.
    #[error("the request chain is broken")]
    Chain,
    /// More requests than allowed are unsigned.
    #[error("too many requests are unsigned")]
    Unsigned,
    /// A role does not pass validation.
    #[error("the role is not valid")]
    Role,
    /// The vault cannot store; nothing was done.
    #[error("the vault cannot reach its storage; nothing was changed")]
    Storage,
    /// This version was destroyed.
    #[error("this version was destroyed and cannot come back")]
    Destroyed,
    /// An item of collateral is not what it should be, or does not fit what is there. `rule` says which and why.
    #[error("the collateral is not acceptable; nothing was imported")]
    Collateral,
    /// Writes to this path must say which version they replace.
    #[error("this path is written with check-and-set only; say which version is replaced")]
    CasRequired,
    /// The version's time is over.
    #[error("this version has expired")]
    Expired,
    /// The version is one value, and its fields are asked for.
    #[error("this version is one value without fields; write it as fields first")]
    NoFields,
    /// The secret has no generator.
    #[error("this secret has no generator; set one first")]
    NoGenerator,
    /// Settings or a generator beyond their limits.
    #[error("the settings are not acceptable")]
    Settings,
    /// There is a key at this path already.
    #[error("there is a key at this path already")]
    Exists,
    /// The key that is brought is not one of its kind.
    #[error("the material is not a key of this kind")]
    KeyMaterial,
    /// A key's kind, options or settings do not allow what is asked.
    #[error("this key's kind, options or settings do not allow this")]
    KeyUse,
    /// The vault cannot do this for a reason that its documentation gives.
    #[error("not supported: the vault cannot make or rotate keys of this kind; import them")]
    NotSupported,
    /// As many leases as the role allows, or the vault can hold.
    #[error("too many leases are held; renew or revoke some, or let them end")]
    Quota,
    /// The lease cannot be renewed any more.
    #[error("the lease has reached its end; ask for what it is for anew")]
    LeaseEnd,
    /// The host has little space left.
    #[error(
        "the host's disk is nearly full; until space is freed only operators are served, to end what was handed out"
    )]
    Scarce,
}
