//! A host that lies, edits, floods and hangs up (H4, H7).
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test binary, helpers included"
)]

mod support;

use std::sync::{Arc, Mutex};

use support::host::framed;
use support::{Bench, is_closed, receive, refusal, send};
use tokio::io::AsyncWriteExt;
use vouchsafe_protocol::introduction::IntroductionReply;
use vouchsafe_protocol::limits::INTRODUCTION_FRAME_LEN;
use vouchsafe_protocol::link::{EnclaveState, LinkHello, StorageFailure, StorageReply, StorageRequest};
use vouchsafe_protocol::refusal::RefusalCode;

/// What a bad host may answer to an append that it did not do.
fn lies() -> Vec<Option<Vec<u8>>> {
    vec![
        Some(framed(&StorageReply::Boot(None))),
        Some(framed(&StorageReply::Heads(vec![]))),
        Some(framed(&StorageReply::Frames(vec![vec![0; 100]]))),
        Some(framed(&StorageReply::Failed(StorageFailure::Conflict))),
        Some(framed(&StorageReply::Failed(StorageFailure::NoSpace))),
        Some(vec![0xff; 32]),
        Some(vec![0, 0, 0, 0]),
        Some(vec![0, 0, 0, 2, 1, 0]),
        None,
    ]
}

#[tokio::test]
async fn h4_init_is_not_confirmed_unless_its_first_frames_are_stored() {
    for lie in lies() {
        let bench = Bench::new();
        let mut running = bench.start().await;
        let answer = lie.clone();
        running.host.meddle(move |request, reply| match request {
            StorageRequest::Append(_) => answer.clone(),
            _ => Some(framed(&reply)),
        });
        running.host.connect().await;
        running.host.wait(|state| matches!(state, EnclaveState::Uninitialised)).await;
        assert_eq!(refusal(bench.init().await), RefusalCode::Storage, "{lie:?}");
        running.host.lost().await;
        assert!(bench.disk.files().boot.is_none(), "no vault exists");
    }
}

#[tokio::test]
async fn h4_a_vault_whose_epoch_is_not_stored_does_not_serve() {
    let bench = Bench::new();
    let (running, vault) = bench.start_vault().await;
    running.crash().await;
    for lie in lies() {
        let good = bench.disk.files().clone();
        let counter = bench.machine.set().counter;
        let mut running = bench.start().await;
        let answer = lie.clone();
        running.host.meddle(move |request, reply| match request {
            StorageRequest::Append(_) => answer.clone(),
            StorageRequest::Announce(EnclaveState::Serving { .. }) => panic!("it serves"),
            _ => Some(framed(&reply)),
        });
        running.host.connect().await;
        running.host.lost().await;
        assert_eq!(bench.refusal(&bench.hello()).await, RefusalCode::Storage);
        assert_eq!(bench.machine.set().counter, counter, "what is not stored is not counted");
        running.crash().await;
        *bench.disk.files() = good;
    }
    assert_eq!(bench.restart().await.serving().await, vault);
}

#[tokio::test]
async fn h4_every_answer_of_the_boot_may_be_of_another_kind() {
    let bench = Bench::new();
    let (running, vault) = bench.start_vault().await;
    running.crash().await;
    let replies = [
        StorageReply::Boot(Some(vec![1, 2, 3])),
        StorageReply::Done,
        StorageReply::Failed(StorageFailure::Io),
        StorageReply::Frames(vec![vec![9; 9]]),
        StorageReply::Heads(vec![]),
    ];
    for wrong in replies {
        for position in 0..3 {
            let mut running = bench.start().await;
            let (wrong, asked) = (wrong.clone(), Arc::new(Mutex::new(0)));
            running.host.meddle(move |_, reply| {
                let mut asked = asked.lock().unwrap();
                *asked += 1;
                // Only refusals are expected here: a fitting `Frames` ends the journal early or edits it.
                Some(framed(if *asked == position + 1 { &wrong } else { &reply }))
            });
            running.host.connect().await;
            // It says why, or it hangs up; then an honest host is served.
            tokio::select! {
                () = running.host.lost() => {}
                _ = running.failed() => {}
            }
            running.host.behave();
            running.host.connect().await;
            assert_eq!(running.serving().await, vault);
            running.crash().await;
        }
    }
}

#[tokio::test]
async fn h7_bad_connections_end_alone() {
    let bench = Bench::new();
    let (_running, _) = bench.start_vault().await;
    // No hello, a wrong one, a long one.
    for first in [vec![0, 0, 0, 1, 9], vec![0, 0, 0, 0], vec![0xff; 16], vec![0, 0, 0, 9, 0, 0, 0, 0, 0, 0]] {
        let mut stream = tokio::net::UnixStream::connect(bench.socket()).await.unwrap();
        stream.write_all(&first).await.unwrap();
        assert!(is_closed(&mut stream).await);
    }
    // An introduction beyond the limit, empty, and one that is no message.
    let too_long = u32::try_from(INTRODUCTION_FRAME_LEN + 1).unwrap().to_be_bytes();
    for header in [too_long, [0; 4]] {
        let mut stream = bench.open(LinkHello::Introduce).await;
        stream.write_all(&header).await.unwrap();
        assert_eq!(refusal(receive(&mut stream).await), RefusalCode::Malformed);
        assert!(is_closed(&mut stream).await);
    }
    for body in [vec![0xff; 100], vec![0], vec![2, 0, 0, 0]] {
        let mut stream = bench.open(LinkHello::Introduce).await;
        send(&mut stream, &body).await;
        assert_eq!(refusal(receive(&mut stream).await), RefusalCode::Malformed);
        assert!(is_closed(&mut stream).await);
    }
    // No TLS at all.
    let mut stream = bench.open(LinkHello::Session).await;
    stream.write_all(&[0x42; 4096]).await.unwrap();
    let mut rest = Vec::new();
    drop(tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await);
    assert!(rest.len() < 64, "at most an alert");
    assert!(matches!(bench.ask(&bench.hello()).await, Some(IntroductionReply::Offer(_))));
}

#[tokio::test]
async fn f10_a_connection_carries_a_handful_of_messages_and_then_ends() {
    let bench = Bench::new();
    let (_running, _) = bench.start_vault().await;
    let mut stream = bench.open(LinkHello::Introduce).await;
    let hello = vouchsafe_protocol::codec::encode(&bench.hello()).unwrap();
    for _ in 0..4 {
        send(&mut stream, &hello).await;
        assert!(matches!(receive(&mut stream).await, Some(IntroductionReply::Offer(_))));
    }
    assert!(is_closed(&mut stream).await);
}
