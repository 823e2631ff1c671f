use vouchsafe_crypto::secret::Key32;
use vouchsafe_crypto::signature::LogKey;
use vouchsafe_protocol::id::AnchorClass;
use vouchsafe_protocol::link::StreamId;
use vouchsafe_protocol::log::{Action, Actor, Decision, PolicyRule};

use super::*;
use crate::merkle::Frontier;
use crate::{Hash, Rung};

const VAULT: VaultId = VaultId { class: AnchorClass::Simulated, digest: [3; 32] };
const STREAM: StreamId = StreamId::Access { epoch: 4 };

fn key(seed: u8) -> LogKey {
    LogKey::from_seed(&Key32::take(&mut [seed; 32]).unwrap()).unwrap()
}

fn entry(at_secs: u64) -> AuditEntry {
    AuditEntry {
        blind: [1; 16],
        at_secs,
        actor: Actor::Vault,
        request: None,
        action: Action::Look,
        decision: Decision::Allowed,
        rule: PolicyRule::None,
        lease: None,
    }
}

fn note(size: u64, root: Hash, vault: &VaultId) -> Vec<u8> {
    Checkpoint { origin: origin(vault, STREAM), size, root, rung: Rung::R0 }.sign(&key(1))
}

/// Receipts for encoded entries 11 to 13 of a log, as the enclave makes them.
fn receipts_for(entries: &[Vec<u8>]) -> Vec<Receipt> {
    let mut log = Frontier::default();
    (0..11).for_each(|i| log.push([i; 32]));
    let leaves: Vec<Hash> =
        entries.iter().zip(11..).map(|(entry, i)| leaf_hash(STREAM, i, entry, &[5; 32])).collect();
    let proofs = log.prove_batch(&leaves);
    let checkpoint = note(proofs.size(), proofs.root(), &VAULT);
    let receipt = |(i, entry): (usize, &Vec<u8>)| Receipt {
        stream: STREAM,
        leaf_index: 11 + i as u64,
        entry: entry.clone(),
        state_digest: [5; 32],
        proof: proofs.proof(i),
        checkpoint: checkpoint.clone(),
    };
    entries.iter().enumerate().map(receipt).collect()
}

fn receipt() -> Receipt {
    receipts_for(&[1, 2, 3].map(|at| codec::encode(&entry(at)).unwrap())).remove(1)
}

fn verdict(receipt: &Receipt) -> Result<AuditEntry, ReceiptError> {
    verify_receipt(receipt, &VAULT, &key(1).public())
}

#[test]
fn receipts_of_a_batch_prove_their_entries() {
    let encoded = [1, 2, 3].map(|at| codec::encode(&entry(at)).unwrap());
    for (receipt, at) in receipts_for(&encoded).iter().zip(1..) {
        assert_eq!(verdict(receipt), Ok(entry(at)));
    }
}

#[test]
fn another_vault_stream_or_key_is_refused() {
    let other = VaultId { digest: [4; 32], ..VAULT };
    let refused = |error| Err(ReceiptError::Checkpoint(error));
    assert_eq!(verify_receipt(&receipt(), &other, &key(1).public()), refused(CheckpointError::Signer));
    assert_eq!(verify_receipt(&receipt(), &VAULT, &key(2).public()), refused(CheckpointError::Key));
    let journal = Receipt { stream: StreamId::Journal, ..receipt() };
    assert_eq!(verdict(&journal), refused(CheckpointError::Signer));
}

#[test]
fn a_changed_entry_index_digest_or_proof_is_refused() {
    let refused = |receipt: Receipt, error| {
        assert_eq!(verdict(&receipt), Err(ReceiptError::Proof(error)));
    };
    refused(Receipt { entry: codec::encode(&entry(9)).unwrap(), ..receipt() }, ProofError::Root);
    refused(Receipt { leaf_index: 13, ..receipt() }, ProofError::Root);
    refused(Receipt { leaf_index: 10, ..receipt() }, ProofError::Length);
    refused(Receipt { leaf_index: 14, ..receipt() }, ProofError::Index { index: 14, size: 14 });
    refused(Receipt { state_digest: [6; 32], ..receipt() }, ProofError::Root);
    let mut proof = receipt().proof;
    proof.pop();
    refused(Receipt { proof, ..receipt() }, ProofError::Length);
    refused(Receipt { checkpoint: note(14, [0; 32], &VAULT), ..receipt() }, ProofError::Root);
}

#[test]
fn proven_bytes_that_are_no_entry_are_refused() {
    let [receipt] = <[Receipt; 1]>::try_from(receipts_for(&[vec![0xff; 5]])).unwrap();
    assert_eq!(verdict(&receipt), Err(ReceiptError::Entry(CodecError::Malformed)));
}
