//! Requests and replies: pipelined, bound to each other, signed in time.

use std::time::Duration;

use vouchsafe_protocol::codec;
use vouchsafe_protocol::kv::{Cas, KvReply, KvRequest, KvSelect, SecretValue};
use vouchsafe_protocol::limits::{
    JOURNAL_FRAME_LEN, KV_VALUE_LEN, PIPELINE_DEPTH, REPLY_FRAME_LEN, UNSIGNED_REQUESTS,
};
use vouchsafe_protocol::link::StreamId;
use vouchsafe_protocol::log::{Action, Actor, KvOperation};
use vouchsafe_protocol::path::PathError;
use vouchsafe_protocol::refusal::RefusalCode;
use vouchsafe_protocol::session::{Outcome, Reply, Request, Response, vault_frame};

use super::server::{Asked, session};
use crate::session::{RequestError, Session, SessionEnd};
use crate::vault::fake::FakeVault;

/// The value at a path is the path.
fn value(asked: &Asked) -> Reply {
    let Request::Kv(KvRequest::Get { path, select }) = &asked.request else { panic!() };
    let value = SecretValue::new(path.as_str().as_bytes().to_vec()).into();
    let version = if let KvSelect::Version(version) = select { *version } else { 1 };
    Reply::Kv(KvReply::Value { version, created_secs: 1, until_secs: None, value })
}

async fn read(session: Session, path: String) {
    let secret = session.kv().get(&path).await.unwrap();
    assert_eq!(secret.value.expose_secret(), path.as_bytes());
}

