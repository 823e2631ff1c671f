//! Frames that a holder of the keys sealed wrongly: the checks that stand behind authentication.

use super::parts::{audit_part, state_part};
use super::*;

/// The parts of a frame of two entries, before sealing.
struct Draft {
    frame: SealedFrame,
    entries: Vec<Entry>,
    digests: Vec<Hash>,
    state: Vec<u8>,
    /// Added to the end of the audit part.
    tail: Vec<u8>,
}

/// Seals a draft after one change, and tells what both readers say.
fn drafted(change: impl FnOnce(&mut Draft)) -> [Option<FrameError>; 2] {
    let entries = vec![entry(0, b"planted"), entry(1, b"")];
    let sealed =
        writer(JOURNAL, Position::default()).seal(vec![entry(0, b"planted"), entry(1, b"")]).unwrap();
    let state = state_part(&entries);
    let digests = sealed.state_digests;
    let mut draft = Draft { frame: decode(&sealed.bytes), entries, digests, state, tail: Vec::new() };
    change(&mut draft);
    let Draft { mut frame, entries, digests, mut state, tail } = draft;
    let keys = keys(1).writer(JOURNAL, 3, &WRITER);
    let aad = associated_data(&frame);
    // A test's frame at a nonce that the writer above used: nothing is kept secret here.
    if !state.is_empty() {
        keys.state.seal(counter_nonce(0), &aad, &mut state);
    }
    let mut audit = audit_part(&sha256(&[&state]), &entries, &digests);
    audit.extend(tail);
    keys.audit.seal(counter_nonce(0), &aad, &mut audit);
    frame.sealed_state = state;
    frame.sealed_audit = audit;
    verdicts(JOURNAL, &[codec::encode(&frame).unwrap()])
}

fn both(error: FrameError) -> [Option<FrameError>; 2] {
    [Some(error), Some(error)]
}

#[test]
fn an_unchanged_draft_opens() {
    assert_eq!(drafted(|_| ()), [None, None]);
}

#[test]
fn a_leaf_that_is_not_its_entry_s_hash_is_refused() {
    assert_eq!(drafted(|draft| draft.frame.leaves[1][0] ^= 1), both(FrameError::Leaf { index: 1 }));
    assert_eq!(drafted(|draft| draft.entries[0].audit[0] ^= 1), both(FrameError::Leaf { index: 0 }));
    assert_eq!(drafted(|draft| draft.digests[0][0] ^= 1), both(FrameError::Leaf { index: 0 }));
}

#[test]
fn more_or_fewer_leaves_than_entries_are_refused() {
    let count = both(FrameError::LeafCount { index: 0 });
    assert_eq!(drafted(|draft| draft.frame.leaves.push([0; 32])), count);
    assert_eq!(drafted(|draft| draft.frame.leaves.truncate(1)), count);
}

#[test]
fn a_state_that_its_digest_does_not_commit_to_is_refused() {
    // The state's length is in bytes 0 to 3, the state behind it. The auditor cannot see inside.
    let changed = drafted(|draft| draft.state[4] ^= 1);
    assert_eq!(changed, [Some(FrameError::StateDigest { index: 0 }), None]);
    let absent = drafted(|draft| draft.state.clear());
    assert_eq!(absent, [Some(FrameError::StateDigest { index: 0 }), None]);
}

#[test]
fn more_or_fewer_states_than_entries_are_refused() {
    let count = [Some(FrameError::LeafCount { index: 0 }), None];
    assert_eq!(drafted(|draft| draft.state.extend([0; 4])), count);
    assert_eq!(drafted(|draft| draft.state.truncate(11)), count);
    assert_eq!(drafted(|draft| draft.state.extend([0, 0, 0, 1])), count, "a state cut short");
}

#[test]
fn a_state_part_of_nothing_but_empty_states_is_refused() {
    let state = SecretBytes::new(Vec::new());
    let verdict = drafted(|draft| {
        draft.state = vec![0; 8];
        draft.digests[0] = [0; 32];
        draft.entries[0].state = state;
        draft.frame.leaves[0] = leaf_hash(JOURNAL, 0, &draft.entries[0].audit, &[0; 32]);
    });
    assert_eq!(verdict, [Some(FrameError::LeafCount { index: 0 }), None]);
}

#[test]
fn an_audit_part_that_does_not_end_with_an_entry_is_refused() {
    for tail in [vec![0], vec![0, 0, 0, 1], vec![0xff; 36], vec![0; 35]] {
        assert_eq!(drafted(|draft| draft.tail = tail), both(FrameError::Malformed));
    }
}

#[test]
fn a_malformed_audit_entry_is_refused() {
    let bad = Entry { audit: vec![0xff; 3], state: SecretBytes::new(Vec::new()) };
    let sealed = writer(JOURNAL, Position::default()).seal(vec![bad]).unwrap();
    assert_eq!(verdicts(JOURNAL, &[sealed.bytes]), both(FrameError::Entry { index: 0 }));
}

#[test]
fn h3_an_epoch_that_goes_back_is_refused() {
    let mut all = frames(JOURNAL);
    let mut reader = FrameReader::new(&keys(1), JOURNAL);
    all.iter().for_each(|frame| drop(reader.open(frame).unwrap()));
    let mut old = FrameWriter::new(&keys(1), JOURNAL, 2, [0xbb; 32], reader.position());
    all.push(old.seal(vec![entry(9, b"")]).unwrap().bytes);
    assert_eq!(verdicts(JOURNAL, &all), both(FrameError::EpochBack { last: 3, actual: 2 }));
}

#[test]
fn a_frame_of_another_epoch_in_an_access_log_is_refused() {
    let mut other = FrameWriter::new(&keys(1), ACCESS, 4, WRITER, Position::default());
    let sealed = other.seal(vec![entry(9, b"")]).unwrap();
    assert_eq!(verdicts(ACCESS, &[sealed.bytes]), both(FrameError::EpochForeign { expected: 3, actual: 4 }));
}
