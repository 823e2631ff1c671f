//! New versions, as they come.

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::json;
use tokio::sync::mpsc;
use vouchsafe_client::{KvWatch, SessionEnd};
use vouchsafe_protocol::id::VaultId;
use vouchsafe_protocol::limits::KV_WATCHES;
use vouchsafe_protocol::path::Path;

use super::args::secret_path;
use super::who::Who;
use crate::context::{Context, Conversation};
use crate::failure::Problem;
use crate::output::{self, Format};

/// What is watched.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// The secrets; 64 at most
    #[arg(value_parser = secret_path, required = true)]
    paths: Vec<Path>,
    /// Tell at once of a version later than this [default: of what is written from now on]
    #[arg(long, value_name = "N")]
    after: Option<u64>,
    /// End after so many versions [default: when interrupted]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    who: Who,
}

/// Prints until interrupted, until there were enough, or until the session ends.
pub(crate) async fn watch(args: WatchArgs, context: &Context, format: Format) -> Result<()> {
    let WatchArgs { mut paths, after, count, who } = args;
    paths.sort();
    paths.dedup();
    if paths.len() > KV_WATCHES {
        return Err(Problem::usage(format!("one session watches at most {KV_WATCHES} secrets")).into());
    }
    let conversation = who.agent(context).await?;
    let vault = conversation.pin.vault_id;
    let watched = tokio::select! {
        watched = tell(&conversation, paths, after, (count, format, vault)) => watched,
        interrupted = tokio::signal::ctrl_c() => interrupted.context("interrupts cannot be heard"),
    };
    let ((), end) = conversation.conclude(&context.home, watched).await?;
    end.all().map(drop)
}

async fn tell(
    conversation: &Conversation,
    paths: Vec<Path>,
    after: Option<u64>,
    (count, format, vault): (Option<u64>, Format, VaultId),
) -> Result<()> {
    let (news, mut told) = mpsc::channel(1);
    for path in paths {
        // Nothing is later than the last number there can be.
        let watch = conversation.session.kv().watch(path.as_str(), after.unwrap_or(u64::MAX)).await;
        let watch = watch.with_context(|| format!("'{path}' cannot be watched"))?;
        tokio::spawn(follow(path, watch, news.clone()));
    }
    drop(news);
    let simulated = match format {
        Format::Json => vault.class == vouchsafe_protocol::id::AnchorClass::Simulated,
        Format::Text => output::warn_simulated(vault)?,
    };
    for _ in 0..count.unwrap_or(u64::MAX) {
        let (path, version) = match told.recv().await {
            Some((path, Ok(version))) => (path, version),
            Some((_, Err(end))) => return Err(ended(end).into()),
            None => return Ok(()),
        };
        match format {
            Format::Json => output::line(&line(&path, version, vault, simulated).to_string())?,
            Format::Text => output::line(&format!("{path} version {version}"))?,
        }
    }
    Ok(())
}

pub(super) fn line(path: &Path, version: u64, vault: VaultId, simulated: bool) -> serde_json::Value {
    json!({ "path": path.as_str(), "version": version, "vault_id": vault.to_string(), "simulated": simulated })
}

/// Passes on what one watch tells, until nobody listens.
async fn follow(path: Path, mut watch: KvWatch, news: mpsc::Sender<(Path, Result<u64, SessionEnd>)>) {
    loop {
        let next = watch.next().await;
        let over = next.is_err();
        if news.send((path.clone(), next)).await.is_err() || over {
            return;
        }
    }
}

fn ended(end: SessionEnd) -> Problem {
    Problem::new("session-ended", format!("the session ended: {end}"))
        .hint("introduce again if the evidence or the identity has come to its end, then watch with --after")
}
