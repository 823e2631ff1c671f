//! What a key is, what may change, and what is known about it.

use serde::{Deserialize, Serialize};

use crate::policy::Permission;

/// What a key is for, and by which algorithm. The order is the stored form: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum KeyKind {
    /// AES-256-GCM under a subkey per message. Material: 32 bytes.
    Aes256Gcm,
    /// ChaCha20-Poly1305 under a subkey per message. Material: 32 bytes.
    ChaCha20Poly1305,
    /// Ed25519 (RFC 8032). Material: the 32-byte seed.
    Ed25519,
    /// ECDSA with P-256 and SHA-256. Material: PKCS#8 DER with the public key inside.
    EcdsaP256,
    /// ECDSA with P-384 and SHA-384. Material: PKCS#8 DER with the public key inside.
    EcdsaP384,
    /// HMAC-SHA-256. Material: 32 to 64 bytes.
    Hmac,
    /// RSASSA-PSS with SHA-256, 2,048 to 4,096 bits. Material: PKCS#8 DER. Import only: the cryptographic library
    /// signs in constant time, but cannot make such keys.
    RsaPss,
}

impl KeyKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Aes256Gcm,
        Self::ChaCha20Poly1305,
        Self::Ed25519,
        Self::EcdsaP256,
        Self::EcdsaP384,
        Self::Hmac,
        Self::RsaPss,
    ];

    /// Whether it encrypts.
    #[must_use]
    pub fn encrypts(self) -> bool {
        matches!(self, Self::Aes256Gcm | Self::ChaCha20Poly1305)
    }

    /// Whether keys can be derived from it: those that are plain secret bytes.
    #[must_use]
    pub fn derives(self) -> bool {
        self.encrypts() || self == Self::Hmac
    }

    /// Whether the vault can make one.
    #[must_use]
    pub fn can_be_made(self) -> bool {
        self != Self::RsaPss
    }

    /// One byte that names it inside derivations.
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Self::Aes256Gcm => 1,
            Self::ChaCha20Poly1305 => 2,
            Self::Ed25519 => 3,
            Self::EcdsaP256 => 4,
            Self::EcdsaP384 => 5,
            Self::Hmac => 6,
            Self::RsaPss => 7,
        }
    }

    /// As it is written in commands.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes256Gcm => "aes256-gcm",
            Self::ChaCha20Poly1305 => "chacha20-poly1305",
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP384 => "ecdsa-p384",
            Self::Hmac => "hmac",
            Self::RsaPss => "rsa-pss",
        }
    }
}

/// Whether each context has a key of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Derivation {
    /// Each context has its own key, and the same plaintext, context and associated data give the same ciphertext:
    /// equal plaintexts can be told as equal.
    Convergent,
    /// Each context has its own key.
    Derived,
    /// There is one key; a context is refused.
    None,
}

/// What a key is for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyOptions {
    /// Kind.
    pub kind: KeyKind,
    /// Whether each context has a key of its own; only if [`KeyKind::derives`], convergent only if
    /// [`KeyKind::encrypts`].
    pub derivation: Derivation,
    /// Whether it may be given out.
    pub export: Permission,
    /// Whether material may be brought from outside.
    pub import: Permission,
}

/// Settings that can change. `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyConfig {
    /// Whether the key may be deleted.
    pub deletion: Option<Permission>,
    /// Lowest version that decrypts and verifies: from the oldest kept to the current one.
    pub min_decrypt_version: Option<u32>,
    /// Lowest version that encrypts and signs: from 1 to the current one.
    pub min_encrypt_version: Option<u32>,
    /// Seconds after which the vault makes the next version itself; 0: never. See
    /// [`crate::limits::ROTATE_EVERY_SECS`].
    pub rotate_every_secs: Option<u64>,
}

/// Settings as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyConfiguration {
    /// Whether the key may be deleted.
    pub deletion: Permission,
    /// Lowest version that decrypts and verifies.
    pub min_decrypt_version: u32,
    /// Lowest version that encrypts and signs, unless `min_decrypt_version` is higher.
    pub min_encrypt_version: u32,
    /// Seconds after which the vault makes the next version itself; 0: never.
    pub rotate_every_secs: u64,
}

/// What is known about a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyMetadata {
    /// What it is for good.
    pub options: KeyOptions,
    /// Settings.
    pub config: KeyConfiguration,
    /// When the vault makes the next version itself, seconds since 1970. None without a schedule, or if the key
    /// has as many versions as are kept: trim it.
    pub next_rotation_secs: Option<u64>,
    /// Every version still kept, oldest first; the last one is the current one.
    pub versions: Vec<KeyVersion>,
}

impl KeyMetadata {
    /// The current version.
    #[must_use]
    pub fn current(&self) -> u32 {
        self.versions.last().map_or(0, |version| version.version)
    }
}

/// One version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyVersion {
    /// Number, from 1.
    pub version: u32,
    /// When it was made, seconds since 1970.
    pub created_secs: u64,
    /// DER SubjectPublicKeyInfo of a kind that signs; empty for others.
    #[serde(with = "serde_bytes")]
    pub public_key: Vec<u8>,
}
