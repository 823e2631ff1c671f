//! A serving core and everything that is shared around it: its lock, what is durable, how it ends.
//!
//! INVARIANT: the core is taken out, and with that dropped, as soon as an append fails or is lost. What it
//! holds in memory may then be ahead of what is stored; whoever comes later finds nothing to ask.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, watch};
use vouchsafe_enclave::{Core, Durable, KernelPorts, Pending, SessionId};
use zeroize::Zeroizing;

use crate::session_tls::SessionTls;
use crate::storage::Storage;

/// The vault does not serve any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// Whether an operator's seal was accepted. It belongs to the process, outlives every vault in it, and is never
/// taken back: nothing the host does to a link afterwards brings the keys back (V8).
#[derive(Clone, Default)]
pub(crate) struct SealOrder(Arc<AtomicBool>);

impl SealOrder {
    /// From now on this process can only end sealed. Called under the core's lock, so that whoever has taken the
    /// core away knows the last word.
    pub(crate) fn give(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_given(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// How far a vault is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Life {
    /// It serves.
    Serving,
    /// It takes nothing new; what is durable may still leave.
    Draining,
    /// It has no core any more.
    Ended,
}

struct Inner {
    core: Box<Core>,
    ports: KernelPorts,
}

/// A serving core.
pub(crate) struct Vault {
    inner: Mutex<Option<Inner>>,
    /// Something may be waiting to be cut.
    work: Notify,
    /// Something may be due earlier than before.
    earlier: Notify,
    /// How each session hears that it has something to be told.
    listeners: Mutex<HashMap<SessionId, Arc<Notify>>>,
    /// A session released the answer to a seal.
    sealed: Notify,
    durable: watch::Sender<Durable>,
    life: watch::Sender<Life>,
    seal: SealOrder,
    storage: Storage,
    tls: SessionTls,
}

impl Vault {
    /// `durable` is what the first append made durable; `seal` is told when the core accepts a seal.
    pub(crate) fn new(
        core: Box<Core>,
        durable: Durable,
        storage: Storage,
        tls: SessionTls,
        seal: SealOrder,
    ) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(Some(Inner { core, ports: KernelPorts })),
            work: Notify::new(),
            earlier: Notify::new(),
            listeners: Mutex::default(),
            sealed: Notify::new(),
            durable: watch::Sender::new(durable),
            life: watch::Sender::new(Life::Serving),
            seal,
            storage,
            tls,
        })
    }

    /// Runs `call` on the core, alone. It must not block.
    ///
    /// # Errors
    /// [`Gone`]. A panic inside the core is a broken invariant: nobody gets at that core again.
    pub(crate) fn with<T>(&self, call: impl FnOnce(&mut Core, &mut KernelPorts) -> T) -> Result<T, Gone> {
        match self.inner.lock() {
            Ok(mut inner) => match inner.as_mut() {
                Some(Inner { core, ports }) => {
                    let result = call(core, ports);
                    self.tell(&core.take_woken());
                    Ok(result)
                }
                None => Err(Gone),
            },
            Err(_) => {
                self.end();
                Err(Gone)
            }
        }
    }

    /// How a session hears from now on that it has something to be told.
    pub(crate) fn listen(&self, id: SessionId) -> Arc<Notify> {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(listeners.entry(id).or_default())
    }

    /// The session is over.
    pub(crate) fn unlisten(&self, id: SessionId) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    fn tell(&self, sessions: &[SessionId]) {
        if sessions.is_empty() {
            return;
        }
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.iter().filter_map(|id| listeners.get(id)).for_each(|listener| listener.notify_one());
    }

    /// Tells the committer that there may be something to cut.
    pub(crate) fn wake(&self) {
        self.work.notify_one();
    }

    /// Returns when there may be something to cut.
    pub(crate) async fn work(&self) {
        self.work.notified().await;
    }

    /// Tells the ticker that something may be due earlier than before.
    pub(crate) fn due_earlier(&self) {
        self.earlier.notify_one();
    }

    /// Returns when something may be due earlier than before.
    pub(crate) async fn earlier(&self) {
        self.earlier.notified().await;
    }

    /// An operator's seal has been answered.
    pub(crate) fn ask_to_seal(&self) {
        self.sealed.notify_one();
    }

    /// Returns when an operator's seal has been answered.
    pub(crate) async fn seal_asked(&self) {
        self.sealed.notified().await;
    }

    /// An append came back. Only the committer calls this.
    pub(crate) fn stored(&self, durable: Durable) {
        self.durable.send_modify(|known| *known = known.max(durable));
    }

    /// What is durable, as it grows. Whoever holds one is waited for when the vault drains.
    pub(crate) fn durable(&self) -> watch::Receiver<Durable> {
        self.durable.subscribe()
    }

    /// Returns when nobody holds a receiver of [`Self::durable`].
    pub(crate) async fn drained(&self) {
        self.durable.closed().await;
    }

    pub(crate) fn life(&self) -> watch::Receiver<Life> {
        self.life.subscribe()
    }

    /// Takes nothing new.
    pub(crate) fn drain(&self) {
        self.life.send_modify(|life| *life = Life::Draining.max(*life));
    }

    /// Drops the core, now, and ends everything around it.
    pub(crate) fn end(&self) {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(inner);
        self.life.send_replace(Life::Ended);
        self.wake();
    }

    pub(crate) fn seal_order(&self) -> &SealOrder {
        &self.seal
    }

    pub(crate) fn storage(&self) -> &Storage {
        &self.storage
    }

    pub(crate) fn tls(&self) -> &SessionTls {
        &self.tls
    }
}

/// Waits until a reply is covered, and releases it.
///
/// # Errors
/// [`Gone`] if the vault ends first: the reply is dropped unsent.
pub(crate) async fn release(
    mut pending: Pending,
    durable: &mut watch::Receiver<Durable>,
    life: &mut watch::Receiver<Life>,
) -> Result<Zeroizing<Vec<u8>>, Gone> {
    loop {
        let reached = *durable.borrow_and_update();
        pending = match pending.release(&reached) {
            Ok(bytes) => return Ok(bytes),
            Err(pending) => pending,
        };
        tokio::select! {
            changed = durable.changed() => changed.map_err(|_| Gone)?,
            ended = life.wait_for(|life| *life == Life::Ended) => {
                drop(ended);
                return Err(Gone);
            }
        }
    }
}
