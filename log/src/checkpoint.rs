//! Checkpoints: a signed statement of what a log is, as C2SP tlog-checkpoint inside a C2SP signed-note.
//!
//! ```text
//! vouchsafe/<vault id>/journal
//! <number of leaves, decimal>
//! <root hash, base64>
//! rung R1
//!
//! — vouchsafe/<vault id>/journal <base64 of key hash, 4 bytes, and Ed25519 signature, 64 bytes>
//! ```
//!
//! The fourth line is an extension line: the rung of the freshness ladder in force.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use vouchsafe_crypto::signature::{LogKey, LogPublicKey};
use vouchsafe_protocol::id::VaultId;
use vouchsafe_protocol::link::StreamId;

use crate::Hash;

mod note;
#[cfg(test)]
mod tests;

/// Largest checkpoint in bytes; a genuine one stays below 500.
pub const CHECKPOINT_LEN: usize = 1024;

/// What the log's key says about one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Names the vault and the stream; also the name of the key.
    pub origin: String,
    /// Number of leaves.
    pub size: u64,
    /// Root of the tree with that many leaves.
    pub root: Hash,
    /// How a rollback would be noticed.
    pub rung: Rung,
}

/// Rung of the freshness ladder (design section 7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// Tampering is detected; clients that remember a newer checkpoint notice a rollback.
    R0,
    /// R0, and a hardware counter per epoch.
    R1,
}

/// Why a note is not a checkpoint of this vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The key hash is that of another key or name.
    #[error("the checkpoint is signed by another key")]
    Key,
    /// Not the text of a signed note with one signature.
    #[error("the checkpoint is malformed")]
    Malformed,
    /// The text is about another vault or stream.
    #[error("the checkpoint is of another vault or stream")]
    Origin,
    /// The root is not 32 bytes in base64.
    #[error("the checkpoint's root is malformed")]
    Root,
    /// The extension line names no rung known here, is missing, or more lines follow.
    #[error("the checkpoint names no known freshness rung")]
    Rung,
    /// The signature is not by this key over this text.
    #[error("the checkpoint's signature does not verify")]
    Signature,
    /// The signature line names another vault or stream.
    #[error("the checkpoint is signed under another name")]
    Signer,
    /// The size is not a canonical decimal number.
    #[error("the checkpoint's size is malformed")]
    Size,
    /// Longer than [`CHECKPOINT_LEN`].
    #[error("a checkpoint of {len} bytes exceeds the limit")]
    TooLong {
        /// Length in bytes.
        len: usize,
    },
}

/// Origin of a stream's checkpoints: `vouchsafe/<vault id>/journal` or `vouchsafe/<vault id>/access/<epoch>`.
#[must_use]
pub fn origin(vault: &VaultId, stream: StreamId) -> String {
    match stream {
        StreamId::Journal => format!("vouchsafe/{vault}/journal"),
        StreamId::Access { epoch } => format!("vouchsafe/{vault}/access/{epoch}"),
    }
}

impl Checkpoint {
    /// Signs, and returns the note.
    #[must_use]
    pub fn sign(&self, key: &LogKey) -> Vec<u8> {
        note::sign(&self.text(), &self.origin, key)
    }

    /// Verifies a note and returns what it says.
    ///
    /// Left to the caller: whether it is new enough and consistent with checkpoints seen before.
    ///
    /// # Errors
    /// [`CheckpointError`], by the first step that fails.
    pub fn verify(note: &[u8], origin: &str, key: &LogPublicKey) -> Result<Self, CheckpointError> {
        // 1. to 5. The note is signed by this key under this name.
        let text = note::open(note, origin, key)?;
        Self::parse(text, origin)
    }

    /// C2SP tlog-checkpoint, "Note text": origin, size, root, extension lines.
    fn text(&self) -> String {
        let Self { origin, size, root, rung } = self;
        let rung = match rung {
            Rung::R0 => "R0",
            Rung::R1 => "R1",
        };
        format!("{origin}\n{size}\n{}\nrung {rung}\n", BASE64.encode(root))
    }

    fn parse(text: &str, origin: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.lines();
        // 6. The text is about this stream of this vault.
        if lines.next() != Some(origin) {
            return Err(CheckpointError::Origin);
        }
        // 7. Size: decimal without leading zeros.
        let size = lines.next().unwrap_or_default();
        let size: u64 =
            size.parse().ok().filter(|n: &u64| n.to_string() == size).ok_or(CheckpointError::Size)?;
        // 8. Root.
        let root = lines.next().unwrap_or_default();
        let root = BASE64.decode(root).ok().and_then(|r| r.try_into().ok()).ok_or(CheckpointError::Root)?;
        // 9. The rung, and nothing after it.
        let rung = match (lines.next(), lines.next()) {
            (Some("rung R0"), None) => Rung::R0,
            (Some("rung R1"), None) => Rung::R1,
            _ => return Err(CheckpointError::Rung),
        };
        let checkpoint = Self { origin: origin.to_owned(), size, root, rung };
        // 10. There is one way to write it (line ends, for one).
        if checkpoint.text() == text { Ok(checkpoint) } else { Err(CheckpointError::Malformed) }
    }
}
