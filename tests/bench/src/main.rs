//! `vouchsafe-bench`: measures a vault, each figure beside the limit of its primitive in the same run.
//!
//! Absolute times on shared machines do not last; ratios do. What a single core does is timed in processor time
//! of its thread; what real processes do together is timed by the wall, the figure and its primitive in turns.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use vouchsafe_protocol::policy::Product;
use vouchsafe_simulation::SimulatedChip;

use crate::evidence::Snp;
use crate::report::Row;

mod clock;
mod cold;
mod compare;
mod core;
mod echo;
mod evidence;
mod leases;
mod load;
mod openbao;
mod report;
mod sessions;
mod tpm;

/// Measures a vault on this machine: enclave (simulated platform), host and load generator in processes of
/// their own. Prints a table, and on standard error what it is doing.
#[derive(Parser)]
#[command(name = "vouchsafe-bench", version)]
struct Options {
    /// Small numbers and short rounds: shows that everything runs, says little about speed.
    #[arg(long)]
    quick: bool,
    /// What to measure; all without it.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Numbers of sessions to read and write with.
    #[arg(long, value_delimiter = ',', value_name = "N")]
    sessions: Vec<usize>,
    /// How many secrets to come back with and to list.
    #[arg(long, value_name = "N")]
    secrets: Option<usize>,
    /// Measure beside this OpenBao, and nothing else: see scripts/bench-openbao.
    #[arg(long, value_name = "PROGRAM", conflicts_with_all = ["only", "sessions"])]
    openbao: Option<PathBuf>,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Json,
    Table,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Evidence verified and junk refused.
    Evidence,
    /// Introductions.
    Introduction,
    /// Encrypting and signing.
    Keys,
    /// Many leases: memory, restart, and their end by one decision.
    Leases,
    /// Pages of names.
    List,
    /// Reads and writes.
    Sessions,
    /// Coming back with many secrets, and memory.
    Cold,
}

/// How much of everything.
struct Extent {
    /// Time for a figure of one core and its primitive.
    budget: Duration,
    introductions: usize,
    /// Time of one round of load.
    round: Duration,
    rounds: usize,
    sessions: Vec<usize>,
    secrets: usize,
    leases: usize,
    idle_sessions: usize,
}

/// What the documents quote.
fn full() -> Extent {
    Extent {
        budget: Duration::from_secs(4),
        introductions: 500,
        round: Duration::from_secs(3),
        rounds: 5,
        sessions: vec![1, 16, 64],
        secrets: 100_000,
        leases: 1_000_000,
        idle_sessions: 500,
    }
}

/// Enough to show that everything runs.
fn quick() -> Extent {
    Extent {
        budget: Duration::from_millis(200),
        introductions: 20,
        round: Duration::from_millis(300),
        rounds: 1,
        sessions: vec![1, 8],
        secrets: 2_000,
        leases: 20_000,
        idle_sessions: 20,
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("no runtime")
        .and_then(|runtime| runtime.block_on(run(&options)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("vouchsafe-bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> anyhow::Result<()> {
    let mut extent = if options.quick { quick() } else { full() };
    if !options.sessions.is_empty() {
        extent.sessions.clone_from(&options.sessions);
    }
    extent.secrets = options.secrets.unwrap_or(extent.secrets);
    let wanted = |part| match options.openbao {
        Some(_) => false,
        None => options.only.is_empty() || options.only.contains(&part),
    };
    let mut rows: Vec<Row> = Vec::new();
    if let Some(program) = &options.openbao {
        rows.extend(compare::measure(program, &extent).await?);
    }
    if wanted(Part::Evidence) || wanted(Part::Introduction) || wanted(Part::Keys) {
        say("making a simulated chip");
        let snp = Snp::new(SimulatedChip::generate(Product::Genoa)?)?;
        if wanted(Part::Evidence) {
            say("verifying evidence");
            rows.extend(evidence::measure(&snp, extent.budget)?);
        }
        if wanted(Part::Introduction) {
            say("introducing agents");
            let server = core::measure(&snp, extent.introductions)?;
            let seen = sessions::introductions(extent.introductions).await?;
            let client = core::client_seen(seen, &server)?;
            rows.extend([server, client]);
        }
        if wanted(Part::Keys) {
            say("encrypting and signing");
            rows.extend(core::keys::measure(&snp, 4 * extent.introductions)?);
        }
    }
    if wanted(Part::Sessions) {
        rows.extend(sessions::measure(&extent).await?);
    }
    if wanted(Part::List) {
        say("listing");
        let snp = Snp::new(SimulatedChip::generate(Product::Genoa)?)?;
        rows.push(core::pages(&snp, extent.secrets)?);
    }
    if wanted(Part::Leases) {
        rows.extend(leases::measure(extent.leases)?);
    }
    if wanted(Part::Cold) {
        rows.extend(cold::measure(&extent).await?);
    }
    let text = match options.output {
        Output::Json => serde_json::to_string_pretty(&rows)? + "\n",
        Output::Table => report::table(&rows),
    };
    std::io::stdout().write_all(text.as_bytes()).context("standard output")
}

/// What goes on, for whoever waits.
fn say(text: &str) {
    // Nobody to tell if standard error is gone.
    writeln!(std::io::stderr(), "{text}").unwrap_or_default();
}
