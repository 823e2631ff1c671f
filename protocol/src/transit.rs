//! Keys that never leave the vault, and their use: requests and replies of the transit engine.
//!
//! A key's path is whole and canonical, its mount included: `transit/billing/invoices`. Every use takes a batch
//! of 1 to [`crate::limits::TRANSIT_ITEMS`] items and answers each on its own, in order.

use serde::{Deserialize, Serialize};

use crate::kv::SecretValue;
use crate::limits::TRANSIT_ITEMS;
use crate::path::Path;

mod key;
mod sealed;

pub use key::{Derivation, KeyConfig, KeyConfiguration, KeyKind, KeyMetadata, KeyOptions, KeyVersion};
pub use sealed::{Ciphertext, CiphertextError, FORMAT, HEADER_LEN, OVERHEAD_LEN, SALT_LEN};

/// What to do with a key.
#[derive(Debug, Serialize, Deserialize)]
pub enum TransitRequest {
    /// Changes settings of a key.
    Configure {
        /// Which key.
        key: Path,
        /// What changes.
        config: KeyConfig,
    },
    /// Makes a new key.
    Create {
        /// Where; there must be none yet.
        key: Path,
        /// What it is for good.
        options: KeyOptions,
    },
    /// Makes new random keys for use elsewhere, each wrapped (encrypted) under this one.
    DataKey {
        /// The wrapping key.
        key: Path,
        /// Whether the new keys are told as well.
        form: DataKeyForm,
        /// Length of each in bytes, [`crate::limits::DATA_KEY_LEN`].
        len: u8,
        /// What each is bound to.
        #[serde(deserialize_with = "crate::kv::bounded::list::<_, _, TRANSIT_ITEMS>")]
        items: Vec<Binding>,
    },
    /// Decrypts.
    Decrypt {
        /// Which key.
        key: Path,
        /// Ciphertexts.
        #[serde(deserialize_with = "crate::kv::bounded::list::<_, _, TRANSIT_ITEMS>")]
        items: Vec<DecryptItem>,
    },
    /// Wipes a key and all of its versions.
    Delete {
        /// Which key.
        key: Path,
    },
    /// Encrypts.
    Encrypt {
        /// Which key.
        key: Path,
        /// Under which version; the current one if none.
        version: Option<u32>,
        /// Plaintexts.
        #[serde(deserialize_with = "crate::kv::bounded::list::<_, _, TRANSIT_ITEMS>")]
        items: Vec<EncryptItem>,
    },
    /// Gives a key out, if it was made to be.
    Export {
        /// Which key.
        key: Path,
        /// Which version; the current one if none.
        version: Option<u32>,
    },
    /// Brings a key from outside.
    Import {
        /// Where.
        key: Path,
        /// For a new key: what it is for good, importing included. None: a new version of one that is there.
        options: Option<KeyOptions>,
        /// The key: see [`KeyKind`] for its form.
        material: SecretValue,
    },
    /// Names directly below a prefix, in order, at most [`crate::limits::LIST_PAGE`].
    List {
        /// The prefix.
        prefix: Path,
        /// Continue after this name.
        after: Option<String>,
    },
    /// What is known about a key, public keys included.
    Metadata {
        /// Which key.
        key: Path,
    },
    /// Random bytes, for any identity.
    Random {
        /// How many, [`crate::limits::RANDOM_LEN`].
        len: u32,
    },
    /// Encrypts ciphertexts of older versions again under the current one, without showing what they hold.
    Rewrap {
        /// Which key.
        key: Path,
        /// Ciphertexts.
        #[serde(deserialize_with = "crate::kv::bounded::list::<_, _, TRANSIT_ITEMS>")]
        items: Vec<DecryptItem>,
    },
    /// Makes the next version of a key, which becomes the current one.
    Rotate {
        /// Which key.
        key: Path,
    },
    /// Signs, or makes an HMAC.
    Sign {
        /// Which key.
        key: Path,
        /// With which version; the current one if none.
        version: Option<u32>,
        /// Messages.
        #[serde(deserialize_with = "crate::kv::bounded::list::<_, _, TRANSIT_ITEMS>")]
        items: Vec<SignItem>,
    },
    /// Wipes versions below one that decryption does not accept any more.
    Trim {
        /// Which key.
        key: Path,
        /// The lowest version to keep; at most the key's `min_decrypt_version`.
        below: u32,
    },
    /// Verifies signatures or HMACs.
    Verify {
        /// Which key.
        key: Path,
        /// Messages and signatures.
        #[serde(deserialize_with = "crate::kv::bounded::list::<_, _, TRANSIT_ITEMS>")]
        items: Vec<VerifyItem>,
    },
}

