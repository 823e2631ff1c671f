//! B1, B8: who may open a session. Behind the gate a tap shows that not one byte was relayed for the others.

use std::sync::Arc;

use anyhow::{Context, ensure};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, SanType, date_time_ymd};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use vouchsafe_client::Identity;
use vouchsafe_crypto::signature::P256Key;
use vouchsafe_crypto::tls;
use vouchsafe_protocol::link::ALPN_RELAY;
use vouchsafe_tests::stack::PATIENCE;
use vouchsafe_tests::tap::Honest;

use crate::rig::Rig;

/// Any server will do: here the client is the attacker.
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

/// Connects as whoever shows `identity`, sends bytes, and gives how the host ended it.
async fn knock(rig: &Rig, identity: Option<CertifiedKey>) -> anyhow::Result<String> {
    let provider = tls::outer_provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)));
    let mut config = match identity {
        Some(key) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN_RELAY.to_vec()];
    let tcp = TcpStream::connect(rig.stack.endpoint().address()).await?;
    let knocking = async {
        let mut stream =
            TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("host")?, tcp).await?;
        // The client's handshake may be done before the host has looked at its certificate.
        stream.write_all(b"anything").await?;
        stream.flush().await?;
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await?;
        anyhow::Ok(())
    };
    match tokio::time::timeout(PATIENCE, knocking).await.context("the host neither refuses nor answers")? {
        Ok(()) => Ok("closed".to_owned()),
        Err(error) => Ok(format!("{error:?}")),
    }
}

fn certified(identity: &Identity) -> anyhow::Result<CertifiedKey> {
    Ok(tls::certified_key(vec![identity.certificate().to_vec()], identity.key())?)
}

/// A certificate with the agent's own name, signed by nobody that the vault knows.
fn forged(edit: impl FnOnce(&mut CertificateParams)) -> anyhow::Result<CertifiedKey> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI("spiffe://vault/app".try_into()?)];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    edit(&mut params);
    let certificate = params.self_signed(&key)?.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Ok(CertifiedKey::from_der(vec![certificate], key, &tls::outer_provider())?)
}

#[tokio::test]
async fn b1_b8_without_an_identity_of_the_vault_not_one_byte_is_relayed() -> anyhow::Result<()> {
    let mut rig = Rig::tapped(Arc::new(Honest)).await?;
    let other = Rig::start().await?;
    let stranger = P256Key::generate()?;
    let stolen = CertifiedKey {
        key: tls::certified_key(vec![rig.agent.identity.certificate().to_vec()], &stranger)?.key,
        ..certified(&rig.agent.identity)?
    };
    let expired = forged(|params| params.not_after = date_time_ymd(2021, 1, 1))?;
    let cases = [
        ("no certificate", None, "CertificateRequired"),
        ("self-signed", Some(forged(|_| {})?), "UnknownCA"),
        ("expired", Some(expired), "CertificateExpired"),
        ("of another vault", Some(certified(&other.agent.identity)?), "UnknownCA"),
        ("of the vault, with another key", Some(stolen), "DecryptError"),
    ];
    for (who, identity, reason) in cases {
        let before = rig.tap.as_ref().context("no tap")?.recorded().len();
        let refused = knock(&rig, identity).await?;
        ensure!(refused.contains(reason), "{who}: {refused}");
        let after = rig.tap.as_ref().context("no tap")?.recorded().len();
        ensure!(after == before, "{who}: the host connected to the enclave");
    }
    // The tap does see who is let in.
    let before = rig.tap.as_ref().context("no tap")?.recorded().len();
    rig.serves().await?;
    ensure!(rig.tap.as_ref().context("no tap")?.recorded().len() > before, "the tap is blind");
    Ok(())
}

/// What the gate lets in is still only an identity: it opens no session of somebody else's.
#[tokio::test]
async fn b1_an_identity_of_another_vault_opens_no_session_here() -> anyhow::Result<()> {
    let (mut rig, other) = (Rig::start().await?, Rig::start().await?);
    std::mem::swap(&mut rig.agent.identity, &mut { other }.agent.identity);
    let refused = rig.agent.connect(&rig.stack).await.err().context("a session was opened")?;
    let another = refused.downcast_ref::<vouchsafe_client::ConnectError>();
    ensure!(matches!(another, Some(vouchsafe_client::ConnectError::AnotherVault { .. })), "{refused:?}");
    Ok(())
}
