//! What rules say of stored evidence: everything that each refuses, and what the evidence cannot show any more.

use vouchsafe_attestation::explain::{
    Explained, Explanation, NotGenuine, Outcome, Untried, explain, explain_seen, refusal,
};
use vouchsafe_attestation::snp::rules::{SnpRuleError, Warning, WhichTcb};
use vouchsafe_attestation::snp::tcb::Component;
use vouchsafe_attestation::tpm::quote::QuoteError;
use vouchsafe_attestation::tpm::rules::TpmRuleError;
use vouchsafe_attestation::{AppraisalError, ChainCache};
use vouchsafe_protocol::evidence::{Evidence, Logs, PcrValue, SnpVtpmEvidence, TpmKeys};
use vouchsafe_protocol::policy::{
    Accept, BitRule, ChipId, ChipRule, Expiry, GuestPolicyRules, PcrExpectation, PcrRule, Permission,
    PlatformInfoRules, Product, ReferenceValue, RevocationRule, SnpAccept, SnpVtpmAccept, Tcb, TcbFloor,
    TcbFloors, TcbGrace, TpmAccept,
};
use vouchsafe_protocol::seen::{SeenFacts, SeenQuote, SeenReport, SeenVtpm};
use vouchsafe_simulation::ReportBuilder;
use vouchsafe_simulation::tpm::{TpmKey, TpmKeyKind};

use crate::azure_fixture::{self, Machine, claims, vtpm_accept};
use crate::snp_fixture::{self, Fixture, NOW, TCB, snp_accept};
use crate::tpm_fixture::{self, pcr_rule, pcrs, tpm_accept};

fn refusals(report: impl FnOnce(ReportBuilder) -> ReportBuilder, rule: SnpAccept) -> Vec<AppraisalError> {
    let fixture = Fixture::genoa();
    let evidence = Evidence::Snp(fixture.evidence(report(fixture.report())));
    let rules = [Accept::Snp(rule)];
    let mut explanation = explain(&evidence, None, &rules, fixture.context(NOW), &mut ChainCache::new());
    assert_eq!(explanation.genuine, Ok(()));
    match explanation.rules.remove(0).outcome {
        Outcome::Refuses(errors) => errors,
        other => panic!("{other:?}"),
    }
}

fn of_rules(errors: impl IntoIterator<Item = SnpRuleError>) -> Vec<AppraisalError> {
    errors.into_iter().map(AppraisalError::SnpRule).collect()
}

#[test]
fn s7_every_bit_that_a_rule_refuses_is_told() {
    let mut rule = snp_accept();
    // The report's policy is SMT and the bit that is always one.
    rule.guest_policy = GuestPolicyRules {
        smt: BitRule::Forbidden,
        single_socket: BitRule::Required,
        cxl_allowed: BitRule::Required,
        mem_aes_256_xts: BitRule::Required,
        rapl_disabled: BitRule::Required,
        ciphertext_hiding: BitRule::Required,
        page_swap_disabled: BitRule::Required,
        ..rule.guest_policy
    };
    rule.platform_info = PlatformInfoRules {
        smt: BitRule::Required,
        tsme: BitRule::Required,
        ecc: BitRule::Required,
        rapl_disabled: BitRule::Required,
        ciphertext_hiding: BitRule::Required,
        alias_check_complete: BitRule::Required,
        iommu_write_safe: BitRule::Required,
        tio: BitRule::Required,
        unknown_bits: rule.platform_info.unknown_bits,
    };
    rule.chip = ChipRule::Allow(vec![ChipId([1; 64])]);
    let policy = [16, 20, 21, 22, 23, 24, 25].map(|bit| SnpRuleError::GuestPolicy { bit });
    let platform = (0..8).map(|bit| SnpRuleError::PlatformInfo { bit });
    let told = refusals(|report| report.policy(0x3_0000).platform_info(0), rule);
    assert_eq!(told, of_rules(policy.into_iter().chain(platform).chain([SnpRuleError::ChipNotListed])));
}

