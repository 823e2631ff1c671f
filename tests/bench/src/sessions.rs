//! Introductions, reads and writes over real processes.

use std::time::Instant;

use anyhow::Context;
use vouchsafe_client::{Session, policy};
use vouchsafe_protocol::kv::{Cas, SecretValue};
use vouchsafe_protocol::policy::Permission;
use vouchsafe_protocol::transit::{Derivation, KeyKind, KeyOptions};
use vouchsafe_tests::stack::{Agent, Below, Operator, Stack, sim_machine, sim_role};

use crate::Extent;
use crate::echo::{EchoSession, EchoStack, Weight};
use crate::load::{Round, ask_until, ratio, summary, together};
use crate::report::{Row, Unit};
use crate::say;

/// Length of a secret in bytes.
pub const SECRET_LEN: usize = 256;
/// Length of a request's frame without a secret in bytes: kind, number, link, receipt, path.
const REQUEST_LEN: usize = 72;
/// Requests in flight where a session does not wait for each.
const DEPTH: usize = 8;

/// Transit keys.
pub const AES_KEY: &str = "transit/bench/aes";
/// See [`AES_KEY`].
pub const ED25519_KEY: &str = "transit/bench/ed25519";
const USES_KEYS: &str = r#"
[[role.bench.allow]]
path = "transit/bench/*"
can = ["encrypt", "sign"]
"#;

/// A vault with a role that may do everything, and an agent that has it.
pub struct Bench {
    pub stack: Stack,
    pub agent: Agent,
}

fn key_options(kind: KeyKind) -> KeyOptions {
    let forbidden = Permission::Forbidden;
    KeyOptions { kind, derivation: Derivation::None, export: forbidden, import: forbidden }
}

impl Bench {
    /// Starts enclave and host below `dir`.
    pub async fn start(dir: &std::path::Path) -> anyhow::Result<Self> {
        let stack = Stack::start(dir, Below::Sim).await?;
        let mut operator = Operator::init(&stack).await?;
        let session = operator.connect(&stack).await?;
        let role = sim_role("bench", "kv/bench/*") + USES_KEYS;
        session.roles().apply(policy::compile(&[("bench.toml", &role)])?).await?;
        for (key, kind) in [(AES_KEY, KeyKind::Aes256Gcm), (ED25519_KEY, KeyKind::Ed25519)] {
            session.transit().create(key, key_options(kind)).await?;
        }
        session.close().await?;
        let machine = sim_machine(&stack, "bench")?;
        let agent = Agent::introduce(&stack, &operator.pin, "bench", &machine).await?;
        Ok(Self { stack, agent })
    }

    /// Opens sessions.
    pub async fn connect(&self, count: usize) -> anyhow::Result<Vec<Session>> {
        let mut pin = self.agent.pin.clone();
        let mut sessions = Vec::with_capacity(count);
        for _ in 0..count {
            sessions.push(Session::connect(&self.stack.endpoint(), &self.agent.identity, &mut pin).await?);
        }
        Ok(sessions)
    }

    /// Bytes that the host has made durable so far.
    async fn appended(&self) -> anyhow::Result<f64> {
        let (_, page) = self.stack.admin("/metrics").await?;
        let line = page.lines().find_map(|line| line.strip_prefix("vouchsafe_host_appended_bytes_total "));
        Ok(line.context("the host does not count appended bytes")?.trim().parse()?)
    }
}

/// Path of a secret.
pub fn path_of(index: usize) -> String {
    format!("kv/bench/secret-{index:07}")
}

/// Seconds of introductions, one after another, as an agent sees them.
pub async fn introductions(count: usize) -> anyhow::Result<Vec<f64>> {
    let dir = tempfile::tempdir()?;
    let mut bench = Bench::start(dir.path()).await?;
    let machine = sim_machine(&bench.stack, "bench")?;
    let mut secs = Vec::with_capacity(count);
    for _ in 0..count {
        let started = Instant::now();
        Agent::introduce(&bench.stack, &bench.agent.pin, "bench", &machine).await?;
        secs.push(started.elapsed().as_secs_f64());
    }
    bench.stack.stop().await?;
    Ok(secs)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Read => "kv reads",
            Self::Write => "kv writes",
        }
    }

    async fn ask(self, session: &Session, path: &str) -> anyhow::Result<()> {
        match self {
            Self::Read => {
                session.kv().get(path).await?;
            }
            Self::Write => {
                session.kv().put(path, SecretValue::new(vec![0x5a; SECRET_LEN]), Cas::Any).await?;
            }
        }
        Ok(())
    }

    fn request_len(self) -> usize {
        match self {
            Self::Read => REQUEST_LEN,
            Self::Write => REQUEST_LEN + SECRET_LEN,
        }
    }
}

