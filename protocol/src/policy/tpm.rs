//! Rules for TPM quotes, alone and beside the report of a paravisor.

use serde::{Deserialize, Serialize};

use super::{EventRules, ImaRule, Permission, ReferenceValue, SnpAccept};
use crate::id::AnchorName;

/// Rules for a TPM quote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TpmAccept {
    /// Anchor sets, by name, that the EK's or AK's certificate may chain to; never empty.
    pub anchors: Vec<AnchorName>,
    /// What kind of TPM the set that matched must stand for (T13).
    pub kind: TpmKindRule,
    /// The exact selection of the SHA-256 bank and what each PCR must hold. Never empty.
    pub pcrs: Vec<PcrRule>,
    /// Rules over the boot event log, for PCRs judged by events.
    pub events: EventRules,
    /// Rules over the log of Linux's integrity measurement architecture.
    pub ima: ImaRule,
    /// How the attestation key is shown to be a TPM's.
    pub ak: AkRule,
    /// Which TPMs.
    pub ek: EkRule,
}

/// What kind of TPM an anchor set stands for. Neither is a TEE: only an SNP rule asks for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TpmKind {
    /// A TPM of hardware or of the machine's own firmware.
    Hardware,
    /// A virtual TPM that the owner of the host runs.
    HostVirtual,
}

/// Which kinds are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TpmKindRule {
    /// The named waiver `any`.
    Any,
    /// Hardware alone.
    Hardware,
    /// Virtual TPMs of the host alone.
    HostVirtual,
}

/// One selected PCR.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PcrRule {
    /// Index. Resettable PCRs (16, 23) and DRTM PCRs (17 to 22) do not load.
    pub index: u8,
    /// What it must hold.
    pub expected: PcrExpectation,
    /// Whether the never-extended value may be accepted.
    pub all_zero: Permission,
}

/// What a PCR must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PcrExpectation {
    /// What the event log (for PCR 10: the IMA log) replays to; the rules over events judge each event.
    Events,
    /// One of these; never empty. All zero only with `all_zero` allowed.
    Values(Vec<ReferenceValue<[u8; 32]>>),
}

/// How an attestation key is shown to be a TPM's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AkRule {
    /// Its own certificate chains to the anchor set.
    ByCertificate,
    /// The TPM whose EK certificate chains to the anchor set opened a credential made for it (MakeCredential).
    ByCredential,
    /// Either.
    Either,
}

/// Which TPMs may run the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EkRule {
    /// SHA-256 of the SubjectPublicKeyInfo of the certificate that chains to the anchor: the EK's, or the AK's.
    Allow(Vec<[u8; 32]>),
    /// The named waiver `any-tpm`: every TPM of the anchors.
    AnyTpm,
}

/// Rules for a paravisor's report and the quote of its virtual TPM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnpVtpmAccept {
    /// For the report, whose REPORT_DATA is the hash of the paravisor's claims.
    pub snp: SnpAccept,
    /// The exact selection of the SHA-256 bank and what each PCR must hold. Never empty.
    pub pcrs: Vec<PcrRule>,
    /// Rules over the boot event log, for PCRs judged by events.
    pub events: EventRules,
    /// Rules over the log of Linux's integrity measurement architecture.
    pub ima: ImaRule,
    /// Whether the report itself must be fresh, not the quote alone.
    pub user_data: UserDataRule,
}

/// The paravisor's claim `user-data`: 64 bytes that the guest wrote before it asked for the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserDataRule {
    /// It may be absent or of an earlier statement: the quote alone is fresh.
    NotRequired,
    /// It is the statement, all 64 bytes.
    Required,
}
