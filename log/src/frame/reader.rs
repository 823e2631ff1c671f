//! Replay: opening both parts of every frame of a stream, from its start.

use vouchsafe_crypto::aead::counter_nonce;
use vouchsafe_crypto::digest::sha256;
use vouchsafe_crypto::secret::SecretBytes;
use vouchsafe_protocol::codec;
use vouchsafe_protocol::limits::JOURNAL_FRAME_LEN;
use vouchsafe_protocol::link::StreamId;
use vouchsafe_protocol::log::AuditEntry;
use zeroize::Zeroizing;

use super::chain::{Chain, associated_data, check_leaves};
use super::keys::{StreamKeys, WriterKeys, state_digest};
use super::parts::{split_audit, split_state};
use super::{FrameError, Position};
use crate::Hash;

/// Opens the frames of one stream in order. After an error its position is unchanged.
pub struct FrameReader {
    keys: StreamKeys,
    chain: Chain,
    /// Keys of the writer session met last: most frames follow one of the same session.
    session: Option<(u64, [u8; 32], WriterKeys)>,
}

/// A frame that passed every check.
pub struct OpenedFrame {
    /// Epoch of the enclave that wrote it.
    pub epoch: u64,
    /// Entries and their changes of state, in order.
    pub entries: Vec<(AuditEntry, SecretBytes)>,
    /// Their leaf hashes.
    pub leaves: Vec<Hash>,
}

impl FrameReader {
    /// Begins at the start of a stream.
    #[must_use]
    pub fn new(keys: &StreamKeys, stream: StreamId) -> Self {
        Self { keys: keys.clone(), chain: Chain::new(keys.vault(), stream), session: None }
    }

    /// Opens the next frame.
    ///
    /// # Errors
    /// [`FrameError`], by the first step that fails.
    pub fn open(&mut self, bytes: &[u8]) -> Result<OpenedFrame, FrameError> {
        // 1. to 8. The frame's form and place.
        let mut frame = self.chain.decode(bytes)?;
        let index = frame.index;
        let aad = associated_data(&frame);
        let state_hash = sha256(&[&frame.sealed_state]);
        let keys = match self.session.take() {
            Some((epoch, writer, keys)) if epoch == frame.epoch && writer == frame.writer => keys,
            _ => self.keys.writer(frame.stream, frame.epoch, &frame.writer),
        };
        let (_, _, keys) = self.session.insert((frame.epoch, frame.writer, keys));

        // 9. The state part opens. None at all is judged by step 11.
        let mut state = Zeroizing::new(core::mem::take(&mut frame.sealed_state));
        if !state.is_empty() {
            keys.state
                .open(counter_nonce(index), &aad, &mut state)
                .map_err(|_| FrameError::EditedState { index })?;
        }
        // 10. The audit part opens. Now the header is authentic.
        let mut audit = Zeroizing::new(core::mem::take(&mut frame.sealed_audit));
        keys.audit
            .open(counter_nonce(index), &aad, &mut audit)
            .map_err(|_| FrameError::EditedAudit { index })?;
        let (sealed_state_hash, audited) = split_audit(&audit).ok_or(FrameError::Malformed)?;
        // 11. The state part is the one that the audit part was sealed with.
        if sealed_state_hash != state_hash {
            return Err(FrameError::EditedState { index });
        }
        // 12. As many leaves as entries, each the hash of its entry and state digest.
        check_leaves(&frame, &audited)?;
        let states = split_state(&state, audited.len()).ok_or(FrameError::LeafCount { index })?;
        // 13. Each state digest is that of its state.
        for ((state, (_, digest)), leaf) in states.iter().zip(&audited).zip(frame.first_leaf..) {
            if *digest != state_digest(&keys.state_mac, leaf, state.expose_secret()) {
                return Err(FrameError::StateDigest { index: leaf });
            }
        }
        // 14. Each entry is one.
        let entries = audited.iter().map(|(entry, _)| codec::decode(entry, JOURNAL_FRAME_LEN));
        let entries = entries
            .zip(states)
            .map(|(entry, state)| Ok((entry.map_err(|_| FrameError::Entry { index })?, state)))
            .collect::<Result<Vec<_>, FrameError>>()?;
        self.chain.advance(bytes, frame.epoch, frame.leaves.len())?;
        Ok(OpenedFrame { epoch: frame.epoch, entries, leaves: frame.leaves })
    }

    /// The place after the last frame opened.
    #[must_use]
    pub fn position(&self) -> Position {
        self.chain.position.clone()
    }
}
