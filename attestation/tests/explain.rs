//! What rules say of stored evidence: all that each refuses, and the same verdict as an appraisal.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test, helpers included")]

use std::sync::OnceLock;

use vouchsafe_attestation::explain::{
    Explained, Explanation, NotGenuine, Outcome, Untried, explain, explain_seen, refusal,
};
use vouchsafe_attestation::snp::rules::{SnpRuleError, Warning, WhichTcb, WhichVector};
use vouchsafe_attestation::{
    AppraisalError, ChainCache, Collateral, Context, Residency, TrustAnchors, appraise, statement,
};
use vouchsafe_protocol::anchors::{AmdAnchors, Anchors};
use vouchsafe_protocol::evidence::{Evidence, Logs, PcrValue};
use vouchsafe_protocol::id::{AnchorClass, VaultId};
use vouchsafe_protocol::policy::{
    Accept, AkRule, BitRule, ChipId, ChipRule, EkRule, EventRules, Expiry, HostDataRule, ImaRule,
    LaunchDigest, MitigationRule, PcrExpectation, PcrRule, Permission, Product, ReferenceValue,
    RevocationRule, SnpAccept, Tcb, TcbFloor, TpmAccept, TpmKind, TpmKindRule,
};
use vouchsafe_protocol::seen::{AkShownBy, SeenFacts, SeenQuote, SeenReport, SeenTpm};
use vouchsafe_simulation::{ReportBuilder, SimulatedChip, SimulatedPki, VekSpec};

/// 2026-01-01.
const NOW: u64 = 1_767_225_600;
const TCB: Tcb = Tcb { fmc: 0, boot_loader: 9, tee: 2, snp: 23, microcode: 200 };
const MEASUREMENT: LaunchDigest = LaunchDigest([0x4d; 48]);

struct World {
    chip: SimulatedChip,
    anchors: TrustAnchors,
}

impl World {
    /// RSA keys are slow to make: one PKI for all tests.
    fn new() -> Self {
        static PKI: OnceLock<SimulatedPki> = OnceLock::new();
        Self::of(PKI.get_or_init(|| SimulatedPki::generate(Product::Genoa).unwrap()))
    }

    fn of(pki: &SimulatedPki) -> Self {
        let chip = pki.chip(&VekSpec::vcek(Product::Genoa, TCB, [0xc1; 64])).unwrap();
        let anchors = Anchors { amd: AmdAnchors::Simulated(vec![pki.root()]), tpm: Vec::new() };
        Self { chip, anchors: TrustAnchors::new(&anchors).unwrap() }
    }

    fn explain_at(&self, report: ReportBuilder, rules: &[Accept], now_unix_secs: u64) -> Explanation {
        let collateral = Collateral::new();
        let context = Context { anchors: &self.anchors, collateral: &collateral, now_unix_secs };
        let evidence = Evidence::Snp(self.chip.evidence(report.sign(&self.chip).unwrap()));
        explain(&evidence, None, rules, context, &mut ChainCache::new())
    }

    fn explain(&self, report: ReportBuilder, rules: &[SnpAccept]) -> Vec<Outcome> {
        let rules: Vec<Accept> = rules.iter().cloned().map(Accept::Snp).collect();
        let explanation = self.explain_at(report, &rules, NOW);
        assert_eq!(explanation.genuine, Ok(()));
        explanation.rules.into_iter().map(|rule| rule.outcome).collect()
    }

    /// A right report, over a statement that the verifier of stored evidence does not know.
    fn report(&self) -> ReportBuilder {
        self.chip.report().measurement(MEASUREMENT).report_data(&[9; 64])
    }
}

fn rule() -> SnpAccept {
    SnpAccept::strict(
        vec![Product::Genoa],
        vec![MEASUREMENT.into()],
        vec![TcbFloor::all(Product::Genoa, TCB)],
        ChipRule::AnyChip,
        RevocationRule::Unchecked,
    )
}

fn refuses(errors: &[SnpRuleError]) -> Outcome {
    Outcome::Refuses(errors.iter().map(|error| AppraisalError::SnpRule(*error)).collect())
}

#[test]
fn a_rule_that_accepts_says_so_whatever_the_statement() {
    let world = World::new();
    assert_eq!(world.explain(world.report(), &[rule()]), [Outcome::Accepts(vec![])]);
}

