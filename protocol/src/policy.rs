//! Policy in its typed form: what the command line compiles TOML into and the enclave validates again.
//!
//! Reference values are resolved: a role names no file, and what was applied is what is decided on.

use serde::{Deserialize, Serialize};

use crate::evidence::PcrValue;
use crate::id::RoleName;

mod allow;
pub mod events;
pub mod grants;
pub mod reference;
pub mod snp;
pub mod tpm;

pub use allow::{
    AgeCondition, Allow, Conditions, Deny, Hours, HoursCondition, LeaseTerms, PlatformCondition,
    PlatformKind, Renewal,
};
pub use events::{AllowedEvents, BootPhase, EventRules, ImaRule, UkiSection};
pub use reference::{Expiry, ReferenceValue, Validity};
pub use snp::{
    AbiVersion, AuthorKeyRule, BitRule, ChipId, ChipRule, CspName, GuestPolicyRules, HostDataRule,
    IdBlockRule, IdRule, LaunchDigest, MigrationAgentRule, MitigationRule, PlatformInfoRules, Product,
    ReportIdRule, RevocationRule, SnpAccept, Tcb, TcbFloor, TcbFloors, TcbGrace,
};
pub use tpm::{
    AkRule, EkRule, PcrExpectation, PcrRule, SnpVtpmAccept, TpmAccept, TpmKind, TpmKindRule, UserDataRule,
};

/// What an identity of this role must show, and what it may then do. Denies everything not listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Name.
    pub name: RoleName,
    /// Path part of the SPIFFE ID: begins with `/`, canonical segments.
    pub spiffe_path: String,
    /// How old evidence may get, in seconds; then the session ends.
    pub evidence_max_age_secs: u32,
    /// Lifetime of an issued identity, in seconds.
    pub identity_ttl_secs: u32,
    /// Whether a refusal names the rule that failed.
    pub refusals: RefusalDetail,
    /// Any one of these must accept the evidence. Never empty.
    pub accept: Vec<Accept>,
    /// Grants; they add up.
    pub allow: Vec<Allow>,
    /// What is refused whatever is granted.
    pub deny: Vec<Deny>,
    /// Leases that one identity of this role may hold at a time, at most [`crate::limits::LEASES`].
    pub leases_per_identity: u32,
    /// Leases that all of them together may hold.
    pub leases: u32,
}

/// How much a refused agent is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefusalDetail {
    /// Only the stable code.
    CodeOnly,
    /// Also the rule that failed.
    NameRule,
}

/// One way to be accepted.
#[expect(clippy::large_enum_variant, reason = "a role has a few, and each is read far more often than moved")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Accept {
    /// By an SNP report.
    Snp(SnpAccept),
    /// By the report of a paravisor and a quote of the virtual TPM inside the same boundary.
    SnpVtpm(SnpVtpmAccept),
    /// By a TPM quote.
    Tpm(TpmAccept),
}

/// A thing that is refused unless policy says its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Permission {
    /// Accepted.
    Allowed,
    /// Refused.
    Forbidden,
}

/// What a verifier pins of a vault that runs on a TPM: its attestation key and its PCRs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TpmPin {
    /// TPM name of the AK: 0x000B and SHA-256 of its public area, 34 bytes.
    pub ak_name: Vec<u8>,
    /// Exact PCRs.
    pub pcrs: Vec<PcrValue>,
}

/// What an agent pins of the platform that its vault runs on, beside the vault id.
#[expect(clippy::large_enum_variant, reason = "a role has a few, and each is read far more often than moved")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VaultPlatformPin {
    /// Rules for its SNP reports.
    Snp(SnpAccept),
    /// Its TPM key and PCRs.
    Tpm(TpmPin),
}

/// What may be done to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Capability {
    /// Make data keys under a transit key.
    DataKey,
    /// Decrypt with a transit key.
    Decrypt,
    /// Delete and undelete versions.
    Delete,
    /// Derive the role's own key for a label.
    Derive,
    /// Destroy versions for good, and forget secrets whole.
    Destroy,
    /// Encrypt with a transit key.
    Encrypt,
    /// Take a transit key out, if it was made for that.
    Export,
    /// List names below a prefix, and read metadata and settings.
    List,
    /// Create, import, rotate, configure, trim and delete keys; rotate and configure labels; set limits, custom
    /// metadata and generators of secrets.
    Manage,
    /// Read values, and watch for new versions.
    Read,
    /// Encrypt again under the current version of a transit key, without seeing what it is.
    Rewrap,
    /// Sign, or make an HMAC, with a transit key.
    Sign,
    /// Verify signatures and HMACs with a transit key.
    Verify,
    /// Write values, patch them, and have their generator make the next one.
    Write,
}
