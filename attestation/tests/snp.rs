//! SNP evidence of a simulated PKI through the one entry point. Each test starts from evidence that is accepted,
//! changes one thing, and expects exactly one refusal.

mod common;

use common::snp::{CHIP_ID, Fixture, HIGHER, NOW, TCB, accept, measurement, statement};
use vouchsafe_attestation::snp::report::{Report, ReportError, SigningKey};
use vouchsafe_attestation::snp::roots::RootsError;
use vouchsafe_attestation::snp::rules::{SnpRuleError, WhichTcb};
use vouchsafe_attestation::snp::tcb::Component;
use vouchsafe_attestation::snp::vek::{AmdExtension, VekError};
use vouchsafe_attestation::snp::verify::SnpError;
use vouchsafe_attestation::x509::{CertificateError, ChainError};
use vouchsafe_attestation::{
    AnchorError, AppraisalError, ChainCache, PlatformClass, PlatformId, Residency, TrustAnchors, appraise,
};
use vouchsafe_protocol::anchors::{AmdAnchors, Anchors};
use vouchsafe_protocol::evidence::{Evidence, SnpEvidence};
use vouchsafe_protocol::id::AnchorClass;
use vouchsafe_protocol::policy::{
    Accept, BitRule, ChipId, ChipRule, HostDataRule, LaunchDigest, Permission, Product, Tcb, TcbFloor,
};
use vouchsafe_simulation::{SimulatedPki, Validity, VekSpec, field};

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
fn every_product_is_accepted_and_turin_has_its_own_layout() {
    for product in [Product::Milan, Product::Genoa, Product::Turin] {
        let fixture = Fixture::new(product);
        fixture.appraise(fixture.report()).unwrap();
    }
}

#[test]
fn the_compiled_in_issuer_is_used_when_none_is_stapled() {
    let fixture = Fixture::genoa();
    let mut evidence = fixture.evidence(fixture.report());
    evidence.intermediate = None;
    fixture.appraise_evidence(evidence, &[accept()]).unwrap();
}

// --- B: binding

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
    evidence.vek = other.vek().to_vec();
    assert_eq!(fixture.refusal(evidence), AppraisalError::Snp(SnpError::Signature));
}

#[test]
fn b11_a_chip_list_refuses_another_chip_and_a_vlek() {
    let fixture = Fixture::genoa();
    let listed = |chip| Accept::Snp(common::snp::SnpAccept { chip, ..common::snp::snp_accept() });
    let only = listed(ChipRule::Allow(vec![ChipId(CHIP_ID)]));
    fixture.appraise_with(fixture.report(), &[only.clone()]).unwrap();
    let other = listed(ChipRule::Allow(vec![ChipId([9; 64])]));
    assert_eq!(fixture.rule_refusal(fixture.report(), other), SnpRuleError::ChipNotListed);

    let vlek = fixture.pki.chip(&VekSpec::vlek(Product::Genoa, TCB)).unwrap();
    let evidence = vlek.evidence(common::snp::report(&vlek).sign(&vlek).unwrap());
    for rule in [only, listed(ChipRule::Allow(vec![ChipId([0; 64])])), listed(ChipRule::AnyChip)] {
        let refused = fixture.appraise_evidence(evidence.clone(), &[rule]).unwrap_err();
        assert_eq!(refused, AppraisalError::SnpRule(SnpRuleError::Vlek));
    }
    let appraisal = fixture.appraise_evidence(evidence, &[listed(ChipRule::AnyChipEvenMasked)]).unwrap();
    assert_eq!(appraisal.class, PlatformClass::SnpVlek { product: Product::Genoa });
}

// --- S1, S2, B6: roots and chains

#[test]
fn s1_no_root_is_refused_when_anchors_are_loaded() {
    let anchors = Anchors { amd: AmdAnchors::Simulated(Vec::new()), tpm: Vec::new() };
    assert_eq!(TrustAnchors::new(&anchors).unwrap_err(), AnchorError::Amd(RootsError::Empty));
}

#[test]
fn s1_two_roots_for_a_product_are_refused() {
    let root = Fixture::genoa().pki.root();
    let anchors = Anchors { amd: AmdAnchors::Simulated(vec![root.clone(), root]), tpm: Vec::new() };
    let expected = AnchorError::Amd(RootsError::Duplicate { product: Product::Genoa });
    assert_eq!(TrustAnchors::new(&anchors).unwrap_err(), expected);
}

