//! Rules for SEV-SNP reports (AMD 56860, revision 1.58).

use serde::{Deserialize, Serialize};
use serde_big_array::BigArray;

use super::{Permission, ReferenceValue};

/// Rules for an SNP report. [`SnpAccept::strict`] makes the strictest one; each field then loosens or pins one
/// thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnpAccept {
    /// Accepted products; never empty. Milan only when named (its root seed is extractable).
    pub products: Vec<Product>,
    /// Accepted launch digests (MEASUREMENT, 48 bytes); never empty.
    pub measurements: Vec<ReferenceValue<LaunchDigest>>,
    /// Lowest TCBs per product; a product without them is not accepted.
    pub tcb_floors: Vec<TcbFloor>,
    /// Whether CURRENT_TCB may be ahead of COMMITTED_TCB.
    pub provisional_firmware: Permission,
    /// Rules for each bit of POLICY.
    pub guest_policy: GuestPolicyRules,
    /// Rules for each bit of PLATFORM_INFO.
    pub platform_info: PlatformInfoRules,
    /// Mitigations that must be in force (version 5).
    pub mitigations: MitigationRule,
    /// VMPL the report must have been asked from, 0 to 3.
    pub vmpl: u8,
    /// Which chips.
    pub chip: ChipRule,
    /// Whether intermediates must be shown not to be revoked.
    pub revocation: RevocationRule,
    /// Oldest report version accepted, 2 to 5; 2 has no CPUID.
    pub min_report_version: u32,
    /// HOST_DATA.
    pub host_data: HostDataRule,
    /// Who signed the ID block that the guest was launched with.
    pub id_block: IdBlockRule,
    /// FAMILY_ID, which the ID block sets.
    pub family_id: IdRule,
    /// IMAGE_ID, which the ID block sets.
    pub image_id: IdRule,
    /// Lowest GUEST_SVN, which the ID block sets.
    pub min_guest_svn: u32,
    /// REPORT_ID: names one running guest.
    pub report_id: ReportIdRule,
    /// REPORT_ID_MA: names the guest's migration agent.
    pub migration_agent: MigrationAgentRule,
    /// Whether reserved fields may be other than zero.
    pub reserved_fields: Permission,
}

impl SnpAccept {
    /// The strictest rule for these products, launch digests, floors and chips: nothing waived. What holds no
    /// value to compare with (host data, ID block, report id) is any.
    #[must_use]
    pub fn strict(
        products: Vec<Product>,
        measurements: Vec<ReferenceValue<LaunchDigest>>,
        tcb_floors: Vec<TcbFloor>,
        chip: ChipRule,
        revocation: RevocationRule,
    ) -> Self {
        Self {
            products,
            measurements,
            tcb_floors,
            provisional_firmware: Permission::Forbidden,
            guest_policy: GuestPolicyRules::STRICT,
            platform_info: PlatformInfoRules::STRICT,
            mitigations: MitigationRule { launch: 0, current: 0 },
            vmpl: 0,
            chip,
            revocation,
            min_report_version: 3,
            host_data: HostDataRule::AnyHostData,
            id_block: IdBlockRule::AnyIdBlock,
            family_id: IdRule::AnyId,
            image_id: IdRule::AnyId,
            min_guest_svn: 0,
            report_id: ReportIdRule::AnyReportId,
            migration_agent: MigrationAgentRule::NoMigrationAgent,
            reserved_fields: Permission::Forbidden,
        }
    }
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

impl Tcb {
    /// All zero: a floor that every TCB reaches.
    pub const ZERO: Self = Self { fmc: 0, boot_loader: 0, tee: 0, snp: 0, microcode: 0 };
}

/// The floors of one product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcbFloor {
    /// Product.
    pub product: Product,
    /// Lowest accepted.
    pub floors: TcbFloors,
    /// Lower floors that still do for a while, with a warning: the grace of a rollout.
    pub grace: TcbGrace,
}

/// One floor for each TCB of a report, compared component by component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcbFloors {
    /// For COMMITTED_TCB: what the platform cannot go below any more.
    pub committed: Tcb,
    /// For CURRENT_TCB: what runs now.
    pub current: Tcb,
    /// For LAUNCH_TCB: what ran when the guest was launched.
    pub launch: Tcb,
    /// For REPORTED_TCB: what the VCEK was derived for.
    pub reported: Tcb,
}

/// Lower floors, for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TcbGrace {
    /// None.
    NoGrace,
    /// Accepted with a warning.
    Until {
        /// Lowest accepted.
        floors: TcbFloors,
        /// Until when, in seconds since 1970.
        until_unix_secs: u64,
    },
}

impl TcbFloor {
    /// The same floor for every TCB of a report, without grace.
    #[must_use]
    pub fn all(product: Product, tcb: Tcb) -> Self {
        let floors = TcbFloors { committed: tcb, current: tcb, launch: tcb, reported: tcb };
        Self { product, floors, grace: TcbGrace::NoGrace }
    }
}

