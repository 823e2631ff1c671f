//! `vouchsafe audit`: read the log, take a copy of it, verify it without trusting anybody.

mod archive;
mod chains;
mod entry;
mod query;
mod verify;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Subcommand;
use serde_json::json;
use vouchsafe_protocol::link::StreamId;

use self::archive::Archive;
use self::query::{Filter, Form};
use self::verify::Beside;
use crate::context::{Concluded, Context};
use crate::failure::Problem;
use crate::output::Output;
use crate::progress::during;

/// Subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Save the log, the key that opens its audit part, and signed checkpoints, to verify them offline
    #[command(
        after_help = "Examples:\n  vouchsafe audit export ./log-2026-10\n  vouchsafe audit verify ./log-2026-10"
    )]
    Export {
        /// A directory that does not exist yet; it is made with mode 0700
        directory: PathBuf,
    },
    /// Print the entries that match, as text, CSV or JSON Lines
    #[command(after_help = "Examples:\n  vouchsafe audit query --live --role billing --refused\n  \
        vouchsafe audit query ./log-2026-10 --path 'kv/billing/*' --since 2026-10-01T00:00:00Z\n  \
        vouchsafe audit query ./log-2026-10 --format jsonl > entries.jsonl    # for a SIEM\n\n\
        The log is verified before anything of it is printed; see 'audit verify'. Rows have the same fields in CSV and \
        JSON Lines: docs/guides/audit.md lists them.")]
    Query {
        /// A directory of 'audit export'
        #[arg(required_unless_present = "live", conflicts_with = "live")]
        directory: Option<PathBuf>,
        /// Fetch the log from the vault now
        #[arg(long)]
        live: bool,
        #[command(flatten)]
        filter: Box<Filter>,
        /// How entries are written
        #[arg(long, value_enum, default_value_t)]
        format: Form,
    },
    /// Print the newest entries: who, what, when, decision
    #[command(
        after_help = "Examples:\n  vouchsafe audit tail\n  vouchsafe audit tail -n 100 --stream access\n\n\
        The log is verified before anything of it is printed; see 'audit verify'."
    )]
    Tail {
        /// How many entries
        #[arg(short = 'n', long, default_value_t = 20, value_name = "N")]
        lines: usize,
        /// Which log
        #[arg(long, value_enum, default_value_t)]
        stream: Which,
    },
    /// Verify the log: every frame, every leaf, every tree against signed checkpoints, requests against their
    /// signed chains, and receipts
    #[command(
        after_help = "Examples:\n  Offline, from an export:\n    vouchsafe audit verify ./log-2026-10\n\n  \
        From the running vault:\n    vouchsafe audit verify --live\n\n  With receipts that agents have kept:\n    \
        vouchsafe audit verify ./log-2026-10 --receipt db.receipt\n\n  That nothing is missing between two exports:\n    \
        vouchsafe audit verify ./log-2026-10 --checkpoint ./log-2026-08/journal.checkpoint \\\n      \
        --checkpoint ./log-2026-09/journal.checkpoint"
    )]
    Verify {
        /// A directory of 'audit export'
        #[arg(required_unless_present = "live", conflicts_with = "live")]
        directory: Option<PathBuf>,
        /// Fetch the log from the vault now
        #[arg(long)]
        live: bool,
        /// A checkpoint that was kept from before: a signed note, or a receipt, of which its checkpoint is taken
        #[arg(long = "checkpoint", value_name = "FILE")]
        checkpoints: Vec<PathBuf>,
        /// A receipt that must be in this log
        #[arg(long = "receipt", value_name = "FILE")]
        receipts: Vec<PathBuf>,
    },
}

/// Which entries to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Which {
    /// Reads, and everything refused
    Access,
    /// Both, by time
    #[default]
    All,
    /// Every change
    Journal,
}

impl Which {
    fn has(self, stream: StreamId) -> bool {
        match self {
            Self::Access => matches!(stream, StreamId::Access { .. }),
            Self::All => true,
            Self::Journal => stream == StreamId::Journal,
        }
    }
}

/// Runs it.
pub(crate) async fn run(command: AuditCommand, context: &Context) -> Result<Output> {
    match command {
        AuditCommand::Export { directory } => {
            let (archive, end) = fetch(context).await?;
            let report = verified(&archive, &Beside::default())?;
            archive.save(&directory)?;
            let text = format!("{}\nsaved to {}", report.text(), directory.display());
            let json = json!({ "directory": directory.display().to_string(), "verified": report.json() });
            Ok(Output::new(text, json).after(end))
        }
        AuditCommand::Query { directory, live: _, filter, format } => {
            let (archive, end) = read(directory.as_deref(), context).await?;
            let report = verified(&archive, &Beside::default())?;
            let entries = filter.of(report.entries());
            let json: Vec<_> = entries.iter().map(|entry| entry.json()).collect();
            let output = Output::new(query::written(&entries, format)?, json!({ "entries": json }));
            Ok(match end {
                Some(end) => output.after(end),
                None => output.about(archive.pin.vault_id),
            })
        }
        AuditCommand::Tail { lines, stream } => {
            let (archive, end) = fetch(context).await?;
            let report = verified(&archive, &Beside::default())?;
            let mut entries: Vec<_> = report.entries().filter(|entry| stream.has(entry.stream)).collect();
            entries.sort_by_key(|entry| entry.entry.at_secs);
            let newest = entries.split_off(entries.len().saturating_sub(lines));
            let text: Vec<String> = newest.iter().map(|entry| entry.line()).collect();
            let json: Vec<_> = newest.iter().map(|entry| entry.json()).collect();
            Ok(Output::new(text.join("\n"), json!({ "entries": json })).after(end))
        }
        AuditCommand::Verify { directory, live: _, checkpoints, receipts } => {
            let (archive, end) = read(directory.as_deref(), context).await?;
            let beside = Beside {
                checkpoints: checkpoints
                    .iter()
                    .map(|path| archive::checkpoint(path))
                    .collect::<Result<_>>()?,
                receipts: receipts.iter().map(|path| archive::receipt(path)).collect::<Result<_>>()?,
            };
            let report = verified(&archive, &beside)?;
            let output = Output::new(report.text(), report.json());
            Ok(match end {
                Some(end) => output.after(end),
                None => output.about(archive.pin.vault_id),
            })
        }
    }
}

/// A copy that was taken before, or one taken now.
async fn read(directory: Option<&Path>, context: &Context) -> Result<(Archive, Option<Concluded>)> {
    match directory {
        Some(directory) => Ok((Archive::load(directory)?, None)),
        None => fetch(context).await.map(|(archive, end)| (archive, Some(end))),
    }
}

fn verified(archive: &Archive, beside: &Beside) -> Result<verify::Report> {
    verify::verify(archive, beside).map_err(|error| {
        let hint = "keep this copy: it is the evidence; do not trust the host that it came from";
        error.context(Problem::new("log-refused", "the log does not verify").hint(hint))
    })
}

async fn fetch(context: &Context) -> Result<(Archive, Concluded)> {
    let conversation = context.as_operator(None).await?;
    let fetched =
        during("fetching the log", Archive::fetch(&conversation)).await.context("cannot fetch the log");
    conversation.conclude(&context.home, fetched).await
}
