//! The commands, their flags, and the way from arguments to an exit code.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use vouchsafe_protocol::id::VaultId;

use crate::commands::attestation_result::AttestationResultArgs;
use crate::commands::audit::AuditCommand;
use crate::commands::collateral::CollateralCommand;
use crate::commands::derive::DeriveCommand;
use crate::commands::dev::DevArgs;
use crate::commands::init::InitArgs;
use crate::commands::introduce::IntroduceArgs;
use crate::commands::kv::KvCommand;
use crate::commands::lease::LeaseCommand;
use crate::commands::operator::OperatorCommand;
use crate::commands::pin::PinCommand;
use crate::commands::policy::PolicyCommand;
use crate::commands::role::RoleCommand;
use crate::commands::seen::VaultEvidenceCommand;
use crate::commands::status::StatusArgs;
use crate::commands::transit::TransitCommand;
use crate::commands::{
    attestation_result, audit, collateral, completion, derive, dev, init, introduce, kv, lease, operator,
    pin, policy, role, seal, seen, status, transit,
};
use crate::context::Context;
use crate::evidence::EvidenceCommand;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::{Format, Output, print_failure};

const EXAMPLES: &str = "\
Examples:
  See the whole thing on a simulated platform:
    vouchsafe dev

  Make a vault, write a secret, read it as an attested agent:
    vouchsafe init --trust-shown-platform --anchor maker=ek-roots.pem,hardware
    vouchsafe role apply billing.toml
    vouchsafe kv put kv/billing/db @password.txt
    vouchsafe introduce --role billing --platform tpm
    vouchsafe kv get kv/billing/db

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 done and something expires ('collateral
expiring'), somebody would lose access ('policy plan') or there are findings ('policy lint').";

/// A secrets vault that is attested, and whose agents get secrets because their hardware vouches for them.
#[derive(Debug, Parser)]
#[command(
    name = "vouchsafe",
    bin_name = "vouchsafe",
    version,
    after_help = EXAMPLES,
    arg_required_else_help = true,
    subcommand_required = true,
    max_term_width = 110
)]
pub(crate) struct Cli {
    /// How results are printed
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        hide_possible_values = true,
        value_name = "text|json"
    )]
    output: Format,
    /// Directory of the pin, operators' keys and identities [default: ~/.vouchsafe]
    #[arg(long, global = true, env = "VOUCHSAFE_DIR", value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Where vouchsafe-host listens [default: as remembered in the directory, else 127.0.0.1:8600]
    #[arg(long, global = true, env = "VOUCHSAFE_ADDRESS", value_name = "HOST:PORT", value_parser = address)]
    address: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A signed result of this agent's appraisal, for others to rely on; and its verification
    AttestationResult(AttestationResultArgs),
    /// Read and verify the log
    #[command(subcommand, after_help = "Examples:\n  vouchsafe audit tail\n  vouchsafe audit verify --live")]
    Audit(AuditCommand),
    /// Certificates and revocation lists that the vault verifies evidence with
    #[command(
        subcommand,
        after_help = "Examples:\n  vouchsafe collateral import vcek.der genoa.crl\n  \
        vouchsafe collateral expiring --within 30d"
    )]
    Collateral(CollateralCommand),
    /// Print a completion script for a shell
    #[command(after_help = "Examples:\n  vouchsafe completion bash > /etc/bash_completion.d/vouchsafe\n  \
        vouchsafe completion zsh > ~/.zfunc/_vouchsafe")]
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Keys that the vault derives for a role and a label: for disks and applications
    #[command(
        subcommand,
        after_help = "Examples:\n  vouchsafe derive key derive/db/disk | cryptsetup open --key-file - /dev/vdb data\n  \
        vouchsafe derive rotate derive/db/disk"
    )]
    Derive(DeriveCommand),
    /// Run a whole vault on the simulated platform, to try things out
    Dev(DevArgs),
    /// Look at evidence, and check it with the vault's own verifier
    #[command(
        subcommand,
        after_help = "Examples:\n  vouchsafe evidence inspect report.bin\n  \
        vouchsafe evidence check ../shared/evidence"
    )]
    Evidence(VaultEvidenceCommand),
    /// Make a vault in an enclave that has none, and pin it
    Init(InitArgs),
    /// Attest this machine to the vault, and keep the identity that it grants
    Introduce(IntroduceArgs),
    /// Read, write and manage secrets
    #[command(
        subcommand,
        after_help = "Examples:\n  vouchsafe kv put kv/billing/db @password.txt\n  \
        vouchsafe kv get kv/billing/db"
    )]
    Kv(KvCommand),
    /// What was handed out for a time: list, renew, end
    #[command(
        subcommand,
        after_help = "Examples:\n  vouchsafe lease list\n  vouchsafe lease revoke --prefix kv/billing"
    )]
    Lease(LeaseCommand),
    /// Operators' keys
    #[command(subcommand, after_help = "Examples:\n  vouchsafe operator keygen --name ann > ann.pem")]
    Operator(OperatorCommand),
    /// What this directory knows of its vault
    #[command(subcommand, after_help = "Examples:\n  vouchsafe pin show > pin.toml")]
    Pin(PinCommand),
    /// Try policy files on evidence before they are applied, and import reference values
    #[command(
        subcommand,
        after_help = "Examples:\n  vouchsafe policy explain billing.toml --role billing --evidence ./bundle\n  \
        vouchsafe policy plan billing.toml"
    )]
    Policy(PolicyCommand),
    /// Load and look at policy
    #[command(
        subcommand,
        after_help = "Examples:\n  vouchsafe role apply billing.toml\n  vouchsafe role show billing"
    )]
    Role(RoleCommand),
    /// Make the vault forget every key until its enclave is started again
    #[command(
        after_help = "Examples:\n  vouchsafe seal\n\nTo serve again, restart vouchsafe-enclave on the same \
        machine; no operator is needed for that."
    )]
    Seal,
    /// What the vault is and does
    Status(StatusArgs),
    /// Encrypt, decrypt, sign and verify with keys that never leave the vault
    #[command(
        subcommand,
        after_help = "Examples:\n  vouchsafe transit create transit/billing/card --kind aes256-gcm\n  \
        vouchsafe transit encrypt transit/billing/card @card.txt"
    )]
    Transit(TransitCommand),
}

