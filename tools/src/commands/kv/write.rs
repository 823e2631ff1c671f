//! What changes secrets.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::json;
use vouchsafe_client::{KvPatch, KvWrite, RequestError};
use vouchsafe_protocol::kv::{Cas, KvName};
use vouchsafe_protocol::path::Path;

use super::args::{duration, fields, secret_path, value};
use super::receipt::{ReceiptFile, keep};
use super::who::Who;
use crate::context::{Context, Conversation};
use crate::output::Output;
use crate::progress::during;

/// One secret.
#[derive(Debug, Args)]
pub(crate) struct PathArgs {
    /// The secret
    #[arg(value_parser = secret_path)]
    pub(super) path: Path,
    #[command(flatten)]
    pub(super) who: Who,
}

/// Versions of a secret, or its current one.
#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// The secret
    #[arg(value_parser = secret_path)]
    path: Path,
    /// Versions [default: the current one]
    #[arg(long = "version", value_name = "N")]
    versions: Vec<u64>,
    #[command(flatten)]
    who: Who,
}

/// Versions of a secret.
#[derive(Debug, Args)]
pub(crate) struct VersionsArgs {
    /// The secret
    #[arg(value_parser = secret_path)]
    path: Path,
    /// Versions
    #[arg(long = "version", value_name = "N", required = true)]
    versions: Vec<u64>,
    #[command(flatten)]
    who: Who,
}

/// What is written.
#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    /// The secret
    #[arg(value_parser = secret_path)]
    path: Path,
    /// One value: '-' for standard input, '@FILE' for a file, anything else is the value itself; or fields, each
    /// NAME=VALUE with a value of the same forms
    #[arg(required = true, value_name = "VALUE|NAME=VALUE")]
    values: Vec<String>,
    /// Take the value as it is, even if it looks like a field
    #[arg(long)]
    bytes: bool,
    /// Write only if this is the current version; 0 if there must be none yet
    #[arg(long, value_name = "N")]
    cas: Option<u64>,
    /// How long the version lives: 90s, 15m, 12h, 30d [default: as its settings say, else for ever]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    ttl: Option<u64>,
    /// Keep the log's receipt for this write; check it with 'vouchsafe audit verify'
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    #[command(flatten)]
    who: Who,
}

/// What is changed.
#[derive(Debug, Args)]
pub(crate) struct PatchArgs {
    /// The secret
    #[arg(value_parser = secret_path)]
    path: Path,
    /// Fields that are set, each NAME=VALUE: '-' for standard input, '@FILE' for a file, anything else is the value
    #[arg(value_name = "NAME=VALUE", required_unless_present = "remove")]
    fields: Vec<String>,
    /// Fields that go
    #[arg(long, value_name = "NAME")]
    remove: Vec<KvName>,
    /// Change it only if this is the current version
    #[arg(long, value_name = "N")]
    cas: Option<u64>,
    /// How long the version lives: 90s, 15m, 12h, 30d [default: as its settings say, else for ever]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    ttl: Option<u64>,
    #[command(flatten)]
    who: Who,
}

pub(super) async fn delete(args: DeleteArgs, context: &Context) -> Result<Output> {
    let DeleteArgs { path, versions, who } = args;
    let conversation = who.manager(context).await?;
    let done = conversation.session.kv().delete(path.as_str(), &versions).await;
    changed(done, "deleted", &path, &versions, conversation, context).await
}

pub(super) async fn destroy(args: VersionsArgs, context: &Context) -> Result<Output> {
    let VersionsArgs { path, versions, who } = args;
    let conversation = who.manager(context).await?;
    let done = conversation.session.kv().destroy(path.as_str(), &versions).await;
    changed(done, "destroyed", &path, &versions, conversation, context).await
}

pub(super) async fn undelete(args: VersionsArgs, context: &Context) -> Result<Output> {
    let VersionsArgs { path, versions, who } = args;
    let conversation = who.manager(context).await?;
    let done = conversation.session.kv().undelete(path.as_str(), &versions).await;
    changed(done, "undeleted", &path, &versions, conversation, context).await
}

pub(super) async fn forget(args: PathArgs, context: &Context) -> Result<Output> {
    let PathArgs { path, who } = args;
    let conversation = who.manager(context).await?;
    let done = conversation.session.kv().forget(path.as_str()).await;
    let done = done.with_context(|| format!("'{path}' was not forgotten"));
    let ((), end) = conversation.conclude(&context.home, done).await?;
    let json = json!({ "path": path.as_str(), "forgotten": true });
    Ok(Output::new(format!("forgot {path}, with all its versions"), json).after(end))
}

pub(super) async fn put(args: PutArgs, context: &Context) -> Result<Output> {
    let PutArgs { path, values, bytes, cas, ttl, receipt, who } = args;
    // Read first: a missing file is told before the vault is asked.
    let value = value(&values, bytes)?;
    let receipt = receipt.map(ReceiptFile::new).transpose()?;
    let conversation = who.manager(context).await?;
    let session = conversation.session.with_receipts();
    let write = KvWrite { value, cas: guard(cas), ttl_secs: ttl };
    let putting = during("writing", async { session.kv().write(path.as_str(), write).await });
    let written = putting.await.with_context(|| format!("'{path}' was not written"));
    let ((version, proven), end) = conversation.conclude(&context.home, written).await?;
    let end = end.and(|| keep(receipt.as_ref(), &proven.receipt));
    let json = json!({ "path": path.as_str(), "version": version, "leaf_index": proven.receipt.leaf_index });
    Ok(Output::new(format!("wrote version {version} of {path}"), json).after(end))
}

pub(super) async fn patch(args: PatchArgs, context: &Context) -> Result<Output> {
    let PatchArgs { path, fields: set, remove, cas, ttl, who } = args;
    let patch = KvPatch { set: fields(&set)?, remove, cas: guard(cas), ttl_secs: ttl };
    let conversation = who.manager(context).await?;
    let patching = during("writing", async { conversation.session.kv().patch(path.as_str(), patch).await });
    let written = patching.await.with_context(|| format!("'{path}' was not changed"));
    let (version, end) = conversation.conclude(&context.home, written).await?;
    let json = json!({ "path": path.as_str(), "version": version });
    Ok(Output::new(format!("wrote version {version} of {path}"), json).after(end))
}

pub(super) async fn rotate(args: PathArgs, context: &Context) -> Result<Output> {
    let PathArgs { path, who } = args;
    let conversation = who.manager(context).await?;
    let written = conversation.session.kv().rotate(path.as_str()).await;
    let written = written.with_context(|| format!("'{path}' was not rotated"));
    let (version, end) = conversation.conclude(&context.home, written).await?;
    let json = json!({ "path": path.as_str(), "version": version });
    Ok(Output::new(format!("the vault made version {version} of {path}"), json).after(end))
}

pub(super) fn guard(cas: Option<u64>) -> Cas {
    cas.map_or(Cas::Any, Cas::Version)
}

async fn changed(
    done: Result<(), RequestError>,
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
