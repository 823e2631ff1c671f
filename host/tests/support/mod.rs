//! A host under test, the enclave that it talks to, and clients.

#![allow(dead_code, reason = "each test file uses a part")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use vouchsafe_host::host::{Addresses, Host, RunError};
use vouchsafe_host::options::Options;
use vouchsafe_protocol::codec;
use vouchsafe_protocol::frame::{self, HEADER_LEN};
use vouchsafe_protocol::limits::LINK_FRAME_LEN;
use vouchsafe_protocol::link::{EnclaveState, LinkHello, StorageReply, StorageRequest};

/// A running host and the other end of its links.
pub(crate) struct Rig {
    pub(crate) dir: TempDir,
    pub(crate) addresses: Addresses,
    /// Storage links as the host opens them.
    pub(crate) links: mpsc::UnboundedReceiver<StorageSide>,
    /// Everything else that the host connects.
    pub(crate) agents: mpsc::UnboundedReceiver<(LinkHello, UnixStream)>,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Result<(), RunError>>,
}

impl Rig {
    /// Starts a host with extra flags and a fake enclave.
    pub(crate) async fn start(flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (links, agents) = fake_enclave(&dir.path().join("enclave.sock"));
        let host = Host::start(options(dir.path().join("host"), dir.path().join("enclave.sock"), flags))
            .await
            .unwrap();
        let addresses = host.addresses();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(host.run(async {
            let _gone = stopped.await;
        }));
        Self { dir, addresses, links, agents, stop: Some(stop), running }
    }

    /// Starts one whose enclave serves under `authority`.
    pub(crate) async fn serving(authority: &Authority, flags: &[&str]) -> (Self, StorageSide) {
        let mut rig = Self::start(flags).await;
        let mut storage = rig.links.recv().await.unwrap();
        storage.announce(authority.serving()).await;
        (rig, storage)
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        http(self.addresses.admin, &format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")).await
    }

    pub(crate) fn ask_to_stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    pub(crate) async fn stopped(self) -> Result<(), RunError> {
        self.running.await.unwrap()
    }
}

pub(crate) fn options(data: PathBuf, socket: PathBuf, flags: &[&str]) -> Options {
    let enclave = format!("unix:{}", socket.display());
    let fixed =
        ["vouchsafe-host", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--enclave", &enclave];
    let data = ["--data", data.to_str().unwrap()];
    Options::try_parse_from(fixed.iter().chain(&data).chain(flags)).unwrap()
}

pub(crate) type Links =
    (mpsc::UnboundedReceiver<StorageSide>, mpsc::UnboundedReceiver<(LinkHello, UnixStream)>);

/// Listens as an enclave does.
pub(crate) fn fake_enclave(socket: &std::path::Path) -> Links {
    let listener = UnixListener::bind(socket).unwrap();
    let (links_in, links) = mpsc::unbounded_channel();
    let (agents_in, agents) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let hello: LinkHello =
                codec::decode(&receive(&mut stream).await.unwrap(), LINK_FRAME_LEN).unwrap();
            // The test may have ended.
            let _sent = match hello {
                LinkHello::Storage => links_in.send(StorageSide(stream)).is_ok(),
                LinkHello::Introduce | LinkHello::Session => agents_in.send((hello, stream)).is_ok(),
            };
        }
    });
    (links, agents)
}

/// The enclave's end of a storage link.
pub(crate) struct StorageSide(pub(crate) UnixStream);

impl StorageSide {
    pub(crate) async fn ask(&mut self, request: &StorageRequest) -> StorageReply {
        let body = codec::encode(request).unwrap();
        self.0.write_all(&frame::enclose(&body, LINK_FRAME_LEN).unwrap()).await.unwrap();
        codec::decode(&receive(&mut self.0).await.unwrap(), LINK_FRAME_LEN).unwrap()
    }

    pub(crate) async fn announce(&mut self, state: EnclaveState) {
        assert_eq!(self.ask(&StorageRequest::Announce(state)).await, StorageReply::Done);
    }
}

