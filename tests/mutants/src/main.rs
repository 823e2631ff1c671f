//! `vouchsafe-mutants`: see the library.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use clap::Parser;
use vouchsafe_mutants::accepted::Accepted;
use vouchsafe_mutants::own_tests::Reach;
use vouchsafe_mutants::report::Report;
use vouchsafe_mutants::scratch::{OwnTests, Scratch};
use vouchsafe_mutants::shard::{self, Fate};

/// Removes every check of the verifier, one at a time, and tells which removals no case and no test notices.
#[derive(Parser)]
struct Options {
    /// Root of the workspace.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// Processes.
    #[arg(long, default_value_t = 2)]
    processes: usize,
    /// Seed of the corpus.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Do not put what the cases did not notice to the crate's own tests.
    #[arg(long)]
    cases_only: bool,
    /// Where every defect and its fate is written, as JSON.
    #[arg(long, default_value = "target/mutants/report.json")]
    report: PathBuf,
}

#[expect(clippy::print_stderr, clippy::print_stdout, reason = "a program that reports on standard output")]
fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let root = options.root.canonicalize().context("there is no such directory")?;
    eprintln!("building a copy with a switch at every check");
    let own_tests = if options.cases_only { OwnTests::Left } else { OwnTests::Run };
    let built = Scratch::of(&root).build(own_tests)?;
    eprintln!("{} defects", built.mutants.len());

    let mut fates = BTreeMap::new();
    let mut arguments = vec!["--seed".to_owned(), options.seed.to_string()];
    let evidence =
        env::var_os("VOUCHSAFE_EVIDENCE").map_or_else(|| root.join("../shared/evidence"), PathBuf::from);
    if evidence.join("cases.json").is_file() {
        arguments.extend(["--evidence".to_owned(), evidence.display().to_string()]);
    } else {
        eprintln!("SKIPPED: no directory of real evidence beside the checkout");
    }
    shard::run(
        &built.runner,
        options.processes,
        &arguments,
        |place, fate| {
            fates.insert(place, fate);
            if fates.len().is_multiple_of(100) {
                eprintln!("{} put to the cases", fates.len());
            }
        },
        |note| eprintln!("{note}"),
    )?;
    for mutant in &built.mutants {
        fates.entry(mutant.id).or_insert(Fate::Unnoticed { reached_by: 0 });
    }
    let write = |report: &Report| -> anyhow::Result<()> {
        Ok(serde_json::to_writer_pretty(File::create(root.join(&options.report))?, report)?)
    };
    write(&Report::new(built.mutants.clone(), fates.clone(), built.not_built))?;
    if own_tests == OwnTests::Run {
        put_to_tests(&built.tests, options.processes, &mut fates, &root)?;
    }

    let report = Report::new(built.mutants, fates, built.not_built);
    let accepted = Accepted::read(&fs::read_to_string(root.join("docs/MUTANTS.md")).unwrap_or_default());
    write(&report)?;
    print!("{}", report.text(&accepted));
    Ok(if report.open(&accepted).is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[expect(clippy::print_stderr, reason = "a program that reports")]
fn put_to_tests(
    programs: &[PathBuf],
    processes: usize,
    fates: &mut BTreeMap<usize, Fate>,
    root: &Path,
) -> anyhow::Result<()> {
    let unnoticed = |fate: &Fate| matches!(fate, Fate::Unnoticed { .. });
    let places: BTreeSet<usize> =
        fates.iter().filter(|(_, fate)| unnoticed(fate)).map(|(place, _)| *place).collect();
    eprintln!("{} noticed by no case; running the crate's own tests", places.len());
    let reach = Reach::measure(programs, processes, &root.join("target/mutants"))?;
    for note in &reach.left_out {
        eprintln!("{note}");
    }
    let done = AtomicUsize::new(0);
    let noticed = reach.noticed(places.into_iter().collect(), processes, |_| {
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if done.is_multiple_of(100) {
            eprintln!("{done} put to the tests");
        }
    })?;
    for (place, by) in noticed {
        let Some(fate) = fates.get_mut(&place) else { continue };
        match (by, fate) {
            (Some(by), fate) => *fate = Fate::NoticedByTest { by },
            (None, Fate::Unnoticed { reached_by }) => *reached_by += reach.tests_of(place),
            (None, _) => {}
        }
    }
    Ok(())
}
