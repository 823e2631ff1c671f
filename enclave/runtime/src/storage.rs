//! The storage link: the one connection on which the enclave asks and the host answers, in order.
//!
//! Who controls the answers: the host. What must stay true: an answer is believed only to be an answer to the
//! one question that is open; anything else, and anything unasked, ends the link, and with it the vault's life
//! until it has read everything back. A host that says `Done` without storing cannot be told here: what was
//! lost shows at the next start, in the hash chain, the tree and the counter.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use vouchsafe_protocol::codec::{self, CodecError};
use vouchsafe_protocol::limits::{JOURNAL_FRAME_LEN, LINK_FRAME_LEN, READ_FRAMES};
use vouchsafe_protocol::link::{
    Append, EnclaveState, StorageFailure, StorageReply, StorageRequest, StreamId,
};

use crate::frames::{self, FrameBuffer, FrameError, Stream};

/// Longest wait for one answer: a group commit on a slow disk takes seconds, never this long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Questions waiting for the link. More wait with their askers.
const QUEUE_LEN: usize = 16;

/// Why the store did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StorageError {
    #[error("the storage link is down")]
    Down,
    #[error(transparent)]
    Failed(#[from] StorageFailure),
}

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
enum LinkEnd {
    #[error("the host gave no answer within {} seconds", ANSWER_TIMEOUT.as_secs())]
    Silent,
    #[error("the host sent something that was not asked for")]
    Unasked,
    #[error("the host's answer does not fit the question")]
    WrongAnswer,
    #[error(transparent)]
    Frame(#[from] FrameError),
}

struct Question {
    request: StorageRequest,
    answer: oneshot::Sender<StorageReply>,
}

/// Asks over a link. Clones share it.
#[derive(Clone)]
pub(crate) struct Storage {
    questions: mpsc::Sender<Question>,
}

/// Owns a link: dropping it closes the connection, whoever still holds a [`Storage`].
pub(crate) struct StorageLink {
    task: JoinHandle<()>,
}

impl Drop for StorageLink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Storage {
    /// Takes over a connection.
    pub(crate) fn open(stream: Stream) -> (StorageLink, Self) {
        let (questions, asked) = mpsc::channel(QUEUE_LEN);
        let task = tokio::spawn(async move {
            match serve(stream, asked).await {
                Ok(()) => tracing::debug!("storage link closed"),
                Err(end) => tracing::warn!(reason = %end, "storage link lost"),
            }
        });
        (StorageLink { task }, Self { questions })
    }

    /// Returns when the link is gone.
    pub(crate) async fn closed(&self) {
        self.questions.closed().await;
    }

    pub(crate) async fn announce(&self, state: EnclaveState) -> Result<(), StorageError> {
        self.done(StorageRequest::Announce(state)).await
    }

    /// The answer is `Done` or `Failed`; only the ticket of the cut can say what it is worth.
    pub(crate) async fn append(&self, appends: Vec<Append>) -> Result<StorageReply, StorageError> {
        self.ask(StorageRequest::Append(appends)).await
    }

    pub(crate) async fn write_boot(&self, record: Vec<u8>) -> Result<(), StorageError> {
        self.done(StorageRequest::WriteBoot(record)).await
    }

    pub(crate) async fn read_boot(&self) -> Result<Option<Vec<u8>>, StorageError> {
        match self.ask(StorageRequest::ReadBoot).await? {
            StorageReply::Boot(record) => Ok(record),
            other => Err(failed(&other)),
        }
    }

    pub(crate) async fn heads(&self) -> Result<Vec<(StreamId, u64)>, StorageError> {
        match self.ask(StorageRequest::Heads).await? {
            StorageReply::Heads(heads) => Ok(heads),
            other => Err(failed(&other)),
        }
    }

    /// Frames from an index on; none at the end of the stream.
    pub(crate) async fn read_frames(
        &self,
        stream: StreamId,
        from: u64,
    ) -> Result<Vec<Vec<u8>>, StorageError> {
        match self.ask(StorageRequest::ReadFrames { stream, from }).await? {
            StorageReply::Frames(frames) => Ok(frames),
            other => Err(failed(&other)),
        }
    }

    async fn done(&self, request: StorageRequest) -> Result<(), StorageError> {
        match self.ask(request).await? {
            StorageReply::Done => Ok(()),
            other => Err(failed(&other)),
        }
    }

    async fn ask(&self, request: StorageRequest) -> Result<StorageReply, StorageError> {
        let (answer, answered) = oneshot::channel();
        let question = Question { request, answer };
        self.questions.send(question).await.map_err(|_| StorageError::Down)?;
        answered.await.map_err(|_| StorageError::Down)
    }
}

/// What a reply that is not the one hoped for means; [`answers`] has let nothing but failures through.
fn failed(reply: &StorageReply) -> StorageError {
    match reply {
        StorageReply::Failed(failure) => StorageError::Failed(*failure),
        _ => StorageError::Down,
    }
}

/// One question at a time. `Ok` when nobody asks any more.
async fn serve(stream: Stream, mut questions: mpsc::Receiver<Question>) -> Result<(), LinkEnd> {
    let mut stream = BufReader::new(stream);
    let mut buffer = FrameBuffer::default();
    loop {
        let question = tokio::select! {
            biased;
            unasked = stream.fill_buf() => {
                let bytes = unasked.map_err(FrameError::Io)?;
                return Err(if bytes.is_empty() { FrameError::Closed.into() } else { LinkEnd::Unasked });
            }
            question = questions.recv() => match question {
                Some(question) => question,
                None => return Ok(()),
            },
        };
        let exchange = exchange(&mut stream, &mut buffer, &question.request);
        let reply = tokio::time::timeout(ANSWER_TIMEOUT, exchange).await.map_err(|_| LinkEnd::Silent)??;
        if !answers(&question.request, &reply) {
            return Err(LinkEnd::WrongAnswer);
        }
        if question.answer.send(reply).is_err() {
            tracing::debug!("the asker did not wait for the answer");
        }
    }
}

async fn exchange(
    stream: &mut BufReader<Stream>,
    buffer: &mut FrameBuffer,
    request: &StorageRequest,
) -> Result<StorageReply, FrameError> {
    let encoded = codec::encode(request)?;
    frames::write(stream, &encoded, LINK_FRAME_LEN).await?;
    let body = buffer.read(stream, LINK_FRAME_LEN).await?;
    let reply = codec::decode(body, LINK_FRAME_LEN)?;
    buffer.wipe();
    Ok(reply)
}

/// Whether a reply is one of those that the protocol allows for this question, within its limits.
fn answers(request: &StorageRequest, reply: &StorageReply) -> bool {
    use StorageRequest::{Announce, Append, Heads, ReadBoot, ReadFrames, WriteBoot};
    match (request, reply) {
        (_, StorageReply::Failed(_))
        | (Announce(_) | Append(_) | WriteBoot(_), StorageReply::Done)
        | (Append(_), StorageReply::Scarce)
        | (Heads, StorageReply::Heads(_))
        | (ReadBoot, StorageReply::Boot(_)) => true,
        (ReadFrames { .. }, StorageReply::Frames(frames)) => {
            frames.len() <= READ_FRAMES && frames.iter().all(|frame| frame.len() <= JOURNAL_FRAME_LEN)
        }
        _ => false,
    }
}

impl From<CodecError> for LinkEnd {
    fn from(error: CodecError) -> Self {
        Self::Frame(FrameError::Codec(error))
    }
}

#[cfg(test)]
mod tests;
