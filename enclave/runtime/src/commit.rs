//! Group commit: one append in flight; when it returns, everything that came in the meantime goes in the next.
//! A reply waits in its session until this has made its entry durable.

use vouchsafe_enclave::{Core, Cut, Durable, Space};
use vouchsafe_protocol::link::StorageFailure;

use crate::storage::{Storage, StorageError};
use crate::vault::{Gone, Vault};

/// Why nothing more can be committed; the core must go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CommitError {
    #[error("the core is gone")]
    Gone,
    #[error("the core cannot seal its log")]
    Sealing,
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<Gone> for CommitError {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

/// Commits until `end`, which is heard only between appends: none is left without its answer.
pub(crate) async fn until<T>(end: impl Future<Output = T>, vault: &Vault) -> Result<T, CommitError> {
    let mut end = std::pin::pin!(end);
    loop {
        tokio::select! {
            biased;
            ended = &mut end => return Ok(ended),
            () = vault.work() => {}
        }
        all(vault).await?;
    }
}

/// Commits everything that waits.
pub(crate) async fn all(vault: &Vault) -> Result<(), CommitError> {
    while let Some(cut) = vault.with(|core, _| core.cut())?.map_err(|_| CommitError::Sealing)? {
        let Stored { durable, space } = store(vault.storage(), cut).await?;
        // First, so that whoever is answered finds the core knowing it.
        vault.with(|core, _| core.notice_space(space))?;
        vault.stored(durable);
    }
    Ok(())
}

/// Commits what a new core begins with, before anybody else can reach it.
pub(crate) async fn first(core: &mut Core, storage: &Storage) -> Result<Durable, CommitError> {
    let mut durable = Durable::default();
    while let Some(cut) = core.cut().map_err(|_| CommitError::Sealing)? {
        let stored = store(storage, cut).await?;
        durable = durable.max(stored.durable);
        core.notice_space(stored.space);
    }
    Ok(durable)
}

/// What an append came to.
struct Stored {
    durable: Durable,
    space: Space,
}

async fn store(storage: &Storage, cut: Cut) -> Result<Stored, StorageError> {
    let reply = storage.append(cut.appends).await?;
    let space = Space::of(&reply);
    let durable = cut.ticket.stored(&reply);
    Ok(Stored { durable: durable.map_err(|failure: StorageFailure| StorageError::Failed(failure))?, space })
}
