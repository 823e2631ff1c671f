//! `vouchsafe audit query`: the entries that somebody asks for, for people, or as rows for other systems.
//!
//! Rows have the same fields in CSV (RFC 4180) and in JSON Lines; their names are stable, and new ones come at the end.

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Map, Value};
use vouchsafe_protocol::id::{OperatorName, RoleName};
use vouchsafe_protocol::log::{Action, Actor, Decision};
use vouchsafe_protocol::path::{NoAttributes, Path, Pattern};

use super::Which;
use super::entry::Placed;

/// Which entries. All of them must hold.
#[derive(Debug, Args)]
pub(crate) struct Filter {
    /// Of the identity with this number
    #[arg(long, value_name = "N")]
    identity: Option<u64>,
    /// Of agents of this role
    #[arg(long)]
    role: Option<RoleName>,
    /// Of this operator
    #[arg(long, value_name = "NAME")]
    operator: Option<OperatorName>,
    /// About a path, or about all below it: kv/billing/*
    #[arg(long, value_name = "PATTERN")]
    path: Option<Pattern>,
    /// About the lease with this number
    #[arg(long, value_name = "N")]
    lease: Option<u64>,
    /// Not before this time, such as 2026-10-01T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = crate::commands::policy::time)]
    since: Option<u64>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = crate::commands::policy::time)]
    until: Option<u64>,
    /// What was refused only
    #[arg(long)]
    refused: bool,
    /// Which log
    #[arg(long, value_enum, default_value_t)]
    stream: Which,
}

/// How entries are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// Comma-separated values, with a head
    Csv,
    /// One JSON object to a line
    Jsonl,
    /// One line of text each
    #[default]
    Text,
}

impl Filter {
    /// Those that are asked for, by time.
    pub(crate) fn of<'a>(&self, entries: impl Iterator<Item = &'a Placed>) -> Vec<&'a Placed> {
        let mut found: Vec<_> = entries.filter(|placed| self.takes(placed)).collect();
        found.sort_by_key(|placed| placed.entry.at_secs);
        found
    }

    fn takes(&self, placed: &Placed) -> bool {
        let Self { identity, role, operator, path, lease, since, until, refused, stream } = self;
        let entry = &placed.entry;
        let (own_identity, own_role, own_operator) = match &entry.actor {
            Actor::Agent { role, identity, .. } => (Some(*identity), Some(role), None),
            Actor::Operator(name) => (None, None, Some(name)),
            Actor::Unknown(role) => (None, Some(role), None),
            Actor::Vault => (None, None, None),
        };
        let about = || path_of(&entry.action).and_then(|path| path.parse::<Path>().ok());
        stream.has(placed.stream)
            && identity.is_none_or(|identity| own_identity == Some(identity))
            && role.as_ref().is_none_or(|role| own_role == Some(role))
            && operator.as_ref().is_none_or(|operator| own_operator == Some(operator))
            && lease.is_none_or(|lease| entry.lease == Some(lease))
            && since.is_none_or(|since| entry.at_secs >= since)
            && until.is_none_or(|until| entry.at_secs < until)
            && (!refused || matches!(entry.decision, Decision::Refused(_)))
            && path.as_ref().is_none_or(|pattern| {
                about().is_some_and(|path| pattern.matches(&path, &NoAttributes) == Ok(true))
            })
    }
}

/// What an action is about, where that is a path.
pub(crate) fn path_of(action: &Action) -> Option<&str> {
    match action {
        Action::Derive { label: path, .. }
        | Action::Kv { path, .. }
        | Action::LeaseRenew { path }
        | Action::Transit { path, .. } => Some(path).filter(|path| !path.is_empty()).map(String::as_str),
        _ => None,
    }
}

/// The fields of a row.
const FIELDS: [&str; 19] = [
    "time",
    "stream",
    "leaf_index",
    "actor_kind",
    "actor",
    "identity",
    "evidence",
    "platform",
    "action",
    "path",
    "versions",
    "decision",
    "code",
    "rule",
    "lease",
    "session",
    "request",
    "request_digest",
    "text",
];

/// Writes entries.
pub(crate) fn written(entries: &[&Placed], form: Form) -> Result<String> {
    match form {
        Form::Text => Ok(entries.iter().map(|placed| placed.line()).collect::<Vec<_>>().join("\n")),
        Form::Jsonl => {
            let line = |placed: &&Placed| serde_json::to_string(&row(placed)).context("an entry as JSON");
            Ok(entries.iter().map(line).collect::<Result<Vec<_>>>()?.join("\n"))
        }
        Form::Csv => {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(FIELDS)?;
            for placed in entries {
                let row = row(placed);
                writer.write_record(FIELDS.map(|field| plain(row.get(field))))?;
            }
            let text = String::from_utf8(writer.into_inner().context("rows as CSV")?)?;
            Ok(text.trim_end().to_owned())
        }
    }
}

/// Every field, in one order; what does not apply is null.
fn row(placed: &Placed) -> Map<String, Value> {
    let told = placed.json();
    FIELDS
        .iter()
        .map(|field| ((*field).to_owned(), told.get(*field).cloned().unwrap_or(Value::Null)))
        .collect()
}

/// A field of CSV. A spreadsheet takes a text that begins so for a formula; a quote in front keeps it a text.
fn plain(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        Some(other) => other.to_string(),
    };
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text }
}

#[cfg(test)]
mod tests;