async fn receive(stream: &mut UnixStream) -> std::io::Result<Vec<u8>> {
    let mut header = [0; HEADER_LEN];
    stream.read_exact(&mut header).await?;
    let mut body = vec![0; frame::body_len(header, LINK_FRAME_LEN).unwrap()];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

/// A vault's certificate authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
}

/// A certificate and its key.
pub(crate) struct Identity(pub(crate) CertificateDer<'static>, pub(crate) KeyPair);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), der }
    }

    pub(crate) fn serving(&self) -> EnclaveState {
        EnclaveState::Serving { authority: self.der.to_vec(), vault_id: "sim-vault-01".into() }
    }

    /// A valid identity, changed as `change` says.
    pub(crate) fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = svid();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Identity(params.signed_by(&key, &self.issuer).unwrap().der().clone(), key)
    }
}

/// The certificate of an agent, as a vault issues it.
pub(crate) fn svid() -> CertificateParams {
    let mut params = CertificateParams::default();
    let id = Ia5String::try_from("spiffe://sim-01.vouchsafe/billing/agent").unwrap();
    params.subject_alt_names = vec![SanType::URI(id)];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = date_time_ymd(2020, 1, 1);
    params
}

pub(crate) fn self_signed() -> Identity {
    let key = KeyPair::generate().unwrap();
    let mut params = svid();
    params.distinguished_name.push(DnType::CommonName, "agent");
    Identity(params.self_signed(&key).unwrap().der().clone(), key)
}

/// How a client connects with the outer TLS.
pub(crate) fn client(alpn: &[&[u8]], identity: Option<&Identity>) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer));
    let mut config = match identity {
        Some(Identity(certificate, key)) => {
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
            builder.with_client_auth_cert(vec![certificate.clone()], key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|alpn| alpn.to_vec()).collect();
    Arc::new(config)
}

/// Connects with the outer TLS.
pub(crate) async fn connect(
    address: SocketAddr,
    alpn: &[&[u8]],
    identity: Option<&Identity>,
) -> std::io::Result<TlsStream<TcpStream>> {
    connect_as(address, client(alpn, identity)).await
}

/// Connects as a given client, which may remember earlier sessions.
pub(crate) async fn connect_as(
    address: SocketAddr,
    client: Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    TlsConnector::from(client).connect(ServerName::try_from("vouchsafe-host").unwrap(), tcp).await
}

/// Connects, sends, and returns why the host refused. In TLS 1.3 a client learns of the refusal of its
/// certificate only after its own part of the handshake.
pub(crate) async fn refusal(address: SocketAddr, alpn: &[&[u8]], identity: Option<&Identity>) -> String {
    let mut stream = match connect(address, alpn, identity).await {
        Ok(stream) => stream,
        Err(error) => return error.to_string(),
    };
    let _maybe_refused = stream.write_all(b"before the gate").await;
    let _maybe_refused = stream.flush().await;
    let mut answer = Vec::new();
    let answered = in_time(stream.read_to_end(&mut answer)).await;
    answered.expect_err("the host must refuse").to_string()
}

/// The outer TLS is transport, not trust: agents verify the vault inside.
#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
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
        unreachable!("TLS 1.3 only")
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// Status and body.
pub(crate) async fn http(address: SocketAddr, request: &str) -> (u16, String) {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    tcp.read_to_string(&mut response).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Waits for the other side to close, however it does.
pub(crate) async fn closed(stream: &mut (impl tokio::io::AsyncRead + Unpin)) {
    let mut rest = Vec::new();
    if let Err(error) = in_time(stream.read_to_end(&mut rest)).await {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock);
    }
    assert!(rest.is_empty(), "{rest:?}");
}

/// Fails a test that would wait for ever.
async fn in_time<T>(awaited: impl Future<Output = T>) -> T {
    tokio::time::timeout(std::time::Duration::from_secs(20), awaited).await.expect("the host does nothing")
}
