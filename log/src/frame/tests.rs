use vouchsafe_crypto::aead::counter_nonce;
use vouchsafe_crypto::digest::sha256;
use vouchsafe_crypto::secret::Key32;
use vouchsafe_protocol::codec;
use vouchsafe_protocol::log::{Action, Actor, AuditEntry, Decision, KvOperation, PolicyRule, SealedFrame};

use super::chain::associated_data;
use super::*;
use crate::leaf::leaf_hash;

mod host;
mod liar;

const JOURNAL: StreamId = StreamId::Journal;
const ACCESS: StreamId = StreamId::Access { epoch: 3 };
const WRITER: [u8; 32] = [0xaa; 32];

/// Keys of vault number `vault`.
fn keys(vault: u8) -> StreamKeys {
    StreamKeys::new(key(vault), key(vault + 1))
}

fn key(byte: u8) -> Key32 {
    Key32::take(&mut [byte; 32]).unwrap()
}

fn audit_entry(n: u64) -> AuditEntry {
    let action =
        Action::Kv { operation: KvOperation::Put, path: format!("kv/planted-name-{n}"), versions: vec![n] };
    AuditEntry {
        blind: [7; 16],
        at_secs: n,
        actor: Actor::Vault,
        request: None,
        action,
        decision: Decision::Allowed,
        rule: PolicyRule::None,
        lease: None,
    }
}

fn entry(n: u64, state: &[u8]) -> Entry {
    Entry { audit: codec::encode(&audit_entry(n)).unwrap(), state: SecretBytes::new(state.to_vec()) }
}

fn writer(stream: StreamId, at: Position) -> FrameWriter {
    FrameWriter::new(&keys(1), stream, 3, WRITER, at)
}

/// Three frames of a stream: of three entries, one and two. In the journal some entries change the state.
fn frames(stream: StreamId) -> Vec<Vec<u8>> {
    frames_of(writer(stream, Position::default()), stream)
}

fn frames_of(mut writer: FrameWriter, stream: StreamId) -> Vec<Vec<u8>> {
    let state = |state: &'static [u8]| if stream == JOURNAL { state } else { &[] };
    let mut seal = |entries| writer.seal(entries).unwrap().bytes;
    vec![
        seal(vec![entry(0, state(b"planted-value-0")), entry(1, b""), entry(2, state(b"x"))]),
        seal(vec![entry(3, b"")]),
        seal(vec![entry(4, state(b"planted-value-4")), entry(5, state(b"planted-value-4"))]),
    ]
}

fn decode(bytes: &[u8]) -> SealedFrame {
    codec::decode(bytes, JOURNAL_FRAME_LEN).unwrap()
}

/// What both readers say of the last of these frames, after the others; `None` if it opens.
fn verdicts(stream: StreamId, frames: &[Vec<u8>]) -> [Option<FrameError>; 2] {
    let (last, before) = frames.split_last().unwrap();
    let mut reader = FrameReader::new(&keys(1), stream);
    let mut auditor = AuditReader::new(key(2), stream);
    for frame in before {
        reader.open(frame).unwrap();
        auditor.open(frame).unwrap();
    }
    let at = reader.position();
    let verdicts = [reader.open(last).err(), auditor.open(last).err()];
    for (verdict, after) in verdicts.iter().zip([reader.position(), auditor.position()]) {
        assert_eq!(verdict.is_some(), after == at, "the position moves on exactly if the frame opens");
    }
    verdicts
}

#[test]
fn what_is_sealed_opens_for_the_enclave_and_the_auditor() {
    for stream in [JOURNAL, ACCESS] {
        let mut writer = writer(stream, Position::default());
        let mut reader = FrameReader::new(&keys(1), stream);
        let mut auditor = AuditReader::new(key(2), stream);
        for first in [0u64, 2, 4] {
            let sealed = writer.seal(vec![entry(first, b"state"), entry(first + 1, b"")]).unwrap();
            let opened = reader.open(&sealed.bytes).unwrap();
            let audited = auditor.open(&sealed.bytes).unwrap();
            assert_eq!((opened.epoch, audited.epoch), (3, 3));
            assert_eq!((&opened.leaves, &audited.leaves), (&sealed.leaves, &sealed.leaves));
            assert_eq!(audited.entries, [audit_entry(first), audit_entry(first + 1)]);
            let states: Vec<_> = opened.entries.iter().map(|(_, state)| state.expose_secret()).collect();
            assert_eq!(states, [b"state".as_slice(), b""]);
            let entries: Vec<_> = opened.entries.into_iter().map(|(entry, _)| entry).collect();
            assert_eq!(entries, audited.entries);
            for (i, leaf) in sealed.leaves.iter().enumerate() {
                let index = first + i as u64;
                let audit = codec::encode(&audit_entry(index)).unwrap();
                assert_eq!(*leaf, leaf_hash(stream, index, &audit, &sealed.state_digests[i]));
            }
            assert_eq!(sealed.state_digests[1], [0; 32]);
            assert_eq!(*writer.position(), reader.position());
            assert_eq!(*writer.position(), auditor.position());
        }
    }
}