/// Reads and writes beside the echo, in turns.
pub async fn measure(extent: &Extent) -> anyhow::Result<Vec<Row>> {
    let dir = tempfile::tempdir()?;
    let mut bench = Bench::start(dir.path()).await?;
    let echo = EchoStack::start(&dir.path().join("echo")).await?;
    let most = extent.sessions.iter().copied().max().context("no sessions")?;
    let sessions = bench.connect(most).await?;
    let mut echoes = Vec::new();
    for (index, session) in sessions.iter().enumerate() {
        Kind::Write.ask(session, &path_of(index)).await?;
        echoes.push(echo.connect().await?);
    }
    let mut rows = Vec::new();
    for kind in [Kind::Read, Kind::Write] {
        for count in extent.sessions.iter().copied() {
            let case = Case { kind, count, depth: 1 };
            rows.push(case.measure(&bench, &sessions, &mut echoes, extent).await?);
        }
    }
    let case = Case { kind: Kind::Read, count: most, depth: DEPTH };
    rows.push(case.measure(&bench, &sessions, &mut echoes, extent).await?);
    drop((sessions, echoes));
    echo.stop().await?;
    bench.stack.stop().await?;
    Ok(rows)
}

/// One figure.
#[derive(Clone, Copy)]
struct Case {
    kind: Kind,
    count: usize,
    depth: usize,
}

impl Case {
    async fn measure(
        self,
        bench: &Bench,
        sessions: &[Session],
        echoes: &mut Vec<EchoSession>,
        extent: &Extent,
    ) -> anyhow::Result<Row> {
        let Self { kind, count, depth } = self;
        let in_flight = if depth == 1 { String::new() } else { format!(", {depth} in flight each") };
        let figure = format!("{}, {count} sessions{in_flight}", kind.name());
        say(&figure);
        // Warms both up, and tells what a request leaves on disk: so much the echo writes too.
        let before = bench.appended().await?;
        let warm = self.vault(sessions, extent).await?;
        let record = ((bench.appended().await? - before) / warm.latencies.len() as f64).round() as u16;
        let weight = Weight { request: kind.request_len(), record };
        self.echo(echoes, weight, extent).await?;

        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..extent.rounds {
            ours.push(self.vault(sessions, extent).await?);
            theirs.push(self.echo(echoes, weight, extent).await?);
        }
        let share = ratio(&ours, &theirs)?;
        let measured = summary(&ours)?;
        let fast = measured.value >= 20_000.0 && measured.p99_secs.is_some_and(|p99| p99 <= 5e-3);
        let row = Row::new(figure, Unit::PerSecond, measured)
            .beside("echo: same TLS, link and commit", summary(&theirs)?, Some(share))
            .note(format!("{record} bytes made durable for each, by vault and echo alike"));
        Ok(match self {
            Self { kind: Kind::Read, count: 64, depth: 1 } => {
                row.goal("20,000/s, p99 5 ms, ratio 0.70", fast && share >= 0.7)
            }
            _ => row,
        })
    }

    async fn vault(self, sessions: &[Session], extent: &Extent) -> anyhow::Result<Round> {
        let until = Instant::now() + extent.round;
        let Self { kind, count, depth } = self;
        let sessions = sessions.iter().take(count).enumerate();
        let asking = sessions
            .flat_map(|(index, session)| std::iter::repeat_n((session.clone(), path_of(index)), depth));
        together(
            asking.map(|(session, path)| async move { ask_until(until, || kind.ask(&session, &path)).await }),
        )
        .await
    }

    async fn echo(
        self,
        echoes: &mut Vec<EchoSession>,
        weight: Weight,
        extent: &Extent,
    ) -> anyhow::Result<Round> {
        let until = Instant::now() + extent.round;
        let (sender, mut back) = tokio::sync::mpsc::unbounded_channel();
        let depth = self.depth;
        let taken: Vec<EchoSession> = echoes.drain(..self.count).collect();
        let round = together(taken.into_iter().map(|mut session| {
            let sender = sender.clone();
            async move {
                let latencies = session.ask_until(until, depth, weight).await?;
                sender.send(session).ok().context("nobody takes the session back")?;
                Ok(latencies)
            }
        }))
        .await?;
        drop(sender);
        while let Some(session) = back.recv().await {
            echoes.push(session);
        }
        Ok(round)
    }
}
