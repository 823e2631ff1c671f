//! The agent's own machine, shared with the threads that may block on its hardware.

use std::sync::{Arc, Mutex};

use vouchsafe_attestation::statement::StatementPreimage;
use vouchsafe_crypto::secret::Key32;
use vouchsafe_platform::{Attester, PlatformError};
use vouchsafe_protocol::evidence::{CredentialBlob, Evidence, EvidenceKind, TpmKeys};
use vouchsafe_protocol::introduction::LogsWanted;

/// A machine that can show evidence; clones share it. Calls to its hardware run on blocking threads, one at a
/// time.
#[derive(Clone)]
pub struct Machine(Arc<Mutex<Box<dyn Attester>>>);

/// Why the machine gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// A call to the hardware panicked, now or before.
    #[error("a call to this machine's security hardware did not finish; restart the agent")]
    Broken,
    /// The hardware, its driver or its setup.
    #[error("this machine cannot show evidence")]
    Platform(#[from] PlatformError),
}

impl Machine {
    /// Takes the machine. Keep it for later introductions: opening a TPM is slow.
    #[must_use]
    pub fn new(attester: impl Attester + 'static) -> Self {
        Self::from(Box::new(attester) as Box<dyn Attester>)
    }

    pub(crate) async fn kind(&self) -> Result<EvidenceKind, MachineError> {
        self.call(|attester| Ok(attester.evidence_kind())).await
    }

    pub(crate) async fn tpm_keys(&self) -> Result<Option<TpmKeys>, MachineError> {
        self.call(|attester| attester.tpm_keys()).await
    }

    pub(crate) async fn activate(&self, blob: CredentialBlob) -> Result<Key32, MachineError> {
        self.call(move |attester| attester.activate(&blob)).await
    }

    pub(crate) async fn evidence(
        &self,
        statement: StatementPreimage,
        pcrs: Vec<u8>,
        logs: LogsWanted,
    ) -> Result<Evidence, MachineError> {
        self.call(move |attester| attester.evidence(&statement, &pcrs, logs)).await
    }

    async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut dyn Attester) -> Result<T, PlatformError> + Send + 'static,
    ) -> Result<T, MachineError> {
        let machine = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || {
            let mut attester = machine.lock().map_err(|_| MachineError::Broken)?;
            Ok(call(attester.as_mut())?)
        })
        .await
        .map_err(|_| MachineError::Broken)?
    }
}

impl From<Box<dyn Attester>> for Machine {
    fn from(attester: Box<dyn Attester>) -> Self {
        Self(Arc::new(Mutex::new(attester)))
    }
}
