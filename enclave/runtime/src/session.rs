//! One session: inner TLS, frames in order, replies in order as they become durable, notices to whoever
//! watches, an end in time.
//!
//! One task for each session. Its three parts run beside each other in it: a reader that feeds the core, a
//! writer that waits for durability, and a deadline that ends the session even if nobody speaks (F6, F7).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{Notify, mpsc};
use vouchsafe_enclave::{Handled, Pending, SessionId};
use vouchsafe_protocol::frame::HEADER_LEN;
use vouchsafe_protocol::limits::{KV_VALUE_LEN, PIPELINE_DEPTH, REPLY_FRAME_LEN, SESSION_FRAME_LEN};
use vouchsafe_protocol::refusal::RefusalCode;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::frames::{self, FrameBuffer, FrameError, Stream};
use crate::session_tls::Peer;
use crate::vault::{self, Gone, Life, Vault};

/// Replies that are ready go out together up to this many bytes.
const BATCH_LEN: usize = 32 * 1024;
/// Longest time between two looks at the deadline: the clock may have been set forward meanwhile.
const RECHECK: Duration = Duration::from_secs(30);
/// Shortest time between two looks, should a deadline be reached that the core does not act on.
const RECHECK_MIN: Duration = Duration::from_millis(100);
/// Stored frames go to an auditor in pages of about this many bytes, or one at a time.
const PAGE_LEN: usize = KV_VALUE_LEN;
/// Time for the last replies and the TLS goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

/// Why a session ends.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the vault stopped serving")]
    Gone,
    #[error("refused: {0}")]
    Refused(RefusalCode),
    #[error("done")]
    Served,
}

impl From<Gone> for End {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

/// A frame on its way out.
enum Outgoing {
    /// A reply.
    Reply(Pending),
    /// The reply to a seal.
    Seal(Pending, SealWhenDropped),
    /// A refusal that ends the session; it says nothing that a log would have to have first.
    Words(Zeroizing<Vec<u8>>),
}

/// An operator's seal happens once its answer has left, or cannot leave any more.
struct SealWhenDropped(Arc<Vault>);

impl Drop for SealWhenDropped {
    fn drop(&mut self) {
        self.0.ask_to_seal();
    }
}

/// A session that the core knows; closed when dropped.
struct Session {
    vault: Arc<Vault>,
    clock: Arc<Clock>,
    id: SessionId,
    /// The deadline that the timer waits for, in seconds since 1970.
    armed: AtomicU64,
    rearm: Notify,
    /// There is something to be told that nobody asked for just now.
    news: Arc<Notify>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.vault.unlisten(self.id);
        if self.vault.with(|core, _| core.close_session(self.id)) == Ok(()) {
            self.vault.wake();
        }
    }
}

/// Serves one relayed connection from its first TLS record to its end.
pub(crate) async fn serve(stream: Stream, vault: Arc<Vault>, clock: Arc<Clock>) {
    let Peer { mut tls, certificate, exporter } = match vault.tls().accept(stream).await {
        Ok(peer) => peer,
        Err(error) => return tracing::debug!(reason = %error, "no session"),
    };
    let now = clock.now();
    let id = match vault.with(|core, _| core.open_session(&certificate, exporter, now)) {
        Ok(Ok(id)) => id,
        Ok(Err(refusal)) => {
            tracing::info!(code = ?refusal.code, "session refused");
            return goodbye(&mut tls).await;
        }
        Err(Gone) => return,
    };
    vault.wake();
    let (armed, rearm, news) = (AtomicU64::new(u64::MAX), Notify::new(), vault.listen(id));
    let session = Session { vault, clock, id, armed, rearm, news };
    let (reader, writer) = tokio::io::split(tls);
    let end = session.run(reader, writer).await;
    tracing::debug!(reason = %end, "session ended");
}

/// Says goodbye in TLS, so that the peer can tell an end from a cut.
async fn goodbye(tls: &mut (impl AsyncWrite + Unpin)) {
    match tokio::time::timeout(GOODBYE, tls.shutdown()).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) | Err(_) => tracing::debug!("the peer left without goodbye"),
    }
}

