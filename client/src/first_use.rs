//! Trust on first use: the pin that exactly fits what a vault's evidence shows.
//!
//! Revocation lists are pinned as looked at only if the vault stapled one: a vault that never had one would be
//! refused at the next contact.
//!
//! What is read here is not verified; the caller appraises the evidence against this very pin afterwards.

use vouchsafe_attestation::snp::report::{Report, ReportError, SigningKey};
use vouchsafe_attestation::snp::tcb::RawTcb;
use vouchsafe_attestation::snp::vek::{VekCertificate, VekError};
use vouchsafe_attestation::{AkError, parse_ak};
use vouchsafe_protocol::evidence::{Evidence, SnpEvidence, TpmEvidence};
use vouchsafe_protocol::policy::{
    BitRule, ChipRule, Permission, PlatformInfoRules, Product, RevocationRule, SnpAccept, Tcb, TcbFloor,
    TpmPin, VaultPlatformPin,
};

/// POLICY bit 19: the host may debug the guest.
const POLICY_DEBUG: u64 = 1 << 19;
/// PLATFORM_INFO bit 5: the firmware has checked for memory aliases.
const ALIAS_CHECK_COMPLETE: u64 = 1 << 5;
/// How old the revocation list may be that a vault staples ever after, if it did at first: AMD renews its lists
/// within a year, and a list past its own dates is refused in any case.
const CRL_MAX_AGE_SECS: u32 = 366 * 24 * 3600;
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
    /// A paravisor's evidence.
    #[error("a vault on a paravisor's virtual TPM is not supported; it runs on SNP or on a TPM")]
    Kind,
    /// No PCRs.
    #[error("the vault's quote covers no PCR")]
    NoPcr,
    /// No certificate of the key that signed the report.
    #[error("the vault's evidence has no VCEK or VLEK certificate")]
    NoVek,
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
        Evidence::SnpVtpm(_) => Err(FirstUseError::Kind),
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
    let SnpEvidence { report, endorsements } = evidence;
    let report = Report::parse(report).map_err(FirstUseError::Report)?;
    let vek = endorsements.vek.as_deref().ok_or(FirstUseError::NoVek)?;
    let product = VekCertificate::parse(vek).map_err(FirstUseError::Vek)?.claims.product;
    if report.policy & POLICY_DEBUG != 0 {
        return Err(FirstUseError::Debug);
    }
    let vmpl = u8::try_from(report.vmpl).ok().filter(|vmpl| *vmpl <= 3).ok_or(FirstUseError::Vmpl)?;
    let chip_shown = report.chip_id.0 != [0; 64] && report.signing_key == SigningKey::Vcek;
    let strict = SnpAccept::strict(
        vec![product],
        vec![report.measurement.into()],
        vec![TcbFloor::all(product, floor(&report, product))],
        if chip_shown { ChipRule::AnyChip } else { ChipRule::AnyChipEvenMasked },
        match endorsements.crl {
            Some(_) => RevocationRule::Checked { max_age_secs: CRL_MAX_AGE_SECS },
            None => RevocationRule::Unchecked,
        },
    );
    Ok(SnpAccept {
        provisional_firmware: allowed_if(report.current_tcb != report.committed_tcb),
        platform_info: platform_info(report.platform_info, strict.platform_info),
        vmpl,
        min_report_version: report.version,
        reserved_fields: allowed_if(!report.reserved_is_zero),
        ..strict
    })
}

/// The lowest, component by component, of the four TCBs that a floor applies to.
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
    let Report { reported_tcb, committed_tcb, launch_tcb, current_tcb, .. } = report;
    [committed_tcb, launch_tcb, current_tcb]
        .into_iter()
        .fold(reported_tcb.components(product), |lowest, tcb| least(lowest, *tcb))
}

fn platform_info(shown: u64, strict: PlatformInfoRules) -> PlatformInfoRules {
    let alias_check_complete =
        if shown & ALIAS_CHECK_COMPLETE != 0 { BitRule::Required } else { BitRule::Any };
    PlatformInfoRules { alias_check_complete, unknown_bits: allowed_if(shown & UNKNOWN_BITS != 0), ..strict }
}

fn allowed_if(shown: bool) -> Permission {
    if shown { Permission::Allowed } else { Permission::Forbidden }
}
