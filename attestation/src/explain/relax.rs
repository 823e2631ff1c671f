//! Everything that a rule refuses, not only the first: what was refused is conceded, and the rule asked again. The
//! checks stay where they are; nothing here judges.

use vouchsafe_protocol::evidence::PcrValue;
use vouchsafe_protocol::policy::{
    AbiVersion, AkRule, BitRule, ChipRule, EkRule, GuestPolicyRules, HostDataRule, IdBlockRule, IdRule,
    MigrationAgentRule, PcrExpectation, PcrRule, Permission, PlatformInfoRules, ReportIdRule, SnpAccept, Tcb,
    TcbFloor, TcbFloors, TcbGrace, TpmAccept, TpmKindRule,
};

use crate::snp::report::Report;
use crate::snp::rules::{self as snp_rules, Claimed, SnpRuleError, Warning, WhichTcb, WhichVector};
use crate::snp::tcb::Component;
use crate::tpm::attest::Quote;
use crate::tpm::logs::ComparedLogs;
use crate::tpm::rules::{self as tpm_rules, PcrRules, Shown, TpmRuleError};

/// Most refusals told of one rule: there are about 60 rules, and each is conceded once.
const REFUSALS: usize = 96;

/// The warnings of a rule, and all that it refuses.
pub(super) fn snp(claimed: Claimed<'_>, accept: &SnpAccept, now: u64) -> (Vec<Warning>, Vec<SnpRuleError>) {
    let mut accept = accept.clone();
    all(
        &mut accept,
        |accept| snp_rules::check(claimed, accept, now),
        |accept, error| concede(accept, claimed, error),
    )
}

/// The same over PCRs.
pub(super) fn pcrs(
    quote: &Quote,
    sent: &[PcrValue],
    rules: PcrRules<'_>,
    now: u64,
    logs: &ComparedLogs<'_, '_>,
) -> (Vec<Warning>, Vec<TpmRuleError>) {
    let PcrRules { pcrs, events, ima } = rules;
    let mut pcrs = pcrs.to_vec();
    let check =
        |pcrs: &Vec<PcrRule>| tpm_rules::check_pcrs(quote, sent, PcrRules { pcrs, events, ima }, now, logs);
    all(&mut pcrs, check, |pcrs, error| concede_pcr(pcrs, sent, error))
}

/// The same over a TPM's quote.
pub(super) fn tpm(
    quote: &Quote,
    sent: &[PcrValue],
    shown: Shown<'_>,
    accept: &TpmAccept,
    now: u64,
    logs: &ComparedLogs<'_, '_>,
) -> (Vec<Warning>, Vec<TpmRuleError>) {
    let mut accept = accept.clone();
    let check = |accept: &TpmAccept| tpm_rules::check_shown(quote, sent, shown, accept, now, logs);
    all(&mut accept, check, |accept, error| {
        match error {
            TpmRuleError::Anchor => accept.anchors.push(shown.anchor.clone()),
            TpmRuleError::Kind => accept.kind = TpmKindRule::Any,
            TpmRuleError::AkProof => accept.ak = AkRule::Either,
            TpmRuleError::EkNotListed => accept.ek = EkRule::AnyTpm,
            other => return concede_pcr(&mut accept.pcrs, sent, other),
        }
        true
    })
}

/// Asks until the rule accepts, or does not concede, or refuses what it has conceded.
fn all<R, E: Copy + PartialEq>(
    rule: &mut R,
    check: impl Fn(&R) -> Result<Vec<Warning>, E>,
    mut concede: impl FnMut(&mut R, E) -> bool,
) -> (Vec<Warning>, Vec<E>) {
    let mut refusals: Vec<E> = Vec::new();
    for _ in 0..REFUSALS {
        match check(rule) {
            Ok(warnings) => return (warnings, refusals),
            Err(error) if refusals.contains(&error) => break,
            Err(error) => {
                refusals.push(error);
                if !concede(rule, error) {
                    break;
                }
            }
        }
    }
    (Vec::new(), refusals)
}

fn concede_pcr(pcrs: &mut [PcrRule], sent: &[PcrValue], error: TpmRuleError) -> bool {
    let (TpmRuleError::AllZero { index } | TpmRuleError::Expired { index } | TpmRuleError::Value { index }) =
        error
    else {
        return false;
    };
    let shown = sent.iter().find(|pcr| pcr.index == index);
    let (Some(rule), Some(shown)) = (pcrs.iter_mut().find(|rule| rule.index == index), shown) else {
        return false;
    };
    match error {
        TpmRuleError::AllZero { .. } => rule.all_zero = Permission::Allowed,
        _ => rule.expected = PcrExpectation::Values(vec![shown.value.into()]),
    }
    true
}

