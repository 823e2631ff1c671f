//! Bad input of processes: each says what to do, and nothing is lost.

use std::process::Stdio;

use anyhow::{Context, ensure};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use vouchsafe_client::{Endpoint, RequestError, Session};
use vouchsafe_protocol::lease::Selector;
use vouchsafe_protocol::refusal::{Refusal, RefusalCode};
use vouchsafe_tests::stack::{Agent, Below, Operator, PATIENCE, Stack, binary, sim_machine, sim_role};

use crate::rig::{PATH, ROLE, Rig, VALUE, apply, write};

/// Runs a program to its end; exit code and what it said on standard error.
async fn run(program: &str, arguments: &[&str]) -> anyhow::Result<(Option<i32>, String)> {
    let running = Command::new(binary(program)?)
        .args(arguments)
        .env("TSS2_LOG", "all+NONE")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, running).await.context("it does not end")??;
    Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

async fn assert_fails(program: &str, arguments: &[&str], code: i32, message: &str) -> anyhow::Result<()> {
    let (ended, said) = run(program, arguments).await?;
    ensure!(ended == Some(code), "{arguments:?}: exit code {ended:?}: {said}");
    ensure!(said.contains(message), "{arguments:?} does not say '{message}': {said}");
    Ok(())
}

#[tokio::test]
async fn busy_addresses_and_directories_are_named() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let (address, data) = (rig.stack.endpoint(), rig.stack.host_dir().display().to_string());
    let other = rig.dir.path().join("other").display().to_string();
    let socket = format!("unix:{}", rig.stack.socket().display());
    let host =
        |listen, data| ["--listen", listen, "--admin", "127.0.0.1:0", "--enclave", &socket, "--data", data];
    let busy = format!("{} is in use", address.address());
    assert_fails("vouchsafe-host", &host(address.address(), &other), 1, &busy).await?;
    assert_fails("vouchsafe-host", &host("127.0.0.1:0", &data), 1, "another vouchsafe-host uses").await?;
    let fleet = rig.stack.fleet().display().to_string();
    let enclave = ["--listen", &socket, "--platform", "sim", "--sim-dir", &fleet];
    assert_fails("vouchsafe-enclave", &enclave, 1, "another").await?;
    rig.serves().await
}

#[tokio::test]
async fn a_missing_tpm_and_wrong_flags_are_named() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let socket = format!("unix:{}", dir.path().join("enclave.sock").display());
    let tpm = |tcti: String| {
        let arguments = ["--listen", &socket, "--platform", "tpm", "--tcti", &tcti].map(str::to_owned);
        async move { run("vouchsafe-enclave", &arguments.each_ref().map(String::as_str)).await }
    };
    let missing = dir.path().join("tpmrm0").display().to_string();
    let no_device = format!("no TPM device at {missing}; enable the machine's TPM");
    let (code, said) = tpm(format!("device:{missing}")).await?;
    ensure!(code == Some(1) && said.contains(&no_device), "{code:?}: {said}");
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let (code, said) = tpm(format!("swtpm:host=127.0.0.1,port={port}")).await?;
    ensure!(code == Some(1) && said.contains("no TPM answers at"), "{code:?}: {said}");
    let snp = ["--listen", &socket, "--platform", "snp"];
    if !std::path::Path::new("/dev/sev-guest").exists() {
        assert_fails("vouchsafe-enclave", &snp, 1, "SEV-SNP").await?;
    }
    assert_fails("vouchsafe-enclave", &["--listen", "tcp:1"], 2, "try '--help'").await?;
    assert_fails("vouchsafe-host", &["--no-such-flag"], 2, "try '--help'").await
}

#[tokio::test]
async fn a_host_that_vanishes_in_a_request_loses_nothing() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let session = rig.agent.connect(&rig.stack).await?;
    let writing = session.clone();
    let (told, mut acknowledged) = tokio::sync::watch::channel(0);
    let writer = tokio::spawn(async move {
        loop {
            match write(&writing, "kv/app/counted", VALUE).await {
                Ok(version) => drop(told.send_replace(version)),
                Err(error) => return (error, *told.borrow()),
            }
        }
    });
    tokio::time::timeout(PATIENCE, acknowledged.wait_for(|version| *version >= 20)).await??;
    rig.stack.kill_host().await?;
    let (error, last) = tokio::time::timeout(PATIENCE, writer).await.context("the client hangs")??;
    ensure!(matches!(error, RequestError::Ended(_)), "{error:?}");
    let nobody = rig.agent.connect(&rig.stack).await.err().context("a session without a host")?;
    ensure!(format!("{nobody:#}").contains("is the vault's host running there?"), "{nobody:#}");

    rig.stack.start_host().await?;
    rig.serves().await?;
    let session = rig.agent.connect(&rig.stack).await?;
    let version = session.kv().get("kv/app/counted").await?.version;
    ensure!(version == last || version == last + 1, "{last} was acknowledged, {version} is there");
    Ok(())
}

