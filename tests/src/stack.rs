//! A whole vault in real processes over loopback: enclave and host, started, killed and started again.
//!
//! Everything lives below one directory of its own; only processes started here are ended, by their id.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{interval, timeout};
use vouchsafe_client::{
    Endpoint, Expect, Identity, InitParts, Introduced, Machine, Pin, Session, VaultPlatform, init, introduce,
    introduce_operator,
};
use vouchsafe_crypto::signature::P256Key;
use vouchsafe_platform::sim::{Creation, SimConfig, SimPlatform, fleet_root};
use vouchsafe_protocol::anchors::{AmdAnchors, Anchors};
use vouchsafe_protocol::introduction::OperatorKey;

use crate::tap::{Tamper, Tap};

/// Longest wait for anything that should take a second at most; machines that run tests are slow.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How often `/readyz` is asked while a vault comes up.
const POLL: Duration = Duration::from_millis(10);
/// Signal number of SIGTERM.
const TERM: &str = "-TERM";

/// A process that prints `listening {...}` on its standard output once it does.
pub struct Process {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    name: String,
}

impl Process {
    /// Starts a program of this workspace, built beside the running test. Standard error goes to `log`.
    ///
    /// # Errors
    /// If it is not built or does not start.
    pub fn start(program: &str, arguments: &[String], log: &Path) -> anyhow::Result<Self> {
        Self::start_through(&[], program, arguments, log)
    }

    /// The same through another program that becomes this one, such as `nsenter ...`.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub fn start_through(
        prefix: &[String],
        program: &str,
        arguments: &[String],
        log: &Path,
    ) -> anyhow::Result<Self> {
        let path = binary(program)?;
        let log = std::fs::File::options().create(true).append(true).open(log)?;
        let own = path.display().to_string();
        let mut line = prefix.iter().chain([&own]).chain(arguments);
        let first = line.next().context("no program")?;
        let mut child = Command::new(first)
            .args(line)
            .env("TSS2_LOG", "all+NONE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", path.display()))?;
        let stdout = child.stdout.take().context("standard output")?;
        Ok(Self { child, stdout: BufReader::new(stdout).lines(), name: program.to_owned() })
    }

    /// Waits for the line that says where it listens, and gives what follows `listening `.
    ///
    /// # Errors
    /// If it ends first or takes too long.
    pub async fn listening(&mut self) -> anyhow::Result<String> {
        let line = timeout(PATIENCE, self.stdout.next_line()).await.context("too slow to listen")??;
        let line = line.with_context(|| format!("{} ended before it listened", self.name))?;
        line.strip_prefix("listening ").map(str::to_owned).with_context(|| format!("unexpected line: {line}"))
    }

    /// Process id.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Kills it like a power cut, and waits until it is gone.
    ///
    /// # Errors
    /// If it cannot be killed.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("kill -9")
    }

    /// Asks it to stop and waits for its exit.
    ///
    /// # Errors
    /// If it does not stop.
    pub async fn stop(mut self) -> anyhow::Result<ExitStatus> {
        let id = self.child.id().context("it ended already")?;
        let told = Command::new("kill").arg(TERM).arg(id.to_string()).status().await?;
        ensure!(told.success(), "kill {TERM} {id}");
        Ok(timeout(PATIENCE, self.child.wait()).await.context("too slow to stop")??)
    }
}

/// The program of this name, beside the running one or in `VOUCHSAFE_BIN_DIR`.
///
/// # Errors
/// If it is not built.
pub fn binary(program: &str) -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let beside = here.ancestors().skip(1).take(2).map(Path::to_path_buf);
    let configured = std::env::var_os("VOUCHSAFE_BIN_DIR").map(PathBuf::from);
    let found = configured.into_iter().chain(beside).map(|dir| dir.join(program)).find(|path| path.is_file());
    found.with_context(|| format!("{program} is not built; run 'cargo build --workspace --bins' first"))
}