/// A bit of POLICY or PLATFORM_INFO.
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

impl BitRule {
    /// Whether a bit that is `set` or not is as the rule says.
    #[must_use]
    pub fn holds(self, set: bool) -> bool {
        match self {
            Self::Any => true,
            Self::Forbidden => !set,
            Self::Required => set,
        }
    }
}

impl PlatformInfoRules {
    /// Any value of any known bit but ALIAS_CHECK_COMPLETE, which must be set; no unknown bits.
    pub const STRICT: Self = Self {
        smt: BitRule::Any,
        tsme: BitRule::Any,
        ecc: BitRule::Any,
        rapl_disabled: BitRule::Any,
        ciphertext_hiding: BitRule::Any,
        alias_check_complete: BitRule::Required,
        iommu_write_safe: BitRule::Any,
        tio: BitRule::Any,
        unknown_bits: Permission::Forbidden,
    };
}

/// POLICY of the guest, bit by bit (AMD 56860, table 10). Bit 17 must be one; that is no choice. Bits 26 to 63
/// are reserved fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestPolicyRules {
    /// Lowest ABI version that the guest asks of the firmware (bits 0 to 15).
    pub min_abi: AbiVersion,
    /// Bit 16: hyper-threading is allowed.
    pub smt: BitRule,
    /// Bit 18: a migration agent may be associated. Forbidden by default.
    pub migrate_ma: BitRule,
    /// Bit 19: the host may debug the guest. Forbidden by default.
    pub debug: BitRule,
    /// Bit 20: only one socket.
    pub single_socket: BitRule,
    /// Bit 21: CXL devices and memory are allowed.
    pub cxl_allowed: BitRule,
    /// Bit 22: AES-256-XTS memory encryption is demanded.
    pub mem_aes_256_xts: BitRule,
    /// Bit 23: RAPL must be off.
    pub rapl_disabled: BitRule,
    /// Bit 24: ciphertext hiding is demanded.
    pub ciphertext_hiding: BitRule,
    /// Bit 25: page swapping commands are off.
    pub page_swap_disabled: BitRule,
}

impl GuestPolicyRules {
    /// No debugging, no migration; any value of the other bits.
    pub const STRICT: Self = Self {
        min_abi: AbiVersion { major: 0, minor: 0 },
        smt: BitRule::Any,
        migrate_ma: BitRule::Forbidden,
        debug: BitRule::Forbidden,
        single_socket: BitRule::Any,
        cxl_allowed: BitRule::Any,
        mem_aes_256_xts: BitRule::Any,
        rapl_disabled: BitRule::Any,
        ciphertext_hiding: BitRule::Any,
        page_swap_disabled: BitRule::Any,
    };
}

/// An ABI version, compared major first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AbiVersion {
    /// Major.
    pub major: u8,
    /// Minor.
    pub minor: u8,
}

/// Mitigation vectors of version 5 (offsets 0x1F8 and 0x200): every bit of a mask must be set. A mask other than
/// zero refuses reports without vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MitigationRule {
    /// LAUNCH_MIT_VECTOR.
    pub launch: u64,
    /// CURRENT_MIT_VECTOR.
    pub current: u64,
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
    /// Any chip of these cloud providers: VLEK evidence whose certificate names one of them.
    Providers(Vec<CspName>),
}

/// Name of a cloud provider in a VLEK certificate (extension 1.3.6.1.4.1.3704.1.5).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CspName(pub String);

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

/// Whether the intermediates of a chain must be shown not to be revoked, and how old that proof may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RevocationRule {
    /// A revocation list of the product's root, inside its own dates and at most this old, lists none of them.
    Checked {
        /// Largest age since thisUpdate, in seconds.
        max_age_secs: u32,
    },
    /// The named waiver `unchecked`.
    Unchecked,
}

/// Who signed the ID block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdBlockRule {
    /// Any, or none at all.
    AnyIdBlock,
    /// One of these.
    SignedBy {
        /// SHA-384 digests of ID keys (ID_KEY_DIGEST); never empty.
        id_keys: Vec<LaunchDigest>,
        /// Who vouches for the ID key.
        author: AuthorKeyRule,
    },
}

/// Who signed the ID key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthorKeyRule {
    /// Anybody or nobody.
    AnyAuthor,
    /// The author key is present (AUTHOR_KEY_EN) and its digest is one of these; never empty.
    OneOf(Vec<LaunchDigest>),
}

/// FAMILY_ID or IMAGE_ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdRule {
    /// Any.
    AnyId,
    /// Exactly these 16 bytes.
    Exactly([u8; 16]),
}

/// REPORT_ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReportIdRule {
    /// Any.
    AnyReportId,
    /// Exactly this guest.
    Exactly([u8; 32]),
}

/// REPORT_ID_MA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MigrationAgentRule {
    /// Any agent, or none.
    AnyMigrationAgent,
    /// Exactly this agent.
    Exactly([u8; 32]),
    /// None is associated: all bits one.
    NoMigrationAgent,
}
