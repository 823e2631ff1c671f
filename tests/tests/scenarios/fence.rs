//! H3, H9: the enclave is cloned, and a hostile host gives both clones one store. Never two histories.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, ensure};
use vouchsafe_client::ConnectError;
use vouchsafe_crypto::secret::Key32;
use vouchsafe_crypto::signature::LogPublicKey;
use vouchsafe_host::store::Store;
use vouchsafe_log::{AuditReader, Checkpoint, Tree, origin};
use vouchsafe_protocol::link::{StorageFailure, StorageReply, StorageRequest, StreamId};
use vouchsafe_tests::stack::{Agent, Below, Operator, Stack, sim_machine, sim_role};
use vouchsafe_tests::tap::{Tamper, framed};

use crate::rig::{PATH, ROLE, apply, write};

/// One store for whoever asks.
struct Shared(Arc<Store>);

impl Tamper for Shared {
    fn ask(&self, request: &StorageRequest) -> Option<Vec<u8>> {
        let Self(store) = self;
        let done = |result: Result<(), StorageFailure>| {
            result.map_or_else(StorageReply::Failed, |()| StorageReply::Done)
        };
        let reply = match request {
            // The host behind the tap opens its gate by this.
            StorageRequest::Announce(_) => return None,
            StorageRequest::Append(appends) => done(store.append(appends.clone()).map(drop)),
            StorageRequest::Heads => store.heads().map_or_else(StorageReply::Failed, StorageReply::Heads),
            StorageRequest::ReadBoot => {
                store.read_boot().map_or_else(StorageReply::Failed, StorageReply::Boot)
            }
            StorageRequest::ReadFrames { stream, from } => {
                store.read_frames(*stream, *from).map_or_else(StorageReply::Failed, StorageReply::Frames)
            }
            StorageRequest::WriteBoot(record) => done(store.write_boot(record)),
        };
        Some(framed(&reply))
    }
}

#[tokio::test]
async fn h3_h9_of_two_clones_on_one_store_one_is_fenced() -> anyhow::Result<()> {
    let (dir, clone_dir) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let store = Arc::new(Store::open(&dir.path().join("shared"))?);
    let shared = || Arc::new(Shared(Arc::clone(&store)));
    let (first, _tap) = Stack::start_tapped(dir.path(), Below::Sim, shared()).await?;
    let mut operator = Operator::init(&first).await?;
    apply(&first, &mut operator, &sim_role(ROLE, "kv/app/*")).await?;
    let machine = sim_machine(&first, "agent")?;
    let mut agent = Agent::introduce(&first, &operator.pin, ROLE, &machine).await?;
    let session = agent.connect(&first).await?;
    write(&session, PATH, b"before the clone").await?;

    // The same machine a second time.
    std::os::unix::fs::symlink(first.fleet(), clone_dir.path().join("sim"))?;
    let (mut second, _second_tap) = Stack::start_tapped(clone_dir.path(), Below::Sim, shared()).await?;
    second.ready().await?;
    let on_second = agent.connect(&second).await?;
    write(&on_second, PATH, b"by the clone").await?;

    // The first still holds a session and its keys. Who knows of the clone does not open another there, and
    // what is written in the old one is not acknowledged.
    let refused = agent.connect(&first).await.err().context("the first still opens sessions")?;
    let noticed = refused.downcast_ref::<ConnectError>();
    ensure!(matches!(noticed, Some(ConnectError::RolledBack { .. })), "{refused:?}");
    let fenced = write(&session, PATH, b"by the first").await;
    ensure!(fenced.is_err(), "both clones acknowledged a write");
    drop((session, on_second));
    // Or else they would go on fencing each other.
    second.kill_enclave().await?;

    // One history: an auditor opens every frame of it, and its root is the one that is signed.
    first.ready().await?;
    let session = operator.connect(&first).await?;
    let mut key = *session.audit().key().await?.expose_secret();
    let mut reader = AuditReader::new(Key32::take(&mut key).context("audit key")?, StreamId::Journal);
    let note = session.status().await?.checkpoint;
    let log_key = LogPublicKey(operator.pin.log_key.context("no log key")?);
    let checkpoint = Checkpoint::verify(&note, &origin(&operator.pin.vault_id, StreamId::Journal), &log_key)?;
    let (mut tree, mut next, mut epochs) = (Tree::default(), 0, BTreeSet::new());
    while tree.size() < checkpoint.size {
        let frames = store.read_frames(StreamId::Journal, next)?;
        ensure!(!frames.is_empty(), "the journal is shorter than its checkpoint");
        for frame in frames {
            let opened = reader.open(&frame)?;
            ensure!(epochs.last().is_none_or(|last| *last <= opened.epoch), "epochs of two writers mixed");
            epochs.insert(opened.epoch);
            opened.leaves.into_iter().for_each(|leaf| tree.push(leaf));
            next += 1;
        }
    }
    ensure!(tree.root() == checkpoint.root, "not the tree that the vault signs");
    ensure!(epochs.len() >= 3, "the clone, and the first again, began no epoch: {epochs:?}");

    // And what the clone acknowledged is there.
    let session = agent.connect(&first).await?;
    ensure!(session.kv().get(PATH).await?.value.expose_secret() == b"by the clone", "another value");
    Ok(())
}
