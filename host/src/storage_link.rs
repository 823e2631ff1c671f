//! The storage link: one connection on which the enclave asks and the host answers, in order.
//!
//! The enclave's frames are bounded before they are allocated and decoded strictly; what is malformed ends
//! the link, never the process. While the link is down the gate is closed.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use vouchsafe_protocol::codec::{self, CodecError};
use vouchsafe_protocol::frame::{self, HEADER_LEN};
use vouchsafe_protocol::limits::LINK_FRAME_LEN;
use vouchsafe_protocol::link::{LinkHello, StorageFailure, StorageReply, StorageRequest};

use crate::address::{ByteStream, ConnectError, EnclaveAddress};
use crate::gate::Gate;
use crate::stop::stopped;
use crate::store::{Space, Store};
use crate::telemetry::Telemetry;
use crate::tls::AuthorityError;

/// First wait before another attempt, so that a restarted enclave is found at once.
const BACKOFF_MIN: Duration = Duration::from_millis(20);
/// Longest wait between attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Answers the enclave's storage requests.
#[derive(Clone)]
pub(crate) struct StorageLink {
    pub(crate) enclave: EnclaveAddress,
    pub(crate) gate: Arc<Gate>,
    pub(crate) store: Arc<Store>,
    pub(crate) telemetry: Arc<Telemetry>,
}

/// Why the link ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("the authority that the enclave announced is unusable")]
    Authority(#[from] AuthorityError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the enclave closed the storage link; is it still running?")]
    Lost(#[source] io::Error),
    #[error("the enclave sent something that is not a storage request")]
    Malformed(#[from] CodecError),
}

impl StorageLink {
    /// Keeps the link up until `stop` becomes true; a request that has begun is finished first.
    pub(crate) async fn keep(self, mut stop: watch::Receiver<bool>) {
        let mut backoff = BACKOFF_MIN;
        loop {
            match self.serve_once(&mut stop, &mut backoff).await {
                Ok(()) => return,
                Err(error) => self.gate.disconnected(&chain(&error)),
            }
            tokio::select! {
                () = stopped(&mut stop) => return,
                () = tokio::time::sleep(backoff) => {}
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// One connection. Returns when stopped.
    async fn serve_once(
        &self,
        stop: &mut watch::Receiver<bool>,
        backoff: &mut Duration,
    ) -> Result<(), LinkError> {
        let mut stream = tokio::select! {
            () = stopped(stop) => return Ok(()),
            stream = self.enclave.open(LinkHello::Storage) => stream?,
        };
        self.gate.connected();
        loop {
            let request = tokio::select! {
                () = stopped(stop) => return Ok(()),
                request = receive(stream.as_mut()) => request?,
            };
            *backoff = BACKOFF_MIN;
            let reply = self.answer(request).await?;
            let frame = frame::enclose(&codec::encode(&reply)?, LINK_FRAME_LEN)?;
            stream.write_all(&frame).await.map_err(LinkError::Lost)?;
            stream.flush().await.map_err(LinkError::Lost)?;
        }
    }

    async fn answer(&self, request: StorageRequest) -> Result<StorageReply, LinkError> {
        if let StorageRequest::Announce(state) = request {
            self.gate.announced(state)?;
            return Ok(StorageReply::Done);
        }
        let (store, telemetry) = (Arc::clone(&self.store), Arc::clone(&self.telemetry));
        let answer = tokio::task::spawn_blocking(move || store_answer(&store, &telemetry, request)).await;
        Ok(answer.unwrap_or_else(|error| {
            // If it was a write, the store's lock is poisoned now and later writes fail.
            tracing::error!(%error, "the embedded store panicked");
            StorageReply::Failed(StorageFailure::Io)
        }))
    }
}

/// One whole request. Cancelling this is safe only before another call: it loses what was read.
async fn receive(stream: &mut dyn ByteStream) -> Result<StorageRequest, LinkError> {
    let mut header = [0; HEADER_LEN];
    stream.read_exact(&mut header).await.map_err(LinkError::Lost)?;
    let mut body = vec![0; frame::body_len(header, LINK_FRAME_LEN)?];
    stream.read_exact(&mut body).await.map_err(LinkError::Lost)?;
    Ok(codec::decode(&body, LINK_FRAME_LEN)?)
}

/// Blocking.
fn store_answer(store: &Store, telemetry: &Telemetry, request: StorageRequest) -> StorageReply {
    match request {
        // Answered by the caller, which knows the gate.
        StorageRequest::Announce(_) => StorageReply::Done,
        StorageRequest::Append(appends) => {
            let bytes: usize = appends.iter().map(|append| append.frame.len()).sum();
            let frames = appends.len();
            let started = Instant::now();
            let result = store.append(appends);
            telemetry.append(outcome(&result), started.elapsed());
            if result.is_ok() {
                telemetry.appended_frames.increment(frames as u64);
                telemetry.appended_bytes.increment(bytes as u64);
            }
            result.map_or_else(StorageReply::Failed, |space| match space {
                Space::Ample => StorageReply::Done,
                Space::Scarce => StorageReply::Scarce,
            })
        }
        StorageRequest::Heads => store.heads().map_or_else(StorageReply::Failed, StorageReply::Heads),
        StorageRequest::ReadBoot => store.read_boot().map_or_else(StorageReply::Failed, StorageReply::Boot),
        StorageRequest::ReadFrames { stream, from } => {
            store.read_frames(stream, from).map_or_else(StorageReply::Failed, StorageReply::Frames)
        }
        StorageRequest::WriteBoot(boot) => done(store.write_boot(&boot)),
    }
}

fn done(result: Result<(), StorageFailure>) -> StorageReply {
    result.map_or_else(StorageReply::Failed, |()| StorageReply::Done)
}

fn outcome<T>(result: &Result<T, StorageFailure>) -> &'static str {
    match result {
        Ok(_) => "durable",
        Err(StorageFailure::Conflict) => "conflict",
        Err(StorageFailure::Io) => "io",
        Err(StorageFailure::NoSpace) => "no_space",
        Err(StorageFailure::TooLarge) => "too_large",
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
