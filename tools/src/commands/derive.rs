//! `vouchsafe derive`: keys that the vault derives for a role and a label.

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde_json::json;
use vouchsafe_client::DerivedKey;
use vouchsafe_protocol::derive::LabelMetadata;
use vouchsafe_protocol::limits::DERIVED_KEY_LEN;
use vouchsafe_protocol::path::{Path, PathError};

use crate::commands::kv::Who;
use crate::context::{Context, rfc3339};
use crate::output::Output;
use crate::progress::during;

/// Subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum DeriveCommand {
    /// Raise the lowest version of a label that is still derived
    #[command(after_help = "Example:\n  vouchsafe derive configure derive/db/disk --min-version 2")]
    Configure {
        /// The label
        #[arg(value_parser = label_path)]
        label: Path,
        /// Lowest version; it cannot be lowered again
        #[arg(long, value_name = "N")]
        min_version: u32,
        #[command(flatten)]
        who: Who,
    },
    /// Print the key of this agent's role for a label, byte for byte, on standard output
    #[command(
        after_help = "Examples:\n  vouchsafe derive key derive/db/disk | cryptsetup open --key-file - /dev/vdb data\n  \
        vouchsafe derive key derive/db/disk --key-version 1 --length 64 > old.key\n\n\
        The same role, label, version and length always give the same key, on every machine and release that the \
        role accepts; another length is another key. docs/guides/derive.md unlocks a disk with it."
    )]
    Key(KeyArgs),
    /// List labels directly below a prefix that were rotated or configured
    #[command(after_help = "Examples:\n  vouchsafe derive list\n  vouchsafe derive list derive/db")]
    List {
        /// The prefix
        #[arg(value_parser = prefix_path, default_value = "derive")]
        prefix: Path,
        #[command(flatten)]
        who: Who,
    },
    /// Make the next version of a label the current one; older ones are derived until 'configure' ends it
    #[command(after_help = "Example:\n  vouchsafe derive rotate derive/db/disk")]
    Rotate {
        /// The label
        #[arg(value_parser = label_path)]
        label: Path,
        #[command(flatten)]
        who: Who,
    },
    /// Show the versions of a label
    #[command(after_help = "Example:\n  vouchsafe derive show derive/db/disk")]
    Show {
        /// The label
        #[arg(value_parser = label_path)]
        label: Path,
        #[command(flatten)]
        who: Who,
    },
}

/// Which key.
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    /// The label
    #[arg(value_parser = label_path)]
    label: Path,
    /// Version [default: the current one]
    #[arg(long, value_name = "N")]
    key_version: Option<u32>,
    /// Length in bytes
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u8)
        .range(*DERIVED_KEY_LEN.start() as i64..=*DERIVED_KEY_LEN.end() as i64))]
    length: u8,
    #[command(flatten)]
    who: Who,
}

/// Runs one.
pub(crate) async fn run(command: DeriveCommand, context: &Context) -> Result<Output> {
    match command {
        DeriveCommand::Configure { label, min_version, who } => {
            let conversation = who.manager(context).await?;
            let done = conversation.session.derive().configure(label.as_str(), min_version).await;
            let done = done.with_context(|| format!("'{label}' was not configured"));
            let ((), end) = conversation.conclude(&context.home, done).await?;
            let json = json!({ "label": label.as_str(), "min_version": min_version });
            Ok(Output::new(format!("{label} is derived from version {min_version} on"), json).after(end))
        }
        DeriveCommand::Key(args) => key(args, context).await,
        DeriveCommand::List { prefix, who } => {
            let conversation = who.manager(context).await?;
            let listing =
                during("listing", async { conversation.session.derive().list(prefix.as_str()).await });
            let names = listing.await.with_context(|| format!("'{prefix}' was not listed"));
            let (names, end) = conversation.conclude(&context.home, names).await?;
            let json = json!({ "prefix": prefix.as_str(), "names": names });
            Ok(Output::new(names.join("\n"), json).after(end))
        }
        DeriveCommand::Rotate { label, who } => {
            let conversation = who.manager(context).await?;
            let rotated = conversation.session.derive().rotate(label.as_str()).await;
            let rotated = rotated.with_context(|| format!("'{label}' was not rotated"));
            let (version, end) = conversation.conclude(&context.home, rotated).await?;
            let json = json!({ "label": label.as_str(), "version": version });
            Ok(Output::new(format!("{label} is at version {version}"), json).after(end))
        }
        DeriveCommand::Show { label, who } => {
            let conversation = who.manager(context).await?;
            let found = conversation.session.derive().metadata(label.as_str()).await;
            let found = found.with_context(|| format!("'{label}' was not looked at"));
            let (metadata, end) = conversation.conclude(&context.home, found).await?;
            Ok(shown(&label, metadata).after(end))
        }
    }
}

async fn key(args: KeyArgs, context: &Context) -> Result<Output> {
    let KeyArgs { label, key_version, length, who } = args;
    let conversation = who.agent(context).await?;
    let deriving = during("deriving", async {
        conversation.session.derive().key(label.as_str(), key_version, length).await
    });
    let derived = deriving.await.with_context(|| format!("no key was derived for '{label}'"));
    let (DerivedKey { version, key }, end) = conversation.conclude(&context.home, derived).await?;
    Ok(Output::secret(key, json!({ "label": label.as_str(), "version": version })).after(end))
}

fn shown(label: &Path, metadata: LabelMetadata) -> Output {
    let LabelMetadata { current, min_version, rotated_secs } = metadata;
    let rotated = match rotated_secs {
        0 => "never rotated".to_owned(),
        secs => format!("rotated {}", rfc3339(secs)),
    };
    let text =
        format!("{label}, current version {current}, {rotated}, derived from version {min_version} on");
    let rotated_secs = (rotated_secs > 0).then_some(rotated_secs);
    let json = json!({
        "label": label.as_str(),
        "current": current,
        "min_version": min_version,
        "rotated_secs": rotated_secs,
    });
    Output::new(text, json)
}

/// Everything of this engine is below `derive/`; the vault would refuse the rest without saying so.
fn label_path(text: &str) -> Result<Path, String> {
    let path: Path = text.parse().map_err(|error: PathError| error.to_string())?;
    if text.starts_with("derive/") {
        Ok(path)
    } else {
        Err(format!("it must begin with derive/, as in derive/{text}"))
    }
}

fn prefix_path(text: &str) -> Result<Path, String> {
    if text == "derive" {
        text.parse().map_err(|error: PathError| error.to_string())
    } else {
        label_path(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_shown_as_text_and_as_json() {
        let label: Path = "derive/db/disk".parse().unwrap();
        let new = shown(&label, LabelMetadata { current: 1, min_version: 1, rotated_secs: 0 });
        assert_eq!(new.text(), "derive/db/disk, current version 1, never rotated, derived from version 1 on");
        assert_eq!(new.json()["rotated_secs"], serde_json::Value::Null);
        let rotated = LabelMetadata { current: 3, min_version: 2, rotated_secs: 1_790_000_000 };
        assert!(shown(&label, rotated).text().contains("rotated 2026-09-21T14:13:20Z"));
        assert_eq!(shown(&label, rotated).json()["current"], 3);
    }

    #[test]
    fn labels_are_below_the_mount() {
        assert!(label_path("derive/db/disk").is_ok() && prefix_path("derive").is_ok());
        for text in ["derive", "disk", "derive/", "derive//x", "transit/x", "derive/x*"] {
            assert!(label_path(text).is_err(), "{text}");
        }
    }
}
