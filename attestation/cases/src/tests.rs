//! Real evidence, the corpus, and what a runner must never do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::json;

use super::*;
use crate::schema::{SCHEMA, TpmAnchorFiles, TpmKindName};
use crate::suite::DOCUMENT;
use crate::test_evidence::evidence;

/// Made once: signing some thousand things takes a while.
static CORPUS: LazyLock<Suite> = LazyLock::new(|| corpus::generate(1).unwrap());

/// Attacks on evidence (security.md) that a case can be an instance of.
const IDS: [&str; 29] = [
    "S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "S9", "S10", "S11", "S12", "S13", "S14", "S15", "S16",
    "T1", "T2", "T4", "T5", "T6", "T7", "T8", "T9", "T10", "T11", "T12", "T13", "T16",
];

#[test]
fn every_case_and_mutation_of_real_evidence_agrees_and_none_is_unsupported() {
    let Some(dir) = evidence() else { return };
    let outcome = check(&Suite::read(&dir).unwrap()).unwrap();
    let differing: Vec<_> = outcome.results.iter().filter(|line| line.result != Agreement::Agrees).collect();
    assert!(differing.is_empty(), "{differing:#?}");
    assert_eq!(outcome.summary.agreed, outcome.results.len());
    assert!(outcome.summary.agreed > 200, "{:?}", outcome.summary);
}

#[test]
fn every_case_of_the_corpus_yields_exactly_its_code() {
    let suite = &*CORPUS;
    let outcome = check(suite).unwrap();
    let differing: Vec<String> = outcome
        .results
        .iter()
        .filter(|line| line.result != Agreement::Agrees)
        .map(|line| {
            format!("{}: {:?} {:?}, but {:?}", line.name, line.expect, line.expect_code, line.verdict)
        })
        .collect();
    assert!(
        differing.is_empty(),
        "{} of {}:\n{}",
        differing.len(),
        outcome.results.len(),
        differing.join("\n")
    );
    assert!(outcome.summary.agreed >= 400, "{:?}", outcome.summary);
    // Each to refuse names its rule, each name is given once, each attack has one to refuse.
    let cases = &suite.document.cases;
    assert!(cases.iter().all(|case| case.code.is_some() == (case.expect == Expect::Invalid)));
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    let repeated: Vec<&str> = cases
        .iter()
        .map(|case| case.name.as_str())
        .filter(|name| cases.iter().filter(|case| case.name == *name).count() > 1)
        .collect();
    assert_eq!((repeated, names.len()), (Vec::new(), cases.len()));
    let bad = cases.iter().filter(|case| case.expect == Expect::Invalid);
    let ids: BTreeSet<&str> = bad.flat_map(|case| case.ids.iter().map(String::as_str)).collect();
    assert_eq!(IDS.iter().filter(|id| !ids.contains(*id)).collect::<Vec<_>>(), Vec::<&&str>::new());
    let kinds: BTreeSet<&str> = cases.iter().map(|case| case.kind.as_str()).collect();
    assert_eq!(
        runner::KINDS.iter().filter(|kind| !kinds.contains(*kind)).collect::<Vec<_>>(),
        [&"launch-digest"],
        "vectors of launch digests are other people's"
    );
}

#[test]
fn one_seed_gives_one_corpus_and_another_seed_another() {
    let one = &*CORPUS;
    assert_eq!(*one, corpus::generate(1).unwrap());
    let other = corpus::generate(2).unwrap();
    assert_eq!(one.document.cases.len(), other.document.cases.len());
    assert_ne!(one.files, other.files);
}

/// A report of the corpus as a suite of its own, and what is said of it.
fn alone(name: &str, change: impl FnOnce(&mut Suite)) -> Verdict {
    let mut suite = CORPUS.clone();
    suite.document.cases.retain(|case| case.name == name);
    change(&mut suite);
    run(&suite, &suite.document.cases[0])
}

const GOOD: &str = "s15-good-genoa-version-5";

fn is_supported(verdict: &Verdict) -> bool {
    !matches!(verdict, Verdict::NotSupported { .. })
}

