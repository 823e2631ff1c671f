//! VLEKs: whose they are, how long they live, and that they name no chip.

use crate::snp_fixture::{self, CHIP_ID, Fixture, NOW, TCB, with};
use vouchsafe_attestation::snp::rules::SnpRuleError;
use vouchsafe_attestation::snp::vek::{AmdExtension, VekError};
use vouchsafe_attestation::snp::verify::SnpError;
use vouchsafe_attestation::{Appraisal, AppraisalError, Claims, PlatformClass};
use vouchsafe_protocol::policy::{Accept, ChipRule, CspName, Product};
use vouchsafe_simulation::{IntermediateSpec, Validity, VekKind, VekSpec};

const DAY: u64 = 24 * 60 * 60;

fn providers(names: &[&str]) -> Accept {
    let names = names.iter().map(|name| CspName((*name).to_owned())).collect();
    with(|accept| accept.chip = ChipRule::Providers(names))
}

fn even_masked() -> Accept {
    with(|accept| accept.chip = ChipRule::AnyChipEvenMasked)
}

fn judge(fixture: &Fixture, spec: &VekSpec, rule: Accept) -> Result<Appraisal, AppraisalError> {
    let vlek = fixture.pki.chip(spec).unwrap();
    fixture.appraise_evidence(vlek.evidence(snp_fixture::report(&vlek).sign(&vlek).unwrap()), &[rule])
}

#[test]
fn b11_a_provider_is_named_by_its_vlek_alone() {
    for product in [Product::Milan, Product::Genoa, Product::Turin] {
        let fixture = Fixture::new(product);
        let spec = VekSpec::vlek(product, TCB);
        let appraisal = judge(&fixture, &spec, providers(&["CN=other", VekSpec::PROVIDER])).unwrap();
        assert_eq!(appraisal.class, PlatformClass::SnpVlek { product });
        let Claims::Snp(claims) = appraisal.claims else { panic!("claims of a report") };
        assert_eq!(claims.provider.as_deref(), Some(VekSpec::PROVIDER));
    }
    let fixture = Fixture::genoa();
    let spec = VekSpec::vlek(Product::Genoa, TCB);
    let prefix = VekSpec::PROVIDER.strip_suffix('d').unwrap();
    for names in [&["CN=other"][..], &[prefix], &["cn=simulated-cloud"], &["CN=simulated-cloud "]] {
        let refused = judge(&fixture, &spec, providers(names)).unwrap_err();
        assert_eq!(refused, AppraisalError::SnpRule(SnpRuleError::Provider), "{names:?}");
    }
    let vcek = fixture.rule_refusal(fixture.report(), providers(&[VekSpec::PROVIDER]));
    assert_eq!(vcek, SnpRuleError::NoProvider);
}

#[test]
fn s12_a_masked_chip_with_a_vcek_is_of_no_provider() {
    let fixture = Fixture::genoa();
    let report = fixture.report().chip_id(&[0; 64]);
    assert_eq!(fixture.rule_refusal(report, providers(&[VekSpec::PROVIDER])), SnpRuleError::NoProvider);
}

#[test]
fn s11_a_vlek_lives_a_year_and_a_day_at_most() {
    let fixture = Fixture::genoa();
    let life = |secs| {
        let validity = Validity { not_before: NOW - DAY, not_after: NOW - DAY + secs };
        judge(&fixture, &VekSpec::vlek(Product::Genoa, TCB).valid(validity), even_masked())
    };
    life(366 * DAY - 1).unwrap();
    life(366 * DAY).unwrap();
    let secs = i64::try_from(366 * DAY + 1).unwrap();
    let expected = AppraisalError::Snp(SnpError::Vek(VekError::Life { secs }));
    assert_eq!(expected.code(), "snp.vlek.life");
    assert_eq!(life(366 * DAY + 1).unwrap_err(), expected);
    // A VCEK lives for as long as AMD says.
    fixture.appraise(fixture.report()).unwrap();
}

#[test]
fn s4_a_vlek_names_its_provider_once_in_a_plain_string() {
    let fixture = Fixture::genoa();
    let long = [&[0x16, 65], [b'x'; 65].as_slice()].concat();
    let cases: [Option<&[u8]>; 8] = [
        None,
        Some(&[]),
        Some(&[0x16, 0]),
        Some(b"CN=x"),
        Some(&[0x0c, 1, b'x']),
        Some(&[0x16, 2, b'x']),
        Some(&[0x16, 1, b'x', b'x']),
        Some(&[0x16, 1, b'\n']),
    ];
    for value in cases.into_iter().chain([Some(long.as_slice())]) {
        let spec = VekSpec::vlek(Product::Genoa, TCB).with_extension("5", value.map(<[u8]>::to_vec));
        let malformed = VekError::Extension { extension: AmdExtension::CspId };
        let refused = judge(&fixture, &spec, even_masked()).unwrap_err();
        assert_eq!(refused, AppraisalError::Snp(SnpError::Vek(malformed)), "{value:?}");
    }
}

#[test]
fn s4_a_vlek_names_no_chip_and_neither_does_its_report() {
    let fixture = Fixture::genoa();
    let named = VekSpec::vlek(Product::Genoa, TCB).with_extension("4", Some(CHIP_ID.to_vec()));
    let malformed = VekError::Extension { extension: AmdExtension::HwId };
    let refused = judge(&fixture, &named, even_masked()).unwrap_err();
    assert_eq!(refused, AppraisalError::Snp(SnpError::Vek(malformed)));

    let vlek = fixture.pki.chip(&VekSpec::vlek(Product::Genoa, TCB)).unwrap();
    for position in [0, 63] {
        let mut chip_id = [0; 64];
        chip_id[position] = 1;
        let report = snp_fixture::report(&vlek).chip_id(&chip_id).sign(&vlek).unwrap();
        for rule in [even_masked(), providers(&[VekSpec::PROVIDER])] {
            let refused = fixture.appraise_evidence(vlek.evidence(report.clone()), &[rule]).unwrap_err();
            assert_eq!(refused, AppraisalError::Snp(SnpError::ChipMismatch));
            assert_eq!(refused.code(), "snp.vek.chip");
        }
    }
}

#[test]
fn s2_an_asvk_comes_with_the_evidence_and_must_be_of_the_right_product() {
    let fixture = Fixture::genoa();
    let vlek = fixture.pki.chip(&VekSpec::vlek(Product::Genoa, TCB)).unwrap();
    let evidence = vlek.evidence(snp_fixture::report(&vlek).sign(&vlek).unwrap());
    fixture.appraise_evidence(evidence.clone(), &[even_masked()]).unwrap();
    let other = fixture.pki.for_product(Product::Milan).unwrap();
    let ask = fixture.pki.intermediate(&IntermediateSpec::new(VekKind::Vcek, Product::Genoa)).unwrap();
    for intermediate in [ask, other.asvk().to_vec(), fixture.pki.root().ark] {
        let mut evidence = evidence.clone();
        evidence.endorsements.intermediate = Some(intermediate);
        let refused = fixture.appraise_evidence(evidence, &[even_masked()]).unwrap_err();
        assert_eq!(refused, AppraisalError::Snp(SnpError::IntermediateName));
    }
}
