//! A paravisor's report and a quote of its virtual TPM, through the one entry point. Each test starts from evidence
//! that is accepted, changes one thing, and expects exactly one refusal.

#![expect(clippy::string_slice, reason = "tests cut text where they found something in it")]

use vouchsafe_attestation::azure::{ClaimsError, HclError};
use vouchsafe_attestation::snp::rules::{SnpRuleError, Warning};
use vouchsafe_attestation::snp::verify::SnpError;
use vouchsafe_attestation::tpm::attest::AttestError;
use vouchsafe_attestation::tpm::quote::QuoteError;
use vouchsafe_attestation::tpm::rules::TpmRuleError;
use vouchsafe_attestation::{AppraisalError, ChainCache, Claims, PlatformClass, PlatformId, appraise_vault};
use vouchsafe_protocol::evidence::{Evidence, SnpVtpmEvidence};
use vouchsafe_protocol::id::AnchorClass;
use vouchsafe_protocol::policy::{
    Accept, Expiry, LaunchDigest, PcrExpectation, Product, ReferenceValue, SnpAccept, SnpVtpmAccept,
    UserDataRule, VaultPlatformPin,
};
use vouchsafe_simulation::hcl::report_data;
use vouchsafe_simulation::tpm::{TpmKey, TpmKeyKind};

use crate::azure_fixture::{Machine, accept, ak, claims, claims_with, quote, vtpm_accept};
use crate::snp_fixture::{self, NOW, report, snp_accept, statement};
use crate::tpm_fixture::{self, pcr_rule, pcrs};

#[test]
fn right_evidence_is_accepted_and_described() {
    let machine = Machine::new();
    let appraisal = machine.appraise(machine.good(), &[accept()]).unwrap();
    assert_eq!(appraisal.class, PlatformClass::SnpVtpm { product: Product::Milan });
    assert_eq!(appraisal.anchor_class, AnchorClass::Simulated);
    let spki = vouchsafe_crypto::digest::sha256(&[&ak().spki().unwrap()]);
    assert_eq!(appraisal.platform_id, PlatformId::Ak(spki));
    let Claims::SnpVtpm(claims) = appraisal.claims else { panic!("claims of a paravisor") };
    assert_eq!((claims.ak_digest, claims.pcrs.clone()), (spki, pcrs()));
    assert_eq!(claims.snp.measurement, snp_fixture::measurement());
    assert_eq!((claims.clock.reset_count, claims.clock.restart_count), (5, 6));
    assert!(claims.fresh_report);
    assert_eq!(claims.vm_configuration.secure_boot, Some(true));
}

#[test]
fn t4_a_quote_by_another_key_than_the_paravisors_is_refused() {
    let machine = Machine::new();
    let other = TpmKey::generate(TpmKeyKind::RsaSsaSha256).unwrap();
    let evidence = machine.evidence_of(machine.hcl(&claims()).encode(), &quote(), &other);
    assert_eq!(machine.refusal(evidence), AppraisalError::Quote(QuoteError::BadSignature));
}

#[test]
fn t4_claims_that_name_another_key_are_not_those_of_the_report() {
    let machine = Machine::new();
    let other = TpmKey::generate(TpmKeyKind::RsaSsaSha256).unwrap();
    let forged = vouchsafe_simulation::hcl::runtime_claims(&other, &other, &statement().snp_report_data());
    let mut hcl = machine.hcl(&claims());
    hcl.claims = forged;
    let evidence = machine.evidence_of(hcl.encode(), &quote(), &other);
    assert_eq!(machine.refusal(evidence), AppraisalError::Hcl(HclError::ReportData));
}

#[test]
fn b4_all_of_report_data_is_compared() {
    let machine = Machine::new();
    let mut data = report_data(&claims());
    data[63] = 1;
    let mut hcl = machine.hcl(&claims());
    hcl.report = report(&machine.0.chip).report_data(&data).sign(&machine.0.chip).unwrap();
    let refused = machine.refusal(machine.evidence_with(&hcl));
    assert_eq!(refused, AppraisalError::Hcl(HclError::ReportDataTail));
}

