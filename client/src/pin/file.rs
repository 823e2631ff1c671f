//! A pin as TOML: the same values under the names that policy files use; unknown keys are refused.
//!
//! A pin holds less than a role: one TCB per product, which is the floor of all four TCBs of a report; lasting
//! measurements; and, for all that it has no key for, what [`SnpAccept::strict`] says. Rules that say something
//! else are not written.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use vouchsafe_protocol::anchors::{AmdAnchors, Anchors, SimulatedRoot, TpmAnchor};
use vouchsafe_protocol::evidence::PcrValue;
use vouchsafe_protocol::id::{AnchorClass, AnchorName, VaultId};
use vouchsafe_protocol::policy::{
    BitRule, ChipId, ChipRule, CspName, GuestPolicyRules, HostDataRule, LaunchDigest, Permission,
    PlatformInfoRules, Product, ReferenceValue, RevocationRule, SnpAccept, Tcb, TcbFloor, TpmKind, TpmPin,
    VaultPlatformPin,
};

use super::{Pin, PinError, Remembered};
use crate::text::{Text, TextForm};

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PinFile {
    version: u32,
    vault_id: Text<VaultId>,
    log_key: Option<Text<[u8; 32]>>,
    checkpoint: Option<CheckpointFile>,
    platform: PlatformFile,
    anchors: AnchorsFile,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckpointFile {
    size: u64,
    root: Text<[u8; 32]>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum PlatformFile {
    Snp(Box<SnpFile>),
    Tpm(TpmFile),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SnpFile {
    products: Vec<Text<Product>>,
    measurements: Vec<Text<LaunchDigest>>,
    provisional_firmware: Text<Permission>,
    vmpl: u8,
    chip: ChipFile,
    revocation: RevocationFile,
    debug: Text<Permission>,
    min_report_version: u32,
    host_data: Text<HostDataRule>,
    reserved_fields: Text<Permission>,
    tcb_floors: Vec<FloorFile>,
    platform_info: PlatformInfoFile,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum ChipFile {
    Allow(Vec<Text<ChipId>>),
    Providers(ProvidersFile),
    Waiver(Text<Waiver>),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProvidersFile {
    providers: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum RevocationFile {
    Checked(CheckedFile),
    Waiver(Text<Unchecked>),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckedFile {
    max_age_secs: u32,
}

/// The named waiver of revocation lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unchecked;

impl TextForm for Unchecked {
    const EXPECTED: &'static str = "'unchecked'";

    fn from_text(text: &str) -> Option<Self> {
        (text == "unchecked").then_some(Self)
    }

    fn to_text(&self) -> String {
        "unchecked".to_owned()
    }
}

/// The named waivers of a chip rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiver {
    AnyChip,
    AnyChipEvenMasked,
}

impl TextForm for Waiver {
    const EXPECTED: &'static str = "'any-chip' or 'any-chip-even-masked'";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "any-chip" => Some(Self::AnyChip),
            "any-chip-even-masked" => Some(Self::AnyChipEvenMasked),
            _ => None,
        }
    }

    fn to_text(&self) -> String {
        match self {
            Self::AnyChip => "any-chip",
            Self::AnyChipEvenMasked => "any-chip-even-masked",
        }
        .to_owned()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FloorFile {
    product: Text<Product>,
    fmc: u8,
    boot_loader: u8,
    tee: u8,
    snp: u8,
    microcode: u8,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlatformInfoFile {
    smt: Text<BitRule>,
    tsme: Text<BitRule>,
    ecc: Text<BitRule>,
    rapl_disabled: Text<BitRule>,
    ciphertext_hiding: Text<BitRule>,
    alias_check_complete: Text<BitRule>,
    iommu_write_safe: Text<BitRule>,
    tio: Text<BitRule>,
    unknown_bits: Text<Permission>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TpmFile {
    ak_name: Text<Vec<u8>>,
    pcrs: BTreeMap<String, Text<[u8; 32]>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnchorsFile {
    amd: AmdFile,
    #[serde(default)]
    tpm: Vec<TpmAnchorFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum AmdFile {
    BuiltIn,
    Simulated(Vec<RootFile>),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RootFile {
    product: Text<Product>,
    ark: Text<Vec<u8>>,
    ask: Text<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TpmAnchorFile {
    name: Text<AnchorName>,
    class: Text<AnchorClass>,
    kind: Text<TpmKind>,
    certificates: Vec<Text<Vec<u8>>>,
}

/// Reads a pin's file.
pub(super) fn read(bytes: &[u8], path: &Path) -> Result<Pin, PinError> {
    let malformed = |source| PinError::Malformed { path: path.to_owned(), source: Box::new(source) };
    let file: PinFile = toml::from_slice(bytes).map_err(malformed)?;
    if file.version != VERSION {
        return Err(PinError::Version { path: path.to_owned(), version: file.version });
    }
    let PinFile { version: _, vault_id, log_key, checkpoint, platform, anchors } = file;
    let platform = match platform {
        PlatformFile::Snp(rules) => VaultPlatformPin::Snp(rules.into_rules()),
        PlatformFile::Tpm(rules) => {
            let pcrs = rules.into_rules().ok_or(PinError::PlatformTpm { path: path.to_owned() })?;
            VaultPlatformPin::Tpm(pcrs)
        }
    };
    Ok(Pin {
        vault_id: vault_id.0,
        platform,
        anchors: anchors.into_anchors(),
        log_key: log_key.map(|key| key.0),
        checkpoint: checkpoint.map(|CheckpointFile { size, root }| Remembered { size, root: root.0 }),
    })
}

/// Writes a pin's file.
///
/// # Errors
/// [`PinError::Inexpressible`] if the file would not say all that the pin does.
pub(super) fn write(pin: &Pin) -> Result<String, PinError> {
    let Pin { vault_id, platform, anchors, log_key, checkpoint } = pin;
    let platform = match platform {
        VaultPlatformPin::Snp(rules) => {
            let read_back = SnpFile::of(rules).into_rules();
            if read_back != *rules {
                return Err(PinError::Inexpressible);
            }
            PlatformFile::Snp(Box::new(SnpFile::of(rules)))
        }
        VaultPlatformPin::Tpm(rules) => PlatformFile::Tpm(TpmFile::of(rules)),
    };
    toml::to_string(&PinFile {
        version: VERSION,
        vault_id: Text(*vault_id),
        log_key: log_key.map(Text),
        checkpoint: checkpoint.map(|Remembered { size, root }| CheckpointFile { size, root: Text(root) }),
        platform,
        anchors: AnchorsFile::of(anchors),
    })
    .map_err(PinError::Unwritable)
}

fn texts<T: Clone>(values: &[T]) -> Vec<Text<T>> {
    values.iter().cloned().map(Text).collect()
}

fn values<T>(texts: Vec<Text<T>>) -> Vec<T> {
    texts.into_iter().map(|text| text.0).collect()
}

impl SnpFile {
    /// What the file has keys for; the rest is left for [`write`] to notice.
    fn of(rules: &SnpAccept) -> Self {
        let SnpAccept {
            products,
            measurements,
            tcb_floors,
            provisional_firmware,
            guest_policy,
            platform_info,
            mitigations: _,
            vmpl,
            chip,
            revocation,
            min_report_version,
            host_data,
            id_block: _,
            family_id: _,
            image_id: _,
            min_guest_svn: _,
            report_id: _,
            migration_agent: _,
            reserved_fields,
        } = rules;
        Self {
            products: texts(products),
            measurements: measurements.iter().map(|known| Text(known.value)).collect(),
            provisional_firmware: Text(*provisional_firmware),
            vmpl: *vmpl,
            chip: match chip {
                ChipRule::Allow(chips) => ChipFile::Allow(texts(chips)),
                ChipRule::AnyChip => ChipFile::Waiver(Text(Waiver::AnyChip)),
                ChipRule::AnyChipEvenMasked => ChipFile::Waiver(Text(Waiver::AnyChipEvenMasked)),
                ChipRule::Providers(names) => {
                    let providers = names.iter().map(|CspName(name)| name.clone()).collect();
                    ChipFile::Providers(ProvidersFile { providers })
                }
            },
            revocation: match *revocation {
                RevocationRule::Checked { max_age_secs } => {
                    RevocationFile::Checked(CheckedFile { max_age_secs })
                }
                RevocationRule::Unchecked => RevocationFile::Waiver(Text(Unchecked)),
            },
            debug: Text(match guest_policy.debug {
                BitRule::Any => Permission::Allowed,
                BitRule::Forbidden | BitRule::Required => Permission::Forbidden,
            }),
            min_report_version: *min_report_version,
            host_data: Text(*host_data),
            reserved_fields: Text(*reserved_fields),
            tcb_floors: tcb_floors.iter().map(FloorFile::of).collect(),
            platform_info: PlatformInfoFile::of(platform_info),
        }
    }

    fn into_rules(self) -> SnpAccept {
        let chip = match self.chip {
            ChipFile::Allow(chips) => ChipRule::Allow(values(chips)),
            ChipFile::Providers(ProvidersFile { providers }) => {
                ChipRule::Providers(providers.into_iter().map(CspName).collect())
            }
            ChipFile::Waiver(Text(Waiver::AnyChip)) => ChipRule::AnyChip,
            ChipFile::Waiver(Text(Waiver::AnyChipEvenMasked)) => ChipRule::AnyChipEvenMasked,
        };
        let revocation = match self.revocation {
            RevocationFile::Checked(CheckedFile { max_age_secs }) => RevocationRule::Checked { max_age_secs },
            RevocationFile::Waiver(Text(Unchecked)) => RevocationRule::Unchecked,
        };
        let strict = SnpAccept::strict(
            values(self.products),
            values(self.measurements).into_iter().map(ReferenceValue::lasting).collect(),
            self.tcb_floors.into_iter().map(FloorFile::into_floor).collect(),
            chip,
            revocation,
        );
        SnpAccept {
            provisional_firmware: self.provisional_firmware.0,
            guest_policy: GuestPolicyRules {
                debug: match self.debug.0 {
                    Permission::Allowed => BitRule::Any,
                    Permission::Forbidden => BitRule::Forbidden,
                },
                ..strict.guest_policy
            },
            platform_info: self.platform_info.into_rules(),
            vmpl: self.vmpl,
            min_report_version: self.min_report_version,
            host_data: self.host_data.0,
            reserved_fields: self.reserved_fields.0,
            ..strict
        }
    }
}

impl FloorFile {
    fn of(floor: &TcbFloor) -> Self {
        let Tcb { fmc, boot_loader, tee, snp, microcode } = floor.floors.reported;
        Self { product: Text(floor.product), fmc, boot_loader, tee, snp, microcode }
    }

    fn into_floor(self) -> TcbFloor {
        let Self { product, fmc, boot_loader, tee, snp, microcode } = self;
        TcbFloor::all(product.0, Tcb { fmc, boot_loader, tee, snp, microcode })
    }
}

impl PlatformInfoFile {
    fn of(rules: &PlatformInfoRules) -> Self {
        let PlatformInfoRules {
            smt,
            tsme,
            ecc,
            rapl_disabled,
            ciphertext_hiding,
            alias_check_complete,
            iommu_write_safe,
            tio,
            unknown_bits,
        } = *rules;
        Self {
            smt: Text(smt),
            tsme: Text(tsme),
            ecc: Text(ecc),
            rapl_disabled: Text(rapl_disabled),
            ciphertext_hiding: Text(ciphertext_hiding),
            alias_check_complete: Text(alias_check_complete),
            iommu_write_safe: Text(iommu_write_safe),
            tio: Text(tio),
            unknown_bits: Text(unknown_bits),
        }
    }

    fn into_rules(self) -> PlatformInfoRules {
        PlatformInfoRules {
            smt: self.smt.0,
            tsme: self.tsme.0,
            ecc: self.ecc.0,
            rapl_disabled: self.rapl_disabled.0,
            ciphertext_hiding: self.ciphertext_hiding.0,
            alias_check_complete: self.alias_check_complete.0,
            iommu_write_safe: self.iommu_write_safe.0,
            tio: self.tio.0,
            unknown_bits: self.unknown_bits.0,
        }
    }
}

impl TpmFile {
    fn of(rules: &TpmPin) -> Self {
        let TpmPin { ak_name, pcrs } = rules;
        let pcrs = pcrs.iter().map(|pcr| (pcr.index.to_string(), Text(pcr.value))).collect();
        Self { ak_name: Text(ak_name.clone()), pcrs }
    }

    /// `None` if a key is not a PCR index in its one form.
    fn into_rules(self) -> Option<TpmPin> {
        let pcr = |(key, value): (String, Text<[u8; 32]>)| {
            let index = key.parse().ok().filter(|index: &u8| index.to_string() == key)?;
            Some(PcrValue { index, value: value.0 })
        };
        let mut pcrs: Vec<PcrValue> = self.pcrs.into_iter().map(pcr).collect::<Option<_>>()?;
        pcrs.sort_unstable();
        Some(TpmPin { ak_name: self.ak_name.0, pcrs })
    }
}

impl AnchorsFile {
    fn of(anchors: &Anchors) -> Self {
        let Anchors { amd, tpm } = anchors;
        Self {
            amd: match amd {
                AmdAnchors::BuiltIn => AmdFile::BuiltIn,
                AmdAnchors::Simulated(roots) => AmdFile::Simulated(
                    roots
                        .iter()
                        .map(|SimulatedRoot { product, ark, ask }| RootFile {
                            product: Text(*product),
                            ark: Text(ark.clone()),
                            ask: Text(ask.clone()),
                        })
                        .collect(),
                ),
            },
            tpm: tpm
                .iter()
                .map(|TpmAnchor { name, class, kind, certificates }| TpmAnchorFile {
                    name: Text(name.clone()),
                    class: Text(*class),
                    kind: Text(*kind),
                    certificates: texts(certificates),
                })
                .collect(),
        }
    }

    fn into_anchors(self) -> Anchors {
        let root =
            |RootFile { product, ark, ask }| SimulatedRoot { product: product.0, ark: ark.0, ask: ask.0 };
        let anchor = |TpmAnchorFile { name, class, kind, certificates }| TpmAnchor {
            name: name.0,
            class: class.0,
            kind: kind.0,
            certificates: values(certificates),
        };
        Anchors {
            amd: match self.amd {
                AmdFile::BuiltIn => AmdAnchors::BuiltIn,
                AmdFile::Simulated(roots) => AmdAnchors::Simulated(roots.into_iter().map(root).collect()),
            },
            tpm: self.tpm.into_iter().map(anchor).collect(),
        }
    }
}
