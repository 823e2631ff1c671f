//! Who may pass now: the host's view of the enclave.
//!
//! INVARIANT: a configuration for sessions exists only while the storage link is up, the store takes writes
//! and the enclave has announced that it serves; it accepts only certificates under the announced authority.

use std::sync::Arc;

use rustls::ServerConfig;
use tokio::sync::watch;
use vouchsafe_protocol::link::EnclaveState;

use crate::store::Store;
use crate::tls::{AuthorityError, OuterTls, TlsError};

/// Longest reason shown, in characters; the enclave sends stable codes.
const REASON_LEN: usize = 256;

/// What is known about the enclave, by the names shown on `/readyz` and `/metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Failed,
    Sealed,
    Serving,
    Silent,
    StoreFailed,
    Uninitialised,
    Unreachable,
}

impl State {
    /// Every state, for the metrics.
    pub(crate) const ALL: [Self; 7] = [
        Self::Failed,
        Self::Sealed,
        Self::Serving,
        Self::Silent,
        Self::StoreFailed,
        Self::Uninitialised,
        Self::Unreachable,
    ];

    /// Stable name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Sealed => "sealed",
            Self::Serving => "serving",
            Self::Silent => "silent",
            Self::StoreFailed => "store_failed",
            Self::Uninitialised => "uninitialised",
            Self::Unreachable => "unreachable",
        }
    }
}

/// One consistent view.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) state: State,
    /// Public text: a reason, or the vault id.
    pub(crate) detail: String,
    /// How to shake hands for an introduction, while one is possible.
    pub(crate) introduce: Option<Arc<ServerConfig>>,
    /// How to shake hands for a session, while one is possible.
    pub(crate) relay: Option<Arc<ServerConfig>>,
}

impl Standing {
    fn closed(state: State, detail: &str) -> Self {
        Self { state, detail: printable(detail), introduce: None, relay: None }
    }
}

/// Holds the view; the storage link moves it, listeners read it.
#[derive(Debug)]
pub(crate) struct Gate {
    tls: OuterTls,
    introduce: Arc<ServerConfig>,
    store: Arc<Store>,
    standing: watch::Sender<Standing>,
}

impl Gate {
    /// Closed until the enclave says otherwise.
    pub(crate) fn new(tls: OuterTls, store: Arc<Store>) -> Result<Self, TlsError> {
        let introduce = tls.introduce()?;
        let start = Standing::closed(State::Unreachable, "the enclave has not been reached yet");
        Ok(Self { tls, introduce, store, standing: watch::Sender::new(start) })
    }

    /// The view of this moment.
    pub(crate) fn standing(&self) -> Standing {
        match self.store.failure() {
            Some(failure) => Standing::closed(State::StoreFailed, &failure.to_string()),
            None => self.standing.borrow().clone(),
        }
    }

    /// The storage link is up; the enclave has not spoken yet.
    pub(crate) fn connected(&self) {
        self.replace(Standing::closed(State::Silent, "the enclave has not announced its state yet"));
    }

    /// The storage link is down.
    pub(crate) fn disconnected(&self, reason: &str) {
        self.replace(Standing::closed(State::Unreachable, reason));
    }

    /// The enclave said what it is doing.
    pub(crate) fn announced(&self, state: EnclaveState) -> Result<(), AuthorityError> {
        let standing = match state {
            EnclaveState::Failed { reason } => Standing::closed(State::Failed, &reason),
            EnclaveState::Sealed => Standing::closed(State::Sealed, "an operator sealed the vault"),
            EnclaveState::Serving { authority, vault_id } => Standing {
                state: State::Serving,
                detail: printable(&vault_id),
                introduce: Some(Arc::clone(&self.introduce)),
                relay: Some(self.tls.relay(&authority)?),
            },
            EnclaveState::Uninitialised => Standing {
                introduce: Some(Arc::clone(&self.introduce)),
                ..Standing::closed(State::Uninitialised, "no vault yet; run vouchsafe init")
            },
        };
        self.replace(standing);
        Ok(())
    }

    fn replace(&self, standing: Standing) {
        let (state, detail) = (standing.state, standing.detail.clone());
        let before = self.standing.send_replace(standing);
        if (before.state, &before.detail) != (state, &detail) {
            tracing::info!(state = state.name(), detail, "enclave");
        }
    }
}

/// What may be shown of a text that comes over the link.
fn printable(text: &str) -> String {
    text.chars()
        .take(REASON_LEN)
        .map(|c| if c == ' ' || c.is_ascii_graphic() && c != '"' && c != '\\' { c } else { '?' })
        .collect()
}
