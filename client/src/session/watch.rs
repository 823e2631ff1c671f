//! Watches: being told of new versions on an open session.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use vouchsafe_protocol::kv::KvNotice;
use vouchsafe_protocol::path::Path;
use vouchsafe_protocol::session::Request;

use super::Shared;
use super::error::SessionEnd;

/// Hosts close connections on which nothing moves, after 15 minutes unless they are set otherwise.
const KEEP_ALIVE: Duration = Duration::from_secs(300);

/// A watch of one secret. It tells that there is a version, and which; reading it is another request, which policy
/// decides on as ever. Versions that come faster than they are taken are told as one: the newest.
///
/// Dropping it stops telling; [`super::Kv::unwatch`] makes its place in the vault free again.
pub struct KvWatch {
    current: u64,
    registration: Registration,
    shared: Arc<Shared>,
}

impl KvWatch {
    pub(super) fn new(current: u64, registration: Registration, shared: Arc<Shared>) -> Self {
        Self { current, registration, shared }
    }

    /// The version that was current when the watch began; 0 if there was none.
    #[must_use]
    pub fn current(&self) -> u64 {
        self.current
    }

    /// Waits for the next version, and gives its number.
    ///
    /// # Errors
    /// [`SessionEnd`]: the session is over, and the watch with it.
    pub async fn next(&mut self) -> Result<u64, SessionEnd> {
        loop {
            let alive = tokio::time::timeout(KEEP_ALIVE, self.registration.news.changed()).await;
            match alive {
                Ok(Ok(())) => return Ok(*self.registration.news.borrow_and_update()),
                Ok(Err(_)) => return Err(self.shared.driver.end().unwrap_or(SessionEnd::Closed)),
                // Anything will do; if it fails because the session is over, that shows above.
                Err(_) => match self.shared.call(&Request::Checkpoint { from_size: 0 }, false).await {
                    Ok(_) => {}
                    Err(error) => tracing::debug!(%error, "the session was not kept alive"),
                },
            }
        }
    }
}

/// The watches of a session, by path. Only what is asked for is listened to.
#[derive(Default)]
pub(super) struct Watched(Mutex<Paths>);

type Paths = HashMap<Path, watch::Sender<u64>>;

impl Watched {
    /// Listens from now on: before the vault is asked, so that nothing is missed.
    pub(super) fn register(self: &Arc<Self>, path: &Path) -> Registration {
        let news =
            self.with(|paths| paths.entry(path.clone()).or_insert_with(|| watch::Sender::new(0)).subscribe());
        Registration { path: path.clone(), news, watched: Arc::clone(self) }
    }

    /// Hands a notice to whoever listens; nobody else's is believed to matter.
    pub(super) fn deliver(&self, notice: KvNotice) {
        self.with(|paths| {
            for (path, version) in notice.versions {
                if let Some(listeners) = paths.get(&path) {
                    listeners.send_replace(version);
                }
            }
        });
    }

    /// Nothing can come any more.
    pub(super) fn close(&self) {
        self.with(|paths| paths.clear());
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.with(|paths| paths.len())
    }

    /// Nothing panics while the lock is held, so what a poisoned lock guards is whole.
    fn with<T>(&self, call: impl FnOnce(&mut Paths) -> T) -> T {
        call(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A listener of one path.
pub(super) struct Registration {
    path: Path,
    news: watch::Receiver<u64>,
    watched: Arc<Watched>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.watched.with(|paths| {
            // This one still counts.
            if paths.get(&self.path).is_some_and(|listeners| listeners.receiver_count() <= 1) {
                paths.remove(&self.path);
            }
        });
    }
}
