//! The auditor's reading: only the audit part, with only the audit key.

use std::sync::Arc;

use vouchsafe_crypto::aead::counter_nonce;
use vouchsafe_crypto::digest::sha256;
use vouchsafe_crypto::secret::Key32;
use vouchsafe_protocol::codec;
use vouchsafe_protocol::limits::JOURNAL_FRAME_LEN;
use vouchsafe_protocol::link::StreamId;
use vouchsafe_protocol::log::AuditEntry;
use zeroize::Zeroizing;

use super::chain::{Chain, associated_data, check_leaves};
use super::keys::{audit_key, vault_tag};
use super::parts::split_audit;
use super::{FrameError, Position};
use crate::Hash;

/// Opens the audit parts of one stream in order. After an error its position is unchanged.
///
/// It cannot open changes of state, but notices any edit of them: the audit part names their hash.
pub struct AuditReader {
    key: Arc<Key32>,
    chain: Chain,
}

/// The audit part of a frame that passed every check.
pub struct AuditedFrame {
    /// Epoch of the enclave that wrote it.
    pub epoch: u64,
    /// Audit entries, in order.
    pub entries: Vec<AuditEntry>,
    /// Their leaf hashes.
    pub leaves: Vec<Hash>,
}

impl AuditReader {
    /// Begins at the start of a stream, with the vault's audit key (shared among the readers of its streams).
    #[must_use]
    pub fn new(key: impl Into<Arc<Key32>>, stream: StreamId) -> Self {
        let key = key.into();
        let chain = Chain::new(vault_tag(&key), stream);
        Self { key, chain }
    }

    /// Opens the audit part of the next frame.
    ///
    /// Left to the caller: that the leaves make the tree of a checkpoint signed by the vault. The audit key
    /// alone proves no author: every auditor holds it.
    ///
    /// # Errors
    /// [`FrameError`], by the first step that fails.
    pub fn open(&mut self, bytes: &[u8]) -> Result<AuditedFrame, FrameError> {
        // 1. to 8. The frame's form and place.
        let mut frame = self.chain.decode(bytes)?;
        let index = frame.index;
        let aad = associated_data(&frame);
        // 9. The audit part opens. Now the header is authentic.
        let key = audit_key(&self.key, frame.stream, frame.epoch, &frame.writer);
        let mut audit = Zeroizing::new(core::mem::take(&mut frame.sealed_audit));
        key.open(counter_nonce(index), &aad, &mut audit).map_err(|_| FrameError::EditedAudit { index })?;
        let (state_hash, audited) = split_audit(&audit).ok_or(FrameError::Malformed)?;
        // 10. The state part is the one that the audit part was sealed with.
        if state_hash != sha256(&[&frame.sealed_state]) {
            return Err(FrameError::EditedState { index });
        }
        // 11. As many leaves as entries, each the hash of its entry and state digest.
        check_leaves(&frame, &audited)?;
        // 12. Each entry is one.
        let entries = audited
            .iter()
            .map(|(entry, _)| {
                codec::decode(entry, JOURNAL_FRAME_LEN).map_err(|_| FrameError::Entry { index })
            })
            .collect::<Result<Vec<_>, _>>()?;
        self.chain.advance(bytes, frame.epoch, frame.leaves.len())?;
        Ok(AuditedFrame { epoch: frame.epoch, entries, leaves: frame.leaves })
    }

    /// The place after the last frame opened.
    #[must_use]
    pub fn position(&self) -> Position {
        self.chain.position.clone()
    }
}
