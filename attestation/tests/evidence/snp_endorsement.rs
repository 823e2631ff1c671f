//! The certificate is for this chip, at this TCB, now.

use crate::snp_fixture::{self, CHIP_ID, Fixture, NOW, TCB, accept, measurement, statement};
use vouchsafe_attestation::snp::rules::SnpRuleError;
use vouchsafe_attestation::snp::vek::{AmdExtension, VekError};
use vouchsafe_attestation::snp::verify::SnpError;
use vouchsafe_attestation::x509::{CertificateError, ChainError};
use vouchsafe_attestation::{
    AppraisalError, ChainCache, Collateral, Context, Residency, TrustAnchors, appraise,
};
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
fn s4_every_extension_of_a_product_must_be_there_and_well_formed() {
    use AmdExtension::{BlSpl, FmcSpl, SnpSpl, Spl4, Spl5, Spl6, Spl7, StructVersion, TeeSpl, UcodeSpl};
    for product in [Product::Milan, Product::Genoa, Product::Turin] {
        let fixture = Fixture::new(product);
        let own = if product == Product::Turin { ("3.9", FmcSpl) } else { ("3.4", Spl4) };
        let numbers = [
            ("1", StructVersion),
            ("3.1", BlSpl),
            ("3.2", TeeSpl),
            ("3.3", SnpSpl),
            ("3.5", Spl5),
            ("3.6", Spl6),
            ("3.7", Spl7),
            ("3.8", UcodeSpl),
            own,
        ];
        let malformed: [Option<&[u8]>; 9] = [
            None,
            Some(&[]),
            Some(&[2, 0]),
            Some(&[2, 1, 0x80]),    // negative
            Some(&[2, 2, 0, 0x7f]), // not the shortest
            Some(&[2, 2, 1, 0]),    // more than a byte
            Some(&[2, 1, 1, 0]),    // more behind it
            Some(&[4, 1, 1]),       // not an INTEGER
            Some(&[2, 0x81, 1, 1]), // not the shortest length
        ];
        for (suffix, extension) in numbers {
            for value in malformed {
                let spec =
                    VekSpec::vcek(product, TCB, CHIP_ID).with_extension(suffix, value.map(<[u8]>::to_vec));
                let expected = AppraisalError::Snp(SnpError::Vek(VekError::Extension { extension }));
                assert_eq!(fixture.refusal_of_chip(&spec), expected, "{product:?} {suffix} {value:?}");
            }
        }
    }
}

#[test]
fn s4_an_extension_that_the_product_does_not_have_is_refused() {
    let fixture = Fixture::genoa();
    let long = [&[0x16, 200], [b'G'; 200].as_slice()].concat();
    let cases: [(&str, &[u8], VekError); 10] = [
        ("2", &long, VekError::Extension { extension: AmdExtension::ProductName }),
        ("1", &[2, 1, 1], VekError::Extension { extension: AmdExtension::StructVersion }),
        ("2", b"Genoa", VekError::Extension { extension: AmdExtension::ProductName }),
        (
            "2",
            &[0x16, 6, b'G', b'e', b'n', b'o', b'a'],
            VekError::Extension { extension: AmdExtension::ProductName },
        ),
        ("2", &[0x16, 6, b'G', b'e', b'n', b'o', b'a', b'-'], VekError::Product),
        ("2", &[0x16, 8, b'G', b'e', b'n', b'o', b'a', b'-', b'b', b'0'], VekError::Product),
        ("3.9", &[2, 1, 0], VekError::Extension { extension: AmdExtension::FmcSpl }),
        ("3.10", &[2, 1, 0], VekError::UnknownExtension),
        ("5", &[0x16, 1, b'x'], VekError::Extension { extension: AmdExtension::CspId }),
        ("6", &[], VekError::UnknownExtension),
    ];
    for (suffix, value, expected) in cases {
        let spec = VekSpec::vcek(Product::Genoa, TCB, CHIP_ID).with_extension(suffix, Some(value.to_vec()));
        assert_eq!(fixture.refusal_of_chip(&spec), AppraisalError::Snp(SnpError::Vek(expected)), "{suffix}");
    }
    let fixture = Fixture::new(Product::Turin);
    for (suffix, value, extension) in
        [("1", [2, 1, 0], AmdExtension::StructVersion), ("3.4", [2, 1, 1], AmdExtension::Spl4)]
    {
        let spec = VekSpec::vcek(Product::Turin, TCB, CHIP_ID).with_extension(suffix, Some(value.to_vec()));
        let expected = VekError::Extension { extension };
        assert_eq!(fixture.refusal_of_chip(&spec), AppraisalError::Snp(SnpError::Vek(expected)), "{suffix}");
    }
}