#[test]
fn every_refusal_of_a_rule_is_told_and_the_first_is_what_a_vault_names() {
    let world = World::new();
    let mut strict = rule();
    strict.measurements = vec![LaunchDigest([1; 48]).into()];
    strict.host_data = HostDataRule::Exactly([3; 32]);
    strict.min_guest_svn = 4;
    strict.min_report_version = 5;
    strict.guest_policy.smt = BitRule::Forbidden;
    strict.platform_info.smt = BitRule::Forbidden;
    strict.platform_info.tsme = BitRule::Required;
    strict.mitigations = MitigationRule { launch: 2, current: 2 };
    strict.chip = ChipRule::Allow(vec![ChipId([1; 64])]);
    strict.tcb_floors[0].floors.launch.snp = 24;
    strict.tcb_floors[0].floors.launch.microcode = 201;
    let outcome = world.explain(world.report(), &[strict.clone()]).remove(0);
    let launch = |component| SnpRuleError::Floor { which: WhichTcb::Launch, component };
    let expected = [
        SnpRuleError::Measurement,
        SnpRuleError::HostData,
        SnpRuleError::GuestSvn { svn: 0, least: 4 },
        SnpRuleError::Version { version: 3, least: 5 },
        SnpRuleError::GuestPolicy { bit: 16 },
        SnpRuleError::PlatformInfo { bit: 0 },
        SnpRuleError::PlatformInfo { bit: 1 },
        SnpRuleError::NoMitigations,
        SnpRuleError::ChipNotListed,
        launch(vouchsafe_attestation::snp::tcb::Component::Snp),
        launch(vouchsafe_attestation::snp::tcb::Component::Microcode),
    ];
    assert_eq!(outcome, refuses(&expected));
    // An appraisal of fresh evidence by the same rule stops at the first.
    let vault = VaultId { class: AnchorClass::Simulated, digest: [7; 32] };
    let statement = statement::introduction(b"c", &[1; 32], b"k", &"r".parse().unwrap(), &vault);
    let fresh = world.report().report_data(&statement.snp_report_data()).sign(&world.chip).unwrap();
    let collateral = Collateral::new();
    let context = Context { anchors: &world.anchors, collateral: &collateral, now_unix_secs: NOW };
    let evidence = Evidence::Snp(world.chip.evidence(fresh));
    let cache = &mut ChainCache::new();
    let refusal = appraise(&evidence, &statement, &[Accept::Snp(strict)], Residency::NotATpm, context, cache)
        .unwrap_err();
    assert_eq!(refusal, AppraisalError::SnpRule(SnpRuleError::Measurement));
}

#[test]
fn s9_each_missing_mitigation_is_told() {
    let world = World::new();
    let mut strict = rule();
    strict.min_report_version = 5;
    strict.mitigations = MitigationRule { launch: 3, current: 3 };
    let which = |which| SnpRuleError::Mitigations { which };
    let outcome = world.explain(world.report().version(5), &[strict]).remove(0);
    assert_eq!(outcome, refuses(&[which(WhichVector::Launch), which(WhichVector::Current)]));
}

#[test]
fn what_no_rule_accepts_ends_the_list() {
    let world = World::new();
    let report = world.report().policy(0x1_0000).guest_svn(1);
    let mut strict = rule();
    strict.min_guest_svn = 2;
    let outcome = world.explain(report, &[strict]).remove(0);
    assert_eq!(outcome, refuses(&[SnpRuleError::GuestSvn { svn: 1, least: 2 }, SnpRuleError::MustBeOne]));
}

#[test]
fn each_rule_has_its_own_verdict() {
    let world = World::new();
    let mut other = rule();
    other.measurements = vec![LaunchDigest([1; 48]).into()];
    let late = Expiry::At { expires_unix_secs: NOW, grace_secs: 60 };
    let mut late_rule = rule();
    late_rule.measurements = vec![ReferenceValue { value: MEASUREMENT, expiry: late }];
    let tpm = Accept::Tpm(tpm_rule());
    let rules = [Accept::Snp(other), tpm, Accept::Snp(late_rule)];
    let explanation = world.explain_at(world.report(), &rules, NOW);
    let outcomes: Vec<Outcome> = explanation.rules.iter().map(|rule| rule.outcome.clone()).collect();
    let warned = Outcome::Accepts(vec![Warning::ReferenceValue]);
    assert_eq!(outcomes, [refuses(&[SnpRuleError::Measurement]), Outcome::OtherKind, warned]);
    assert_eq!(explanation.accepted_by().unwrap().index, 2);
    let later = world.explain_at(world.report(), &rules, NOW + 60);
    assert_eq!(later.accepted_by(), None, "after the grace");
}

