//! The rules on SNP reports against an oracle: `oracle/appraise.py`, a second implementation in another language, written
//! from AMD's tables. For each of many policies a report is made that it accepts; then every field that a bound applies
//! to is set one below, at and one above it, alone and in pairs. Both must agree: on accepted or refused, on the
//! warnings, and on the code.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "test helpers; clippy exempts only the tests themselves"
)]

#[path = "oracle/fields.rs"]
mod fields;
#[path = "oracle/generate.rs"]
mod generate;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::json;
use vouchsafe_attestation::snp::report::{Report, ReportError};
use vouchsafe_attestation::snp::rules::{Claimed, Warning, check};
use vouchsafe_attestation::snp::verify::SnpError;

use generate::{Case, Edit, Question};

/// Policies; each gives rise to about two hundred questions.
const POLICIES: usize = 600;
/// Questions that the issue asks for.
const QUESTIONS: usize = 100_000;
/// Questions with two changes at once, for each policy.
const PAIRS: usize = 24;

#[test]
fn s5_s6_s7_s9_the_rules_and_the_oracle_agree_on_100_000_questions() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/appraise.py");
    let Ok(mut oracle) =
        Command::new("python3").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
    else {
        eprintln!("SKIPPED: there is no python3 to run the oracle with");
        return;
    };
    let mut to_oracle = BufWriter::new(oracle.stdin.take().unwrap());
    let from_oracle = BufReader::new(oracle.stdout.take().unwrap());

    // Both directions at once, or the pipes fill up.
    let ours = thread::spawn(move || {
        let mut answers = Vec::new();
        for seed in 0..POLICIES {
            let mut random = StdRng::seed_from_u64(u64::try_from(seed).unwrap());
            let case = Case::random(&mut random);
            writeln!(to_oracle, "{}", json!({ "policy": case.accept })).unwrap();
            writeln!(to_oracle, "{}", json!({ "report": hex::encode(&case.report) })).unwrap();
            for question in questions(&case, &mut random) {
                writeln!(to_oracle, "{}", question.to_json()).unwrap();
                answers.push((seed, answer(&case, &question), question));
            }
        }
        answers
    });
    let theirs: Vec<String> = from_oracle.lines().map(Result::unwrap).collect();
    let ours = ours.join().unwrap();
    assert!(oracle.wait().unwrap().success());

    assert_eq!(ours.len(), theirs.len());
    eprintln!("{} questions", ours.len());
    assert!(ours.len() >= QUESTIONS, "only {} questions", ours.len());
    let mut codes: BTreeMap<&str, usize> = BTreeMap::new();
    for ((seed, ours, question), theirs) in ours.iter().zip(&theirs) {
        // Where one step has several rules, the oracle names all that are broken.
        let agree =
            ours == theirs || (!ours.starts_with("accepted") && theirs.split(' ').any(|code| code == ours));
        assert!(agree, "policy {seed}, {question:?}: ours {ours}, the oracle's {theirs}");
        *codes.entry(ours).or_default() += 1;
    }
    // No rule may be out of reach of the questions.
    for code in EVERY_CODE {
        assert!(codes.get(code).is_some_and(|count| *count >= 20), "too few questions for {code}: {codes:?}");
    }
}

/// Every verdict that a report by itself can lead to.
const EVERY_CODE: [&str; 43] = [
    "accepted",
    "accepted reference-value",
    "accepted reference-value tcb-floor",
    "accepted tcb-floor",
    "snp.chip.masked",
    "snp.chip.no-provider",
    "snp.chip.not-listed",
    "snp.chip.provider",
    "snp.chip.vlek",
    "snp.family-id",
    "snp.guest-svn",
    "snp.host-data",
    "snp.id-block.author-key",
    "snp.id-block.id-key",
    "snp.image-id",
    "snp.measurement",
    "snp.measurement.expired",
    "snp.mitigations",
    "snp.mitigations.none",
    "snp.platform-info",
    "snp.platform-info.unknown",
    "snp.policy.abi",
    "snp.policy.bit",
    "snp.policy.debug",
    "snp.policy.migration-agent",
    "snp.policy.must-be-one",
    "snp.product",
    "snp.report-id",
    "snp.report-id-ma",
    "snp.report-version",
    "snp.report.algorithm",
    "snp.report.masked-key",
    "snp.report.signature-range",
    "snp.report.signature-reserved",
    "snp.report.signing-key",
    "snp.report.version",
    "snp.reserved",
    "snp.tcb.floor",
    "snp.tcb.no-floor",
    "snp.tcb.order",
    "snp.tcb.provisional",
    "snp.vmpl",
    "snp.vmpl.host",
];

fn answer(case: &Case, question: &Question) -> String {
    let mut report = case.report.clone();
    for Edit { offset, bytes } in &question.edits {
        report[*offset..*offset + bytes.len()].copy_from_slice(bytes);
    }
    let code = |error: ReportError| SnpError::Report(error).code().to_owned();
    let report = match Report::parse(&report) {
        Ok(report) => report,
        Err(error) => return code(error),
    };
    let claimed = Claimed { report: &report, product: question.product, provider: question.provider };
    match check(claimed, &case.accept, question.now) {
        Ok(warnings) => {
            let name = |warning: &Warning| match warning {
                Warning::ReferenceValue => "reference-value",
                Warning::TcbFloor => "tcb-floor",
            };
            let mut words: Vec<&str> = warnings.iter().map(name).collect();
            words.sort_unstable();
            words.insert(0, "accepted");
            words.join(" ")
        }
        Err(error) => error.code().to_owned(),
    }
}

/// The report as it is; every change alone; some in pairs.
fn questions(case: &Case, random: &mut StdRng) -> Vec<Question> {
    let single = case.changes();
    let mut questions = vec![case.as_it_is()];
    questions.extend(single.iter().cloned());
    for _ in 0..PAIRS {
        let (Some(first), Some(second)) = (single.choose(random), single.choose(random)) else { continue };
        let mut both = first.clone();
        both.edits.extend(second.edits.iter().cloned());
        if random.random() {
            both.now = second.now;
            both.product = second.product;
            both.provider = second.provider;
        }
        questions.push(both);
    }
    questions
}
