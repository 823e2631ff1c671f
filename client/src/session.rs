//! Sessions: TLS that ends in the enclave, inside the TLS that ends at its host.
//!
//! A [`Session`] can be cloned and used by many tasks at once: requests are pipelined, and each reply is bound
//! to its request by number and by the link of the signed request chain.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use vouchsafe_crypto::signature::LogPublicKey;
use vouchsafe_protocol::id::VaultId;
use vouchsafe_protocol::link::ALPN_RELAY;

use crate::clock;
use crate::endpoint::Endpoint;
use crate::identity::{Identity, copy_key};
use crate::pin::Pin;
use crate::transport;

mod chain;
mod checkpoint;
mod derive;
mod driver;
mod error;
mod evidence;
mod inner;
mod kv;
mod lease;
mod mode;
mod names;
mod operator;
mod request;
#[cfg(test)]
mod tests;
mod transit;
mod watch;

pub use checkpoint::CheckpointState;
pub use derive::{Derive, DerivedKey};
pub use error::{ConnectError, RequestError, SessionEnd};
pub use evidence::{Collateral, CollateralPage, Seen};
pub use kv::{Kv, KvPage, KvPatch, KvSecret, KvWrite};
pub use lease::{LeasePage, Leases};
pub use mode::{Mode, Plain, Proven, Receipted};
pub use operator::{Audit, Roles};
pub use transit::{SealedText, SealedTextError, Transit};
pub use watch::KvWatch;

use chain::Chain;
use driver::Driver;

/// A session with the vault. Clones share the connection; the last one dropped closes it. `M` says whether
/// replies come with a receipt: see [`Session::with_receipts`].
pub struct Session<M: Mode = Plain> {
    shared: Arc<Shared>,
    mode: PhantomData<M>,
}

impl<M: Mode> Clone for Session<M> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), mode: PhantomData }
    }
}

/// What the clones of a session share.
struct Shared {
    driver: Driver,
    vault_id: VaultId,
    log_key: LogPublicKey,
    request_timeout: Duration,
}

impl Session {
    /// Opens a session, and checks that the vault's journal extends the one that the pin remembers. The pin
    /// then remembers the newest checkpoint: save it.
    ///
    /// 1. the identity is of the pinned vault, and valid;
    /// 2. the host's gate lets it in;
    /// 3. the inner TLS ends in a server with a certificate of the pinned vault's authority and its name;
    /// 4. the vault's journal extends the remembered one.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(
        endpoint: &Endpoint,
        identity: &Identity,
        pin: &mut Pin,
    ) -> Result<Self, ConnectError> {
        check_identity(identity, pin, clock::now_secs())?;
        let outer = transport::connect(endpoint, ALPN_RELAY, Some(identity))
            .await
            .map_err(ConnectError::Transport)?;
        Self::over(outer, endpoint, identity, pin).await
    }

    /// Opens a session over a stream that the gate let through.
    async fn over<S>(
        outer: S,
        endpoint: &Endpoint,
        identity: &Identity,
        pin: &mut Pin,
    ) -> Result<Self, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let log_key = pin.log_key().ok_or(ConnectError::LogKeyUnknown)?;
        let handshake = inner::handshake(outer, identity, &pin.vault_id);
        let stream =
            timeout(endpoint.handshake_timeout(), handshake).await.map_err(|_| ConnectError::Timeout)??;
        let start = inner::chain_start(&stream)?;
        let key = copy_key(identity.key()).map_err(ConnectError::Key)?;
        let shared = Shared {
            driver: Driver::start(stream, Chain::new(&start, key)),
            vault_id: pin.vault_id,
            log_key,
            request_timeout: endpoint.request_timeout(),
        };
        let session = Self { shared: Arc::new(shared), mode: PhantomData };
        session.remember(pin).await?;
        Ok(session)
    }

    /// The same session, its replies with receipts: each call returns the value and a [`Proven`] that was
    /// verified and is for this very request.
    #[must_use]
    pub fn with_receipts(&self) -> Session<Receipted> {
        Session { shared: Arc::clone(&self.shared), mode: PhantomData }
    }
}

impl<M: Mode> Session<M> {
    /// The vault.
    #[must_use]
    pub fn vault_id(&self) -> &VaultId {
        &self.shared.vault_id
    }

    /// Why the session ended, if it did.
    #[must_use]
    pub fn end(&self) -> Option<SessionEnd> {
        self.shared.driver.end()
    }

    /// Waits for requests in flight, signs the request chain to its end and closes the connection. Other
    /// clones then get [`SessionEnd::Closed`].
    ///
    /// # Errors
    /// [`RequestError::Timeout`] if the vault does not answer what is in flight; it is closed all the same.
    pub async fn close(&self) -> Result<(), RequestError> {
        timeout(self.shared.request_timeout, self.shared.driver.close())
            .await
            .map_err(|_| RequestError::Timeout)
    }
}

/// Step 1 of [`Session::connect`].
fn check_identity(identity: &Identity, pin: &Pin, now_secs: u64) -> Result<(), ConnectError> {
    let authority = identity.authority();
    if !pin.is_authority(authority.key()) {
        return Err(ConnectError::AnotherVault { expected: pin.vault_id });
    }
    authority
        .check_identity(identity.certificate(), &identity.key().spki(), &pin.vault_id, now_secs)
        .map_err(ConnectError::Identity)?;
    Ok(())
}