#[test]
fn s1_a_root_of_another_product_is_refused() {
    let mut root = Fixture::genoa().pki.root();
    root.product = Product::Milan;
    let anchors = Anchors { amd: AmdAnchors::Simulated(vec![root]), tpm: Vec::new() };
    let expected = AnchorError::Amd(RootsError::Name { product: Product::Milan });
    assert_eq!(TrustAnchors::new(&anchors).unwrap_err(), expected);
}

#[test]
fn s1_a_product_without_a_root_is_refused() {
    let mut fixture = Fixture::genoa();
    let evidence = fixture.evidence(fixture.report());
    fixture.anchors = common::snp::anchors(&[fixture.pki.for_product(Product::Milan).unwrap().root()]);
    let expected = SnpError::UnknownProduct { product: Product::Genoa };
    assert_eq!(fixture.refusal(evidence), AppraisalError::Snp(expected));
}

#[test]
fn s1_an_unknown_product_is_refused() {
    let fixture = Fixture::genoa();
    let spec = VekSpec::vcek(Product::Genoa, TCB, CHIP_ID)
        .with_extension("2", Some(vec![0x16, 6, b'V', b'e', b'n', b'i', b'c', b'e']));
    assert_eq!(fixture.refusal_of_chip(&spec), AppraisalError::Snp(SnpError::Vek(VekError::Product)));
}

#[test]
fn s2_a_forged_chain_with_the_right_names_is_refused() {
    let fixture = Fixture::genoa();
    let forged = Fixture::genoa();
    let evidence = forged.evidence(forged.report());
    let refused = fixture.refusal(evidence);
    assert_eq!(refused, AppraisalError::Snp(SnpError::Chain(ChainError::BadSignature)));
}

#[test]
fn s2_the_built_in_roots_never_accept_simulated_evidence() {
    let mut fixture = Fixture::genoa();
    let evidence = fixture.evidence(fixture.report());
    fixture.anchors = TrustAnchors::new(&Anchors { amd: AmdAnchors::BuiltIn, tpm: Vec::new() }).unwrap();
    assert_eq!(fixture.anchors.class(), AnchorClass::Hardware);
    let refused = fixture.refusal(evidence);
    assert_eq!(refused, AppraisalError::Snp(SnpError::Chain(ChainError::UnknownIssuer)));
}

#[test]
fn s2_an_intermediate_of_another_name_or_kind_is_refused() {
    let fixture = Fixture::genoa();
    for intermediate in [fixture.pki.root().ark, fixture.pki.asvk().to_vec()] {
        let mut evidence = fixture.evidence(fixture.report());
        evidence.intermediate = Some(intermediate);
        assert_eq!(fixture.refusal(evidence), AppraisalError::Snp(SnpError::IntermediateName));
    }
}

#[test]
fn s2_a_vcek_issued_by_the_root_itself_is_refused() {
    let fixture = Fixture::genoa();
    let chip = fixture.pki.chip_under_root(&VekSpec::vcek(Product::Genoa, TCB, CHIP_ID)).unwrap();
    let evidence = chip.evidence(common::snp::report(&chip).sign(&chip).unwrap());
    assert_eq!(fixture.refusal(evidence), AppraisalError::Snp(SnpError::IntermediateName));
}

#[test]
fn s2_a_vlek_without_its_issuer_is_refused() {
    let fixture = Fixture::genoa();
    let vlek = fixture.pki.chip(&VekSpec::vlek(Product::Genoa, TCB)).unwrap();
    let mut evidence = vlek.evidence(common::snp::report(&vlek).sign(&vlek).unwrap());
    evidence.intermediate = None;
    let rule = Accept::Snp(common::snp::SnpAccept {
        chip: ChipRule::AnyChipEvenMasked,
        ..common::snp::snp_accept()
    });
    let refused = fixture.appraise_evidence(evidence, &[rule]).unwrap_err();
    assert_eq!(refused, AppraisalError::Snp(SnpError::NoIntermediate));
}

#[test]
fn s3_the_kind_of_certificate_is_told_by_amds_own_names() {
    let fixture = Fixture::genoa();
    let mut spec = VekSpec::vcek(Product::Genoa, TCB, CHIP_ID);
    spec.subject = "VCEK".to_owned();
    assert_eq!(fixture.refusal_of_chip(&spec), AppraisalError::Snp(SnpError::Vek(VekError::Kind)));
}

