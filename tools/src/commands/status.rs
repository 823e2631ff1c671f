//! `vouchsafe status`: what the vault is and does, asked as an operator; and what its host says of it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vouchsafe_protocol::id::AnchorClass;
use vouchsafe_protocol::session::Status;

use crate::context::Context;
use crate::failure::{Failure, Problem};
use crate::output::Output;

/// Longest answer of a health page, in bytes.
const ANSWER_LEN: u64 = 16 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Examples:
  vouchsafe status
  vouchsafe status --output json

  Why does the vault not serve? The host's own word for it, which is not verified:
    vouchsafe status --admin 127.0.0.1:8601";

/// Flags.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatusArgs {
    /// Ask the health page of the host instead of the vault; needs no key, and what it says is not verified
    #[arg(long, value_name = "HOST:PORT")]
    admin: Option<String>,
}

/// Runs it.
pub(crate) async fn run(args: StatusArgs, context: &Context) -> Result<Output> {
    if let Some(admin) = &args.admin {
        return host_says(admin).await;
    }
    let asked = async {
        let conversation = context.as_operator(None).await?;
        let status = conversation.session.status().await.context("the vault does not tell its status");
        conversation.conclude(&context.home, status).await
    };
    match asked.await {
        Ok((status, end)) => Ok(report(&status)?.after(end)),
        // The vault is not there to ask; its host may say why.
        Err(error) => match &context.connection.admin {
            Some(admin) if Failure::of(&error).code == "not-serving" => host_says(admin).await,
            _ => Err(error),
        },
    }
}

fn report(status: &Status) -> Result<Output> {
    let Status {
        vault_id,
        platform,
        measurement,
        rung,
        epoch,
        checkpoint,
        journal_size,
        access_size,
        secrets,
        roles,
        identities,
        sessions,
    } = status;
    let checkpoint = std::str::from_utf8(checkpoint).context("the checkpoint is not text")?;
    let rung_meaning = match rung.as_str() {
        "R0" => "tampering is detected; a rollback by clients that remember a newer checkpoint",
        "R1" if vault_id.class == AnchorClass::Simulated => "R0, and a simulated counter per start",
        "R1" => "R0, and a hardware counter per start",
        _ => "unknown to this build",
    };
    let text = format!(
        "vault        {vault_id}\n\
         state        serving\n\
         platform     {platform}\n\
         measurement  {measurement}\n\
         freshness    {rung} ({rung_meaning})\n\
         epoch        {epoch}\n\
         journal      {journal_size} entries\n\
         access log   {access_size} entries in this epoch\n\
         secrets      {secrets}\n\
         roles        {roles}\n\
         identities   {identities}\n\
         sessions     {sessions}\n\
         checkpoint\n  {}",
        checkpoint.trim_end().replace('\n', "\n  "),
    );
    let json = json!({
        "state": "serving",
        "platform": platform,
        "measurement": measurement,
        "rung": rung,
        "epoch": epoch,
        "checkpoint": checkpoint,
        "journal_size": journal_size,
        "access_size": access_size,
        "secrets": secrets,
        "roles": roles,
        "identities": identities,
        "sessions": sessions,
    });
    Ok(Output::new(text, json))
}

/// The host's word, in the words of its `/readyz`. Not serving is a failure: exit code 1.
async fn host_says(admin: &str) -> Result<Output> {
    let answer = ready(admin).await?;
    let field = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
    let serving = answer.get("ready") == Some(&Value::Bool(true));
    let (state, detail) = (field("state"), if serving { field("vault") } else { field("reason") });
    let text = format!("the host says (not verified): {state}: {detail}");
    Ok(Output::new(text, json!({ "host_says": answer })).failed_if(!serving))
}

/// The JSON of `/readyz`.
pub(crate) async fn ready(admin: &str) -> Result<Value> {
    let asking = async {
        let mut stream = TcpStream::connect(admin).await?;
        let request = format!("GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.take(ANSWER_LEN).read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let hint = "is vouchsafe-host running, with this --admin address?";
    let unreachable = || Problem::new("connect", format!("no health page at {admin}")).hint(hint);
    let answer = tokio::time::timeout(PATIENCE, asking)
        .await
        .map_err(|_| unreachable())?
        .map_err(|error| anyhow::Error::new(error).context(unreachable()))?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.trim());
    body.and_then(|body| serde_json::from_str(body).ok()).ok_or_else(|| {
        Problem::new("not-vouchsafe", format!("{admin} is not a health page")).hint(hint).into()
    })
}
