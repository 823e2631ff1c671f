//! The outer TLS to the host: transport, and no more. What the vault is shows inside it.

use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use vouchsafe_crypto::signature::SignatureError;
use vouchsafe_crypto::tls;

use crate::endpoint::Endpoint;
use crate::identity::Identity;

/// Why there is no connection to the host.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The host does not speak this protocol.
    #[error("this address does not speak Vouchsafe's protocol")]
    Alpn,
    /// No TCP connection.
    #[error("cannot connect to {address}; is the vault's host running there?")]
    Connect {
        /// Address.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The identity's key cannot be used.
    #[error("the identity's key cannot be used for TLS")]
    Key(#[source] SignatureError),
    /// The TLS handshake failed, or the gate refused the certificate.
    #[error("the TLS handshake with the host failed")]
    Tls(#[source] io::Error),
    /// TLS could not be set up.
    #[error("TLS could not be set up")]
    TlsSetup(#[source] Error),
    /// It took too long.
    #[error("the host did not answer in time")]
    Timeout,
}

/// Connects to the host. `identity` is shown where the host's gate asks for one.
pub(crate) async fn connect(
    endpoint: &Endpoint,
    alpn: &[u8],
    identity: Option<&Identity>,
) -> Result<TlsStream<TcpStream>, TransportError> {
    let config = config(alpn, identity)?;
    let connecting = async {
        let address = endpoint.address();
        let tcp = TcpStream::connect(address)
            .await
            .map_err(|source| TransportError::Connect { address: address.to_owned(), source })?;
        // Requests are small and pipelined: waiting for more to send only adds latency.
        tcp.set_nodelay(true).map_err(TransportError::Tls)?;
        let name = ServerName::try_from("host.vouchsafe").map_err(|_| TransportError::Alpn)?;
        let stream =
            TlsConnector::from(Arc::new(config)).connect(name, tcp).await.map_err(TransportError::Tls)?;
        if stream.get_ref().1.alpn_protocol() == Some(alpn) { Ok(stream) } else { Err(TransportError::Alpn) }
    };
    timeout(endpoint.handshake_timeout(), connecting).await.map_err(|_| TransportError::Timeout)?
}

fn config(alpn: &[u8], identity: Option<&Identity>) -> Result<ClientConfig, TransportError> {
    let provider = tls::outer_provider();
    let verifier = Arc::new(DangerousTransportOnly(Arc::clone(&provider)));
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(TransportError::TlsSetup)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(client_certificate(identity)?),
        None => builder.with_no_client_auth(),
    };
    harden(&mut config, alpn);
    Ok(config)
}

/// The identity's certificate and key for either TLS layer.
pub(crate) fn client_certificate(identity: &Identity) -> Result<Arc<dyn ResolvesClientCert>, TransportError> {
    let key = tls::certified_key(vec![identity.certificate().to_vec()], identity.key());
    Ok(Arc::new(SingleCertAndKey::from(key.map_err(TransportError::Key)?)))
}

/// What both layers have in common: no resumption and no early data (B8), no name in the clear.
pub(crate) fn harden(config: &mut ClientConfig, alpn: &[u8]) {
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.enable_sni = false;
}

/// Takes whatever certificate the host shows. That is right here and nowhere else: the host is not trusted,
/// whoever it is; the vault proves itself inside this connection by its offer (verified against the pin) and
/// by the certificate of the inner session (issued by the pinned authority). The handshake's signature is
/// still verified, so that the records belong to the certificate's owner.
#[derive(Debug)]
struct DangerousTransportOnly(Arc<CryptoProvider>);

impl ServerCertVerifier for DangerousTransportOnly {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
