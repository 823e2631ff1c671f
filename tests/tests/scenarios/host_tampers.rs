//! H4, H7, B7: the host lies on the storage link, and changes what it relays. No wrong value is ever returned,
//! nothing is acknowledged that is not stored, and the enclave goes on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use vouchsafe_client::{ConnectError, Session};
use vouchsafe_protocol::link::{StorageFailure, StorageReply, StorageRequest};
use vouchsafe_tests::stack::PATIENCE;
use vouchsafe_tests::tap::{Direction, Tamper, framed};

use crate::rig::{PATH, Rig, VALUE, write};

/// What the host does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    /// Answers appends of others with `Done`, and stores nothing.
    AcknowledgeOnly,
    /// Answers every append twice.
    AnswerTwice,
    /// Nothing.
    Behave,
    /// Answers appends with something that is no message.
    Garbage,
    /// Answers an append with the length of an endless message.
    Endless,
    /// Answers appends with a failure although it stored.
    StoreAndDeny,
    /// Answers appends with an answer to another question.
    WrongKind,
    /// Changes one record of a session.
    Record(Change),
}

/// What happens to the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Drop,
    Duplicate,
    Flip,
    /// It comes after the one that follows it.
    Swap,
}

struct Hands {
    deed: Mutex<(Deed, Direction)>,
    kept: Mutex<Option<Vec<u8>>>,
    done: AtomicUsize,
}

impl Hands {
    fn new() -> Arc<Self> {
        let deed = Mutex::new((Deed::Behave, Direction::ToAgent));
        Arc::new(Self { deed, kept: Mutex::new(None), done: AtomicUsize::new(0) })
    }

    fn start(&self, deed: Deed, direction: Direction) {
        *self.deed.lock().unwrap_or_else(PoisonError::into_inner) = (deed, direction);
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.done.store(0, Ordering::SeqCst);
    }

    /// How often it was done.
    fn stop(&self) -> usize {
        let done = self.done.load(Ordering::SeqCst);
        self.start(Deed::Behave, Direction::ToAgent);
        done
    }

    fn deed(&self) -> (Deed, Direction) {
        *self.deed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self) -> usize {
        self.done.fetch_add(1, Ordering::SeqCst)
    }
}

impl Tamper for Hands {
    fn ask(&self, request: &StorageRequest) -> Option<Vec<u8>> {
        let acknowledge = self.deed().0 == Deed::AcknowledgeOnly;
        (acknowledge && matches!(request, StorageRequest::Append(_))).then(|| {
            self.count();
            framed(&StorageReply::Done)
        })
    }

    fn answer(&self, request: &StorageRequest, reply: StorageReply) -> Vec<u8> {
        let honest = framed(&reply);
        if !matches!(request, StorageRequest::Append(_)) {
            return honest;
        }
        let answer = match self.deed().0 {
            Deed::AnswerTwice => [honest.clone(), honest].concat(),
            Deed::Garbage => vec![0, 0, 0, 3, 0xff, 0xff, 0xff],
            Deed::Endless => vec![0xff; 64],
            Deed::StoreAndDeny => framed(&StorageReply::Failed(StorageFailure::Io)),
            Deed::WrongKind => framed(&StorageReply::Heads(Vec::new())),
            Deed::AcknowledgeOnly | Deed::Behave | Deed::Record(_) => return honest,
        };
        self.count();
        answer
    }

    fn record(&self, _: usize, direction: Direction, mut record: Vec<u8>) -> Vec<u8> {
        let (Deed::Record(change), wanted) = self.deed() else { return record };
        if direction != wanted {
            return record;
        }
        if let Some(kept) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return [record, kept].concat();
        }
        if self.count() > 0 {
            return record;
        }
        match change {
            Change::Drop => Vec::new(),
            Change::Duplicate => [record.clone(), record].concat(),
            Change::Flip => {
                if let Some(last) = record.last_mut() {
                    *last ^= 1;
                }
                record
            }
            Change::Swap => {
                *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(record);
                Vec::new()
            }
        }
    }
}

/// Writes while the host does it: the write is not acknowledged. Then the vault is back, and what is there is
/// whole: the value before, or the one that was stored but never acknowledged.
async fn lie(rig: &mut Rig, hands: &Hands, deed: Deed) -> anyhow::Result<()> {
    let enclave = rig.stack.ids().0;
    let session = rig.agent.connect(&rig.stack).await?;
    hands.start(deed, Direction::ToEnclave);
    let written = write(&session, PATH, b"written while the host lies").await;
    let done = hands.stop();
    ensure!(done > 0, "the host did nothing");
    // The first of two answers is true: the write is stored, and may be acknowledged before the second comes.
    let acknowledged = written.is_ok();
    ensure!(!acknowledged || deed == Deed::AnswerTwice, "{deed:?}: a write was acknowledged");
    drop(session);
    rig.stack.ready().await?;
    let session = reconnect(rig).await?;
    let read = session.kv().get(PATH).await?;
    let value = read.value.expose_secret();
    let stored = value == b"written while the host lies";
    ensure!(stored || value == VALUE && !acknowledged, "{deed:?}: a wrong value");
    write(&session, PATH, VALUE).await?;
    session.close().await?;
    ensure!(rig.stack.ids().0 == enclave, "the enclave did not survive {deed:?}");
    Ok(())
}

/// The page may still show the vault as it was before it noticed.
async fn reconnect(rig: &mut Rig) -> anyhow::Result<Session> {
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let connecting = async {
        loop {
            tick.tick().await;
            if let Ok(session) = rig.agent.connect(&rig.stack).await
                && session.kv().metadata(PATH).await.is_ok()
            {
                return session;
            }
        }
    };
    tokio::time::timeout(PATIENCE, connecting).await.context("the vault is not back")
}

