//! `vouchsafe seal`.

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::context::{Concluded, Context, Conversation};
use crate::output::Output;
use crate::progress::during;

/// Runs it.
pub(crate) async fn run(context: &Context) -> Result<Output> {
    let Conversation { session, pin } = context.as_operator(None).await?;
    during("sealing the vault", session.seal()).await.context("the vault was not sealed")?;
    let end = Concluded::new(&context.home, pin, Ok(()));
    let text = "sealed: the vault holds no key any more\nrestart vouchsafe-enclave on the same machine to serve again";
    Ok(Output::new(text, json!({ "sealed": true })).after(end))
}