/// What the enclave runs on.
#[derive(Clone, Debug)]
pub enum Below {
    /// A simulated machine of the stack's own fleet.
    Sim,
    /// A TPM by its TCTI string.
    Tpm(String),
}

/// Enclave and host, and where they keep their things.
pub struct Stack {
    dir: PathBuf,
    below: Below,
    enclave: Option<Process>,
    host: Option<Process>,
    agents: SocketAddr,
    admin: SocketAddr,
    /// Where the host finds the enclave; differs from the enclave's own socket when something listens between.
    link: PathBuf,
    /// What the host is started through.
    host_prefix: Vec<String>,
    /// How much both log.
    log_level: &'static str,
}

impl Stack {
    /// Starts both processes below `dir`, which the caller owns. The vault is not initialised.
    ///
    /// # Errors
    /// If a process does not start.
    pub async fn start(dir: &Path, below: Below) -> anyhow::Result<Self> {
        Self::start_with(dir, below, Vec::new()).await
    }

    /// The same, with the host started through another program: see [`Process::start_through`].
    ///
    /// # Errors
    /// If a process does not start.
    pub async fn start_with(dir: &Path, below: Below, host_prefix: Vec<String>) -> anyhow::Result<Self> {
        let mut stack = Self { host_prefix, ..Self::stopped(dir, below) };
        stack.start_enclave().await?;
        stack.start_host().await?;
        Ok(stack)
    }

    fn stopped(dir: &Path, below: Below) -> Self {
        let none = SocketAddr::from(([127, 0, 0, 1], 0));
        let (dir, link, host_prefix) = (dir.to_owned(), dir.join("enclave.sock"), Vec::new());
        let (agents, admin, log_level) = (none, none, "info");
        Self { dir, below, enclave: None, host: None, agents, admin, link, host_prefix, log_level }
    }

    /// The same with everything between host and enclave passing through a tap, whose socket is `tap.sock`.
    /// Both processes log all that they can.
    ///
    /// # Errors
    /// If a process does not start.
    pub async fn start_tapped(
        dir: &Path,
        below: Below,
        tamper: Arc<dyn Tamper>,
    ) -> anyhow::Result<(Self, Tap)> {
        let mut stack = Self { link: dir.join("tap.sock"), log_level: "debug", ..Self::stopped(dir, below) };
        let tap = Tap::start(&stack.link, &stack.socket(), tamper)?;
        stack.start_enclave().await?;
        stack.start_host().await?;
        Ok((stack, tap))
    }

    /// Makes the enclave run on another machine, from its next start on.
    pub fn set_below(&mut self, below: Below) {
        self.below = below;
    }

