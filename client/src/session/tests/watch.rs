//! Notices: to whoever listens, and to nobody else.

use vouchsafe_protocol::codec;
use vouchsafe_protocol::kv::{KvNotice, KvReply, KvRequest};
use vouchsafe_protocol::refusal::RefusalCode;
use vouchsafe_protocol::session::{Outcome, Reply, Request, notice_frame, vault_frame};

use super::server::{Asked, session};
use crate::session::{RequestError, SessionEnd};
use crate::vault::fake::FakeVault;

fn notice(versions: &[(&str, u64)]) -> Vec<u8> {
    let versions = versions.iter().map(|(path, version)| (path.parse().unwrap(), *version)).collect();
    notice_frame(&codec::encode(&KvNotice { versions }).unwrap())
}

/// A server that answers a watch, with frames before and after.
fn watching(asked: &Asked, before: Vec<Vec<u8>>, after: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let Request::Kv(KvRequest::Watch { .. }) = &asked.request else { panic!("{:?}", asked.request) };
    let reply = asked.reply(Reply::Kv(KvReply::Watching { current: 3 }));
    before.into_iter().chain([reply]).chain(after).collect()
}

#[tokio::test]
async fn a_watch_tells_the_newest_version_and_what_came_before_its_answer() {
    let vault = FakeVault::new();
    let (session, _) = session(&vault, |asked| {
        watching(&asked, vec![notice(&[("kv/a", 3)])], vec![notice(&[("kv/b", 9), ("kv/c", 1)])])
    })
    .await;
    let mut watch = session.kv().watch("kv/a", 2).await.unwrap();
    assert_eq!(watch.current(), 3);
    assert_eq!(watch.next().await, Ok(3));
    let (mut first, mut second) =
        (session.kv().watch("kv/b", 0).await.unwrap(), session.kv().watch("kv/b", 0).await.unwrap());
    // The second watch's frames reach both.
    assert_eq!((first.next().await, second.next().await), (Ok(9), Ok(9)));
}

#[tokio::test]
async fn versions_that_come_faster_than_they_are_taken_are_told_as_one() {
    let vault = FakeVault::new();
    let all = || (4..=60).map(|version| notice(&[("kv/a", version)])).collect();
    let (session, _) = session(&vault, move |asked| watching(&asked, all(), vec![])).await;
    let mut watch = session.kv().watch("kv/a", 3).await.unwrap();
    assert_eq!(watch.next().await, Ok(60));
}

#[tokio::test]
async fn a_watch_ends_with_its_session_and_says_why() {
    let vault = FakeVault::new();
    let (session, _) = session(&vault, |asked| {
        let malformed = vault_frame(0, &[0; 32], b"\xff");
        watching(&asked, vec![], vec![malformed])
    })
    .await;
    let mut watch = session.kv().watch("kv/a", 0).await.unwrap();
    assert_eq!(watch.next().await, Err(SessionEnd::Malformed));
}

#[tokio::test]
async fn b7_a_notice_with_a_link_or_an_answer_without_a_number_ends_the_session() {
    let vault = FakeVault::new();
    let (session, _) = session(&vault, |asked| {
        let body = codec::encode(&KvNotice { versions: vec![] }).unwrap();
        watching(&asked, vec![], vec![vault_frame(0, &[1; 32], &body)])
    })
    .await;
    let mut watch = session.kv().watch("kv/a", 0).await.unwrap();
    assert_eq!(watch.next().await, Err(SessionEnd::UnknownReply { number: 0 }));
}

#[tokio::test]
async fn a_refused_watch_listens_to_nothing() {
    let vault = FakeVault::new();
    let (session, _) =
        session(&vault, |asked| vec![asked.respond(Outcome::Refused(RefusalCode::Denied.into()), None)])
            .await;
    let refused = session.kv().watch("kv/a", 0).await;
    assert!(matches!(refused, Err(RequestError::Refused(refusal)) if refusal.code == RefusalCode::Denied));
    assert_eq!(session.shared.driver.watched().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_silent_watch_keeps_its_session_alive() {
    let vault = FakeVault::new();
    let (session, seen) = session(&vault, |asked| watching(&asked, vec![], vec![])).await;
    let mut watch = session.kv().watch("kv/a", 0).await.unwrap();
    let waited = tokio::time::timeout(std::time::Duration::from_secs(1000), watch.next()).await;
    assert!(waited.is_err());
    // The checkpoint of the beginning and the watch; then one more request in every five minutes.
    assert!(seen.lock().unwrap().signed.last().unwrap().0 >= 5);
}
