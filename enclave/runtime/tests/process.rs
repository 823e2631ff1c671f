//! The program itself: its line, its exit codes, its end, and what is left of it after a seal.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test binary, helpers included"
)]

mod support;

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use support::PATIENCE;
use support::front::Front;
use support::host::{Disk, FakeHost};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use vouchsafe_client::{Expect, InitParts, IntroduceError, Session, VaultPlatform, init, introduce_operator};
use vouchsafe_crypto::signature::P256Key;
use vouchsafe_platform::sim::fleet_root;
use vouchsafe_protocol::anchors::{AmdAnchors, Anchors};
use vouchsafe_protocol::introduction::OperatorKey;
use vouchsafe_protocol::kv::{Cas, SecretValue};
use vouchsafe_protocol::link::EnclaveState;
use vouchsafe_protocol::refusal::RefusalCode;

struct Program {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Program {
    fn command(dir: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vouchsafe-enclave"));
        command.arg("--listen").arg(format!("unix:{}", dir.join("enclave.sock").display()));
        command.args(["--platform", "sim", "--sim-dir"]).arg(dir.join("sim"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    async fn start(dir: &Path) -> Self {
        let mut child = Self::command(dir).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut program = Self { child, out };
        let link = format!("unix:{}", dir.join("enclave.sock").display());
        assert_eq!(program.line().await, format!("listening {{\"link\":\"{link}\"}}\n"));
        program
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let reading = self.out.read_line(&mut line);
        tokio::time::timeout(PATIENCE, reading).await.expect("a line").unwrap();
        line
    }

    fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// How it ends after SIGTERM, and what it said on standard error.
    async fn terminate(mut self) -> (ExitStatus, String) {
        let id = Pid::from_raw(i32::try_from(self.id()).unwrap()).unwrap();
        kill_process(id, Signal::TERM).unwrap();
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap();
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
        (status, said)
    }
}

/// Whether the process has these bytes anywhere in its memory; `None` if this user may not look.
fn remembers(id: u32, bytes: &[u8]) -> Option<bool> {
    let maps = fs::read_to_string(format!("/proc/{id}/maps")).ok()?;
    let mut memory = fs::File::open(format!("/proc/{id}/mem")).ok()?;
    let mut seen = false;
    for map in maps.lines().filter(|map| map.split(' ').nth(1).is_some_and(|mode| mode.starts_with("rw"))) {
        let (from, to) = map.split(' ').next().unwrap().split_once('-').unwrap();
        let (from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        let mut content = vec![0; usize::try_from(to - from).unwrap()];
        // Some regions cannot be read; what cannot be read here holds no program data.
        if memory.seek(SeekFrom::Start(from)).is_ok() && memory.read_exact(&mut content).is_ok() {
            seen |= content.windows(bytes.len()).any(|window| window == bytes);
        }
    }
    Some(seen)
}

#[tokio::test]
async fn v8_after_a_seal_nothing_of_a_secret_is_left_in_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let mut program = Program::start(dir.path()).await;
    let mut host = FakeHost::new(dir.path().join("enclave.sock"), Disk::default());
    host.connect().await;
    host.wait(|state| matches!(state, EnclaveState::Uninitialised)).await;

    let front = Front::start(dir.path().join("enclave.sock")).await;
    let key = P256Key::generate().unwrap();
    let root = fleet_root(&dir.path().join("sim")).unwrap();
    let parts = InitParts {
        operators: vec![OperatorKey { name: "root".parse().unwrap(), key: key.spki() }],
        anchors: Anchors { amd: AmdAnchors::Simulated(vec![root]), tpm: vec![] },
    };
    let platform = VaultPlatform::DangerousTrustWhatItShows;
    let pin = init(front.endpoint(), &parts, &platform).await.unwrap().pin;
    let name = "root".parse().unwrap();
    let operator = introduce_operator(front.endpoint(), Expect::Pinned(&pin), &name, &key).await.unwrap();
    let mut pin = operator.pin;
    let session = Session::connect(front.endpoint(), &operator.identity, &mut pin).await.unwrap();
    // Made at run time, so that it is not in the program.
    let secret: Vec<u8> = (0..48u8).map(|at| at.wrapping_mul(37) ^ 0xa5).collect();
    session.kv().put("kv/a", SecretValue::new(secret.clone()), Cas::Any).await.unwrap();

    let id = program.id();
    match remembers(id, &secret) {
        None => eprintln!("SKIPPED: this user may not read another process's memory; run as root"),
        Some(before) => assert!(before, "the control: an open vault holds it"),
    }
    session.seal().await.unwrap();
    assert!(program.line().await.starts_with("listening "));
    host.connect().await;
    host.wait(|state| matches!(state, EnclaveState::Sealed)).await;
    assert_eq!(program.id(), id);
    let arguments = fs::read(format!("/proc/{id}/cmdline")).unwrap();
    assert!(arguments.ends_with(b"--sealed\0"));
    assert_ne!(remembers(id, &secret), Some(true));

    let refused = introduce_operator(front.endpoint(), Expect::Pinned(&pin), &name, &key).await.unwrap_err();
    assert!(
        matches!(&refused, IntroduceError::Refused(refusal) if refusal.code == RefusalCode::Sealed),
        "{refused:?}"
    );
    let (status, said) = program.terminate().await;
    assert_eq!(status.code(), Some(0), "{said}");

    let program = Program::start(dir.path()).await;
    host.connect().await;
    host.wait(|state| matches!(state, EnclaveState::Serving { .. })).await;
    let (status, said) = program.terminate().await;
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(!dir.path().join("enclave.sock").exists());
}

#[tokio::test]
async fn wrong_usage_is_2_a_failure_is_1_and_each_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Command::new(env!("CARGO_BIN_EXE_vouchsafe-enclave")).output().await.unwrap();
    assert_eq!(missing.status.code(), Some(2));

    let taken = dir.path().join("enclave.sock");
    fs::write(&taken, "not a socket").unwrap();
    let output = Program::command(dir.path()).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not a socket"));

    let link = format!("unix:{}", dir.path().join("other.sock").display());
    for (arguments, said) in
        [(vec!["tpm", "--tcti", "device:/nonexistent/tpm"], "TPM"), (vec!["snp"], "SEV-SNP")]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vouchsafe-enclave"));
        command.args(["--listen", &link, "--platform"]).args(&arguments);
        let output = command.output().await.unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(said), "{error}");
        assert!(output.stdout.is_empty());
    }
}
