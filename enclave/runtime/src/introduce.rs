//! Introductions: a few messages of somebody without an identity.
//!
//! Who controls the input: anybody who reaches the host. What must stay true: between two messages nothing is
//! held but the connection itself (V5), and that for a bounded time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use vouchsafe_enclave::{Durable, KernelPorts};
use vouchsafe_protocol::codec;
use vouchsafe_protocol::introduction::{Hello, InitRequest, IntroductionReply, IntroductionRequest, Prove};
use vouchsafe_protocol::limits::INTRODUCTION_FRAME_LEN;
use vouchsafe_protocol::refusal::RefusalCode;
use zeroize::Zeroizing;

use crate::birth::InitJob;
use crate::clock::Clock;
use crate::frames::{self, FrameBuffer, FrameError, Stream};
use crate::phase::Phase;
use crate::vault::{self, Vault};
use crate::verifiers::Verifiers;

/// Messages on one connection: `Hello` and `Prove`, and one failed attempt.
const MESSAGES: usize = 4;
/// Longest conversation: a slow TPM needs several seconds to open a credential and to quote.
const CONVERSATION_TIMEOUT: Duration = Duration::from_secs(120);

/// Answers introductions.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) inits: mpsc::Sender<InitJob>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) verifiers: Verifiers,
}

impl Desk {
    /// Holds one conversation.
    pub(crate) async fn serve(&self, stream: Stream) {
        match tokio::time::timeout(CONVERSATION_TIMEOUT, self.converse(stream)).await {
            Ok(Ok(()) | Err(FrameError::Closed)) => {}
            Ok(Err(error)) => tracing::debug!(reason = %error, "introduction broken off"),
            Err(_) => tracing::debug!("introduction took too long"),
        }
    }

    async fn converse(&self, mut stream: Stream) -> Result<(), FrameError> {
        let mut buffer = FrameBuffer::default();
        for _ in 0..MESSAGES {
            let body = match buffer.read(&mut stream, INTRODUCTION_FRAME_LEN).await {
                Err(FrameError::Codec(_)) => return refuse(&mut stream, RefusalCode::Malformed).await,
                body => body?,
            };
            let Ok(request) = codec::decode(body, INTRODUCTION_FRAME_LEN) else {
                return refuse(&mut stream, RefusalCode::Malformed).await;
            };
            buffer.wipe();
            let Some(Answer { reply, awaited }) = self.answer(request).await else { return Ok(()) };
            frames::write(&mut stream, &reply, INTRODUCTION_FRAME_LEN).await?;
            drop(awaited);
        }
        Ok(())
    }

    /// `None` if nothing may be said: the outcome is not known to be stored.
    async fn answer(&self, request: IntroductionRequest) -> Option<Answer> {
        let phase = self.phase.borrow().clone();
        let code = match (phase, request) {
            (Phase::Serving(vault), IntroductionRequest::Hello(hello)) => {
                return self.hello(&vault, hello).await;
            }
            (Phase::Serving(vault), IntroductionRequest::Prove(prove)) => {
                return self.prove(&vault, prove).await;
            }
            (Phase::Uninitialised, IntroductionRequest::Init(request)) => return self.init(request).await,
            (Phase::Serving(_), IntroductionRequest::Init(_)) => RefusalCode::AlreadyInitialised,
            (Phase::Uninitialised, _) => RefusalCode::NotInitialised,
            (Phase::Sealed, _) => RefusalCode::Sealed,
            (Phase::Unavailable, _) => RefusalCode::Storage,
        };
        encode(&IntroductionReply::Refusal(code.into()))
    }

    /// A TPM's hello costs a chain of signatures: no less than a proof, so it waits its turn with them.
    async fn hello(&self, vault: &Vault, hello: Hello) -> Option<Answer> {
        let encoded = codec::encode(&hello).ok()?;
        let introducer = vault.with(|core, _| core.introducer()).ok()?;
        let clock = Arc::clone(&self.clock);
        let answer = move || introducer.hello(&encoded, &hello, clock.now());
        encode(&self.verifiers.run(answer).await?)
    }

    /// Verifies outside the core's lock, on a thread that may take its time; admits inside.
    async fn prove(&self, vault: &Vault, prove: Prove) -> Option<Answer> {
        let introducer = vault.with(|core, _| core.introducer()).ok()?;
        let clock = Arc::clone(&self.clock);
        // The time is that at which it is looked at, however long it waited.
        let outcome = self.verifiers.run(move || introducer.prove(&prove, clock.now())).await?;
        let (mut durable, mut life) = (vault.durable(), vault.life());
        let now = self.clock.now();
        let pending = vault.with(|core, ports: &mut KernelPorts| core.admit(outcome, now, ports)).ok()?;
        vault.wake();
        let reply = vault::release(pending, &mut durable, &mut life).await.ok()?;
        Some(Answer { reply, awaited: Some(durable) })
    }

    /// One at a time: whoever comes while another is served is told to come back, and holds nothing.
    async fn init(&self, request: InitRequest) -> Option<Answer> {
        let (reply, answered) = oneshot::channel();
        if self.inits.try_send(InitJob { request, reply }).is_err() {
            return encode(&IntroductionReply::Refusal(RefusalCode::Busy.into()));
        }
        encode(&answered.await.ok()?)
    }
}

/// What to say.
struct Answer {
    reply: Zeroizing<Vec<u8>>,
    /// A vault that ends waits until this is dropped: what was admitted is still told.
    awaited: Option<watch::Receiver<Durable>>,
}

async fn refuse(stream: &mut Stream, code: RefusalCode) -> Result<(), FrameError> {
    match encode(&IntroductionReply::Refusal(code.into())) {
        Some(Answer { reply, .. }) => frames::write(stream, &reply, INTRODUCTION_FRAME_LEN).await,
        None => Ok(()),
    }
}

fn encode(reply: &IntroductionReply) -> Option<Answer> {
    let reply = codec::encode(reply).ok().map(Zeroizing::new)?;
    Some(Answer { reply, awaited: None })
}