#[test]
fn f2_a_quote_over_another_statement_is_refused() {
    let machine = Machine::new();
    let right = statement().tpm_qualifying_data();
    let longer = [right.as_slice(), &[0]].concat();
    for extra_data in [Vec::new(), right[..31].to_vec(), longer, vec![0; 32]] {
        let mut quote = quote();
        quote.extra_data = extra_data;
        let evidence = machine.evidence_of(machine.hcl(&claims()).encode(), &quote, ak());
        assert_eq!(machine.refusal(evidence), AppraisalError::Statement);
    }
}

#[test]
fn f3_a_report_that_was_not_made_for_the_statement_is_refused_unless_waived() {
    let machine = Machine::new();
    let waived = Accept::SnpVtpm(SnpVtpmAccept { user_data: UserDataRule::NotRequired, ..vtpm_accept() });
    let mut almost = statement().snp_report_data();
    almost[63] ^= 1;
    let text = String::from_utf8(claims()).unwrap();
    let at = text.find(r#","user-data""#).unwrap();
    let without = format!("{}}}", &text[..at]).into_bytes();
    for claims in [claims_with(&[0; 64]), claims_with(&almost), without] {
        let evidence = machine.evidence_with(&machine.hcl(&claims));
        assert_eq!(machine.refusal(evidence.clone()), AppraisalError::UserData);
        // Any one rule suffices, also when the first is stricter.
        let appraisal = machine.appraise(evidence, &[accept(), waived.clone()]).unwrap();
        assert_eq!(appraisal.rule, 1);
        let Claims::SnpVtpm(claims) = appraisal.claims else { panic!("claims of a paravisor") };
        assert!(!claims.fresh_report);
    }
    let appraisal = machine.appraise(machine.good(), &[accept(), waived]).unwrap();
    assert_eq!(appraisal.rule, 0);
}

#[test]
fn s6_the_rules_for_reports_apply_to_the_paravisor() {
    let machine = Machine::new();
    let claims = claims();
    let other = LaunchDigest([0x99; 48]);
    let mut hcl = machine.hcl(&claims);
    hcl.report = report(&machine.0.chip)
        .report_data(&report_data(&claims))
        .measurement(other)
        .sign(&machine.0.chip)
        .unwrap();
    let refused = machine.refusal(machine.evidence_with(&hcl));
    assert_eq!(refused, AppraisalError::SnpRule(SnpRuleError::Measurement));
    hcl.report = report(&machine.0.chip)
        .report_data(&report_data(&claims))
        .set(vouchsafe_simulation::field::VMPL, &1u32.to_le_bytes())
        .sign(&machine.0.chip)
        .unwrap();
    let refused = machine.refusal(machine.evidence_with(&hcl));
    assert!(matches!(refused, AppraisalError::SnpRule(SnpRuleError::Vmpl { .. })), "{refused:?}");
}

#[test]
fn h5_claims_are_not_read_before_they_are_vouched_for() {
    let machine = Machine::new();
    let junk = b"{\"keys\":[".to_vec();
    // Of an unknown paravisor: the rule refuses, not the parser.
    let unknown = SnpAccept { measurements: vec![LaunchDigest([0; 48]).into()], ..snp_accept() };
    let unknown = Accept::SnpVtpm(SnpVtpmAccept { snp: unknown, ..vtpm_accept() });
    let evidence = machine.evidence_with(&machine.hcl(&junk));
    let refused = machine.appraise(evidence.clone(), &[unknown]).unwrap_err();
    assert_eq!(refused, AppraisalError::SnpRule(SnpRuleError::Measurement));
    // Not signed: the signature refuses, not the parser.
    let mut unsigned = machine.hcl(&junk);
    unsigned.report[0x2a0] ^= 1;
    let refused = machine.refusal(machine.evidence_with(&unsigned));
    assert_eq!(refused, AppraisalError::Snp(SnpError::Signature));
    // Not those of the report.
    let mut foreign = machine.hcl(&claims());
    foreign.claims = junk;
    let refused = machine.refusal(machine.evidence_with(&foreign));
    assert_eq!(refused, AppraisalError::Hcl(HclError::ReportData));
    // Vouched for, and junk all the same.
    assert_eq!(machine.refusal(evidence), AppraisalError::RuntimeClaims(ClaimsError::Malformed));
}

#[test]
fn t1_a_paravisors_log_is_read_only_behind_both_signatures() {
    let machine = Machine::new();
    let mut judged = vtpm_accept();
    judged.pcrs[0].expected = PcrExpectation::Events;
    let judged = [Accept::SnpVtpm(judged)];
    let with_log = |mut evidence: SnpVtpmEvidence| {
        evidence.logs.boot = Some(b"junk".to_vec());
        evidence
    };
    let refused = machine.appraise(with_log(machine.good()), &judged).unwrap_err();
    assert!(matches!(refused, AppraisalError::TpmRule(TpmRuleError::BootLog(_))), "{refused:?}");
    let mut unsigned = with_log(machine.good());
    let last = unsigned.signature.last_mut().unwrap();
    *last ^= 1;
    let refused = machine.appraise(unsigned, &judged).unwrap_err();
    assert!(matches!(refused, AppraisalError::Quote(QuoteError::BadSignature)), "{refused:?}");
    let mut unsigned = machine.hcl(&claims());
    unsigned.report[0x2a0] ^= 1;
    let refused = machine.appraise(with_log(machine.evidence_with(&unsigned)), &judged).unwrap_err();
    assert_eq!(refused, AppraisalError::Snp(SnpError::Signature));
}

#[test]
fn t1_and_t2_hold_for_the_virtual_tpm() {
    let machine = Machine::new();
    let hcl = machine.hcl(&claims()).encode();
    let mut certify = quote();
    certify.kind = 0x8017;
    let refused = machine.refusal(machine.evidence_of(hcl.clone(), &certify, ak()));
    assert_eq!(refused, AppraisalError::Quote(QuoteError::Attest(AttestError::Type { kind: 0x8017 })));
    let mut partial = quote();
    partial.selection = vec![(0x000b, vec![1, 0, 0])];
    let refused = machine.refusal(machine.evidence_of(hcl.clone(), &partial, ak()));
    assert_eq!(refused, AppraisalError::TpmRule(TpmRuleError::Selection));
    let mut digest = quote();
    digest.pcr_digest = vec![0; 32];
    let refused = machine.refusal(machine.evidence_of(hcl, &digest, ak()));
    assert_eq!(refused, AppraisalError::Quote(QuoteError::PcrDigest));
    let mut evidence = machine.good();
    evidence.pcrs[1].value[0] ^= 1;
    assert_eq!(machine.refusal(evidence), AppraisalError::TpmRule(TpmRuleError::Value { index: 7 }));
}

#[test]
fn t9_the_paravisors_key_signs_in_one_way() {
    let machine = Machine::new();
    let hcl = machine.hcl(&claims()).encode();
    for kind in [TpmKeyKind::RsaPssSha256, TpmKeyKind::RsaSsaSha384] {
        let evidence = machine.evidence_of(hcl.clone(), &quote(), &ak().as_kind(kind).unwrap());
        assert_eq!(machine.refusal(evidence), AppraisalError::Quote(QuoteError::Scheme));
    }
}

#[test]
fn t13_evidence_of_a_paravisor_and_of_other_tpms_are_not_taken_for_each_other() {
    let machine = Machine::new();
    // No rule for bare reports or TPMs accepts it.
    for rule in [snp_fixture::accept(), tpm_fixture::accept()] {
        assert_eq!(machine.appraise(machine.good(), &[rule]).unwrap_err(), AppraisalError::Kind);
    }
    // A TPM that the host owns, certified by its cloud, does not satisfy a rule that asks for the boundary.
    let tpm = tpm_fixture::Fixture::new();
    let refused = tpm.appraise(tpm.good(), &[accept()]).unwrap_err();
    assert_eq!(refused, AppraisalError::Kind);
    // Nor does the report of such a machine in an HCL report that says so.
    let mut hcl = machine.hcl(&claims());
    hcl.report_type = 3;
    let refused = machine.refusal(machine.evidence_with(&hcl));
    assert_eq!(refused, AppraisalError::Hcl(HclError::ReportType { report_type: 3 }));
    // And no vault is pinned by one.
    let evidence = Evidence::SnpVtpm(Box::new(machine.good()));
    let pin = VaultPlatformPin::Snp(snp_accept());
    let context = machine.0.context(NOW);
    let refused = appraise_vault(&evidence, &statement(), &pin, context, &mut ChainCache::new());
    assert_eq!(refused.unwrap_err(), AppraisalError::Kind);
}

#[test]
fn s2_an_unknown_root_vouches_for_no_paravisor() {
    let machine = Machine::new();
    let stranger = Machine(snp_fixture::Fixture::foreign(Product::Milan));
    let refused = machine.refusal(stranger.good());
    assert!(matches!(refused, AppraisalError::Snp(SnpError::Chain(_))), "{refused:?}");
}

#[test]
fn any_one_rule_suffices_and_the_furthest_refusal_is_told() {
    let machine = Machine::new();
    let mut pcr = vtpm_accept();
    pcr.pcrs[1] = pcr_rule(7, &[[2; 32]]);
    let unknown = SnpAccept { measurements: vec![LaunchDigest([0; 48]).into()], ..snp_accept() };
    let snp = SnpVtpmAccept { snp: unknown, ..vtpm_accept() };
    let (pcr, snp) = (Accept::SnpVtpm(pcr), Accept::SnpVtpm(snp));
    for rules in [[pcr.clone(), snp.clone()], [snp.clone(), pcr.clone()]] {
        let refused = machine.appraise(machine.good(), &rules).unwrap_err();
        assert_eq!(refused, AppraisalError::TpmRule(TpmRuleError::Value { index: 7 }));
    }
    assert_eq!(machine.appraise(machine.good(), &[pcr, snp, accept()]).unwrap().rule, 2);
}

#[test]
fn of_two_rules_that_refuse_alike_the_first_is_told() {
    let machine = Machine::new();
    let wrong = |position: usize, index| {
        let mut rule = vtpm_accept();
        rule.pcrs[position] = pcr_rule(index, &[[2; 32]]);
        Accept::SnpVtpm(rule)
    };
    for (rules, index) in [([wrong(0, 0), wrong(1, 7)], 0), ([wrong(1, 7), wrong(0, 0)], 7)] {
        let refused = machine.appraise(machine.good(), &rules).unwrap_err();
        assert_eq!(refused, AppraisalError::TpmRule(TpmRuleError::Value { index }));
    }
}

#[test]
fn what_is_accepted_for_a_while_is_said_once() {
    let machine = Machine::new();
    let late = Expiry::At { expires_unix_secs: NOW - 1, grace_secs: 60 };
    let warnings =
        |rule: SnpVtpmAccept| machine.appraise(machine.good(), &[Accept::SnpVtpm(rule)]).unwrap().warnings;
    assert_eq!(warnings(vtpm_accept()), []);
    let mut pcr = vtpm_accept();
    let values = vec![ReferenceValue { value: pcrs()[0].value, expiry: late }];
    pcr.pcrs[0].expected = PcrExpectation::Values(values);
    assert_eq!(warnings(pcr.clone()), [Warning::ReferenceValue]);
    let both = SnpVtpmAccept {
        snp: SnpAccept {
            measurements: vec![ReferenceValue { value: snp_fixture::measurement(), expiry: late }],
            ..pcr.snp.clone()
        },
        ..pcr
    };
    assert_eq!(warnings(both), [Warning::ReferenceValue]);
}
