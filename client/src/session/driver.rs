//! One task per session: writes requests as they come, signs the chain in time, hands replies to their callers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use vouchsafe_protocol::codec;
use vouchsafe_protocol::frame::enclose;
use vouchsafe_protocol::limits::{
    PIPELINE_DEPTH, REPLY_FRAME_LEN, SESSION_FRAME_LEN, UNSIGNED_REQUESTS, UNSIGNED_SECS,
};
use vouchsafe_protocol::session::{NOTICE, Response, parse_vault_frame};
use zeroize::Zeroizing;

use super::chain::Chain;
use super::error::SessionEnd;
use super::watch::Watched;
use crate::frames::{FrameError, read_frame};

/// Requests are written together up to this many bytes: one record for many small ones.
const BATCH_LEN: usize = 16 * 1024;
/// The chain is signed this long after its first unsigned request: the limit, less time to travel.
const SIGN_AFTER: Duration = Duration::from_millis(UNSIGNED_SECS * 1000 * 3 / 4);
/// [`PIPELINE_DEPTH`] as the semaphore counts.
const DEPTH: u32 = {
    assert!(PIPELINE_DEPTH <= u32::MAX as usize, "the depth fits");
    PIPELINE_DEPTH as u32
};

/// A running session's connection.
pub(super) struct Driver {
    messages: mpsc::Sender<Message>,
    in_flight: Arc<Semaphore>,
    end: Arc<OnceLock<SessionEnd>>,
    watched: Arc<Watched>,
}

enum Message {
    Close,
    Request(Command),
}

struct Command {
    body: Zeroizing<Vec<u8>>,
    receipt: bool,
    caller: oneshot::Sender<Response>,
    permit: OwnedSemaphorePermit,
}

/// A request that has no reply yet. Its place in the pipeline is free once the reply came, whether or not
/// somebody still waits for it.
struct Waiting {
    link: [u8; 32],
    caller: oneshot::Sender<Response>,
    _permit: OwnedSemaphorePermit,
}

type Pending = Mutex<HashMap<u64, Waiting>>;

impl Driver {
    /// Starts the task.
    pub(super) fn start<S>(stream: S, chain: Chain) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (messages, inbox) = mpsc::channel(PIPELINE_DEPTH);
        let end = Arc::new(OnceLock::new());
        let watched = Arc::new(Watched::default());
        tokio::spawn(run(stream, chain, inbox, Arc::clone(&end), Arc::clone(&watched)));
        Self { messages, in_flight: Arc::new(Semaphore::new(PIPELINE_DEPTH)), end, watched }
    }

    /// Sends one encoded request and waits for its reply.
    pub(super) async fn call(&self, body: Zeroizing<Vec<u8>>, receipt: bool) -> Result<Response, SessionEnd> {
        let permit = Arc::clone(&self.in_flight).acquire_owned().await.map_err(|_| SessionEnd::Closed)?;
        let (caller, reply) = oneshot::channel();
        let command = Command { body, receipt, caller, permit };
        self.messages.send(Message::Request(command)).await.map_err(|_| self.ended())?;
        reply.await.map_err(|_| self.ended())
    }

    /// Waits until nothing is in flight, then closes; other callers are refused from here on.
    pub(super) async fn close(&self) {
        if let Ok(_all) = self.in_flight.acquire_many(DEPTH).await {
            self.in_flight.close();
        }
        match self.messages.send(Message::Close).await {
            Ok(()) => self.messages.closed().await,
            Err(_) => tracing::trace!("the session had ended already"),
        }
    }

    pub(super) fn end(&self) -> Option<SessionEnd> {
        self.end.get().copied()
    }

    /// Where notices of new versions go.
    pub(super) fn watched(&self) -> &Arc<Watched> {
        &self.watched
    }

    fn ended(&self) -> SessionEnd {
        self.end().unwrap_or(SessionEnd::Closed)
    }
}

async fn run<S>(
    stream: S,
    chain: Chain,
    inbox: mpsc::Receiver<Message>,
    end: Arc<OnceLock<SessionEnd>>,
    watched: Arc<Watched>,
) where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (reader, writer) = tokio::io::split(stream);
    let pending = Pending::default();
    // Whichever half ends first ends the session. The inbox lives as long as both, so that `end` is set before
    // a caller can find the inbox gone.
    let reason = tokio::select! {
        reason = read(reader, &pending, &watched) => reason,
        reason = write(writer, chain, inbox, &pending, &end) => reason,
    };
    end.get_or_init(|| reason);
    // Whoever waits for a notice now finds the reason why none can come.
    watched.close();
}

/// Hands replies to their callers until one is wrong or none can come.
async fn read<S: AsyncRead>(mut reader: ReadHalf<S>, pending: &Pending, watched: &Watched) -> SessionEnd {
    loop {
        let frame = match read_frame(&mut reader, REPLY_FRAME_LEN).await {
            Ok(frame) => frame,
            Err(error) => return frame_end(&error),
        };
        if let Err(end) = deliver(&frame, pending, watched) {
            return end;
        }
    }
}

