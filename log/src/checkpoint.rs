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
use vouchsafe_crypto::digest::sha256;
use vouchsafe_crypto::signature::{LogKey, LogPublicKey};
use vouchsafe_protocol::id::VaultId;
use vouchsafe_protocol::link::StreamId;

use crate::Hash;


/// Largest checkpoint in bytes; a genuine one stays below 500.
pub const CHECKPOINT_LEN: usize = 1024;

/// C2SP signed-note: the algorithm byte of Ed25519.
const ED25519: u8 = 0x01;

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
        sign_note(&self.text(), &self.origin, key)
    }

    /// Verifies a note and returns what it says.
    ///
    /// Left to the caller: whether it is new enough and consistent with checkpoints seen before.
    ///
    /// # Errors
    /// [`CheckpointError`], by the first step that fails.
    pub fn verify(note: &[u8], origin: &str, key: &LogPublicKey) -> Result<Self, CheckpointError> {
        // 1. Length.
        if note.len() > CHECKPOINT_LEN {
            return Err(CheckpointError::TooLong { len: note.len() });
        }
        // 2. Form: a text, an empty line, one signature line.
        let note = core::str::from_utf8(note).map_err(|_| CheckpointError::Malformed)?;
        let (body, signature) = note.rsplit_once("\n\n").ok_or(CheckpointError::Malformed)?;
        let text = format!("{body}\n");
        let (name, blob) = signature
            .strip_prefix("\u{2014} ")
            .and_then(|line| line.strip_suffix('\n'))
            .and_then(|line| line.split_once(' '))
            .ok_or(CheckpointError::Malformed)?;
        let blob: [u8; 68] =
            BASE64.decode(blob).ok().and_then(|b| b.try_into().ok()).ok_or(CheckpointError::Malformed)?;
        let (hash, signature) = blob.split_at(4);
        // 3. The name of the key.
        if name != origin {
            return Err(CheckpointError::Signer);
        }
        // 4. The hash of the key.
        if hash != key_hash(name, key) {
            return Err(CheckpointError::Key);
        }
        // 5. The signature. Only now is the text believed.
        key.verify(text.as_bytes(), signature).map_err(|_| CheckpointError::Signature)?;
        Self::parse(&text, origin)
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

/// C2SP signed-note: the text, an empty line, and a line with the signature.
fn sign_note(text: &str, name: &str, key: &LogKey) -> Vec<u8> {
    let mut blob = key_hash(name, &key.public()).to_vec();
    blob.extend_from_slice(&key.sign(text.as_bytes()));
    format!("{text}\n\u{2014} {name} {}\n", BASE64.encode(blob)).into_bytes()
}

/// C2SP signed-note: `SHA-256(key name || 0x0A || 0x01 || public key)`, its first four bytes.
fn key_hash(name: &str, key: &LogPublicKey) -> [u8; 4] {
    let [a, b, c, d, ..] = sha256(&[name.as_bytes(), &[b'\n', ED25519], &key.0]);
    [a, b, c, d]
}