#[test]
fn s3_a_report_that_names_the_other_kind_of_key_is_refused() {
    let fixture = Fixture::genoa();
    let report = fixture.report().set(field::FLAGS, &(1u32 << 2).to_le_bytes());
    let rule = Accept::Snp(common::snp::SnpAccept {
        chip: ChipRule::AnyChipEvenMasked,
        ..common::snp::snp_accept()
    });
    let refused = fixture.appraise_with(report, &[rule]).unwrap_err();
    assert_eq!(refused, AppraisalError::Snp(SnpError::KindMismatch));
}

// --- S4: the certificate is for this chip at this TCB

#[test]
fn s4_a_vcek_of_another_chip_is_refused() {
    for product in [Product::Genoa, Product::Turin] {
        let fixture = Fixture::new(product);
        for position in [0, 7, 8, 63] {
            let mut chip_id = *fixture.chip.chip_id();
            chip_id[position] ^= 1;
            let refused = fixture.appraise(fixture.report().set(field::CHIP_ID, &chip_id));
            assert_eq!(refused.unwrap_err(), AppraisalError::Snp(SnpError::ChipMismatch));
        }
    }
}

#[test]
fn s4_a_vcek_of_another_tcb_is_refused_both_ways_and_by_component() {
    for product in [Product::Milan, Product::Genoa, Product::Turin] {
        let fixture = Fixture::new(product);
        for position in 0..8 {
            let mut changed = false;
            for add in [1u8, 255] {
                let mut raw = common::snp::raw_tcb(product);
                raw[position] = raw[position].wrapping_add(add);
                let report =
                    [field::REPORTED_TCB, field::COMMITTED_TCB, field::CURRENT_TCB, field::LAUNCH_TCB]
                        .into_iter()
                        .fold(fixture.report(), |report, offset| report.set(offset, &raw));
                let rule = Accept::Snp(common::snp::SnpAccept {
                    reserved_fields: Permission::Allowed,
                    tcb_floors: vec![TcbFloor { product, tcb: common::snp::ZERO }],
                    ..common::snp::snp_accept()
                });
                let refused = fixture.appraise_with(report, &[rule]).unwrap_err();
                assert_eq!(refused, AppraisalError::Snp(SnpError::TcbMismatch), "{product:?} {position}");
                changed = true;
            }
            assert!(changed);
        }
    }
}

#[test]
fn s4_a_missing_or_malformed_extension_is_refused() {
    let fixture = Fixture::genoa();
    let cases: [(&str, Option<Vec<u8>>, AmdExtension); 9] = [
        ("3.1", None, AmdExtension::BlSpl),
        ("3.2", None, AmdExtension::TeeSpl),
        ("3.3", None, AmdExtension::SnpSpl),
        ("3.4", None, AmdExtension::Spl4),
        ("3.8", Some(vec![2, 2, 0, 72]), AmdExtension::UcodeSpl),
        ("3.8", Some(vec![2, 1, 0x80]), AmdExtension::UcodeSpl),
        ("3.8", Some(vec![2, 1, 72, 0]), AmdExtension::UcodeSpl),
        ("3.9", Some(vec![2, 1, 0]), AmdExtension::FmcSpl),
        ("2", Some(b"Genoa".to_vec()), AmdExtension::ProductName),
    ];
    for (suffix, value, extension) in cases {
        let spec = VekSpec::vcek(Product::Genoa, TCB, CHIP_ID).with_extension(suffix, value);
        let expected = AppraisalError::Snp(SnpError::Vek(VekError::Extension { extension }));
        assert_eq!(fixture.refusal_of_chip(&spec), expected, "{suffix}");
    }
}

#[test]
fn s4_a_hardware_id_of_another_length_or_wrapping_is_refused() {
    let malformed = SnpError::Vek(VekError::Extension { extension: AmdExtension::HwId });
    let wrapped = [&[4u8, 64], CHIP_ID.as_slice()].concat();
    for value in [None, Some(Vec::new()), Some(CHIP_ID[..8].to_vec()), Some(wrapped)] {
        let spec = VekSpec::vcek(Product::Genoa, TCB, CHIP_ID).with_extension("4", value);
        assert_eq!(Fixture::genoa().refusal_of_chip(&spec), AppraisalError::Snp(malformed));
    }
    let spec = VekSpec::vcek(Product::Turin, TCB, CHIP_ID).with_extension("4", Some(CHIP_ID.to_vec()));
    assert_eq!(Fixture::new(Product::Turin).refusal_of_chip(&spec), AppraisalError::Snp(malformed));
}

