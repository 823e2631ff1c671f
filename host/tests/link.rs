//! The storage link and the admin address.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests")]

mod support;

use support::{Authority, Rig, closed, http};
use tokio::io::AsyncWriteExt;
use vouchsafe_protocol::limits::LINK_FRAME_LEN;
use vouchsafe_protocol::link::{
    Append, EnclaveState, StorageFailure, StorageReply, StorageRequest, StreamId,
};

fn append(index: u64) -> StorageRequest {
    StorageRequest::Append(vec![
        Append { stream: StreamId::Journal, index, frame: b"sealed".to_vec() },
        Append { stream: StreamId::Access { epoch: 1 }, index, frame: b"sealed too".to_vec() },
    ])
}

#[tokio::test]
async fn requests_are_answered_in_order_even_when_pipelined() {
    let mut rig = Rig::start(&[]).await;
    let mut storage = rig.links.recv().await.unwrap();
    assert_eq!(storage.ask(&StorageRequest::ReadBoot).await, StorageReply::Boot(None));
    assert_eq!(storage.ask(&StorageRequest::WriteBoot(vec![1, 2, 3])).await, StorageReply::Done);
    assert_eq!(storage.ask(&StorageRequest::ReadBoot).await, StorageReply::Boot(Some(vec![1, 2, 3])));
    assert_eq!(storage.ask(&append(0)).await, StorageReply::Done);
    assert_eq!(storage.ask(&append(0)).await, StorageReply::Failed(StorageFailure::Conflict));
    let body = vouchsafe_protocol::codec::encode(&append(1)).unwrap();
    let frame = vouchsafe_protocol::frame::enclose(&body, LINK_FRAME_LEN).unwrap();
    // This one's answer is read as the answer to the next question, so ask once more.
    storage.0.write_all(&frame).await.unwrap();
    assert_eq!(storage.ask(&StorageRequest::Heads).await, StorageReply::Done);
    let heads = vec![(StreamId::Journal, 2), (StreamId::Access { epoch: 1 }, 2)];
    assert_eq!(storage.ask(&append(2)).await, StorageReply::Heads(heads));
    let read = StorageRequest::ReadFrames { stream: StreamId::Journal, from: 1 };
    assert_eq!(storage.ask(&read).await, StorageReply::Done);
    let frames = vec![b"sealed".to_vec(); 2];
    assert_eq!(storage.ask(&StorageRequest::Heads).await, StorageReply::Frames(frames));
}

#[tokio::test]
async fn h7_malformed_frames_end_the_link_and_nothing_else() {
    let mut rig = Rig::start(&[]).await;
    let too_long = u32::try_from(LINK_FRAME_LEN + 1).unwrap().to_be_bytes();
    let cases: [(&str, Vec<u8>); 7] = [
        ("empty frame", vec![0, 0, 0, 0]),
        ("beyond the limit", too_long.to_vec()),
        ("largest length", vec![0xff; 4]),
        ("unknown request", vec![0, 0, 0, 1, 99]),
        ("trailing byte", vec![0, 0, 0, 2, 2, 0]),
        ("over-long integer", vec![0, 0, 0, 2, 0x82, 0]),
        ("length beyond the frame", vec![0, 0, 0, 3, 5, 0xff, 0x7f]),
    ];
    for (name, bytes) in cases {
        let mut storage = rig.links.recv().await.unwrap();
        assert_eq!(storage.ask(&StorageRequest::Heads).await, StorageReply::Heads(vec![]), "{name}");
        storage.0.write_all(&bytes).await.unwrap();
        closed(&mut storage.0).await;
    }
    assert_eq!(rig.get("/healthz").await, (200, "alive\n".into()));
    let mut storage = rig.links.recv().await.unwrap();
    // A frame that stops half-way leaves nothing behind.
    storage.0.write_all(&[0, 0, 1, 0, 1, 2]).await.unwrap();
    drop(storage);
    let mut storage = rig.links.recv().await.unwrap();
    assert_eq!(storage.ask(&append(0)).await, StorageReply::Done);
}

#[tokio::test]
async fn readiness_follows_the_enclave_and_says_why() {
    let mut rig = Rig::start(&[]).await;
    let mut storage = rig.links.recv().await.unwrap();
    let (status, body) = rig.get("/readyz").await;
    assert_eq!(status, 503);
    assert!(body.contains("\"ready\":false"), "{body}");
    for (state, status, text) in [
        (EnclaveState::Uninitialised, 503, "\"state\":\"uninitialised\""),
        (EnclaveState::Sealed, 503, "\"state\":\"sealed\""),
        (EnclaveState::Failed { reason: "journal.\"x\\".into() }, 503, "\"reason\":\"journal.?x?\""),
        (Authority::new().serving(), 200, "\"vault\":\"sim-vault-01\""),
    ] {
        storage.announce(state).await;
        let (answered, body) = rig.get("/readyz").await;
        assert_eq!(answered, status);
        assert!(body.contains(text), "{body}");
    }
    drop(storage);
    rig.links.recv().await.unwrap();
    assert_eq!(rig.get("/readyz").await.0, 503);
}

#[tokio::test]
async fn metrics_count_and_other_requests_are_refused() {
    let (mut rig, mut storage) = Rig::serving(&Authority::new(), &[]).await;
    assert_eq!(storage.ask(&append(0)).await, StorageReply::Done);
    assert_eq!(storage.ask(&append(5)).await, StorageReply::Failed(StorageFailure::Conflict));
    let identity = None;
    support::refusal(rig.addresses.agents, &[b"h2"], identity).await;
    let (status, body) = rig.get("/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "vouchsafe_host_appends_total{outcome=\"durable\"} 1",
        "vouchsafe_host_appends_total{outcome=\"conflict\"} 1",
        "vouchsafe_host_appended_frames_total 2",
        "vouchsafe_host_appended_bytes_total 16",
        "vouchsafe_host_append_seconds_count 2",
        "vouchsafe_host_enclave_state{state=\"serving\"} 1",
        "vouchsafe_host_enclave_state{state=\"sealed\"} 0",
    ] {
        assert!(body.lines().any(|found| found == line), "{line} is missing in\n{body}");
    }
    assert!(!body.contains("sealed too"));
    assert_eq!(rig.get("/").await.0, 404);
    assert_eq!(http(rig.addresses.admin, "POST /healthz HTTP/1.1\r\nHost: h\r\n\r\n").await.0, 405);
    rig.ask_to_stop();
    rig.stopped().await.unwrap();
}
