//! One key: its versions, what it may do, and what is known about it.

use std::sync::OnceLock;

use vouchsafe_crypto::secret::SecretBytes;
use vouchsafe_crypto::transit::Cipher;
use vouchsafe_crypto::transit::signing::{Algorithm, SigningKey};
use vouchsafe_protocol::kv::SecretValue;
use vouchsafe_protocol::limits::{HMAC_KEY_LEN, ROTATE_EVERY_SECS, TRANSIT_VERSIONS};
use vouchsafe_protocol::policy::Permission;
use vouchsafe_protocol::refusal::RefusalCode;
use vouchsafe_protocol::transit::{
    Derivation, KeyConfig, KeyConfiguration, KeyKind, KeyMetadata, KeyOptions, KeyVersion, TransitReply,
};

use super::Plan;
use super::change::NewVersion;
use crate::ports::Ports;

/// Length of generated symmetric keys in bytes.
const MATERIAL_LEN: usize = 32;

/// A key. INVARIANT: `versions` is never empty, and its numbers go up by one.
pub(super) struct Key {
    pub options: KeyOptions,
    pub config: KeyConfiguration,
    pub versions: Vec<Version>,
    /// Its entry in the index of what is due.
    pub due_secs: Option<u64>,
}

pub(super) struct Version {
    pub number: u32,
    pub created_secs: u64,
    pub material: SecretBytes,
    /// DER SubjectPublicKeyInfo of a kind that signs.
    pub public: Box<[u8]>,
    /// Ready for signing once it was used: reading a key costs as much as a signature.
    pub ready: OnceLock<Box<SigningKey>>,
}

/// How a kind encrypts.
pub(super) fn cipher(kind: KeyKind) -> Option<Cipher> {
    match kind {
        KeyKind::Aes256Gcm => Some(Cipher::Aes256Gcm),
        KeyKind::ChaCha20Poly1305 => Some(Cipher::ChaCha20Poly1305),
        KeyKind::Ed25519 | KeyKind::EcdsaP256 | KeyKind::EcdsaP384 | KeyKind::Hmac | KeyKind::RsaPss => None,
    }
}

/// How a kind signs.
pub(super) fn algorithm(kind: KeyKind) -> Option<Algorithm> {
    match kind {
        KeyKind::Ed25519 => Some(Algorithm::Ed25519),
        KeyKind::EcdsaP256 => Some(Algorithm::EcdsaP256),
        KeyKind::EcdsaP384 => Some(Algorithm::EcdsaP384),
        KeyKind::RsaPss => Some(Algorithm::RsaPss),
        KeyKind::Aes256Gcm | KeyKind::ChaCha20Poly1305 | KeyKind::Hmac => None,
    }
}

/// Whether a kind can do what the options say.
pub(super) fn fits(options: &KeyOptions) -> bool {
    match options.derivation {
        Derivation::None => true,
        Derivation::Derived => options.kind.derives(),
        Derivation::Convergent => options.kind.encrypts(),
    }
}

/// Makes a version.
pub(super) fn make(
    kind: KeyKind,
    version: u32,
    created_secs: u64,
    ports: &mut dyn Ports,
) -> Result<NewVersion, RefusalCode> {
    let material = match algorithm(kind) {
        Some(Algorithm::Ed25519) | None => super::random(MATERIAL_LEN, ports)?,
        Some(ecdsa) => {
            let made = ports.new_signing_key(ecdsa).map_err(|_| RefusalCode::Busy)?;
            SecretValue::new(made.expose_secret().to_vec())
        }
    };
    import(kind, &material, version, created_secs)
}

/// Takes material from outside.
pub(super) fn import(
    kind: KeyKind,
    material: &SecretValue,
    version: u32,
    created_secs: u64,
) -> Result<NewVersion, RefusalCode> {
    let bytes = material.expose_secret();
    let public = match algorithm(kind) {
        Some(algorithm) => {
            let read = SigningKey::read(algorithm, &SecretBytes::new(bytes.to_vec()));
            read.map_err(|_| RefusalCode::KeyMaterial)?.spki()
        }
        None if kind == KeyKind::Hmac && HMAC_KEY_LEN.contains(&bytes.len()) => Vec::new(),
        None if kind.encrypts() && bytes.len() == MATERIAL_LEN => Vec::new(),
        None => return Err(RefusalCode::KeyMaterial),
    };
    Ok(NewVersion { version, created_secs, material: SecretValue::new(bytes.to_vec()), public })
}

impl Key {
    pub fn new(options: KeyOptions, version: Version) -> Self {
        let config = KeyConfiguration {
            deletion: Permission::Forbidden,
            min_decrypt_version: 1,
            min_encrypt_version: 1,
            rotate_every_secs: 0,
        };
        Self { options, config, versions: vec![version], due_secs: None }
    }

    pub fn current(&self) -> u32 {
        self.versions.last().map_or(0, |version| version.number)
    }

    fn oldest(&self) -> u32 {
        self.versions.first().map_or(0, |version| version.number)
    }

