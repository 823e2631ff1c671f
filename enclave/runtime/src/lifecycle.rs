//! From one storage link to the next: boot, serve, lose the link, boot again; and the ways to stop.
//!
//! One task does all of this, in order: nothing can race with it for the platform, the boot record or `init`.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use vouchsafe_enclave::{Core, Durable};
use vouchsafe_protocol::introduction::IntroductionReply;
use vouchsafe_protocol::link::EnclaveState;
use vouchsafe_protocol::refusal::{Refusal, RefusalCode};

use crate::birth::{self, BirthError, InitJob};
use crate::boot::{self, BootError, Stored};
use crate::clock::Clock;
use crate::commit::{self, CommitError};
use crate::frames::Stream;
use crate::links::LinkSlot;
use crate::machine::Machine;
use crate::phase::Phase;
use crate::session_tls::SessionTls;
use crate::storage::{Storage, StorageError};
use crate::ticker;
use crate::vault::{Gone, SealOrder, Vault};

/// First pause before booting again; it doubles while boots fail.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Time for the last replies when the vault stops or is sealed.
const DRAIN: Duration = Duration::from_secs(2);
/// Time for telling the host that the vault is sealed; the process that follows tells it again.
const LAST_WORD: Duration = Duration::from_secs(2);
/// Time for storing and counting the end of an epoch; after it the next start makes up for it.
const LAST_COMMIT: Duration = Duration::from_secs(8);

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// An operator sealed the vault: this process must be replaced by one that never held a key.
    Sealed,
    /// It was told to stop.
    Stopped,
}

/// What comes after a link.
enum Next {
    Lost,
    Replaced(Stream),
    Sealed,
    Stopped,
}

/// Why a serving vault ends in order.
enum Wish {
    Lost,
    Replace(Stream),
    Seal,
    Stop,
}

/// Answers `init` once the vault serves.
type Announcement = Option<(InitJobReply, IntroductionReply)>;
type InitJobReply = tokio::sync::oneshot::Sender<IntroductionReply>;

/// The life of a process that may hold a vault.
pub(crate) struct Lifecycle {
    pub(crate) machine: Machine,
    pub(crate) clock: Arc<Clock>,
    pub(crate) phase: watch::Sender<Phase>,
    pub(crate) links: Arc<LinkSlot>,
    pub(crate) inits: mpsc::Receiver<InitJob>,
    pub(crate) stop: watch::Receiver<bool>,
    /// INVARIANT: once given, no vault is booted any more and [`Lifecycle::run`] ends with [`Exit::Sealed`].
    pub(crate) seal: SealOrder,
    /// Whether the newest link got as far as serving.
    pub(crate) served: bool,
}

/// A vault in service; its core is dropped with this.
struct Service(Arc<Vault>);

impl Drop for Service {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Shows that the vault is sealed, until told to stop. There is no machine here, and no key.
pub(crate) async fn stay_sealed(links: &LinkSlot, mut stop: watch::Receiver<bool>) -> Exit {
    let mut newest = None;
    loop {
        let stream = match newest.take() {
            Some(stream) => stream,
            None => tokio::select! {
                stream = links.take() => stream,
                () = stopped(&mut stop) => return Exit::Stopped,
            },
        };
        let (_link, storage) = Storage::open(stream);
        if let Err(error) = storage.announce(EnclaveState::Sealed).await {
            tracing::warn!(reason = %error, "cannot tell the host that the vault is sealed");
        }
        tokio::select! {
            stream = links.take() => newest = Some(stream),
            () = storage.closed() => {}
            () = stopped(&mut stop) => return Exit::Stopped,
        }
    }
}

impl Lifecycle {
    /// Until told to stop, or sealed.
    pub(crate) async fn run(mut self) -> Exit {
        let mut pause = PAUSE_MIN;
        let mut newest = None;
        loop {
            let stream = match newest.take() {
                Some(stream) => stream,
                None => match self.next_link().await {
                    Some(stream) => stream,
                    None => return Exit::Stopped,
                },
            };
            self.served = false;
            let next = self.live(stream).await;
            // Before anything else, whatever ended it: the core is gone by now, so no seal can come any more.
            if self.seal.is_given() {
                self.phase.send_replace(Phase::Sealed);
                tracing::info!("sealed by an operator");
                return Exit::Sealed;
            }
            match next {
                Next::Lost => {}
                Next::Replaced(stream) => newest = Some(stream),
                Next::Sealed => return Exit::Sealed,
                Next::Stopped => return Exit::Stopped,
            }
            self.phase.send_replace(Phase::Unavailable);
            pause = if self.served { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stopped(&mut self.stop) => return Exit::Stopped,
            }
        }
    }