#[tokio::test]
async fn an_address_where_something_else_listens_is_named() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let hang_up = tokio::spawn(async move { listener.accept().await.map(drop) });
    let endpoint = Endpoint::new(address);
    let wrong = Session::connect(&endpoint, &rig.agent.identity, &mut rig.agent.pin);
    let error = tokio::time::timeout(PATIENCE, wrong).await?.err().context("a session with nobody")?;
    ensure!(format!("{error}").contains("TLS handshake"), "{error}");
    hang_up.await??;
    Ok(())
}

/// A disk of its own in a namespace of its own; gone with this.
struct Disk {
    holder: Child,
    path: String,
}

impl Disk {
    /// `None` where that is not allowed.
    async fn mount(path: &std::path::Path, size: &str) -> anyhow::Result<Option<Self>> {
        std::fs::create_dir_all(path)?;
        let path = path.display().to_string();
        let script = format!("mount -t tmpfs -o size={size} none \"$1\" && echo mounted && exec cat");
        let mut holder = Command::new("unshare")
            .args(["--mount", "sh", "-c", &script, "sh", &path])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(holder.stdout.take().context("standard output")?).lines();
        let mounted = tokio::time::timeout(PATIENCE, lines.next_line()).await??;
        Ok((mounted.as_deref() == Some("mounted")).then_some(Self { holder, path }))
    }

    /// What a program is started through to see it.
    fn enter(&self) -> anyhow::Result<Vec<String>> {
        let id = self.holder.id().context("the holder is gone")?.to_string();
        Ok(["nsenter", "--mount", "--target", &id, "--"].map(str::to_owned).to_vec())
    }

    async fn resize(&self, size: &str) -> anyhow::Result<()> {
        let enter = self.enter()?;
        let (program, arguments) = enter.split_first().context("no program")?;
        let mount = ["mount", "-o", &format!("remount,size={size}"), &self.path].map(str::to_owned);
        let done = Command::new(program).args(arguments).args(mount).status().await?;
        ensure!(done.success(), "the disk cannot be resized");
        Ok(())
    }
}

#[tokio::test]
async fn h10_a_disk_that_fills_stops_agents_first_and_operators_still_revoke() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let Some(disk) = Disk::mount(&dir.path().join("host"), "400m").await? else {
        println!("SKIPPED: a full disk, as this user may not mount one");
        return Ok(());
    };
    let stack = Stack::start_with(dir.path(), Below::Sim, disk.enter()?).await?;
    let mut operator = Operator::init(&stack).await?;
    apply(&stack, &mut operator, &sim_role(ROLE, "kv/app/*")).await?;
    let machine = sim_machine(&stack, "agent")?;
    let mut agent = Agent::introduce(&stack, &operator.pin, ROLE, &machine).await?;
    let session = agent.connect(&stack).await?;
    write(&session, PATH, VALUE).await?;

    let mut acknowledged = 0;
    let block = vec![0x5a; 1024 * 1024 - 64];
    let refused = loop {
        match write(&session, &format!("kv/app/block/{acknowledged}"), &block).await {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
        ensure!(acknowledged < 400, "the disk does not fill");
    };
    ensure!(acknowledged > 0, "the disk was full from the start: {refused}");
    let scarce = |refusal: &Refusal| refusal.code == RefusalCode::Scarce;
    ensure!(matches!(&refused, RequestError::Refused(refusal) if scarce(refusal)), "{refused:?}");
    ensure!(agent.connect(&stack).await.is_err(), "a session was opened");

    // What was kept back takes the decision, and the one after it.
    let session = operator.connect(&stack).await?;
    for number in [1_000_000, 2_000_000] {
        let unknown = session.leases().revoke(&Selector::Identity(number)).await;
        ensure!(unknown.is_err(), "there is no such identity");
    }
    session.leases().revoke(&Selector::Prefix("kv/app".parse()?)).await?;

    // With space again the next answer of the host tells so.
    disk.resize("1g").await?;
    session.status().await?;
    session.close().await?;
    let session = agent.connect(&stack).await?;
    ensure!(session.kv().get(PATH).await?.value.expose_secret() == VALUE, "another value");
    for number in 0..acknowledged {
        let read = session.kv().get(&format!("kv/app/block/{number}")).await?;
        ensure!(read.value.expose_secret() == block, "block {number} is torn");
    }
    Ok(())
}
