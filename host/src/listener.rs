//! Accepts agents until the host stops, then lets open connections end.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use crate::connection::Relay;
use crate::stop::stopped;

/// Wait after a failed accept, which is usually a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts until `stop`, then waits at most `drain` for open connections and cuts the rest.
pub(crate) async fn listen(
    listener: TcpListener,
    relay: Arc<Relay>,
    drain: Duration,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            Some(ended) = connections.join_next() => log_panic(ended),
            accepted = listener.accept() => match accepted {
                Ok((tcp, peer)) => {
                    if let Some(admission) = relay.admit(peer.ip()) {
                        let relay = Arc::clone(&relay);
                        connections.spawn(async move {
                            prompt(&tcp);
                            relay.serve(tcp, admission).await;
                        });
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection; raise the open file limit?");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    let drained = tokio::time::timeout(drain, async {
        while let Some(ended) = connections.join_next().await {
            log_panic(ended);
        }
    });
    if drained.await.is_err() {
        tracing::info!(open = connections.len(), "closing connections that are still open");
    }
    connections.shutdown().await;
}

/// Small messages go back and forth: no waiting for more.
fn prompt(tcp: &TcpStream) {
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%error, "connection without TCP_NODELAY");
    }
}

fn log_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}
