//! What a hostile host can do to stored frames without any key.

use super::*;

/// What both readers say of frame `index` after one change.
fn changed(stream: StreamId, index: usize, change: impl FnOnce(&mut SealedFrame)) -> [Option<FrameError>; 2] {
    let mut frames = frames(stream);
    frames.truncate(index + 1);
    let mut frame = decode(&frames[index]);
    change(&mut frame);
    frames[index] = codec::encode(&frame).unwrap();
    verdicts(stream, &frames)
}

fn both(error: FrameError) -> [Option<FrameError>; 2] {
    [Some(error), Some(error)]
}

#[test]
fn h2_every_flipped_bit_is_refused() {
    for stream in [JOURNAL, ACCESS] {
        let frames = frames(stream);
        let mut reader = FrameReader::new(&keys(1), stream);
        let mut auditor = AuditReader::new(key(2), stream);
        for frame in &frames {
            for bit in 0..frame.len() * 8 {
                let mut flipped = frame.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(reader.open(&flipped).is_err(), "bit {bit}");
                assert!(auditor.open(&flipped).is_err(), "bit {bit}");
            }
            reader.open(frame).unwrap();
            auditor.open(frame).unwrap();
        }
    }
}

#[test]
fn h2_every_truncation_and_extension_is_refused() {
    let frame = &frames(JOURNAL)[0];
    for len in 0..frame.len() {
        let [verdict, audited] = verdicts(JOURNAL, &[frame[..len].to_vec()]);
        assert_eq!((verdict, audited), (Some(FrameError::Malformed), Some(FrameError::Malformed)));
    }
    let longer = [frame.as_slice(), &[0]].concat();
    assert_eq!(verdicts(JOURNAL, &[longer]), both(FrameError::Malformed));
    let len = JOURNAL_FRAME_LEN + 1;
    assert_eq!(verdicts(JOURNAL, &[vec![VERSION; len]]), both(FrameError::TooLong { len }));
}

#[test]
fn h2_dropped_repeated_and_reordered_frames_are_refused() {
    let [a, b, c] = <[Vec<u8>; 3]>::try_from(frames(JOURNAL)).unwrap();
    let index = |expected, actual| both(FrameError::Index { expected, actual });
    assert_eq!(verdicts(JOURNAL, core::slice::from_ref(&b)), index(0, 1));
    assert_eq!(verdicts(JOURNAL, &[a.clone(), c]), index(1, 2));
    assert_eq!(verdicts(JOURNAL, &[a.clone(), a.clone()]), index(1, 0));
    assert_eq!(verdicts(JOURNAL, &[a.clone(), b.clone(), b]), index(2, 1));
}

#[test]
fn h2_frames_of_another_stream_or_vault_are_refused() {
    assert_eq!(verdicts(ACCESS, &frames(JOURNAL)[..1]), both(FrameError::WrongStream { actual: JOURNAL }));
    let relabelled = |frame: &mut SealedFrame| frame.stream = JOURNAL;
    let mut frame = decode(&frames(ACCESS)[0]);
    relabelled(&mut frame);
    let bytes = codec::encode(&frame).unwrap();
    assert_eq!(verdicts(JOURNAL, &[bytes]), both(FrameError::EditedAudit { index: 0 }));
    let theirs = FrameWriter::new(&keys(50), JOURNAL, 3, WRITER, Position::default());
    let foreign = frames_of(theirs, JOURNAL);
    assert_eq!(verdicts(JOURNAL, &foreign[..1]), both(FrameError::ForeignVault { index: 0 }));
    // Marked as ours it still does not open: the mark is a hint for the error, not a check that protects.
    let mut frame = decode(&foreign[0]);
    frame.vault = decode(&frames(JOURNAL)[0]).vault;
    let [reader, auditor] = verdicts(JOURNAL, &[codec::encode(&frame).unwrap()]);
    assert_eq!(reader, Some(FrameError::EditedState { index: 0 }));
    assert_eq!(auditor, Some(FrameError::EditedAudit { index: 0 }));
}

#[test]
fn h2_a_genuine_frame_of_a_forked_stream_is_refused() {
    // Two enclaves of one vault wrote from the same beginning; the host splices their streams.
    let fork = FrameWriter::new(&keys(1), JOURNAL, 3, [0xbb; 32], Position::default());
    let spliced = [frames(JOURNAL)[0].clone(), frames_of(fork, JOURNAL)[1].clone()];
    assert_eq!(verdicts(JOURNAL, &spliced), both(FrameError::Chain { index: 1 }));
}

#[test]
fn h5_no_header_field_is_believed_before_it_is_authenticated() {
    let edited = [Some(FrameError::EditedState { index: 2 }), Some(FrameError::EditedAudit { index: 2 })];
    let journal = |change: fn(&mut SealedFrame)| changed(JOURNAL, 2, change);
    assert_eq!(journal(|_| ()), [None, None]);
    assert_eq!(journal(|frame| frame.version = 0), both(FrameError::Version { actual: 0 }));
    assert_eq!(journal(|frame| frame.version = 2), both(FrameError::Version { actual: 2 }));
    assert_eq!(journal(|frame| frame.stream = ACCESS), both(FrameError::WrongStream { actual: ACCESS }));
    assert_eq!(journal(|frame| frame.index = 3), both(FrameError::Index { expected: 2, actual: 3 }));
    assert_eq!(journal(|frame| frame.epoch = 4), edited);
    assert_eq!(journal(|frame| frame.epoch = 2), both(FrameError::EpochBack { last: 3, actual: 2 }));
    assert_eq!(journal(|frame| frame.writer[31] ^= 1), edited);
    assert_eq!(journal(|frame| frame.previous[0] ^= 1), both(FrameError::Chain { index: 2 }));
    assert_eq!(journal(|frame| frame.first_leaf = 5), both(FrameError::FirstLeaf { expected: 4, actual: 5 }));
    assert_eq!(journal(|frame| frame.leaves.swap(0, 1)), edited);
    assert_eq!(journal(|frame| frame.leaves.truncate(1)), edited);
    assert_eq!(journal(|frame| frame.leaves.clear()), both(FrameError::Empty { index: 2 }));
    assert_eq!(
        changed(ACCESS, 1, |frame| frame.epoch = 4),
        both(FrameError::EpochForeign { expected: 3, actual: 4 })
    );
}

#[test]
fn h2_edited_parts_are_refused_each_by_its_own_error() {
    let audit = both(FrameError::EditedAudit { index: 2 });
    let state = both(FrameError::EditedState { index: 2 });
    let journal = |change: fn(&mut SealedFrame)| changed(JOURNAL, 2, change);
    assert_eq!(journal(|frame| frame.sealed_audit[0] ^= 1), audit);
    assert_eq!(journal(|frame| frame.sealed_audit.clear()), audit);
    assert_eq!(journal(|frame| frame.sealed_state[0] ^= 1), state);
    assert_eq!(journal(|frame| frame.sealed_state.truncate(20)), state);
    assert_eq!(journal(|frame| frame.sealed_state.clear()), state, "only the audit part's hash tells");
    let invented = changed(ACCESS, 2, |frame| frame.sealed_state = vec![0; 16]);
    assert_eq!(invented, state);
}
