//! `vouchsafe collateral`: what the vault verifies evidence with, imported beforehand because it fetches nothing.

mod files;
mod show;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Subcommand;
use serde_json::json;
use vouchsafe_attestation::{Collateral, TrustAnchors};
use vouchsafe_client::Pin;
use vouchsafe_protocol::anchors::{AmdAnchors, Anchors};
use vouchsafe_protocol::collateral::{CollateralEntry, IMPORT_ITEMS};

use self::files::{Item, read_all};
use crate::context::{Context, now_secs, rfc3339};
use crate::failure::Problem;
use crate::output::Output;

/// Exit code of `expiring` if something is.
const EXPIRES: u8 = 3;

/// Subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum CollateralCommand {
    /// List what has expired or soon will; exits with 3 if there is anything
    #[command(after_help = "Examples:\n  vouchsafe collateral expiring\n  \
        vouchsafe collateral expiring --within 12h --output json")]
    Expiring {
        /// How soon: a number and 'h', 'd' or 'w'
        #[arg(long, value_name = "TIME", default_value = "30d", value_parser = duration)]
        within: u64,
    },
    /// Give certificates and revocation lists to the vault, all or none
    ///
    /// The vault verifies each against its trust anchors. A root is never imported: roots are what a vault is
    /// initialised with.
    #[command(after_help = "Examples:\n  \
        A chip's VCEK and the revocation list of its product, from AMD's key distribution service:\n    \
        vouchsafe collateral import vcek.der genoa.crl\n\n  \
        A provider's VLEK with its issuer, or a TPM vendor's intermediates, as PEM bundles:\n    \
        vouchsafe collateral import asvk.pem vlek.pem intel-on-die-ca.pem")]
    Import {
        /// DER or PEM files; PEM may hold several
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Tell what files hold, and whether a vault would take them; asks no vault
    ///
    /// They are verified against AMD's roots, or against the anchors of the vault that the directory pins.
    #[command(after_help = "Examples:\n  vouchsafe collateral inspect vcek.der genoa.crl")]
    Inspect {
        /// DER or PEM files; PEM may hold several
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// List what the vault keeps
    #[command(
        after_help = "Examples:\n  vouchsafe collateral list\n  vouchsafe collateral list --output json"
    )]
    List,
}

/// Runs it.
pub(crate) async fn run(
    command: CollateralCommand,
    context: impl FnOnce() -> Result<Context>,
) -> Result<Output> {
    match command {
        CollateralCommand::Expiring { within } => {
            let context = context()?;
            let (entries, end) = kept(&context).await?;
            let now = now_secs();
            let late = |entry: &CollateralEntry| entry.not_after_unix_secs < now.saturating_add(within);
            let mut expiring: Vec<_> = entries.into_iter().filter(late).collect();
            expiring.sort_by_key(|entry| entry.not_after_unix_secs);
            let text = match expiring.as_slice() {
                [] => format!("nothing expires before {}", rfc3339(now.saturating_add(within))),
                some => show::table(some, now),
            };
            let code = if expiring.is_empty() { 0 } else { EXPIRES };
            let json = json!({ "expiring": show::json(&expiring, now) });
            Ok(Output::new(text, json).exit_with(code).after(end))
        }
        CollateralCommand::Import { files } => import(&files, &context()?).await,
        CollateralCommand::Inspect { files } => {
            let pin = context().and_then(|context| context.home.pin()).ok();
            inspect(&read_all(&files)?, pin.as_ref(), now_secs())
        }
        CollateralCommand::List => {
            let (entries, end) = kept(&context()?).await?;
            let now = now_secs();
            let text = match entries.as_slice() {
                [] => "no collateral: evidence must bring all of its endorsements".to_owned(),
                some => show::table(some, now),
            };
            Ok(Output::new(text, json!({ "collateral": show::json(&entries, now) })).after(end))
        }
    }
}

/// All that the vault keeps.
async fn kept(context: &Context) -> Result<(Vec<CollateralEntry>, crate::context::Concluded)> {
    let conversation = context.as_operator(None).await?;
    let entries = conversation.session.collateral().list().await.context("cannot list collateral");
    conversation.conclude(&context.home, entries).await
}

