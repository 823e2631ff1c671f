//! The same work by a vault and by OpenBao, in turns: the same payload, connections and duration.

use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::Method;
use serde_json::json;
use vouchsafe_client::Session;
use vouchsafe_protocol::kv::{Cas, SecretValue};
use vouchsafe_protocol::transit::Binding;

use crate::Extent;
use crate::load::{Round, ask_until, ratio, summary, together};
use crate::openbao::{Connection, OpenBao, VERSION};
use crate::report::{Row, Unit};
use crate::say;
use crate::sessions::{AES_KEY, Bench, ED25519_KEY, SECRET_LEN, path_of};

/// Connections, or sessions.
const CONNECTIONS: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Encrypt,
    Read,
    Sign,
    Write,
}

/// What is compared, how much faster it must be, and in words.
const WORKS: [(Work, &str, f64, &str); 4] = [
    (Work::Read, "kv reads", 10.0, "10 times OpenBao"),
    (Work::Write, "kv writes", 5.0, "5 times OpenBao"),
    (Work::Encrypt, "transit, AES-256-GCM", 5.0, "5 times OpenBao"),
    (Work::Sign, "transit, Ed25519", 5.0, "5 times OpenBao"),
];

impl Work {
    async fn ours(self, session: &Session, index: usize) -> anyhow::Result<()> {
        let path = path_of(index);
        let text = || SecretValue::new(vec![b'Z'; SECRET_LEN]);
        match self {
            Self::Encrypt => {
                session.transit().encrypt(AES_KEY, text(), Binding::default()).await?;
            }
            Self::Sign => {
                session.transit().sign(ED25519_KEY, text()).await?;
            }
            Self::Read => {
                session.kv().get(&path).await?;
            }
            Self::Write => {
                session.kv().put(&path, text(), Cas::Any).await?;
            }
        }
        Ok(())
    }

    async fn theirs(self, connection: &mut Connection, index: usize) -> anyhow::Result<()> {
        let path = format!("/v1/kv/data/bench/secret-{index:07}");
        let base64 = || BASE64_STANDARD.encode([b'Z'; SECRET_LEN]);
        match self {
            Self::Encrypt => {
                let body = json!({ "plaintext": base64() });
                connection.must(Method::POST, "/v1/transit/encrypt/aes", Some(&body)).await?
            }
            Self::Sign => {
                let body = json!({ "input": base64() });
                connection.must(Method::POST, "/v1/transit/sign/ed25519", Some(&body)).await?
            }
            Self::Read => connection.must(Method::GET, &path, None).await?,
            Self::Write => {
                let value = "Z".repeat(SECRET_LEN);
                connection.must(Method::POST, &path, Some(&json!({ "data": { "value": value } }))).await?
            }
        };
        Ok(())
    }
}

/// Every figure beside OpenBao's.
pub async fn measure(program: &Path, extent: &Extent) -> anyhow::Result<Vec<Row>> {
    let dir = tempfile::tempdir()?;
    say("starting both");
    let vault = dir.path().join("vault");
    tokio::fs::create_dir(&vault).await?;
    let mut bench = Bench::start(&vault).await?;
    let bao = OpenBao::start(program, &dir.path().join("openbao")).await?;
    let sessions = bench.connect(CONNECTIONS).await?;
    let mut connections = Vec::new();
    for (index, session) in sessions.iter().enumerate() {
        let mut connection = bao.connect().await?;
        Work::Write.ours(session, index).await?;
        Work::Write.theirs(&mut connection, index).await?;
        connections.push(connection);
    }
    let mut rows = Vec::new();
    for (work, name, least, goal) in WORKS {
        say(name);
        // Warms both up.
        ours(work, &sessions, extent).await?;
        theirs(work, &mut connections, extent).await?;
        let (mut own, mut other) = (Vec::new(), Vec::new());
        for _ in 0..extent.rounds {
            own.push(ours(work, &sessions, extent).await?);
            other.push(theirs(work, &mut connections, extent).await?);
        }
        let times = ratio(&own, &other)?;
        let row = Row::new(format!("{name}, {CONNECTIONS} connections"), Unit::PerSecond, summary(&own)?)
            .beside(format!("OpenBao {VERSION}"), summary(&other)?, Some(times))
            .goal(goal, times >= least);
        rows.push(row);
    }
    drop((sessions, connections));
    bao.stop().await?;
    bench.stack.stop().await?;
    Ok(rows)
}

async fn ours(work: Work, sessions: &[Session], extent: &Extent) -> anyhow::Result<Round> {
    let until = Instant::now() + extent.round;
    together(
        sessions
            .iter()
            .cloned()
            .enumerate()
            .map(|(index, session)| async move { ask_until(until, || work.ours(&session, index)).await }),
    )
    .await
}

async fn theirs(work: Work, connections: &mut Vec<Connection>, extent: &Extent) -> anyhow::Result<Round> {
    let until = Instant::now() + extent.round;
    let (sender, mut back) = tokio::sync::mpsc::unbounded_channel();
    let round = together(connections.drain(..).enumerate().map(|(index, mut connection)| {
        let sender = sender.clone();
        async move {
            let mut latencies = Vec::new();
            let mut now = Instant::now();
            while now < until {
                work.theirs(&mut connection, index).await?;
                let after = Instant::now();
                latencies.push((after - now).as_secs_f64());
                now = after;
            }
            sender.send(connection).ok().context("nobody takes the connection back")?;
            Ok(latencies)
        }
    }))
    .await?;
    drop(sender);
    while let Some(connection) = back.recv().await {
        connections.push(connection);
    }
    Ok(round)
}
