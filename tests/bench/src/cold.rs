//! Coming back with many secrets, and what secrets and sessions take in memory.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use vouchsafe_client::Session;
use vouchsafe_crypto::aead::{SealingKey, counter_nonce};
use vouchsafe_crypto::random;
use vouchsafe_host::store::Store;
use vouchsafe_protocol::kv::{Cas, SecretValue};
use vouchsafe_protocol::link::StreamId;

use crate::Extent;
use crate::clock::quantile;
use crate::load::together;
use crate::report::{Measured, Row, Unit};
use crate::say;
use crate::sessions::{Bench, SECRET_LEN, path_of};

/// Sessions that fill the vault.
const WRITERS: usize = 16;
/// Requests of each in flight.
const DEPTH: usize = 32;
/// Starts that are timed.
const STARTS: usize = 5;
/// Sessions that are open before memory is looked at.
const FIRST_SESSIONS: usize = 16;
/// Until a session has signed its chain and its buffers are given back.
const SETTLE: Duration = Duration::from_secs(3);

/// All figures.
pub async fn measure(extent: &Extent) -> anyhow::Result<Vec<Row>> {
    let dir = tempfile::tempdir()?;
    let mut bench = Bench::start(dir.path()).await?;
    let session = bench.connect(1).await?.pop().context("no session")?;
    put(&session, 0).await?;
    drop(session);
    let (_, _, empty) = bench.come_back().await?;

    // Here, where no memory that something else gave back is lying about.
    say("opening idle sessions");
    let idle = bench.idle(extent.idle_sessions).await?;

    say(&format!("writing {} secrets", extent.secrets));
    let writing = bench.fill(extent.secrets).await?;
    let full_live = resident(bench.stack.ids().0)?;

    say("coming back");
    let (mut starts, mut opens) = (Vec::new(), Vec::new());
    let mut full = 0.0;
    for _ in 0..STARTS {
        bench.stack.stop().await?;
        opens.push(read_and_decrypt(&bench.stack.host_dir())?);
        let (secs, _session, resident) = bench.wake().await?;
        starts.push(secs);
        full = resident;
    }
    let secs = quantile(&mut starts, 0.5)?;
    let bare = quantile(&mut opens, 0.5)?;

    bench.stack.stop().await?;

    let secrets = extent.secrets as f64;
    let per_secret = (full - empty) / secrets;
    let live = (full_live - empty) / secrets;
    let count = extent.secrets;
    Ok(vec![
        Row::new(
            format!("{count} secrets written, {WRITERS} sessions, {DEPTH} in flight each"),
            Unit::PerSecond,
            writing,
        ),
        Row::new(
            format!("cold start with {count} secrets: both processes to the first read"),
            Unit::Seconds,
            Measured::bare(secs),
        )
        .beside("reading the store and AES-256-GCM over the same bytes", Measured::bare(bare), None)
        .goal(
            "at most 1 s with 100,000, 8 s with 1,000,000",
            secs <= if count > 100_000 { 8.0 } else { 1.0 },
        ),
        Row::new(
            format!("memory per secret of {SECRET_LEN} bytes, after a start"),
            Unit::Bytes,
            Measured::bare(per_secret),
        )
        .beside("the secret itself", Measured::bare(SECRET_LEN as f64), None)
        .goal("at most 700 B", per_secret <= 700.0)
        .note(format!("in the enclave that wrote them, buffers of writing included: {live:.0} B")),
        Row::new(
            format!("memory per idle session, of {}", extent.idle_sessions),
            Unit::Bytes,
            idle.enclave.clone(),
        )
        .goal("at most 32 KiB", idle.enclave.value <= 32.0 * 1024.0)
        .note(format!(
            "of the enclave, beyond the first {FIRST_SESSIONS}; the host takes {:.0} B for each besides",
            idle.host.value
        )),
    ])
}

/// Bytes for each idle session.
struct Idle {
    enclave: Measured,
    host: Measured,
}

impl Bench {
    async fn come_back(&mut self) -> anyhow::Result<(f64, Session, f64)> {
        self.stack.stop().await?;
        self.wake().await
    }

    /// Seconds from nothing to the first read, the session that read, and the enclave's memory then.
    async fn wake(&mut self) -> anyhow::Result<(f64, Session, f64)> {
        let started = Instant::now();
        self.stack.start_enclave().await?;
        self.stack.start_host().await?;
        self.stack.ready().await?;
        let session = self.connect(1).await?.pop().context("no session")?;
        session.kv().get(&path_of(0)).await?;
        let secs = started.elapsed().as_secs_f64();
        Ok((secs, session, resident(self.stack.ids().0)?))
    }

    async fn fill(&self, secrets: usize) -> anyhow::Result<Measured> {
        let sessions = self.connect(WRITERS).await?;
        let lanes = WRITERS * DEPTH;
        let writers = sessions.iter().flat_map(|session| std::iter::repeat_n(session, DEPTH)).enumerate();
        let written = together(writers.map(|(lane, session)| {
            let session = session.clone();
            async move {
                let mut latencies = Vec::new();
                for index in (lane..secrets).step_by(lanes) {
                    let asked = Instant::now();
                    put(&session, index).await?;
                    latencies.push(asked.elapsed().as_secs_f64());
                }
                Ok(latencies)
            }
        }))
        .await?;
        crate::load::summary(&[written])
    }

    async fn idle(&self, count: usize) -> anyhow::Result<Idle> {
        let (enclave, host) = self.stack.ids();
        // What the first few bring along is not each one's.
        let first = self.connect(FIRST_SESSIONS).await?;
        tokio::time::sleep(SETTLE).await;
        let before = (resident(enclave)?, resident(host)?);
        let sessions = self.connect(count).await?;
        tokio::time::sleep(SETTLE).await;
        let after = (resident(enclave)?, resident(host)?);
        drop((first, sessions));
        let each = |after: f64, before: f64| Measured::bare((after - before) / count as f64);
        Ok(Idle { enclave: each(after.0, before.0), host: each(after.1, before.1) })
    }
}

async fn put(session: &Session, index: usize) -> anyhow::Result<()> {
    session.kv().put(&path_of(index), SecretValue::new(vec![0x5a; SECRET_LEN]), Cas::Any).await?;
    Ok(())
}

/// What no start can do without: the store is opened and read to its end, and as many bytes are decrypted.
fn read_and_decrypt(host_dir: &Path) -> anyhow::Result<f64> {
    let started = Instant::now();
    let store = Store::open(&host_dir.join("store"))?;
    let mut all: Vec<Vec<u8>> = Vec::new();
    loop {
        let frames = store.read_frames(StreamId::Journal, all.len() as u64)?;
        if frames.is_empty() {
            break;
        }
        all.extend(frames);
    }
    let reading = started.elapsed();
    drop(store);

    // Not sealed by the vault's keys, which nobody has here, but by one of the same kind.
    let key = SealingKey::new(&random::key()?);
    for (frame, counter) in all.iter_mut().zip(0..) {
        // One key, a new counter for each frame: no pair repeats.
        key.seal(counter_nonce(counter), b"", frame);
    }
    let started = Instant::now();
    for (frame, counter) in all.iter_mut().zip(0..) {
        key.open(counter_nonce(counter), b"", frame).ok().context("a frame does not open")?;
    }
    Ok((reading + started.elapsed()).as_secs_f64())
}

/// Resident memory of a process in bytes.
pub fn resident(id: Option<u32>) -> anyhow::Result<f64> {
    let id = id.context("the process is gone")?;
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024.0)
}
