//! `vouchsafe operator`: keys of operators. The private key stays in the directory.

use anyhow::Result;
use clap::Subcommand;
use serde_json::json;
use vouchsafe_client::{load_key, save_key};
use vouchsafe_crypto::signature::P256Key;
use vouchsafe_protocol::id::OperatorName;

use crate::context::Context;
use crate::failure::Problem;
use crate::home::{Home, private_dir};
use crate::input::pem;
use crate::output::Output;

/// Subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum OperatorCommand {
    /// Make a key for an operator and print its public part, to be given to 'vouchsafe init'
    ///
    /// The private key stays in the directory, with mode 0600. 'init' makes the first operator's key by itself.
    #[command(after_help = "Examples:\n  vouchsafe operator keygen --name ann > ann.pem\n  \
        vouchsafe init --operator ann=ann.pem --trust-shown-platform")]
    Keygen {
        /// The operator's name
        #[arg(long, default_value = "operator")]
        name: OperatorName,
    },
    /// Print the public part of an operator's key
    #[command(after_help = "Examples:\n  vouchsafe operator show --name ann > ann.pem")]
    Show {
        /// The operator's name; not needed if there is one only
        #[arg(long)]
        name: Option<OperatorName>,
    },
}

/// Runs it.
pub(crate) fn run(command: OperatorCommand, context: &Context) -> Result<Output> {
    match command {
        OperatorCommand::Keygen { name } => {
            let path = context.home.operator_key_path(&name);
            if path.exists() {
                let message = format!("operator '{name}' has a key already: {}", path.display());
                return Err(Problem::new("exists", message)
                    .hint("'vouchsafe operator show' prints its public part")
                    .into());
            }
            Ok(shown(&name, &key_of(&context.home, &name)?))
        }
        OperatorCommand::Show { name } => {
            let name = context.operator(name.as_ref())?;
            Ok(shown(&name, &load_key(context.home.operator_key_path(&name))?))
        }
    }
}

/// The operator's key, made if it is not there.
pub(crate) fn key_of(home: &Home, name: &OperatorName) -> Result<P256Key> {
    let path = home.operator_key_path(name);
    if path.exists() {
        return Ok(load_key(path)?);
    }
    home.create()?;
    private_dir(&home.operator_dir(name))?;
    let key = P256Key::generate()?;
    save_key(path, &key)?;
    Ok(key)
}

fn shown(name: &OperatorName, key: &P256Key) -> Output {
    let text = pem("PUBLIC KEY", &key.spki());
    let json = json!({ "operator": name.as_str(), "public_key": text });
    Output::new(text, json)
}
