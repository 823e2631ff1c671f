//! Sealing frames.

use vouchsafe_crypto::aead::counter_nonce;
use vouchsafe_crypto::digest::sha256;
use vouchsafe_protocol::codec;
use vouchsafe_protocol::limits::JOURNAL_FRAME_LEN;
use vouchsafe_protocol::link::StreamId;
use vouchsafe_protocol::log::SealedFrame;

use super::chain::associated_data;
use super::keys::{StreamKeys, WriterKeys, state_digest};
use super::parts::{audit_part, state_part};
use super::{Entry, FRAME_OVERHEAD, FrameError, Position, VERSION};
use crate::Hash;
use crate::leaf::leaf_hash;

/// Seals the frames of one stream for one writer session.
///
/// It only moves forward: a frame that could not be stored is never sealed again under the same index. After a
/// failed append, begin a new writer session with a new random `writer`.
pub struct FrameWriter {
    keys: WriterKeys,
    vault: [u8; 8],
    stream: StreamId,
    epoch: u64,
    writer: [u8; 32],
    position: Position,
}

/// A sealed frame, and what a receipt for its entries needs.
pub struct Sealed {
    /// The frame, encoded, as the host stores it.
    pub bytes: Vec<u8>,
    /// Leaf hashes of the entries, in order.
    pub leaves: Vec<Hash>,
    /// State digests of the entries, in order.
    pub state_digests: Vec<Hash>,
}

impl FrameWriter {
    /// Begins a writer session at a place of a stream.
    ///
    /// `writer` must be fresh and random: the keys are derived from it, and no nonce repeats only because no
    /// other session has the same keys (not after a crash, not in a clone, not after a rollback).
    #[must_use]
    pub fn new(keys: &StreamKeys, stream: StreamId, epoch: u64, writer: [u8; 32], at: Position) -> Self {
        let vault = keys.vault();
        Self { keys: keys.writer(stream, epoch, &writer), vault, stream, epoch, writer, position: at }
    }

    /// Seals entries as the next frame. Nothing is sealed if there is an error.
    ///
    /// # Errors
    /// [`FrameError::Empty`] without entries, [`FrameError::TooLong`] if the frame could get longer than
    /// [`JOURNAL_FRAME_LEN`] (see [`Entry::sealed_len`]), [`FrameError::StreamFull`].
    pub fn seal(&mut self, entries: Vec<Entry>) -> Result<Sealed, FrameError> {
        let Position { index, previous, leaves: first_leaf } = self.position;
        if entries.is_empty() {
            return Err(FrameError::Empty { index });
        }
        let len = entries.iter().fold(FRAME_OVERHEAD, |len, entry| len.saturating_add(entry.sealed_len()));
        if len > JOURNAL_FRAME_LEN {
            return Err(FrameError::TooLong { len });
        }
        // Also for the leaves: `after` adds the same number.
        self.position.after(&[], entries.len())?;

        let state_digests: Vec<Hash> = entries
            .iter()
            .zip(first_leaf..)
            .map(|(entry, leaf)| state_digest(&self.keys.state_mac, leaf, entry.state.expose_secret()))
            .collect();
        let leaves = entries
            .iter()
            .zip(&state_digests)
            .zip(first_leaf..)
            .map(|((entry, digest), leaf)| leaf_hash(self.stream, leaf, &entry.audit, digest))
            .collect();
        let mut frame = SealedFrame {
            version: VERSION,
            vault: self.vault,
            stream: self.stream,
            index,
            epoch: self.epoch,
            writer: self.writer,
            previous,
            first_leaf,
            leaves,
            sealed_audit: Vec::new(),
            sealed_state: state_part(&entries),
        };
        let aad = associated_data(&frame);
        // Nonces: each index is sealed once by this writer, whose position moves on below whatever happens to
        // the frame, and the keys are this writer's and this part's alone.
        if !frame.sealed_state.is_empty() {
            self.keys.state.seal(counter_nonce(index), &aad, &mut frame.sealed_state);
        }
        frame.sealed_audit = audit_part(&sha256(&[&frame.sealed_state]), &entries, &state_digests);
        self.keys.audit.seal(counter_nonce(index), &aad, &mut frame.sealed_audit);
        // No wire type fails to encode; if one did, the ciphertext would have left this function in no form.
        let bytes = codec::encode(&frame).map_err(|_| FrameError::Malformed)?;
        self.position = self.position.after(&bytes, entries.len())?;
        Ok(Sealed { bytes, leaves: frame.leaves, state_digests })
    }

    /// The place after the last frame sealed.
    #[must_use]
    pub fn position(&self) -> &Position {
        &self.position
    }
}
