//! Rule codes are public: what is documented in `docs/RULES.md` is exactly what the verifier can say.

#![expect(clippy::unwrap_used, reason = "test helpers; clippy exempts only the tests themselves")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Whether a string literal has the form of a code: `snp.policy.debug`.
fn is_code(text: &str) -> bool {
    let first = text.split('.').next().unwrap_or_default();
    let known = ["azure", "case", "collateral", "evidence", "launch", "snp", "tpm"].contains(&first);
    known
        && text.contains('.')
        && text.split('.').all(|part| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        })
}

/// Codes in the sources of the verifier, each with a file that has it.
fn codes() -> BTreeMap<String, PathBuf> {
    let mut files = Vec::new();
    sources(&root().join("attestation/src"), &mut files);
    // What the runner of cases says where a case lacks something that a verifier is given.
    sources(&root().join("attestation/cases/src/runner"), &mut files);
    files.push(root().join("attestation/cases/src/runner.rs"));
    files.push(root().join("attestation/cases/src/verdict.rs"));
    let mut codes = BTreeMap::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        if file.ends_with("tests.rs") {
            continue;
        }
        // Errors name their codes in the arms of `code()`; tests come last in a file.
        let text = text.split("#[cfg(test)]").next().unwrap();
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for literal in line.split('"').skip(1).step_by(2).filter(|literal| is_code(literal)) {
                codes.entry(literal.to_owned()).or_insert_with(|| file.clone());
            }
        }
    }
    codes
}

#[test]
fn every_rule_code_is_documented_and_no_other() {
    let document = fs::read_to_string(root().join("docs/RULES.md")).unwrap();
    let rows =
        document.lines().filter_map(|line| line.strip_prefix("| `")).filter_map(|row| row.split('`').next());
    let mut documented = BTreeSet::new();
    for code in rows {
        assert!(documented.insert(code.to_owned()), "docs/RULES.md has {code} twice");
    }
    let codes = codes();
    assert!(codes.len() > 100, "found only {} codes", codes.len());
    for (code, file) in &codes {
        assert!(documented.contains(code), "{code} of {} is not in docs/RULES.md", file.display());
    }
    for code in &documented {
        assert!(codes.contains_key(code), "docs/RULES.md names {code}, which nothing says");
    }
}
