//! How a vault comes back: boot record, root key, journal, a new epoch. Every step that fails has a code of
//! its own, which the host shows on `/readyz`.

use vouchsafe_enclave::{BootRecord, Core, Durable, KernelPorts, Restore, RestoreError};
use vouchsafe_protocol::link::StreamId;

use crate::clock::Clock;
use crate::commit::{self, CommitError};
use crate::machine::{Machine, MachineError};
use crate::session_tls::IdentityError;
use crate::storage::{Storage, StorageError};

/// Why a vault does not come back. Except for storage, trying again changes nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BootError {
    /// Frames without a record: the record was lost or withheld, or an `init` did not finish.
    #[error(
        "the store holds frames but no boot record; restore the host's data directory, or empty it if its \
         'init' never finished"
    )]
    BootRecordMissing,
    #[error("the boot record is damaged; restore the host's data directory")]
    BootRecord,
    #[error(
        "the platform's counter did not become what the journal says; the store or the machine was cloned"
    )]
    Counter,
    #[error("the platform gives no evidence")]
    Evidence(#[source] MachineError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("the platform's counter does not answer")]
    ReadCounter(#[source] MachineError),
    #[error("this vault was sealed on platform '{sealed}', this enclave runs on '{here}'")]
    OtherPlatform { sealed: &'static str, here: &'static str },
    #[error("the stored state is refused")]
    Restore(#[from] RestoreError),
    #[error("the core cannot seal its log")]
    Sealing,
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("the platform does not give the root key back")]
    Unseal(#[source] MachineError),
}

impl BootError {
    /// Stable, public text.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::BootRecord => "boot.record_damaged",
            Self::BootRecordMissing => "boot.record_missing",
            Self::Counter => "counter.unexpected",
            Self::Evidence(_) => "platform.evidence",
            Self::Identity(_) => "vault.identity",
            Self::OtherPlatform { .. } => "boot.other_platform",
            Self::ReadCounter(_) => "platform.counter",
            Self::Restore(error) => error.code(),
            Self::Sealing => "core.sealing",
            Self::Storage(_) => "storage.failed",
            Self::Unseal(_) => "platform.unseal",
        }
    }
}

impl From<CommitError> for BootError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Gone => Self::Storage(StorageError::Down),
            CommitError::Sealing => Self::Sealing,
            CommitError::Storage(error) => Self::Storage(error),
        }
    }
}

/// What the store holds.
pub(crate) enum Stored {
    /// Nothing at all.
    Nothing,
    /// A vault, back in a new epoch; and what is durable of it.
    Vault(Box<Core>, Durable),
}

/// Brings the stored vault back.
///
/// 1. A boot record, or an empty store.
/// 2. Sealed on this kind of platform.
/// 3. The platform gives the root key back.
/// 4. The journal, from its first frame to its last.
/// 5. It is as new as the platform's counter says; an increment that a crash prevented is made up for.
/// 6. Evidence for the new epoch.
/// 7. The epoch is durable before it is counted, and counted before anybody is served.
pub(crate) async fn boot(machine: &Machine, storage: &Storage, clock: &Clock) -> Result<Stored, BootError> {
    // 1.
    let Some(record) = storage.read_boot().await? else {
        let empty = storage.heads().await?.iter().all(|(_, frames)| *frames == 0);
        return if empty { Ok(Stored::Nothing) } else { Err(BootError::BootRecordMissing) };
    };
    let record = BootRecord::decode(&record).map_err(|_| BootError::BootRecord)?;
    // 2.
    if record.platform != machine.name() {
        let (sealed, here) = (record.platform.as_str(), machine.name().as_str());
        return Err(BootError::OtherPlatform { sealed, here });
    }
    // 3.
    let root = machine.unseal(record.sealed_root.clone()).await.map_err(BootError::Unseal)?;
    let counter = machine.counter().await.map_err(BootError::ReadCounter)?;
    // 4.
    let mut restore = Restore::new(&record, root);
    let mut next = 0;
    loop {
        let frames = storage.read_frames(StreamId::Journal, next).await?;
        if frames.is_empty() {
            break;
        }
        for frame in frames {
            restore.frame(&frame)?;
            next += 1;
        }
    }
    // 5.
    let restored = restore.finish(counter)?;
    if restored.owes_increment() {
        machine.increment().await.map_err(BootError::ReadCounter)?;
    }
    // 6.
    let unattested = restored.begin(clock.now(), &mut KernelPorts)?;
    // One time for all: challenges and TLS go by this clock, the core by its journal's where that is ahead.
    clock.advance_to(unattested.clock());
    let evidence = machine.evidence(unattested.statement()).await.map_err(BootError::Evidence)?;
    let mut core = unattested.attest(evidence);
    // 7.
    let durable = commit::first(&mut core, storage).await?;
    count(core.expected_counter(), machine).await?;
    Ok(Stored::Vault(Box::new(core), durable))
}

/// Counts what has just become durable: an epoch's begin or end. `None` where there is no counter.
pub(crate) async fn count(expected: Option<u64>, machine: &Machine) -> Result<(), BootError> {
    let Some(expected) = expected else { return Ok(()) };
    let counted = machine.increment().await.map_err(BootError::ReadCounter)?;
    if counted == expected { Ok(()) } else { Err(BootError::Counter) }
}
