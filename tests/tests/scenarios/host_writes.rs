//! H2, H3: the host changes what it keeps. Either the enclave says what is wrong and serves nobody, or a client
//! that remembers more says so. Put right again, the vault serves.

use anyhow::{Context, ensure};
use vouchsafe_client::ConnectError;
use vouchsafe_host::store::Store;
use vouchsafe_protocol::link::{StorageFailure, StreamId};

use crate::rig::{Rig, copy_dir, replace_dir, write};

fn store(rig: &Rig) -> anyhow::Result<Store> {
    Ok(Store::open(&rig.stack.host_dir().join("store"))?)
}

/// Frames of the journal, from the first.
fn frames(store: &Store) -> Result<Vec<Vec<u8>>, StorageFailure> {
    let mut frames = Vec::new();
    loop {
        let more = store.read_frames(StreamId::Journal, frames.len() as u64)?;
        if more.is_empty() {
            return Ok(frames);
        }
        frames.extend(more);
    }
}

#[tokio::test]
async fn h2_a_flipped_bit_is_refused_and_a_flip_back_is_served() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    rig.power_off().await?;
    let original = frames(&store(&rig)?)?;
    ensure!(original.len() > 3, "the journal has {} frames", original.len());
    // First, middle and last frame; first, middle and last byte.
    for (index, at) in [(0, 0), (original.len() / 2, 1), (original.len() - 1, 2)] {
        let good = original[index].clone();
        let mut bad = good.clone();
        bad[at * (good.len() - 1) / 2] ^= 1;
        store(&rig)?.dangerous_replace(StreamId::Journal, index as u64, bad)?;
        rig.power_on().await?;
        rig.fails_with("journal.edited").await.with_context(|| format!("frame {index}"))?;
        rig.power_off().await?;
        store(&rig)?.dangerous_replace(StreamId::Journal, index as u64, good)?;
    }
    rig.power_on().await?;
    rig.serves().await
}

#[tokio::test]
async fn h2_swapped_frames_are_refused() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    rig.power_off().await?;
    let original = frames(&store(&rig)?)?;
    let swap = |a: usize, b: usize| -> anyhow::Result<()> {
        let store = store(&rig)?;
        store.dangerous_replace(StreamId::Journal, 1, original[a].clone())?;
        Ok(store.dangerous_replace(StreamId::Journal, 2, original[b].clone())?)
    };
    swap(2, 1)?;
    rig.power_on().await?;
    rig.fails_with("journal.edited").await?;
    rig.power_off().await?;
    let store = store(&rig)?;
    store.dangerous_replace(StreamId::Journal, 1, original[1].clone())?;
    store.dangerous_replace(StreamId::Journal, 2, original[2].clone())?;
    drop(store);
    rig.power_on().await?;
    rig.serves().await
}

#[tokio::test]
async fn h2_a_truncated_journal_is_refused() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    rig.power_off().await?;
    let first_epoch = frames(&store(&rig)?)?.len();
    rig.power_on().await?;
    rig.serves().await?;
    rig.power_off().await?;
    let (whole, cut) = (rig.dir.path().join("whole"), rig.stack.host_dir());
    copy_dir(&cut, &whole)?;
    store(&rig)?.dangerous_truncate(StreamId::Journal, first_epoch as u64)?;
    rig.power_on().await?;
    // The counter is one ahead at least: this is an older state, whoever made it.
    rig.fails_with("journal.rolled_back").await?;
    rig.power_off().await?;

    replace_dir(&cut, &whole)?;
    store(&rig)?.dangerous_truncate(StreamId::Journal, 0)?;
    rig.power_on().await?;
    rig.fails_with("journal.missing").await?;
    rig.power_off().await?;

    replace_dir(&cut, &whole)?;
    rig.power_on().await?;
    rig.serves().await
}

#[tokio::test]
async fn h3_an_older_copy_is_refused_by_the_counter() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    rig.power_off().await?;
    let (older, newest) = (rig.dir.path().join("older"), rig.dir.path().join("newest"));
    copy_dir(&rig.stack.host_dir(), &older)?;
    // Twice, as one step less is what a crash between store and counter leaves.
    for _ in 0..2 {
        rig.power_on().await?;
        rig.serves().await?;
        rig.power_off().await?;
    }
    copy_dir(&rig.stack.host_dir(), &newest)?;
    replace_dir(&rig.stack.host_dir(), &older)?;
    rig.power_on().await?;
    rig.fails_with("journal.rolled_back").await?;
    rig.power_off().await?;
    replace_dir(&rig.stack.host_dir(), &newest)?;
    rig.power_on().await?;
    rig.serves().await
}