#[test]
fn s6_what_is_refused_beside_another_vmpl_is_told() {
    let rule = SnpAccept { chip: ChipRule::Allow(vec![ChipId([1; 64])]), ..snp_accept() };
    let vmpl = SnpRuleError::Vmpl { vmpl: 1, expected: 0 };
    assert_eq!(refusals(|report| report.vmpl(1), rule), of_rules([vmpl, SnpRuleError::ChipNotListed]));
}

#[test]
fn s5_every_component_below_a_floor_is_told_though_some_are_above_the_lower_one() {
    let launch = |tcb| TcbFloors { committed: TCB, current: TCB, launch: tcb, reported: TCB };
    let floors = launch(Tcb { snp: TCB.snp + 1, microcode: TCB.microcode + 1, ..TCB });
    let lower = launch(Tcb { snp: TCB.snp + 1, ..TCB });
    let grace = TcbGrace::Until { floors: lower, until_unix_secs: NOW + 1 };
    let rule =
        SnpAccept { tcb_floors: vec![TcbFloor { product: Product::Genoa, floors, grace }], ..snp_accept() };
    let floor = |component| SnpRuleError::Floor { which: WhichTcb::Launch, component };
    let expected = of_rules([floor(Component::Snp), floor(Component::Microcode)]);
    assert_eq!(refusals(|report| report, rule), expected);
}

#[test]
fn of_rules_that_got_equally_far_the_first_is_named() {
    let fixture = Fixture::genoa();
    let rule = |least| Accept::Snp(SnpAccept { min_guest_svn: least, ..snp_accept() });
    let evidence = Evidence::Snp(fixture.evidence(fixture.report()));
    let rules = [rule(9), rule(8)];
    let explanation = explain(&evidence, None, &rules, fixture.context(NOW), &mut ChainCache::new());
    let expected = AppraisalError::SnpRule(SnpRuleError::GuestSvn { svn: 0, least: 9 });
    assert_eq!(refusal(&explanation.rules), expected);
}

/// What one rule says of a paravisor's evidence that a vault kept.
fn seen(user_data_is_statement: bool, rule: SnpVtpmAccept) -> Explained {
    let chip = &Fixture::new(Product::Milan).chip;
    let report = snp_fixture::report(chip).sign(chip).unwrap();
    let quote = SeenQuote {
        attest: azure_fixture::quote().encode(),
        pcrs: pcrs(),
        logs: Logs::default(),
        logs_dropped: true,
    };
    let facts = SeenFacts::SnpVtpm(Box::new(SeenVtpm {
        snp: SeenReport { report, product: Product::Milan, provider: None },
        hcl_report: Vec::new(),
        quote,
        user_data_is_statement,
    }));
    explain_seen(&facts, &[Accept::SnpVtpm(rule)], NOW).unwrap().remove(0)
}

#[test]
fn f3_a_seen_paravisor_is_judged_by_its_report_its_quote_and_its_statement() {
    let explained = |outcome, untried| Explained { index: 0, outcome, untried };
    // No rule asks for the logs that were not kept.
    assert_eq!(seen(true, vtpm_accept()), explained(Outcome::Accepts(vec![]), vec![]));
    let stale = Outcome::Refuses(vec![AppraisalError::UserData]);
    assert_eq!(seen(false, vtpm_accept()), explained(stale, vec![]));
    let mut strict = vtpm_accept();
    strict.snp.min_guest_svn = 1;
    strict.snp.revocation = RevocationRule::Checked { max_age_secs: 60 };
    strict.pcrs[1] = pcr_rule(7, &[[2; 32]]);
    let refused = Outcome::Refuses(vec![
        AppraisalError::SnpRule(SnpRuleError::GuestSvn { svn: 0, least: 1 }),
        AppraisalError::TpmRule(TpmRuleError::Value { index: 7 }),
    ]);
    assert_eq!(seen(true, strict), explained(refused, vec![Untried::Revocation]));
}