#[test]
fn s11_revocation_is_tried_with_a_chain_and_named_without_one() {
    let world = World::new();
    let mut checked = rule();
    checked.revocation = RevocationRule::Checked { max_age_secs: 60 };
    let outcome = world.explain(world.report(), &[checked.clone()]).remove(0);
    let Outcome::Refuses(refusals) = outcome else { panic!("{outcome:?}") };
    assert_eq!(refusals.iter().map(AppraisalError::code).collect::<Vec<_>>(), ["snp.crl.missing"]);
    let facts = SeenFacts::Snp(seen(&world, world.report()));
    let seen = explain_seen(&facts, &[Accept::Snp(checked)], NOW).unwrap().remove(0);
    let untried = vec![Untried::Revocation];
    assert_eq!(seen, Explained { index: 0, outcome: Outcome::Accepts(vec![]), untried });
}

#[test]
fn s2_forged_evidence_is_not_genuine_though_a_rule_would_accept_what_it_says() {
    let (world, stranger) = (World::new(), World::of(&SimulatedPki::generate(Product::Genoa).unwrap()));
    let evidence = Evidence::Snp(stranger.chip.evidence(stranger.report().sign(&stranger.chip).unwrap()));
    let collateral = Collateral::new();
    let context = Context { anchors: &world.anchors, collateral: &collateral, now_unix_secs: NOW };
    let explanation = explain(&evidence, None, &[Accept::Snp(rule())], context, &mut ChainCache::new());
    assert!(matches!(explanation.genuine, Err(NotGenuine::Evidence(AppraisalError::Snp(_)))));
    assert!(matches!(explanation.rules[0].outcome, Outcome::Accepts(_)));
    assert_eq!(explanation.accepted_by(), None);
}

#[test]
fn s16_what_cannot_be_read_is_refused_by_every_rule_of_its_kind() {
    let world = World::new();
    let mut evidence = world.chip.evidence(world.report().sign(&world.chip).unwrap());
    evidence.report.truncate(100);
    let collateral = Collateral::new();
    let context = Context { anchors: &world.anchors, collateral: &collateral, now_unix_secs: NOW };
    let rules = [Accept::Snp(rule()), Accept::Tpm(tpm_rule())];
    let explanation = explain(&Evidence::Snp(evidence), None, &rules, context, &mut ChainCache::new());
    let Err(NotGenuine::Evidence(error)) = explanation.genuine else { panic!() };
    assert_eq!(explanation.rules[0].outcome, Outcome::Refuses(vec![error]));
    assert_eq!(explanation.rules[1].outcome, Outcome::OtherKind);
}

fn seen(world: &World, report: ReportBuilder) -> SeenReport {
    SeenReport { report: report.sign(&world.chip).unwrap(), product: Product::Genoa, provider: None }
}

#[test]
fn a_seen_report_is_judged_like_stored_evidence() {
    let world = World::new();
    let facts = SeenFacts::Snp(seen(&world, world.report()));
    let mut other = rule();
    other.measurements = vec![LaunchDigest([1; 48]).into()];
    let rules = [Accept::Snp(rule()), Accept::Snp(other)];
    let explained = explain_seen(&facts, &rules, NOW).unwrap();
    assert_eq!(explained[0].outcome, Outcome::Accepts(vec![]));
    assert_eq!(explained[1].outcome, refuses(&[SnpRuleError::Measurement]));
}

fn tpm_rule() -> TpmAccept {
    let value = |index: u8, value: [u8; 32]| PcrRule {
        index,
        expected: PcrExpectation::Values(vec![value.into()]),
        all_zero: Permission::Forbidden,
    };
    TpmAccept {
        anchors: vec!["maker".parse().unwrap()],
        kind: TpmKindRule::Hardware,
        pcrs: vec![value(4, [4; 32]), value(7, [7; 32])],
        events: EventRules::NONE,
        ima: ImaRule::NotRequired,
        ak: AkRule::ByCredential,
        ek: EkRule::AnyTpm,
    }
}

/// TPMS_ATTEST of a quote over PCRs 4 and 7 (TPM 2.0 Part 2, section 10.12.8).
fn attest() -> Vec<u8> {
    let mut bytes = b"\xffTCG\x80\x18\x00\x00\x00\x00".to_vec();
    bytes.extend([0; 17]);
    bytes.extend([0; 8]);
    bytes.extend(b"\x00\x00\x00\x01\x00\x0b\x03\x90\x00\x00\x00\x20");
    bytes.extend([0; 32]);
    bytes
}

