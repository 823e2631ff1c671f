//! Policy in its typed form: what the command line compiles TOML into and the enclave validates again.
//!
//! Reference values are resolved: a role names no file, and what was applied is what is decided on.

use serde::{Deserialize, Serialize};
use serde_big_array::BigArray;

use crate::evidence::PcrValue;
use crate::id::{AnchorName, RoleName};

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Accept {
    /// By an SNP report.
    Snp(SnpAccept),
    /// By a TPM quote.
    Tpm(TpmAccept),
}

/// Rules for an SNP report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnpAccept {
    /// Accepted products; never empty. Milan only when named (its root seed is extractable).
    pub products: Vec<Product>,
    /// Accepted launch digests (MEASUREMENT, 48 bytes); never empty.
    pub measurements: Vec<LaunchDigest>,
    /// Lowest TCB per product; a product without one is not accepted.
    pub tcb_floors: Vec<TcbFloor>,
    /// Whether CURRENT_TCB may be ahead of COMMITTED_TCB.
    pub provisional_firmware: Permission,
    /// Rules for each bit of PLATFORM_INFO.
    pub platform_info: PlatformInfoRules,
    /// VMPL the report must have been asked from, 0 to 3.
    pub vmpl: u8,
    /// Which chips.
    pub chip: ChipRule,
    /// Whether guests that the host may debug are accepted (POLICY bit 19).
    pub debug: Permission,
    /// Oldest report version accepted, 2 to 5; 2 has no CPUID.
    pub min_report_version: u32,
    /// HOST_DATA.
    pub host_data: HostDataRule,
    /// Whether reserved fields may be other than zero.
    pub reserved_fields: Permission,
}

/// AMD products that version 1 knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Product {
    /// EPYC 7003.
    Milan,
    /// EPYC 9004 and 8004.
    Genoa,
    /// EPYC 9005.
    Turin,
}

/// Security versions, compared component by component. Absent parts of a product are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tcb {
    /// FMC (Turin only).
    pub fmc: u8,
    /// Boot loader.
    pub boot_loader: u8,
    /// TEE (PSP operating system).
    pub tee: u8,
    /// SNP firmware.
    pub snp: u8,
    /// Microcode.
    pub microcode: u8,
}

/// A floor, for one product; applies to the reported, committed and launch TCB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcbFloor {
    /// Product.
    pub product: Product,
    /// Lowest accepted.
    pub tcb: Tcb,
}

/// A thing that is refused unless policy says its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Permission {
    /// Accepted.
    Allowed,
    /// Refused.
    Forbidden,
}

/// A bit of PLATFORM_INFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BitRule {
    /// Either value.
    Any,
    /// Must be clear.
    Forbidden,
    /// Must be set.
    Required,
}

/// PLATFORM_INFO, bit by bit (AMD 56860, table 24).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformInfoRules {
    /// Bit 0.
    pub smt: BitRule,
    /// Bit 1.
    pub tsme: BitRule,
    /// Bit 2.
    pub ecc: BitRule,
    /// Bit 3.
    pub rapl_disabled: BitRule,
    /// Bit 4.
    pub ciphertext_hiding: BitRule,
    /// Bit 5: BadRAM check done. Required by default.
    pub alias_check_complete: BitRule,
    /// Bit 6.
    pub iommu_write_safe: BitRule,
    /// Bit 7.
    pub tio: BitRule,
    /// All other bits.
    pub unknown_bits: Permission,
}

/// Which chips may run the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChipRule {
    /// These CHIP_IDs (64 bytes); excludes VLEK evidence, which names no chip.
    Allow(Vec<ChipId>),
    /// The named waiver `any-chip`: any genuine chip that shows its id.
    AnyChip,
    /// The named waiver `any-chip-even-masked`: also reports whose CHIP_ID is masked, and VLEK evidence.
    AnyChipEvenMasked,
}

/// CHIP_ID of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChipId(#[serde(with = "BigArray")] pub [u8; 64]);

/// MEASUREMENT of a report: the launch digest, SHA-384.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LaunchDigest(#[serde(with = "BigArray")] pub [u8; 48]);

/// HOST_DATA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostDataRule {
    /// The named waiver `any-host-data`.
    AnyHostData,
    /// Exactly this.
    Exactly([u8; 32]),
}

/// Rules for a TPM quote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TpmAccept {
    /// Anchor sets, by name, that the EK's certificate may chain to; never empty.
    pub anchors: Vec<AnchorName>,
    /// The exact selection of the SHA-256 bank and, for each PCR, its accepted values. Never empty.
    pub pcrs: Vec<PcrRule>,
    /// Which TPMs.
    pub ek: EkRule,
}

/// One selected PCR.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PcrRule {
    /// Index. Resettable PCRs (16, 23) and DRTM PCRs (17 to 22) do not load.
    pub index: u8,
    /// Accepted values; never empty. All zero only with `all_zero` allowed.
    pub values: Vec<[u8; 32]>,
    /// Whether the never-extended value may be accepted.
    pub all_zero: Permission,
}

/// Which TPMs may run the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EkRule {
    /// SHA-256 of the EK certificate's SubjectPublicKeyInfo.
    Allow(Vec<[u8; 32]>),
    /// The named waiver `any-tpm`: every TPM of the anchors.
    AnyTpm,
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