    /// Number of the next version.
    pub fn next(&self) -> Result<u32, RefusalCode> {
        if self.versions.len() >= TRANSIT_VERSIONS {
            return Err(RefusalCode::TooLarge);
        }
        self.current().checked_add(1).ok_or(RefusalCode::TooLarge)
    }

    pub fn find(&self, number: u32) -> Option<&Version> {
        let index = number.checked_sub(self.oldest())?;
        self.versions.get(usize::try_from(index).ok()?)
    }

    /// A version that may still decrypt and verify.
    pub fn reader(&self, number: u32) -> Option<&Version> {
        self.find(number).filter(|version| version.number >= self.config.min_decrypt_version)
    }

    /// A version that may encrypt and sign; the current one unless another is asked for.
    pub fn writer(&self, number: Option<u32>) -> Result<&Version, RefusalCode> {
        let version = self.find(number.unwrap_or_else(|| self.current())).ok_or(RefusalCode::NotFound)?;
        let KeyConfiguration { min_decrypt_version, min_encrypt_version, .. } = self.config;
        let accepted = version.number >= min_decrypt_version.max(min_encrypt_version);
        if accepted { Ok(version) } else { Err(RefusalCode::KeyUse) }
    }

    /// When the vault rotates it by itself; never while there is no room for a version.
    pub fn due(&self) -> Option<u64> {
        let every = Some(self.config.rotate_every_secs).filter(|secs| *secs > 0)?;
        self.next().ok()?;
        Some(self.versions.last()?.created_secs.saturating_add(every))
    }

    /// The settings after a change.
    ///
    /// 1. Something changes.
    /// 2. `min_decrypt_version` is one that is kept.
    /// 3. `min_encrypt_version` is one that was.
    /// 4. The time between rotations is within its limits, and the vault can make such keys.
    pub fn configured(&self, config: KeyConfig) -> Result<KeyConfiguration, RefusalCode> {
        if config == KeyConfig::default() {
            return Err(RefusalCode::Settings);
        }
        let KeyConfig { deletion, min_decrypt_version, min_encrypt_version, rotate_every_secs } = config;
        let within = |version: Option<u32>, lowest: u32| {
            version.is_none_or(|version| (lowest..=self.current()).contains(&version))
        };
        if !within(min_decrypt_version, self.oldest()) || !within(min_encrypt_version, 1) {
            return Err(RefusalCode::Settings);
        }
        match rotate_every_secs {
            None | Some(0) => {}
            Some(_) if !self.options.kind.can_be_made() => return Err(RefusalCode::NotSupported),
            Some(secs) if !ROTATE_EVERY_SECS.contains(&secs) => return Err(RefusalCode::Settings),
            Some(_) => {}
        }
        let was = self.config;
        Ok(KeyConfiguration {
            deletion: deletion.unwrap_or(was.deletion),
            min_decrypt_version: min_decrypt_version.unwrap_or(was.min_decrypt_version),
            min_encrypt_version: min_encrypt_version.unwrap_or(was.min_encrypt_version),
            rotate_every_secs: rotate_every_secs.unwrap_or(was.rotate_every_secs),
        })
    }

    /// Only versions that decrypt nothing any more are wiped, and at least one.
    pub fn check_trim(&self, below: u32) -> Result<(), RefusalCode> {
        let wiped = self.oldest() < below && below <= self.config.min_decrypt_version;
        if wiped { Ok(()) } else { Err(RefusalCode::Settings) }
    }

    /// The one way out for material; only of a key that was made for it.
    pub fn export(&self, version: Option<u32>) -> Result<Plan, RefusalCode> {
        if self.options.export == Permission::Forbidden {
            return Err(RefusalCode::KeyUse);
        }
        let found = self.find(version.unwrap_or_else(|| self.current())).ok_or(RefusalCode::NotFound)?;
        let material = SecretValue::new(found.material.expose_secret().to_vec());
        let reply = TransitReply::Exported { version: found.number, material };
        Ok(Plan::look(reply, Some(found.number)))
    }

    pub fn metadata(&self) -> KeyMetadata {
        let versions = self.versions.iter().map(|version| KeyVersion {
            version: version.number,
            created_secs: version.created_secs,
            public_key: version.public.to_vec(),
        });
        KeyMetadata {
            options: self.options,
            config: self.config,
            next_rotation_secs: self.due(),
            versions: versions.collect(),
        }
    }
}

impl Version {
    /// The key ready for signing. Its material was read when it came.
    pub fn signing(&self, algorithm: Algorithm) -> Result<&SigningKey, RefusalCode> {
        if self.ready.get().is_none() {
            let read = SigningKey::read(algorithm, &self.material).map_err(|_| RefusalCode::KeyMaterial)?;
            // Lost only to another that is the same.
            drop(self.ready.set(Box::new(read)));
        }
        self.ready.get().map(AsRef::as_ref).ok_or(RefusalCode::KeyMaterial)
    }
}
