//! Real evidence, the corpus, and what a runner must never do.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::*;
use crate::schema::SCHEMA;
use crate::test_evidence::evidence;

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
    let suite = corpus::generate(1).unwrap();
    let outcome = check(&suite).unwrap();
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
}
