//! `vouchsafe kv`: secrets.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde_json::json;
use vouchsafe_protocol::codec;
use vouchsafe_protocol::id::{OperatorName, RoleName};
use vouchsafe_protocol::kv::{Cas, KvMetadata, KvState, KvVersion};
use vouchsafe_protocol::path::{Path, PathError};

use crate::context::{Context, Conversation, Speaker, rfc3339};
use crate::failure::{Problem, is_not_found};
use crate::home::write_private;
use crate::input;
use crate::output::Output;
use crate::progress::during;

/// Subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum KvCommand {
    /// Mark versions as deleted; they can be undeleted
    #[command(
        after_help = "Examples:\n  vouchsafe kv delete kv/billing/db\n  vouchsafe kv delete kv/billing/db --version 3"
    )]
    Delete {
        /// The secret
        #[arg(value_parser = secret_path)]
        path: Path,
        /// Versions [default: the current one]
        #[arg(long = "version", value_name = "N")]
        versions: Vec<u64>,
        #[command(flatten)]
        who: Who,
    },
    /// Wipe versions for good
    #[command(after_help = "Examples:\n  vouchsafe kv destroy kv/billing/db --version 1 --version 2")]
    Destroy {
        /// The secret
        #[arg(value_parser = secret_path)]
        path: Path,
        /// Versions
        #[arg(long = "version", value_name = "N", required = true)]
        versions: Vec<u64>,
        #[command(flatten)]
        who: Who,
    },
    /// Print a secret, byte for byte, on standard output; for agents: operators cannot read values
    #[command(
        after_help = "Examples:\n  vouchsafe kv get kv/billing/db\n  vouchsafe kv get kv/billing/db --version 2 > old\n  \
        vouchsafe kv get kv/billing/db --receipt db.receipt\n\nWith --output json the value is a field, as UTF-8 \
        text or else in base64; 'encoding' says which."
    )]
    Get {
        /// The secret
        #[arg(value_parser = secret_path)]
        path: Path,
        /// Version [default: the current one]
        #[arg(long, value_name = "N")]
        version: Option<u64>,
        /// Keep the log's receipt for this read; check it with 'vouchsafe audit verify'
        #[arg(long, value_name = "FILE")]
        receipt: Option<PathBuf>,
        #[command(flatten)]
        who: Who,
    },
    /// List names directly below a prefix; '/' ends those that have more below
    #[command(after_help = "Examples:\n  vouchsafe kv list kv/billing")]
    List {
        /// The prefix
        #[arg(value_parser = prefix_path)]
        prefix: Path,
        #[command(flatten)]
        who: Who,
    },
    /// Show the versions of a secret and what became of them
    #[command(after_help = "Examples:\n  vouchsafe kv metadata kv/billing/db")]
    Metadata {
        /// The secret
        #[arg(value_parser = secret_path)]
        path: Path,
        #[command(flatten)]
        who: Who,
    },
    /// Write a new version of a secret
    #[command(after_help = "Examples:\n  vouchsafe kv put kv/billing/db - < password.txt\n  \
        vouchsafe kv put kv/billing/db @password.txt\n  vouchsafe kv put kv/billing/flag on --cas 0\n\n\
        A value on the command line can be seen by other users of the machine; prefer '-' or '@FILE'.")]
    Put {
        /// The secret
        #[arg(value_parser = secret_path)]
        path: Path,
        /// The value: '-' for standard input, '@FILE' for a file, anything else is the value itself
        value: String,
        /// Write only if this is the current version; 0 if there must be none yet
        #[arg(long, value_name = "N")]
        cas: Option<u64>,
        /// Keep the log's receipt for this write; check it with 'vouchsafe audit verify'
        #[arg(long, value_name = "FILE")]
        receipt: Option<PathBuf>,
        #[command(flatten)]
        who: Who,
    },
    /// Take deletions back
    #[command(after_help = "Examples:\n  vouchsafe kv undelete kv/billing/db --version 3")]
    Undelete {
        /// The secret
        #[arg(value_parser = secret_path)]
        path: Path,
        /// Versions
        #[arg(long = "version", value_name = "N", required = true)]
        versions: Vec<u64>,
        #[command(flatten)]
        who: Who,
    },
}

/// Who asks.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Who asks")]
pub(crate) struct Who {
    /// 'operator', an operator's name, or a role whose identity is in the directory [default: for 'get' the
    /// agent; for all else the operator if the directory holds an operator's key, and the agent if not]
    #[arg(long = "as", value_name = "NAME")]
    speaker: Option<String>,
    /// The agent whose identity is in this directory
    #[arg(long, value_name = "DIR", conflicts_with = "speaker")]
    identity_dir: Option<PathBuf>,
}

/// What is wanted decides who asks, unless a flag says so.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    Manage,
    Read,
}

