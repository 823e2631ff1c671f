//! What a case asks for beside the default policy: the `policy` object of the schema, and its translation into the
//! typed policy that the verifier decides on.
//!
//! The default policy is lenient, as cases are about the evidence and not about one deployment: every product, any
//! launch digest, no floor, any platform information; no debugging, no migration agent, VMPL 0. `"strict": true`
//! begins with what a role gets that says nothing else instead. A key that is not listed here makes a case "not
//! supported"; it is never ignored.

use std::collections::BTreeMap;

use serde::Deserialize;
use vouchsafe_protocol::policy::{Permission, Product, Tcb, TcbFloors};

mod translate;

/// The `policy` object. Hexadecimal strings, unless another form is stated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CasePolicy {
    /// Begin with the strict rule instead of the lenient one.
    pub strict: bool,
    /// POLICY bit 19 may be set.
    pub allow_debug: bool,
    /// SHA-1 signatures, and evidence of a SHA-1 bank alone, are accepted.
    pub allow_sha1: bool,
    /// Highest VMPL (default 0).
    pub max_vmpl: Option<u8>,
    /// Exactly this VMPL.
    pub vmpl: Option<u8>,
    /// Floor for REPORTED_TCB.
    pub min_tcb: Option<TcbKeys>,
    /// Floors by TCB.
    pub tcb_floors: Option<FloorKeys>,
    /// Lower floors that do until a time.
    pub tcb_grace: Option<GraceKeys>,
    /// Products that are accepted, by name (default: all; strict: Genoa and Turin).
    pub products: Option<Vec<ProductName>>,
    /// Products that have a floor (default: all that are accepted).
    pub floors_for: Option<Vec<ProductName>>,
    /// MEASUREMENT.
    pub measurement: Option<Hex<48>>,
    /// RFC 3339: when that launch digest expires, ...
    pub measurement_expires: Option<String>,
    /// ... and for how many seconds it still does.
    pub measurement_grace_secs: Option<u32>,
    /// REPORT_DATA.
    pub report_data: Option<Hex<64>>,
    /// HOST_DATA.
    pub host_data: Option<Hex<32>>,
    /// ID_KEY_DIGEST.
    pub id_key_digest: Option<Hex<48>>,
    /// AUTHOR_KEY_DIGEST; needs `id_key_digest`.
    pub author_key_digest: Option<Hex<48>>,
    /// FAMILY_ID.
    pub family_id: Option<Hex<16>>,
    /// IMAGE_ID.
    pub image_id: Option<Hex<16>>,
    /// Lowest GUEST_SVN.
    pub min_guest_svn: Option<u32>,
    /// REPORT_ID.
    pub report_id: Option<Hex<32>>,
    /// REPORT_ID_MA: `none`, `any`, or exactly this.
    pub migration_agent: Option<String>,
    /// Lowest report version.
    pub min_report_version: Option<u32>,
    /// Whether CURRENT_TCB may be ahead of COMMITTED_TCB.
    pub provisional_firmware: Option<PermissionName>,
    /// Whether reserved fields may be other than zero.
    pub reserved_fields: Option<PermissionName>,
    /// Bits of POLICY by name.
    pub guest_policy: Option<GuestPolicyKeys>,
    /// Bits of PLATFORM_INFO by name.
    pub platform_info: Option<PlatformInfoKeys>,
    /// Masks of mitigation vectors.
    pub mitigations: Option<MitigationKeys>,
    /// Which chips.
    pub chip: Option<ChipKey>,
    /// `{"max_age_secs": n}`: a revocation list must show that the intermediate is good.
    pub revocation: Option<RevocationKeys>,
    /// Anchor sets that may vouch for a TPM, by name.
    pub tpm_anchors: Option<Vec<String>>,
    /// `any`, `hardware` or `host-virtual`.
    pub tpm_kind: Option<TpmKindKey>,
    /// Accepted values by PCR of the SHA-256 bank, or `"events"`. The quote must select exactly these.
    pub pcrs: Option<BTreeMap<String, PcrKey>>,
    /// PCRs that may never have been extended.
    pub all_zero_pcrs: Vec<u8>,
    /// `by-certificate`, `by-credential` or `either`.
    pub ak: Option<AkKey>,
    /// SHA-256 digests of the SubjectPublicKeyInfos of accepted TPMs.
    pub ek: Option<Vec<Hex<32>>>,
    /// Whether the paravisor's report itself must be over the statement: `required`.
    pub user_data: Option<UserDataKey>,
    /// The log must be that of an orderly boot: separators, and nothing behind the end of boot services.
    pub measured_boot: bool,
    /// Rules over boot events, for PCRs that are `"events"`.
    pub events: Option<EventKeys>,
    /// SHA-256 digests of files that IMA may have measured.
    pub ima_allow: Option<Vec<Hex<32>>>,
}

/// `N` bytes in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Hex<const N: usize>(pub [u8; N]);

/// Not as many bytes in hexadecimal as there should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not {wanted} bytes in hexadecimal")]
pub struct NotHex {
    wanted: usize,
}

impl<const N: usize> TryFrom<String> for Hex<N> {
    type Error = NotHex;

    fn try_from(text: String) -> Result<Self, NotHex> {
        let mut bytes = [0; N];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NotHex { wanted: N })?;
        Ok(Self(bytes))
    }
}

