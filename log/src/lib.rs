//! Merkle trees, checkpoints, receipts and sealed frames.
