//! Kill -9, again and again, under writers: no acknowledged write may be lost and none may be torn.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};
use vouchsafe_client::{ConnectError, Pin, Session};
use vouchsafe_crypto::digest::sha256;
use vouchsafe_crypto::secret::Key32;
use vouchsafe_crypto::signature::LogPublicKey;
use vouchsafe_log::{AuditReader, Checkpoint, Tree, origin};
use vouchsafe_protocol::kv::{Cas, SecretValue};
use vouchsafe_protocol::link::StreamId;

use crate::stack::{Agent, Below, Operator, PATIENCE, Stack, sim_machine, sim_role};

/// Writers at once.
pub const WRITERS: usize = 16;
/// Most writes that are let through before the next kill.
const WRITES_PER_CYCLE: u64 = 400;
/// Between two attempts to connect.
const RETRY: Duration = Duration::from_millis(10);

/// What a run found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Kills.
    pub cycles: u64,
    /// Writes that were acknowledged, every one of them found again.
    pub acknowledged: u64,
    /// Leaves of the journal, verified by an auditor at the end.
    pub leaves: u64,
}

/// What the writers share.
struct Shared {
    acknowledged: AtomicU64,
    progress: Notify,
}

/// A kill, at random of the enclave, the host, or both.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Both,
    Enclave,
    Host,
}

/// Runs `cycles` kills on a simulated vault below `dir`. `report` is told of each cycle.
///
/// # Errors
/// As soon as an acknowledged write is lost or torn, the vault does not come back, or the tree does not verify.
pub async fn run(
    dir: &Path,
    cycles: u64,
    seed: u64,
    mut report: impl FnMut(u64, u64),
) -> anyhow::Result<Tally> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut stack = Stack::start(dir, Below::Sim).await?;
    let mut operator = Operator::init(&stack).await?;
    let session = operator.connect(&stack).await?;
    let policy = sim_role("writer", "kv/crash/*");
    session.roles().apply(vouchsafe_client::policy::compile(&[("writer.toml", &policy)])?).await?;
    let machine = sim_machine(&stack, "writer")?;
    let agent = Arc::new(Agent::introduce(&stack, &operator.pin, "writer", &machine).await?);

    let shared = Arc::new(Shared { acknowledged: AtomicU64::new(0), progress: Notify::new() });
    let mut tally = Tally::default();
    let mut written: BTreeMap<usize, u64> = (0..WRITERS).map(|writer| (writer, 0)).collect();
    for cycle in 0..cycles {
        let (stop, stopped) = watch::channel(false);
        let mut writers = JoinSet::new();
        // All are connected before the first one writes: a kill must not find one at the door.
        let mut sessions = Vec::with_capacity(WRITERS);
        for (writer, from) in &written {
            let mut pin = agent.pin.clone();
            sessions.push((*writer, *from, connect(&stack, &agent, &mut pin).await?, pin));
        }
        for (writer, from, session, pin) in sessions {
            let (shared, stopped) = (shared.clone(), stopped.clone());
            writers.spawn(async move {
                let reached = write(&session, writer, from, &shared, stopped).await?;
                anyhow::Ok((writer, reached, pin))
            });
        }
        let goal = shared.acknowledged.load(Ordering::SeqCst) + rng.random_range(1..=WRITES_PER_CYCLE);
        reach(&shared, goal).await?;
        match rng.random_range(0..3) {
            0 => kill(&mut stack, Victim::Enclave).await?,
            1 => kill(&mut stack, Victim::Host).await?,
            _ => kill(&mut stack, Victim::Both).await?,
        }
        stop.send_replace(true);
        let mut newest: Option<Pin> = None;
        while let Some(done) = writers.join_next().await {
            let (writer, reached, pin) = done??;
            written.insert(writer, reached);
            newest = Some(newer(newest, pin));
        }
        stack.ready().await.with_context(|| format!("after kill {cycle} (seed {seed})"))?;
        let mut pin = newest.context("no writer")?;
        check(&stack, &agent, &mut pin, &mut written)
            .await
            .with_context(|| format!("cycle {cycle}, seed {seed}"))?;
        tally.cycles += 1;
        tally.acknowledged = shared.acknowledged.load(Ordering::SeqCst);
        report(tally.cycles, tally.acknowledged);
    }
    tally.leaves = audit(&stack, &mut operator).await?;
    stack.stop().await?;
    Ok(tally)
}

/// Writes versions one after another until the connection breaks; gives the last one that was acknowledged.
async fn write(
    session: &Session,
    writer: usize,
    mut version: u64,
    shared: &Shared,
    stopped: watch::Receiver<bool>,
) -> anyhow::Result<u64> {
    loop {
        let next = version + 1;
        let value = SecretValue::new(value_of(writer, next));
        match session.kv().put(&path_of(writer), value, Cas::Version(version)).await {
            Ok(written) => {
                ensure!(written == next, "writer {writer} wrote {written}, not {next}");
                version = next;
                shared.acknowledged.fetch_add(1, Ordering::SeqCst);
                shared.progress.notify_one();
            }
            Err(error) if session.end().is_some() || *stopped.borrow() => {
                drop(error);
                return Ok(version);
            }
            Err(error) => bail!("writer {writer} at {next}: {error}"),
        }
    }
}