/// Lets a rule accept what it refused. `false` for what no rule accepts.
fn concede(accept: &mut SnpAccept, claimed: Claimed<'_>, error: SnpRuleError) -> bool {
    let Claimed { report, product, provider: _ } = claimed;
    match error {
        SnpRuleError::MustBeOne | SnpRuleError::HostRequested | SnpRuleError::TcbOrder { .. } => {
            return false;
        }
        SnpRuleError::Product { .. } => accept.products.push(product),
        SnpRuleError::Measurement | SnpRuleError::MeasurementExpired => {
            accept.measurements = vec![report.measurement.into()];
        }
        SnpRuleError::HostData => accept.host_data = HostDataRule::AnyHostData,
        SnpRuleError::FamilyId => accept.family_id = IdRule::AnyId,
        SnpRuleError::ImageId => accept.image_id = IdRule::AnyId,
        SnpRuleError::GuestSvn { .. } => accept.min_guest_svn = 0,
        SnpRuleError::IdKey | SnpRuleError::AuthorKey => accept.id_block = IdBlockRule::AnyIdBlock,
        SnpRuleError::ReportId => accept.report_id = ReportIdRule::AnyReportId,
        SnpRuleError::ReportIdMa => accept.migration_agent = MigrationAgentRule::AnyMigrationAgent,
        SnpRuleError::Version { .. } => accept.min_report_version = 0,
        SnpRuleError::Reserved => accept.reserved_fields = Permission::Allowed,
        SnpRuleError::Abi { .. } => accept.guest_policy.min_abi = AbiVersion { major: 0, minor: 0 },
        SnpRuleError::Debug => accept.guest_policy.debug = BitRule::Any,
        SnpRuleError::MigrationAgent => accept.guest_policy.migrate_ma = BitRule::Any,
        SnpRuleError::GuestPolicy { bit } => return concede_policy_bit(&mut accept.guest_policy, bit),
        SnpRuleError::Vmpl { .. } => return concede_vmpl(accept, report),
        SnpRuleError::PlatformInfo { bit } => return concede_platform_bit(&mut accept.platform_info, bit),
        SnpRuleError::PlatformInfoUnknown => accept.platform_info.unknown_bits = Permission::Allowed,
        SnpRuleError::NoMitigations => (accept.mitigations.launch, accept.mitigations.current) = (0, 0),
        SnpRuleError::Mitigations { which: WhichVector::Current } => accept.mitigations.current = 0,
        SnpRuleError::Mitigations { which: WhichVector::Launch } => accept.mitigations.launch = 0,
        SnpRuleError::ChipMasked
        | SnpRuleError::Vlek
        | SnpRuleError::ChipNotListed
        | SnpRuleError::NoProvider
        | SnpRuleError::Provider => accept.chip = ChipRule::AnyChipEvenMasked,
        SnpRuleError::Provisional => accept.provisional_firmware = Permission::Allowed,
        SnpRuleError::NoFloor { .. } => accept.tcb_floors.push(TcbFloor::all(product, Tcb::ZERO)),
        SnpRuleError::Floor { which, component } => {
            let floor = accept.tcb_floors.iter_mut().find(|floor| floor.product == product);
            let Some(floor) = floor else { return false };
            floor.grace = TcbGrace::NoGrace;
            concede_component(&mut floor.floors, which, component);
        }
    }
    true
}

fn concede_vmpl(accept: &mut SnpAccept, report: &Report) -> bool {
    u8::try_from(report.vmpl).map(|vmpl| accept.vmpl = vmpl).is_ok()
}

fn concede_component(floors: &mut TcbFloors, which: WhichTcb, component: Component) {
    let tcb = match which {
        WhichTcb::Committed => &mut floors.committed,
        WhichTcb::Current => &mut floors.current,
        WhichTcb::Launch => &mut floors.launch,
        WhichTcb::Reported => &mut floors.reported,
    };
    match component {
        Component::BootLoader => tcb.boot_loader = 0,
        Component::Fmc => tcb.fmc = 0,
        Component::Microcode => tcb.microcode = 0,
        Component::Snp => tcb.snp = 0,
        Component::Tee => tcb.tee = 0,
    }
}

fn concede_policy_bit(rules: &mut GuestPolicyRules, bit: u8) -> bool {
    let rule = match bit {
        16 => &mut rules.smt,
        20 => &mut rules.single_socket,
        21 => &mut rules.cxl_allowed,
        22 => &mut rules.mem_aes_256_xts,
        23 => &mut rules.rapl_disabled,
        24 => &mut rules.ciphertext_hiding,
        25 => &mut rules.page_swap_disabled,
        _ => return false,
    };
    *rule = BitRule::Any;
    true
}

fn concede_platform_bit(rules: &mut PlatformInfoRules, bit: u8) -> bool {
    let rule = match bit {
        0 => &mut rules.smt,
        1 => &mut rules.tsme,
        2 => &mut rules.ecc,
        3 => &mut rules.rapl_disabled,
        4 => &mut rules.ciphertext_hiding,
        5 => &mut rules.alias_check_complete,
        6 => &mut rules.iommu_write_safe,
        7 => &mut rules.tio,
        _ => return false,
    };
    *rule = BitRule::Any;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_a_concession_does_not_lift_is_told_once() {
        assert_eq!(all(&mut (), |()| Err(7), |(), _| true), (Vec::new(), vec![7]));
    }

    #[test]
    fn what_is_not_conceded_ends_the_list() {
        let concede = |rule: &mut u8, _| {
            *rule += 1;
            false
        };
        assert_eq!(all(&mut 0, |rule| Err(*rule), concede), (Vec::new(), vec![0]));
    }

    #[test]
    fn refusals_without_end_end() {
        let concede = |rule: &mut usize, _| {
            *rule += 1;
            true
        };
        let (warnings, refusals) = all(&mut 0, |rule| Err(*rule), concede);
        assert_eq!((warnings, refusals), (Vec::new(), (0..REFUSALS).collect()));
    }
}
