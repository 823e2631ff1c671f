//! The program: its exit codes and what it says when something is wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests")]

mod support;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use support::{Rig, StorageSide, fake_enclave, http};
use vouchsafe_protocol::link::{Append, StorageFailure, StorageReply, StorageRequest, StreamId};

fn program(data: &Path, listen: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vouchsafe-host"));
    command.args([
        "--listen",
        listen,
        "--admin",
        "127.0.0.1:0",
        "--enclave",
        "unix:/nonexistent/enclave.sock",
    ]);
    command.arg("--data").arg(data);
    command
}

fn failing(command: &mut Command, code: i32) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let message = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(code), "{message}");
    assert!(stdout.is_empty());
    message
}

/// Runs until it listens; returns the admin address.
fn listening(command: &mut Command) -> (Child, std::net::SocketAddr) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let admin = line.trim_end().strip_prefix("listening {\"agents\":\"127.0.0.1:").unwrap();
    let admin = admin.split_once("\"admin\":\"").unwrap().1.strip_suffix("\"}").unwrap().parse().unwrap();
    (child, admin)
}

fn stop(child: &mut Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn wrong_usage_exits_with_2() {
    let message = failing(&mut Command::new(env!("CARGO_BIN_EXE_vouchsafe-host")), 2);
    assert!(message.contains("--enclave"), "{message}");
    let dir = tempfile::tempdir().unwrap();
    let message = failing(program(dir.path(), "127.0.0.1:0").args(["--max-connections", "none"]), 2);
    assert!(message.contains("--max-connections"), "{message}");
}

#[tokio::test]
async fn a_busy_port_is_named_with_what_to_do() {
    let rig = Rig::start(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    let address = rig.addresses.agents.to_string();
    let message = failing(&mut program(dir.path(), &address), 1);
    assert!(message.contains(&format!("{address} is in use")) && message.contains("--listen"), "{message}");
}

#[tokio::test]
async fn a_data_directory_in_use_is_named() {
    let rig = Rig::start(&[]).await;
    let message = failing(&mut program(&rig.dir.path().join("host"), "127.0.0.1:0"), 1);
    assert!(message.contains("another vouchsafe-host uses the data directory"), "{message}");
}

#[test]
fn an_unusable_data_directory_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let message = failing(&mut program(&file.join("host"), "127.0.0.1:0"), 1);
    assert!(message.contains("cannot create the data directory"), "{message}");
}

#[tokio::test]
async fn it_waits_for_the_enclave_says_so_and_stops_on_either_signal() {
    let dir = tempfile::tempdir().unwrap();
    for signal in [Signal::TERM, Signal::INT] {
        let (mut child, admin) = listening(&mut program(dir.path(), "127.0.0.1:0"));
        let (status, body) = http(admin, "GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!(status, 503);
        assert!(body.contains("\"state\":\"unreachable\""), "{body}");
        stop(&mut child, signal);
    }
}

/// A host on a small file system of its own; nothing where the system does not let this user mount one.
struct SmallDisk {
    _dir: tempfile::TempDir,
    child: Child,
    admin: SocketAddr,
    storage: StorageSide,
}

impl SmallDisk {
    async fn start(size: &str, test: &str) -> Option<Self> {
        let mount = format!("mount -t tmpfs -o size={size} none");
        let may = Command::new("unshare").args(["-rm", "sh", "-c", &format!("{mount} /mnt")]).output();
        if !may.is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED: {test} needs unshare -rm and a tmpfs");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("enclave.sock");
        let (mut links, _agents) = fake_enclave(&socket);
        let data = dir.path().join("host");
        std::fs::create_dir(&data).unwrap();
        let script = format!(
            "{mount} \"$1\" && exec \"$0\" --listen 127.0.0.1:0 --admin 127.0.0.1:0 --enclave \"unix:$2\" --data \"$1\""
        );
        let mut command = Command::new("unshare");
        command
            .args(["-rm", "sh", "-c", &script, env!("CARGO_BIN_EXE_vouchsafe-host")])
            .arg(&data)
            .arg(&socket);
        let (child, admin) = listening(&mut command);
        let storage = links.recv().await.unwrap();
        Some(Self { _dir: dir, child, admin, storage })
    }
}

#[tokio::test]
async fn h10_a_full_disk_stops_writes_and_says_so() {
    let disk = SmallDisk::start("24m", "h10_a_full_disk_stops_writes_and_says_so").await;
    let Some(SmallDisk { _dir, mut child, admin, mut storage }) = disk else { return };
    let mut index = 0;
    // There is no room for a reserve.
    while append(&mut storage, index).await == StorageReply::Scarce {
        index += 1;
    }
    assert!((1..24).contains(&index), "{index}");
    for _ in 0..2 {
        assert_eq!(append(&mut storage, index).await, StorageReply::Failed(StorageFailure::NoSpace));
    }
    let heads = vec![(StreamId::Journal, index)];
    assert_eq!(storage.ask(&StorageRequest::Heads).await, StorageReply::Heads(heads));
    let (status, body) = http(admin, "GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(status, 503);
    assert!(body.contains("disk is full; free space"), "{body}");
    stop(&mut child, Signal::TERM);
}

#[tokio::test]
async fn h10_what_was_kept_back_takes_decisions_when_the_disk_is_nearly_full() {
    let test = "h10_what_was_kept_back_takes_decisions_when_the_disk_is_nearly_full";
    let Some(SmallDisk { _dir, mut child, admin: _, mut storage }) = SmallDisk::start("360m", test).await
    else {
        return;
    };
    let mut index = 0;
    let scarce = loop {
        match append(&mut storage, index).await {
            StorageReply::Done => index += 1,
            other => break other,
        }
    };
    assert_eq!(scarce, StorageReply::Scarce, "after {index} MiB");
    // A decision takes less than a KiB; this much is there for them. (The store itself may free some.)
    for more in 1..=32 {
        let reply = append(&mut storage, index + more).await;
        assert!(matches!(reply, StorageReply::Done | StorageReply::Scarce), "{more}: {reply:?}");
    }
    stop(&mut child, Signal::TERM);
}

async fn append(storage: &mut StorageSide, index: u64) -> StorageReply {
    let append = Append { stream: StreamId::Journal, index, frame: vec![7; 1024 * 1024] };
    storage.ask(&StorageRequest::Append(vec![append])).await
}