#[test]
fn a_second_writer_session_goes_on_where_the_first_ended() {
    let mut all = frames(JOURNAL);
    let mut reader = FrameReader::new(&keys(1), JOURNAL);
    all.iter().for_each(|frame| drop(reader.open(frame).unwrap()));
    let mut next = FrameWriter::new(&keys(1), JOURNAL, 4, [0xbb; 32], reader.position());
    all.push(next.seal(vec![entry(9, b"later")]).unwrap().bytes);
    assert_eq!(verdicts(JOURNAL, &all), [None, None]);
}

#[test]
fn h9_two_writer_sessions_share_no_key() {
    let seal = |writer, epoch, stream| {
        let mut writer = FrameWriter::new(&keys(1), stream, epoch, writer, Position::default());
        writer.seal(vec![entry(0, b"planted-value")]).unwrap()
    };
    let first = seal(WRITER, 3, JOURNAL);
    let again = seal(WRITER, 3, JOURNAL);
    assert_eq!(first.bytes, again.bytes, "all that differs below comes from the keys");
    for other in [seal([0xab; 32], 3, JOURNAL), seal(WRITER, 4, JOURNAL), seal(WRITER, 3, ACCESS)] {
        let (a, b) = (decode(&first.bytes), decode(&other.bytes));
        // One key stream would show as equal differences of equal plaintexts: the sealed state has no other
        // input than its key, its nonce and this plaintext. The first 32 bytes of the audit part are a hash.
        assert_ne!(a.sealed_state[..17], b.sealed_state[..17]);
        assert_ne!(a.sealed_audit[32..64], b.sealed_audit[32..64]);
        assert_ne!(first.state_digests, other.state_digests);
    }
}

#[test]
fn h9_a_frame_that_could_not_be_stored_is_not_sealed_again_under_its_index() {
    let mut writer = writer(JOURNAL, Position::default());
    let lost = decode(&writer.seal(vec![entry(0, b"a")]).unwrap().bytes);
    let next = decode(&writer.seal(vec![entry(0, b"a")]).unwrap().bytes);
    assert_eq!((lost.index, next.index), (0, 1));
}

#[test]
fn h1_a_frame_shows_neither_names_nor_values() {
    for bytes in frames(JOURNAL) {
        assert!(!bytes.windows(7).any(|window| window == b"planted"));
    }
}

#[test]
fn equal_changes_of_state_have_unequal_digests() {
    let mac = key(9);
    assert_ne!(state_digest(&mac, 1, b"same"), state_digest(&mac, 2, b"same"));
    assert_ne!(state_digest(&mac, 1, b"same"), state_digest(&key(8), 1, b"same"));
    assert_ne!(state_digest(&mac, 1, b"same"), sha256(&[b"same"]));
    assert_eq!(state_digest(&mac, 1, b""), [0; 32]);
}

#[test]
fn sealing_refuses_what_no_reader_would_take_and_stays_where_it_is() {
    let mut full = writer(JOURNAL, Position { leaves: u64::MAX, ..Position::default() });
    assert_eq!(full.seal(vec![entry(0, b"")]).err(), Some(FrameError::StreamFull));
    let mut full = writer(JOURNAL, Position { index: u64::MAX, ..Position::default() });
    assert_eq!(full.seal(vec![entry(0, b"")]).err(), Some(FrameError::StreamFull));
    let mut writer = writer(JOURNAL, Position::default());
    assert_eq!(writer.seal(Vec::new()).err(), Some(FrameError::Empty { index: 0 }));
    let large = vec![entry(0, &vec![1; JOURNAL_FRAME_LEN / 2]), entry(1, &vec![1; JOURNAL_FRAME_LEN / 2])];
    let len = large.iter().map(Entry::sealed_len).sum::<usize>() + FRAME_OVERHEAD;
    assert_eq!(writer.seal(large).err(), Some(FrameError::TooLong { len }));
    assert_eq!(*writer.position(), Position::default());
}

#[test]
fn the_announced_length_bounds_the_frame() {
    for (count, state) in [(1, 0), (1, 1), (1, 200_000), (200, 0), (200, 300), (3000, 5)] {
        let start = u64::MAX - 5000;
        let at = Position { index: start, previous: [0xff; 32], leaves: start };
        let stream = StreamId::Access { epoch: u64::MAX };
        let mut writer = FrameWriter::new(&keys(1), stream, u64::MAX, WRITER, at);
        let entries: Vec<_> = (0..count).map(|n| entry(n, &vec![0xff; state])).collect();
        let bound = entries.iter().map(Entry::sealed_len).sum::<usize>() + FRAME_OVERHEAD;
        assert!(writer.seal(entries).unwrap().bytes.len() <= bound);
    }
}
