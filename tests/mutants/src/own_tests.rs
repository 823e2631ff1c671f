//! What no case noticed is put to the crate's own tests, only those that come to the place.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use anyhow::{Context, ensure};
use vouchsafe_mutants_switch::{ACTIVE_VAR, RECORD_VAR};

/// Tests that are run at a time; the first that fail end it.
const AT_A_TIME: usize = 16;
/// A defect that makes tests last longer is noticed.
const PATIENCE: Duration = Duration::from_secs(120);

/// A test program and a test in it.
pub type Test = (PathBuf, String);

/// Which tests come to which places.
pub struct Reach(BTreeMap<usize, BTreeSet<Test>>);

impl Reach {
    /// Runs every test once, alone, with nothing in force.
    pub fn measure(programs: &[PathBuf], places: &BTreeSet<usize>, scratch: &Path) -> anyhow::Result<Self> {
        let mut reach: BTreeMap<usize, BTreeSet<Test>> = BTreeMap::new();
        for program in programs {
            for test in list(program)? {
                let record = scratch.join("record");
                if record.exists() {
                    fs::remove_file(&record)?;
                }
                let passed = command(program, &[&test]).env(RECORD_VAR, &record).status()?.success();
                ensure!(passed, "test {test} fails without any defect");
                let marks = fs::read_to_string(&record).unwrap_or_default();
                for place in marks.lines().filter_map(|line| line.parse().ok()) {
                    if places.contains(&place) {
                        reach.entry(place).or_default().insert((program.clone(), test.clone()));
                    }
                }
            }
        }
        Ok(Self(reach))
    }

    /// How many tests come to a place.
    pub fn tests_of(&self, place: usize) -> usize {
        self.0.get(&place).map_or(0, BTreeSet::len)
    }

    /// The tests that notice a defect, if any do: the first group of which one fails.
    pub fn noticed(&self, place: usize) -> anyhow::Result<Option<String>> {
        let Some(tests) = self.0.get(&place) else { return Ok(None) };
        let mut by_program: BTreeMap<&PathBuf, Vec<&String>> = BTreeMap::new();
        for (program, test) in tests {
            by_program.entry(program).or_default().push(test);
        }
        for (program, tests) in by_program {
            for group in tests.chunks(AT_A_TIME) {
                if !passes(program, group, place)? {
                    let names: Vec<&str> = group.iter().map(|test| test.as_str()).collect();
                    return Ok(Some(names.join(" or ")));
                }
            }
        }
        Ok(None)
    }
}

fn list(program: &Path) -> anyhow::Result<Vec<String>> {
    let output =
        command(program, &[""; 0]).args(["--list", "--format", "terse"]).stdout(Stdio::piped()).output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}

fn passes(program: &Path, tests: &[&String], place: usize) -> anyhow::Result<bool> {
    let mut child = command(program, tests).env(ACTIVE_VAR, place.to_string()).spawn()?;
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if started.elapsed() > PATIENCE {
            child.kill().context("a test cannot be ended")?;
            child.wait()?;
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn command(program: &Path, tests: &[impl AsRef<std::ffi::OsStr>]) -> Command {
    let mut command = Command::new(program);
    command.arg("--exact").args(tests).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.env_remove(ACTIVE_VAR).env_remove(RECORD_VAR);
    if let Ok(evidence) = env::var("VOUCHSAFE_EVIDENCE") {
        command.env("VOUCHSAFE_EVIDENCE", evidence);
    }
    command
}
