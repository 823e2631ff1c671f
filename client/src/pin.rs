//! What a client knows of its vault beforehand, and remembers of it.

use std::path::{Path, PathBuf};

use vouchsafe_crypto::digest::sha256;
use vouchsafe_crypto::signature::{LogPublicKey, P256PublicKey};
use vouchsafe_crypto::transcript::vault_id_digest;
use vouchsafe_protocol::anchors::Anchors;
use vouchsafe_protocol::codec;
use vouchsafe_protocol::id::{VaultId, class_byte};
use vouchsafe_protocol::policy::VaultPlatformPin;
use vouchsafe_protocol::policy_check::{AcceptError, check_snp};

use crate::files::{self, FileError};

mod file;

/// A vault, as the client expects it: which one, what it must run on and be, and what it last showed.
///
/// [`init`](crate::init()) makes one; an operator hands it to agents. It holds no secret, but whoever can
/// change it chooses the vault, so nobody else may write to its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Which vault.
    pub vault_id: VaultId,
    /// What its evidence must show.
    pub platform: VaultPlatformPin,
    /// What its evidence is verified against; the vault id commits to it.
    pub anchors: Anchors,
    /// Ed25519 key of its log; none before the first contact, and then never another.
    pub log_key: Option<[u8; 32]>,
    /// The newest checkpoint of its journal that is proven to extend all earlier ones.
    pub checkpoint: Option<Remembered>,
}

/// A checkpoint, as it is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Number of leaves.
    pub size: u64,
    /// Root hash.
    pub root: [u8; 32],
}

/// Why a pin cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The pin holds rules that its file has no keys for; see [`Pin::save`].
    #[error(
        "the platform rules say more than a pin's file can hold; a pin has lasting measurements, one TCB floor per \
         product, and no rules over the ID block, mitigations or further bits of the guest's policy"
    )]
    Inexpressible,
    /// Not TOML, an unknown or missing key, or a value of another form.
    #[error("{path} is not a pin")]
    Malformed {
        /// Path.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// The platform rules would accept nothing, or nothing in particular.
    #[error("the platform rules in {path} are not usable")]
    Platform {
        /// Path.
        path: PathBuf,
        /// Why.
        source: AcceptError,
    },
    /// A pin that names no PCR or no key would accept every TPM.
    #[error("the platform rules in {path} name no PCR or no attestation key")]
    PlatformTpm {
        /// Path.
        path: PathBuf,
    },
    /// The pin cannot be written as TOML.
    #[error("the pin cannot be written")]
    Unwritable(#[source] toml::ser::Error),
    /// A later format.
    #[error("{path} has pin format {version}; this build reads format 1")]
    Version {
        /// Path.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
}

impl Pin {
    /// Loads a pin from a file that nobody but its owner can change.
    ///
    /// # Errors
    /// [`PinError`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, PinError> {
        let path = path.as_ref();
        let pin = file::read(&files::read_unchanged(path)?, path)?;
        match &pin.platform {
            VaultPlatformPin::Snp(rules) => {
                check_snp(rules).map_err(|source| PinError::Platform { path: path.to_owned(), source })?;
            }
            VaultPlatformPin::Tpm(rules) if rules.pcrs.is_empty() || rules.ak_name.len() != 34 => {
                return Err(PinError::PlatformTpm { path: path.to_owned() });
            }
            VaultPlatformPin::Tpm(_) => {}
        }
        Ok(pin)
    }

    /// Saves it with mode 0600, atomically. Do so after each introduction and session: the checkpoint in it is
    /// what a rollback is noticed by. A pin whose file would not say all that it says is not written.
    ///
    /// # Errors
    /// [`PinError`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), PinError> {
        let text = file::write(self)?;
        Ok(files::write_private(path.as_ref(), text.as_bytes())?)
    }

    /// The pin as TOML, as [`Pin::save`] writes it.
    ///
    /// # Errors
    /// [`PinError::Inexpressible`] and [`PinError::Unwritable`].
    pub fn to_toml(&self) -> Result<String, PinError> {
        file::write(self)
    }

    /// Whether a key is that of this vault's authority: the vault id commits to it.
    pub(crate) fn is_authority(&self, key: &P256PublicKey) -> bool {
        let VaultId { class, digest } = self.vault_id;
        anchors_digest(&self.anchors)
            .is_some_and(|anchors| digest == vault_id_digest(class_byte(class), key.spki(), &anchors))
    }

    pub(crate) fn log_key(&self) -> Option<LogPublicKey> {
        self.log_key.map(LogPublicKey)
    }
}

/// SHA-256 of the encoded anchors, as a vault id commits to it. `None` if they cannot be encoded, which no
/// value of the type is known to be.
pub(crate) fn anchors_digest(anchors: &Anchors) -> Option<[u8; 32]> {
    codec::encode(anchors).ok().map(|bytes| sha256(&[&bytes]))
}
