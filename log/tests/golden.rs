//! Golden files of the sealed formats. A changed file is a format change and needs a new version.

#![expect(clippy::unwrap_used, reason = "test helpers; clippy exempts only the tests themselves")]

use vouchsafe_crypto::secret::{Key32, SecretBytes};
use vouchsafe_crypto::signature::LogKey;
use vouchsafe_log::{
    AuditReader, Checkpoint, Entry, FrameReader, FrameWriter, Position, Rung, StreamKeys, origin,
};
use vouchsafe_protocol::codec;
use vouchsafe_protocol::id::{AnchorClass, VaultId};
use vouchsafe_protocol::link::StreamId;
use vouchsafe_protocol::log::{Action, Actor, AuditEntry, Decision, KvOperation, PolicyRule, RequestRef};
use vouchsafe_protocol::policy::PlatformKind;

/// SealedFrame, format version 1: keys of bytes 1 and 2, writer of bytes 3, epoch 5, frame 6 of the journal.
const FRAME: &str = include_str!("golden/sealed-frame-v1.hex");
/// The same keys and writer, frame 0 of the access log of epoch 5.
const ACCESS_FRAME: &str = include_str!("golden/access-frame-v1.hex");
/// Checkpoint, signed by the key whose seed is 32 bytes 4.
const CHECKPOINT: &str = include_str!("golden/checkpoint-v1.txt");

fn key(byte: u8) -> Key32 {
    Key32::take(&mut [byte; 32]).unwrap()
}

/// As in the files: hexadecimal, 48 bytes to a line.
fn text(bytes: &[u8]) -> String {
    bytes.chunks(48).map(|line| hex::encode(line) + "\n").collect()
}

fn audit_entry() -> AuditEntry {
    AuditEntry {
        blind: [8; 16],
        at_secs: 1_790_000_000,
        actor: Actor::Agent {
            role: "billing-agent".parse().unwrap(),
            identity: 17,
            evidence: [9; 32],
            platform: PlatformKind::Snp,
        },
        request: Some(RequestRef { session: [10; 16], number: 3, receipt: true, digest: [11; 32] }),
        action: Action::Kv {
            operation: KvOperation::Put,
            path: "kv/billing/db".to_owned(),
            versions: vec![2],
        },
        decision: Decision::Allowed,
        rule: PolicyRule::Allow(2),
        lease: Some(7),
    }
}

fn entry(state: &[u8]) -> Entry {
    Entry { audit: codec::encode(&audit_entry()).unwrap(), state: SecretBytes::new(state.to_vec()) }
}

#[test]
fn sealed_frame_v1_is_what_it_was() {
    let at = Position { index: 6, previous: [7; 32], leaves: 300 };
    let mut writer = FrameWriter::new(&StreamKeys::new(key(1), key(2)), StreamId::Journal, 5, [3; 32], at);
    let sealed = writer.seal(vec![entry(b"a change of state"), entry(b"")]).unwrap();
    assert_eq!(text(&sealed.bytes), FRAME);
}

#[test]
fn a_stored_first_frame_opens() {
    let keys = StreamKeys::new(key(1), key(2));
    let mut writer = FrameWriter::new(&keys, StreamId::Access { epoch: 5 }, 5, [3; 32], Position::default());
    let sealed = writer.seal(vec![entry(b"")]).unwrap();
    assert_eq!(text(&sealed.bytes), ACCESS_FRAME);
    let stored = hex::decode(ACCESS_FRAME.replace('\n', "")).unwrap();
    let opened = FrameReader::new(&keys, StreamId::Access { epoch: 5 }).open(&stored).unwrap();
    let audited = AuditReader::new(key(2), StreamId::Access { epoch: 5 }).open(&stored).unwrap();
    assert_eq!(audited.entries, [audit_entry()]);
    assert_eq!(opened.leaves, audited.leaves);
}

#[test]
fn checkpoint_v1_is_what_it_was() {
    let vault = VaultId { class: AnchorClass::Simulated, digest: [0x5a; 32] };
    let origin = origin(&vault, StreamId::Journal);
    let key = LogKey::from_seed(&key(4)).unwrap();
    let checkpoint = Checkpoint { origin: origin.clone(), size: 302, root: [6; 32], rung: Rung::R1 };
    assert_eq!(String::from_utf8(checkpoint.sign(&key)).unwrap(), CHECKPOINT);
    assert_eq!(Checkpoint::verify(CHECKPOINT.as_bytes(), &origin, &key.public()), Ok(checkpoint));
}