    /// What a process has logged so far: `enclave` or `host`.
    ///
    /// # Errors
    /// If it was never started.
    pub fn log(&self, process: &str) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.dir.join(format!("{process}.log")))?)
    }

    /// Where everything is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes the host connect to another socket than the enclave's, from its next start on.
    pub fn set_link(&mut self, link: PathBuf) {
        self.link = link;
    }

    /// Where the enclave listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.join("enclave.sock")
    }

    /// What the host keeps.
    #[must_use]
    pub fn host_dir(&self) -> PathBuf {
        self.dir.join("host")
    }

    /// The simulated machines.
    #[must_use]
    pub fn fleet(&self) -> PathBuf {
        self.dir.join("sim")
    }

    /// Starts the enclave.
    ///
    /// # Errors
    /// If it does not listen.
    pub async fn start_enclave(&mut self) -> anyhow::Result<()> {
        let mut arguments = vec!["--listen".to_owned(), format!("unix:{}", self.socket().display())];
        arguments.extend(["--log", self.log_level, "--platform"].map(str::to_owned));
        match &self.below {
            Below::Sim => {
                arguments.extend(["sim", "--sim-dir"].map(str::to_owned));
                arguments.push(self.fleet().display().to_string());
            }
            Below::Tpm(tcti) => arguments.extend(["tpm", "--tcti", tcti].map(str::to_owned)),
        }
        let mut process = Process::start("vouchsafe-enclave", &arguments, &self.dir.join("enclave.log"))?;
        process.listening().await?;
        self.enclave = Some(process);
        Ok(())
    }

    /// Starts the host, on the same addresses as before if there were any.
    ///
    /// # Errors
    /// If it does not listen.
    pub async fn start_host(&mut self) -> anyhow::Result<()> {
        let arguments: Vec<String> = [
            ("--listen", self.agents.to_string()),
            ("--admin", self.admin.to_string()),
            ("--enclave", format!("unix:{}", self.link.display())),
            ("--data", self.host_dir().display().to_string()),
            ("--introductions-per-minute-per-peer", "60000".to_owned()),
            ("--max-connections-per-peer", "4096".to_owned()),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value])
        .collect();
        let log = self.dir.join("host.log");
        let mut prefix = self.host_prefix.clone();
        prefix.extend(["env".to_owned(), format!("RUST_LOG={}", self.log_level)]);
        let mut process = Process::start_through(&prefix, "vouchsafe-host", &arguments, &log)?;
        let addresses: serde_json::Value = serde_json::from_str(&process.listening().await?)?;
        let address = |name: &str| -> anyhow::Result<SocketAddr> {
            Ok(addresses.get(name).and_then(|text| text.as_str()).context("address")?.parse()?)
        };
        (self.agents, self.admin) = (address("agents")?, address("admin")?);
        self.host = Some(process);
        Ok(())
    }

    /// Kills the enclave.
    ///
    /// # Errors
    /// If it does not run.
    pub async fn kill_enclave(&mut self) -> anyhow::Result<()> {
        self.enclave.take().context("no enclave")?.kill().await
    }

    /// Kills the host.
    ///
    /// # Errors
    /// If it does not run.
    pub async fn kill_host(&mut self) -> anyhow::Result<()> {
        self.host.take().context("no host")?.kill().await
    }

    /// Stops both in order: the enclave first, so that its last words are stored.
    ///
    /// # Errors
    /// If one does not stop, or not cleanly.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        for process in [self.enclave.take(), self.host.take()].into_iter().flatten() {
            let name = process.name.clone();
            let status = process.stop().await?;
            ensure!(status.success(), "{name} stopped with {status}");
        }
        Ok(())
    }

    /// Process ids of enclave and host.
    #[must_use]
    pub fn ids(&self) -> (Option<u32>, Option<u32>) {
        (self.enclave.as_ref().and_then(Process::id), self.host.as_ref().and_then(Process::id))
    }

    /// Where agents connect.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::new(self.agents.to_string())
    }

    /// Status line and body of a page on the admin address.
    ///
    /// # Errors
    /// If the host does not answer.
    pub async fn admin(&self, page: &str) -> anyhow::Result<(String, String)> {
        let mut stream = TcpStream::connect(self.admin).await?;
        let request = format!("GET {page} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.context("the admin page is silent")??;
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
        Ok((head.lines().next().unwrap_or_default().to_owned(), body.to_owned()))
    }

    /// Waits until `/readyz` says something that `wanted` takes, and gives the page.
    ///
    /// # Errors
    /// If that takes too long; with the last page.
    pub async fn await_page(&self, wanted: impl Fn(&str, &str) -> bool) -> anyhow::Result<String> {
        let mut tick = interval(POLL);
        let mut last = String::new();
        let waiting = async {
            loop {
                tick.tick().await;
                if let Ok((status, body)) = self.admin("/readyz").await {
                    if wanted(&status, &body) {
                        return body;
                    }
                    last = format!("{status}: {body}");
                }
            }
        };
        let reached = timeout(PATIENCE, waiting).await;
        match reached {
            Ok(body) => Ok(body),
            Err(_) => bail!("the vault did not come up; /readyz says {last}"),
        }
    }

    /// Waits until the vault serves.
    ///
    /// # Errors
    /// If that takes too long.
    pub async fn ready(&self) -> anyhow::Result<()> {
        self.await_page(|status, _| status.contains(" 200 ")).await.map(drop)
    }
}

