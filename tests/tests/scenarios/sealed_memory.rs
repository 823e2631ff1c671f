//! V8: after `seal` nothing of the vault is left in the enclave's process.

use anyhow::{Context, ensure};
use rand::RngCore;
use tokio::task::JoinSet;
use vouchsafe_crypto::digest::hkdf_sha256;
use vouchsafe_crypto::secret::Key32;
use vouchsafe_enclave::BootRecord;
use vouchsafe_host::store::Store;
use vouchsafe_log::{FrameReader, StreamKeys};
use vouchsafe_platform::Platform;
use vouchsafe_platform::sim::{SimConfig, SimPlatform};
use vouchsafe_protocol::link::StreamId;
use vouchsafe_tests::memory::scan_memory;
use vouchsafe_tests::scan::{Report, Scan};

use crate::rig::{Rig, write};

/// Secrets planted.
const SECRETS: usize = 1000;
/// Every private key in PKCS#8 of this vault has its 32 bytes after these (RFC 5915).
const BEFORE_KEY: &[u8] = &[0x02, 0x01, 0x01, 0x04, 0x20];

/// The vault's keys, recomputed from what the simulated machine keeps in files: root, audit, journal, and the
/// authority's private key in either byte order.
async fn keys(rig: &Rig) -> anyhow::Result<Vec<Vec<u8>>> {
    let copy = rig.dir.path().join("copy");
    rig.copy_live(&copy).await?;
    let store = Store::open(&copy.join("store"))?;
    let record = BootRecord::decode(&store.read_boot()?.context("no boot record")?)?;
    let root = SimPlatform::open(&SimConfig::new(rig.stack.fleet(), "vault"))?.unseal(&record.sealed_root)?;
    let derive = |label: &[u8]| hkdf_sha256(&root, b"", &[label, &1u32.to_be_bytes()]);
    let (audit, journal) = (derive(b"vouchsafe/1/key/audit"), derive(b"vouchsafe/1/key/journal"));
    let expose = |key: &Key32| key.expose_secret().to_vec();
    let mut keys = vec![expose(&root), expose(&audit), expose(&journal)];

    // The journal's first record holds the authority's key.
    let frames = store.read_frames(StreamId::Journal, 0)?;
    let opened = FrameReader::new(&StreamKeys::new(journal, audit), StreamId::Journal)
        .open(frames.first().context("no journal")?)?;
    let (_, init) = opened.entries.first().context("an empty frame")?;
    let init = init.expose_secret();
    let at = init.windows(BEFORE_KEY.len()).position(|window| window == BEFORE_KEY).context("no key")?;
    let key = init.get(at + BEFORE_KEY.len()..).and_then(|rest| rest.get(..32)).context("no key")?;
    keys.push(key.to_vec());
    keys.push(key.iter().rev().copied().collect());
    Ok(keys)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v8_after_a_seal_the_process_holds_no_secret_and_no_key() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let session = rig.agent.connect(&rig.stack).await?;
    let mut rng = rand::rng();
    let mut secrets = Vec::new();
    let mut writes = JoinSet::new();
    for number in 0..SECRETS {
        let mut value = vec![0; 32];
        rng.fill_bytes(&mut value);
        let (session, own) = (session.clone(), value.clone());
        writes.spawn(async move { write(&session, &format!("kv/app/sealed/{number}"), &own).await });
        secrets.push(value);
    }
    while let Some(written) = writes.join_next().await {
        written??;
    }
    session.close().await?;
    let keys = keys(&rig).await?;
    let scan = Scan::new(secrets.iter().chain(&keys).map(Vec::as_slice))?;
    let pid = rig.stack.ids().0.context("no enclave")?;

    // Before: the same search finds every secret, and keys.
    let mut before = Report::default();
    if let Err(error) = scan_memory(&scan, pid, &mut before) {
        println!("SKIPPED: v8, as this user may not read the enclave's memory: {error:#}");
        return Ok(());
    }
    let missing = (0..SECRETS).filter(|at| !before.found.iter().any(|found| found.secret == *at)).count();
    ensure!(missing == 0, "{missing} secrets are not found in a vault that serves");
    // The audit key and the authority's; the root and the journal's key are gone once they are used.
    for (at, key) in [(1, "audit"), (3, "authority's")] {
        let there = before.found.iter().any(|found| found.secret == SECRETS + at);
        ensure!(there, "the {key} key is not found in a vault that serves");
    }

    let operator = rig.operator.connect(&rig.stack).await?;
    operator.seal().await?;
    rig.stack.await_page(|_, body| body.contains("\"sealed\"")).await?;
    // The page shows the seal before the process is another.
    let cmdline = format!("/proc/{pid}/cmdline");
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(10));
    let replaced = async {
        while !std::fs::read(&cmdline).is_ok_and(|line| line.windows(8).any(|flag| flag == b"--sealed")) {
            tick.tick().await;
        }
    };
    tokio::time::timeout(vouchsafe_tests::stack::PATIENCE, replaced).await.context("not replaced")?;

    let mut after = Report::default();
    scan_memory(&scan, pid, &mut after)?;
    println!("{} bytes before, {} after", before.bytes, after.bytes);
    after.nothing()?;
    ensure!(rig.agent.connect(&rig.stack).await.is_err(), "a sealed vault serves");

    // Only a new start opens it, and that needs nobody.
    rig.stack.kill_enclave().await?;
    rig.stack.start_enclave().await?;
    rig.serves().await
}
