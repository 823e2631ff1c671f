//! The form of a report.

use crate::snp_fixture::{self, Fixture, TCB, accept};
use vouchsafe_attestation::AppraisalError;
use vouchsafe_attestation::snp::report::{Report, ReportError, SigningKey};
use vouchsafe_attestation::snp::rules::SnpRuleError;
use vouchsafe_attestation::snp::vek::VekError;
use vouchsafe_attestation::snp::verify::SnpError;
use vouchsafe_attestation::x509::CertificateError;
use vouchsafe_protocol::policy::{Accept, ChipRule, Permission, Product};
use vouchsafe_simulation::{VekSpec, field};

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
    let allowed = Accept::Snp(snp_fixture::SnpAccept {
        reserved_fields: Permission::Allowed,
        ..snp_fixture::snp_accept()
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
        fixture.appraise_with(report, std::slice::from_ref(&allowed)).unwrap();
    }
}

#[test]
fn s15_version_2_is_refused_unless_a_role_names_it() {
    let fixture = Fixture::genoa();
    let report = fixture.report().set(field::VERSION, &2u32.to_le_bytes()).set(field::CPUID, &[0, 0, 0]);
    let refused = fixture.rule_refusal(report.clone(), accept());
    assert_eq!(refused, SnpRuleError::Version { version: 2, least: 3 });
    let named = Accept::Snp(snp_fixture::SnpAccept { min_report_version: 2, ..snp_fixture::snp_accept() });
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
fn s12_a_report_by_a_masked_key_is_refused() {
    let fixture = Fixture::genoa();
    let refused = fixture.appraise(fixture.report().mask_chip_key());
    let expected = SnpError::Report(ReportError::MaskedKey);
    assert_eq!(refused.unwrap_err(), AppraisalError::Snp(expected));
    // A VLEK signs although the chip's own key does not.
    let vlek = fixture.pki.chip(&VekSpec::vlek(Product::Genoa, TCB)).unwrap();
    let evidence = vlek.evidence(snp_fixture::report(&vlek).mask_chip_key().sign(&vlek).unwrap());
    let rule = snp_fixture::with(|accept| accept.chip = ChipRule::AnyChipEvenMasked);
    fixture.appraise_evidence(evidence, &[rule]).unwrap();
}

#[test]
fn s15_each_version_shows_what_it_has_and_no_more() {
    let fixture = Fixture::genoa();
    for version in [2u32, 3, 4, 5] {
        let report = fixture.report().version(version);
        let read = Report::parse(&report.clone().sign(&fixture.chip).unwrap()).unwrap();
        assert_eq!(read.cpuid.is_some(), version >= 3, "{version}");
        assert_eq!(read.mitigations.is_some(), version >= 5, "{version}");
        let rule = snp_fixture::with(|accept| accept.min_report_version = 2);
        fixture.appraise_with(report, &[rule]).unwrap();
        for least in 2..=5 {
            let rule = snp_fixture::with(|accept| accept.min_report_version = least);
            let outcome = fixture.appraise_with(fixture.report().version(version), &[rule]);
            match outcome {
                Ok(_) => assert!(version >= least),
                Err(error) => {
                    assert_eq!(error, AppraisalError::SnpRule(SnpRuleError::Version { version, least }));
                    assert!(version < least);
                }
            }
        }
    }
    // What was reserved before stays so: CPUID in version 2.
    let report = fixture.report().version(2).cpuid([0x19, 0x11, 1]);
    let rule = snp_fixture::with(|accept| accept.min_report_version = 2);
    assert_eq!(fixture.rule_refusal(report, rule), SnpRuleError::Reserved);
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
    let vek = good.endorsements.vek.clone().unwrap();
    for len in (0..vek.len()).chain([vek.len() + 1]) {
        let mut evidence = good.clone();
        evidence.endorsements.vek.as_mut().unwrap().resize(len, 0);
        let expected = SnpError::Vek(VekError::Certificate(malformed));
        assert_eq!(fixture.refusal(evidence), AppraisalError::Snp(expected), "{len}");
    }
    let whole = good.endorsements.intermediate.clone().unwrap();
    for len in (0..whole.len()).chain([whole.len() + 1]) {
        let mut evidence = good.clone();
        evidence.endorsements.intermediate.as_mut().unwrap().resize(len, 0);
        let expected = SnpError::Intermediate(malformed);
        assert_eq!(fixture.refusal(evidence), AppraisalError::Snp(expected), "{len}");
    }
    let mut evidence = good;
    evidence.endorsements.vek.as_mut().unwrap().resize(8 * 1024 + 1, 0);
    let expected = SnpError::Vek(VekError::Certificate(CertificateError::TooLong { len: 8193 }));
    assert_eq!(fixture.refusal(evidence), AppraisalError::Snp(expected));
}

#[test]
fn inner_and_outer_signature_algorithm_must_agree() {
    let fixture = Fixture::genoa();
    let mut evidence = fixture.evidence(fixture.report());
    // Salt length 48 of the outer RSASSA-PSS parameters: the last such field.
    let vek = evidence.endorsements.vek.as_mut().unwrap();
    let salt = vek.windows(5).rposition(|bytes| bytes == [0xa2, 3, 2, 1, 48]).unwrap();
    vek[salt + 4] = 47;
    let expected = SnpError::Vek(VekError::Certificate(CertificateError::AlgorithmMismatch));
    assert_eq!(fixture.refusal(evidence), AppraisalError::Snp(expected));
}

#[test]
fn every_single_bit_of_the_signed_part_is_covered() {
    let fixture = Fixture::genoa();
    let good = fixture.evidence(fixture.report());
    let rule = Accept::Snp(snp_fixture::SnpAccept {
        reserved_fields: Permission::Allowed,
        ..snp_fixture::snp_accept()
    });
    for byte in 0..0x330 {
        let mut evidence = good.clone();
        evidence.report[byte] ^= 1 << (byte % 8);
        fixture.appraise_evidence(evidence, std::slice::from_ref(&rule)).unwrap_err();
    }
}

#[test]
fn a_report_signed_for_a_vlek_names_the_vlek() {
    let fixture = Fixture::genoa();
    let vlek = fixture.pki.chip(&VekSpec::vlek(Product::Genoa, TCB)).unwrap();
    let report = Report::parse(&snp_fixture::report(&vlek).sign(&vlek).unwrap()).unwrap();
    assert_eq!(report.signing_key, SigningKey::Vlek);
}

/// Order of P-384, big-endian.
const ORDER: [u8; 48] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf, 0x58, 0x1a,
    0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
];