#[test]
fn s4_cpuid_of_another_or_an_unknown_product_is_refused() {
    let fixture = Fixture::genoa();
    for cpuid in [[0x19, 0x01, 1], [0x1a, 0x02, 1], [0x1a, 0x50, 1], [0x17, 0x31, 0], [0, 0, 0]] {
        let refused = fixture.appraise(fixture.report().set(field::CPUID, &cpuid));
        assert_eq!(refused.unwrap_err(), AppraisalError::Snp(SnpError::ProductMismatch));
    }
}

// --- S5: TCB rules

#[test]
fn s5_reported_above_committed_or_committed_above_current_is_refused() {
    let fixture = Fixture::genoa();
    let lower = Tcb { microcode: TCB.microcode - 1, ..TCB };
    let rule = || {
        Accept::Snp(common::snp::SnpAccept {
            provisional_firmware: Permission::Allowed,
            tcb_floors: vec![TcbFloor { product: Product::Genoa, tcb: common::snp::ZERO }],
            ..common::snp::snp_accept()
        })
    };
    let expected = SnpRuleError::TcbOrder { component: Component::Microcode };
    let report = fixture.report().tcb(field::COMMITTED_TCB, lower);
    assert_eq!(fixture.rule_refusal(report, rule()), expected);
    let report = fixture.report().tcb(field::CURRENT_TCB, lower);
    assert_eq!(fixture.rule_refusal(report, rule()), expected);
}

#[test]
fn s5_order_is_by_component_not_by_integer() {
    let fixture = Fixture::genoa();
    // As one little-endian integer this is larger: microcode is the top byte.
    let committed = Tcb { snp: TCB.snp - 1, microcode: TCB.microcode + 1, ..TCB };
    let report = fixture.report().tcb(field::COMMITTED_TCB, committed).tcb(field::CURRENT_TCB, HIGHER);
    let rule = Accept::Snp(common::snp::SnpAccept {
        provisional_firmware: Permission::Allowed,
        ..common::snp::snp_accept()
    });
    assert_eq!(fixture.rule_refusal(report, rule), SnpRuleError::TcbOrder { component: Component::Snp });
}

#[test]
fn s5_provisional_firmware_is_refused_unless_allowed() {
    let fixture = Fixture::genoa();
    let report = fixture.report().tcb(field::CURRENT_TCB, HIGHER);
    assert_eq!(fixture.rule_refusal(report.clone(), accept()), SnpRuleError::Provisional);
    let allowed = Accept::Snp(common::snp::SnpAccept {
        provisional_firmware: Permission::Allowed,
        ..common::snp::snp_accept()
    });
    fixture.appraise_with(report, &[allowed]).unwrap();
}

#[test]
fn s5_every_component_of_reported_committed_and_launch_has_a_floor() {
    for product in [Product::Genoa, Product::Turin] {
        let fixture = Fixture::new(product);
        let tcb = fixture.chip.tcb();
        let floors = [
            (Component::BootLoader, Tcb { boot_loader: tcb.boot_loader + 1, ..tcb }),
            (Component::Tee, Tcb { tee: tcb.tee + 1, ..tcb }),
            (Component::Snp, Tcb { snp: tcb.snp + 1, ..tcb }),
            (Component::Microcode, Tcb { microcode: tcb.microcode + 1, ..tcb }),
            (Component::Fmc, Tcb { fmc: tcb.fmc + 1, ..tcb }),
        ];
        for (component, floor) in floors {
            let rule = |floor| {
                Accept::Snp(common::snp::SnpAccept {
                    tcb_floors: vec![TcbFloor { product, tcb: floor }],
                    ..common::snp::snp_accept()
                })
            };
            let expected = SnpRuleError::Floor { which: WhichTcb::Reported, component };
            assert_eq!(fixture.rule_refusal(fixture.report(), rule(floor)), expected);
            fixture.appraise_with(fixture.report(), &[rule(tcb)]).unwrap();
        }
    }
    // Committed cannot be below reported without breaking the order, so launch is the one left.
    let fixture = Fixture::genoa();
    let report = fixture.report().tcb(field::LAUNCH_TCB, Tcb { snp: TCB.snp - 1, ..TCB });
    let expected = SnpRuleError::Floor { which: WhichTcb::Launch, component: Component::Snp };
    assert_eq!(fixture.rule_refusal(report, accept()), expected);
}

