//! The whole host: from options to a clean stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use metrics_exporter_prometheus::BuildError;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::admin::Admin;
use crate::connection::Relay;
use crate::data_dir::DataDir;
pub use crate::data_dir::DataDirError;
use crate::gate::Gate;
use crate::listener::listen;
use crate::options::Options;
use crate::storage_link::StorageLink;
use crate::store::{OpenError, Store};
use crate::telemetry::Telemetry;
use crate::tls::OuterTls;
pub use crate::tls::TlsError;

/// A host that listens; [`Host::run`] serves.
#[derive(Debug)]
pub struct Host {
    options: Options,
    agents: TcpListener,
    admin: TcpListener,
    addresses: Addresses,
    gate: Arc<Gate>,
    store: Arc<Store>,
    telemetry: Arc<Telemetry>,
    /// Last, so that the lock outlives the store.
    data: DataDir,
}

/// Where the host listens, with the port that the system chose for port 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// For agents and operators.
    pub agents: SocketAddr,
    /// For health and metrics.
    pub admin: SocketAddr,
}

/// Why the host cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory is unusable.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// An address is in use.
    #[error("{address} is in use; stop the program that listens there, or choose another with {flag}")]
    InUse {
        /// Which.
        address: SocketAddr,
        /// The flag that names it.
        flag: &'static str,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}; correct {flag}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// The flag that names it.
        flag: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The metrics cannot be set up.
    #[error("cannot set up metrics")]
    Metrics(#[from] BuildError),
    /// The task that opens the store died.
    #[error("the task that opens the store died")]
    Opening(#[from] tokio::task::JoinError),
    /// The store does not open.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The outer TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] TlsError),
}

/// Why a running host ended other than by a stop.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// One of its tasks ended although nobody asked it to.
    #[error("a part of the host ended")]
    Ended,
    /// One of its tasks died.
    #[error("a part of the host died")]
    Task(#[from] tokio::task::JoinError),
}

impl Host {
    /// Opens the data directory and the store, and listens. Nobody is served before [`Host::run`].
    ///
    /// # Errors
    /// [`StartError`], each with what to do about it.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let data = DataDir::open(&options.data)?;
        let agents = bind(options.listen, "--listen").await?;
        let admin = bind(options.admin, "--admin").await?;
        let local = |listener: &TcpListener, address, flag| {
            listener.local_addr().map_err(|source| StartError::Listen { address, flag, source })
        };
        let addresses = Addresses {
            agents: local(&agents, options.listen, "--listen")?,
            admin: local(&admin, options.admin, "--admin")?,
        };
        let tls = OuterTls::load_or_generate(&data)?;
        let path = data.join("store");
        let store = Arc::new(tokio::task::spawn_blocking(move || Store::open(&path)).await??);
        let gate = Arc::new(Gate::new(tls, Arc::clone(&store))?);
        let telemetry = Arc::new(Telemetry::new()?);
        Ok(Self { options, agents, admin, addresses, gate, store, telemetry, data })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Serves until `stop` completes, then stops accepting, gives open connections a moment, and closes the
    /// store. The storage link stays up until the last connection has ended.
    ///
    /// # Errors
    /// [`RunError`] if a part of it ended by itself.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), RunError> {
        let Self { options, agents, admin, addresses: _, gate, store, telemetry, data } = self;
        let (accepting, link, serving) =
            (watch::Sender::new(false), watch::Sender::new(false), watch::Sender::new(false));

        let storage_link = StorageLink {
            enclave: options.enclave.clone(),
            gate: Arc::clone(&gate),
            store: Arc::clone(&store),
            telemetry: Arc::clone(&telemetry),
        };
        let mut storage_link = tokio::spawn(storage_link.keep(link.subscribe()));
        let answers = Arc::new(Admin { gate: Arc::clone(&gate), telemetry: Arc::clone(&telemetry) });
        let mut answers = tokio::spawn(answers.serve(admin, serving.subscribe()));
        let relay = Arc::new(Relay::new(options.enclave, gate, options.limits, telemetry));
        let mut listener = tokio::spawn(listen(agents, relay, options.limits.drain(), accepting.subscribe()));

        tokio::select! {
            () = stop => {}
            ended = &mut listener => return Err(ended.err().map_or(RunError::Ended, RunError::Task)),
            ended = &mut storage_link => return Err(ended.err().map_or(RunError::Ended, RunError::Task)),
            ended = &mut answers => return Err(ended.err().map_or(RunError::Ended, RunError::Task)),
        }
        tracing::info!("stopping");
        accepting.send_replace(true);
        listener.await?;
        link.send_replace(true);
        storage_link.await?;
        serving.send_replace(true);
        answers.await?;
        tokio::task::spawn_blocking(move || drop((store, data))).await?;
        Ok(())
    }
}

async fn bind(address: SocketAddr, flag: &'static str) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => StartError::InUse { address, flag },
        _ => StartError::Listen { address, flag, source },
    })
}
