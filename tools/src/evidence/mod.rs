//! `vouchsafe evidence`: look at evidence, and check directories of it with the vault's own verifier.

mod check;
mod event_log;
mod inspect;
mod pem;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Subcommand;

/// Largest file read, in bytes: real evidence stays far below, and a wrong argument should not fill memory.
const FILE_LEN: u64 = 16 * 1024 * 1024;

/// Subcommands of `vouchsafe evidence`.
#[derive(Clone, Debug, Subcommand)]
pub enum EvidenceCommand {
    /// Print a report, quote, signature, certificate or boot event log field by field.
    ///
    /// Believes nothing and verifies nothing: it shows what the bytes say.
    #[command(after_help = "Example:\n  vouchsafe evidence inspect report.bin")]
    Inspect {
        /// The file. What it holds is told from its bytes.
        file: PathBuf,
    },
    /// Check the cases of a directory with the vault's own verifier, and compare verdicts.
    ///
    /// Exits with 1 if any verdict differs from the expected one. Kinds that this version does not verify are
    /// listed as not supported, never as passed.
    #[command(after_help = "Example:\n  vouchsafe evidence check ../shared/evidence")]
    Check {
        /// A directory with a `cases.json`.
        #[arg(value_name = "DIR")]
        cases: PathBuf,
    },
}

impl EvidenceCommand {
    /// Runs the command, prints to `out` (one JSON document if `json`), and returns the exit code: 0 done,
    /// 1 a verdict differs.
    ///
    /// # Errors
    /// A file that cannot be read, is not of the schema, or is nothing that can be shown.
    pub fn run(self, json: bool, out: &mut dyn Write) -> anyhow::Result<u8> {
        match self {
            Self::Inspect { file } => {
                let shown = inspect::inspect(&read_file(&file)?)
                    .with_context(|| format!("cannot show {}", file.display()))?;
                if json {
                    serde_json::to_writer_pretty(&mut *out, &shown.to_json())?;
                    writeln!(out)?;
                } else {
                    shown.write(out)?;
                }
                Ok(0)
            }
            Self::Check { cases } => {
                let outcome = check::check_dir(&cases)?;
                if json {
                    serde_json::to_writer_pretty(&mut *out, &outcome)?;
                    writeln!(out)?;
                } else {
                    outcome.write(out)?;
                }
                Ok(u8::from(outcome.summary.different > 0))
            }
        }
    }
}

/// Reads a whole file of at most [`FILE_LEN`] bytes.
fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot open {shown}"))?;
    let mut bytes = Vec::new();
    file.take(FILE_LEN + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {shown}"))?;
    ensure!(bytes.len() as u64 <= FILE_LEN, "{shown} is larger than {FILE_LEN} bytes");
    Ok(bytes)
}