impl Who {
    /// A session as an agent: the one named, or the only one there is.
    pub(crate) async fn agent(&self, context: &Context) -> Result<Conversation> {
        self.connect(Wish::Read, context).await
    }

    async fn connect(&self, wish: Wish, context: &Context) -> Result<Conversation> {
        if let Some(dir) = &self.identity_dir {
            return context.as_agent(dir).await;
        }
        match self.speaker(wish, context)? {
            Speaker::Agent(role) => context.as_agent(&context.home.agent_dir(&role)).await,
            Speaker::Operator(name) => context.as_operator(Some(&name)).await,
        }
    }

    fn speaker(&self, wish: Wish, context: &Context) -> Result<Speaker> {
        let (operators, agents) = (context.home.operators()?, context.home.agents()?);
        if let Some(name) = self.speaker.as_deref() {
            let operator: Option<OperatorName> = name.parse().ok();
            let role: Option<RoleName> = name.parse().ok();
            return match (operator, role) {
                (Some(operator), _) if operators.contains(&operator) => Ok(Speaker::Operator(operator)),
                _ if name == "operator" => Ok(Speaker::Operator(context.operator(None)?)),
                (_, Some(role)) if agents.contains(&role) => Ok(Speaker::Agent(role)),
                _ => Err(Problem::new("no-identity", format!("nobody called '{name}' is in this directory"))
                    .hint("'vouchsafe introduce' makes an agent's identity")
                    .into()),
            };
        }
        match (wish, agents.as_slice()) {
            (Wish::Manage, _) if !operators.is_empty() => Ok(Speaker::Operator(context.operator(None)?)),
            (_, [one]) => Ok(Speaker::Agent(one.clone())),
            (_, []) => Err(Problem::new("no-identity", "there is no agent's identity in this directory")
                .hint("run 'vouchsafe introduce --role ROLE --platform tpm|snp|sim' first")
                .into()),
            (_, _) => Err(Problem::usage("there are several agents' identities here")
                .hint("say which with --as ROLE")
                .into()),
        }
    }
}

/// Runs it.
pub(crate) async fn run(command: KvCommand, context: &Context) -> Result<Output> {
    match command {
        KvCommand::Delete { path, versions, who } => {
            let conversation = who.connect(Wish::Manage, context).await?;
            let done = conversation.session.kv().delete(path.as_str(), &versions).await;
            changed(done, "deleted", &path, &versions, conversation, context).await
        }
        KvCommand::Destroy { path, versions, who } => {
            let conversation = who.connect(Wish::Manage, context).await?;
            let done = conversation.session.kv().destroy(path.as_str(), &versions).await;
            changed(done, "destroyed", &path, &versions, conversation, context).await
        }
        KvCommand::Get { path, version, receipt, who } => {
            let receipt = receipt.map(ReceiptFile::new).transpose()?;
            get(&path, version, receipt, who.connect(Wish::Read, context).await?, context).await
        }
        KvCommand::List { prefix, who } => {
            list(&prefix, who.connect(Wish::Manage, context).await?, context).await
        }
        KvCommand::Metadata { path, who } => {
            metadata(&path, who.connect(Wish::Manage, context).await?, context).await
        }
        KvCommand::Put { path, value, cas, receipt, who } => {
            // Read first: a missing file is told before the vault is asked.
            let value = input::value(&value)?;
            let receipt = receipt.map(ReceiptFile::new).transpose()?;
            let conversation = who.connect(Wish::Manage, context).await?;
            let cas = cas.map_or(Cas::Any, Cas::Version);
            let session = conversation.session.with_receipts();
            let putting = during("writing", async { session.kv().put(path.as_str(), value, cas).await });
            let written = putting.await.with_context(|| format!("'{path}' was not written"));
            let ((version, proven), end) = conversation.conclude(&context.home, written).await?;
            let end = end.and(|| keep(receipt.as_ref(), &proven.receipt));
            let json =
                json!({ "path": path.as_str(), "version": version, "leaf_index": proven.receipt.leaf_index });
            Ok(Output::new(format!("wrote version {version} of {path}"), json).after(end))
        }
        KvCommand::Undelete { path, versions, who } => {
            let conversation = who.connect(Wish::Manage, context).await?;
            let done = conversation.session.kv().undelete(path.as_str(), &versions).await;
            changed(done, "undeleted", &path, &versions, conversation, context).await
        }
    }
}

