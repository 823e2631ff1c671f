//! Limits, timeouts and the stop.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests")]

mod support;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{Authority, Rig, closed, connect, refusal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vouchsafe_protocol::link::{ALPN_INTRODUCE, ALPN_RELAY};

#[tokio::test]
async fn connections_of_one_peer_are_limited() {
    let (rig, _storage) = Rig::serving(&Authority::new(), &["--max-connections-per-peer", "2"]).await;
    let first = TcpStream::connect(rig.addresses.agents).await.unwrap();
    let _second = TcpStream::connect(rig.addresses.agents).await.unwrap();
    let mut third = TcpStream::connect(rig.addresses.agents).await.unwrap();
    closed(&mut third).await;
    drop(first);
    let metrics = rig.get("/metrics").await.1;
    assert!(metrics.contains("{kind=\"unknown\",outcome=\"limit_peer\"} 1"), "{metrics}");
}

#[tokio::test]
async fn v5_connections_before_the_gate_cannot_crowd_out_sessions() {
    let authority = Authority::new();
    let (mut rig, _storage) = Rig::serving(&authority, &["--max-connections", "4"]).await;
    let identity = authority.issue(|_| {});
    let mut sessions = Vec::new();
    // Three pass, although only two may be on their way at once.
    for _ in 0..3 {
        let mut agent = connect(rig.addresses.agents, &[ALPN_RELAY], Some(&identity)).await.unwrap();
        agent.write_all(b".").await.unwrap();
        sessions.push((agent, rig.agents.recv().await.unwrap()));
    }
    let _arrival = TcpStream::connect(rig.addresses.agents).await.unwrap();
    let mut beyond = TcpStream::connect(rig.addresses.agents).await.unwrap();
    closed(&mut beyond).await;
    let (agent, (_, enclave)) = sessions.first_mut().unwrap();
    enclave.write_all(b"still served").await.unwrap();
    agent.read_exact(&mut [0; 12]).await.unwrap();
}

#[tokio::test]
async fn v5_connections_before_the_gate_get_half_of_the_places() {
    let authority = Authority::new();
    let (rig, _storage) = Rig::serving(&authority, &["--max-connections", "6"]).await;
    let mut arrivals = Vec::new();
    for _ in 0..3 {
        arrivals.push(TcpStream::connect(rig.addresses.agents).await.unwrap());
    }
    closed(&mut TcpStream::connect(rig.addresses.agents).await.unwrap()).await;
    let metrics = rig.get("/metrics").await.1;
    assert!(metrics.contains("{kind=\"unknown\",outcome=\"limit_arrivals\"} 1"), "{metrics}");
}

#[tokio::test]
async fn introductions_of_one_peer_are_limited() {
    let flags = ["--introductions-per-minute-per-peer", "2"];
    let (mut rig, _storage) = Rig::serving(&Authority::new(), &flags).await;
    for _ in 0..2 {
        connect(rig.addresses.agents, &[ALPN_INTRODUCE], None).await.unwrap();
        rig.agents.recv().await.unwrap();
    }
    let refused = refusal(rig.addresses.agents, &[ALPN_INTRODUCE], None).await;
    assert!(refused.contains("InternalError"), "{refused}");
    assert!(rig.agents.try_recv().is_err());
}

/// The clock is paused: it jumps to the next deadline whenever nobody has anything to do.
#[tokio::test(start_paused = true)]
async fn v10_a_handshake_that_drips_is_reaped() {
    let rig = Rig::start(&["--handshake-timeout-secs", "7"]).await;
    let mut silent = TcpStream::connect(rig.addresses.agents).await.unwrap();
    let mut dripping = TcpStream::connect(rig.addresses.agents).await.unwrap();
    // The start of a record that announces a ClientHello of 512 bytes.
    dripping.write_all(&[22, 3, 1, 2, 0, 1, 0]).await.unwrap();
    let started = tokio::time::Instant::now();
    closed(&mut silent).await;
    closed(&mut dripping).await;
    assert!(started.elapsed().as_secs() <= 8, "{:?}", started.elapsed());
    let metrics = rig.get("/metrics").await.1;
    assert!(metrics.contains("{kind=\"unknown\",outcome=\"handshake_timeout\"} 2"), "{metrics}");
}

#[tokio::test]
async fn v10_many_idle_connections_block_nobody_and_are_reaped() {
    // Both ends are in this process.
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let files = maximum.unwrap_or(8192).min(8192);
    setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum }).unwrap();
    let idle = usize::try_from((files - 256) / 2).unwrap().min(2000);
    let authority = Authority::new();
    let flags =
        ["--max-connections-per-peer", "4000", "--max-connections", "8000", "--handshake-timeout-secs", "3"];
    let (mut rig, _storage) = Rig::serving(&authority, &flags).await;
    let mut connections = Vec::new();
    for _ in 0..idle {
        connections.push(TcpStream::connect(rig.addresses.agents).await.unwrap());
    }
    let identity = authority.issue(|_| {});
    let mut agent = connect(rig.addresses.agents, &[ALPN_RELAY], Some(&identity)).await.unwrap();
    agent.write_all(b"question").await.unwrap();
    let (_, mut enclave) = rig.agents.recv().await.unwrap();
    enclave.read_exact(&mut [0; 8]).await.unwrap();
    for connection in &mut connections {
        closed(connection).await;
    }
    enclave.write_all(b"answer").await.unwrap();
    agent.read_exact(&mut [0; 6]).await.unwrap();
}

#[tokio::test]
async fn a_stop_drains_then_closes_what_is_left() {
    let authority = Authority::new();
    let (mut rig, mut storage) = Rig::serving(&authority, &["--drain-secs", "1"]).await;
    let identity = authority.issue(|_| {});
    let mut agent = connect(rig.addresses.agents, &[ALPN_RELAY], Some(&identity)).await.unwrap();
    agent.write_all(b".").await.unwrap();
    let (_, mut enclave) = rig.agents.recv().await.unwrap();
    enclave.read_exact(&mut [0; 1]).await.unwrap();
    let started = std::time::Instant::now();
    rig.ask_to_stop();
    closed(&mut enclave).await;
    assert!(started.elapsed().as_secs() >= 1);
    closed(&mut storage.0).await;
    let address = rig.addresses.agents;
    rig.stopped().await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
