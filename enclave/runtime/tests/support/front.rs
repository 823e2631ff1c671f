//! The part of a host that agents see: outer TLS in front of the enclave's socket. Its gate lets everybody in,
//! so that what the enclave itself refuses is seen.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use vouchsafe_client::Endpoint;
use vouchsafe_crypto::tls::outer_provider;
use vouchsafe_protocol::link::{ALPN_INTRODUCE, ALPN_RELAY, LinkHello};
use vouchsafe_protocol::{codec, frame, limits::LINK_FRAME_LEN};

use super::PATIENCE;

/// A front; it closes when dropped.
pub struct Front {
    endpoint: Endpoint,
    sessions: Arc<watch::Sender<usize>>,
    task: JoinHandle<()>,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Front {
    pub async fn start(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::new(listener.local_addr().unwrap().to_string());
        let acceptor = TlsAcceptor::from(Arc::new(config()));
        let sessions = Arc::new(watch::Sender::new(0));
        let open = Arc::clone(&sessions);
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, socket, open) = (acceptor.clone(), socket.clone(), Arc::clone(&open));
                // A relayed connection may end in any way.
                tokio::spawn(async move { drop(relay(tcp, &acceptor, &socket, &open).await) });
            }
        });
        Self { endpoint, sessions, task }
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Waits until no session is relayed.
    pub async fn quiet(&self) {
        let mut sessions = self.sessions.subscribe();
        let waiting = sessions.wait_for(|open| *open == 0);
        tokio::time::timeout(PATIENCE, waiting).await.expect("the sessions end").unwrap();
    }
}

async fn relay(
    tcp: TcpStream,
    acceptor: &TlsAcceptor,
    socket: &Path,
    open: &watch::Sender<usize>,
) -> std::io::Result<()> {
    let mut outer = acceptor.accept(tcp).await?;
    let is_session = outer.get_ref().1.alpn_protocol() == Some(ALPN_RELAY);
    let hello = if is_session { LinkHello::Session } else { LinkHello::Introduce };
    let mut enclave = UnixStream::connect(socket).await?;
    enclave.write_all(&frame::enclose(&codec::encode(&hello).unwrap(), LINK_FRAME_LEN).unwrap()).await?;
    open.send_modify(|open| *open += usize::from(is_session));
    let relayed = copy_bidirectional(&mut outer, &mut enclave).await;
    open.send_modify(|open| *open -= usize::from(is_session));
    relayed.map(drop)
}

fn config() -> ServerConfig {
    let made = rcgen::generate_simple_self_signed(vec!["host.vouchsafe".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(outer_provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![ALPN_INTRODUCE.to_vec(), ALPN_RELAY.to_vec()];
    config
}