/// What an operator of a test vault holds.
pub struct Operator {
    /// The key pinned at `init`.
    pub key: P256Key,
    /// The vault.
    pub pin: Pin,
}

impl Operator {
    /// Initialises a simulated vault.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn init(stack: &Stack) -> anyhow::Result<Self> {
        let amd = AmdAnchors::Simulated(vec![fleet_root(&stack.fleet())?]);
        Self::init_with(stack, Anchors { amd, tpm: Vec::new() }).await
    }

    /// Initialises a vault with these anchors.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn init_with(stack: &Stack, anchors: Anchors) -> anyhow::Result<Self> {
        stack.await_page(|_, body| body.contains("init")).await?;
        let key = P256Key::generate()?;
        let operators = vec![OperatorKey { name: "op".parse()?, key: key.spki() }];
        let parts = InitParts { operators, anchors };
        let made = init(&stack.endpoint(), &parts, &VaultPlatform::DangerousTrustWhatItShows).await?;
        stack.ready().await?;
        Ok(Self { key, pin: made.pin })
    }

    /// Opens an operator's session.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn connect(&mut self, stack: &Stack) -> anyhow::Result<Session> {
        let endpoint = stack.endpoint();
        let introduced =
            introduce_operator(&endpoint, Expect::Pinned(&self.pin), &"op".parse()?, &self.key).await?;
        self.pin = introduced.pin;
        Ok(Session::connect(&endpoint, &introduced.identity, &mut self.pin).await?)
    }
}

/// A simulated agent's machine in the stack's fleet.
///
/// # Errors
/// If it cannot be made.
pub fn sim_machine(stack: &Stack, name: &str) -> anyhow::Result<Machine> {
    let config = SimConfig { creation: Creation::IfMissing, ..SimConfig::new(stack.fleet(), name) };
    Ok(Machine::new(SimPlatform::open(&config)?))
}

/// The policy of a role for simulated agents with grants on `path`.
#[must_use]
pub fn sim_role(role: &str, path: &str) -> String {
    let digest: String = vouchsafe_platform::sim::measurement(vouchsafe_platform::sim::DEFAULT_IMAGE)
        .0
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!(
        r#"
[tcb_floor.lowest]
date = "2026-01-01"
source = "tests"
genoa = {{ boot_loader = 0, tee = 0, snp = 0, microcode = 0 }}

[role.{role}]
spiffe_path = "/{role}"
evidence_max_age = "1h"
identity_ttl = "1h"
refusals = "name-rule"

[[role.{role}.accept]]
kind = "snp"
products = ["genoa"]
measurement = {{ digests = ["{digest}"] }}
tcb_floor = "lowest"
vmpl = 0
chip = "any-chip"
revocation = "unchecked"

[[role.{role}.allow]]
path = "{path}"
can = ["read", "write", "list", "delete", "destroy"]
"#
    )
}

/// An agent with everything to open sessions.
pub struct Agent {
    /// Its identity.
    pub identity: Identity,
    /// Its pin, with its own memory of checkpoints.
    pub pin: Pin,
}

impl Agent {
    /// Introduces a machine.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn introduce(stack: &Stack, pin: &Pin, role: &str, machine: &Machine) -> anyhow::Result<Self> {
        let endpoint = stack.endpoint();
        let Introduced { identity, pin, .. } =
            introduce(&endpoint, Expect::Pinned(pin), &role.parse()?, machine).await?;
        Ok(Self { identity, pin })
    }

    /// Opens a session.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn connect(&mut self, stack: &Stack) -> anyhow::Result<Session> {
        Ok(Session::connect(&stack.endpoint(), &self.identity, &mut self.pin).await?)
    }
}