#[test]
fn what_is_accepted_for_a_while_is_told_once() {
    let expiry = Expiry::At { expires_unix_secs: NOW - 1, grace_secs: 60 };
    let late = |pcr: PcrValue| {
        let expected = PcrExpectation::Values(vec![ReferenceValue { value: pcr.value, expiry }]);
        PcrRule { index: pcr.index, expected, all_zero: Permission::Forbidden }
    };
    let mut rule = vtpm_accept();
    rule.pcrs = pcrs().into_iter().map(late).collect();
    let warned = Outcome::Accepts(vec![Warning::ReferenceValue]);
    assert_eq!(seen(true, rule.clone()).outcome, warned);
    rule.snp.measurements = vec![ReferenceValue { value: snp_fixture::measurement(), expiry }];
    assert_eq!(seen(true, rule.clone()).outcome, warned);
    let fixture = tpm_fixture::Fixture::new();
    let rule = Accept::Tpm(TpmAccept { pcrs: rule.pcrs, ..tpm_accept() });
    assert_eq!(fixture.appraise(fixture.good(), &[rule]).unwrap().warnings, [Warning::ReferenceValue]);
}

fn paravisor(machine: &Machine, evidence: SnpVtpmEvidence) -> Explanation {
    let evidence = Evidence::SnpVtpm(Box::new(evidence));
    let rules = [azure_fixture::accept()];
    explain(&evidence, None, &rules, machine.0.context(NOW), &mut ChainCache::new())
}

#[test]
fn t4_a_paravisors_evidence_is_genuine_only_with_a_quote_by_its_key() {
    let machine = Machine::new();
    let good = paravisor(&machine, machine.good());
    let accepted =
        Explained { index: 0, outcome: Outcome::Accepts(vec![]), untried: vec![Untried::Freshness] };
    assert_eq!(good, Explanation { genuine: Ok(()), rules: vec![accepted] });
    let other = TpmKey::generate(TpmKeyKind::RsaSsaSha256).unwrap();
    let evidence = machine.evidence_of(machine.hcl(&claims()).encode(), &azure_fixture::quote(), &other);
    let forged = AppraisalError::Quote(QuoteError::BadSignature);
    assert_eq!(paravisor(&machine, evidence).genuine, Err(NotGenuine::Evidence(forged)));
}

fn tpm(fixture: &tpm_fixture::Fixture, keys: Option<&TpmKeys>, rules: &[Accept]) -> Explanation {
    explain(&Evidence::Tpm(fixture.good()), keys, rules, fixture.context(), &mut ChainCache::new())
}

#[test]
fn t4_a_quote_is_genuine_only_beside_the_keys_of_its_tpm() {
    let fixture = tpm_fixture::Fixture::new();
    let keys = fixture.keys();
    let good = tpm(&fixture, Some(&keys), &[tpm_fixture::accept()]);
    let untried = vec![Untried::Credential];
    let accepted = Explained { index: 0, outcome: Outcome::Accepts(vec![]), untried };
    assert_eq!(good, Explanation { genuine: Ok(()), rules: vec![accepted] });
    let not_resident = Err(NotGenuine::Evidence(AppraisalError::NotResident));
    let others = tpm_fixture::Fixture::new().keys();
    for keys in [None, Some(&others)] {
        assert_eq!(tpm(&fixture, keys, &[tpm_fixture::accept()]).genuine, not_resident);
    }
}

#[test]
fn of_rules_for_tpms_the_one_that_got_furthest_is_named() {
    let fixture = tpm_fixture::Fixture::new();
    let early = Accept::Tpm(TpmAccept { anchors: vec!["other".parse().unwrap()], ..tpm_accept() });
    let mut late = tpm_accept();
    late.pcrs[1] = pcr_rule(7, &[[2; 32]]);
    let late = Accept::Tpm(late);
    for rules in [[early.clone(), late.clone()], [late, early]] {
        let explanation = tpm(&fixture, Some(&fixture.keys()), &rules);
        let expected = AppraisalError::TpmRule(TpmRuleError::Value { index: 7 });
        assert_eq!(refusal(&explanation.rules), expected);
    }
}
