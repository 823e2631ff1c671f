//! Sealed frames: one group commit of one stream, as the host stores it. Format version 1.
//!
//! The enclave writes and replays them ([`FrameWriter`], [`FrameReader`]); an auditor opens only the audit part
//! ([`AuditReader`]). The host controls every byte that a reader sees. What must stay true: a reader returns
//! only entries that a holder of the keys sealed, for this stream, in this order, with none missing before.
//!
//! | part | key | plaintext |
//! |---|---|---|
//! | `sealed_audit` | `vouchsafe/1/frame-audit` | SHA-256 of `sealed_state`, then for each entry `LV(audit entry)` and its state digest, 32 bytes |
//! | `sealed_state` | `vouchsafe/1/frame-state` | for each entry `LV(change of state)`; no bytes at all if every change is empty |
//!
//! Both are AES-256-GCM with the frame's index as nonce and all other fields of the frame as associated data.

use vouchsafe_crypto::secret::SecretBytes;
use vouchsafe_protocol::limits::JOURNAL_FRAME_LEN;
use vouchsafe_protocol::link::StreamId;
use zeroize::Zeroize;

use crate::Hash;

mod audit;
mod chain;
mod keys;
mod parts;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use audit::{AuditReader, AuditedFrame};
pub use keys::{StreamKeys, state_digest};
pub use reader::{FrameReader, OpenedFrame};
pub use writer::{FrameWriter, Sealed};

/// The format version that is written and read.
pub const VERSION: u8 = 1;
/// Bytes of a frame beyond its entries, at most: version, stream, five integers, two hashes, three lengths,
/// two tags and one hash.
pub const FRAME_OVERHEAD: usize = 256;
/// Bytes of an entry beyond its two parts, at most: a leaf, a state digest and two lengths.
pub const ENTRY_OVERHEAD: usize = 72;

/// One entry to be sealed. Both parts are wiped on drop.
pub struct Entry {
    /// The audit entry, encoded.
    pub audit: Vec<u8>,
    /// The change of state, encoded; may be empty.
    pub state: SecretBytes,
}

impl Entry {
    /// What the entry adds to a frame in bytes, at most. A frame whose entries add up to
    /// [`JOURNAL_FRAME_LEN`] less [`FRAME_OVERHEAD`] can be sealed.
    #[must_use]
    pub fn sealed_len(&self) -> usize {
        self.audit.len().saturating_add(self.state.len()).saturating_add(ENTRY_OVERHEAD)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.audit.zeroize();
    }
}

/// A place between two frames of a stream; the default is its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Index of the next frame.
    pub index: u64,
    /// SHA-256 of the frame before, as stored; zero at the start.
    pub previous: Hash,
    /// Number of leaves so far.
    pub leaves: u64,
}

/// Why a frame is refused, or cannot be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The frame does not name the frame before it: something was replaced or spliced.
    #[error("frame {index} does not follow the frame before it")]
    Chain {
        /// Index of the frame.
        index: u64,
    },
    /// The audit part was changed, or belongs to another frame, stream or vault.
    #[error("the audit part of frame {index} was changed or is of another vault")]
    EditedAudit {
        /// Index of the frame.
        index: u64,
    },
    /// The state part was changed, or belongs to another frame, stream or vault.
    #[error("the state part of frame {index} was changed or is of another vault")]
    EditedState {
        /// Index of the frame.
        index: u64,
    },
    /// A frame has at least one entry.
    #[error("frame {index} has no entry")]
    Empty {
        /// Index of the frame.
        index: u64,
    },
    /// An audit entry does not decode.
    #[error("frame {index} holds a malformed audit entry")]
    Entry {
        /// Index of the frame.
        index: u64,
    },
    /// The epoch is older than that of the frame before.
    #[error("the epoch goes back from {last} to {actual}")]
    EpochBack {
        /// Epoch of the frame before.
        last: u64,
        /// Epoch of this frame.
        actual: u64,
    },
    /// An access log holds frames of one epoch only.
    #[error("a frame of epoch {actual} in the access log of epoch {expected}")]
    EpochForeign {
        /// The stream's epoch.
        expected: u64,
        /// Epoch of this frame.
        actual: u64,
    },
    /// The frame counts the leaves before it otherwise.
    #[error("the frame begins at leaf {actual}, not at {expected}")]
    FirstLeaf {
        /// Leaves so far.
        expected: u64,
        /// As the frame says.
        actual: u64,
    },
    /// The frame is marked with another vault's key.
    #[error("frame {index} belongs to another vault")]
    ForeignVault {
        /// Index of the frame, as it says.
        index: u64,
    },
    /// A frame is missing, repeated or out of order.
    #[error("frame {actual} stands where frame {expected} belongs")]
    Index {
        /// Index of the next frame.
        expected: u64,
        /// As the frame says.
        actual: u64,
    },
    /// A leaf is not the hash of its entry.
    #[error("leaf {index} does not commit to its entry")]
    Leaf {
        /// Index of the leaf in its stream.
        index: u64,
    },
    /// The numbers of leaves, audit entries and changes of state differ.
    #[error("frame {index} has another number of leaves than of entries")]
    LeafCount {
        /// Index of the frame.
        index: u64,
    },
    /// The bytes are not a frame in canonical form.
    #[error("the frame is malformed")]
    Malformed,
    /// The stream has reached its end: 2^64 frames or leaves.
    #[error("the stream is full")]
    StreamFull,
    /// A change of state is not the one that its audit entry was sealed with.
    #[error("leaf {index} does not commit to its change of state")]
    StateDigest {
        /// Index of the leaf in its stream.
        index: u64,
    },
    /// Longer than [`JOURNAL_FRAME_LEN`].
    #[error("a frame of {len} bytes exceeds the limit of {JOURNAL_FRAME_LEN}")]
    TooLong {
        /// Length in bytes; when sealing, the most it could become.
        len: usize,
    },
    /// Another format version.
    #[error("frame format version {actual} is not supported")]
    Version {
        /// As the frame says.
        actual: u8,
    },
    /// The frame belongs to another stream.
    #[error("the frame is of another stream")]
    WrongStream {
        /// As the frame says.
        actual: StreamId,
    },
}
