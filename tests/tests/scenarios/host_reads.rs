//! H1: everything that the host ever held, searched for 10,000 secrets and their names.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rand::RngCore;
use tokio::task::JoinSet;
use vouchsafe_tests::memory::{scan_memory, scan_proc};
use vouchsafe_tests::scan::{Report, Scan};
use vouchsafe_tests::tap::Honest;

use crate::rig::{Rig, write};

/// Secrets planted.
const SECRETS: usize = 10_000;
/// Bytes of each value.
const VALUE_LEN: usize = 32;
/// Sessions at once.
const SESSIONS: usize = 4;
/// Requests of each in flight.
const IN_FLIGHT: usize = 32;

/// A secret and its name, both random.
struct Secret {
    path: String,
    value: Vec<u8>,
}

fn secrets() -> Vec<Secret> {
    let mut rng = rand::rng();
    let mut random = |len| {
        let mut bytes = vec![0; len];
        rng.fill_bytes(&mut bytes);
        bytes
    };
    let path = |bytes: Vec<u8>| format!("kv/app/{}", hex::encode(bytes));
    (0..SECRETS).map(|_| Secret { path: path(random(12)), value: random(VALUE_LEN) }).collect()
}

/// The part of a path that is told from others.
fn name(secret: &Secret) -> &str {
    secret.path.rsplit('/').next().unwrap_or_default()
}

/// Writes every secret, or reads it again.
async fn all(rig: &mut Rig, secrets: &Arc<Vec<Secret>>, reading: bool) -> anyhow::Result<()> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..SESSIONS {
        let session = rig.agent.connect(&rig.stack).await?;
        for _ in 0..IN_FLIGHT {
            let (session, secrets, next) = (session.clone(), Arc::clone(secrets), Arc::clone(&next));
            workers.spawn(async move {
                while let Some(secret) = secrets.get(next.fetch_add(1, Ordering::SeqCst)) {
                    if reading {
                        let read = session.kv().get(&secret.path).await?;
                        ensure!(read.value.expose_secret() == secret.value, "a wrong value");
                    } else {
                        write(&session, &secret.path, &secret.value).await?;
                    }
                }
                anyhow::Ok(())
            });
        }
    }
    while let Some(done) = workers.join_next().await {
        done??;
    }
    Ok(())
}

/// Everything that the host has, is and says; and why its memory was left out, if it was.
async fn search(rig: &Rig, scan: &Scan) -> anyhow::Result<(Report, Option<anyhow::Error>)> {
    let mut report = Report::default();
    for (number, recording) in rig.tap.as_ref().context("no tap")?.recorded().iter().enumerate() {
        scan.bytes(&format!("direction {number} of the link"), recording, &mut report);
    }
    scan.files(&rig.stack.host_dir(), &mut report)?;
    for process in ["enclave", "host"] {
        scan.bytes(&format!("the log of the {process}"), rig.stack.log(process)?.as_bytes(), &mut report);
    }
    for page in ["/metrics", "/readyz"] {
        scan.bytes(page, rig.stack.admin(page).await?.1.as_bytes(), &mut report);
    }
    let (enclave, host) = rig.stack.ids();
    let (enclave, host) = (enclave.context("no enclave")?, host.context("no host")?);
    scan_proc(scan, enclave, &mut report)?;
    scan_proc(scan, host, &mut report)?;
    // A core dump of the host, and more.
    let unseen = scan_memory(scan, host, &mut report).err();
    Ok((report, unseen))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h1_nothing_that_the_host_holds_has_a_secret_or_its_name() -> anyhow::Result<()> {
    let mut rig = Rig::tapped(Arc::new(Honest)).await?;
    let secrets = Arc::new(secrets());
    all(&mut rig, &secrets, false).await?;
    all(&mut rig, &secrets, true).await?;
    let session = rig.agent.connect(&rig.stack).await?;
    ensure!(session.kv().list("kv/app").await?.len() == SECRETS + 1, "not all secrets are there");
    session.close().await?;

    let values = secrets.iter().map(|secret| secret.value.as_slice());
    let names = secrets.iter().map(|secret| name(secret).as_bytes());
    let scan = Scan::new(values.chain(names))?;
    let (report, unseen) = search(&rig, &scan).await?;
    if let Some(error) = &unseen {
        println!("SKIPPED: the host's memory, as this user may not read it: {error:#}");
    }
    println!("searched {} bytes in {} pieces for {SECRETS} values and names", report.bytes, report.pieces);
    report.nothing()?;
    // It all passed there: the search was of the right place.
    let volume = SECRETS as u64 * VALUE_LEN as u64;
    ensure!(report.bytes > 4 * volume, "only {} bytes were searched", report.bytes);

    // Controls. What is public is found in every kind of place:
    let vault_id = rig.operator.pin.vault_id;
    let public = vault_id.to_string();
    let public = public.rsplit(['-', ':', '/']).next().context("no vault id")?;
    let (Report { found, .. }, _) =
        search(&rig, &Scan::new([public.as_bytes(), vault_id.digest.as_slice()])?).await?;
    for place in ["of the link", "/store/", "the log of the enclave", "/readyz", "memory"] {
        let there = found.iter().any(|found| found.place.contains(place));
        ensure!(
            there || place == "memory" && unseen.is_some(),
            "the vault's public id is not found in {place}"
        );
    }
    // and one secret, written down where the host keeps its things, is.
    let planted = format!("note: {}", BASE64_STANDARD.encode([b"x", secrets[7].value.as_slice()].concat()));
    std::fs::write(rig.stack.host_dir().join("store").join("note"), planted)?;
    let (Report { found, .. }, _) = search(&rig, &scan).await?;
    ensure!(!found.is_empty() && found.iter().all(|found| found.secret == 7), "{found:?}");
    Ok(())
}
