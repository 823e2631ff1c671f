//! `vouchsafe dev`: a whole vault on the simulated platform, in one command.
//!
//! It runs the same programs as a real installation: `vouchsafe-enclave` on a simulated machine and
//! `vouchsafe-host` in front of it. Only the trust anchors differ, and the vault's id says so.

mod children;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::signal::unix::{Signal, SignalKind, signal};
use vouchsafe_client::{Pin, VaultPlatform, policy};
use vouchsafe_platform::sim;
use vouchsafe_protocol::anchors::{AmdAnchors, Anchors};
use vouchsafe_protocol::id::OperatorName;

use self::children::{Child, Program};
use super::{init, status};
use crate::context::Context;
use crate::failure::Problem;
use crate::home::{Connection, Home, write_private};
use crate::output::{Format, Output, note};
use crate::progress::during;

/// Name of the operator, of the role, and of what the simulated agent runs.
const OPERATOR: &str = "operator";
const ROLE: &str = "demo";
const AGENT_IMAGE: &str = "agent";
/// Time for the vault to start. A simulated one needs well under a second; slow disks and debug builds more.
const START: Duration = Duration::from_secs(60);
/// Time between two looks at the health page while the vault starts.
const LOOK: Duration = Duration::from_millis(30);

const EXAMPLES: &str = "\
Examples:
  Try things out; nothing is kept:
    vouchsafe dev

  Keep the vault's state; the second run goes on with the same vault:
    vouchsafe dev --dir ./my-vault

  For a program: one JSON object when it serves, then it runs until SIGTERM or SIGINT:
    vouchsafe dev --output json

Simulated: no hardware protects it. Never put a real secret in it.";

/// Flags.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DevArgs {
    /// Where vouchsafe-host listens; port 0 is any free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    listen: std::net::SocketAddr,
}

/// Runs until it is told to stop.
pub(crate) async fn run(args: DevArgs, dir: Option<PathBuf>, format: Format) -> Result<()> {
    let mut stop = Stop::new()?;
    let temporary = match &dir {
        Some(_) => None,
        None => Some(private_temporary("vouchsafe-dev-")?),
    };
    let home = Home::locate(Some(match (&dir, &temporary) {
        (Some(dir), _) => dir,
        (None, Some(temporary)) => temporary.path(),
        (None, None) => Path::new("."),
    }))?;
    home.create()?;
    // Unix socket addresses are short; the directory's path need not be.
    let sockets = private_temporary("vouchsafe-")?;

    let (mut children, connection) = tokio::select! {
        started = during("starting a vault", Children::start(&home, sockets.path(), args.listen, dir.is_some())) => started?,
        () = stop.asked() => return Ok(()),
    };
    let served = tokio::select! {
        served = serve(connection, &home, format) => served,
        died = children.watch() => Err(died),
        () = stop.asked() => Ok(()),
    };
    let watched = match served {
        Err(error) => Err(error),
        Ok(()) if stop.was_asked => Ok(()),
        Ok(()) => tokio::select! {
            died = children.watch() => Err(died),
            () = stop.asked() => Ok(()),
        },
    };
    let stopped = children.stop().await;
    watched?;
    stopped?;
    note("stopped").context("cannot write to standard error")
}

fn private_temporary(prefix: &str) -> Result<TempDir> {
    let mode = std::fs::Permissions::from_mode(0o700);
    tempfile::Builder::new().prefix(prefix).permissions(mode).tempdir().context("no temporary directory")
}

/// Makes or takes up the vault, and tells how to use it.
async fn serve(connection: Connection, home: &Home, format: Format) -> Result<()> {
    let admin = connection.admin.as_deref().unwrap_or_default();
    let state = during("waiting for the vault", ready(admin)).await?;
    home.save_connection(&connection)?;
    let context = Context { home: home.clone(), connection };
    let pinned = home.pin_path().exists();
    let pin = match (state.as_str(), pinned) {
        ("uninitialised", false) => create(&context).await?,
        ("serving", true) => home.pin()?,
        ("uninitialised", true) => {
            let message = format!("{} pins a vault, but its store is gone", home.path().display());
            return Err(Problem::new("vault-gone", message).hint("use another directory").into());
        }
        _ => {
            let message = format!("{} holds a vault, but no pin for it", home.path().display());
            return Err(Problem::new("no-pin", message).hint("use another directory").into());
        }
    };
    announce(&context, &pin, format)
}

/// A new vault with one role, whose agents may read `kv/demo/*` and use `transit/demo/*` and `derive/demo/*`.
async fn create(context: &Context) -> Result<Pin> {
    let root = sim::fleet_root(&context.home.path().join("sim"))?;
    let anchors = Anchors { amd: AmdAnchors::Simulated(vec![root]), tpm: Vec::new() };
    let operator: OperatorName = OPERATOR.parse()?;
    let platform = VaultPlatform::DangerousTrustWhatItShows;
    init::create(context, &operator, &[], anchors, &platform).await?;

    let text = demo_role();
    let path = context.home.path().join("demo-role.toml");
    write_private(&path, text.as_bytes())?;
    let roles = policy::compile(&[("demo-role.toml", &text)])?;
    let conversation = context.as_operator(None).await?;
    let applied = conversation.session.roles().apply(roles).await.context("the role was not applied");
    conversation.conclude(&context.home, applied).await?.1.all()
}

