//! The echo that sessions are held against: the same host, the same two layers of TLS, the same group commit,
//! and nothing of a vault.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use vouchsafe_crypto::tls::{inner_provider, outer_provider};
use vouchsafe_protocol::frame::{HEADER_LEN, body_len, enclose};
use vouchsafe_protocol::limits::SESSION_FRAME_LEN;
use vouchsafe_protocol::link::{ALPN_RELAY, ALPN_SESSION};
use vouchsafe_tests::stack::Process;

/// Name of the echo in its certificate.
const ECHO_NAME: &str = "echo.vouchsafe";
/// Name that a host gives itself in its certificate.
const HOST_NAME: &str = "vouchsafe-host";
/// Room for everything that is in flight in one session.
const BUFFER_LEN: usize = 64 * 1024;

/// A running echo behind a host of its own.
pub struct EchoStack {
    outer: TlsConnector,
    inner: TlsConnector,
    address: SocketAddr,
    enclave: Process,
    host: Process,
}

/// What a request weighs.
#[derive(Clone, Copy)]
pub struct Weight {
    /// Bytes of the request.
    pub request: usize,
    /// Bytes that are made durable for it.
    pub record: u16,
}

impl EchoStack {
    /// Starts both below `dir`.
    pub async fn start(dir: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir(dir)?;
        let client = Certificates::make()?.save(dir)?;
        let socket = dir.join("echo.sock");
        let arguments =
            ["--listen", &socket.display().to_string(), "--certificates", &dir.display().to_string()];
        let arguments = arguments.map(str::to_owned);
        let mut enclave = Process::start("vouchsafe-bench-echo", &arguments, &dir.join("echo.log"))?;
        enclave.listening().await?;
        let data = dir.join("host");
        let arguments = [
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--enclave",
            &format!("unix:{}", socket.display()),
            "--data",
            &data.display().to_string(),
        ];
        let mut host =
            Process::start("vouchsafe-host", &arguments.map(str::to_owned), &dir.join("host.log"))?;
        let addresses: serde_json::Value = serde_json::from_str(&host.listening().await?)?;
        let address = addresses.get("agents").and_then(|text| text.as_str()).context("address")?.parse()?;
        let host_certificate = std::fs::read(data.join("tls/certificate.der"))?;
        let authority = std::fs::read(dir.join("authority.der"))?;
        let outer = client.connector(outer_provider(), host_certificate, ALPN_RELAY)?;
        let inner = client.connector(inner_provider(), authority, ALPN_SESSION)?;
        Ok(Self { outer, inner, address, enclave, host })
    }

    /// Opens a session as soon as the gate is open.
    pub async fn connect(&self) -> anyhow::Result<EchoSession> {
        let mut refused = 0;
        loop {
            match self.try_connect().await {
                Ok(session) => return Ok(session),
                // The host may not have heard yet whom to let in.
                Err(error) if refused > 100 => return Err(error),
                Err(_) => refused += 1,
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    async fn try_connect(&self) -> anyhow::Result<EchoSession> {
        let tcp = TcpStream::connect(self.address).await?;
        tcp.set_nodelay(true)?;
        let outer = self.outer.connect(ServerName::try_from(HOST_NAME)?, tcp).await?;
        let inner = self.inner.connect(ServerName::try_from(ECHO_NAME)?, outer).await?;
        Ok(EchoSession(BufStream::with_capacity(BUFFER_LEN, BUFFER_LEN, inner)))
    }

    pub async fn stop(self) -> anyhow::Result<()> {
        self.host.stop().await?;
        self.enclave.kill().await
    }
}

/// One session of it.
pub struct EchoSession(BufStream<TlsStream<TlsStream<TcpStream>>>);

impl EchoSession {
    /// Keeps `depth` requests in flight until `until`; gives the seconds that each echo took.
    pub async fn ask_until(
        &mut self,
        until: Instant,
        depth: usize,
        weight: Weight,
    ) -> anyhow::Result<Vec<f64>> {
        let mut body = vec![0x5a; weight.request];
        body.splice(..2, weight.record.to_be_bytes());
        let request = enclose(&body, SESSION_FRAME_LEN)?;
        let mut latencies = Vec::new();
        let mut asked: VecDeque<Instant> = VecDeque::new();
        let mut free = depth;
        loop {
            let now = Instant::now();
            if now < until {
                for _ in 0..free {
                    self.0.write_all(&request).await?;
                    asked.push_back(now);
                }
                self.0.flush().await?;
            } else if asked.is_empty() {
                return Ok(latencies);
            }
            free = self.echoes(&mut asked, &mut latencies).await?;
        }
    }

    /// Takes one echo, and those that came with it.
    async fn echoes(
        &mut self,
        asked: &mut VecDeque<Instant>,
        latencies: &mut Vec<f64>,
    ) -> anyhow::Result<usize> {
        let mut taken = 0;
        loop {
            let mut header = [0; HEADER_LEN];
            self.0.read_exact(&mut header).await?;
            let mut echo = vec![0; body_len(header, SESSION_FRAME_LEN)?];
            self.0.read_exact(&mut echo).await?;
            let at = asked.pop_front().context("an echo of nothing")?;
            latencies.push(at.elapsed().as_secs_f64());
            taken += 1;
            // Never empty here without waiting: what is buffered is looked at, not waited for.
            if asked.is_empty() || self.buffered().await? < HEADER_LEN + echo.len() {
                return Ok(taken);
            }
        }
    }

    async fn buffered(&mut self) -> anyhow::Result<usize> {
        tokio::select! {
            biased;
            buffer = self.0.fill_buf() => Ok(buffer?.len()),
            () = std::future::ready(()) => Ok(0),
        }
    }
}

/// A throwaway authority and what it issued.
struct Certificates {
    authority: Vec<u8>,
    server: (Vec<u8>, Vec<u8>),
    client: ClientCertificate,
}

struct ClientCertificate {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Certificates {
    fn make() -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "echo authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let authority = params.self_signed(&key)?.der().to_vec();
        let issuer = Issuer::new(params, key);
        let issue = |usage| -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
            let mut params = CertificateParams::new(vec![ECHO_NAME.to_owned()])?;
            params.extended_key_usages = vec![usage];
            let key = KeyPair::generate()?;
            Ok((params.signed_by(&key, &issuer)?.der().to_vec(), key.serialize_der()))
        };
        let server = issue(ExtendedKeyUsagePurpose::ServerAuth)?;
        let (certificate, key) = issue(ExtendedKeyUsagePurpose::ClientAuth)?;
        Ok(Self { authority, server, client: ClientCertificate { certificate, key } })
    }

    fn save(self, dir: &Path) -> anyhow::Result<ClientCertificate> {
        let Self { authority, server: (server, key), client } = self;
        for (name, der) in [("authority.der", authority), ("server.der", server), ("server-key.der", key)] {
            std::fs::write(dir.join(name), der)?;
        }
        Ok(client)
    }
}

impl ClientCertificate {
    fn connector(
        &self,
        provider: Arc<CryptoProvider>,
        root: Vec<u8>,
        alpn: &[u8],
    ) -> anyhow::Result<TlsConnector> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(root))?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()));
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![CertificateDer::from(self.certificate.clone())], key)?;
        config.alpn_protocols = vec![alpn.to_vec()];
        Ok(TlsConnector::from(Arc::new(config)))
    }
}