#[tokio::test]
async fn h4_h7_a_lie_on_the_storage_link_acknowledges_nothing() -> anyhow::Result<()> {
    let hands = Hands::new();
    let mut rig = Rig::tapped(hands.clone()).await?;
    for deed in [Deed::WrongKind, Deed::AnswerTwice, Deed::Garbage, Deed::Endless, Deed::StoreAndDeny] {
        lie(&mut rig, &hands, deed).await.with_context(|| format!("{deed:?}"))?;
    }
    // Without a lie the same write is acknowledged: the tests above can fail.
    let session = rig.agent.connect(&rig.stack).await?;
    write(&session, PATH, VALUE).await?;
    Ok(())
}

/// A host that says `Done` and stores nothing cannot be told from an honest one at once. It is told at the next
/// read of the journal, by the client that was given the acknowledgement.
#[tokio::test]
async fn h4_what_was_acknowledged_without_being_stored_is_missed() -> anyhow::Result<()> {
    let hands = Hands::new();
    let mut rig = Rig::tapped(hands.clone()).await?;
    let session = rig.agent.connect(&rig.stack).await?;
    hands.start(Deed::AcknowledgeOnly, Direction::ToEnclave);
    for _ in 0..10 {
        write(&session, PATH, b"never stored").await?;
    }
    session.close().await?;
    rig.agent.connect(&rig.stack).await?.close().await?;
    ensure!(hands.stop() >= 10, "the host stored");
    rig.power_off().await?;
    rig.power_on().await?;
    rig.stack.ready().await?;
    let refused = rig.agent.connect(&rig.stack).await.err().context("lost and not noticed")?;
    let noticed = refused.downcast_ref::<ConnectError>();
    ensure!(matches!(noticed, Some(ConnectError::RolledBack { .. })), "{refused:?}");
    Ok(())
}

/// Longest wait for a reply that may never come.
const SILENCE: Duration = Duration::from_millis(500);

/// Some values to tell replies apart by.
fn path(number: usize) -> String {
    format!("kv/app/told-apart/{number}")
}

fn value(number: usize) -> Vec<u8> {
    format!("the value of {number}").into_bytes()
}

#[tokio::test]
async fn h7_b7_a_changed_record_never_becomes_a_wrong_value() -> anyhow::Result<()> {
    let hands = Hands::new();
    let mut rig = Rig::tapped(hands.clone()).await?;
    let enclave = rig.stack.ids().0;
    let session = rig.agent.connect(&rig.stack).await?;
    for number in 0..8 {
        write(&session, &path(number), &value(number)).await?;
    }
    session.close().await?;

    for direction in [Direction::ToAgent, Direction::ToEnclave] {
        for change in [Change::Drop, Change::Duplicate, Change::Flip, Change::Swap] {
            let case = format!("{change:?} {direction:?}");
            let session = rig.agent.connect(&rig.stack).await?;
            hands.start(Deed::Record(change), direction);
            // One after another, so that there is a record for each request and each reply.
            for number in 0..8 {
                let at = path(number);
                let read = async { session.kv().get(&at).await };
                // A record that was dropped leaves a silence, until the next one.
                if let Ok(Ok(read)) = tokio::time::timeout(SILENCE, read).await {
                    ensure!(read.value.expose_secret() == value(number), "{case}: a wrong value");
                }
            }
            ensure!(hands.stop() > 0, "{case}: nothing was changed");
            let at = path(0);
            let last = async { session.kv().get(&at).await };
            let last = tokio::time::timeout(PATIENCE, last).await.with_context(|| case.clone())?;
            ensure!(last.is_err() && session.end().is_some(), "{case}: the session goes on");
        }
    }
    ensure!(rig.stack.ids().0 == enclave, "the enclave did not survive");
    rig.serves().await
}

/// Gives records of one session to another.
#[derive(Default)]
struct Crossed {
    /// Sessions whose records go to each other; by the numbers of their connections.
    pair: Mutex<Option<Vec<u8>>>,
    on: AtomicUsize,
}

impl Tamper for Crossed {
    fn record(&self, _: usize, direction: Direction, record: Vec<u8>) -> Vec<u8> {
        if self.on.load(Ordering::SeqCst) == 0 || direction != Direction::ToAgent {
            return record;
        }
        self.on.fetch_add(1, Ordering::SeqCst);
        self.pair.lock().unwrap_or_else(PoisonError::into_inner).replace(record).unwrap_or_default()
    }
}

#[tokio::test]
async fn h7_b7_replies_delivered_to_another_session_are_refused() -> anyhow::Result<()> {
    let crossed = Arc::new(Crossed::default());
    let mut rig = Rig::tapped(crossed.clone()).await?;
    let session = rig.agent.connect(&rig.stack).await?;
    write(&session, &path(0), &value(0)).await?;
    write(&session, &path(1), &value(1)).await?;
    let (a, b) = (session, rig.agent.connect(&rig.stack).await?);
    // Both work before.
    ensure!(a.kv().get(&path(0)).await?.value.expose_secret() == value(0));
    ensure!(b.kv().get(&path(1)).await?.value.expose_secret() == value(1));

    crossed.on.store(1, Ordering::SeqCst);
    // The reply to the first is kept back and given to the second: same length, same key type, other session.
    let (kv_a, kv_b) = (a.clone(), b.clone());
    let first = tokio::spawn(async move { kv_a.kv().get(&path(0)).await.map(|read| read.version) });
    let both = async {
        while crossed.on.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
        kv_b.kv().get(&path(1)).await.map(|read| read.version)
    };
    let second = tokio::time::timeout(PATIENCE, both).await?;
    ensure!(second.is_err(), "a reply of another session was taken");
    crossed.on.store(0, Ordering::SeqCst);
    first.abort();
    rig.serves().await
}
