//! Against real evidence, which is not part of the repository: skipped loudly where it is missing.

use std::path::PathBuf;

use super::check::check_dir;
use super::*;

/// The directory of evidence: `VOUCHSAFE_EVIDENCE`, or beside the repository.
fn evidence() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/evidence");
    let dir = std::env::var_os("VOUCHSAFE_EVIDENCE").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    if dir.join("cases.json").exists() {
        return Some(dir);
    }
    eprintln!("SKIPPED: no evidence at {}; set VOUCHSAFE_EVIDENCE", dir.display());
    None
}

#[test]
fn every_supported_case_and_mutation_agrees() {
    let Some(dir) = evidence() else { return };
    let outcome = check_dir(&dir).unwrap();
    let differing: Vec<_> =
        outcome.results.iter().filter(|line| line.result == check::Agreement::Differs).collect();
    assert!(differing.is_empty(), "{differing:#?}");
    assert!(outcome.summary.agreed > 100, "{:?}", outcome.summary);
    // What this version does not verify is never passed.
    let supported =
        ["snp-report", "snp-parse", "vek-chain", "tpm-quote", "quote-parse", "ak-chain", "ek-chain"];
    for line in &outcome.results {
        if !supported.contains(&line.kind.as_str()) {
            assert_eq!(line.result, check::Agreement::NotSupported, "{}", line.name);
        }
    }
}

#[test]
fn every_file_can_be_shown_or_is_refused_with_a_reason() {
    let Some(dir) = evidence() else { return };
    let mut shown = 0;
    for part in ["snp", "tpm", "cert", "amd", "log"] {
        for entry in std::fs::read_dir(dir.join(part)).unwrap() {
            let path = entry.unwrap().path();
            let file = read_file(&path).unwrap();
            if let Ok(structure) = inspect::inspect(&file) {
                let mut text = Vec::new();
                structure.write(&mut text).unwrap();
                assert!(text.len() > 50, "{}", path.display());
                assert!(structure.to_json().is_object());
                shown += 1;
            }
        }
    }
    assert!(shown > 40, "{shown}");
}

#[test]
fn s16_t8_no_prefix_of_any_file_makes_inspect_panic() {
    let Some(dir) = evidence() else { return };
    for name in [
        "snp/genoa-v5-oak.bin",
        "snp/genoa-v5-oak-vcek.der",
        "tpm/gce-cos-85-nonce9009-sha256-quote.msg",
        "log/short-no-action.bin",
        "log/keylime-bogus.bin",
    ] {
        let file = read_file(&dir.join(name)).unwrap();
        for len in 0..file.len() {
            // Whether a prefix happens to be something is not the point here.
            drop(inspect::inspect(&file[..len]));
        }
    }
}

fn one_case(
    files: &[(&str, &[u8])],
    case: &str,
    mutations: &str,
) -> (tempfile::TempDir, anyhow::Result<u8>, String) {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    let document = format!(r#"{{"schema": 1, "split": "x", "cases": [{case}], "mutations": [{mutations}]}}"#);
    std::fs::write(dir.path().join("cases.json"), document).unwrap();
    let mut out = Vec::new();
    let result = EvidenceCommand::Check { cases: dir.path().to_owned() }.run(false, &mut out);
    (dir, result, String::from_utf8(out).unwrap())
}

#[test]
fn an_unknown_kind_is_not_supported_and_never_passed() {
    let case = r#"{"name": "a", "kind": "tdx-quote", "files": {}, "expect": "valid", "reason": ""}"#;
    let (_dir, code, out) = one_case(&[], case, "");
    assert_eq!(code.unwrap(), 0);
    assert!(out.contains("0 agree, 0 differ, 1 not supported"), "{out}");
}

#[test]
fn a_verdict_that_differs_makes_the_exit_code_1() {
    let case = r#"{"name": "a", "kind": "snp-parse", "files": {"report": "r"}, "expect": "valid"}"#;
    let (_dir, code, out) = one_case(&[("r", &[0; 1184])], case, "");
    assert_eq!(code.unwrap(), 1);
    assert!(out.contains("DIFFERS") && out.contains("unknown version 0"), "{out}");
}

#[test]
fn a_policy_with_an_unknown_key_is_not_ignored() {
    let case = r#"{"name": "a", "kind": "snp-report", "files": {}, "expect": "invalid",
        "at": "2025-01-01T00:00:00Z", "policy": {"allow_everything": true}}"#;
    let (_dir, _code, out) = one_case(&[], case, "");
    assert!(out.contains("0 agree, 0 differ, 1 not supported"), "{out}");
}

#[test]
fn a_file_outside_the_directory_is_refused() {
    let case = r#"{"name": "a", "kind": "snp-parse", "files": {"report": "../r"}, "expect": "invalid"}"#;
    let (_dir, result, _out) = one_case(&[], case, "");
    assert!(result.unwrap_err().to_string().contains("outside"));
}

#[test]
fn a_mutation_that_does_not_apply_is_an_error() {
    let case = r#"{"name": "a", "kind": "snp-parse", "files": {"report": "r"}, "expect": "invalid"}"#;
    let mutation = r#"{"name": "m", "base": "a", "file": "report", "op": "xor", "offset": 9, "value": "01",
        "expect": "invalid"}"#;
    let (_dir, result, _out) = one_case(&[("r", b"short")], case, mutation);
    assert!(format!("{:#}", result.unwrap_err()).contains("behind the end"));
}
