//! `crash [CYCLES] [SEED]`: kill -9 of enclave, host or both under 16 writers, and nothing acknowledged is lost.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::io::IsTerminal;
use std::time::Instant;

use anyhow::Context;
use rand::Rng;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let cycles: u64 =
        arguments.next().map_or(Ok(60), |text| text.parse()).context("usage: crash [CYCLES] [SEED]")?;
    let seed: u64 = match arguments.next() {
        Some(text) => text.parse().context("usage: crash [CYCLES] [SEED]")?,
        None => rand::rng().random(),
    };
    let dir = tempfile::tempdir()?;
    println!("{cycles} kills under {} writers, seed {seed}", vouchsafe_tests::crash::WRITERS);
    let begin = Instant::now();
    let live = std::io::stderr().is_terminal();
    let tally = vouchsafe_tests::crash::run(dir.path(), cycles, seed, |cycle, acknowledged| {
        if live {
            eprint!("\r{cycle} of {cycles} kills, {acknowledged} writes acknowledged ");
        }
    })
    .await;
    if live {
        eprintln!();
    }
    let tally = tally.inspect_err(|_| {
        let kept = dir.keep();
        eprintln!("state and logs are kept in {}", kept.display());
    });
    let tally = tally?;
    println!(
        "{} kills, {} acknowledged writes all there and whole, tree of {} leaves verified, {:.0} s",
        tally.cycles,
        tally.acknowledged,
        tally.leaves,
        begin.elapsed().as_secs_f64()
    );
    Ok(())
}