#[test]
fn s5_a_product_without_a_floor_is_refused() {
    let fixture = Fixture::genoa();
    let rule = Accept::Snp(common::snp::SnpAccept {
        tcb_floors: vec![TcbFloor { product: Product::Milan, tcb: common::snp::ZERO }],
        ..common::snp::snp_accept()
    });
    let expected = SnpRuleError::NoFloor { product: Product::Genoa };
    assert_eq!(fixture.rule_refusal(fixture.report(), rule), expected);
}

// --- S6: the guest

#[test]
fn s6_debug_policy_is_refused() {
    let fixture = Fixture::genoa();
    let report = fixture.report().set(field::POLICY, &0xb_0000u64.to_le_bytes());
    assert_eq!(fixture.rule_refusal(report.clone(), accept()), SnpRuleError::Debug);
    assert_eq!(AppraisalError::SnpRule(SnpRuleError::Debug).code(), "snp.policy.debug");
    let allowed =
        Accept::Snp(common::snp::SnpAccept { debug: Permission::Allowed, ..common::snp::snp_accept() });
    fixture.appraise_with(report, &[allowed]).unwrap();
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
    let one = Accept::Snp(common::snp::SnpAccept { vmpl: 1, ..common::snp::snp_accept() });
    fixture.appraise_with(report, &[one.clone()]).unwrap();
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
        Accept::Snp(common::snp::SnpAccept {
            host_data: HostDataRule::Exactly(data),
            ..common::snp::snp_accept()
        })
    };
    assert_eq!(fixture.rule_refusal(fixture.report(), pinned([1; 32])), SnpRuleError::HostData);
    fixture.appraise_with(fixture.report().host_data(&[1; 32]), &[pinned([1; 32])]).unwrap();
}

// --- S7: PLATFORM_INFO

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
            let mut accept = common::snp::snp_accept();
            accept.platform_info = common::snp::any_platform_info();
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
    let mut allowed = common::snp::snp_accept();
    allowed.platform_info.unknown_bits = Permission::Allowed;
    fixture.appraise_with(report, &[Accept::Snp(allowed)]).unwrap();
}

// --- S10, S11 (dates), S12

#[test]
fn s10_a_product_that_is_not_named_is_refused() {
    let fixture = Fixture::new(Product::Milan);
    let rule = Accept::Snp(common::snp::SnpAccept {
        products: vec![Product::Genoa, Product::Turin],
        ..common::snp::snp_accept()
    });
    let expected = SnpRuleError::Product { product: Product::Milan };
    assert_eq!(fixture.rule_refusal(fixture.report(), rule), expected);
}

#[test]
fn s11_every_certificate_of_the_chain_must_be_valid_now() {
    let default = Validity::default();
    let past = Validity { not_after: NOW - 1, ..default };
    let future = Validity { not_before: NOW + 1, ..default };
    let edge = Validity { not_before: NOW, not_after: NOW };
    let mut fixture = Fixture::genoa();
    for (dates, expected) in
        [(past, Some(ChainError::Expired)), (future, Some(ChainError::NotYetValid)), (edge, None)]
    {
        for which in 0..3 {
            let pick = |position| if position == which { dates } else { default };
            fixture.pki = fixture.pki.reissued(pick(0), pick(1)).unwrap();
            let mut spec = VekSpec::vcek(Product::Genoa, TCB, CHIP_ID);
            spec.validity = pick(2);
            fixture.chip = fixture.pki.chip(&spec).unwrap();
            fixture.anchors = common::snp::anchors(&[fixture.pki.root()]);
            let outcome = fixture.appraise(fixture.report());
            match expected {
                Some(error) => assert_eq!(
                    outcome.unwrap_err(),
                    AppraisalError::Snp(SnpError::Chain(error)),
                    "certificate {which}"
                ),
                None => drop(outcome.unwrap()),
            }
        }
    }
}

