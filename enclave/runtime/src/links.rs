//! Connections of the host: what each is for, and how many there may be.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use vouchsafe_protocol::codec;
use vouchsafe_protocol::link::LinkHello;

use crate::frames::{FrameBuffer, Stream};
use crate::introduce::Desk;
use crate::listener::Listener;
use crate::phase::Phase;
use crate::session;

/// Longest wait for the first frame of a connection.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest first frame in bytes: a [`LinkHello`] takes one.
const HELLO_LEN: usize = 8;
/// Connections that have not said yet what they are for. More wait in the kernel's backlog.
const NAMELESS: usize = 256;
/// Pause after the kernel refused a connection (no descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The newest storage connection that nobody has taken yet; an older one in it is closed.
#[derive(Default)]
pub(crate) struct LinkSlot {
    newest: Mutex<Option<Stream>>,
    arrived: Notify,
}

impl LinkSlot {
    fn put(&self, stream: Stream) {
        let replaced = self.newest.lock().unwrap_or_else(PoisonError::into_inner).replace(stream);
        drop(replaced);
        self.arrived.notify_one();
    }

    /// Waits for one.
    pub(crate) async fn take(&self) -> Stream {
        loop {
            let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner).take();
            match newest {
                Some(stream) => return stream,
                None => self.arrived.notified().await,
            }
        }
    }
}

/// Accepts connections and hands each to what it is for.
pub(crate) struct Links {
    pub(crate) listener: Listener,
    pub(crate) connections: usize,
    pub(crate) storage: Arc<LinkSlot>,
    pub(crate) desk: Desk,
}

impl Links {
    /// Accepts until `stop` becomes true. Never returns; dropping it closes whatever is still open.
    pub(crate) async fn serve(self, mut stop: watch::Receiver<bool>) {
        let Self { listener, connections, storage, desk } = self;
        let nameless = Arc::new(Semaphore::new(NAMELESS));
        let open = Arc::new(Semaphore::new(connections));
        let mut tasks = JoinSet::new();
        loop {
            let stream = tokio::select! {
                stopped = stop.wait_for(|stop| *stop) => {
                    drop(stopped);
                    break;
                }
                Some(ended) = tasks.join_next() => {
                    report(&ended);
                    continue;
                }
                accepted = accept(&listener, &nameless) => accepted,
            };
            let Some((stream, permit)) = stream else { continue };
            let (open, storage, desk) = (Arc::clone(&open), Arc::clone(&storage), desk.clone());
            tasks.spawn(async move {
                let opened = tokio::time::timeout(HELLO_TIMEOUT, hello(stream)).await;
                drop(permit);
                if let Ok(Some((hello, stream))) = opened {
                    dispatch(hello, stream, &open, &storage, &desk).await;
                } else {
                    tracing::debug!("a connection did not say what it is for");
                }
            });
        }
        drop(listener);
        while let Some(ended) = tasks.join_next().await {
            report(&ended);
        }
        std::future::pending::<()>().await;
    }
}

/// A panic in one connection ends that connection.
fn report(ended: &Result<(), tokio::task::JoinError>) {
    if ended.is_err() {
        tracing::error!("the task of a connection died; please report this");
    }
}

async fn accept(
    listener: &Listener,
    nameless: &Arc<Semaphore>,
) -> Option<(Stream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(nameless).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok(stream) => Some((stream, permit)),
        Err(error) => {
            tracing::warn!(kind = %error.kind(), "cannot accept a connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn hello(mut stream: Stream) -> Option<(LinkHello, Stream)> {
    let mut buffer = FrameBuffer::default();
    let hello = codec::decode(buffer.read(&mut stream, HELLO_LEN).await.ok()?, HELLO_LEN).ok()?;
    Some((hello, stream))
}

async fn dispatch(hello: LinkHello, stream: Stream, open: &Semaphore, storage: &LinkSlot, desk: &Desk) {
    // The storage link has no limit to hit: there is one, and without it nothing else is served.
    if hello == LinkHello::Storage {
        return storage.put(stream);
    }
    let Ok(_place) = open.try_acquire() else {
        return tracing::warn!("too many connections; the newest is closed");
    };
    if hello == LinkHello::Introduce {
        return desk.serve(stream).await;
    }
    let phase = desk.phase.borrow().clone();
    match phase {
        Phase::Serving(vault) => session::serve(stream, vault, Arc::clone(&desk.clock)).await,
        Phase::Sealed | Phase::Unavailable | Phase::Uninitialised => {
            tracing::debug!("a session was opened while no vault serves");
        }
    }
}