fn seen_tpm() -> SeenTpm {
    let pcr = |index: u8| PcrValue { index, value: [index; 32] };
    SeenTpm {
        quote: SeenQuote {
            attest: attest(),
            pcrs: vec![pcr(4), pcr(7)],
            logs: Logs::default(),
            logs_dropped: false,
        },
        ak_public: Vec::new(),
        shown_by: AkShownBy::Credential,
        spki_digest: [5; 32],
        anchor: "maker".parse().unwrap(),
        kind: TpmKind::Hardware,
    }
}

fn tpm_codes(facts: &SeenTpm, rule: TpmAccept) -> Vec<&'static str> {
    let facts = SeenFacts::Tpm(Box::new(facts.clone()));
    match explain_seen(&facts, &[Accept::Tpm(rule)], NOW).unwrap().remove(0).outcome {
        Outcome::Accepts(_) => Vec::new(),
        Outcome::OtherKind => panic!(),
        Outcome::Refuses(errors) => errors.iter().map(AppraisalError::code).collect(),
    }
}

#[test]
fn t13_a_seen_quote_is_judged_by_every_rule_of_its_kind() {
    assert_eq!(tpm_codes(&seen_tpm(), tpm_rule()), [""; 0]);
    let mut strict = tpm_rule();
    strict.anchors = vec!["other".parse().unwrap()];
    strict.kind = TpmKindRule::HostVirtual;
    strict.ak = AkRule::ByCertificate;
    strict.ek = EkRule::Allow(vec![[6; 32]]);
    strict.pcrs[0].expected = PcrExpectation::Values(vec![[1; 32].into()]);
    strict.pcrs[1].expected = PcrExpectation::Values(vec![ReferenceValue {
        value: [7; 32],
        expiry: Expiry::At { expires_unix_secs: 1, grace_secs: 0 },
    }]);
    let expected =
        ["tpm.anchor", "tpm.kind", "tpm.ak.proof", "tpm.ek.not-listed", "tpm.pcr.value", "tpm.pcr.expired"];
    assert_eq!(tpm_codes(&seen_tpm(), strict), expected);
    let mut selection = tpm_rule();
    selection.pcrs.pop();
    assert_eq!(tpm_codes(&seen_tpm(), selection), ["tpm.pcr.selection"]);
    let mut zero = seen_tpm();
    zero.quote.pcrs[1].value = [0; 32];
    assert_eq!(tpm_codes(&zero, tpm_rule()), ["tpm.pcr.all-zero", "tpm.pcr.value"]);
}

#[test]
fn a_log_that_was_not_kept_refuses_nothing_and_is_named() {
    let mut rule = tpm_rule();
    rule.pcrs[0].expected = PcrExpectation::Events;
    assert_eq!(tpm_codes(&seen_tpm(), rule.clone()), ["tpm.log.missing"]);
    let mut dropped = seen_tpm();
    dropped.quote.logs_dropped = true;
    let facts = SeenFacts::Tpm(Box::new(dropped));
    let explained = explain_seen(&facts, &[Accept::Tpm(rule)], NOW).unwrap().remove(0);
    assert_eq!(
        explained,
        Explained { index: 0, outcome: Outcome::Accepts(vec![]), untried: vec![Untried::Logs] }
    );
}

#[test]
fn the_refusal_that_is_named_is_that_of_the_rule_that_got_furthest() {
    let world = World::new();
    let mut early = rule();
    early.measurements = vec![LaunchDigest([1; 48]).into()];
    let mut late = rule();
    late.min_guest_svn = 9;
    late.chip = ChipRule::Allow(vec![ChipId([1; 64])]);
    let mut latest = rule();
    latest.revocation = RevocationRule::Checked { max_age_secs: 60 };
    let named = |rules: &[SnpAccept]| {
        let rules: Vec<Accept> = rules.iter().cloned().map(Accept::Snp).collect();
        refusal(&world.explain_at(world.report(), &rules, NOW).rules).code()
    };
    assert_eq!(named(&[early.clone(), late.clone()]), "snp.guest-svn");
    assert_eq!(named(&[late.clone(), early.clone()]), "snp.guest-svn");
    assert_eq!(named(&[latest, late, early]), "snp.crl.missing");
    let tpm = world.explain_at(world.report(), &[Accept::Tpm(tpm_rule())], NOW);
    assert_eq!(refusal(&tpm.rules), AppraisalError::Kind);
}