#[test]
fn s11_a_cached_chain_still_expires() {
    let fixture = Fixture::genoa();
    let mut spec = VekSpec::vcek(Product::Genoa, TCB, CHIP_ID);
    spec.validity.not_after = NOW + 10;
    let chip = fixture.pki.chip(&spec).unwrap();
    let evidence = Evidence::Snp(chip.evidence(common::snp::report(&chip).sign(&chip).unwrap()));
    let mut cache = ChainCache::new();
    let at = |now, cache: &mut ChainCache| {
        let rules = [accept()];
        appraise(&evidence, &statement(), &rules, &fixture.anchors, Residency::NotATpm, now, cache)
    };
    at(NOW, &mut cache).unwrap();
    assert_eq!(cache.len(), 1);
    at(NOW + 10, &mut cache).unwrap();
    let expired = AppraisalError::Snp(SnpError::Chain(ChainError::Expired));
    assert_eq!(at(NOW + 11, &mut cache).unwrap_err(), expired);
    assert_eq!(cache.len(), 1);
}

#[test]
fn a_cached_chain_is_not_believed_under_other_roots_or_another_intermediate() {
    let fixture = Fixture::genoa();
    let other = Fixture::genoa();
    let mut cache = ChainCache::new();
    let evidence = fixture.evidence(fixture.report());
    let ask = |evidence: &SnpEvidence, anchors: &TrustAnchors, cache: &mut ChainCache| {
        let evidence = Evidence::Snp(evidence.clone());
        appraise(&evidence, &statement(), &[accept()], anchors, Residency::NotATpm, NOW, cache)
    };
    ask(&evidence, &fixture.anchors, &mut cache).unwrap();
    let refused = ask(&evidence, &other.anchors, &mut cache).unwrap_err();
    assert_eq!(refused, AppraisalError::Snp(SnpError::Chain(ChainError::BadSignature)));
    let mut swapped = evidence;
    swapped.intermediate = Some(fixture.pki.asvk().to_vec());
    let refused = ask(&swapped, &fixture.anchors, &mut cache).unwrap_err();
    assert_eq!(refused, AppraisalError::Snp(SnpError::IntermediateName));
}

#[test]
fn s12_a_masked_chip_id_is_refused_unless_waived_by_name() {
    let fixture = Fixture::genoa();
    let report = fixture.report().set(field::CHIP_ID, &[0; 64]);
    assert_eq!(fixture.rule_refusal(report.clone(), accept()), SnpRuleError::ChipMasked);
    let listed = Accept::Snp(common::snp::SnpAccept {
        chip: ChipRule::Allow(vec![ChipId([0; 64])]),
        ..common::snp::snp_accept()
    });
    assert_eq!(fixture.rule_refusal(report.clone(), listed), SnpRuleError::ChipMasked);
    let waived = Accept::Snp(common::snp::SnpAccept {
        chip: ChipRule::AnyChipEvenMasked,
        ..common::snp::snp_accept()
    });
    fixture.appraise_with(report, &[waived.clone()]).unwrap();
    // The waiver is for masked ids; a foreign one is still a lie.
    let foreign = fixture.report().set(field::CHIP_ID, &[9; 64]);
    let refused = fixture.appraise_with(foreign, &[waived]).unwrap_err();
    assert_eq!(refused, AppraisalError::Snp(SnpError::ChipMismatch));
}

// --- S13 to S16: the form of a report

#[test]
fn s13_zero_large_or_padded_r_and_s_are_refused() {
    let fixture = Fixture::genoa();
    let good = fixture.evidence(fixture.report());
    let order_le: Vec<u8> = ORDER.iter().rev().copied().chain([0; 24]).collect();
    for offset in [0x2a0, 0x2a0 + 72] {
        let mut padded = good.report[offset..offset + 72].to_vec();
        padded[48] = 1;
        let mut top = good.report[offset..offset + 72].to_vec();
        top[71] = 1;
        for value in [vec![0; 72], order_le.clone(), vec![0xff; 72], padded, top] {
            let mut evidence = good.clone();
            evidence.report[offset..offset + 72].copy_from_slice(&value);
            let expected = SnpError::Report(ReportError::SignatureRange);
            assert_eq!(fixture.refusal(evidence), AppraisalError::Snp(expected));
        }
    }
}

