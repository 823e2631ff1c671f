//! Receipts: proof for anyone that an entry is in a vault's log.

use vouchsafe_crypto::signature::LogPublicKey;
use vouchsafe_protocol::codec::{self, CodecError};
use vouchsafe_protocol::id::VaultId;
use vouchsafe_protocol::limits::JOURNAL_FRAME_LEN;
use vouchsafe_protocol::log::{AuditEntry, Receipt};

use crate::checkpoint::{Checkpoint, CheckpointError, origin};
use crate::leaf::leaf_hash;
use crate::merkle::verify::{ProofError, verify_inclusion};

#[cfg(test)]
mod tests;

/// Why a receipt is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The checkpoint is not one of this vault, stream and key.
    #[error("the receipt's checkpoint is refused")]
    Checkpoint(#[source] CheckpointError),
    /// The proven bytes are not an audit entry.
    #[error("the receipt's entry is not an audit entry")]
    Entry(#[source] CodecError),
    /// The entry is not in the tree of the checkpoint at that place.
    #[error("the receipt does not prove its entry")]
    Proof(#[source] ProofError),
}

/// Verifies a receipt of a vault whose log key the caller knows, and returns the entry that it proves.
///
/// Left to the caller: whether the entry is the one it expects (actor, action, time), and whether the
/// checkpoint agrees with the newest one it remembers.
///
/// # Errors
/// [`ReceiptError`], by the first step that fails.
pub fn verify_receipt(
    receipt: &Receipt,
    vault: &VaultId,
    key: &LogPublicKey,
) -> Result<AuditEntry, ReceiptError> {
    let Receipt { stream, leaf_index, entry, state_digest, proof, checkpoint } = receipt;
    // 1. The checkpoint is signed by this vault for this stream.
    let checkpoint =
        Checkpoint::verify(checkpoint, &origin(vault, *stream), key).map_err(ReceiptError::Checkpoint)?;
    // 2. The entry is the leaf at that place of that tree.
    let leaf = leaf_hash(*stream, *leaf_index, entry, state_digest);
    verify_inclusion(&leaf, *leaf_index, checkpoint.size, proof, &checkpoint.root)
        .map_err(ReceiptError::Proof)?;
    // 3. It is an audit entry.
    codec::decode(entry, JOURNAL_FRAME_LEN).map_err(ReceiptError::Entry)
}
