//! The key tree: everything below the root key, each with one label (see `docs/KEYS.md`).

use vouchsafe_crypto::digest::hkdf_sha256;
use vouchsafe_crypto::secret::Key32;
use vouchsafe_crypto::signature::{LogKey, SignatureError};
use vouchsafe_log::frame::StreamKeys;

/// Opens audit entries; auditors may hold it.
const AUDIT: &[u8] = b"vouchsafe/1/key/audit";
/// Opens changes of state; never leaves the core.
const JOURNAL: &[u8] = b"vouchsafe/1/key/journal";
/// Seed of the key that signs checkpoints.
const LOG: &[u8] = b"vouchsafe/1/key/log";

/// Version of the tree; bound into every key, so a rotation gives a new tree.
const TREE_VERSION: [u8; 4] = 1u32.to_be_bytes();

/// The key that opens the audit part of every record.
pub(crate) fn audit_key(root: &Key32) -> Key32 {
    hkdf_sha256(root, b"", &[AUDIT, &TREE_VERSION])
}

/// The keys of both streams.
pub(crate) fn stream_keys(root: &Key32) -> StreamKeys {
    StreamKeys::new(hkdf_sha256(root, b"", &[JOURNAL, &TREE_VERSION]), audit_key(root))
}

/// The key that signs checkpoints.
pub(crate) fn log_key(root: &Key32) -> Result<LogKey, SignatureError> {
    LogKey::from_seed(&hkdf_sha256(root, b"", &[LOG, &TREE_VERSION]))
}