#[test]
fn s13_bytes_behind_the_signature_must_be_zero() {
    let fixture = Fixture::genoa();
    for offset in [0x330, 0x49f] {
        let mut evidence = fixture.evidence(fixture.report());
        evidence.report[offset] = 1;
        let expected = SnpError::Report(ReportError::SignatureReserved);
        assert_eq!(fixture.refusal(evidence), AppraisalError::Snp(expected));
    }
}

#[test]
fn s13_swapped_or_big_endian_scalars_are_refused() {
    let fixture = Fixture::genoa();
    let good = fixture.evidence(fixture.report());
    let mut swapped = good.clone();
    swapped.report[0x2a0..0x2e8].copy_from_slice(&good.report[0x2e8..0x330]);
    swapped.report[0x2e8..0x330].copy_from_slice(&good.report[0x2a0..0x2e8]);
    assert_eq!(fixture.refusal(swapped), AppraisalError::Snp(SnpError::Signature));
}

#[test]
fn s14_bit_17_of_the_policy_must_be_one() {
    let fixture = Fixture::genoa();
    let report = fixture.report().set(field::POLICY, &0x1_0000u64.to_le_bytes());
    assert_eq!(fixture.rule_refusal(report, accept()), SnpRuleError::MustBeOne);
}

#[test]
fn s14_reserved_fields_are_refused_unless_allowed() {
    let fixture = Fixture::genoa();
    let allowed = Accept::Snp(common::snp::SnpAccept {
        reserved_fields: Permission::Allowed,
        ..common::snp::snp_accept()
    });
    // Flags bit 5, the word behind them, behind CPUID, behind each version, mitigation vectors of version 3, the
    // last signed byte, policy bits 26 and 63, and a reserved byte of each TCB but the reported (S4 has that one).
    let places: [(usize, &[u8]); 13] = [
        (field::FLAGS, &[0x20]),
        (0x4c, &[1]),
        (0x4f, &[1]),
        (0x18b, &[1]),
        (0x19f, &[1]),
        (0x1eb, &[1]),
        (0x1ef, &[1]),
        (0x1f8, &[1]),
        (0x29f, &[1]),
        (field::POLICY + 3, &[4]),
        (field::POLICY + 7, &[0x80]),
        (field::LAUNCH_TCB + 2, &[1]),
        (0x208, &[1]),
    ];
    for (offset, bytes) in places {
        let report = fixture.report().set(offset, bytes);
        assert_eq!(fixture.rule_refusal(report.clone(), accept()), SnpRuleError::Reserved, "{offset:#x}");
        fixture.appraise_with(report, &[allowed.clone()]).unwrap();
    }
}

#[test]
fn s15_version_2_is_refused_unless_a_role_names_it() {
    let fixture = Fixture::genoa();
    let report = fixture.report().set(field::VERSION, &2u32.to_le_bytes()).set(field::CPUID, &[0, 0, 0]);
    let refused = fixture.rule_refusal(report.clone(), accept());
    assert_eq!(refused, SnpRuleError::Version { version: 2, least: 3 });
    let named = Accept::Snp(common::snp::SnpAccept { min_report_version: 2, ..common::snp::snp_accept() });
    fixture.appraise_with(report, &[named]).unwrap();
}

#[test]
fn s15_versions_3_to_5_are_read_and_others_refused() {
    let fixture = Fixture::genoa();
    for version in [3u32, 4, 5] {
        fixture.appraise(fixture.report().set(field::VERSION, &version.to_le_bytes())).unwrap();
    }
    for version in [0u32, 1, 6, u32::MAX] {
        let refused = fixture.appraise(fixture.report().set(field::VERSION, &version.to_le_bytes()));
        let expected = SnpError::Report(ReportError::Version { version });
        assert_eq!(refused.unwrap_err(), AppraisalError::Snp(expected));
    }
}

#[test]
fn an_unknown_signature_algorithm_or_signing_key_is_refused() {
    let fixture = Fixture::genoa();
    let refused = fixture.appraise(fixture.report().set(field::SIGNATURE_ALGO, &2u32.to_le_bytes()));
    let expected = SnpError::Report(ReportError::Algorithm { algorithm: 2 });
    assert_eq!(refused.unwrap_err(), AppraisalError::Snp(expected));
    let refused = fixture.appraise(fixture.report().set(field::FLAGS, &(7u32 << 2).to_le_bytes()));
    let expected = SnpError::Report(ReportError::SigningKey { key: 7 });
    assert_eq!(refused.unwrap_err(), AppraisalError::Snp(expected));
}