#[test]
fn what_is_not_known_is_not_supported_and_never_passed() {
    assert!(alone(GOOD, |_| {}).is_valid());
    let policy = |patch: serde_json::Value| {
        alone(GOOD, |suite| {
            let policy = suite.document.cases[0].policy.as_mut().unwrap().as_object_mut().unwrap();
            policy.extend(patch.as_object().unwrap().clone());
        })
    };
    for patch in [
        json!({ "allow_everything": true }),
        json!({ "platform_info": { "smt": "perhaps" } }),
        json!({ "measurement": "00" }),
        json!({ "tcb_floors": { "reported": { "soc": 1 } } }),
        json!({ "migration_agent": "somebody" }),
        json!({ "measurement_expires": "tomorrow" }),
        json!({ "author_key_digest": "00".repeat(48) }),
        json!({ "chip": "whatever" }),
    ] {
        assert!(!is_supported(&policy(patch.clone())), "{patch}");
    }
    assert!(!is_supported(&alone(GOOD, |suite| suite.document.cases[0].kind = "tdx-quote".to_owned())));
    assert!(!is_supported(&alone(GOOD, |suite| suite.document.cases[0].at = Some("noon".to_owned()))));
    assert!(!is_supported(&alone(GOOD, |suite| suite.document.cases[0].collection = Some("00".to_owned()))));
}

#[test]
fn s1_s2_roots_come_from_the_document_and_never_from_a_case() {
    let code = |change: fn(&mut Suite)| alone(GOOD, change).code();
    // Without anchors the document's roots are AMD's own, whatever a case offers.
    assert_eq!(code(|suite| suite.document.anchors = None), Some("snp.chain.unknown-issuer"));
    assert_eq!(code(|suite| suite.document.anchors = Some(BTreeMap::new())), Some("snp.root.none"));
    assert_eq!(
        code(|suite| {
            let anchors = suite.document.anchors.as_mut().unwrap();
            let milan = anchors["Milan"].clone();
            anchors.insert("Genoa".to_owned(), milan);
        }),
        Some("snp.root.unusable")
    );
    assert_eq!(
        code(|suite| {
            let set = TpmAnchorFiles { kind: TpmKindName::Hardware, certificates: Vec::new() };
            suite.document.tpm_anchors = Some([("empty".to_owned(), set)].into());
        }),
        Some("tpm.anchor.none")
    );
    // A root that is offered and is not the one that holds is noticed even where nothing is wrong.
    let offered = |suite: &mut Suite| {
        let milan = suite.document.anchors.as_ref().unwrap()["Milan"].ark.clone();
        let case = &mut suite.document.cases[0];
        case.introduction = None;
        case.files.insert("ark".to_owned(), milan);
    };
    assert_eq!(alone(GOOD, offered).code(), Some("case.root"));
}

#[test]
fn without_a_statement_the_same_rules_hold_one_by_one() {
    let without = |name: &str| alone(name, |suite| suite.document.cases[0].introduction = None);
    assert!(without(GOOD).is_valid());
    for (name, code) in [
        ("s6-debug-by-default", "snp.policy.debug"),
        ("s11-crl-revoking-the-issuer", "snp.crl.revoked"),
        ("b11-provider-another", "snp.chip.provider"),
        ("s12-genoa-masked-chip", "snp.chip.masked"),
        ("b4-report-data-zero", "evidence.statement"),
    ] {
        assert_eq!(without(name).code(), Some(code), "{name}");
    }
}

#[test]
fn a_bundle_is_a_directory_with_one_case() {
    let suite = &*CORPUS;
    let case = suite.document.cases.iter().find(|case| case.name == GOOD).unwrap();
    let bundle = Bundle { case: case.clone(), files: suite.files_of(case) };
    let dir = tempfile::tempdir().unwrap();
    bundle.write(dir.path()).unwrap();
    let read = Bundle::read(dir.path()).unwrap();
    assert_eq!(read.files, bundle.files);
    assert_eq!(read.case.policy, bundle.case.policy);
    let mut two = bundle.to_suite();
    two.document.cases.push(two.document.cases[0].clone());
    two.write(dir.path()).unwrap();
    assert!(matches!(Bundle::read(dir.path()), Err(SuiteError::NotABundle { cases: 2, .. })));
}

#[test]
fn a_document_names_no_file_outside_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["../r", "/etc/passwd", "a/../../r", ""] {
        let document = json!({
            "schema": SCHEMA,
            "cases": [{ "name": "a", "kind": "snp-parse", "files": { "report": name }, "expect": "valid" }],
        });
        std::fs::write(dir.path().join(DOCUMENT), document.to_string()).unwrap();
        assert!(matches!(Suite::read(dir.path()), Err(SuiteError::Outside)), "{name}");
    }
    std::fs::write(dir.path().join(DOCUMENT), r#"{"schema": 2, "cases": []}"#).unwrap();
    assert!(matches!(Suite::read(dir.path()), Err(SuiteError::Schema { schema: 2, .. })));
}
