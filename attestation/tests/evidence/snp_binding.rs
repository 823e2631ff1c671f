//! Whole evidence: the statement, several rules, platform pins.

use crate::snp_fixture::{self, CHIP_ID, Fixture, TCB, accept, statement};
use vouchsafe_attestation::snp::rules::SnpRuleError;
use vouchsafe_attestation::snp::verify::SnpError;
use vouchsafe_attestation::{AppraisalError, PlatformClass, PlatformId};
use vouchsafe_protocol::id::AnchorClass;
use vouchsafe_protocol::policy::{Accept, ChipId, ChipRule, LaunchDigest, Product};
use vouchsafe_simulation::{VekSpec, field};

#[test]
fn right_evidence_is_accepted_and_described() {
    let fixture = Fixture::genoa();
    let appraisal = fixture.appraise(fixture.report()).unwrap();
    assert_eq!(appraisal.class, PlatformClass::SnpVcek { product: Product::Genoa });
    assert_eq!(appraisal.anchor_class, AnchorClass::Simulated);
    assert_eq!(appraisal.platform_id, PlatformId::Chip(ChipId(CHIP_ID)));
    assert_eq!(appraisal.rule, 0);
}

#[test]
fn the_compiled_in_issuer_is_used_when_none_is_stapled() {
    let fixture = Fixture::genoa();
    let mut evidence = fixture.evidence(fixture.report());
    evidence.endorsements.intermediate = None;
    fixture.appraise_evidence(evidence, &[accept()]).unwrap();
}

#[test]
fn b4_every_byte_of_report_data_is_compared() {
    let fixture = Fixture::genoa();
    for position in [0, 31, 32, 63] {
        let mut data = statement().snp_report_data();
        data[position] ^= 1;
        let refused = fixture.appraise(fixture.report().report_data(&data));
        assert_eq!(refused.unwrap_err(), AppraisalError::Statement);
    }
}

#[test]
fn b5_what_is_appraised_is_what_was_signed() {
    let fixture = Fixture::genoa();
    let mut evidence = fixture.evidence(fixture.report());
    // HOST_DATA is free in this policy, so only the signature can notice.
    evidence.report[field::HOST_DATA] ^= 1;
    assert_eq!(fixture.refusal(evidence), AppraisalError::Snp(SnpError::Signature));
}

#[test]
fn b6_chain_of_one_chip_and_signature_of_another_is_refused() {
    let fixture = Fixture::genoa();
    // Same chip id and TCB, certified by the same PKI, another key.
    let other = fixture.pki.chip(&VekSpec::vcek(Product::Genoa, TCB, CHIP_ID)).unwrap();
    let mut evidence = fixture.evidence(fixture.report());
    evidence.endorsements.vek = Some(other.vek().to_vec());
    assert_eq!(fixture.refusal(evidence), AppraisalError::Snp(SnpError::Signature));
}

#[test]
fn b11_a_chip_list_refuses_another_chip_and_a_vlek() {
    let fixture = Fixture::genoa();
    let listed = |chip| Accept::Snp(snp_fixture::SnpAccept { chip, ..snp_fixture::snp_accept() });
    let only = listed(ChipRule::Allow(vec![ChipId(CHIP_ID)]));
    fixture.appraise_with(fixture.report(), std::slice::from_ref(&only)).unwrap();
    let other = listed(ChipRule::Allow(vec![ChipId([9; 64])]));
    assert_eq!(fixture.rule_refusal(fixture.report(), other), SnpRuleError::ChipNotListed);

    let vlek = fixture.pki.chip(&VekSpec::vlek(Product::Genoa, TCB)).unwrap();
    let evidence = vlek.evidence(snp_fixture::report(&vlek).sign(&vlek).unwrap());
    for rule in [only, listed(ChipRule::Allow(vec![ChipId([0; 64])])), listed(ChipRule::AnyChip)] {
        let refused = fixture.appraise_evidence(evidence.clone(), &[rule]).unwrap_err();
        assert_eq!(refused, AppraisalError::SnpRule(SnpRuleError::Vlek));
    }
    let appraisal = fixture.appraise_evidence(evidence, &[listed(ChipRule::AnyChipEvenMasked)]).unwrap();
    assert_eq!(appraisal.class, PlatformClass::SnpVlek { product: Product::Genoa });
}

#[test]
fn any_one_rule_suffices_and_the_furthest_refusal_is_told() {
    let fixture = Fixture::genoa();
    let other_product =
        Accept::Snp(snp_fixture::SnpAccept { products: vec![Product::Turin], ..snp_fixture::snp_accept() });
    let appraisal = fixture.appraise_with(fixture.report(), &[other_product.clone(), accept()]).unwrap();
    assert_eq!(appraisal.rule, 1);
    let debug = fixture.report().set(field::POLICY, &0xb_0000u64.to_le_bytes());
    for rules in [[other_product.clone(), accept()], [accept(), other_product.clone()]] {
        let refused = fixture.appraise_with(debug.clone(), &rules).unwrap_err();
        assert_eq!(refused, AppraisalError::SnpRule(SnpRuleError::Debug));
    }
    assert_eq!(fixture.appraise_with(debug, &[]).unwrap_err(), AppraisalError::Kind);
}

#[test]
fn policy_refuses_before_any_signature_is_looked_at() {
    let fixture = Fixture::genoa();
    let mut evidence = fixture.evidence(fixture.report().measurement(LaunchDigest([1; 48])));
    evidence.report[0x2a0] ^= 1;
    let refused = fixture.refusal(evidence);
    assert_eq!(refused, AppraisalError::SnpRule(SnpRuleError::Measurement));
}
