//! The platform behind asynchronous calls: every call of it may block for seconds, so they run on a thread of
//! their own, one after another. Nothing else runs there: strangers who keep every other thread busy cannot
//! delay the end of an epoch.

use std::io;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use tokio::sync::oneshot;

use vouchsafe_attestation::statement::StatementPreimage;
use vouchsafe_crypto::secret::Key32;
use vouchsafe_enclave::PlatformName;
use vouchsafe_platform::{Platform, PlatformError, PlatformKind};
use vouchsafe_protocol::evidence::Evidence;
use vouchsafe_protocol::introduction::LogsWanted;

/// Why the machine did not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MachineError {
    #[error("a call into the platform died; restart the enclave")]
    Died,
    #[error(transparent)]
    Platform(#[from] PlatformError),
}

type Call = Box<dyn FnOnce(&mut (dyn Platform + 'static)) + Send>;

/// The machine. Clones share it; its thread ends with the last of them.
#[derive(Clone)]
pub(crate) struct Machine {
    calls: mpsc::Sender<Call>,
    kind: PlatformKind,
    pcrs: Arc<[u8]>,
}

impl Machine {
    /// `pcrs` is what the vault's own quote covers.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(crate) fn new(mut platform: Box<dyn Platform>, pcrs: &[u8]) -> io::Result<Self> {
        let kind = platform.kind();
        let (calls, called) = mpsc::channel::<Call>();
        // Not joined: a call that hangs must not keep the process from ending.
        thread::Builder::new().name("platform".to_owned()).spawn(move || {
            while let Ok(call) = called.recv() {
                call(platform.as_mut());
            }
        })?;
        Ok(Self { calls, kind, pcrs: pcrs.into() })
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
        // Pins look at PCRs alone.
        self.call(move |platform| platform.evidence(&statement, &pcrs, LogsWanted::default())).await
    }

    async fn call<T, F>(&self, work: F) -> Result<T, MachineError>
    where
        T: Send + 'static,
        F: FnOnce(&mut (dyn Platform + 'static)) -> Result<T, PlatformError> + Send + 'static,
    {
        let (reply, replied) = oneshot::channel();
        let call = Box::new(move |platform: &mut (dyn Platform + 'static)| {
            if reply.send(work(platform)).is_err() {
                tracing::debug!("nobody waits for the platform's answer any more");
            }
        });
        // A call that panicked took the thread with it: every later one finds nobody there.
        self.calls.send(call).map_err(|_| MachineError::Died)?;
        Ok(replied.await.map_err(|_| MachineError::Died)??)
    }
}
