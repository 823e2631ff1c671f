//! What looks at secrets.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Map, Value, json};
use vouchsafe_client::{KvPage, RequestError, Session};
use vouchsafe_protocol::kv::{KvFields, KvName, KvSelect, KvValue, SecretValue};
use vouchsafe_protocol::path::Path;

use super::args::{prefix_path, secret_path};
use super::receipt::{ReceiptFile, keep};
use super::settings;
use super::who::Who;
use super::write::PathArgs;
use crate::commands::lease::{lease_json, lease_text};
use crate::context::Context;
use crate::failure::{Problem, is_not_found};
use crate::output::{Output, encoded};
use crate::progress::during;

/// What is read.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// The secret
    #[arg(value_parser = secret_path)]
    path: Path,
    /// Version [default: the current one]
    #[arg(long, value_name = "N", conflicts_with = "previous")]
    version: Option<u64>,
    /// The version before the current one
    #[arg(long)]
    previous: bool,
    /// Only this field of it
    #[arg(long, value_name = "NAME")]
    field: Option<KvName>,
    /// Keep the log's receipt for this read; check it with 'vouchsafe audit verify'
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    #[command(flatten)]
    who: Who,
}

/// What is listed.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// The prefix
    #[arg(value_parser = prefix_path)]
    prefix: Path,
    /// At most this many names [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Go on after this name
    #[arg(long, value_name = "NAME")]
    after: Option<String>,
    /// Also what is further below
    #[arg(long, conflicts_with = "after")]
    recursive: bool,
    #[command(flatten)]
    who: Who,
}

pub(super) async fn get(args: GetArgs, context: &Context) -> Result<Output> {
    let GetArgs { path, version, previous, field, receipt, who } = args;
    let receipt = receipt.map(ReceiptFile::new).transpose()?;
    let select = match version {
        Some(version) => KvSelect::Version(version),
        None if previous => KvSelect::Previous,
        None => KvSelect::Current,
    };
    let conversation = who.agent(context).await?;
    let session = conversation.session.with_receipts();
    let reading = during("reading", async { session.kv().select(path.as_str(), select).await });
    let read = reading.await.map_err(|error| match version {
        Some(version) if is_not_found(&error) => {
            anyhow::Error::new(error).context(no_such_version(&path, version))
        }
        _ => anyhow::Error::new(error).context(format!("'{path}' was not read")),
    });
    let ((secret, proven), end) = conversation.conclude(&context.home, read).await?;
    let end = end.and(|| keep(receipt.as_ref(), &proven.receipt));
    let mut json = json!({
        "path": path.as_str(),
        "version": secret.version,
        "created_secs": secret.created_secs,
        "leaf_index": proven.receipt.leaf_index,
    });
    if let (Some(until), Some(object)) = (secret.until_secs, json.as_object_mut()) {
        object.insert("until_secs".to_owned(), until.into());
    }
    if let (Some(lease), Some(object)) = (secret.lease, json.as_object_mut()) {
        object.insert("lease".to_owned(), lease_json(lease));
    }
    let output = shown(secret.value, field.as_ref(), json)?.after(end);
    Ok(match secret.lease {
        Some(lease) => output.remark(lease_text(lease)),
        None => output,
    })
}

/// A value, its fields, or one of them.
pub(super) fn shown(value: KvValue, field: Option<&KvName>, json: Value) -> Result<Output> {
    match (value, field) {
        (KvValue::Bytes(value), None) => Ok(Output::secret(value, json)),
        (KvValue::Bytes(_), Some(_)) => {
            let problem = Problem::new("no-fields", "the secret is one value without fields");
            Err(problem.hint("read it without --field").into())
        }
        (KvValue::Fields(fields), None) => Ok(all_fields(&fields, json)),
        (KvValue::Fields(fields), Some(name)) => match fields.field(name.as_str()) {
            Some(value) => Ok(Output::secret(SecretValue::new(value.to_vec()), json)),
            None => Err(Problem::new("no-field", format!("the secret has no field '{name}'"))
                .hint("read it without --field to see all")
                .into()),
        },
    }
}

fn all_fields(fields: &KvFields, mut json: Value) -> Output {
    let len = fields.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    let mut lines = Vec::with_capacity(len);
    let (mut values, mut in_base64) = (Map::new(), Vec::new());
    for (name, value) in fields.iter() {
        lines.extend_from_slice(name.as_bytes());
        lines.push(b'=');
        lines.extend_from_slice(value);
        lines.push(b'\n');
        let (encoding, text) = encoded(value);
        values.insert(name.to_owned(), text.into());
        if encoding != "utf-8" {
            in_base64.push(name.to_owned());
        }
    }
    if let Some(object) = json.as_object_mut() {
        object.insert("encoding".to_owned(), "fields".into());
        object.insert("fields".to_owned(), values.into());
        object.insert("base64".to_owned(), in_base64.into());
    }
    Output::shown(SecretValue::new(lines), json)
}

pub(super) async fn list(args: ListArgs, context: &Context) -> Result<Output> {
    let ListArgs { prefix, limit, after, recursive, who } = args;
    let conversation = who.manager(context).await?;
    let most = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let session = &conversation.session;
    let listed = during("listing", async {
        if recursive {
            walk(session, &prefix, most).await
        } else {
            pages(session, &prefix, after, most).await
        }
    });
    let page = listed.await.with_context(|| format!("'{prefix}' was not listed"));
    let (KvPage { names, more }, end) = conversation.conclude(&context.home, page).await?;
    let json = json!({ "prefix": prefix.as_str(), "names": names, "more": more });
    Ok(Output::new(names.join("\n"), json).after(end))
}

async fn pages(
    session: &Session,
    prefix: &Path,
    after: Option<String>,
    most: usize,
) -> Result<KvPage, RequestError> {
    session.kv().list_from(prefix.as_str(), after, most).await
}

/// Everything below a prefix, each relative to it, in order. One request for each page and each level below.
async fn walk(session: &Session, prefix: &Path, most: usize) -> Result<KvPage, RequestError> {
    let mut found = Vec::new();
    // What is left to look at, the next at the end.
    let mut left = vec![String::new()];
    while let Some(name) = left.pop() {
        if found.len() == most {
            return Ok(KvPage { names: found, more: true });
        }
        if !name.is_empty() && !name.ends_with('/') {
            found.push(name);
            continue;
        }
        let below = format!("{prefix}/{name}");
        let names = session.kv().list(below.trim_end_matches('/')).await?;
        left.extend(names.into_iter().rev().map(|below| format!("{name}{below}")));
    }
    Ok(KvPage { names: found, more: false })
}

pub(super) async fn metadata(args: PathArgs, context: &Context) -> Result<Output> {
    let PathArgs { path, who } = args;
    let conversation = who.manager(context).await?;
    let found = conversation.session.kv().metadata(path.as_str()).await;
    let found = found.with_context(|| format!("'{path}' was not found"));
    let (metadata, end) = conversation.conclude(&context.home, found).await?;
    Ok(settings::metadata(&path, &metadata).after(end))
}

fn no_such_version(path: &Path, version: u64) -> Problem {
    Problem::new("refused.not-found", format!("'{path}' has no version {version}"))
        .hint(format!("'vouchsafe kv metadata {path}' shows the versions that there are"))
}
