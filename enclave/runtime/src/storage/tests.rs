use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;

/// A host that reads one question and then sends these bytes.
async fn host(mut side: DuplexStream, answer: Vec<u8>) -> DuplexStream {
    let mut buffer = FrameBuffer::default();
    buffer.read(&mut side, LINK_FRAME_LEN).await.unwrap();
    side.write_all(&answer).await.unwrap();
    side
}

fn framed(reply: &StorageReply) -> Vec<u8> {
    vouchsafe_protocol::frame::enclose(&codec::encode(reply).unwrap(), LINK_FRAME_LEN).unwrap()
}

/// Asks once over a fresh link whose host answers with `bytes`; also whether the link lived on.
async fn ask(request: StorageRequest, bytes: Vec<u8>) -> (Result<StorageReply, StorageError>, bool) {
    let (enclave, side) = tokio::io::duplex(64 * 1024);
    let (_link, storage) = Storage::open(Box::new(enclave));
    let host = tokio::spawn(host(side, bytes));
    let reply = storage.ask(request).await;
    let _side = host.await.unwrap();
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
    (reply, !storage.questions.is_closed())
}

fn append() -> StorageRequest {
    StorageRequest::Append(vec![Append { stream: StreamId::Journal, index: 0, frame: vec![1] }])
}

#[tokio::test]
async fn h4_a_fitting_answer_is_taken_and_the_link_lives_on() {
    assert_eq!(ask(append(), framed(&StorageReply::Done)).await, (Ok(StorageReply::Done), true));
    let conflict = StorageReply::Failed(StorageFailure::Conflict);
    assert_eq!(ask(append(), framed(&conflict)).await, (Ok(conflict), true));
}

#[tokio::test]
async fn h4_an_answer_of_another_kind_ends_the_link() {
    let wrong = [
        StorageReply::Boot(None),
        StorageReply::Boot(Some(vec![1])),
        StorageReply::Frames(vec![]),
        StorageReply::Heads(vec![]),
    ];
    for reply in wrong {
        assert_eq!(ask(append(), framed(&reply)).await, (Err(StorageError::Down), false));
    }
    for request in [StorageRequest::Heads, StorageRequest::ReadBoot] {
        assert_eq!(ask(request, framed(&StorageReply::Done)).await, (Err(StorageError::Down), false));
    }
}

#[tokio::test]
async fn h4_a_duplicate_answer_ends_the_link() {
    let twice = [framed(&StorageReply::Done), framed(&StorageReply::Done)].concat();
    assert_eq!(ask(append(), twice).await, (Ok(StorageReply::Done), false));
}

#[tokio::test]
async fn h4_an_answer_before_the_question_ends_the_link() {
    let (enclave, mut side) = tokio::io::duplex(1024);
    let (_link, storage) = Storage::open(Box::new(enclave));
    side.write_all(&framed(&StorageReply::Done)).await.unwrap();
    storage.closed().await;
    assert_eq!(storage.append(vec![]).await, Err(StorageError::Down));
}

#[tokio::test]
async fn h7_garbage_over_long_and_cut_answers_end_the_link() {
    let valid = framed(&StorageReply::Frames(vec![vec![7; 9]]));
    let mut cases = vec![
        vec![0xff; 64],
        u32::try_from(LINK_FRAME_LEN + 1).unwrap().to_be_bytes().to_vec(),
        vec![0, 0, 0, 0],
        vec![0, 0, 0, 2, 1, 0],
    ];
    for at in 4..valid.len() {
        let mut flipped = valid.clone();
        flipped[at] ^= 0x80;
        cases.push(flipped);
    }
    for bytes in cases {
        let (enclave, side) = tokio::io::duplex(64 * 1024);
        let (_link, storage) = Storage::open(Box::new(enclave));
        let host = tokio::spawn(async move { drop(host(side, bytes).await) });
        let reply = storage.ask(StorageRequest::ReadBoot).await;
        assert_eq!(reply, Err(StorageError::Down));
        host.await.unwrap();
    }
}

#[tokio::test]
async fn h7_more_frames_than_allowed_end_the_link() {
    let read = || StorageRequest::ReadFrames { stream: StreamId::Journal, from: 0 };
    let full = StorageReply::Frames(vec![vec![]; READ_FRAMES]);
    assert!(ask(read(), framed(&full)).await.0.is_ok());
    let over = StorageReply::Frames(vec![vec![]; READ_FRAMES + 1]);
    assert_eq!(ask(read(), framed(&over)).await, (Err(StorageError::Down), false));
    let large = StorageReply::Frames(vec![vec![0; JOURNAL_FRAME_LEN + 1]]);
    assert_eq!(ask(read(), framed(&large)).await, (Err(StorageError::Down), false));
}

#[tokio::test(start_paused = true)]
async fn h4_a_silent_host_ends_the_link() {
    let (enclave, mut side) = tokio::io::duplex(1024);
    let (_link, storage) = Storage::open(Box::new(enclave));
    let asked = tokio::spawn(async move { storage.append(vec![]).await });
    assert_eq!(asked.await.unwrap(), Err(StorageError::Down));
    let mut question = Vec::new();
    side.read_to_end(&mut question).await.unwrap();
    assert!(!question.is_empty());
}

#[tokio::test]
async fn dropping_the_link_closes_it_for_every_holder() {
    let (enclave, mut side) = tokio::io::duplex(1024);
    let (link, storage) = Storage::open(Box::new(enclave));
    drop(link);
    storage.closed().await;
    assert_eq!(storage.heads().await, Err(StorageError::Down));
    assert_eq!(side.read(&mut [0]).await.unwrap(), 0);
}
