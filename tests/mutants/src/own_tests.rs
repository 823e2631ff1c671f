//! What no case noticed is put to the crate's own tests, only those that come to the place, the narrowest first.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use vouchsafe_mutants_switch::{ACTIVE_VAR, RECORD_VAR};
use wait_timeout::ChildExt as _;

/// Tests of one program in the first process, in the second, and so on: then all that are left. What tests share is made
/// once for each process.
const GROUPS: [usize; 2] = [8, 40];
/// A defect that makes tests last longer is noticed.
const PATIENCE: Duration = Duration::from_secs(120);
/// A test that takes longer, by itself and without any defect, is left out.
const LONGEST: Duration = Duration::from_secs(8);

/// A test.
struct Test {
    program: PathBuf,
    name: String,
    takes: Duration,
    places: BTreeSet<usize>,
}

/// Which tests come to which places; those that come to few places first.
pub struct Reach {
    tests: Vec<Test>,
    /// Tests that are not run, and why.
    pub left_out: Vec<String>,
}

impl Reach {
    /// Runs every test once, alone, with nothing in force, in so many processes at a time.
    pub fn measure(programs: &[PathBuf], processes: usize, scratch: &Path) -> anyhow::Result<Self> {
        let mut waiting = Vec::new();
        for program in programs {
            waiting.extend(list(program)?.into_iter().map(|test| (program.clone(), test)));
        }
        let measured = in_parallel(waiting, processes, |(program, name), process| {
            let record = scratch.join(format!("record-{process}"));
            if record.exists() {
                fs::remove_file(&record)?;
            }
            let started = Instant::now();
            let mut once = command(&program, &[&name]);
            let passed = passes(once.env(RECORD_VAR, &record).env(ACTIVE_VAR, "0"), LONGEST)?;
            let takes = started.elapsed();
            let marks = fs::read_to_string(&record).unwrap_or_default();
            let places = marks.lines().filter_map(|line| line.parse().ok()).collect();
            Ok((passed, Test { program, name, takes, places }))
        })?;
        let (tests, failed): (Vec<_>, Vec<_>) = measured.into_iter().partition(|(passed, _)| *passed);
        let mut tests: Vec<Test> = tests.into_iter().map(|(_, test)| test).collect();
        tests.sort_by_key(|test| (test.places.len(), test.takes));
        let left_out = failed
            .into_iter()
            .map(|(_, test)| format!("{} fails without any defect or takes too long, left out", test.name));
        Ok(Self { tests, left_out: left_out.collect() })
    }

    /// How many tests come to a place.
    pub fn tests_of(&self, place: usize) -> usize {
        self.tests.iter().filter(|test| test.places.contains(&place)).count()
    }

    /// The tests that notice each defect, if any do: the first group of which one fails.
    pub fn noticed(
        &self,
        places: Vec<usize>,
        processes: usize,
        tell: impl Fn(usize) + Sync,
    ) -> anyhow::Result<Vec<(usize, Option<String>)>> {
        in_parallel(places, processes, |place, _| {
            let by = self.noticed_by(place)?;
            tell(place);
            Ok((place, by))
        })
    }

    fn noticed_by(&self, place: usize) -> anyhow::Result<Option<String>> {
        for group in self.groups(place) {
            let names: Vec<&str> = group.iter().map(|test| test.name.as_str()).collect();
            let Some(first) = group.first() else { continue };
            let mut with = command(&first.program, &names);
            if !passes(with.env(ACTIVE_VAR, place.to_string()), PATIENCE)? {
                return Ok(Some(names.join(" or ")));
            }
        }
        Ok(None)
    }

    /// The tests that come to a place, by program and not too many at a time; those that come to few places first.
    fn groups(&self, place: usize) -> Vec<Vec<&Test>> {
        let mut by_program: BTreeMap<&PathBuf, Vec<&Test>> = BTreeMap::new();
        for test in self.tests.iter().filter(|test| test.places.contains(&place)) {
            by_program.entry(&test.program).or_default().push(test);
        }
        let mut groups = Vec::new();
        for mut left in by_program.into_values() {
            for size in GROUPS {
                let later = left.split_off(size.min(left.len()));
                groups.push(std::mem::replace(&mut left, later));
            }
            groups.push(left);
        }
        groups.retain(|group| !group.is_empty());
        groups.sort_by_key(|group| group.iter().map(|test| test.takes).sum::<Duration>());
        groups
    }
}

/// Does the work in several threads, in any order.
fn in_parallel<I: Send, O: Send>(
    items: Vec<I>,
    threads: usize,
    work: impl Fn(I, usize) -> anyhow::Result<O> + Sync,
) -> anyhow::Result<Vec<O>> {
    let waiting = Mutex::new(items);
    let next = || waiting.lock().ok().and_then(|mut items| items.pop());
    let one = |thread: usize| -> anyhow::Result<Vec<O>> {
        let mut done = Vec::new();
        while let Some(item) = next() {
            done.push(work(item, thread)?);
        }
        Ok(done)
    };
    thread::scope(|scope| {
        let one = &one;
        let running: Vec<_> = (0..threads).map(|number| scope.spawn(move || one(number))).collect();
        let mut done = Vec::new();
        for thread in running {
            done.extend(thread.join().ok().context("a thread ended early")??);
        }
        Ok(done)
    })
}

fn list(program: &Path) -> anyhow::Result<Vec<String>> {
    let output =
        command(program, &[""; 0]).args(["--list", "--format", "terse"]).stdout(Stdio::piped()).output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}

fn passes(command: &mut Command, patience: Duration) -> anyhow::Result<bool> {
    let mut child = command.spawn().context("a test cannot be started")?;
    if let Some(status) = child.wait_timeout(patience)? {
        return Ok(status.success());
    }
    child.kill().context("a test cannot be ended")?;
    child.wait()?;
    Ok(false)
}

fn command(program: &Path, tests: &[impl AsRef<std::ffi::OsStr>]) -> Command {
    let mut command = Command::new(program);
    command.args(["--exact", "--test-threads=1"]).args(tests);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.env_remove(ACTIVE_VAR).env_remove(RECORD_VAR);
    command
}
