//! One agent's connection: outer TLS, gate, relay.
//!
//! The order is the point. Numbered as in the code:
//! 1. The ClientHello names exactly one known protocol.
//! 2. The enclave is in a state in which that protocol is served.
//! 3. The peer has not had too many introductions.
//! 4. The TLS handshake completes; for a session that includes the client certificate.
//! 5. Only then is the enclave connected, and the first byte relayed.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{Acceptor, ClientHello};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use vouchsafe_protocol::link::{ALPN_INTRODUCE, ALPN_RELAY, LinkHello};

use crate::address::EnclaveAddress;
use crate::gate::{Gate, Standing};
use crate::options::Limits;
use crate::peers::{PeerSlot, Peers};
use crate::splice::{End, Lifetime, splice};
use crate::storage_link::chain;
use crate::telemetry::{Kind, Telemetry};

/// RFC 8446 section 6.2: a valid client is refused by access control; here, the vault does not serve now.
const ALERT_ACCESS_DENIED: u8 = 49;
/// RFC 8446 section 6.2: an error unrelated to the peer's correctness; here, a limit.
const ALERT_INTERNAL_ERROR: u8 = 80;
/// RFC 8446 section 6.2: no protocol in common.
const ALERT_NO_APPLICATION_PROTOCOL: u8 = 120;

/// Takes connections through the steps above.
#[derive(Debug)]
pub(crate) struct Relay {
    enclave: EnclaveAddress,
    gate: Arc<Gate>,
    limits: Limits,
    peers: Arc<Peers>,
    telemetry: Arc<Telemetry>,
    /// Connections that have not passed the gate: at most half, so that they cannot crowd out sessions.
    arrivals: Arc<Semaphore>,
    total: Arc<Semaphore>,
}

/// A connection's place within the limits.
#[derive(Debug)]
pub(crate) struct Admission {
    arrival: OwnedSemaphorePermit,
    peer: PeerSlot,
    _total: OwnedSemaphorePermit,
}

