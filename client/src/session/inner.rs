//! The inner TLS: ends in the enclave, hybrid post-quantum key exchange, mutual, nothing resumed.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use rustls::{ClientConfig, Error, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use vouchsafe_crypto::tls;
use vouchsafe_protocol::id::VaultId;
use vouchsafe_protocol::link::ALPN_SESSION;
use vouchsafe_protocol::session::CHAIN_EXPORTER;

use super::error::ConnectError;
use crate::identity::Identity;
use crate::transport::{client_certificate, harden};

/// Handshake with the pinned vault: its certificate is issued by its authority, for its name. The authority
/// in the identity is the pinned vault's; the caller has checked that.
pub(super) async fn handshake<S>(
    outer: S,
    identity: &Identity,
    vault_id: &VaultId,
) -> Result<TlsStream<S>, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = config(identity)?;
    let name = ServerName::try_from(vault_id.server_name())
        .map_err(|_| ConnectError::InnerSetup(Error::General("the vault's name is no DNS name".into())))?;
    let stream =
        TlsConnector::from(Arc::new(config)).connect(name, outer).await.map_err(ConnectError::Inner)?;
    if stream.get_ref().1.alpn_protocol() == Some(ALPN_SESSION) {
        Ok(stream)
    } else {
        Err(ConnectError::Alpn)
    }
}

/// The value that the request chain starts with.
pub(super) fn chain_start<S>(stream: &TlsStream<S>) -> Result<[u8; 32], ConnectError> {
    stream.get_ref().1.export_keying_material([0; 32], CHAIN_EXPORTER, None).map_err(ConnectError::Exporter)
}

fn config(identity: &Identity) -> Result<ClientConfig, ConnectError> {
    let provider = tls::inner_provider();
    let mut roots = RootCertStore::empty();
    roots.add(identity.authority().certificate().clone()).map_err(ConnectError::InnerSetup)?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|_| ConnectError::InnerSetup(Error::General("the authority is no trust anchor".into())))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(ConnectError::InnerSetup)?
        .with_webpki_verifier(verifier)
        .with_client_cert_resolver(client_certificate(identity).map_err(ConnectError::Transport)?);
    harden(&mut config, ALPN_SESSION);
    Ok(config)
}
