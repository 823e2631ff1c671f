//! OpenBao as its documentation runs it: one server, TLS listener, raft storage, file audit device, a service token with a
//! policy. Its clients keep one connection each, as ours keep one session each.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio_rustls::TlsConnector;

/// The version that figures are compared with.
pub const VERSION: &str = "2.7.2";
/// Time for it to listen and to become active.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks whether it does.
const LOOK: Duration = Duration::from_millis(100);

/// A server, its data below a directory.
pub struct OpenBao {
    child: Child,
    address: SocketAddr,
    connector: TlsConnector,
    /// A service token with a policy for what is measured.
    token: String,
}

/// One connection, kept.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    token: String,
}

impl OpenBao {
    /// Starts `program`, initialises and unseals it, and mounts kv (version 2) and transit.
    pub async fn start(program: &Path, dir: &Path) -> anyhow::Result<Self> {
        let printed = Command::new(program).arg("version").output().await.context("cannot run OpenBao")?;
        let version = String::from_utf8_lossy(&printed.stdout).into_owned();
        ensure!(version.contains(&format!("v{VERSION} ")), "this is not OpenBao {VERSION}: {version}");
        tokio::fs::create_dir_all(dir.join("data")).await?;
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        let (certificate, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        tokio::fs::write(&certificate, own.cert.pem()).await?;
        tokio::fs::write(&key, own.signing_key.serialize_pem()).await?;
        let (address, cluster) = (free_port()?, free_port()?);
        let config = dir.join("config.hcl");
        tokio::fs::write(&config, configuration(dir, &certificate, &key, address, cluster)).await?;
        let log = std::fs::File::create(dir.join("server.log"))?;
        let child = Command::new(program)
            .args(["server".into(), "-config".into(), config.into_os_string()] as [std::ffi::OsString; 3])
            .stdout(log.try_clone()?)
            .stderr(log)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start OpenBao")?;
        let connector = trusting(own.cert.der())?;
        let mut bao = Self { child, address, connector, token: String::new() };
        tokio::time::timeout(PATIENCE, bao.set_up()).await.context("OpenBao does not become active")??;
        Ok(bao)
    }

    async fn set_up(&mut self) -> anyhow::Result<()> {
        let mut first = loop {
            match self.connect().await {
                Ok(connection) => break connection,
                // Its listener tells nobody when it is there.
                Err(_) => tokio::time::sleep(LOOK).await,
            }
            ensure!(self.child.try_wait()?.is_none(), "OpenBao ended at its start; see server.log");
        };
        let begun = first.put("/v1/sys/init", &json!({ "secret_shares": 1, "secret_threshold": 1 })).await?;
        let text = |name: &str| {
            let value = begun.get(name).map(|value| value.get(0).unwrap_or(value));
            value
                .and_then(Value::as_str)
                .map(str::to_owned)
                .with_context(|| format!("no {name} in the answer"))
        };
        first.put("/v1/sys/unseal", &json!({ "key": text("keys_base64")? })).await?;
        first.token = text("root_token")?;
        loop {
            let (status, _) = first.ask(Method::GET, "/v1/sys/health", None).await?;
            if status == StatusCode::OK {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        first.put("/v1/sys/mounts/kv", &json!({ "type": "kv", "options": { "version": "2" } })).await?;
        first.put("/v1/sys/mounts/transit", &json!({ "type": "transit" })).await?;
        // kv version 2 upgrades its mount in the background and refuses until it has.
        let put = json!({ "data": { "value": "x" } });
        while first.ask(Method::POST, "/v1/kv/data/bench/ready", Some(&put)).await?.0 != StatusCode::OK {
            tokio::time::sleep(LOOK).await;
        }
        first.put("/v1/transit/keys/aes", &json!({ "type": "aes256-gcm96" })).await?;
        first.put("/v1/transit/keys/ed25519", &json!({ "type": "ed25519" })).await?;
        let rules = r#"path "kv/data/bench/*" { capabilities = ["create", "read", "update"] }
            path "transit/encrypt/aes" { capabilities = ["update"] }
            path "transit/sign/ed25519" { capabilities = ["update"] }"#;
        first.put("/v1/sys/policies/acl/bench", &json!({ "policy": rules })).await?;
        let made = first
            .put("/v1/auth/token/create", &json!({ "policies": ["bench"], "type": "service", "ttl": "4h" }))
            .await?;
        let token = made.pointer("/auth/client_token").and_then(Value::as_str).context("no token")?;
        self.token = token.to_owned();
        Ok(())
    }

    /// Opens a connection.
    pub async fn connect(&self) -> anyhow::Result<Connection> {
        let tcp = TcpStream::connect(self.address).await?;
        tcp.set_nodelay(true)?;
        let tls = self.connector.connect(ServerName::try_from("localhost")?, tcp).await?;
        let (sender, connection) = handshake(TokioIo::new(tls)).await?;
        tokio::spawn(connection);
        Ok(Connection { sender, token: self.token.clone() })
    }

    /// Ends it.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("cannot end OpenBao")
    }
}

impl Connection {
    /// A request that must succeed; gives the answer's body, read whole as any client does.
    pub async fn must(&mut self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Bytes> {
        let (status, bytes) = self.ask(method, path, body).await?;
        if !status.is_success() {
            bail!("OpenBao answers {status} to {path}: {}", String::from_utf8_lossy(&bytes));
        }
        Ok(bytes)
    }

    async fn put(&mut self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let bytes = self.must(Method::PUT, path, Some(body)).await?;
        Ok(if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes)? })
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let body = body.map_or_else(Bytes::new, |value| Bytes::from(value.to_string()));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("x-vault-token", &self.token)
            .body(Full::new(body))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }
}

/// A port of this machine that was free just now.
fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn configuration(
    dir: &Path,
    certificate: &Path,
    key: &Path,
    address: SocketAddr,
    cluster: SocketAddr,
) -> String {
    let text = |path: PathBuf| path.display().to_string();
    let (data, audit) = (text(dir.join("data")), text(dir.join("audit.log")));
    let (certificate, key) = (text(certificate.to_owned()), text(key.to_owned()));
    format!(
        r#"ui = false
api_addr = "https://{address}"
cluster_addr = "https://{cluster}"
storage "raft" {{
  path = "{data}"
  node_id = "bench"
}}
listener "tcp" {{
  address = "{address}"
  tls_cert_file = "{certificate}"
  tls_key_file = "{key}"
  tls_min_version = "tls13"
}}
audit "file" "bench" {{
  options {{
    file_path = "{audit}"
  }}
}}
"#
    )
}

fn trusting(certificate: &CertificateDer<'static>) -> anyhow::Result<TlsConnector> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
