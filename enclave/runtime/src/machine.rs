//! The platform behind asynchronous calls: every call of it may block for seconds, so each runs on a thread
//! that may, one at a time.

use std::sync::{Arc, Mutex};

use vouchsafe_attestation::statement::StatementPreimage;
use vouchsafe_crypto::secret::Key32;
use vouchsafe_enclave::PlatformName;
use vouchsafe_platform::{Platform, PlatformError, PlatformKind};
use vouchsafe_protocol::evidence::Evidence;

/// Why the machine did not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MachineError {
    #[error("a call into the platform died; restart the enclave")]
    Died,
    #[error(transparent)]
    Platform(#[from] PlatformError),
}

/// The machine. Clones share it.
#[derive(Clone)]
pub(crate) struct Machine {
    platform: Arc<Mutex<Box<dyn Platform>>>,
    kind: PlatformKind,
    pcrs: Arc<[u8]>,
}

impl Machine {
    /// `pcrs` is what the vault's own quote covers.
    pub(crate) fn new(platform: Box<dyn Platform>, pcrs: &[u8]) -> Self {
        let kind = platform.kind();
        Self { platform: Arc::new(Mutex::new(platform)), kind, pcrs: pcrs.into() }
    }

    pub(crate) fn name(&self) -> PlatformName {
        match self.kind {
            PlatformKind::Sim => PlatformName::Sim,
            PlatformKind::Snp => PlatformName::Snp,
            PlatformKind::Tpm => PlatformName::Tpm,
        }
    }

    pub(crate) async fn entropy(&self) -> Result<Key32, MachineError> {
        self.call(|platform| Key32::fill_with(|bytes| platform.entropy(bytes))).await
    }

    /// Seals what `root` gives access to; the owner of the root comes back with the sealed bytes.
    pub(crate) async fn seal<T>(
        &self,
        owner: T,
        root: impl Fn(&T) -> &Key32 + Send + 'static,
    ) -> Result<(T, Vec<u8>), MachineError>
    where
        T: Send + 'static,
    {
        self.call(move |platform| platform.seal(root(&owner)).map(|sealed| (owner, sealed))).await
    }

    pub(crate) async fn unseal(&self, sealed: Vec<u8>) -> Result<Key32, MachineError> {
        self.call(move |platform| platform.unseal(&sealed)).await
    }

    pub(crate) async fn counter(&self) -> Result<Option<u64>, MachineError> {
        self.call(Platform::counter).await
    }

    pub(crate) async fn increment(&self) -> Result<u64, MachineError> {
        self.call(Platform::increment).await
    }

    pub(crate) async fn evidence(&self, statement: StatementPreimage) -> Result<Evidence, MachineError> {
        let pcrs = Arc::clone(&self.pcrs);
        self.call(move |platform| platform.evidence(&statement, &pcrs)).await
    }

    async fn call<T, F>(&self, work: F) -> Result<T, MachineError>
    where
        T: Send + 'static,
        F: FnOnce(&mut (dyn Platform + 'static)) -> Result<T, PlatformError> + Send + 'static,
    {
        let platform = Arc::clone(&self.platform);
        let called = tokio::task::spawn_blocking(move || {
            let mut platform = platform.lock().map_err(|_| MachineError::Died)?;
            work(platform.as_mut()).map_err(MachineError::Platform)
        });
        called.await.map_err(|_| MachineError::Died)?
    }
}
