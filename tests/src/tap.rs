//! The hostile host's hands: stands between host and enclave, records all that passes, and changes what a test
//! tells it to.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};
use vouchsafe_protocol::codec;
use vouchsafe_protocol::frame::{HEADER_LEN, body_len, enclose};
use vouchsafe_protocol::limits::LINK_FRAME_LEN;
use vouchsafe_protocol::link::{LinkHello, StorageReply, StorageRequest};

/// Length of the header of a TLS record in bytes (RFC 8446, section 5.1).
const RECORD_HEADER_LEN: usize = 5;

/// Which way something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the agent.
    ToAgent,
    /// To the enclave.
    ToEnclave,
}

/// What a hostile host does to what it relays and stores. Nothing, unless told otherwise.
pub trait Tamper: Send + Sync + 'static {
    /// The enclave asks for storage. `Some` is sent instead of asking the honest host.
    fn ask(&self, _request: &StorageRequest) -> Option<Vec<u8>> {
        None
    }

    /// The honest host has answered; what goes to the enclave.
    fn answer(&self, _request: &StorageRequest, reply: StorageReply) -> Vec<u8> {
        framed(&reply)
    }

    /// One TLS record of session number `session`; what goes on instead.
    fn record(&self, _session: usize, _direction: Direction, record: Vec<u8>) -> Vec<u8> {
        record
    }
}

/// A host that only looks.
pub struct Honest;

impl Tamper for Honest {}

/// A reply as it stands on the storage link; nothing if it cannot be encoded.
#[must_use]
pub fn framed(reply: &StorageReply) -> Vec<u8> {
    codec::encode(reply).and_then(|body| enclose(&body, LINK_FRAME_LEN)).unwrap_or_default()
}

/// One connection's one direction, from its first byte to its last.
type Recording = Arc<Mutex<Vec<u8>>>;

/// A running tap; it ends, with every connection, when dropped.
pub struct Tap {
    recordings: Arc<Mutex<Vec<Recording>>>,
    task: JoinHandle<()>,
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Tap {
    /// Listens on one socket and connects to the other.
    ///
    /// # Errors
    /// If it cannot listen.
    pub fn start(listen: &Path, connect: &Path, tamper: Arc<dyn Tamper>) -> anyhow::Result<Self> {
        let listener =
            UnixListener::bind(listen).with_context(|| format!("cannot listen on {}", listen.display()))?;
        let recordings = Arc::new(Mutex::new(Vec::new()));
        let (connect, kept) = (connect.to_owned(), Arc::clone(&recordings));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            let mut number = 0;
            while let Ok((host, _)) = listener.accept().await {
                // Without an enclave there is no connection: the host tries again.
                let Ok(enclave) = UnixStream::connect(&connect).await else { continue };
                let [from_host, from_enclave] = [(); 2].map(|()| {
                    let recording = Recording::default();
                    lock(&kept).push(Arc::clone(&recording));
                    recording
                });
                let wire = Wire { number, tamper: Arc::clone(&tamper), from_host, from_enclave };
                number += 1;
                // A connection that ends with an error is over, as the peers see.
                connections.spawn(async move { drop(wire.serve(host, enclave).await) });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { recordings, task })
    }

    /// Everything so far, each connection's two directions by themselves.
    #[must_use]
    pub fn recorded(&self) -> Vec<Vec<u8>> {
        lock(&self.recordings).iter().map(|recording| lock(recording).clone()).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection.
struct Wire {
    number: usize,
    tamper: Arc<dyn Tamper>,
    from_host: Recording,
    from_enclave: Recording,
}

impl Wire {
    async fn serve(self, mut host: UnixStream, mut enclave: UnixStream) -> anyhow::Result<()> {
        let (body, raw) = read_frame(&mut host, &self.from_host).await?;
        let hello: LinkHello = codec::decode(&body, LINK_FRAME_LEN)?;
        enclave.write_all(&raw).await?;
        match hello {
            LinkHello::Storage => self.storage(host, enclave).await,
            LinkHello::Introduce => {
                let (from_host, to_host) = host.into_split();
                let (from_enclave, to_enclave) = enclave.into_split();
                let up = copy(from_host, to_enclave, &self.from_host);
                let down = copy(from_enclave, to_host, &self.from_enclave);
                tokio::try_join!(up, down).map(drop)
            }
            LinkHello::Session => {
                let (from_host, to_host) = host.into_split();
                let (from_enclave, to_enclave) = enclave.into_split();
                let up = self.records(Direction::ToEnclave, from_host, to_enclave, &self.from_host);
                let down = self.records(Direction::ToAgent, from_enclave, to_host, &self.from_enclave);
                tokio::try_join!(up, down).map(drop)
            }
        }
    }

    /// The enclave asks, the host answers, one after the other.
    async fn storage(&self, mut host: UnixStream, mut enclave: UnixStream) -> anyhow::Result<()> {
        loop {
            let (body, raw) = tokio::select! {
                asked = read_frame(&mut enclave, &self.from_enclave) => asked?,
                closed = gone(&host) => return closed,
            };
            let request: StorageRequest = codec::decode(&body, LINK_FRAME_LEN)?;
            let answer = match self.tamper.ask(&request) {
                Some(answer) => answer,
                None => {
                    host.write_all(&raw).await?;
                    let (body, _) = read_frame(&mut host, &self.from_host).await?;
                    self.tamper.answer(&request, codec::decode(&body, LINK_FRAME_LEN)?)
                }
            };
            enclave.write_all(&answer).await?;
        }
    }

    /// Record by record.
    async fn records(
        &self,
        direction: Direction,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        recording: &Recording,
    ) -> anyhow::Result<()> {
        loop {
            let mut header = [0; RECORD_HEADER_LEN];
            if from.read_exact(&mut header).await.is_err() {
                return Ok(to.shutdown().await?);
            }
            let [_, _, _, high, low] = header;
            let mut record = header.to_vec();
            record.resize(RECORD_HEADER_LEN + usize::from(u16::from_be_bytes([high, low])), 0);
            from.read_exact(record.get_mut(RECORD_HEADER_LEN..).unwrap_or_default()).await?;
            lock(recording).extend_from_slice(&record);
            to.write_all(&self.tamper.record(self.number, direction, record)).await?;
        }
    }
}

/// A frame's body, and the frame as it was.
async fn read_frame(
    from: &mut (impl AsyncRead + Unpin),
    recording: &Recording,
) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let mut header = [0; HEADER_LEN];
    from.read_exact(&mut header).await?;
    let mut body = vec![0; body_len(header, LINK_FRAME_LEN)?];
    from.read_exact(&mut body).await?;
    let raw = [&header[..], &body].concat();
    lock(recording).extend_from_slice(&raw);
    Ok((body, raw))
}

/// Returns when the host has closed, or says something unasked.
async fn gone(host: &UnixStream) -> anyhow::Result<()> {
    loop {
        host.readable().await?;
        match host.try_read(&mut [0]) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            closed => return Ok(closed.map(drop)?),
        }
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    recording: &Recording,
) -> anyhow::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let len = from.read(&mut buffer).await?;
        let Some(piece) = buffer.get(..len).filter(|piece| !piece.is_empty()) else {
            return Ok(to.shutdown().await?);
        };
        lock(recording).extend_from_slice(piece);
        to.write_all(piece).await?;
    }
}
