//! `vouchsafe kv`: secrets.

use anyhow::Result;
use clap::Subcommand;

use crate::context::Context;
use crate::output::Output;

mod args;
mod generate;
mod read;
mod receipt;
mod settings;
#[cfg(test)]
mod tests;
mod watch;
mod who;
mod write;

pub(crate) use args::{duration, time};
pub(crate) use watch::watch;
pub(crate) use who::Who;

/// Subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum KvCommand {
    /// Set limits and custom metadata of a secret, or limits of everything below a prefix
    #[command(
        after_help = "Examples:\n  vouchsafe kv configure kv/billing/db --max-versions 5 --custom owner=billing\n  \
        vouchsafe kv configure 'kv/billing/*' --cas required --delete-after 90d\n  \
        vouchsafe kv configure kv/billing/db --cas default --remove-custom owner --no-generator\n\n\
        A secret's own setting counts before one of a prefix, and that of a longer prefix before a shorter one's."
    )]
    Configure(settings::ConfigureArgs),
    /// Mark versions as deleted; they can be undeleted
    #[command(
        after_help = "Examples:\n  vouchsafe kv delete kv/billing/db\n  vouchsafe kv delete kv/billing/db --version 3"
    )]
    Delete(write::DeleteArgs),
    /// Wipe versions for good
    #[command(after_help = "Examples:\n  vouchsafe kv destroy kv/billing/db --version 1 --version 2")]
    Destroy(write::VersionsArgs),
    /// Wipe a secret whole, with all its versions and settings, as if it had never been
    #[command(after_help = "Example:\n  vouchsafe kv forget kv/billing/db")]
    Forget(write::PathArgs),
    /// Have the vault make a secret, now and on a schedule
    #[command(after_help = "Examples:\n  vouchsafe kv generate kv/billing/db --password --length 24\n  \
        vouchsafe kv generate kv/billing/db --password --class lower:2 --class digits:2 --class =-_ \\\n    \
        --rotate-every 30d --grace 1d\n  \
        vouchsafe kv generate kv/billing/token --hex 32\n  vouchsafe kv generate kv/billing/signing --key ed25519\n\n\
        Nobody sees what is made but the agents that may read it. Readers ask for the version before with \
        'vouchsafe kv get --previous', for as long as --grace says.")]
    Generate(generate::GenerateArgs),
    /// Print a secret, byte for byte, on standard output; for agents: operators cannot read values
    #[command(
        after_help = "Examples:\n  vouchsafe kv get kv/billing/db\n  vouchsafe kv get kv/billing/db --field password\n  \
        vouchsafe kv get kv/billing/db --version 2 > old\n  vouchsafe kv get kv/billing/db --previous\n  \
        vouchsafe kv get kv/billing/db --receipt db.receipt\n\nWith --output json the value is a field, as UTF-8 \
        text or else in base64; 'encoding' says which. Fields are an object then, and 'base64' names those of them \
        that are in base64."
    )]
    Get(read::GetArgs),
    /// List names directly below a prefix; '/' ends those that have more below
    #[command(
        after_help = "Examples:\n  vouchsafe kv list kv/billing\n  vouchsafe kv list kv --recursive\n  \
        vouchsafe kv list kv/billing --limit 100 --after db"
    )]
    List(read::ListArgs),
    /// Show the versions of a secret, its settings and the limits in force
    #[command(after_help = "Examples:\n  vouchsafe kv metadata kv/billing/db")]
    Metadata(write::PathArgs),
    /// Change some fields of a secret, without reading the others
    #[command(after_help = "Examples:\n  vouchsafe kv patch kv/billing/db password=- < password.txt\n  \
        vouchsafe kv patch kv/billing/db host=db2 --remove port --cas 4")]
    Patch(write::PatchArgs),
    /// Write a new version of a secret: one value, or named fields
    #[command(after_help = "Examples:\n  vouchsafe kv put kv/billing/db - < password.txt\n  \
        vouchsafe kv put kv/billing/db @password.txt\n  vouchsafe kv put kv/billing/db user=web password=@password.txt\n  \
        vouchsafe kv put kv/billing/flag on --cas 0 --ttl 12h\n  vouchsafe kv put kv/billing/token --bytes a=b\n\n\
        A value on the command line can be seen by other users of the machine; prefer '-' or '@FILE'.")]
    Put(write::PutArgs),
    /// Have the vault make the next version of a generated secret, now
    #[command(after_help = "Example:\n  vouchsafe kv rotate kv/billing/db")]
    Rotate(write::PathArgs),
    /// Show the settings of a prefix
    #[command(after_help = "Example:\n  vouchsafe kv settings 'kv/billing/*'")]
    Settings(settings::SettingsArgs),
    /// Take deletions back
    #[command(after_help = "Examples:\n  vouchsafe kv undelete kv/billing/db --version 3")]
    Undelete(write::VersionsArgs),
    /// Print new versions of secrets as they come, until interrupted; for agents that may read them
    #[command(after_help = "Examples:\n  vouchsafe kv watch kv/billing/db\n  \
        vouchsafe kv watch kv/billing/db kv/billing/token --count 1 && systemctl reload billing\n  \
        vouchsafe kv watch kv/billing/db --after 3 --output json\n\n\
        Prints the path and the number of the version, not the value; with --output json one object for each line. \
        Versions that come faster than they are printed are told as one: the newest.")]
    Watch(watch::WatchArgs),
}

/// Runs it.
pub(crate) async fn run(command: KvCommand, context: &Context) -> Result<Output> {
    match command {
        KvCommand::Configure(args) => settings::configure(args, context).await,
        KvCommand::Delete(args) => write::delete(args, context).await,
        KvCommand::Destroy(args) => write::destroy(args, context).await,
        KvCommand::Forget(args) => write::forget(args, context).await,
        KvCommand::Generate(args) => generate::generate(args, context).await,
        KvCommand::Get(args) => read::get(args, context).await,
        KvCommand::List(args) => read::list(args, context).await,
        KvCommand::Metadata(args) => read::metadata(args, context).await,
        KvCommand::Patch(args) => write::patch(args, context).await,
        KvCommand::Put(args) => write::put(args, context).await,
        KvCommand::Rotate(args) => write::rotate(args, context).await,
        KvCommand::Settings(args) => settings::show(args, context).await,
        KvCommand::Undelete(args) => write::undelete(args, context).await,
        // It goes on, so it prints for itself.
        KvCommand::Watch(args) => {
            let told = watch::watch(args, context, crate::output::Format::Text).await;
            told.map(|()| Output::new("", serde_json::json!({})))
        }
    }
}