#[test]
fn s16_every_other_length_of_a_report_is_refused() {
    let fixture = Fixture::genoa();
    let good = fixture.evidence(fixture.report());
    for len in (0..good.report.len()).chain([1185, 2368]) {
        let mut evidence = good.clone();
        evidence.report.resize(len, 0);
        let expected = SnpError::Report(ReportError::Length { len });
        assert_eq!(fixture.refusal(evidence), AppraisalError::Snp(expected));
    }
}

#[test]
fn s16_every_other_length_of_a_certificate_is_refused() {
    let fixture = Fixture::genoa();
    let good = fixture.evidence(fixture.report());
    let malformed = CertificateError::Malformed;
    for len in (0..good.vek.len()).chain([good.vek.len() + 1]) {
        let mut evidence = good.clone();
        evidence.vek.resize(len, 0);
        let expected = SnpError::Vek(VekError::Certificate(malformed));
        assert_eq!(fixture.refusal(evidence), AppraisalError::Snp(expected), "{len}");
    }
    let whole = good.intermediate.clone().unwrap();
    for len in (0..whole.len()).chain([whole.len() + 1]) {
        let mut evidence = good.clone();
        evidence.intermediate.as_mut().unwrap().resize(len, 0);
        let expected = SnpError::Intermediate(malformed);
        assert_eq!(fixture.refusal(evidence), AppraisalError::Snp(expected), "{len}");
    }
    let mut evidence = good;
    evidence.vek.resize(8 * 1024 + 1, 0);
    let expected = SnpError::Vek(VekError::Certificate(CertificateError::TooLong { len: 8193 }));
    assert_eq!(fixture.refusal(evidence), AppraisalError::Snp(expected));
}

#[test]
fn every_single_bit_of_the_signed_part_is_covered() {
    let fixture = Fixture::genoa();
    let good = fixture.evidence(fixture.report());
    let rule = Accept::Snp(common::snp::SnpAccept {
        reserved_fields: Permission::Allowed,
        ..common::snp::snp_accept()
    });
    for byte in 0..0x330 {
        let mut evidence = good.clone();
        evidence.report[byte] ^= 1 << (byte % 8);
        fixture.appraise_evidence(evidence, &[rule.clone()]).unwrap_err();
    }
}

// --- several rules

#[test]
fn any_one_rule_suffices_and_the_furthest_refusal_is_told() {
    let fixture = Fixture::genoa();
    let other_product =
        Accept::Snp(common::snp::SnpAccept { products: vec![Product::Turin], ..common::snp::snp_accept() });
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

#[test]
fn a_kept_chip_comes_back_from_its_files() {
    for product in [Product::Milan, Product::Genoa, Product::Turin] {
        let chip = vouchsafe_simulation::SimulatedChip::generate(product).unwrap();
        let again = vouchsafe_simulation::SimulatedChip::from_files(chip.to_files()).unwrap();
        assert_eq!(chip.tcb(), again.tcb());
        assert_eq!(chip.chip_id(), again.chip_id());
        let evidence = again.attest(measurement(), &statement().snp_report_data()).unwrap();
        let anchors = common::snp::anchors(&[chip.root()]);
        let mut rule = common::snp::snp_accept();
        rule.tcb_floors = vec![TcbFloor { product, tcb: chip.tcb() }];
        let evidence = Evidence::Snp(evidence);
        let rules = [Accept::Snp(rule)];
        let mut cache = ChainCache::new();
        appraise(&evidence, &statement(), &rules, &anchors, Residency::NotATpm, NOW, &mut cache).unwrap();
    }
}

#[test]
fn a_report_signed_for_a_vlek_names_the_vlek() {
    let pki = SimulatedPki::generate(Product::Genoa).unwrap();
    let vlek = pki.chip(&VekSpec::vlek(Product::Genoa, TCB)).unwrap();
    let report = Report::parse(&common::snp::report(&vlek).sign(&vlek).unwrap()).unwrap();
    assert_eq!(report.signing_key, SigningKey::Vlek);
}

/// Order of P-384, big-endian.
const ORDER: [u8; 48] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf, 0x58, 0x1a,
    0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
];
