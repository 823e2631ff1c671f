//! Merkle trees, checkpoints, receipts and sealed frames.
//!
//! Trusted for: what the host stores can be neither read nor changed, dropped, reordered or carried over from
//! another stream, writer or vault without a refusal that names what is wrong.
//! Not trusted for: freshness. A whole stream cut short is a valid older stream; the caller compares its
//! length and root with a counter, a checkpoint or a witness.
//! Left to the caller: a random `writer` for each writer session, durable storage, and randomness in entries.

pub mod checkpoint;
pub mod frame;
pub mod leaf;
pub mod merkle;
pub mod receipt;

/// A SHA-256 hash.
pub type Hash = [u8; 32];

pub use checkpoint::{Checkpoint, CheckpointError, Rung, origin};
pub use frame::{
    AuditReader, AuditedFrame, Entry, FrameError, FrameReader, FrameWriter, OpenedFrame, Position, Sealed,
    StreamKeys, state_digest,
};
pub use leaf::leaf_hash;
pub use merkle::verify::{ProofError, verify_consistency, verify_inclusion};
pub use merkle::{BatchProofs, Frontier, Tree};
pub use receipt::{ReceiptError, verify_receipt};
