//! What every reader of a stream checks without a key, and what sealing authenticates.

use vouchsafe_crypto::digest::{preimage, sha256};
use vouchsafe_protocol::codec;
use vouchsafe_protocol::limits::JOURNAL_FRAME_LEN;
use vouchsafe_protocol::link::StreamId;
use vouchsafe_protocol::log::SealedFrame;

use super::{FrameError, Position, VERSION};
use crate::Hash;
use crate::leaf::{leaf_hash, stream_bytes};

/// Domain tag of a frame's associated data.
const FRAME: &str = "vouchsafe/1/frame";

/// The expected next frame of one stream.
pub(super) struct Chain {
    vault: [u8; 8],
    pub(super) stream: StreamId,
    pub(super) position: Position,
    /// Epoch of the last frame; 0 before the first.
    epoch: u64,
}

impl Chain {
    pub(super) fn new(vault: [u8; 8], stream: StreamId) -> Self {
        Self { vault, stream, position: Position::default(), epoch: 0 }
    }

    /// Decodes the next frame and checks its place. Nothing it says is believed by this: a header can only
    /// lead to a refusal here, and is authenticated when the parts are opened.
    pub(super) fn decode(&self, bytes: &[u8]) -> Result<SealedFrame, FrameError> {
        // 1. Length, before anything is allocated.
        if bytes.len() > JOURNAL_FRAME_LEN {
            return Err(FrameError::TooLong { len: bytes.len() });
        }
        // 2. Version: the first byte. It alone decides the format and its one algorithm.
        match bytes.first() {
            Some(&VERSION) => {}
            Some(&actual) => return Err(FrameError::Version { actual }),
            None => return Err(FrameError::Malformed),
        }
        // 3. One canonical encoding.
        let frame: SealedFrame =
            codec::decode(bytes, JOURNAL_FRAME_LEN).map_err(|_| FrameError::Malformed)?;
        // 4. This vault and this stream.
        if frame.vault != self.vault {
            return Err(FrameError::ForeignVault { index: frame.index });
        }
        if frame.stream != self.stream {
            return Err(FrameError::WrongStream { actual: frame.stream });
        }
        // 5. The next index.
        if frame.index != self.position.index {
            return Err(FrameError::Index { expected: self.position.index, actual: frame.index });
        }
        // 6. The frame before.
        if frame.previous != self.position.previous {
            return Err(FrameError::Chain { index: frame.index });
        }
        // 7. The leaves before, and at least one here.
        if frame.first_leaf != self.position.leaves {
            return Err(FrameError::FirstLeaf { expected: self.position.leaves, actual: frame.first_leaf });
        }
        if frame.leaves.is_empty() {
            return Err(FrameError::Empty { index: frame.index });
        }
        // 8. Epochs only grow, and an access log has one.
        if frame.epoch < self.epoch {
            return Err(FrameError::EpochBack { last: self.epoch, actual: frame.epoch });
        }
        match self.stream {
            StreamId::Access { epoch } if epoch != frame.epoch => {
                return Err(FrameError::EpochForeign { expected: epoch, actual: frame.epoch });
            }
            StreamId::Access { .. } | StreamId::Journal => {}
        }
        Ok(frame)
    }

    /// Moves past a frame that was authenticated.
    pub(super) fn advance(&mut self, bytes: &[u8], epoch: u64, leaves: usize) -> Result<(), FrameError> {
        self.position = self.position.after(bytes, leaves)?;
        self.epoch = epoch;
        Ok(())
    }
}

impl Position {
    pub(super) fn after(&self, bytes: &[u8], leaves: usize) -> Result<Self, FrameError> {
        let index = self.index.checked_add(1).ok_or(FrameError::StreamFull)?;
        let leaves = self.leaves.checked_add(leaves as u64).ok_or(FrameError::StreamFull)?;
        Ok(Self { index, previous: sha256(&[bytes]), leaves })
    }
}

/// The associated data of both parts: every field of the frame but the parts themselves.
pub(super) fn associated_data(frame: &SealedFrame) -> Vec<u8> {
    let SealedFrame {
        version,
        vault,
        stream,
        index,
        epoch,
        writer,
        previous,
        first_leaf,
        leaves,
        sealed_audit: _,
        sealed_state: _,
    } = frame;
    preimage(
        FRAME,
        &[
            &[*version],
            vault,
            &stream_bytes(*stream),
            &index.to_be_bytes(),
            &epoch.to_be_bytes(),
            writer,
            previous,
            &first_leaf.to_be_bytes(),
            leaves.as_flattened(),
        ],
    )
}

/// Recomputes every leaf from its encoded entry and state digest.
pub(super) fn check_leaves(frame: &SealedFrame, entries: &[(&[u8], Hash)]) -> Result<(), FrameError> {
    if entries.len() != frame.leaves.len() {
        return Err(FrameError::LeafCount { index: frame.index });
    }
    for ((leaf, (entry, digest)), index) in frame.leaves.iter().zip(entries).zip(frame.first_leaf..) {
        if *leaf != leaf_hash(frame.stream, index, entry, digest) {
            return Err(FrameError::Leaf { index });
        }
    }
    Ok(())
}
