//! Evidence that the vault has accepted, kept for every live identity: enough to try other rules on it later,
//! without its chains, which were verified when it was accepted.

use serde::{Deserialize, Serialize};

use crate::evidence::{Logs, PcrValue};
use crate::id::{AnchorClass, AnchorName, RoleName};
use crate::policy::{CspName, Product, TpmKind};

/// What the evidence behind one live identity showed, and what was made of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenEvidence {
    /// Role that accepted it.
    pub role: RoleName,
    /// SHA-256 of the role as it was then, in its typed form.
    pub role_digest: [u8; 32],
    /// Serial number of the identity's certificate; records are listed in its order.
    pub identity: u64,
    /// SPIFFE id of the identity.
    pub spiffe_id: String,
    /// When it was accepted, in seconds since 1970.
    pub at_unix_secs: u64,
    /// When the identity ends, in seconds since 1970.
    pub not_after_unix_secs: u64,
    /// When the evidence is too old for its role, in seconds since 1970.
    pub evidence_until_unix_secs: u64,
    /// SHA-256 of the evidence as it was sent.
    pub evidence_digest: [u8; 32],
    /// CHIP_ID (64 bytes), or SHA-256 of the SubjectPublicKeyInfo that an anchor vouches for (32).
    pub platform: Vec<u8>,
    /// Whether the anchor that vouched for the platform is of hardware.
    pub anchor_class: AnchorClass,
    /// Index of the role's rule that accepted it, from 0.
    pub rule: u32,
    /// Stable codes of what was accepted for a while only, or not looked at because the rule waives it.
    pub warnings: Vec<String>,
    /// Clock of the TPM that quoted, where there is one.
    pub clock: Option<SeenClock>,
    /// The evidence, verified.
    pub facts: SeenFacts,
}

/// Verified evidence without what only verified it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeenFacts {
    /// A report.
    Snp(SeenReport),
    /// The report of a paravisor and a quote of its virtual TPM.
    SnpVtpm(Box<SeenVtpm>),
    /// A quote.
    Tpm(Box<SeenTpm>),
}

/// A report and what its VEK certificate says beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenReport {
    /// The report, 1,184 bytes.
    pub report: Vec<u8>,
    /// Product that the certificate names.
    pub product: Product,
    /// Provider that a VLEK certificate names.
    pub provider: Option<CspName>,
}

/// A paravisor's evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenVtpm {
    /// The report inside the HCL report.
    pub snp: SeenReport,
    /// The whole HCL report, with the claims; at most [`crate::limits::HCL_REPORT_LEN`] bytes.
    pub hcl_report: Vec<u8>,
    /// The quote.
    pub quote: SeenQuote,
    /// Whether the claim `user-data` was this statement, so that the report itself was fresh.
    pub user_data_is_statement: bool,
}

/// A TPM's evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenTpm {
    /// The quote.
    pub quote: SeenQuote,
    /// `TPMT_PUBLIC` of the attestation key.
    pub ak_public: Vec<u8>,
    /// How the key was shown to be a TPM's.
    pub shown_by: AkShownBy,
    /// SHA-256 of the SubjectPublicKeyInfo of the certificate that chains to the anchor.
    pub spki_digest: [u8; 32],
    /// Anchor set that vouched for the TPM.
    pub anchor: AnchorName,
    /// Kind of TPM that the set stands for.
    pub kind: TpmKind,
}

/// A quote whose signature held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenQuote {
    /// `TPMS_ATTEST`.
    pub attest: Vec<u8>,
    /// SHA-256 PCR values, which the quote's digest covers.
    pub pcrs: Vec<PcrValue>,
    /// Logs, where they were small enough to be kept: see [`crate::limits::SEEN_LEN`].
    pub logs: Logs,
    /// Whether a log was there and was not kept: a rule over events cannot be tried then.
    pub logs_dropped: bool,
}

/// The newest clock of a TPM that the vault has seen, by attestation key (`TPMS_CLOCK_INFO`, TPM 2.0 Part 2, section
/// 10.11.1). Counters of a key that is not in the endorsement hierarchy are shifted by a constant of that key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenClock {
    /// Names the attestation key: the digest in its TPM name, or SHA-256 of the public key that a paravisor names.
    pub key: [u8; 32],
    /// Milliseconds that the TPM was powered.
    pub clock_millis: u64,
    /// TPM resets.
    pub reset_count: u32,
    /// Restarts since the last reset.
    pub restart_count: u32,
    /// Whether the clock cannot have been reported before.
    pub safe: bool,
}

/// How an attestation key was shown to be a TPM's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AkShownBy {
    /// By its own certificate.
    Certificate,
    /// By the credential that only the TPM of a certified endorsement key could open.
    Credential,
}

/// A page of records, in the order of identities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenPage {
    /// Records; at most [`crate::limits::SEEN_PAGE`].
    pub records: Vec<SeenEvidence>,
    /// Whether there are more after the last one.
    pub more: bool,
    /// Live agents' identities whose records were forgotten for want of room, or could not be kept.
    pub forgotten: u64,
}
