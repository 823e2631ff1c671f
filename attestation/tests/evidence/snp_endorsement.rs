//! The certificate is for this chip, at this TCB, now.

use crate::snp_fixture::{self, CHIP_ID, Fixture, NOW, TCB, accept, measurement, statement};
use vouchsafe_attestation::snp::rules::SnpRuleError;
use vouchsafe_attestation::snp::vek::{AmdExtension, VekError};
use vouchsafe_attestation::snp::verify::SnpError;
use vouchsafe_attestation::x509::ChainError;
use vouchsafe_attestation::{AppraisalError, ChainCache, Collateral, Context, Residency, TrustAnchors, appraise};
use vouchsafe_protocol::evidence::{Evidence, SnpEvidence};
use vouchsafe_protocol::policy::{Accept, ChipId, ChipRule, Permission, Product, Tcb, TcbFloor};
use vouchsafe_simulation::{Validity, VekSpec, field};

#[test]
fn every_product_is_accepted_and_turin_has_its_own_layout() {
    for product in [Product::Milan, Product::Genoa, Product::Turin] {
        let fixture = Fixture::new(product);
        fixture.appraise(fixture.report()).unwrap();
    }
}

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
                let mut raw = snp_fixture::raw_tcb(product);
                raw[position] = raw[position].wrapping_add(add);
                let report =
                    [field::REPORTED_TCB, field::COMMITTED_TCB, field::CURRENT_TCB, field::LAUNCH_TCB]
                        .into_iter()
                        .fold(fixture.report(), |report, offset| report.set(offset, &raw));
                let rule = Accept::Snp(snp_fixture::SnpAccept {
                    reserved_fields: Permission::Allowed,
                    tcb_floors: vec![TcbFloor::all(product, Tcb::ZERO)],
                    ..snp_fixture::snp_accept()
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
            fixture.anchors = snp_fixture::anchors(&[fixture.pki.root()]);
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
    let evidence = Evidence::Snp(chip.evidence(snp_fixture::report(&chip).sign(&chip).unwrap()));
    let mut cache = ChainCache::new();
    let at = |now, cache: &mut ChainCache| {
        let rules = [accept()];
        appraise(&evidence, &statement(), &rules, Residency::NotATpm, fixture.context(now), cache)
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
        let context = Context { anchors, collateral: &Collateral::new(), now_unix_secs: NOW };
        appraise(&evidence, &statement(), &[accept()], Residency::NotATpm, context, cache)
    };
    ask(&evidence, &fixture.anchors, &mut cache).unwrap();
    let refused = ask(&evidence, &other.anchors, &mut cache).unwrap_err();
    assert_eq!(refused, AppraisalError::Snp(SnpError::Chain(ChainError::BadSignature)));
    let mut swapped = evidence;
    swapped.endorsements.intermediate = Some(fixture.pki.asvk().to_vec());
    let refused = ask(&swapped, &fixture.anchors, &mut cache).unwrap_err();
    assert_eq!(refused, AppraisalError::Snp(SnpError::IntermediateName));
}

#[test]
fn s12_a_masked_chip_id_is_refused_unless_waived_by_name() {
    let fixture = Fixture::genoa();
    let report = fixture.report().set(field::CHIP_ID, &[0; 64]);
    assert_eq!(fixture.rule_refusal(report.clone(), accept()), SnpRuleError::ChipMasked);
    let listed = Accept::Snp(snp_fixture::SnpAccept {
        chip: ChipRule::Allow(vec![ChipId([0; 64])]),
        ..snp_fixture::snp_accept()
    });
    assert_eq!(fixture.rule_refusal(report.clone(), listed), SnpRuleError::ChipMasked);
    let waived = Accept::Snp(snp_fixture::SnpAccept {
        chip: ChipRule::AnyChipEvenMasked,
        ..snp_fixture::snp_accept()
    });
    fixture.appraise_with(report, std::slice::from_ref(&waived)).unwrap();
    // The waiver is for masked ids; a foreign one is still a lie.
    let foreign = fixture.report().set(field::CHIP_ID, &[9; 64]);
    let refused = fixture.appraise_with(foreign, &[waived]).unwrap_err();
    assert_eq!(refused, AppraisalError::Snp(SnpError::ChipMismatch));
}

#[test]
fn a_kept_chip_comes_back_from_its_files() {
    for product in [Product::Milan, Product::Genoa, Product::Turin] {
        let chip = vouchsafe_simulation::SimulatedChip::generate(product).unwrap();
        let again = vouchsafe_simulation::SimulatedChip::from_files(chip.to_files()).unwrap();
        assert_eq!(chip.tcb(), again.tcb());
        assert_eq!(chip.chip_id(), again.chip_id());
        let evidence = again.attest(measurement(), &statement().snp_report_data()).unwrap();
        let anchors = snp_fixture::anchors(&[chip.root()]);
        let mut rule = snp_fixture::snp_accept();
        rule.tcb_floors = vec![TcbFloor::all(product, chip.tcb())];
        let evidence = Evidence::Snp(evidence);
        let rules = [Accept::Snp(rule)];
        let mut cache = ChainCache::new();
        let context = Context { anchors: &anchors, collateral: &Collateral::new(), now_unix_secs: NOW };
        appraise(&evidence, &statement(), &rules, Residency::NotATpm, context, &mut cache).unwrap();
    }
}
