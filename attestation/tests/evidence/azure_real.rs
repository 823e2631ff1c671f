//! HCL reports and certificates of real machines, from the evidence folder.

use std::path::PathBuf;

use vouchsafe_attestation::azure::{HclReport, RuntimeClaims};
use vouchsafe_attestation::snp::report::Report;
use vouchsafe_attestation::x509::{Certificate, parse_spki};
use vouchsafe_attestation::{AkCertError, EkError, verify_ak_chain, verify_ek_chain};
use vouchsafe_crypto::verify::{HashAlgorithm, Scheme};

/// 2026-01-15.
const AT: i64 = 1_768_435_200;

/// The folder, if it is there.
fn evidence() -> Option<PathBuf> {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/evidence"));
    let folder = std::env::var_os("VOUCHSAFE_EVIDENCE").map_or_else(beside, PathBuf::from);
    if !folder.join("cases.json").exists() {
        eprintln!("SKIPPED: no evidence folder at {}", folder.display());
        return None;
    }
    Some(folder)
}

fn hcl_reports(folder: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let mut reports = Vec::new();
    for entry in std::fs::read_dir(folder.join("azure")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.ends_with("-hcl.bin") {
            reports.push((name, std::fs::read(path).unwrap()));
        }
    }
    assert!(reports.len() >= 4);
    reports
}

#[test]
fn real_hcl_reports_are_read_and_bound() {
    let Some(folder) = evidence() else { return };
    for (name, bytes) in hcl_reports(&folder) {
        let hcl = HclReport::parse(&bytes).unwrap();
        let report = Report::parse(hcl.snp_report()).unwrap();
        assert_eq!(hcl.check_report_data(&report.report_data), Ok(()), "{name}");
        let claims = RuntimeClaims::dangerous_read_unbound(hcl.claims()).unwrap();
        assert_eq!(claims.key_ids().first().map(String::as_str), Some("HCLAkPub"), "{name}");
        // The first paravisors had no user data.
        assert_eq!(claims.user_data().copied(), (bytes.len() == 2600).then_some([0; 64]), "{name}");
        let Ok(pem) = std::fs::read_to_string(folder.join("azure").join(name.replace("hcl.bin", "ak.pem")))
        else {
            continue;
        };
        assert_eq!(parse_spki(&der_of(&pem)).as_ref(), Some(claims.ak()), "{name}");
    }
}

#[test]
fn no_bit_of_a_real_hcl_report_outside_the_snp_report_is_free() {
    let Some(folder) = evidence() else { return };
    for (name, bytes) in hcl_reports(&folder) {
        let hcl = HclReport::parse(&bytes).unwrap();
        let data = Report::parse(hcl.snp_report()).unwrap().report_data;
        for at in (0..32).chain(1216..bytes.len()) {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                let verdict = HclReport::parse(&flipped).and_then(|hcl| hcl.check_report_data(&data));
                assert!(verdict.is_err(), "{name}: byte {at}, bit {bit}");
            }
        }
        // In the SNP report, REPORT_DATA is bound to the claims; the signature covers all of it.
        for at in 32 + 0x50..32 + 0x90 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            let hcl = HclReport::parse(&flipped).unwrap();
            let data = Report::parse(hcl.snp_report()).unwrap().report_data;
            assert!(hcl.check_report_data(&data).is_err(), "{name}: byte {at}");
        }
    }
}

#[test]
fn real_certificates_of_attestation_and_endorsement_keys_are_told_apart() {
    let Some(folder) = evidence() else { return };
    let read = |name: &str| std::fs::read(folder.join("cert").join(name)).unwrap();
    let root = |name: &str| [Certificate::parse(&read(name)).unwrap()];
    let azure = [read("azure-akcert-1.der"), read("azure-vtpm-intermediate-03.der")];
    verify_ak_chain(&azure, &root("azure-vtpm-root-2023.der"), AT).unwrap();
    let google = [read("gce-cos-85-nonce9009-akcert.der"), read("gce-tpm-ek-intermediate-2.der")];
    verify_ak_chain(&google, &root("gce-tpm-ek-root-1.der"), AT).unwrap();
    let google_ek = [read("gce-pca-tpm-rsa-enc.der"), read("gce-gcp-ek-ak-ca-intermediate-v3.der")];
    verify_ek_chain(&google_ek, &root("gce-gcp-ek-ak-ca-root.der"), AT).unwrap();
    let stm = [read("stm-rsa-ek.der"), read("ekca-stm-rsa-05i.der"), read("ekca-stm-rsa-rt.der")];
    verify_ek_chain(&stm, &root("ekca-gs-tpm-rt.der"), AT).unwrap();
    // The certificate of one kind of key is not that of the other.
    for chain in [&google_ek[..], &stm[..]] {
        assert_eq!(verify_ak_chain(chain, &[], AT).unwrap_err(), AkCertError::KeyUsage);
    }
    assert_eq!(verify_ek_chain(&google, &[], AT).unwrap_err(), EkError::KeyUsage);
    assert_eq!(verify_ek_chain(&azure, &[], AT).unwrap_err(), EkError::ExtendedUsage);
}

#[test]
fn t9_the_hash_of_an_rsa_signature_is_the_one_it_names() {
    let Some(folder) = evidence() else { return };
    let der = std::fs::read(folder.join("cert/azure-vtpm-intermediate-03.der")).unwrap();
    let name = |last| [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last];
    let with = |last| {
        let mut der = der.clone();
        let places: Vec<usize> = (0..der.len()).filter(|at| der[*at..].starts_with(&name(12))).collect();
        assert_eq!(places.len(), 2);
        places.iter().for_each(|at| der[at + 8] = last);
        Certificate::parse(&der).unwrap().scheme()
    };
    assert_eq!(with(11), Some(Scheme::RsaPkcs1(HashAlgorithm::Sha256)));
    assert_eq!(with(12), Some(Scheme::RsaPkcs1(HashAlgorithm::Sha384)));
    assert_eq!(with(13), Some(Scheme::RsaPkcs1(HashAlgorithm::Sha512)));
    // MD5, SHA-1 and SHA-224.
    for last in [4, 5, 14] {
        assert_eq!(with(last), None);
    }
}

fn der_of(pem: &str) -> Vec<u8> {
    let letters = |byte: &u8| {
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
            .iter()
            .position(|letter| letter == byte)
    };
    let lines = pem.lines().filter(|line| !line.starts_with('-'));
    let values: Vec<usize> = lines.flat_map(|line| line.as_bytes().iter().filter_map(letters)).collect();
    let mut der = Vec::new();
    for group in values.chunks(4) {
        let bits = group.iter().fold(0, |bits, value| bits << 6 | value) << (6 * (4 - group.len()));
        der.extend_from_slice(&u32::try_from(bits).unwrap().to_be_bytes()[1..group.len()]);
    }
    der
}