#[test]
fn a_product_may_name_its_stepping() {
    let fixture = Fixture::new(Product::Milan);
    let name = [&[0x16, 8], b"Milan-B0".as_slice()].concat();
    let spec = VekSpec::vcek(Product::Milan, TCB, CHIP_ID).with_extension("2", Some(name));
    let chip = fixture.pki.chip(&spec).unwrap();
    let evidence = chip.evidence(snp_fixture::report(&chip).sign(&chip).unwrap());
    fixture.appraise_evidence(evidence, &[accept()]).unwrap();
}

#[test]
fn s4_a_hardware_id_of_another_length_or_wrapping_is_refused() {
    let malformed = SnpError::Vek(VekError::Extension { extension: AmdExtension::HwId });
    // An OCTET STRING is accepted, a BIT STRING is not.
    let wrapped = [&[3u8, 64], CHIP_ID.as_slice()].concat();
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
fn s4_processors_of_each_product_are_told_by_family_and_model() {
    let ranges: [(Product, u8, u8, u8); 4] = [
        (Product::Milan, 0x19, 0x00, 0x0f),
        (Product::Genoa, 0x19, 0x10, 0x1f),
        (Product::Genoa, 0x19, 0xa0, 0xaf), // EPYC 8004 and dense 9004
        (Product::Turin, 0x1a, 0x00, 0x11),
    ];
    for (product, family, first, last) in ranges {
        let fixture = Fixture::new(product);
        let of = |family, model| fixture.appraise(fixture.report().cpuid([family, model, 0]));
        of(family, first).unwrap();
        of(family, last).unwrap();
        let mismatch = AppraisalError::Snp(SnpError::ProductMismatch);
        assert_eq!(of(family, last + 1).unwrap_err(), mismatch, "{product:?}");
        assert_eq!(of(family - 1, first).unwrap_err(), mismatch, "{product:?}");
        if let Some(before) = first.checked_sub(1) {
            assert_eq!(of(family, before).unwrap_err(), mismatch, "{product:?}");
        }
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
fn a_chain_is_cached_only_behind_the_signature_of_a_report() {
    let fixture = Fixture::genoa();
    let mut cache = ChainCache::new();
    let mut ask = |evidence: SnpEvidence| {
        let (evidence, context) = (Evidence::Snp(evidence), fixture.context(NOW));
        let outcome = appraise(&evidence, &statement(), &[accept()], Residency::NotATpm, context, &mut cache);
        (outcome.map(|_| ()), cache.len())
    };
    let mut unsigned = fixture.evidence(fixture.report());
    unsigned.report[0x2a0] ^= 1;
    assert_eq!(ask(unsigned), (Err(AppraisalError::Snp(SnpError::Signature)), 0));
    assert_eq!(ask(fixture.evidence(fixture.report())), (Ok(()), 1));
}

#[test]
fn a_cached_chain_is_not_believed_under_other_roots_or_another_intermediate() {
    let fixture = Fixture::genoa();
    let other = Fixture::foreign(Product::Genoa);
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

#[test]
fn a_cached_chain_without_an_intermediate_is_not_one_with_an_empty_one() {
    let fixture = Fixture::genoa();
    let mut cache = ChainCache::new();
    assert!(cache.is_empty());
    let mut ask = |intermediate: Option<Vec<u8>>| {
        let mut evidence = fixture.evidence(fixture.report());
        evidence.endorsements.intermediate = intermediate;
        let evidence = Evidence::Snp(evidence);
        let context = fixture.context(NOW);
        appraise(&evidence, &statement(), &[accept()], Residency::NotATpm, context, &mut cache).map(drop)
    };
    ask(None).unwrap();
    let malformed = SnpError::Intermediate(CertificateError::Malformed);
    assert_eq!(ask(Some(Vec::new())).unwrap_err(), AppraisalError::Snp(malformed));
    assert!(!cache.is_empty());
}
