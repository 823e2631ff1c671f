//! An identity: the key that never leaves this machine, and the certificate the vault gave it.

use std::fmt;
use std::path::{Path, PathBuf};

use vouchsafe_crypto::secret::SecretBytes;
use vouchsafe_crypto::signature::{P256Key, SignatureError};

use crate::certificate::{Authority, CertificateError};
use crate::files::{self, FileError};

/// Names of the files in an identity's directory.
const KEY: &str = "key.der";
const CERTIFICATE: &str = "certificate.der";
const AUTHORITY: &str = "authority.der";

/// A key with the certificate that the vault issued for it. Only [`introduce`](crate::introduce()) makes one.
pub struct Identity {
    key: P256Key,
    certificate: Vec<u8>,
    authority: Authority,
}

/// Why an identity could not be loaded or saved.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The authority's certificate is not one.
    #[error("the authority in {path} is refused")]
    Authority {
        /// Path.
        path: PathBuf,
        /// Why.
        source: CertificateError,
    },
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Identity {
    pub(crate) fn new(key: P256Key, certificate: Vec<u8>, authority: Authority) -> Self {
        Self { key, certificate, authority }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &P256Key {
        &self.key
    }

    /// DER of the X.509 SVID.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// DER of the authority that issued it.
    #[must_use]
    pub fn authority_certificate(&self) -> &[u8] {
        self.authority.certificate()
    }

    /// Saves it to a directory, which is made with mode 0700 if it is not there. Key and certificate are
    /// replaced one after another: a reader in between finds a pair that does not match, and the vault refuses
    /// it.
    ///
    /// # Errors
    /// [`IdentityError::File`].
    pub fn save(&self, dir: impl AsRef<Path>) -> Result<(), IdentityError> {
        let dir = dir.as_ref();
        files::private_dir(dir)?;
        files::save_key(dir.join(KEY), &self.key)?;
        files::write_private(&dir.join(CERTIFICATE), &self.certificate)?;
        files::write_private(&dir.join(AUTHORITY), self.authority.certificate())?;
        Ok(())
    }

    /// Loads it from a directory that only its owner can enter. Whether it is still valid and belongs to the
    /// pinned vault is checked when it is used.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn load(dir: impl AsRef<Path>) -> Result<Self, IdentityError> {
        let dir = dir.as_ref();
        files::check_private_dir(dir)?;
        let key = files::load_key(dir.join(KEY))?;
        let certificate = files::read_unchanged(&dir.join(CERTIFICATE))?;
        let path = dir.join(AUTHORITY);
        let authority = Authority::parse(&files::read_unchanged(&path)?)
            .map_err(|source| IdentityError::Authority { path, source })?;
        Ok(Self { key, certificate, authority })
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

/// A second handle of a key that its owner keeps: an operator's.
pub(crate) fn copy_key(key: &P256Key) -> Result<P256Key, SignatureError> {
    P256Key::from_pkcs8(SecretBytes::new(key.expose_pkcs8().expose_secret().to_vec()))
}
