//! Trust on first use: the pin that exactly fits what a vault's evidence shows.
//!
//! What is read here is not verified; the caller appraises the evidence against this very pin afterwards.

use vouchsafe_attestation::snp::report::{Report, ReportError, SigningKey};
use vouchsafe_attestation::snp::tcb::RawTcb;
use vouchsafe_attestation::snp::vek::{VekCertificate, VekError};
use vouchsafe_attestation::{AkError, parse_ak};
use vouchsafe_protocol::evidence::{Evidence, SnpEvidence, TpmEvidence};
use vouchsafe_protocol::policy::{
    BitRule, ChipRule, HostDataRule, Permission, PlatformInfoRules, Product, SnpAccept, Tcb, TcbFloor,
    TpmPin, VaultPlatformPin,
};

/// POLICY bit 19: the host may debug the guest.
const POLICY_DEBUG: u64 = 1 << 19;
/// PLATFORM_INFO bit 5: the firmware has checked for memory aliases.
const ALIAS_CHECK_COMPLETE: u64 = 1 << 5;
/// PLATFORM_INFO bits that have no name.
const UNKNOWN_BITS: u64 = !0xff;

/// Why evidence shows nothing that could be pinned.
#[derive(Debug, thiserror::Error)]
pub enum FirstUseError {
    /// The TPM key is not an attestation key.
    #[error("the vault's attestation key is refused")]
    Ak(#[source] AkError),
    /// A debug guest is never pinned by looking at it.
    #[error("the vault's guest can be debugged by its host; pin it by hand if that is meant")]
    Debug,
    /// No PCRs.
    #[error("the vault's quote covers no PCR")]
    NoPcr,
    /// The report cannot be read.
    #[error("the vault's report is refused")]
    Report(#[source] ReportError),
    /// The certificate cannot be read.
    #[error("the vault's VCEK or VLEK certificate is refused")]
    Vek(#[source] VekError),
    /// The report was not asked for at a VMPL of a guest.
    #[error("the vault's report is not from VMPL 0 to 3")]
    Vmpl,
}

/// The pin that fits. Everything that later updates leave alone is exact; the TCB is a floor.
pub(crate) fn pin_of(evidence: &Evidence) -> Result<VaultPlatformPin, FirstUseError> {
    match evidence {
        Evidence::Snp(evidence) => snp(evidence).map(VaultPlatformPin::Snp),
        Evidence::Tpm(evidence) => tpm(evidence).map(VaultPlatformPin::Tpm),
    }
}

fn tpm(evidence: &TpmEvidence) -> Result<TpmPin, FirstUseError> {
    let ak = parse_ak(&evidence.ak_public).map_err(FirstUseError::Ak)?;
    if evidence.pcrs.is_empty() {
        return Err(FirstUseError::NoPcr);
    }
    Ok(TpmPin { ak_name: ak.name().to_vec(), pcrs: evidence.pcrs.clone() })
}

fn snp(evidence: &SnpEvidence) -> Result<SnpAccept, FirstUseError> {
    let report = Report::parse(&evidence.report).map_err(FirstUseError::Report)?;
    let product = VekCertificate::parse(&evidence.vek).map_err(FirstUseError::Vek)?.claims.product;
    if report.policy & POLICY_DEBUG != 0 {
        return Err(FirstUseError::Debug);
    }
    let vmpl = u8::try_from(report.vmpl).ok().filter(|vmpl| *vmpl <= 3).ok_or(FirstUseError::Vmpl)?;
    let chip_shown = report.chip_id.0 != [0; 64] && report.signing_key == SigningKey::Vcek;
    Ok(SnpAccept {
        products: vec![product],
        measurements: vec![report.measurement],
        tcb_floors: vec![TcbFloor { product, tcb: floor(&report, product) }],
        provisional_firmware: allowed_if(report.current_tcb != report.committed_tcb),
        platform_info: platform_info(report.platform_info),
        vmpl,
        chip: if chip_shown { ChipRule::AnyChip } else { ChipRule::AnyChipEvenMasked },
        debug: Permission::Forbidden,
        min_report_version: report.version,
        host_data: HostDataRule::AnyHostData,
        reserved_fields: allowed_if(!report.reserved_is_zero),
    })
}

/// The lowest, component by component, of the three TCBs that a floor applies to.
fn floor(report: &Report, product: Product) -> Tcb {
    let least = |a: Tcb, b: RawTcb| {
        let b = b.components(product);
        Tcb {
            fmc: a.fmc.min(b.fmc),
            boot_loader: a.boot_loader.min(b.boot_loader),
            tee: a.tee.min(b.tee),
            snp: a.snp.min(b.snp),
            microcode: a.microcode.min(b.microcode),
        }
    };
    least(least(report.reported_tcb.components(product), report.committed_tcb), report.launch_tcb)
}

fn platform_info(shown: u64) -> PlatformInfoRules {
    let any = BitRule::Any;
    let alias_check_complete = if shown & ALIAS_CHECK_COMPLETE != 0 { BitRule::Required } else { any };
    PlatformInfoRules {
        smt: any,
        tsme: any,
        ecc: any,
        rapl_disabled: any,
        ciphertext_hiding: any,
        alias_check_complete,
        iommu_write_safe: any,
        tio: any,
        unknown_bits: allowed_if(shown & UNKNOWN_BITS != 0),
    }
}

fn allowed_if(shown: bool) -> Permission {
    if shown { Permission::Allowed } else { Permission::Forbidden }
}
