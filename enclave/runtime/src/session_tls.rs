//! The inner TLS: it ends here, in the enclave. TLS 1.3 only, X25519MLKEM768 only, both sides with
//! certificates under the vault's authority, nothing remembered from one connection to the next (B8).

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use vouchsafe_crypto::tls::{certified_key, inner_provider};
use vouchsafe_enclave::Core;
use vouchsafe_protocol::link::ALPN_SESSION;
use vouchsafe_protocol::session::CHAIN_EXPORTER;

use crate::clock::Clock;
use crate::frames::Stream;

/// Longest handshake; the peer has passed the gate, so it is a few round trips away.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest buffer of unsent records per session in bytes.
const SEND_BUFFER_LEN: usize = 64 * 1024;

/// Why the vault's own TLS identity cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the vault's own certificates cannot be used for TLS")]
pub(crate) struct IdentityError;

/// Why there is no session. Never the library's text: it may hold what the peer sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("the peer negotiated no session protocol")]
    Alpn,
    #[error("the peer has no acceptable certificate, or does not speak this TLS")]
    Refused,
    #[error("the handshake took longer than {} seconds", HANDSHAKE_TIMEOUT.as_secs())]
    Timeout,
}

/// A peer whose certificate chains to the vault's authority. The core decides whether it is still good.
pub(crate) struct Peer {
    pub(crate) tls: TlsStream<Stream>,
    /// DER of its certificate.
    pub(crate) certificate: Vec<u8>,
    /// The exporter's value that starts the request chain.
    pub(crate) exporter: [u8; 32],
}

/// Ends inner TLS with the vault's identity.
pub(crate) struct SessionTls(TlsAcceptor);

impl SessionTls {
    pub(crate) fn new(core: &Core, clock: Arc<Clock>) -> Result<Self, IdentityError> {
        let (chain, key) = core.tls_identity().map_err(|_| IdentityError)?;
        let identity = certified_key(chain, key).map_err(|_| IdentityError)?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(core.authority().to_vec())).map_err(|_| IdentityError)?;
        let provider = inner_provider();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|_| IdentityError)?;
        let mut config = ServerConfig::builder_with_details(provider, clock)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|_| IdentityError)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(identity)));
        config.alpn_protocols = vec![ALPN_SESSION.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Shakes hands.
    ///
    /// 1. TLS 1.3 with a client certificate under the authority. 2. The session's ALPN, not the lack of one.
    /// 3. The exporter of exactly this connection.
    pub(crate) async fn accept(&self, stream: Stream) -> Result<Peer, HandshakeError> {
        let accepting = self.0.accept_with(stream, |tls| tls.set_buffer_limit(Some(SEND_BUFFER_LEN)));
        let accepted = tokio::time::timeout(HANDSHAKE_TIMEOUT, accepting).await;
        let tls = accepted.map_err(|_| HandshakeError::Timeout)?.map_err(|_| HandshakeError::Refused)?;
        let (_, connection) = tls.get_ref();
        let certificate = connection.peer_certificates().and_then(|chain| chain.first());
        let certificate = certificate.ok_or(HandshakeError::Refused)?.to_vec();
        if connection.alpn_protocol() != Some(ALPN_SESSION) {
            return Err(HandshakeError::Alpn);
        }
        let exporter = connection
            .export_keying_material([0; 32], CHAIN_EXPORTER, None)
            .map_err(|_| HandshakeError::Refused)?;
        Ok(Peer { tls, certificate, exporter })
    }
}