/// Operations, as the log names them. The order of variants is the stored form: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransitOperation {
    /// Configure.
    Configure,
    /// Create.
    Create,
    /// Data keys.
    DataKey,
    /// Decrypt.
    Decrypt,
    /// Delete.
    Delete,
    /// Encrypt.
    Encrypt,
    /// Export.
    Export,
    /// Import.
    Import,
    /// List.
    List,
    /// Metadata.
    Metadata,
    /// Random bytes.
    Random,
    /// Rewrap.
    Rewrap,
    /// Rotate; of the vault itself when it is due.
    Rotate,
    /// Sign, or make an HMAC.
    Sign,
    /// Trim.
    Trim,
    /// Verify.
    Verify,
}

/// What a ciphertext is bound to, beside its key and version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// Names the derived key; empty exactly if the key is not derived. At most
    /// [`crate::limits::TRANSIT_CONTEXT_LEN`] bytes.
    #[serde(with = "serde_bytes")]
    pub context: Vec<u8>,
    /// Associated data: must be given again to decrypt. At most [`crate::limits::TRANSIT_AAD_LEN`] bytes.
    #[serde(with = "serde_bytes")]
    pub aad: Vec<u8>,
}

/// A plaintext.
#[derive(Debug, Serialize, Deserialize)]
pub struct EncryptItem {
    /// What to encrypt.
    pub plaintext: SecretValue,
    /// What it is bound to.
    pub binding: Binding,
}

/// A ciphertext.
#[derive(Debug, Serialize, Deserialize)]
pub struct DecryptItem {
    /// What to decrypt.
    pub ciphertext: Ciphertext,
    /// What it was bound to.
    pub binding: Binding,
}

/// A message to sign.
#[derive(Debug, Serialize, Deserialize)]
pub struct SignItem {
    /// The message itself; the vault hashes it.
    pub message: SecretValue,
    /// Names the derived key; empty exactly if the key is not derived.
    #[serde(with = "serde_bytes")]
    pub context: Vec<u8>,
}

/// A message and its signature.
#[derive(Debug, Serialize, Deserialize)]
pub struct VerifyItem {
    /// The message itself.
    pub message: SecretValue,
    /// Names the derived key.
    #[serde(with = "serde_bytes")]
    pub context: Vec<u8>,
    /// What is said to be its signature.
    pub signature: Signature,
}

/// A signature and the version of the key that made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// Version of the key.
    pub version: u32,
    /// ECDSA: ASN.1 DER; Ed25519: 64 bytes; RSA-PSS: as long as the modulus; HMAC: 32 bytes.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

/// Whether new data keys are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataKeyForm {
    /// The key and its wrapped form.
    Plain,
    /// Only the wrapped form.
    Wrapped,
}

/// What came of one item of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Item<T> {
    /// Done.
    Done(T),
    /// Refused; the others are not affected.
    Refused(ItemRefusal),
}

/// Why one item was refused. The order is the wire form: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ItemRefusal {
    /// It does not decrypt: another key, path, version, context, associated data, a version that is too old, or
    /// changed bytes. No more is ever told (F9).
    #[error("the ciphertext does not decrypt with this key, context and associated data")]
    Ciphertext,
    /// A derived key needs a context, and no other key takes one.
    #[error("a derived key needs a context, and only a derived key takes one")]
    Context,
    /// Context or associated data are beyond their limit.
    #[error("the context or the associated data are beyond their limit")]
    TooLarge,
}

/// Answers.
#[derive(Debug, Serialize, Deserialize)]
pub enum TransitReply {
    /// Configure, delete or trim was done.
    Changed,
    /// New data keys.
    DataKeys(Vec<Item<DataKey>>),
    /// Plaintexts.
    Decrypted(Vec<Item<SecretValue>>),
    /// Ciphertexts.
    Encrypted(Vec<Item<Ciphertext>>),
    /// A key that was made to be given out.
    Exported {
        /// Version.
        version: u32,
        /// Form: see [`KeyKind`].
        material: SecretValue,
    },
    /// What is known.
    Metadata(KeyMetadata),
    /// A page of names; `/` ends those that have more below. `more` says whether to ask again.
    Names {
        /// Names.
        names: Vec<String>,
        /// Whether there are more.
        more: bool,
    },
    /// Random bytes.
    Random(SecretValue),
    /// What rewrapping came to.
    Rewrapped(Vec<Item<Rewrapped>>),
    /// Signatures.
    Signed(Vec<Item<Signature>>),
    /// Verdicts.
    Verified(Vec<Item<Verdict>>),
    /// The version that was made: of create, import and rotate.
    Version(u32),
}

/// A new data key.
#[derive(Debug, Serialize, Deserialize)]
pub struct DataKey {
    /// The key, if it was asked for.
    pub plain: Option<SecretValue>,
    /// The key, encrypted.
    pub wrapped: Ciphertext,
}

/// A ciphertext under the current version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewrapped {
    /// The version that it was under. If that is the current one, the ciphertext is the one that was sent.
    pub from_version: u32,
    /// The ciphertext.
    pub ciphertext: Ciphertext,
}

/// Whether a signature is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It is not by this version of this key over this message, or the version is not accepted any more.
    Invalid,
    /// It is.
    Valid,
}