/// A reply belongs to its request by number and by link (B7); any other ends the session. A notice answers nothing.
fn deliver(frame: &[u8], pending: &Pending, watched: &Watched) -> Result<(), SessionEnd> {
    let (number, link, body) = parse_vault_frame(frame).map_err(|_| SessionEnd::Malformed)?;
    if (number, link) == (NOTICE, [0; 32]) {
        watched.deliver(codec::decode(body, REPLY_FRAME_LEN).map_err(|_| SessionEnd::Malformed)?);
        return Ok(());
    }
    let waiting = lock(pending).remove(&number).ok_or(SessionEnd::UnknownReply { number })?;
    if waiting.link != link {
        return Err(SessionEnd::WrongLink { number });
    }
    let response = codec::decode(body, REPLY_FRAME_LEN).map_err(|_| SessionEnd::Malformed)?;
    if waiting.caller.send(response).is_err() {
        tracing::debug!(number, "nobody waits for this reply any more");
    }
    Ok(())
}

/// Writes requests and signatures until the session is closed.
async fn write<S: AsyncWrite>(
    mut writer: WriteHalf<S>,
    mut chain: Chain,
    mut inbox: mpsc::Receiver<Message>,
    pending: &Pending,
    end: &OnceLock<SessionEnd>,
) -> SessionEnd {
    let mut sign_at: Option<Instant> = None;
    loop {
        let message = match sign_at {
            Some(at) => timeout_at(at, inbox.recv()).await,
            None => Ok(inbox.recv().await),
        };
        let mut batch = Batch::default();
        let step = match message {
            Ok(message) => batch.fill(message, &mut inbox, &mut chain, pending),
            Err(_) => batch.sign(&mut chain).map(|()| Step::GoOn),
        };
        let step = match step {
            Ok(step) => step,
            Err(reason) => return reason,
        };
        if let Err(error) = writer.write_all(&batch.joined()).await {
            return SessionEnd::Io(error.kind());
        }
        if let Err(error) = writer.flush().await {
            return SessionEnd::Io(error.kind());
        }
        if matches!(step, Step::Close) {
            // Set before the inbox goes, so that whoever finds it gone finds the reason.
            end.get_or_init(|| SessionEnd::Closed);
            if let Err(error) = writer.shutdown().await {
                tracing::debug!(%error, "the connection did not close in order");
            }
            return SessionEnd::Closed;
        }
        sign_at = match chain.unsigned() {
            0 => None,
            _ => sign_at.filter(|at| *at > Instant::now()).or_else(|| Some(Instant::now() + SIGN_AFTER)),
        };
    }
}

enum Step {
    Close,
    GoOn,
}

/// Frames to be written together.
#[derive(Default)]
struct Batch {
    frames: Vec<Zeroizing<Vec<u8>>>,
    len: usize,
}

impl Batch {
    /// Takes a message and those that wait behind it. The chain is signed when it must be, and at the end.
    fn fill(
        &mut self,
        first: Option<Message>,
        inbox: &mut mpsc::Receiver<Message>,
        chain: &mut Chain,
        pending: &Pending,
    ) -> Result<Step, SessionEnd> {
        let mut next = first.unwrap_or(Message::Close);
        loop {
            match next {
                Message::Close => {
                    if chain.unsigned() > 0 {
                        self.sign(chain)?;
                    }
                    return Ok(Step::Close);
                }
                Message::Request(command) => self.request(command, chain, pending)?,
            }
            if chain.unsigned() >= UNSIGNED_REQUESTS {
                self.sign(chain)?;
            }
            // What waits beyond a full batch is taken in the next one.
            if self.len >= BATCH_LEN {
                return Ok(Step::GoOn);
            }
            match inbox.try_recv() {
                Ok(message) => next = message,
                Err(_) => return Ok(Step::GoOn),
            }
        }
    }

    fn request(&mut self, command: Command, chain: &mut Chain, pending: &Pending) -> Result<(), SessionEnd> {
        let Command { body, receipt, caller, permit } = command;
        let (number, link, frame) = chain.push(receipt, &body);
        self.push(&frame)?;
        lock(pending).insert(number, Waiting { link, caller, _permit: permit });
        Ok(())
    }

    fn sign(&mut self, chain: &mut Chain) -> Result<(), SessionEnd> {
        let frame = chain.sign().map_err(|_| SessionEnd::Signing)?;
        self.push(&frame)
    }

    fn push(&mut self, body: &[u8]) -> Result<(), SessionEnd> {
        // Requests are checked against the limit before they are sent here.
        let frame = Zeroizing::new(enclose(body, SESSION_FRAME_LEN).map_err(|_| SessionEnd::Malformed)?);
        self.len += frame.len();
        self.frames.push(frame);
        Ok(())
    }

    /// One buffer, sized beforehand so that no copy of a secret is left behind.
    fn joined(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.len));
        self.frames.iter().for_each(|frame| bytes.extend_from_slice(frame));
        bytes
    }
}

fn frame_end(error: &FrameError) -> SessionEnd {
    match error {
        FrameError::Closed => SessionEnd::HungUp,
        FrameError::Io(error) => SessionEnd::Io(error.kind()),
        FrameError::Length(_) => SessionEnd::Malformed,
    }
}

/// Nothing panics while the lock is held, so what a poisoned lock guards is whole.
fn lock(pending: &Pending) -> std::sync::MutexGuard<'_, HashMap<u64, Waiting>> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}
