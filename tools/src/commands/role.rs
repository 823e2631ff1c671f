//! `vouchsafe role`: load and look at policy.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Subcommand;
use serde_json::{Value, json};
use vouchsafe_client::policy;
use vouchsafe_protocol::id::RoleName;

use crate::context::Context;
use crate::failure::{Problem, is_not_found, kebab};
use crate::output::Output;

/// Subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum RoleCommand {
    /// Check policy files and load their roles, all or none
    ///
    /// A role replaces the one of its name. A file with a mistake is refused as a whole, with line and reason,
    /// before anything is sent.
    #[command(
        after_help = "Examples:\n  vouchsafe role apply billing.toml\n  vouchsafe role apply roles/*.toml"
    )]
    Apply {
        /// Policy files (TOML)
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// List the names of all roles
    #[command(after_help = "Examples:\n  vouchsafe role list\n  vouchsafe role list --output json")]
    List,
    /// Show a role as the vault decides on it, reference values resolved
    #[command(after_help = "Examples:\n  vouchsafe role show billing")]
    Show {
        /// The role
        name: RoleName,
    },
}

/// Runs it.
pub(crate) async fn run(command: RoleCommand, context: &Context) -> Result<Output> {
    match command {
        RoleCommand::Apply { files } => apply(&files, context).await,
        RoleCommand::List => {
            let conversation = context.as_operator(None).await?;
            let names = conversation.session.roles().list().await.context("cannot list roles");
            let (names, end) = conversation.conclude(&context.home, names).await?;
            let names: Vec<String> = names.into_iter().map(String::from).collect();
            Ok(Output::new(names.join("\n"), json!({ "roles": names })).after(end))
        }
        RoleCommand::Show { name } => {
            let conversation = context.as_operator(None).await?;
            let role = conversation.session.roles().show(&name).await;
            let role = role.map_err(|error| match is_not_found(&error) {
                true => {
                    let missing = Problem::new("refused.not-found", format!("there is no role '{name}'"));
                    anyhow::Error::new(error)
                        .context(missing.hint("'vouchsafe role list' lists those there are"))
                }
                false => anyhow::Error::new(error).context(format!("cannot show role '{name}'")),
            });
            let (role, end) = conversation.conclude(&context.home, role).await?;
            let shown = readable(serde_json::to_value(&role)?);
            let text = toml::to_string_pretty(&shown)?;
            Ok(Output::new(text, json!({ "role": shown })).after(end))
        }
    }
}

async fn apply(files: &[PathBuf], context: &Context) -> Result<Output> {
    // Before the vault is asked anything: a mistake in a file needs no vault to be found.
    let roles = policy::compile_files(files)?;
    let names: Vec<String> = roles.iter().map(|role| role.name.to_string()).collect();
    let conversation = context.as_operator(None).await?;
    let applied = conversation.session.roles().apply(roles).await.context("no role was applied");
    let ((), end) = conversation.conclude(&context.home, applied).await?;
    let text = format!("applied {}", names.join(", "));
    Ok(Output::new(text, json!({ "applied": names })).after(end))
}

/// The typed form as people read it: digests and chip ids, which are lists of bytes, as hexadecimal text, and
/// the names of choices as policy files have them.
fn readable(value: Value) -> Value {
    match value {
        Value::Array(items) => {
            let byte = |item: &Value| item.as_u64().and_then(|byte| u8::try_from(byte).ok());
            let bytes: Option<Vec<u8>> = items.iter().map(byte).collect();
            match bytes {
                Some(bytes) if bytes.len() >= 32 => Value::String(hex::encode(bytes)),
                _ => Value::Array(items.into_iter().map(readable).collect()),
            }
        }
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (choice(&name), readable(value))).collect())
        }
        Value::String(text) => Value::String(choice(&text)),
        other => other,
    }
}

/// Names that people choose are in lower case; what begins with a capital is one of the policy's own words.
fn choice(text: &str) -> String {
    if text.starts_with(|first: char| first.is_ascii_uppercase()) { kebab(text) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_and_choices_are_readable() {
        let digest = vec![0xab; 48];
        let shown =
            readable(json!({ "accept": [{ "Snp": { "digest": digest, "chip": "AnyChip", "vmpl": 0 } }] }));
        let expected =
            json!({ "accept": [{ "snp": { "digest": "ab".repeat(48), "chip": "any-chip", "vmpl": 0 } }] });
        assert_eq!(shown, expected);
    }
}