async fn reach(shared: &Shared, goal: u64) -> anyhow::Result<()> {
    let waiting = async {
        while shared.acknowledged.load(Ordering::SeqCst) < goal {
            shared.progress.notified().await;
        }
    };
    timeout(PATIENCE, waiting).await.context("the writers are stuck")
}

async fn kill(stack: &mut Stack, victim: Victim) -> anyhow::Result<()> {
    match victim {
        Victim::Enclave => {
            stack.kill_enclave().await?;
            stack.start_enclave().await
        }
        Victim::Host => {
            stack.kill_host().await?;
            stack.start_host().await
        }
        Victim::Both => {
            stack.kill_enclave().await?;
            stack.kill_host().await?;
            stack.start_enclave().await?;
            stack.start_host().await
        }
    }
}

/// Opens a session. The host may say that it is ready a moment before it sees that its enclave was killed, so
/// a connection that breaks is tried again; a refusal is not.
async fn connect(stack: &Stack, agent: &Agent, pin: &mut Pin) -> anyhow::Result<Session> {
    let mut tick = interval(RETRY);
    let trying = async {
        loop {
            tick.tick().await;
            match Session::connect(&stack.endpoint(), &agent.identity, pin).await {
                Ok(session) => return Ok(session),
                Err(
                    ConnectError::Inner(_)
                    | ConnectError::Request(_)
                    | ConnectError::Timeout
                    | ConnectError::Transport(_),
                ) => {}
                Err(error) => return Err(error),
            }
        }
    };
    Ok(timeout(PATIENCE, trying).await.context("no session")??)
}

/// Every acknowledged version is there and whole. A write whose answer was lost may be there too.
async fn check(
    stack: &Stack,
    agent: &Agent,
    pin: &mut Pin,
    written: &mut BTreeMap<usize, u64>,
) -> anyhow::Result<()> {
    let session = connect(stack, agent, pin).await?;
    for (writer, acknowledged) in written.iter_mut() {
        if *acknowledged == 0 && session.kv().metadata(&path_of(*writer)).await.is_err() {
            continue;
        }
        let current = session.kv().get(&path_of(*writer)).await?;
        let version = current.version;
        ensure!(
            version == *acknowledged || version == *acknowledged + 1,
            "writer {writer}: version {acknowledged} was acknowledged and {version} is there"
        );
        ensure!(
            current.value.expose_secret() == value_of(*writer, version),
            "writer {writer}: version {version} is torn"
        );
        *acknowledged = version;
    }
    session.close().await?;
    Ok(())
}

/// An auditor opens every frame and builds the tree; its root is the one that the vault signs.
async fn audit(stack: &Stack, operator: &mut Operator) -> anyhow::Result<u64> {
    let session = operator.connect(stack).await?;
    let log_key = LogPublicKey(operator.pin.log_key.context("no log key")?);
    let mut key = *session.audit().key().await?.expose_secret();
    let key = Key32::take(&mut key).context("audit key")?;
    let mut reader = AuditReader::new(key, StreamId::Journal);
    let mut tree = Tree::default();
    let mut next = 0;
    let vault = operator.pin.vault_id;
    let note = session.status().await?.checkpoint;
    let checkpoint = Checkpoint::verify(&note, &origin(&vault, StreamId::Journal), &log_key)?;
    while tree.size() < checkpoint.size {
        let frames = session.audit().frames(StreamId::Journal, next).await?;
        ensure!(!frames.is_empty(), "the journal ends at leaf {} of {}", tree.size(), checkpoint.size);
        for frame in &frames {
            reader.open(frame)?.leaves.into_iter().for_each(|leaf| tree.push(leaf));
            next += 1;
        }
    }
    ensure!(tree.size() == checkpoint.size, "the journal has more leaves than the checkpoint");
    ensure!(tree.root() == checkpoint.root, "the tree is not the one that the vault signed");
    Ok(checkpoint.size)
}

fn newer(a: Option<Pin>, b: Pin) -> Pin {
    let size = |pin: &Pin| pin.checkpoint.map_or(0, |checkpoint| checkpoint.size);
    match a {
        Some(a) if size(&a) >= size(&b) => a,
        _ => b,
    }
}

fn path_of(writer: usize) -> String {
    format!("kv/crash/writer-{writer:02}")
}

/// A value that tells whether it is whole, and whose it is.
fn value_of(writer: usize, version: u64) -> Vec<u8> {
    let mut value = format!("writer {writer} version {version} ").into_bytes();
    for block in 0..8u8 {
        value.extend_from_slice(&sha256(&[&value, &[block]]));
    }
    value
}
