//! What a leaf of the log commits to.

use vouchsafe_crypto::digest::{preimage, sha256};
use vouchsafe_protocol::link::StreamId;

use crate::Hash;

/// Domain tag of a leaf.
const LEAF: &str = "vouchsafe/1/leaf";

/// The leaf hash of RFC 6962 section 2.1 over
/// `"vouchsafe/1/leaf" || LV(stream) || LV(index, 8 bytes big-endian) || LV(SHA-256(entry)) || LV(state digest)`.
///
/// `entry` is the encoded audit entry. It holds a random blind, so the hash tells nothing to those who see
/// only hashes.
#[must_use]
pub fn leaf_hash(stream: StreamId, leaf_index: u64, entry: &[u8], state_digest: &Hash) -> Hash {
    let parts: [&[u8]; 4] =
        [&stream_bytes(stream), &leaf_index.to_be_bytes(), &sha256(&[entry]), state_digest];
    sha256(&[&[0x00], &preimage(LEAF, &parts)])
}

/// A stream inside hashed statements, 9 bytes: 0 and zeros for the journal; 1 and the epoch, big-endian, for an
/// access log.
pub(crate) fn stream_bytes(stream: StreamId) -> [u8; 9] {
    let (kind, epoch) = match stream {
        StreamId::Journal => (0, 0),
        StreamId::Access { epoch } => (1, epoch),
    };
    let mut bytes = [0; 9];
    let (head, tail) = bytes.split_at_mut(1);
    head.fill(kind);
    tail.copy_from_slice(&epoch.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b2_a_leaf_commits_to_each_of_its_parts() {
        let leaf = leaf_hash(StreamId::Journal, 7, b"entry", &[0; 32]);
        assert_ne!(leaf, leaf_hash(StreamId::Access { epoch: 0 }, 7, b"entry", &[0; 32]));
        assert_ne!(leaf, leaf_hash(StreamId::Journal, 8, b"entry", &[0; 32]));
        assert_ne!(leaf, leaf_hash(StreamId::Journal, 7, b"entrz", &[0; 32]));
        assert_ne!(leaf, leaf_hash(StreamId::Journal, 7, b"entry", &[1; 32]));
        assert_ne!(stream_bytes(StreamId::Access { epoch: 1 }), stream_bytes(StreamId::Access { epoch: 2 }));
    }
}
