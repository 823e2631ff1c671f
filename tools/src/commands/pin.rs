//! `vouchsafe pin`: what this directory knows of its vault.

use anyhow::Result;
use clap::Subcommand;
use serde_json::json;
use vouchsafe_protocol::id::AnchorClass;

use super::init::shown;
use crate::context::Context;
use crate::output::Output;

/// Subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum PinCommand {
    /// Print the pin: vault id, what its platform must show, anchors, and the newest checkpoint seen
    ///
    /// The text is the pin itself: save it to DIR/pin.toml on another machine. It holds no secret, but whoever
    /// can change it chooses the vault.
    #[command(after_help = "Examples:\n  vouchsafe pin show > pin.toml\n  vouchsafe --output json pin show")]
    Show,
}

/// Runs it.
pub(crate) fn run(command: PinCommand, context: &Context) -> Result<Output> {
    match command {
        PinCommand::Show => {
            let pin = context.home.pin()?;
            let json = json!({
                "platform": shown(&pin.platform),
                "class": match pin.anchors.class() {
                    AnchorClass::Hardware => "hardware",
                    AnchorClass::Simulated => "simulated",
                },
                "log_key": pin.log_key.map(hex::encode),
                "checkpoint": pin.checkpoint.map(|checkpoint| json!({
                    "size": checkpoint.size,
                    "root": hex::encode(checkpoint.root),
                })),
                "toml": pin.to_toml()?,
            });
            Ok(Output::new(pin.to_toml()?, json).about(pin.vault_id))
        }
    }
}