/// A TCB; components that are left out are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TcbKeys {
    /// FMC (Turin).
    pub fmc: u8,
    /// Boot loader.
    #[serde(alias = "bootloader")]
    pub boot_loader: u8,
    /// TEE.
    pub tee: u8,
    /// SNP firmware.
    pub snp: u8,
    /// Microcode.
    #[serde(alias = "ucode")]
    pub microcode: u8,
}

impl From<TcbKeys> for Tcb {
    fn from(TcbKeys { fmc, boot_loader, tee, snp, microcode }: TcbKeys) -> Self {
        Self { fmc, boot_loader, tee, snp, microcode }
    }
}

/// A floor for each TCB; one that is left out is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "named as the fields of a report")]
pub struct FloorKeys {
    pub committed: TcbKeys,
    pub current: TcbKeys,
    pub launch: TcbKeys,
    pub reported: TcbKeys,
}

impl From<FloorKeys> for TcbFloors {
    fn from(FloorKeys { committed, current, launch, reported }: FloorKeys) -> Self {
        Self {
            committed: committed.into(),
            current: current.into(),
            launch: launch.into(),
            reported: reported.into(),
        }
    }
}

/// Lower floors for a while.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraceKeys {
    /// Lower floors.
    pub floors: FloorKeys,
    /// RFC 3339.
    pub until: String,
}

/// A product by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "AMD's names")]
pub enum ProductName {
    Milan,
    Genoa,
    Turin,
}

impl From<ProductName> for Product {
    fn from(name: ProductName) -> Self {
        match name {
            ProductName::Milan => Self::Milan,
            ProductName::Genoa => Self::Genoa,
            ProductName::Turin => Self::Turin,
        }
    }
}

/// `allowed` or `forbidden`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "say what they are")]
pub enum PermissionName {
    Allowed,
    Forbidden,
}

impl From<PermissionName> for Permission {
    fn from(name: PermissionName) -> Self {
        match name {
            PermissionName::Allowed => Self::Allowed,
            PermissionName::Forbidden => Self::Forbidden,
        }
    }
}

/// `any`, `forbidden` or `required`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "say what they are")]
pub enum BitName {
    Any,
    Forbidden,
    Required,
}

/// Bits of POLICY; one that is left out is as before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "named as in the typed policy")]
pub struct GuestPolicyKeys {
    pub min_abi: Option<[u8; 2]>,
    pub smt: Option<BitName>,
    pub migrate_ma: Option<BitName>,
    pub debug: Option<BitName>,
    pub single_socket: Option<BitName>,
    pub cxl_allowed: Option<BitName>,
    pub mem_aes_256_xts: Option<BitName>,
    pub rapl_disabled: Option<BitName>,
    pub ciphertext_hiding: Option<BitName>,
    pub page_swap_disabled: Option<BitName>,
}

/// Bits of PLATFORM_INFO; one that is left out is as before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "named as in the typed policy")]
pub struct PlatformInfoKeys {
    pub smt: Option<BitName>,
    pub tsme: Option<BitName>,
    pub ecc: Option<BitName>,
    pub rapl_disabled: Option<BitName>,
    pub ciphertext_hiding: Option<BitName>,
    pub alias_check_complete: Option<BitName>,
    pub iommu_write_safe: Option<BitName>,
    pub tio: Option<BitName>,
    pub unknown_bits: Option<PermissionName>,
}

/// Masks (numbers).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "named as the vectors")]
pub struct MitigationKeys {
    pub launch: u64,
    pub current: u64,
}

/// Which chips.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChipKey {
    /// These CHIP_IDs.
    Allow(Vec<Hex<64>>),
    /// Any that shows its id.
    AnyChip,
    /// Any, even masked.
    AnyChipEvenMasked,
    /// VLEKs of these providers.
    Providers(Vec<String>),
}

/// How fresh a revocation list must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevocationKeys {
    /// Largest age in seconds.
    pub max_age_secs: u32,
}

/// What kind of TPM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "named as in the typed policy")]
pub enum TpmKindKey {
    Any,
    Hardware,
    HostVirtual,
}

/// What a PCR must hold.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum PcrKey {
    /// `"events"`: what the log replays to.
    Events(EventsWord),
    /// One of these.
    Values(Vec<Hex<32>>),
}

/// The word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "one word")]
pub enum EventsWord {
    Events,
}

/// How an attestation key must be shown to be a TPM's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "named as in the typed policy")]
pub enum AkKey {
    ByCertificate,
    ByCredential,
    Either,
}

/// Whether the report must be over the statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "named as in the typed policy")]
pub enum UserDataKey {
    NotRequired,
    Required,
}

/// Rules over boot events: the fields of the typed policy, digests in hexadecimal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "named as in the typed policy")]
pub struct EventKeys {
    pub secure_boot: Option<BitName>,
    pub boot_applications: Vec<Hex<32>>,
    pub uki_sections: BTreeMap<String, Hex<32>>,
    pub boot_phases: Vec<BootPhaseKey>,
    pub command_lines: Vec<String>,
    pub allowed: BTreeMap<u8, Vec<Hex<32>>>,
    pub unknown_events: Vec<u8>,
}

/// How far systemd had got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "named as in the typed policy")]
pub enum BootPhaseKey {
    Firmware,
    Initrd,
    InitrdLeft,
    SystemInitialised,
    Ready,
}
