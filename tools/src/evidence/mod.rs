//! `vouchsafe evidence`: look at evidence, verify it, measure launches, and write a corpus of bad evidence. A thin
//! command line over `vouchsafe-evidence`, whose verdicts are those of the vault's own verifier.

mod check;
mod collect;
mod corpus;
mod inspect;
mod measure;
#[cfg(test)]
mod tests;
mod verify;
mod words;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use vouchsafe_evidence::suite::read_file as read;
use vouchsafe_evidence::{Suite, check as run_all};

use crate::failure::Problem;

pub use collect::CollectArgs;
pub use measure::{MeasureCommand, SnpArgs};
pub use verify::VerifyArgs;

/// Subcommands of `vouchsafe evidence`.
#[derive(Clone, Debug, Subcommand)]
pub enum EvidenceCommand {
    /// Check the cases of a directory with the vault's own verifier, and compare verdicts.
    ///
    /// Exits with 1 if any verdict differs from the expected one, or refuses by another rule than the case names, or
    /// if there is no case that this version verifies.
    #[command(after_help = "Example:\n  vouchsafe evidence check ../shared/evidence")]
    Check {
        /// A directory with a `cases.json`.
        #[arg(value_name = "DIR")]
        cases: PathBuf,
    },
    /// Collect all that this machine can show, and write it as a bundle.
    Collect(CollectArgs),
    /// Write a corpus of bad evidence, with good evidence among it, for any verifier to be tried on.
    ///
    /// Everything is made from this project's own test PKI and the seed: the same seed gives the same bytes. The
    /// README.md in the directory says what the cases mean.
    #[command(
        after_help = "Example:\n  vouchsafe evidence corpus /tmp/corpus && vouchsafe evidence check /tmp/corpus"
    )]
    Corpus {
        /// Directory to write; made if it is not there.
        dir: PathBuf,
        /// Seed of all keys
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Show what evidence says: which machine it is, what is old, what is missing, and every field.
    ///
    /// Believes nothing and verifies nothing: it shows what the bytes say. Exits with 0 if it could be read, 1 if not.
    #[command(
        after_help = "Examples:\n  vouchsafe evidence inspect report.bin\n  vouchsafe evidence inspect bundle/"
    )]
    Inspect {
        /// A report, quote, signature, certificate, revocation list, log or HCL report (told from its bytes), or the
        /// directory of a bundle.
        path: PathBuf,
        /// Judge ages at this time instead of now, RFC 3339
        #[arg(long)]
        at: Option<String>,
    },
    /// Compute what a guest will report, before it is launched
    #[command(
        subcommand,
        after_help = "Example:\n  vouchsafe evidence measure snp --ovmf OVMF.amdsev.fd --kernel vmlinuz --initrd \
                      initrd.img --append 'console=ttyS0' --vcpus 4 --vcpu-type EPYC-Milan"
    )]
    Measure(MeasureCommand),
    /// Verify one piece of evidence, or a bundle.
    ///
    /// Exits with 0 if it is accepted, 1 if it is refused, 2 if it cannot be read.
    #[command(
        after_help = "Examples:\n  vouchsafe evidence verify bundle/\n  vouchsafe evidence verify bundle/ --policy \
                      role.toml --role billing"
    )]
    Verify(VerifyArgs),
}

impl EvidenceCommand {
    /// Runs the command, prints to `out` (one JSON document if `json`), and returns the exit code: 0 done, 1 a
    /// verdict differs or refuses, 3 a bundle lacks something that a verifier needs.
    ///
    /// # Errors
    /// A file that cannot be read, is not of the schema, or is nothing that can be shown.
    pub fn run(self, json: bool, out: &mut dyn Write) -> anyhow::Result<u8> {
        match self {
            Self::Check { cases } => {
                let outcome = run_all(&suite(&cases)?)?;
                print(json, out, &serde_json::to_value(&outcome)?, |out| check::write(&outcome, out))?;
                // Nothing that was verified is no agreement.
                Ok(u8::from(outcome.summary.different > 0 || outcome.summary.agreed == 0))
            }
            Self::Collect(args) => {
                let report = args.collect()?;
                print(json, out, &report.to_json(), |out| report.write(out))?;
                Ok(report.exit_code())
            }
            Self::Corpus { dir, seed } => {
                let written = corpus::write(&dir, seed)?;
                print(json, out, &written.to_json(), |out| written.write(out))?;
                Ok(0)
            }
            Self::Inspect { path, at } => {
                let shown = inspect::inspect(&path, at.as_deref())?;
                print(json, out, &shown.to_json(), |out| shown.write(out))?;
                Ok(0)
            }
            Self::Measure(MeasureCommand::Snp(args)) => {
                let measured = measure::snp(&args)?;
                print(json, out, &measured.to_json(), |out| measured.write(out))?;
                Ok(0)
            }
            Self::Verify(args) => {
                let verified = verify::verify(&args)?;
                print(json, out, &verified.to_json(), |out| verified.write(out))?;
                Ok(u8::from(!verified.accepted()))
            }
        }
    }
}

/// One JSON document, or text.
fn print(
    json: bool,
    out: &mut dyn Write,
    value: &serde_json::Value,
    text: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> anyhow::Result<()> {
    if json {
        serde_json::to_writer_pretty(&mut *out, value)?;
        writeln!(out)?;
        Ok(())
    } else {
        Ok(text(out)?)
    }
}

/// A file that the command was called with: one that cannot be read is wrong usage.
fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    read(path).map_err(|error| unusable(&error))
}

/// A directory that the command was called with.
fn suite(dir: &Path) -> anyhow::Result<Suite> {
    Suite::read(dir).map_err(|error| unusable(&error))
}

/// The command was called with something that it cannot use.
fn unusable(error: &dyn std::error::Error) -> anyhow::Error {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    Problem::usage(message).into()
}

/// RFC 3339 to seconds since 1970; now without one.
fn time_or_now(text: Option<&str>) -> anyhow::Result<i64> {
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;
    match text {
        None => Ok(OffsetDateTime::now_utc().unix_timestamp()),
        Some(text) => {
            let time = OffsetDateTime::parse(text, &Rfc3339)
                .map_err(|_| Problem::usage(format!("'{text}' is not a time as in 2026-01-01T00:00:00Z")));
            Ok(time.context("the time cannot be read")?.unix_timestamp())
        }
    }
}
