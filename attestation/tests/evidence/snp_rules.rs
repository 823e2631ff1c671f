//! The guest and its platform.

use crate::snp_fixture::{self, Fixture, accept, measurement};
use vouchsafe_attestation::AppraisalError;
use vouchsafe_attestation::snp::rules::SnpRuleError;
use vouchsafe_protocol::policy::{Accept, BitRule, HostDataRule, Permission, Product};
use vouchsafe_simulation::field;

#[test]
fn s6_debug_policy_is_refused() {
    let fixture = Fixture::genoa();
    let report = fixture.report().set(field::POLICY, &0xb_0000u64.to_le_bytes());
    assert_eq!(fixture.rule_refusal(report.clone(), accept()), SnpRuleError::Debug);
    assert_eq!(AppraisalError::SnpRule(SnpRuleError::Debug).code(), "snp.policy.debug");
    let mut allowed = snp_fixture::snp_accept();
    allowed.guest_policy.debug = BitRule::Any;
    fixture.appraise_with(report, &[Accept::Snp(allowed)]).unwrap();
}

#[test]
fn s6_migration_agent_is_refused() {
    let fixture = Fixture::genoa();
    let report = fixture.report().set(field::POLICY, &0x7_0000u64.to_le_bytes());
    assert_eq!(fixture.rule_refusal(report, accept()), SnpRuleError::MigrationAgent);
}

#[test]
fn s6_another_vmpl_is_refused_in_both_directions() {
    let fixture = Fixture::genoa();
    let report = fixture.report().set(field::VMPL, &1u32.to_le_bytes());
    let expected = SnpRuleError::Vmpl { vmpl: 1, expected: 0 };
    assert_eq!(fixture.rule_refusal(report.clone(), accept()), expected);
    let one = Accept::Snp(snp_fixture::SnpAccept { vmpl: 1, ..snp_fixture::snp_accept() });
    fixture.appraise_with(report, std::slice::from_ref(&one)).unwrap();
    let expected = SnpRuleError::Vmpl { vmpl: 0, expected: 1 };
    assert_eq!(fixture.rule_refusal(fixture.report(), one), expected);
}

#[test]
fn s6_a_report_that_the_host_asked_for_is_refused() {
    let fixture = Fixture::genoa();
    let report = fixture.report().set(field::VMPL, &u32::MAX.to_le_bytes());
    assert_eq!(fixture.rule_refusal(report, accept()), SnpRuleError::HostRequested);
}

#[test]
fn another_measurement_or_host_data_is_refused() {
    let fixture = Fixture::genoa();
    let mut other = measurement();
    other.0[47] ^= 1;
    let refused = fixture.rule_refusal(fixture.report().measurement(other), accept());
    assert_eq!(refused, SnpRuleError::Measurement);
    let pinned = |data| {
        Accept::Snp(snp_fixture::SnpAccept {
            host_data: HostDataRule::Exactly(data),
            ..snp_fixture::snp_accept()
        })
    };
    assert_eq!(fixture.rule_refusal(fixture.report(), pinned([1; 32])), SnpRuleError::HostData);
    fixture.appraise_with(fixture.report().host_data(&[1; 32]), &[pinned([1; 32])]).unwrap();
}

#[test]
fn s7_each_bit_is_required_forbidden_or_any() {
    let fixture = Fixture::genoa();
    type Set = fn(&mut vouchsafe_protocol::policy::PlatformInfoRules, BitRule);
    let bits: [Set; 8] = [
        |rules, rule| rules.smt = rule,
        |rules, rule| rules.tsme = rule,
        |rules, rule| rules.ecc = rule,
        |rules, rule| rules.rapl_disabled = rule,
        |rules, rule| rules.ciphertext_hiding = rule,
        |rules, rule| rules.alias_check_complete = rule,
        |rules, rule| rules.iommu_write_safe = rule,
        |rules, rule| rules.tio = rule,
    ];
    for (bit, set) in (0u8..).zip(bits) {
        let rule = |bit_rule| {
            let mut accept = snp_fixture::snp_accept();
            accept.platform_info = snp_fixture::any_platform_info();
            set(&mut accept.platform_info, bit_rule);
            Accept::Snp(accept)
        };
        let on = fixture.report().set(field::PLATFORM_INFO, &(1u64 << bit).to_le_bytes());
        let off = fixture.report().set(field::PLATFORM_INFO, &(0xffu64 ^ 1 << bit).to_le_bytes());
        let expected = SnpRuleError::PlatformInfo { bit };
        assert_eq!(fixture.rule_refusal(on.clone(), rule(BitRule::Forbidden)), expected);
        assert_eq!(fixture.rule_refusal(off.clone(), rule(BitRule::Required)), expected);
        fixture.appraise_with(on.clone(), &[rule(BitRule::Required)]).unwrap();
        fixture.appraise_with(off.clone(), &[rule(BitRule::Forbidden)]).unwrap();
        fixture.appraise_with(on, &[rule(BitRule::Any)]).unwrap();
        fixture.appraise_with(off, &[rule(BitRule::Any)]).unwrap();
    }
}

#[test]
fn s7_unknown_bits_parse_and_are_refused_unless_allowed() {
    let fixture = Fixture::genoa();
    let report = fixture.report().set(field::PLATFORM_INFO, &(0x25u64 | 1 << 8 | 1 << 63).to_le_bytes());
    assert_eq!(fixture.rule_refusal(report.clone(), accept()), SnpRuleError::PlatformInfoUnknown);
    let mut allowed = snp_fixture::snp_accept();
    allowed.platform_info.unknown_bits = Permission::Allowed;
    fixture.appraise_with(report, &[Accept::Snp(allowed)]).unwrap();
}

#[test]
fn s10_a_product_that_is_not_named_is_refused() {
    let fixture = Fixture::new(Product::Milan);
    let rule = Accept::Snp(snp_fixture::SnpAccept {
        products: vec![Product::Genoa, Product::Turin],
        ..snp_fixture::snp_accept()
    });
    let expected = SnpRuleError::Product { product: Product::Milan };
    assert_eq!(fixture.rule_refusal(fixture.report(), rule), expected);
}