#[tokio::test]
async fn h2_another_vaults_journal_is_refused() -> anyhow::Result<()> {
    let (mut rig, mut other) = (Rig::start().await?, Rig::start().await?);
    rig.power_off().await?;
    other.power_off().await?;
    let (own, foreign) = (rig.dir.path().join("own"), other.stack.host_dir());
    copy_dir(&rig.stack.host_dir(), &own)?;

    // All of it: this machine cannot open that root key.
    replace_dir(&rig.stack.host_dir(), &foreign)?;
    rig.power_on().await?;
    rig.fails_with("platform.unseal").await?;
    rig.power_off().await?;

    // Its journal under our boot record.
    replace_dir(&rig.stack.host_dir(), &own)?;
    let record = store(&rig)?.read_boot()?.context("no boot record")?;
    replace_dir(&rig.stack.host_dir(), &foreign)?;
    store(&rig)?.write_boot(&record)?;
    rig.power_on().await?;
    rig.fails_with("journal.foreign").await?;
    rig.power_off().await?;

    replace_dir(&rig.stack.host_dir(), &own)?;
    rig.power_on().await?;
    rig.serves().await
}

#[tokio::test]
async fn h2_a_boot_record_that_is_gone_or_damaged_is_never_a_new_vault() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    rig.power_off().await?;
    let record = store(&rig)?.read_boot()?.context("no boot record")?;
    let mut damaged = record.clone();
    damaged.pop();
    store(&rig)?.write_boot(&damaged)?;
    rig.power_on().await?;
    rig.fails_with("boot.record_damaged").await?;
    rig.power_off().await?;

    let (own, bare) = (rig.stack.host_dir(), rig.dir.path().join("bare"));
    let kept = frames(&store(&rig)?)?;
    copy_dir(&own, &bare)?;
    std::fs::remove_dir_all(own.join("store"))?;
    let only_frames = store(&rig)?;
    let appends = kept.into_iter().enumerate().map(|(index, frame)| {
        let (stream, index) = (StreamId::Journal, index as u64);
        vouchsafe_protocol::link::Append { stream, index, frame }
    });
    for append in appends {
        only_frames.append(vec![append])?;
    }
    drop(only_frames);
    rig.power_on().await?;
    rig.fails_with("boot.record_missing").await?;
    rig.power_off().await?;

    replace_dir(&own, &bare)?;
    store(&rig)?.write_boot(&record)?;
    rig.power_on().await?;
    rig.serves().await
}

/// Within one epoch the counter says nothing (rung R1): whoever remembers a newer checkpoint does. A longer
/// journal that grew from the older state is a fork.
#[tokio::test]
async fn h3_a_client_that_remembers_notices_a_rollback_and_a_fork() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let older = rig.dir.path().join("older");
    rig.copy_live(&older).await?;

    let session = rig.agent.connect(&rig.stack).await?;
    for _ in 0..10 {
        write(&session, "kv/app/lost", b"acknowledged").await?;
    }
    session.close().await?;
    // Remembers the ten.
    rig.agent.connect(&rig.stack).await?.close().await?;
    rig.power_off().await?;
    replace_dir(&rig.stack.host_dir(), &older)?;
    rig.power_on().await?;
    rig.stack.ready().await?;

    let forgetful = rig.agent.pin.checkpoint;
    let refused = rig.agent.connect(&rig.stack).await.err().context("rolled back and not noticed")?;
    let rolled_back = refused.downcast_ref::<ConnectError>();
    ensure!(matches!(rolled_back, Some(ConnectError::RolledBack { .. })), "{refused:?}");

    // A client without a memory is what lets the host grow the older state.
    rig.agent.pin.checkpoint = None;
    let session = rig.agent.connect(&rig.stack).await?;
    for _ in 0..20 {
        write(&session, "kv/app/forked", b"another history").await?;
    }
    session.close().await?;
    rig.agent.pin.checkpoint = forgetful;
    let refused = rig.agent.connect(&rig.stack).await.err().context("forked and not noticed")?;
    let forked = refused.downcast_ref::<ConnectError>();
    ensure!(matches!(forked, Some(ConnectError::Forked { .. })), "{refused:?}");
    Ok(())
}
