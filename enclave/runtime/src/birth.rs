//! How a vault is made: `init`, once, in an empty store.

use tokio::sync::oneshot;
use vouchsafe_enclave::{Core, Durable, Genesis, KernelPorts};
use vouchsafe_protocol::introduction::{InitRequest, IntroductionReply};
use vouchsafe_protocol::refusal::{Refusal, RefusalCode};

use crate::boot::{self, BootError};
use crate::clock::Clock;
use crate::commit;
use crate::machine::{Machine, MachineError};
use crate::storage::{Storage, StorageError};

/// Somebody asks for a vault and waits for the answer.
pub(crate) struct InitJob {
    pub(crate) request: InitRequest,
    pub(crate) reply: oneshot::Sender<IntroductionReply>,
}

/// Why there is no new vault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BirthError {
    /// After something may have been stored: the store has to be read again.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The machine cannot hold a vault; nothing was stored.
    #[error("the platform cannot hold a vault")]
    Machine(#[from] MachineError),
    /// The request is not acceptable; nothing was stored.
    #[error("the request is refused")]
    Refused(#[source] Refusal),
}

impl From<StorageError> for BirthError {
    fn from(error: StorageError) -> Self {
        Self::Boot(BootError::Storage(error))
    }
}

/// A vault that has just been made.
pub(crate) struct Newborn {
    pub(crate) core: Box<Core>,
    pub(crate) durable: Durable,
    pub(crate) reply: IntroductionReply,
}

/// Makes a vault.
///
/// 1. The request is acceptable.
/// 2. The machine seals the root key and vouches for the vault.
/// 3. Its first frames are stored, at index 0, so that of two enclaves on one store only one wins; then the
///    boot record: with it the vault exists.
/// 4. The epoch is counted.
/// 5. Only now it is answered.
pub(crate) async fn create(
    request: InitRequest,
    machine: &Machine,
    storage: &Storage,
    clock: &Clock,
) -> Result<Newborn, BirthError> {
    // 1.
    let entropy = machine.entropy().await?;
    let genesis =
        Genesis::new(request, machine.name(), &entropy, &mut KernelPorts).map_err(BirthError::Refused)?;
    // 2.
    let (genesis, sealed) = machine.seal(genesis, Genesis::root).await?;
    let counter = machine.counter().await?;
    let (record, unattested) =
        genesis.start(sealed, counter, clock.now(), &mut KernelPorts).map_err(BirthError::Refused)?;
    let evidence = machine.evidence(unattested.statement()).await?;
    let mut core = unattested.attest(evidence);
    // 3.
    let record = record.encode().map_err(|_| BootError::BootRecord)?;
    let durable = commit::first(&mut core, storage).await.map_err(BootError::from)?;
    storage.write_boot(record).await?;
    // 4.
    boot::count(core.expected_counter(), machine).await?;
    // 5.
    let reply = match core.init_done() {
        Ok(signed) => IntroductionReply::InitDone(signed),
        Err(_) => IntroductionReply::Refusal(RefusalCode::Storage.into()),
    };
    Ok(Newborn { core: Box::new(core), durable, reply })
}