    async fn next_link(&mut self) -> Option<Stream> {
        tokio::select! {
            stream = self.links.take() => Some(stream),
            () = refuse_all(&mut self.inits, RefusalCode::Storage) => None,
            () = stopped(&mut self.stop) => None,
        }
    }

    /// From a new link to its end.
    async fn live(&mut self, stream: Stream) -> Next {
        let (_link, storage) = Storage::open(stream);
        // Breaking a boot off is like a crash in it: the next one makes up for what it left.
        let booted = tokio::select! {
            booted = boot::boot(&self.machine, &storage, &self.clock) => booted,
            newer = self.links.take() => return Next::Replaced(newer),
            () = stopped(&mut self.stop) => return Next::Stopped,
        };
        match booted {
            Ok(Stored::Vault(core, durable)) => self.serve(core, durable, &storage, None).await,
            Ok(Stored::Nothing) => self.await_init(&storage).await,
            Err(error) => self.fail(&error, &storage).await,
        }
    }

    /// There is no vault: waits for somebody to make one.
    async fn await_init(&mut self, storage: &Storage) -> Next {
        // The phase first, here and below: whoever comes because of the announcement finds it true.
        self.phase.send_replace(Phase::Uninitialised);
        if let Err(error) = storage.announce(EnclaveState::Uninitialised).await {
            return lost(&error);
        }
        tracing::info!("there is no vault yet; waiting for init");
        loop {
            let job = tokio::select! {
                Some(job) = self.inits.recv() => job,
                newer = self.links.take() => return Next::Replaced(newer),
                () = storage.closed() => return Next::Lost,
                () = stopped(&mut self.stop) => return Next::Stopped,
            };
            // Not broken off by a stop: half an init would leave a store that no enclave accepts.
            match birth::create(job.request, &self.machine, storage, &self.clock).await {
                Ok(born) => {
                    tracing::info!(vault = %born.core.vault_id(), "a new vault");
                    let announcement = Some((job.reply, born.reply));
                    return self.serve(born.core, born.durable, storage, announcement).await;
                }
                Err(BirthError::Refused(refusal)) => {
                    tracing::warn!(code = ?refusal.code, "init refused");
                    answer(job.reply, IntroductionReply::Refusal(refusal));
                }
                Err(BirthError::Machine(error)) => {
                    tracing::error!(reason = chain(&error), "init failed: the platform cannot hold a vault");
                    let refusal = Refusal { code: RefusalCode::Init, rule: Some("platform".to_owned()) };
                    answer(job.reply, IntroductionReply::Refusal(refusal));
                }
                Err(BirthError::Boot(error)) => {
                    answer(job.reply, IntroductionReply::Refusal(RefusalCode::Storage.into()));
                    return self.fail(&error, storage).await;
                }
            }
        }
    }

    /// Serves until something ends it.
    async fn serve(
        &mut self,
        core: Box<Core>,
        durable: Durable,
        storage: &Storage,
        announcement: Announcement,
    ) -> Next {
        let tls = match SessionTls::new(&core, Arc::clone(&self.clock)) {
            Ok(tls) => tls,
            Err(error) => return self.fail(&error.into(), storage).await,
        };
        let vault_id = core.vault_id().to_string();
        let state =
            EnclaveState::Serving { authority: core.authority().to_vec(), vault_id: vault_id.clone() };
        let service = Service(Vault::new(core, durable, storage.clone(), tls, self.seal.clone()));
        self.phase.send_replace(Phase::Serving(Arc::clone(&service.0)));
        if let Err(error) = storage.announce(state).await {
            return lost(&error);
        }
        tracing::info!(vault = vault_id, "serving");
        self.served = true;
        if let Some((reply, message)) = announcement {
            answer(reply, message);
        }
        let (inits, stop) = (&mut self.inits, &mut self.stop);
        let wish = async {
            tokio::select! {
                () = refuse_all(inits, RefusalCode::AlreadyInitialised) => Wish::Stop,
                () = service.0.seal_asked() => Wish::Seal,
                () = storage.closed() => Wish::Lost,
                () = stopped(stop) => Wish::Stop,
            }
        };
        let ended = tokio::select! {
            ended = commit::until(wish, &service.0) => ended,
            newer = self.links.take() => Ok(Wish::Replace(newer)),
            never = ticker::run(&service.0, &self.clock) => match never {},
        };
        // An accepted seal comes before whatever else ended this: the host may cut or replace the link at will.
        if self.seal.is_given() {
            self.seal(ended, &service.0).await;
            return Next::Sealed;
        }
        match ended {
            Err(error) => {
                tracing::error!(reason = %error, "a commit failed; the vault stops until it has read its store again");
                Next::Lost
            }
            Ok(Wish::Lost | Wish::Seal) => {
                tracing::warn!("the storage link is gone; the vault stops until it is back");
                Next::Lost
            }
            Ok(Wish::Replace(newer)) => Next::Replaced(newer),
            Ok(Wish::Stop) => {
                self.phase.send_replace(Phase::Unavailable);
                self.finish(&service.0).await;
                tracing::info!("stopped");
                Next::Stopped
            }
        }
    }

