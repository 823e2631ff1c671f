//! The documents keep their promises: `docs/THREAT-MODEL.md` has every attack once, and each test it names is there;
//! `docs/KEYS.md` has every label.

#![expect(clippy::unwrap_used, reason = "test helpers; clippy exempts only the tests themselves")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Groups of attacks and how many each has.
const GROUPS: [(char, u32); 6] = [('F', 10), ('B', 11), ('S', 16), ('T', 17), ('H', 10), ('V', 13)];
/// Attacks that the founding slice must have a test for.
const REQUIRED: &str = "F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 B1 B2 B3 B4 B5 B6 B7 B8 B9 B11 S1 S2 S3 S4 S5 S6 S7 S10 S12 \
                        S13 S14 S15 S16 T1 T2 T3 T4 T5 T9 T10 T12 T16 H1 H2 H4 H5 H6 H7 H9 H10 V1 V2 V3 V4 V6 V7 V8 V9 V10 V12";
/// How a row begins to say what is not covered; a reason follows.
const NOT_YET: &str = "not yet: ";
/// Shortest text that is a reason, in characters.
const REASON_LEN: usize = 20;
/// Lines between the attribute of a test and its function, at most.
const ATTRIBUTE_LINES: usize = 4;

/// One attack and what covers it.
struct Row {
    id: String,
    tests: Vec<String>,
    reason: Option<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The rows of all tables whose first cell is an id.
fn rows() -> Vec<Row> {
    let text = fs::read_to_string(root().join("docs/THREAT-MODEL.md")).unwrap();
    text.lines().filter_map(parse).collect()
}

fn parse(line: &str) -> Option<Row> {
    let cells: Vec<_> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
    let (id, cover) = (*cells.first()?, *cells.last()?);
    let number = id.strip_prefix(|letter| GROUPS.iter().any(|(group, _)| *group == letter))?;
    number.parse::<u32>().ok()?;
    let (tests, reason) = match cover.split_once(NOT_YET) {
        Some((tests, reason)) => (tests, Some(reason.to_owned())),
        None => (cover, None),
    };
    let tests = tests.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    Some(Row { id: id.to_owned(), tests, reason })
}

/// Names of all test functions in the sources.
fn test_functions() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for source in sources() {
        let lines: Vec<_> = source.lines().map(str::trim).collect();
        for (number, line) in lines.iter().enumerate() {
            let name = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
            let Some((name, _)) = name.and_then(|rest| rest.split_once('(')) else { continue };
            let before = lines.get(number.saturating_sub(ATTRIBUTE_LINES)..number).unwrap();
            // Attributes of the function before it end with its body.
            let own = before.iter().rev().take_while(|line| !line.ends_with('}'));
            if own.into_iter().any(|line| line.starts_with("#[") && line.contains("test")) {
                found.insert(name.to_owned());
            }
        }
    }
    found
}

/// Rust sources under version control, or about to be.
fn sources() -> Vec<String> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "--", "*.rs"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let files = String::from_utf8(output.stdout).unwrap();
    let files = files.lines().map(|file| root().join(file)).filter(|file| file.exists());
    files.map(|file| fs::read_to_string(file).unwrap()).collect()
}

/// Whether a test's name says that it is about an attack: `s6` is a part of `s6_debug_policy_is_refused`.
fn names(test: &str, id: &str) -> bool {
    test.split('_').any(|part| part == id.to_lowercase())
}

#[test]
fn every_attack_has_exactly_one_row() {
    let mut count = BTreeMap::new();
    rows().into_iter().for_each(|row| *count.entry(row.id).or_insert(0) += 1);
    for (group, last) in GROUPS {
        for number in 1..=last {
            let id = format!("{group}{number}");
            assert_eq!(count.remove(&id), Some(1), "rows of {id}");
        }
    }
    assert!(count.is_empty(), "no such attacks: {count:?}");
}

#[test]
fn every_row_names_tests_that_exist_and_name_the_attack_or_says_why_not() {
    let existing = test_functions();
    assert!(existing.len() > 200, "found only {} tests", existing.len());
    let mut wrong = Vec::new();
    for Row { id, tests, reason } in rows() {
        for test in tests.iter().filter(|test| !existing.contains(*test)) {
            wrong.push(format!("{id}: there is no test {test}"));
        }
        if !tests.is_empty() && !tests.iter().any(|test| names(test, &id)) {
            wrong.push(format!("{id}: none of its tests says {id} in its name"));
        }
        match reason {
            Some(reason) if reason.chars().count() < REASON_LEN => {
                wrong.push(format!("{id}: '{reason}' is no reason"));
            }
            None if tests.is_empty() => {
                wrong.push(format!("{id}: neither a test nor 'not yet: ' and a reason"))
            }
            Some(_) | None => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_required_attack_has_a_test() {
    let covered: BTreeSet<_> =
        rows().into_iter().filter(|row| !row.tests.is_empty()).map(|row| row.id).collect();
    let missing: Vec<_> = REQUIRED.split_whitespace().filter(|id| !covered.contains(*id)).collect();
    assert!(missing.is_empty(), "no test for {}", missing.join(", "));
}

/// A test that says an id in its name belongs into that row, or the table is out of date.
#[test]
fn every_attack_that_tests_name_is_not_called_uncovered() {
    let existing = test_functions();
    let mut stale = Vec::new();
    for Row { id, tests, .. } in rows() {
        if tests.is_empty() {
            stale.extend(existing.iter().filter(|test| names(test, &id)).map(|test| format!("{id}: {test}")));
        }
    }
    assert!(stale.is_empty(), "{}", stale.join("\n"));
}

#[test]
fn a_row_is_read_as_it_is_meant() {
    let row = parse("| S8 | what | `s8_a`, `s8_b`; not yet: the rest of it, because of hardware |").unwrap();
    assert_eq!((row.id.as_str(), row.tests.len()), ("S8", 2));
    assert_eq!(row.reason.unwrap(), "the rest of it, because of hardware");
    let others = ["| SEV | what | `x` |", "| id | what | test |", "S8 is text"];
    assert!(others.into_iter().all(|line| parse(line).is_none()));
}

/// Every label in code is listed, so that two uses of one are noticed.
#[test]
fn every_label_is_in_the_list_of_keys() {
    let keys = fs::read_to_string(root().join("docs/KEYS.md")).unwrap();
    let prefix = concat!("\"vouchsafe", "/1/");
    let mut missing = BTreeSet::new();
    for source in sources() {
        for line in source.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
            for rest in line.split(prefix).skip(1) {
                let (label, _) = rest.split_once(['"', '\\']).unwrap();
                let listed = format!("`{}{label}`", prefix.trim_matches('"'));
                if !keys.contains(&listed) {
                    missing.insert(listed);
                }
            }
        }
    }
    assert!(missing.is_empty(), "docs/KEYS.md does not have {missing:?}");
}
