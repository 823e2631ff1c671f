//! Policy in its typed form: what the command line compiles TOML into and the enclave validates again.
//!
//! Reference values are resolved: a role names no file, and what was applied is what is decided on.

use serde::{Deserialize, Serialize};

use crate::evidence::PcrValue;
use crate::id::RoleName;

pub mod events;
pub mod reference;
pub mod snp;
pub mod tpm;

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
    /// Grants.
    pub allow: Vec<Allow>,
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

/// A grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allow {
    /// Pattern: a canonical path whose last segment may be `*` (this segment and all below).
    pub path: String,
    /// What may be done there.
    pub can: Vec<Capability>,
}

/// What may be done to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Capability {
    /// Delete and undelete versions.
    Delete,
    /// Destroy versions for good.
    Destroy,
    /// List names below a prefix, and read metadata.
    List,
    /// Read values.
    Read,
    /// Write values.
    Write,
}