    /// Ends the epoch as far as the link allows; what is durable, the seal's answer above all, still leaves.
    async fn seal(&self, ended: Result<Wish, CommitError>, vault: &Vault) {
        self.phase.send_replace(Phase::Sealed);
        match ended {
            Ok(Wish::Lost | Wish::Seal | Wish::Stop) => self.finish(vault).await,
            // An append failed or was broken off: nothing more may be cut.
            Ok(Wish::Replace(_)) | Err(_) => {
                vault.drain();
                self.part(vault).await;
            }
        }
        let news = vault.storage().announce(EnclaveState::Sealed);
        match tokio::time::timeout(LAST_WORD, news).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(reason = %error, "cannot tell the host that the vault is sealed");
            }
            Err(_) => tracing::warn!("the host does not take the news that the vault is sealed"),
        }
    }

    /// Ends the epoch: its end is stored, then counted; what is durable still leaves. If it cannot be done, the
    /// next start finds an epoch without an end, as after a crash.
    async fn finish(&self, vault: &Vault) {
        vault.drain();
        match tokio::time::timeout(LAST_COMMIT, self.end_epoch(vault)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(reason = chain(&error), "the end of the epoch could not be recorded");
            }
            Err(_) => tracing::warn!("the end of the epoch could not be recorded in time"),
        }
        self.part(vault).await;
    }

    /// Waits, for a bounded time, until what is durable has left; then the core goes.
    async fn part(&self, vault: &Vault) {
        if tokio::time::timeout(DRAIN, vault.drained()).await.is_err() {
            tracing::debug!("some sessions did not take their last replies");
        }
        vault.end();
    }

    async fn end_epoch(&self, vault: &Vault) -> Result<(), BootError> {
        let gone = |_: Gone| BootError::Storage(StorageError::Down);
        let now = self.clock.now();
        vault.with(|core, ports| core.end(now, ports)).map_err(gone)?.map_err(|_| BootError::Sealing)?;
        commit::all(vault).await?;
        let expected = vault.with(|core, _| core.expected_counter()).map_err(gone)?;
        boot::count(expected, &self.machine).await
    }

    /// The vault does not come back. A failing store is tried again; anything else waits for people.
    async fn fail(&mut self, error: &BootError, storage: &Storage) -> Next {
        if let BootError::Storage(error) = error {
            return lost(error);
        }
        let code = error.code();
        tracing::error!(code, reason = chain(error), "the vault does not start");
        if let Err(error) = storage.announce(EnclaveState::Failed { reason: code.to_owned() }).await {
            return lost(&error);
        }
        tokio::select! {
            newer = self.links.take() => Next::Replaced(newer),
            () = refuse_all(&mut self.inits, RefusalCode::Storage) => Next::Stopped,
            () = storage.closed() => Next::Lost,
            () = stopped(&mut self.stop) => Next::Stopped,
        }
    }
}

fn lost(error: &StorageError) -> Next {
    tracing::warn!(reason = %error, "the store cannot be used");
    Next::Lost
}

fn answer(reply: InitJobReply, message: IntroductionReply) {
    if reply.send(message).is_err() {
        tracing::debug!("nobody waits for the answer to init any more");
    }
}

/// Refuses every `init` that comes; returns when none can come any more.
async fn refuse_all(inits: &mut mpsc::Receiver<InitJob>, code: RefusalCode) {
    while let Some(job) = inits.recv().await {
        answer(job.reply, IntroductionReply::Refusal(code.into()));
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that nobody can ask any more to stop; that is a reason to stop, too.
    drop(stop.wait_for(|stop| *stop).await);
}

/// An error and its causes in one line. Only for errors whose texts this workspace wrote.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
