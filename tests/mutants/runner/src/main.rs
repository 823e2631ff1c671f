//! Puts one planted defect after another to the cases: the corpus of bad evidence, and real evidence where there is some.
//!
//! Built against the rewritten copy of the verifier, it tells `vouchsafe-mutants` on standard output what each defect
//! did. Built against the verifier as it is, there is nothing to switch, and every defect goes unnoticed.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use vouchsafe_evidence::schema::Files;
use vouchsafe_evidence::{Case, Expect, Runner, Suite, Verdict, corpus};
use vouchsafe_mutants::shard::Told;
use vouchsafe_mutants_switch as switch;

/// Cases between two signs of life.
const ALIVE: usize = 32;

/// Puts one planted defect after another to the cases.
#[derive(Parser)]
struct Options {
    /// Which share of the defects, from 0.
    #[arg(long)]
    share: usize,
    /// How many shares.
    #[arg(long)]
    shares: usize,
    /// First defect.
    #[arg(long)]
    from: usize,
    /// Seed of the corpus.
    #[arg(long)]
    seed: u64,
    /// Directory of real evidence.
    #[arg(long)]
    evidence: Option<PathBuf>,
    /// Only this defect, with every case that notices it.
    #[arg(long)]
    only: Option<usize>,
}

/// A case or mutation, ready to be run.
struct Item<'a> {
    name: String,
    suite: &'a Suite,
    case: &'a Case,
    files: Files,
    expect: Expect,
    code: Option<&'a str>,
}

impl Item<'_> {
    /// Whether the verdict is the expected one. A defect that makes the verifier panic is noticed.
    ///
    /// Anchors are read again for each case: reading them is part of what may have a defect.
    fn holds(&self) -> bool {
        let run = || Runner::new(self.suite).run_with(self.case, &self.files);
        let verdict = panic::catch_unwind(AssertUnwindSafe(run));
        match (verdict, self.expect) {
            (Ok(Verdict::Valid { .. }), Expect::Valid) => true,
            (Ok(Verdict::Invalid(refusal)), Expect::Invalid) => {
                self.code.is_none_or(|code| code == refusal.code)
            }
            _ => false,
        }
    }
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    // Panics are expected, and thousands of them.
    panic::set_hook(Box::new(|_| {}));
    switch::deactivate();
    let mut suites = vec![corpus::generate(options.seed).context("the corpus cannot be made")?];
    if let Some(dir) = &options.evidence {
        suites.push(Suite::read(dir)?);
    }
    let items: Vec<Item<'_>> = suites.iter().flat_map(items_of).collect();

    let mut failing = Vec::new();
    let mut reached_by: BTreeMap<usize, Vec<&Item<'_>>> = BTreeMap::new();
    for item in &items {
        let mut holds = false;
        let reached = switch::record(|| holds = item.holds());
        if !holds {
            failing.push(item.name.clone());
            continue;
        }
        for place in reached {
            reached_by.entry(place).or_default().push(item);
        }
    }
    tell(&Told::Ready { cases: items.len() - failing.len(), failing })?;
    if let Some(place) = options.only {
        for item in reached_by.get(&place).into_iter().flatten() {
            if !holds_with(item, place) {
                tell(&Told::Noticed { place, by: item.name.clone() })?;
            }
        }
        return tell(&Told::Done);
    }
    let mine = |place: usize| place >= options.from && place % options.shares == options.share;
    for (place, items) in reached_by.into_iter().filter(|(place, _)| mine(*place)) {
        tell(&Told::Begin { place })?;
        // The last case that comes to a place is often the one that is about it.
        let mut noticed = None;
        for (number, item) in items.iter().rev().enumerate() {
            // Many cases may take longer together than one may take.
            if number % ALIVE == ALIVE - 1 {
                tell(&Told::Alive)?;
            }
            if !holds_with(item, place) {
                noticed = Some(item);
                break;
            }
        }
        match noticed {
            Some(item) => tell(&Told::Noticed { place, by: item.name.clone() })?,
            None => tell(&Told::Unnoticed { place, cases: items.len() })?,
        }
    }
    tell(&Told::Done)
}

fn holds_with(item: &Item<'_>, place: usize) -> bool {
    switch::activate(place);
    let holds = item.holds();
    switch::deactivate();
    holds
}

/// Cases and mutations. A mutation that does not apply is left out: `evidence check` tells of it.
fn items_of(suite: &Suite) -> Vec<Item<'_>> {
    let cases = suite.document.cases.iter().map(|case| Item {
        name: case.name.clone(),
        suite,
        case,
        files: suite.files_of(case),
        expect: case.expect,
        code: case.code.as_deref(),
    });
    let mutations = suite.document.mutations.iter().filter_map(|mutation| {
        let case = suite.document.cases.iter().find(|case| case.name == mutation.base)?;
        let mut files = suite.files_of(case);
        mutation.apply(&mut files).ok()?;
        let code = mutation.code.as_deref();
        Some(Item { name: mutation.name.clone(), suite, case, files, expect: mutation.expect, code })
    });
    cases.chain(mutations).collect()
}

fn tell(told: &Told) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    serde_json::to_writer(&mut output, told)?;
    output.write_all(b"\n")?;
    output.flush().context("nobody listens")
}