/// Runs the command line and returns its exit code: 0 done, 1 refused or failed, 2 wrong usage, 3 something expires.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &arguments),
    };
    let (format, dir) = (cli.output, cli.dir.clone());
    match execute(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let failure = Failure::of(&error);
            print_failure(&failure, format, pinned(dir.as_deref()));
            ExitCode::from(failure.exit)
        }
    }
}

/// The vault that a failed command was about, as far as the directory tells.
fn pinned(dir: Option<&Path>) -> Option<VaultId> {
    let pin = Home::locate(dir).ok()?.pin().ok()?;
    Some(pin.vault_id)
}

/// Help and version go to standard output; wrong usage is an error like any other.
fn usage(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    let pairs = arguments.windows(2);
    let json = arguments.iter().any(|argument| argument == "--output=json")
        || pairs
            .into_iter()
            .any(|pair| matches!(pair, [flag, value] if flag == "--output" && value == "json"));
    if json && error.use_stderr() {
        print_failure(&Failure::usage(error), Format::Json, None);
    } else if error.print().is_err() {
        return ExitCode::FAILURE;
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn execute(cli: Cli) -> Result<u8> {
    let format = cli.output;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let Some(mut done) = runtime.block_on(dispatch(cli))? else { return Ok(0) };
    let exit = if done.passed { done.exit } else { 1 };
    let late = std::mem::replace(&mut done.late, Ok(()));
    written(done.print(format))?;
    late?;
    Ok(exit)
}

/// A reader that has seen enough, such as `head`, is no error.
fn written(result: std::io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to standard output"),
    }
}

/// `None` for what has printed by itself.
async fn dispatch(cli: Cli) -> Result<Option<Output>> {
    let Cli { output: format, dir, address, command } = cli;
    let context = || Context::new(dir.as_deref(), address.clone());
    Ok(Some(match command {
        Command::AttestationResult(args) => attestation_result::run(args, context).await?,
        Command::Audit(command) => audit::run(command, &context()?).await?,
        Command::Collateral(command) => collateral::run(command, context).await?,
        Command::Completion { shell } => {
            written(completion::print(shell))?;
            return Ok(None);
        }
        Command::Derive(command) => derive::run(command, &context()?).await?,
        Command::Dev(args) => {
            dev::run(args, dir, format).await?;
            return Ok(None);
        }
        Command::Evidence(command) => match command {
            VaultEvidenceCommand::Offline(command) => evidence(command, format)?,
            VaultEvidenceCommand::ForgetTpm { key } => seen::forget_tpm(&key, &context()?).await?,
            VaultEvidenceCommand::Seen => seen::run(&context()?).await?,
        },
        Command::Init(args) => init::run(args, &context()?).await?,
        Command::Introduce(args) => introduce::run(args, &context()?).await?,
        Command::Kv(KvCommand::Watch(args)) => {
            kv::watch(args, &context()?, format).await?;
            return Ok(None);
        }
        Command::Kv(command) => kv::run(command, &context()?).await?,
        Command::Lease(command) => lease::run(command, &context()?).await?,
        Command::Operator(command) => operator::run(command, &context()?)?,
        Command::Pin(command) => pin::run(command, &context()?)?,
        Command::Policy(command) => policy::run(command, context).await?,
        Command::Role(command) => role::run(command, &context()?).await?,
        Command::Seal => seal::run(&context()?).await?,
        Command::Status(args) => status::run(args, &context()?).await?,
        Command::Transit(command) => transit::run(command, &context()?).await?,
    }))
}

/// Evidence is of no vault; its command formats for itself.
fn evidence(command: EvidenceCommand, format: Format) -> Result<Output> {
    let mut bytes = Vec::new();
    let code = command.run(format == Format::Json, &mut bytes)?;
    let text = String::from_utf8(bytes).context("the report is not text")?;
    let json = match format {
        Format::Json => serde_json::from_str(&text).context("the report is not JSON")?,
        Format::Text => serde_json::Value::Null,
    };
    let output = Output::new(text, json);
    Ok(if code == 1 { output.failed_if(true) } else { output.exit_with(code) })
}

/// `HOST:PORT`, a name or a numeric address.
fn address(text: &str) -> Result<String, &'static str> {
    let (host, port) = text.rsplit_once(':').ok_or("an address is HOST:PORT, as in 127.0.0.1:8600")?;
    let valid = !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0);
    if valid { Ok(text.to_owned()) } else { Err("an address is HOST:PORT, as in 127.0.0.1:8600") }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples_and_says_what_it_does() {
        fn check(command: &mut clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            if command.get_name() == "help" {
                return;
            }
            assert!(command.get_about().is_some(), "{path} has no description");
            let help = command.render_long_help().to_string();
            assert!(help.contains("Example"), "{path} has no examples");
            for child in command.get_subcommands_mut() {
                check(child, &path);
            }
        }
        check(&mut Cli::command(), "");
    }

    #[test]
    fn addresses_are_host_and_port() {
        assert!(address("vault.example:8600").is_ok() && address("[::1]:1").is_ok());
        for text in ["", "x", ":1", "x:", "x:0", "x:65536", "8600"] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