impl Session {
    async fn run(&self, reader: impl AsyncRead + Unpin, mut writer: impl AsyncWrite + Unpin) -> End {
        // One more is with the writer.
        let (outbox, inbox) = mpsc::channel(PIPELINE_DEPTH - 1);
        let end = {
            let mut writing = std::pin::pin!(self.write(&mut writer, inbox));
            tokio::select! {
                end = self.read(reader, outbox) => {
                    // What was accepted is still answered.
                    match tokio::time::timeout(GOODBYE, &mut writing).await {
                        Ok(Ok(())) | Err(_) => end,
                        Ok(Err(error)) => error,
                    }
                }
                written = &mut writing => written.err().unwrap_or(End::Served),
                end = self.deadline() => end,
            }
        };
        if !matches!(end, End::Gone | End::Frame(_)) {
            goodbye(&mut writer).await;
        }
        end
    }

    /// Feeds the core until the session ends. A slow taker of replies stops it (H7).
    async fn read(&self, mut from: impl AsyncRead + Unpin, outbox: mpsc::Sender<Outgoing>) -> End {
        let mut buffer = FrameBuffer::default();
        let mut life = self.vault.life();
        loop {
            let Ok(place) = outbox.reserve().await else { return End::Served };
            // Draining first: a frame that is there already is not taken up once the end has begun.
            let frame = tokio::select! {
                biased;
                draining = life.wait_for(|life| *life >= Life::Draining) => {
                    drop(draining);
                    return End::Gone;
                }
                frame = buffer.read(&mut from, SESSION_FRAME_LEN) => frame,
            };
            let handled = match frame {
                Ok(frame) => self.handle(frame).await,
                Err(error) => return error.into(),
            };
            buffer.wipe();
            let (outgoing, end) = match handled {
                Ok(outgoing) => outgoing,
                Err(Gone) => return End::Gone,
            };
            if let Some(outgoing) = outgoing {
                place.send(outgoing);
            }
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// One frame through the core; what it needs of the store is fetched before the next frame is looked at.
    /// Gives what to send, and whether the session is over with that.
    async fn handle(&self, frame: &[u8]) -> Result<(Option<Outgoing>, Option<End>), Gone> {
        let now = self.clock.now();
        let (handled, deadline, earlier) = self.vault.with(|core, ports| {
            let due = core.next_tick();
            let handled = core.frame(self.id, frame, now, ports);
            if matches!(handled, Ok(Handled::Seal(_))) {
                self.vault.seal_order().give();
            }
            (handled, core.next_deadline(self.id), core.next_tick() < due)
        })?;
        self.vault.wake();
        if earlier {
            self.vault.due_earlier();
        }
        if deadline < self.armed.load(Ordering::Relaxed) {
            self.rearm.notify_one();
        }
        let storage = self.vault.storage();
        let reply = match handled {
            Ok(Handled::Nothing) => return Ok((None, None)),
            Ok(Handled::Reply(pending)) => pending,
            Ok(Handled::Fetch(fetch)) => match storage.read_frames(fetch.stream, fetch.from).await {
                Ok(frames) => fetch.complete(page(frames)),
                Err(_) => fetch.fail(),
            },
            Ok(Handled::Streams(streams)) => match storage.heads().await {
                Ok(heads) => streams.complete(heads),
                Err(_) => streams.fail(),
            },
            Ok(Handled::Seal(pending)) => {
                let seal = SealWhenDropped(Arc::clone(&self.vault));
                return Ok((Some(Outgoing::Seal(pending, seal)), Some(End::Served)));
            }
            Err(end) => {
                let code = end.refusal.code;
                return Ok((end.last_words.map(Outgoing::Words), Some(End::Refused(code))));
            }
        };
        Ok((Some(Outgoing::Reply(reply)), None))
    }

    /// Sends replies in order, each once it is durable, together with those that are ready then.
    async fn write(
        &self,
        to: &mut (impl AsyncWrite + Unpin),
        mut inbox: mpsc::Receiver<Outgoing>,
    ) -> Result<(), End> {
        let (mut durable, mut life) = (self.vault.durable(), self.vault.life());
        let mut held = None;
        loop {
            let first = match held.take() {
                Some(outgoing) => outgoing,
                None => tokio::select! {
                    biased;
                    asked = inbox.recv() => match asked {
                        Some(outgoing) => outgoing,
                        None => return Ok(()),
                    },
                    // Taken only when nothing else waits: whoever reads slowly is told of the newest only.
                    () = self.news.notified() => match self.notice()? {
                        Some(pending) => Outgoing::Reply(pending),
                        None => continue,
                    },
                },
            };
            let (reply, mut seal) = match first {
                Outgoing::Reply(pending) => (vault::release(pending, &mut durable, &mut life).await?, None),
                Outgoing::Seal(pending, seal) => {
                    (vault::release(pending, &mut durable, &mut life).await?, Some(seal))
                }
                Outgoing::Words(words) => (words, None),
            };
            let reached = *durable.borrow();
            let mut len = HEADER_LEN + reply.len();
            let mut ready = vec![reply];
            while len < BATCH_LEN && seal.is_none() {
                let (reply, seals) = match inbox.try_recv() {
                    Ok(Outgoing::Reply(pending)) => match pending.release(&reached) {
                        Ok(reply) => (reply, None),
                        Err(pending) => {
                            held = Some(Outgoing::Reply(pending));
                            break;
                        }
                    },
                    Ok(Outgoing::Seal(pending, seal)) => match pending.release(&reached) {
                        Ok(reply) => (reply, Some(seal)),
                        Err(pending) => {
                            held = Some(Outgoing::Seal(pending, seal));
                            break;
                        }
                    },
                    Ok(Outgoing::Words(words)) => (words, None),
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                };
                len += HEADER_LEN + reply.len();
                ready.push(reply);
                seal = seals;
            }
            // Sized once, so that growing leaves no copy of a secret behind.
            let mut batch = Zeroizing::new(Vec::with_capacity(len));
            for reply in &ready {
                frames::append(&mut batch, reply, REPLY_FRAME_LEN).map_err(FrameError::Codec)?;
            }
            drop(ready);
            to.write_all(&batch).await.map_err(FrameError::Io)?;
            to.flush().await.map_err(FrameError::Io)?;
            drop(seal);
        }
    }

    /// What there is to be told, as policy has it now.
    fn notice(&self) -> Result<Option<Pending>, Gone> {
        let now = self.clock.now();
        let notice = self.vault.with(|core, ports| core.notice(self.id, now, ports))?;
        if notice.is_some() {
            self.vault.wake();
        }
        Ok(notice)
    }

    /// Ends the session when its time is over, whether or not anybody speaks.
    async fn deadline(&self) -> End {
        loop {
            let now = self.clock.now();
            let looked = self.vault.with(|core, _| (core.expire(self.id, now), core.next_deadline(self.id)));
            let at = match looked {
                Ok((None, at)) => at,
                Ok((Some(refusal), _)) => {
                    self.vault.wake();
                    return End::Refused(refusal.code);
                }
                Err(Gone) => return End::Gone,
            };
            self.armed.store(at, Ordering::Relaxed);
            tokio::select! {
                () = tokio::time::sleep(self.clock.until(at).clamp(RECHECK_MIN, RECHECK)) => {}
                () = self.rearm.notified() => {}
            }
        }
    }
}

/// As many of the frames as one reply should carry, and the first in any case.
fn page(mut frames: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut len = 0;
    let fitting = frames.iter().take_while(|frame| {
        len += frame.len();
        len <= PAGE_LEN
    });
    let count = fitting.count().max(1);
    frames.truncate(count);
    frames
}

#[cfg(test)]
mod tests {
    use super::*;
    use vouchsafe_protocol::limits::JOURNAL_FRAME_LEN;

    #[test]
    fn a_page_holds_what_fits_and_never_nothing() {
        assert_eq!(page(vec![]).len(), 0);
        assert_eq!(page(vec![vec![0; 9]; 5]).len(), 5);
        assert_eq!(page(vec![vec![0; PAGE_LEN / 2]; 5]).len(), 2);
        assert_eq!(page(vec![vec![0; JOURNAL_FRAME_LEN], vec![]]).len(), 1);
    }
}