#[tokio::test]
async fn b7_h7_replies_in_any_order_reach_their_callers() {
    let vault = FakeVault::new();
    let mut waiting = Vec::new();
    let (session, _) = session(&vault, move |asked| {
        waiting.push(asked);
        // A whole pipeline is held back, then answered from its end.
        let full = waiting.len() == PIPELINE_DEPTH;
        let ready = if full { std::mem::take(&mut waiting) } else { Vec::new() };
        ready.iter().rev().map(|asked| asked.reply(value(asked))).collect()
    })
    .await;
    let reads = (0..4 * PIPELINE_DEPTH).map(|n| tokio::spawn(read(session.clone(), format!("kv/app/{n}"))));
    for read in reads.collect::<Vec<_>>() {
        read.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_chain_is_signed_every_32_requests_within_a_second_and_at_the_end() {
    let vault = FakeVault::new();
    let (session, seen) = session(&vault, |asked| vec![asked.reply(value(&asked))]).await;
    // With the checkpoint that is one batch and a bit.
    for n in 0..40 {
        read(session.clone(), format!("kv/{n}")).await;
    }
    let signed = || seen.lock().unwrap().signed.clone();
    let (first, at) = signed()[0];
    assert!(first <= UNSIGNED_REQUESTS && at < Duration::from_secs(1), "{first} {at:?}");
    // Nothing more is asked: the rest is signed in time all the same. The clock is a paused one.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (last, at) = *signed().last().unwrap();
    assert_eq!(last, 41);
    assert!(at <= Duration::from_secs(1), "{at:?}");
    let before = signed().len();
    read(session.clone(), "kv/last".to_owned()).await;
    session.close().await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(signed().len(), before + 1);
    assert_eq!(signed().last().unwrap().0, 42);
    assert!(seen.lock().unwrap().ended);
    assert_eq!(session.end(), Some(SessionEnd::Closed));
    let error = session.kv().get("kv/x").await.unwrap_err();
    assert!(matches!(error, RequestError::Ended(SessionEnd::Closed)));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_clone_signs_and_closes() {
    let vault = FakeVault::new();
    let (session, seen) = session(&vault, |asked| vec![asked.reply(value(&asked))]).await;
    let clone = session.clone();
    drop(session);
    read(clone.clone(), "kv/x".to_owned()).await;
    drop(clone);
    tokio::time::sleep(Duration::from_millis(1)).await;
    let seen = seen.lock().unwrap();
    assert_eq!(seen.signed.last().unwrap().0, 2);
    assert!(seen.ended);
}

/// Two reads in flight; what they and the session end with when the server answers the second one like this.
async fn both(mut answer: impl FnMut(&Asked, &Asked) -> Vec<Vec<u8>> + Send + 'static) -> SessionEnd {
    let vault = FakeVault::new();
    let mut first = None;
    let (session, _) = session(&vault, move |asked| match first.take() {
        None => {
            first = Some(asked);
            vec![]
        }
        Some(first) => answer(&first, &asked),
    })
    .await;
    let kv = session.kv();
    let (one, two) = tokio::join!(kv.get("kv/one"), kv.get("kv/two"));
    let ends: Vec<SessionEnd> = [one, two]
        .into_iter()
        .map(|result| match result {
            Err(RequestError::Ended(end)) => end,
            Err(error) => panic!("{error}"),
            Ok(secret) => panic!("a value was believed: {secret:?}"),
        })
        .collect();
    assert_eq!(ends[0], ends[1]);
    assert_eq!(session.end(), Some(ends[0]));
    let error = session.kv().get("kv/three").await.unwrap_err();
    assert!(matches!(error, RequestError::Ended(end) if end == ends[0]));
    ends[0]
}

#[tokio::test]
async fn b7_swapped_replies_are_refused() {
    let end = both(|one, two| {
        let swapped = |number, asked: &Asked, other: &Asked| {
            let response = Response { outcome: Outcome::Done(value(other)), receipt: None, lease: None };
            vault_frame(number, &asked.link, &codec::encode(&response).unwrap())
        };
        // Each other's numbers, with the links that the replies were made for.
        vec![swapped(one.number, two, two), swapped(two.number, one, one)]
    })
    .await;
    assert!(matches!(end, SessionEnd::WrongLink { number: 2 }), "{end:?}");
}

#[tokio::test]
async fn h7_replies_to_nothing_or_malformed_or_endless_end_the_session() {
    let end = both(|one, _| vec![vault_frame(99, &one.link, b"")]).await;
    assert_eq!(end, SessionEnd::UnknownReply { number: 99 });
    assert_eq!(both(|_, _| vec![vec![1, 2, 3]]).await, SessionEnd::Malformed);
    let end = both(|one, _| {
        let mut frame = one.reply(value(one));
        frame.push(0);
        vec![frame]
    })
    .await;
    assert_eq!(end, SessionEnd::Malformed);
    assert_eq!(both(|_, _| vec![vec![0; REPLY_FRAME_LEN + 1]]).await, SessionEnd::Malformed);
    assert_eq!(both(|_, _| vec![vec![]]).await, SessionEnd::HungUp);
}

#[tokio::test]
async fn h4_a_reply_that_comes_twice_ends_the_session() {
    let vault = FakeVault::new();
    let (session, _) = session(&vault, |asked| {
        let frame = asked.reply(value(&asked));
        vec![frame.clone(), frame]
    })
    .await;
    read(session.clone(), "kv/x".to_owned()).await;
    let error = session.kv().get("kv/y").await.unwrap_err();
    assert!(matches!(error, RequestError::Ended(SessionEnd::UnknownReply { number: 2 })), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_does_not_answer_times_out_one_request_only() {
    let vault = FakeVault::new();
    let (session, _) = session(&vault, |asked| match asked.number {
        2 => vec![],
        _ => vec![asked.reply(value(&asked))],
    })
    .await;
    assert!(matches!(session.kv().get("kv/x").await, Err(RequestError::Timeout)));
    read(session.clone(), "kv/y".to_owned()).await;
}

#[tokio::test]
async fn refusals_and_answers_to_other_questions_are_errors() {
    let vault = FakeVault::new();
    let (session, _) = session(&vault, |asked| match asked.number {
        2 => vec![asked.respond(Outcome::Refused(RefusalCode::Denied.into()), None)],
        _ => vec![asked.reply(Reply::Done)],
    })
    .await;
    let error = session.kv().get("kv/x").await.unwrap_err();
    assert!(matches!(error, RequestError::Refused(refusal) if refusal.code == RefusalCode::Denied));
    assert!(matches!(session.kv().get("kv/x").await, Err(RequestError::Unexpected)));
}

#[tokio::test]
async fn v1_a_path_that_is_not_canonical_or_a_value_too_long_is_not_sent() {
    let vault = FakeVault::new();
    let (session, _) = session(&vault, |_| panic!("it was sent")).await;
    let error = session.kv().get("/kv/x").await.unwrap_err();
    assert!(matches!(error, RequestError::Path { source: PathError::EmptySegment, .. }));
    let long = SecretValue::new(vec![0; KV_VALUE_LEN + 1]);
    let error = session.kv().put("kv/x", long, Cas::Any).await.unwrap_err();
    assert!(matches!(error, RequestError::TooLarge { limit: KV_VALUE_LEN, .. }));
}

#[tokio::test]
async fn the_largest_value_goes_through() {
    let vault = FakeVault::new();
    let (session, _) = session(&vault, |asked| {
        let Request::Kv(KvRequest::Put { value, cas: Cas::Version(0), .. }) = &asked.request else {
            panic!()
        };
        assert_eq!(value.expose_secret().len(), KV_VALUE_LEN);
        vec![asked.reply(Reply::Kv(KvReply::Written { version: 1 }))]
    })
    .await;
    let value = SecretValue::new(vec![7; KV_VALUE_LEN]);
    assert_eq!(session.kv().put("kv/x", value, Cas::Version(0)).await.unwrap(), 1);
}

#[tokio::test]
async fn a_stored_frame_larger_than_any_request_reaches_the_auditor() {
    let vault = FakeVault::new();
    let (session, _) =
        session(&vault, |asked| vec![asked.reply(Reply::AuditFrames(vec![vec![7; JOURNAL_FRAME_LEN]]))])
            .await;
    let frames = session.audit().frames(StreamId::Journal, 0).await.unwrap();
    assert_eq!(frames[0].len(), JOURNAL_FRAME_LEN);
}

#[tokio::test]
async fn a_listing_goes_on_page_by_page_and_never_in_circles() {
    let vault = FakeVault::new();
    let page = |asked: &Asked, names: &[&str], more| {
        let names = names.iter().map(ToString::to_string).collect();
        vec![asked.reply(Reply::Kv(KvReply::Names { names, more }))]
    };
    let (session, _) = session(&vault, move |asked| {
        let Request::Kv(KvRequest::List { after, .. }) = &asked.request else { panic!() };
        match (asked.number, after.as_deref()) {
            (2, None) => page(&asked, &["a", "b/"], true),
            (3, Some("b/")) => page(&asked, &["c"], false),
            (4, None) => page(&asked, &["a", "b"], true),
            (5, Some("b")) => page(&asked, &["b"], true),
            (6, None) => page(&asked, &[], true),
            other => panic!("{other:?}"),
        }
    })
    .await;
    assert_eq!(session.kv().list("kv").await.unwrap(), ["a", "b/", "c"]);
    assert!(matches!(session.kv().list("kv").await, Err(RequestError::Unexpected)));
    assert!(matches!(session.kv().list("kv").await, Err(RequestError::Unexpected)));
}

#[tokio::test]
async fn b7_a_receipt_is_verified_and_for_this_very_request() {
    let vault = FakeVault::new();
    // The journal that receipts come from: that of the session's vault, and of another one.
    let (mut journal, mut other) = (vault.same_log(), FakeVault::new());
    let entry = |vault: &mut FakeVault, operation, path: &str| {
        let action = Action::Kv { operation, path: path.to_owned(), versions: vec![1] };
        vault.append(Actor::Operator("alice".parse().unwrap()), action)
    };
    let (session, _) = session(&vault, move |asked| {
        assert!(asked.receipt);
        let get = KvOperation::Get;
        let receipt = match asked.number {
            2 => Some(entry(&mut journal, get, "kv/x")),
            3 => None,
            4 => Some(entry(&mut journal, get, "kv/y")),
            5 => Some(entry(&mut journal, KvOperation::Metadata, "kv/x")),
            6 => Some(journal.append(Actor::Vault, Action::Look)),
            _ => Some(entry(&mut other, get, "kv/x")),
        };
        vec![asked.respond(Outcome::Done(value(&asked)), receipt)]
    })
    .await;
    let session = session.with_receipts();
    let (secret, proven) = session.kv().get("kv/x").await.unwrap();
    assert_eq!(secret.version, 1);
    assert_eq!(proven.receipt.leaf_index, 2);
    assert!(matches!(proven.entry.action, Action::Kv { operation: KvOperation::Get, .. }));
    assert!(matches!(session.kv().get("kv/x").await, Err(RequestError::ReceiptMissing)));
    for _ in 4..=6 {
        assert!(matches!(session.kv().get("kv/x").await, Err(RequestError::ReceiptEntry)));
    }
    assert!(matches!(session.kv().get("kv/x").await, Err(RequestError::Receipt(_))));
}