async fn import(paths: &[PathBuf], context: &Context) -> Result<Output> {
    // Before the vault is asked anything: a mistake in a file needs no vault to be found.
    let found = read_all(paths)?;
    let mut items = Vec::new();
    let mut notes = Vec::new();
    for item in found {
        match item {
            Item::Collateral { item, .. } => items.push(item),
            Item::Root { origin, name } => {
                notes.push(format!("left out   {name} of {origin}: roots are not imported"))
            }
        }
    }
    if items.is_empty() || items.len() > IMPORT_ITEMS {
        let message = format!("{} things to import; one import takes 1 to {IMPORT_ITEMS}", items.len());
        return Err(Problem::usage(message).hint("name files that hold certificates or lists").into());
    }
    let sent = items.len();
    let conversation = context.as_operator(None).await?;
    let kept = conversation.session.collateral().import(items).await.context("nothing was imported");
    let (kept, end) = conversation.conclude(&context.home, kept).await?;
    let now = now_secs();
    let mut text: Vec<String> =
        kept.iter().map(|entry| format!("imported   {}", show::line(entry, now))).collect();
    if let Some(older) = sent.checked_sub(kept.len()).filter(|older| *older > 0) {
        text.push(format!("left out   {older}: the vault has younger ones, or they were given twice"));
    }
    text.extend(notes);
    Ok(Output::new(text.join("\n"), json!({ "imported": show::json(&kept, now) })).after(end))
}

/// What a vault with these anchors would make of files, in the order of the command line.
fn inspect(found: &[Item], pin: Option<&Pin>, now: u64) -> Result<Output> {
    let built_in = Anchors { amd: AmdAnchors::BuiltIn, tpm: Vec::new() };
    let anchors = TrustAnchors::new(pin.map_or(&built_in, |pin| &pin.anchors))?;
    let mut store = Collateral::new();
    let (mut text, mut json, mut refused) = (Vec::new(), Vec::new(), false);
    for item in found {
        match item {
            Item::Root { origin, name } => {
                text.push(format!(
                    "root       {name}, {origin}: not imported, vaults have theirs from their start"
                ));
                json.push(json!({ "file": origin, "root": name }));
            }
            Item::Collateral { origin, item } => {
                let digest = vouchsafe_crypto::digest::sha256(&[item.der()]);
                let known: Option<CollateralEntry> = match store.add(item, &anchors, now) {
                    Ok(_) => store.list().find(|entry| entry.digest == digest),
                    Err(error) => {
                        let rule = error.code();
                        text.push(format!(
                            "refused    {}, {origin}: {rule}: {}",
                            files::kind(item),
                            causes(&error)
                        ));
                        json.push(json!({ "file": origin, "kind": files::kind(item), "refused": rule }));
                        refused = true;
                        continue;
                    }
                };
                // One that is older than another of the same call is not kept.
                let line = known
                    .as_ref()
                    .map_or_else(|| "older than another".to_owned(), |one| show::line(one, now));
                text.push(format!("accepted   {line}, {origin}"));
                json.push(
                    json!({ "file": origin, "entry": known.as_ref().map(|one| show::entry(one, now)) }),
                );
            }
        }
    }
    let against = match pin {
        Some(pin) => format!("verified against the anchors of {}", pin.vault_id),
        None => "verified against AMD's roots; pin a vault to verify against its anchors".to_owned(),
    };
    text.push(against);
    let output = Output::new(text.join("\n"), json!({ "items": json })).failed_if(refused);
    Ok(match pin {
        Some(pin) => output.about(pin.vault_id),
        None => output,
    })
}

/// An error and its causes in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let all = std::iter::successors(Some(error), |error| error.source());
    all.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Seconds of `12h`, `30d` or `2w`.
fn duration(text: &str) -> Result<u64, &'static str> {
    let wrong = "a time is a number and 'h', 'd' or 'w', as in 30d";
    let (number, secs) = match text.char_indices().next_back() {
        Some((at, 'h')) => (text.get(..at), 3600),
        Some((at, 'd')) => (text.get(..at), 86_400),
        Some((at, 'w')) => (text.get(..at), 7 * 86_400),
        _ => return Err(wrong),
    };
    let number: u32 = number.and_then(|number| number.parse().ok()).ok_or(wrong)?;
    Ok(u64::from(number) * secs)
}