async fn changed(
    done: Result<(), vouchsafe_client::RequestError>,
    verb: &str,
    path: &Path,
    versions: &[u64],
    conversation: Conversation,
    context: &Context,
) -> Result<Output> {
    let done = done.with_context(|| format!("'{path}' was not {verb}"));
    let ((), end) = conversation.conclude(&context.home, done).await?;
    let which = match versions {
        [] => "the current version".to_owned(),
        some => format!("version {}", some.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")),
    };
    let json = json!({ "path": path.as_str(), verb: true, "versions": versions });
    Ok(Output::new(format!("{verb} {which} of {path}"), json).after(end))
}

async fn get(
    path: &Path,
    version: Option<u64>,
    receipt: Option<ReceiptFile>,
    conversation: Conversation,
    context: &Context,
) -> Result<Output> {
    let session = conversation.session.with_receipts();
    let reading = async {
        match version {
            Some(version) => session.kv().get_version(path.as_str(), version).await,
            None => session.kv().get(path.as_str()).await,
        }
    };
    let read = during("reading", reading).await.map_err(|error| match version {
        Some(version) if is_not_found(&error) => {
            anyhow::Error::new(error).context(no_such_version(path, version))
        }
        _ => anyhow::Error::new(error).context(format!("'{path}' was not read")),
    });
    let ((secret, proven), end) = conversation.conclude(&context.home, read).await?;
    let end = end.and(|| keep(receipt.as_ref(), &proven.receipt));
    let json = json!({
        "path": path.as_str(),
        "version": secret.version,
        "created_secs": secret.created_secs,
        "leaf_index": proven.receipt.leaf_index,
    });
    Ok(Output::secret(secret.value, json).after(end))
}

async fn list(prefix: &Path, conversation: Conversation, context: &Context) -> Result<Output> {
    let listing = during("listing", async { conversation.session.kv().list(prefix.as_str()).await });
    let names = listing.await.with_context(|| format!("'{prefix}' was not listed"));
    let (names, end) = conversation.conclude(&context.home, names).await?;
    Ok(Output::new(names.join("\n"), json!({ "prefix": prefix.as_str(), "names": names })).after(end))
}

async fn metadata(path: &Path, conversation: Conversation, context: &Context) -> Result<Output> {
    let found = conversation.session.kv().metadata(path.as_str()).await;
    let found = found.with_context(|| format!("'{path}' was not found"));
    let (KvMetadata { current, versions }, end) = conversation.conclude(&context.home, found).await?;
    let state = |version: &KvVersion| match version.state {
        KvState::Deleted => "deleted",
        KvState::Destroyed => "destroyed",
        KvState::Live => "live",
    };
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING).set_header(["version", "written", "state"]);
    for version in &versions {
        table.add_row([
            version.version.to_string(),
            rfc3339(version.created_secs),
            state(version).to_owned(),
        ]);
    }
    let json = json!({
        "path": path.as_str(),
        "current": current,
        "versions": versions.iter().map(|version| json!({
            "version": version.version,
            "created_secs": version.created_secs,
            "state": state(version),
        })).collect::<Vec<_>>(),
    });
    Ok(Output::new(format!("{path}, current version {current}\n{table}"), json).after(end))
}

fn no_such_version(path: &Path, version: u64) -> Problem {
    Problem::new("refused.not-found", format!("'{path}' has no version {version}"))
        .hint(format!("'vouchsafe kv metadata {path}' shows the versions that there are"))
}

/// Everything of this engine is below `kv/`; the vault would refuse the rest without saying so.
fn secret_path(text: &str) -> Result<Path, String> {
    let path: Path = text.parse().map_err(|error: PathError| error.to_string())?;
    if text.starts_with("kv/") { Ok(path) } else { Err(format!("it must begin with kv/, as in kv/{text}")) }
}

fn prefix_path(text: &str) -> Result<Path, String> {
    if text == "kv" { text.parse().map_err(|error: PathError| error.to_string()) } else { secret_path(text) }
}

/// A file for a receipt that can be written, as far as that can be known before.
struct ReceiptFile(PathBuf);

impl ReceiptFile {
    /// Before the vault is asked: a write is not made only to lose its receipt.
    fn new(path: PathBuf) -> Result<Self> {
        let failed = || format!("no receipt can be kept in {}", path.display());
        if path.is_dir() {
            return Err(Problem::new("receipt-path", format!("{}: it is a directory", failed())).into());
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let probe = tempfile::NamedTempFile::new_in(parent.unwrap_or(std::path::Path::new(".")));
        probe.and_then(tempfile::NamedTempFile::close).with_context(failed)?;
        Ok(Self(path))
    }
}

/// A receipt is public, but says what was read: it is kept like an identity.
fn keep(file: Option<&ReceiptFile>, receipt: &vouchsafe_protocol::log::Receipt) -> Result<()> {
    let Some(ReceiptFile(path)) = file else { return Ok(()) };
    let bytes = codec::encode(receipt).context("the receipt cannot be encoded")?;
    write_private(path, &bytes).context("the vault has done this, but the receipt could not be kept")
}
