//! Rules on our own source that no compiler setting states: no unsafe code anywhere, lints everywhere, and a
//! trusted base small enough to be read.

#![expect(clippy::unwrap_used, reason = "test helpers; clippy exempts only the tests themselves")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Largest own code of the enclave, core and runtime, in lines without tests (design section 13).
const ENCLAVE_LINES: usize = 10_000;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Files under version control, or about to be, that match a pattern of git's.
fn tracked(pattern: &str) -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "--", pattern])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let files = String::from_utf8(output.stdout).unwrap();
    files.lines().map(|file| root().join(file)).filter(|file| file.exists()).collect()
}

/// The word stands in code, not in a comment. The lint's own name is another word.
fn has_word(source: &str, word: &str) -> bool {
    let code = source.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code));
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    code.flat_map(|line| line.split(|c| !part_of_word(c))).any(|found| found == word)
}

/// Lines of a file before its tests.
fn production_lines(file: &Path) -> usize {
    let in_tests =
        file.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")));
    if in_tests {
        return 0;
    }
    let source = fs::read_to_string(file).unwrap();
    let mut lines = source.lines().peekable();
    let mut count = 0;
    while let Some(line) = lines.next() {
        // A module of tests ends its file; `mod tests;` only names one.
        if line == "#[cfg(test)]" && lines.peek().is_some_and(|next| next.ends_with('{')) {
            break;
        }
        count += 1;
    }
    count
}

fn lines_of(folder: &str) -> usize {
    tracked(&format!("{folder}/src/*.rs")).iter().map(|file| production_lines(file)).sum()
}

#[test]
fn no_code_is_unsafe() {
    let files = tracked("*.rs");
    assert!(files.len() > 50, "found only {} files", files.len());
    let word = concat!("un", "safe");
    let found: Vec<_> =
        files.iter().filter(|file| has_word(&fs::read_to_string(file).unwrap(), word)).collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn the_search_for_a_word_finds_it() {
    assert!(has_word("let x = un!(a);\nfn f() { un { } }", "un"));
    assert!(!has_word("#![forbid(un_code)] // un", "un"));
}

#[test]
fn every_crate_has_the_workspace_s_lints() {
    for manifest in tracked("*Cargo.toml") {
        let text = fs::read_to_string(&manifest).unwrap();
        let own_workspace = text.contains("[workspace");
        assert!(own_workspace || text.contains("[lints]\nworkspace = true"), "{}", manifest.display());
    }
    let text = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(text.contains(concat!("un", "safe_code = \"forbid\"")));
}

/// Modules and types of the standard library that reach out of the process or read its clock.
const OUTSIDE: [&str; 9] = ["env", "fs", "io", "net", "os", "process", "thread", "Instant", "SystemTime"];

/// Which of [`OUTSIDE`] a source names behind `std::`, in any form of `use` or path.
fn reaches_outside(source: &str) -> Vec<&'static str> {
    let code: String = source.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    // What follows each `std::` up to the end of its statement or path.
    let after = code.split("std::").skip(1).map(|rest| rest.split([';', '(']).next().unwrap_or_default());
    let named: Vec<&str> =
        after.flat_map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_')).collect();
    OUTSIDE.into_iter().filter(|outside| named.contains(outside)).collect()
}

/// The lines of a file before its tests.
fn production(file: &Path) -> String {
    let source = fs::read_to_string(file).unwrap();
    source.lines().take(production_lines(file)).collect::<Vec<_>>().join("\n")
}

/// docs/decisions/0010-collection-is-a-crate.md: what verifies evidence does no input or output, whatever the features.
#[test]
fn attestation_reaches_nothing_outside_its_arguments() {
    let files = tracked("attestation/src/*.rs");
    assert!(files.len() > 30, "found only {} files", files.len());
    let found: Vec<_> = files
        .iter()
        .map(|file| (file, reaches_outside(&production(file))))
        .filter(|(_, outside)| !outside.is_empty())
        .collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn the_search_for_what_reaches_outside_finds_it() {
    assert_eq!(reaches_outside("use std::fs;\n"), ["fs"]);
    assert_eq!(reaches_outside("use std::{\n    collections::BTreeMap,\n    net::TcpStream,\n};\n"), ["net"]);
    assert_eq!(reaches_outside("let now = std::time::SystemTime::now();"), ["SystemTime"]);
    assert_eq!(reaches_outside("fn f(at: std::time::Instant) {}"), ["Instant"]);
    assert!(reaches_outside("use std::collections::BTreeMap;\nlet fs = 1; // std::fs").is_empty());
}

#[test]
fn the_enclave_s_own_code_is_small() {
    let own = ["enclave", "enclave/runtime"].map(|folder| (folder, lines_of(folder)));
    let below = [
        "attestation",
        "attestation/platform",
        "attestation/results",
        "authority",
        "crypto",
        "log",
        "protocol",
    ];
    let below = below.map(|folder| (folder, lines_of(folder)));
    let total = |lines: &[(&str, usize)]| lines.iter().map(|(_, count)| count).sum::<usize>();
    println!("own {own:?}: {}; below it {below:?}: {}", total(&own), total(&below));
    assert!(own.iter().chain(&below).all(|(_, count)| *count > 0));
    assert!(total(&own) <= ENCLAVE_LINES);
}
