//! What passes between the host and the enclave.
//!
//! The enclave listens on one address; the host connects to it. The first frame of every connection is a
//! [`LinkHello`]. `Introduce` and `Session` connections then carry an agent's bytes, unread. On the one
//! `Storage` connection the enclave asks and the host answers; all messages are frames of at most
//! [`crate::limits::LINK_FRAME_LEN`] bytes. Every answer of the host is hostile input.

use serde::{Deserialize, Serialize};

/// Opens a connection from host to enclave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkHello {
    /// Introduction frames of one agent follow.
    Introduce,
    /// Inner TLS records of one agent that passed the gate follow.
    Session,
    /// The enclave asks for storage on this connection. A new one replaces the last.
    Storage,
}

/// An append-only stream of sealed frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StreamId {
    /// Every change of state.
    Journal,
    /// Every read, one stream per running enclave.
    Access {
        /// Epoch of the enclave that wrote it.
        epoch: u64,
    },
}

/// One frame for one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Append {
    /// Which stream.
    pub stream: StreamId,
    /// Index that the frame must get: the number of frames in the stream now. Fences a second writer.
    pub index: u64,
    /// The sealed frame, at most [`crate::limits::JOURNAL_FRAME_LEN`] bytes.
    #[serde(with = "serde_bytes")]
    pub frame: Vec<u8>,
}

/// A question of the enclave. Answered in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StorageRequest {
    /// Tells the host what to show on `/readyz` and whom its gate lets in. Answered by `Done`.
    Announce(EnclaveState),
    /// All of these become durable in one atomic write, or none. Answered by `Done` once durable.
    Append(Vec<Append>),
    /// Number of frames in each stream that has any. Answered by `Heads`.
    Heads,
    /// The boot record. Answered by `Boot`.
    ReadBoot,
    /// Frames of a stream from an index on: as many as fit into one reply, at least one if there is one.
    /// Answered by `Frames`.
    ReadFrames {
        /// Which stream.
        stream: StreamId,
        /// First index wanted.
        from: u64,
    },
    /// Replaces the boot record, atomically and durably. Answered by `Done`.
    WriteBoot(Vec<u8>),
}

/// An answer of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StorageReply {
    /// The boot record, if there is one.
    Boot(Option<Vec<u8>>),
    /// Done, and durable where that was asked.
    Done,
    /// It could not be done; nothing of it was.
    Failed(StorageFailure),
    /// Frames, in order; empty at the end of the stream.
    Frames(#[serde(with = "byte_strings")] Vec<Vec<u8>>),
    /// Streams and their number of frames.
    Heads(Vec<(StreamId, u64)>),
    /// Done, of an append; and space is left for little more than decisions of operators.
    Scarce,
}

/// Why the host could not store or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum StorageFailure {
    /// An append did not extend the stream: another writer was there first.
    #[error("the stream has another head than expected; another enclave may be writing to the same store")]
    Conflict,
    /// Writing or reading failed; after a failed fsync nothing more is written.
    #[error("the host's store failed; see the host's log")]
    Io,
    /// The disk is full.
    #[error("the host's disk is full; free space on it and restart the host")]
    NoSpace,
    /// The request is beyond a limit.
    #[error("the request is too large for the host")]
    TooLarge,
}

/// What the enclave is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnclaveState {
    /// It refuses the stored state or cannot unseal; `reason` is a public, stable text.
    Failed {
        /// Stable code such as `journal.rolled_back`.
        reason: String,
    },
    /// Sealed by an operator; it serves again after a restart.
    Sealed,
    /// It serves. Only client certificates under `authority` may pass the gate.
    Serving {
        /// DER of the vault's certificate authority.
        authority: Vec<u8>,
        /// Text form of the vault id.
        vault_id: String,
    },
    /// There is no vault yet; introductions are relayed so that an operator can `init`.
    Uninitialised,
}

/// ALPN of an introduction on the outer TLS.
pub const ALPN_INTRODUCE: &[u8] = b"vouchsafe-introduce/1";
/// ALPN of a relayed session on the outer TLS.
pub const ALPN_RELAY: &[u8] = b"vouchsafe-relay/1";
/// ALPN of the inner TLS that ends in the enclave.
pub const ALPN_SESSION: &[u8] = b"vouchsafe-session/1";

/// Byte strings in one piece each: the same bytes on the wire as sequences of numbers.
mod byte_strings {
    use serde::{Deserialize, Deserializer, Serializer};
    use serde_bytes::{ByteBuf, Bytes};

    pub(super) fn serialize<S: Serializer>(strings: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(strings.iter().map(|string| Bytes::new(string)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<u8>>, D::Error> {
        let strings = Vec::<ByteBuf>::deserialize(deserializer)?;
        Ok(strings.into_iter().map(ByteBuf::into_vec).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    #[test]
    fn frames_are_byte_strings_on_the_wire() {
        let reply = StorageReply::Frames(vec![vec![7, 8], vec![], vec![9]]);
        let bytes = codec::encode(&reply).unwrap();
        assert_eq!(bytes, [3, 3, 2, 7, 8, 0, 1, 9]);
        assert_eq!(codec::decode(&bytes, bytes.len()), Ok(reply));
    }
}