/// Where a refused or ended connection stands in the metrics.
struct Ended(Kind, &'static str);

impl Relay {
    pub(crate) fn new(
        enclave: EnclaveAddress,
        gate: Arc<Gate>,
        limits: Limits,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        let total = limits.max_connections as usize;
        Self {
            enclave,
            gate,
            limits,
            peers: Peers::new(limits.max_connections_per_peer, limits.introductions_per_minute_per_peer),
            telemetry,
            arrivals: Arc::new(Semaphore::new((total / 2).max(1))),
            total: Arc::new(Semaphore::new(total)),
        }
    }

    /// A place for one more connection, or nothing beyond a limit.
    pub(crate) fn admit(&self, address: IpAddr) -> Option<Admission> {
        let refused = |outcome| {
            self.telemetry.connection(Kind::Unknown, outcome);
            None
        };
        let Ok(total) = Arc::clone(&self.total).try_acquire_owned() else { return refused("limit_total") };
        let Ok(arrival) = Arc::clone(&self.arrivals).try_acquire_owned() else {
            return refused("limit_arrivals");
        };
        match self.peers.admit(address) {
            Some(peer) => Some(Admission { arrival, peer, _total: total }),
            None => refused("limit_peer"),
        }
    }

    /// Serves one connection to its end.
    pub(crate) async fn serve(&self, tcp: TcpStream, admission: Admission) {
        let Ended(kind, outcome) = match self.arrive(tcp, &admission.peer).await {
            Ok((kind, stream)) => self.relay(kind, stream, admission).await,
            Err(ended) => ended,
        };
        self.telemetry.connection(kind, outcome);
    }

    /// Steps 1 to 4.
    async fn arrive(&self, tcp: TcpStream, peer: &PeerSlot) -> Result<(Kind, TlsStream<TcpStream>), Ended> {
        let deadline = Instant::now() + self.limits.handshake();
        let hello = timeout_at(deadline, LazyConfigAcceptor::new(Acceptor::default(), tcp)).await;
        let start = hello
            .map_err(|_| Ended(Kind::Unknown, "handshake_timeout"))?
            .map_err(|_| Ended(Kind::Unknown, "handshake_failed"))?;

        // 1.
        let Some(kind) = asked(&start.client_hello()) else {
            refuse(start.io, ALERT_NO_APPLICATION_PROTOCOL).await;
            return Err(Ended(Kind::Unknown, "unknown_protocol"));
        };
        // 2.
        let Some(config) = config_for(kind, self.gate.standing()) else {
            refuse(start.io, ALERT_ACCESS_DENIED).await;
            return Err(Ended(kind, "not_serving"));
        };
        // 3.
        if kind == Kind::Introduce && !peer.may_introduce() {
            refuse(start.io, ALERT_INTERNAL_ERROR).await;
            return Err(Ended(kind, "limit_introductions"));
        }
        // 4.
        match timeout_at(deadline, start.into_stream(config)).await {
            Ok(Ok(stream)) => Ok((kind, stream)),
            Ok(Err(error)) => {
                // The reason says what is wrong with a certificate, such as its dates by the host's clock.
                tracing::debug!(kind = kind.name(), %error, "handshake refused");
                Err(Ended(kind, "handshake_refused"))
            }
            Err(_) => Err(Ended(kind, "handshake_timeout")),
        }
    }

    /// Step 5.
    async fn relay(&self, kind: Kind, mut stream: TlsStream<TcpStream>, admission: Admission) -> Ended {
        let Admission { arrival, peer, _total } = admission;
        let (hello, lifetime, arrival) = match kind {
            Kind::Relay => {
                drop(arrival);
                (LinkHello::Session, Lifetime::WhileActive(self.limits.session_idle()), None)
            }
            Kind::Introduce | Kind::Unknown => {
                (LinkHello::Introduce, Lifetime::AtMost(self.limits.introduction()), Some(arrival))
            }
        };
        let enclave = match self.enclave.open(hello).await {
            Ok(enclave) => enclave,
            Err(error) => {
                tracing::warn!(error = chain(&error), "cannot relay");
                close(&mut stream).await;
                return Ended(kind, "enclave_unreachable");
            }
        };
        let open = self.telemetry.open(kind);
        open.increment(1.0);
        let end = splice(stream, enclave, lifetime, &self.telemetry.volume(kind)).await;
        open.decrement(1.0);
        drop((arrival, peer));
        let outcome = match end {
            End::Broken => "broken",
            End::Closed => "closed",
            End::Expired => "expired",
            End::Idle => "idle",
        };
        Ended(kind, outcome)
    }
}

/// The one protocol that the client offers. More than one is refused: which rules hold must not be a choice.
fn asked(hello: &ClientHello<'_>) -> Option<Kind> {
    let mut offered = hello.alpn()?;
    let kind = match offered.next()? {
        ALPN_INTRODUCE => Kind::Introduce,
        ALPN_RELAY => Kind::Relay,
        _ => return None,
    };
    offered.next().is_none().then_some(kind)
}

fn config_for(kind: Kind, standing: Standing) -> Option<Arc<ServerConfig>> {
    match kind {
        Kind::Introduce => standing.introduce,
        Kind::Relay => standing.relay,
        Kind::Unknown => None,
    }
}

/// Answers a ClientHello with a fatal alert: a record of type 21, legacy version 3.3, level 2 (RFC 8446
/// section 5.1 and 6), so that the client can say why.
async fn refuse(mut tcp: TcpStream, alert: u8) {
    // Nothing depends on whether the peer still listens.
    if tcp.write_all(&[21, 3, 3, 0, 2, 2, alert]).await.is_ok() {
        close(&mut tcp).await;
    }
}

async fn close(stream: &mut (impl tokio::io::AsyncWrite + Unpin)) {
    if let Err(error) = stream.shutdown().await {
        tracing::debug!(%error, "peer was gone before the connection was closed");
    }
}
