//! Where a vault's host is, and how long it may take.

use std::time::Duration;

/// Time to connect and to finish each handshake or round trip of an introduction.
const HANDSHAKE: Duration = Duration::from_secs(20);
/// Time for one request of a session. A reply that comes later is dropped.
const REQUEST: Duration = Duration::from_secs(60);

/// A vault's host. Whom one talks to there is decided by the [`Pin`](crate::Pin), never by this address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    address: String,
    handshake: Duration,
    request: Duration,
}

impl Endpoint {
    /// `address` is `host:port`, a name or a numeric address.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self { address: address.into(), handshake: HANDSHAKE, request: REQUEST }
    }

    /// Bounds connecting and each handshake or round trip of an introduction.
    #[must_use]
    pub fn with_handshake_timeout(self, handshake: Duration) -> Self {
        Self { handshake, ..self }
    }

    /// Bounds one request of a session.
    #[must_use]
    pub fn with_request_timeout(self, request: Duration) -> Self {
        Self { request, ..self }
    }

    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn handshake_timeout(&self) -> Duration {
        self.handshake
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        self.request
    }
}
