use vouchsafe_crypto::secret::Key32;
use vouchsafe_protocol::id::AnchorClass;

use super::*;

fn key(seed: u8) -> LogKey {
    LogKey::from_seed(&Key32::take(&mut [seed; 32]).unwrap()).unwrap()
}

fn checkpoint() -> Checkpoint {
    let vault = VaultId { class: AnchorClass::Simulated, digest: [7; 32] };
    Checkpoint { origin: origin(&vault, StreamId::Journal), size: 10, root: [9; 32], rung: Rung::R1 }
}

/// What `verify` says of a text that the right key signed under the right name.
fn verdict(text: &str) -> Result<Checkpoint, CheckpointError> {
    let origin = checkpoint().origin;
    Checkpoint::verify(&note::sign(text, &origin, &key(1)), &origin, &key(1).public())
}

#[test]
fn what_is_signed_verifies() {
    for rung in [Rung::R0, Rung::R1] {
        for size in [0, 1, u64::MAX] {
            let checkpoint = Checkpoint { size, rung, ..checkpoint() };
            let note = checkpoint.sign(&key(1));
            assert!(note.len() < CHECKPOINT_LEN);
            assert_eq!(Checkpoint::verify(&note, &checkpoint.origin, &key(1).public()), Ok(checkpoint));
        }
    }
}

#[test]
fn origins_differ_by_vault_class_and_stream() {
    let vault = VaultId { class: AnchorClass::Simulated, digest: [0xab; 32] };
    let hardware = VaultId { class: AnchorClass::Hardware, ..vault };
    assert_eq!(origin(&vault, StreamId::Journal), format!("vouchsafe/sim-vault-{}/journal", "ab".repeat(32)));
    assert_eq!(
        origin(&hardware, StreamId::Access { epoch: 12 }),
        format!("vouchsafe/vault-{}/access/12", "ab".repeat(32))
    );
}

/// The example of Go's `sumdb/note`, where the format comes from.
#[test]
fn a_note_of_another_implementation_opens() {
    let vkey = BASE64.decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
    let key = LogPublicKey(vkey[1..].try_into().unwrap());
    let text = "If you think cryptography is the answer to your problem,\n\
                then you don't know what your problem is.\n";
    let note = format!(
        "{text}\n\u{2014} PeterNeumann \
         x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    );
    assert_eq!(note::open(note.as_bytes(), "PeterNeumann", &key), Ok(text));
    assert_eq!(
        Checkpoint::verify(note.as_bytes(), "PeterNeumann", &key),
        Err(CheckpointError::Origin),
        "well signed, but no checkpoint"
    );
}

#[test]
fn every_changed_bit_and_every_prefix_is_refused() {
    let Checkpoint { origin, .. } = checkpoint();
    let note = checkpoint().sign(&key(1));
    for bit in 0..note.len() * 8 {
        let mut flipped = note.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        Checkpoint::verify(&flipped, &origin, &key(1).public()).unwrap_err();
    }
    for len in 0..note.len() {
        Checkpoint::verify(&note[..len], &origin, &key(1).public()).unwrap_err();
    }
}

#[test]
fn each_rule_of_the_note_has_its_error() {
    let checkpoint = checkpoint();
    let origin = checkpoint.origin.as_str();
    let note = checkpoint.sign(&key(1));
    let verify = |note: &[u8]| Checkpoint::verify(note, origin, &key(1).public());
    assert_eq!(
        verify(&[b'a'; CHECKPOINT_LEN + 1]),
        Err(CheckpointError::TooLong { len: CHECKPOINT_LEN + 1 })
    );
    assert_eq!(verify(&[note.as_slice(), b"x\n"].concat()), Err(CheckpointError::Malformed));
    let cosigned = [note.as_slice(), note.split_at(checkpoint.text().len() + 1).1].concat();
    assert_eq!(verify(&cosigned), Err(CheckpointError::Malformed));
    assert_eq!(
        Checkpoint::verify(&note, &format!("{origin}x"), &key(1).public()),
        Err(CheckpointError::Signer)
    );
    assert_eq!(Checkpoint::verify(&note, origin, &key(2).public()), Err(CheckpointError::Key));
    let text = String::from_utf8(note).unwrap().replacen("\n10\n", "\n11\n", 1);
    assert_eq!(verify(text.as_bytes()), Err(CheckpointError::Signature));
}

#[test]
fn each_rule_of_the_text_has_its_error() {
    let text = checkpoint().text();
    let change = |from: &str, to: &str| verdict(&text.replacen(from, to, 1));
    assert_eq!(verdict(&text), Ok(checkpoint()));
    assert_eq!(change("/journal", "/access/1"), Err(CheckpointError::Origin));
    for size in ["010", "+10", "-1", "", "0x10", "10 ", "18446744073709551616"] {
        assert_eq!(change("\n10\n", &format!("\n{size}\n")), Err(CheckpointError::Size), "{size}");
    }
    for root in [BASE64.encode([9; 31]), BASE64.encode([9; 33]), "!".into(), String::new()] {
        assert_eq!(change(&BASE64.encode([9; 32]), &root), Err(CheckpointError::Root), "{root}");
    }
    for rung in ["rung R2\n", "R1\n", "\n", "", "rung R1\nmore\n", "rung R1 \n"] {
        assert_eq!(change("rung R1\n", rung), Err(CheckpointError::Rung), "{rung}");
    }
    assert_eq!(change("\nrung", "\r\nrung"), Err(CheckpointError::Malformed));
}
