//! Sealed frames, checkpoints, receipts and proofs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use vouchsafe_crypto::digest::sha256;
use vouchsafe_crypto::secret::{Key32, SecretBytes};
use vouchsafe_crypto::signature::LogKey;
use vouchsafe_log::{
    AuditReader, Checkpoint, Entry, FrameReader, FrameWriter, Position, StreamKeys, origin,
    verify_consistency, verify_inclusion, verify_receipt,
};
use vouchsafe_protocol::codec;
use vouchsafe_protocol::id::{AnchorClass, VaultId};
use vouchsafe_protocol::limits::INTRODUCTION_FRAME_LEN;
use vouchsafe_protocol::link::StreamId;
use vouchsafe_protocol::log::{Action, Actor, AuditEntry, Decision, PolicyRule};

use crate::Target;

pub(crate) const TARGETS: &[Target] = &[
    ("frame-reader", frame_reader),
    ("checkpoint", checkpoint),
    ("checkpoint-text", checkpoint_text),
    ("receipt", receipt),
    ("proof", proof),
];

const VAULT: VaultId = VaultId { class: AnchorClass::Simulated, digest: [0; 32] };

fn key() -> Key32 {
    Key32::take(&mut [1; 32]).unwrap()
}

fn log_key() -> LogKey {
    LogKey::from_seed(&key()).unwrap()
}

/// Nobody without the keys makes a frame that opens: neither these bytes, nor a genuine frame edited by them.
fn frame_reader(data: &[u8]) {
    for stream in [StreamId::Journal, StreamId::Access { epoch: 0 }] {
        assert_refused(stream, data);
        let genuine = genuine_frame(stream);
        let mut edited = genuine.clone();
        for edit in data.as_chunks::<3>().0 {
            let offset = usize::from(u16::from_be_bytes([edit[0], edit[1]])) % edited.len();
            edited[offset] ^= edit[2];
        }
        if edited != genuine {
            assert_refused(stream, &edited);
        }
    }
}

fn assert_refused(stream: StreamId, frame: &[u8]) {
    assert!(FrameReader::new(&keys(), stream).open(frame).is_err());
    assert!(AuditReader::new(key(), stream).open(frame).is_err());
}

fn genuine_frame(stream: StreamId) -> Vec<u8> {
    let entry = AuditEntry {
        blind: [0; 16],
        at_secs: 0,
        actor: Actor::Vault,
        request: None,
        action: Action::Init,
        decision: Decision::Allowed,
        rule: PolicyRule::None,
        lease: None,
    };
    let entry = Entry { audit: codec::encode(&entry).unwrap(), state: SecretBytes::new(vec![1; 9]) };
    let mut writer = FrameWriter::new(&keys(), stream, 0, [2; 32], Position::default());
    writer.seal(vec![entry]).unwrap().bytes
}

fn keys() -> StreamKeys {
    StreamKeys::new(key(), key())
}

/// Nobody without the key signs a checkpoint.
fn checkpoint(data: &[u8]) {
    assert!(Checkpoint::verify(data, &origin(&VAULT, StreamId::Journal), &log_key().public()).is_err());
}

/// Any text, well signed: what is a checkpoint has this one form.
fn checkpoint_text(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let (name, key) = (origin(&VAULT, StreamId::Journal), log_key());
    let text = format!("{name}\n{text}\n");
    let id = sha256(&[name.as_bytes(), b"\n\x01", &key.public().0]);
    let blob = [&id[..4], &key.sign(text.as_bytes())].concat();
    let note = format!("{text}\n\u{2014} {name} {}\n", BASE64.encode(blob)).into_bytes();
    if let Ok(checkpoint) = Checkpoint::verify(&note, &name, &key.public()) {
        assert_eq!(checkpoint.sign(&key), note, "one form");
    }
}

fn receipt(data: &[u8]) {
    if let Ok(receipt) = codec::decode(data, INTRODUCTION_FRAME_LEN) {
        assert!(verify_receipt(&receipt, &VAULT, &log_key().public()).is_err());
    }
}

fn proof(data: &[u8]) {
    let Some((first, rest)) = data.split_first_chunk::<8>() else { return };
    let Some((second, rest)) = rest.split_first_chunk::<8>() else { return };
    let (first, second) = (u64::from_be_bytes(*first), u64::from_be_bytes(*second));
    let (nodes, _) = rest.as_chunks::<32>();
    // Roots that the input cannot hit: nothing is proved.
    let (old, new) = (sha256(&[b"old"]), sha256(&[b"new"]));
    assert!(verify_inclusion(&old, first, second, nodes, &new).is_err());
    assert!(verify_consistency(first, &old, second, &new, nodes).is_err());
}
