//! Real evidence of machines that we do not have, put into bundles as if it had been collected: every bundle is checked.

use std::path::PathBuf;

use vouchsafe_evidence::pem::to_der;
use vouchsafe_evidence::schema::Files;
use vouchsafe_evidence::{Case, Expect, run};
use vouchsafe_platform::collect::Collected;
use vouchsafe_protocol::evidence::{Evidence, Logs, PcrValue, SnpEndorsements, SnpEvidence, SnpVtpmEvidence};

use super::*;

fn evidence() -> Option<Suite> {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/evidence"));
    let dir = std::env::var_os("VOUCHSAFE_EVIDENCE").map_or_else(beside, PathBuf::from);
    if !dir.exists() {
        eprintln!("skipped: no evidence at {}", dir.display());
        return None;
    }
    Some(Suite::read(&dir).unwrap())
}

fn endorsements(files: &Files) -> SnpEndorsements {
    let der = |part: &str| files.get(part).map(|bytes| to_der(bytes).unwrap());
    SnpEndorsements { vek: der("vcek").or_else(|| der("vlek")), intermediate: der("ask"), crl: der("crl") }
}

/// `TPMT_SIGNATURE` of RSASSA with SHA-256.
fn rsassa(signature: &[u8]) -> Vec<u8> {
    let len = u16::try_from(signature.len()).unwrap().to_be_bytes();
    [&[0x00, 0x14, 0x00, 0x0b], &len[..], signature].concat()
}

fn pcrs(file: &[u8]) -> Vec<PcrValue> {
    let file: Value = serde_json::from_slice(file).unwrap();
    let values = file["pcrs"].as_object().unwrap().iter().map(|(index, value)| PcrValue {
        index: index.parse().unwrap(),
        value: hex::decode(value.as_str().unwrap()).unwrap().try_into().unwrap(),
    });
    let mut values: Vec<PcrValue> = values.collect();
    values.sort_unstable();
    values
}

/// As it would be collected, if its kind is one that machines show.
fn collected(case: &Case, files: &Files) -> Option<Collected> {
    let evidence = match case.kind.as_str() {
        "snp-report" => {
            Evidence::Snp(SnpEvidence { report: files["report"].clone(), endorsements: endorsements(files) })
        }
        "azure-snp" => Evidence::SnpVtpm(Box::new(SnpVtpmEvidence {
            hcl_report: files["hcl"].clone(),
            endorsements: endorsements(files),
            quote: files["quote"].clone(),
            signature: rsassa(&files["sig"]),
            pcrs: pcrs(&files["pcrs"]),
            logs: Logs { boot: files.get("event_log").cloned(), ima: None },
        })),
        _ => return None,
    };
    Some(Collected { evidence, keys: None, banks: vec![], simulated_root: None, missing: vec![] })
}

#[test]
fn bundles_of_real_reports_and_quotes_are_checked_like_the_originals() {
    let Some(suite) = evidence() else { return };
    let mut kinds = std::collections::BTreeMap::new();
    for case in suite.document.cases.iter().filter(|case| case.expect == Expect::Valid) {
        let Some(collected) = collected(case, &suite.files_of(case)) else { continue };
        let statement = collection(b"nonce of ours");
        let at = case.at.clone().unwrap();
        let context = BundleContext { at, nonce: b"nonce of ours", statement: &statement };
        let (bundle, parts) = bundle::suite(collected, context).unwrap();
        assert!(parts.len() >= 2, "{}", case.name);

        // Over another nonce than ours: exactly that is refused.
        let ours = &bundle.document.cases[0];
        let Verdict::Invalid(refusal) = run(&bundle, ours) else { panic!("{} is not fresh", case.name) };
        let stale = ["evidence.statement", "tpm.quote.extra-data"];
        assert!(stale.contains(&refusal.code), "{}: {}", case.name, refusal.code);

        // With the original's nonce and policy it is what the original is.
        let policy = (case.policy.clone(), case.nonce.clone());
        let original = Case { policy: policy.0, nonce: policy.1, ..ours.clone() };
        let verdict = run(&bundle, &original);
        assert!(verdict.is_valid(), "{}: {verdict:?}", case.name);
        *kinds.entry(case.kind.clone()).or_insert(0) += 1;
    }
    println!("{kinds:?}");
    assert!(kinds["snp-report"] >= 5 && kinds["azure-snp"] >= 2, "{kinds:?}");
}
