//! A hostile host: it ends the outer TLS of an honest agent, passes everything on, keeps the agent's `Prove`,
//! and sends it again on a connection of its own.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use vouchsafe_crypto::tls;
use vouchsafe_protocol::codec;
use vouchsafe_protocol::frame::{HEADER_LEN, body_len, enclose};
use vouchsafe_protocol::introduction::{IntroductionReply, IntroductionRequest};
use vouchsafe_protocol::limits::INTRODUCTION_FRAME_LEN;
use vouchsafe_protocol::link::ALPN_INTRODUCE;

use crate::agent::{introduce_through, tpm};
use crate::{Outcome, Victim};

/// Records a `Prove` that the vault accepts, and sends it again.
pub(crate) async fn replay(victim: Victim) -> Result<Outcome> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let here = listener.local_addr()?.to_string();
    let between = tokio::spawn(pass_on(listener, victim.address.clone()));
    let machine = tpm(&victim)?;
    match introduce_through(&victim, &here, machine).await? {
        Ok(_) => {}
        Err(refusal) => bail!("the honest introduction was refused: {refusal}"),
    }
    let prove = between.await??;

    let mut vault = connect(&victim.address).await?;
    vault.write_all(&enclose(&prove, INTRODUCTION_FRAME_LEN)?).await?;
    let reply = read_frame(&mut vault).await?;
    Ok(match codec::decode(&reply, INTRODUCTION_FRAME_LEN)? {
        IntroductionReply::Grant(_) => Outcome::Done("granted a second time".to_owned()),
        IntroductionReply::Refusal(refusal) => Outcome::Refused(refusal.to_string()),
        IntroductionReply::InitDone(_) | IntroductionReply::Offer(_) => {
            bail!("an answer to another question")
        }
    })
}

/// Passes one introduction on, frame by frame, and returns the `Prove` in it.
async fn pass_on(listener: TcpListener, address: String) -> Result<Vec<u8>> {
    let (tcp, _) = listener.accept().await?;
    let mut agent = TlsAcceptor::from(Arc::new(server()?)).accept(tcp).await?;
    let mut vault = connect(&address).await?;
    loop {
        let request = read_frame(&mut agent).await?;
        vault.write_all(&enclose(&request, INTRODUCTION_FRAME_LEN)?).await?;
        let reply = read_frame(&mut vault).await?;
        agent.write_all(&enclose(&reply, INTRODUCTION_FRAME_LEN)?).await?;
        if let IntroductionRequest::Prove(_) = codec::decode(&request, INTRODUCTION_FRAME_LEN)? {
            agent.shutdown().await?;
            return Ok(request);
        }
    }
}

async fn read_frame(from: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>> {
    let mut header = [0; HEADER_LEN];
    from.read_exact(&mut header).await?;
    let mut body = vec![0; body_len(header, INTRODUCTION_FRAME_LEN)?];
    from.read_exact(&mut body).await?;
    Ok(body)
}

fn server() -> Result<ServerConfig> {
    let key = rcgen::KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::new(vec!["host".to_owned()])?.self_signed(&key)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(tls::outer_provider())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    config.alpn_protocols = vec![ALPN_INTRODUCE.to_vec()];
    Ok(config)
}

async fn connect(address: &str) -> Result<impl AsyncRead + AsyncWrite + Unpin> {
    let provider = tls::outer_provider();
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_INTRODUCE.to_vec()];
    let tcp = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
    Ok(TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("host")?, tcp).await?)
}

/// An adversary does not mind whom it talks to.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 is spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
