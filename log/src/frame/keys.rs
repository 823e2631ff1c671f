//! Keys of streams and of writer sessions.

use std::sync::Arc;

use vouchsafe_crypto::aead::SealingKey;
use vouchsafe_crypto::digest::{hkdf_sha256, hmac_sha256, preimage};
use vouchsafe_crypto::secret::Key32;
use vouchsafe_protocol::link::StreamId;
use zeroize::Zeroizing;

use crate::Hash;
use crate::leaf::stream_bytes;

/// Opens and seals the audit part of one writer's frames.
const AUDIT: &str = "vouchsafe/1/frame-audit";
/// Names the vault in a frame's header.
const VAULT: &[u8] = b"vouchsafe/1/frame-vault";
/// Opens and seals the state part of one writer's frames.
const STATE: &str = "vouchsafe/1/frame-state";
/// Commits leaves to changes of state without telling them.
const STATE_MAC: &str = "vouchsafe/1/frame-state-mac";

/// The vault-wide keys of sealed frames. Clones share one copy of the keys; it is wiped when the last of
/// them, readers included, is dropped.
#[derive(Clone)]
pub struct StreamKeys {
    journal: Arc<Key32>,
    audit: Arc<Key32>,
}

impl StreamKeys {
    /// Takes the key that opens changes of state and the one that opens audit entries.
    #[must_use]
    pub fn new(journal: Key32, audit: Key32) -> Self {
        Self { journal: Arc::new(journal), audit: Arc::new(audit) }
    }

    pub(super) fn vault(&self) -> [u8; 8] {
        vault_tag(&self.audit)
    }

    pub(super) fn writer(&self, stream: StreamId, epoch: u64, writer: &[u8; 32]) -> WriterKeys {
        let info = context(stream, epoch);
        let state = hkdf_sha256(&self.journal, writer, &[&preimage(STATE, &info.parts())]);
        WriterKeys {
            audit: audit_key(&self.audit, stream, epoch, writer),
            state: SealingKey::new(&state),
            state_mac: hkdf_sha256(&self.journal, writer, &[&preimage(STATE_MAC, &info.parts())]),
        }
    }
}

/// Keys of one writer session in one stream.
pub(super) struct WriterKeys {
    pub(super) audit: SealingKey,
    pub(super) state: SealingKey,
    pub(super) state_mac: Key32,
}

/// What the frames of a vault are marked with: the first 8 bytes of HMAC-SHA256 under its audit key.
pub(super) fn vault_tag(audit: &Key32) -> [u8; 8] {
    let mut tag = [0; 8];
    tag.iter_mut().zip(hmac_sha256(audit, VAULT)).for_each(|(to, from)| *to = from);
    tag
}

/// `HKDF(audit key, salt = writer, "vouchsafe/1/frame-audit" || LV(stream) || LV(epoch))`.
pub(super) fn audit_key(audit: &Key32, stream: StreamId, epoch: u64, writer: &[u8; 32]) -> SealingKey {
    let info = context(stream, epoch);
    SealingKey::new(&hkdf_sha256(audit, writer, &[&preimage(AUDIT, &info.parts())]))
}

/// What a leaf says about a change of state: HMAC-SHA256 under a key of this writer and leaf, so that who holds
/// a receipt can neither guess the change nor see that two are equal. Zero for an empty change.
#[must_use]
pub fn state_digest(state_mac: &Key32, leaf_index: u64, state: &[u8]) -> Hash {
    if state.is_empty() {
        return [0; 32];
    }
    // The leaf's index goes into a key of its own, so that the secret state need not be copied beside it.
    let mut bytes = Zeroizing::new(hmac_sha256(state_mac, &leaf_index.to_be_bytes()));
    #[expect(clippy::expect_used, reason = "an HMAC-SHA256 tag has the 32 bytes that Key32 takes")]
    let key = Key32::take(bytes.as_mut_slice()).expect("32 bytes");
    hmac_sha256(&key, state)
}

struct Context {
    stream: [u8; 9],
    epoch: [u8; 8],
}

impl Context {
    fn parts(&self) -> [&[u8]; 2] {
        [&self.stream, &self.epoch]
    }
}

fn context(stream: StreamId, epoch: u64) -> Context {
    Context { stream: stream_bytes(stream), epoch: epoch.to_be_bytes() }
}