/// The role, as a file to look at and to change.
fn demo_role() -> String {
    let measurement = hex::encode(sim::measurement(AGENT_IMAGE).0);
    format!(
        r#"# What `vouchsafe dev` applies. Change it and run: vouchsafe role apply demo-role.toml
[role.{ROLE}]
spiffe_path      = "/demo/agent"
evidence_max_age = "8h"
identity_ttl     = "8h"
refusals         = "name-rule"

[[role.{ROLE}.accept]]
kind        = "snp"
products    = ["genoa"]
measurement = {{ digests = ["{measurement}"] }}  # of the simulated image "{AGENT_IMAGE}"
tcb_floor   = "simulated"
vmpl        = 0
chip        = "any-chip"
revocation  = "unchecked"

[[role.{ROLE}.allow]]
path = "kv/demo/*"
can  = ["read", "list"]

[[role.{ROLE}.allow]]
path = "transit/demo/*"
can  = ["data-key", "decrypt", "encrypt", "export", "list", "rewrap", "sign", "verify"]

[[role.{ROLE}.allow]]
path = "derive/demo/*"
can  = ["derive", "list"]

[tcb_floor.simulated]
date  = "2026-01-01"
genoa = {{ boot_loader = 9, tee = 0, snp = 23, microcode = 72 }}
"#
    )
}

/// Address, vault id, and three commands to try.
fn announce(context: &Context, pin: &Pin, format: Format) -> Result<()> {
    let dir = context.home.path().display().to_string();
    let program = children::shown_program();
    let commands = [
        format!("echo 'my first secret' | {program} --dir {dir} kv put kv/demo/hello -"),
        format!("{program} --dir {dir} introduce --role {ROLE} --platform sim"),
        format!("{program} --dir {dir} kv get kv/demo/hello"),
    ];
    let Connection { address, admin } = &context.connection;
    let text = format!(
        "vault        {}\n\
         address      {address}\n\
         health       http://{}/readyz\n\
         directory    {dir}\n\n\
         Try, in another terminal: write a secret as the operator, attest as an agent, read it as that agent:\n\
         \x20 {}\n\n\
         Ctrl-C stops it.",
        pin.vault_id,
        admin.as_deref().unwrap_or_default(),
        commands.join("\n  "),
    );
    let json = json!({ "address": address, "admin": admin, "directory": dir, "commands": commands });
    Output::new(text, json).about(pin.vault_id).print(format).context("cannot write to standard output")
}

/// Enclave and host.
struct Children {
    enclave: Child,
    host: Child,
}

impl Children {
    /// `kept`: whether the directory outlives this program.
    async fn start(
        home: &Home,
        sockets: &Path,
        listen: std::net::SocketAddr,
        kept: bool,
    ) -> Result<(Self, Connection)> {
        let link = format!("unix:{}", sockets.join("enclave.sock").display());
        let path = |name: &str| home.path().join(name).into_os_string();
        let mut enclave = Child::start(
            &Program::find("vouchsafe-enclave")?,
            &[
                "--listen".into(),
                link.clone().into(),
                "--platform".into(),
                "sim".into(),
                "--sim-dir".into(),
                path("sim"),
            ],
            (&home.path().join("enclave.log"), kept),
        )?;
        enclave.listening(START).await?;
        let mut host = Child::start(
            &Program::find("vouchsafe-host")?,
            &[
                "--listen".into(),
                listen.to_string().into(),
                "--admin".into(),
                "127.0.0.1:0".into(),
                "--enclave".into(),
                link.into(),
                "--data".into(),
                path("host"),
            ],
            (&home.path().join("host.log"), kept),
        )?;
        let line = match host.listening(START).await {
            Ok(line) => line,
            Err(error) => {
                enclave.stop().await?;
                return Err(error);
            }
        };
        let field = |name: &str| line.get(name).and_then(Value::as_str).map(str::to_owned);
        let unclear = || Problem::new("child", "vouchsafe-host does not say where it listens");
        let (address, admin) = (field("agents").ok_or_else(unclear)?, field("admin").ok_or_else(unclear)?);
        Ok((Self { enclave, host }, Connection { address, admin: Some(admin) }))
    }

    /// Returns when one of them ends by itself.
    async fn watch(&mut self) -> anyhow::Error {
        tokio::select! {
            died = self.enclave.died() => died,
            died = self.host.died() => died,
        }
    }

    /// The enclave first: it has its last records stored by the host.
    async fn stop(mut self) -> Result<()> {
        let enclave = self.enclave.stop().await;
        self.host.stop().await?;
        enclave
    }
}

/// The state of the vault once it has one, as the host shows it.
async fn ready(admin: &str) -> Result<String> {
    let looking = async {
        loop {
            let answer = status::ready(admin).await?;
            let field = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            match field("state").as_str() {
                "unreachable" | "silent" => tokio::time::sleep(LOOK).await,
                state @ ("serving" | "uninitialised") => return Ok(state.to_owned()),
                state => {
                    let message = format!("the vault does not start: {state}: {}", field("reason"));
                    let hint = "enclave.log and host.log in its directory say more";
                    return Err(Problem::new("not-serving", message).hint(hint).into());
                }
            }
        }
    };
    tokio::time::timeout(START, looking)
        .await
        .map_err(|_| Problem::new("timeout", "the vault did not start in time"))?
}

/// Ctrl-C or SIGTERM.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
    was_asked: bool,
}

impl Stop {
    fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot wait for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            was_asked: false,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        self.was_asked = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_compiles() {
        let roles = policy::compile(&[("demo-role.toml", &demo_role())]).unwrap();
        assert_eq!(roles[0].name.as_str(), ROLE);
    }
}
