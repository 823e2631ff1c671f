//! Files that hold keys or pins: private to their owner, replaced whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use vouchsafe_crypto::secret::SecretBytes;
use vouchsafe_crypto::signature::{P256Key, SignatureError};

/// Largest file that is read, in bytes: a pin with eight sets of anchors stays far below.
const FILE_LEN: u64 = 1024 * 1024;
/// Permission bits of group and others.
const OTHERS: u32 = 0o077;
/// Write permission of group and others.
const CHANGERS: u32 = 0o022;

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Others may read or change it.
    #[error("{path} is open to group or others (mode {mode:o}); make it private with 'chmod go= {path}'")]
    Exposed {
        /// Path.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// Others may change it.
    #[error("{path} can be changed by group or others (mode {mode:o}); run 'chmod go-w {path}'")]
    Writable {
        /// Path.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// The key in it is not a P-256 key in PKCS#8 DER.
    #[error("{path} is not a P-256 private key in PKCS#8 DER")]
    Key {
        /// Path.
        path: PathBuf,
        /// Why.
        source: SignatureError,
    },
    /// Reading failed.
    #[error("cannot read {path}")]
    Read {
        /// Path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Larger than anything this crate writes.
    #[error("{path} is larger than 1 MiB")]
    TooLong {
        /// Path.
        path: PathBuf,
    },
    /// Writing failed; what was there before is still there.
    #[error("cannot write {path}")]
    Write {
        /// Path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Saves a private key as PKCS#8 DER with mode 0600: an operator's key, to be kept by the operator.
///
/// # Errors
/// [`FileError::Write`].
pub fn save_key(path: impl AsRef<Path>, key: &P256Key) -> Result<(), FileError> {
    write_private(path.as_ref(), key.expose_pkcs8().expose_secret())
}

/// Loads a private key, if nobody but its owner can read it.
///
/// # Errors
/// [`FileError`].
pub fn load_key(path: impl AsRef<Path>) -> Result<P256Key, FileError> {
    let path = path.as_ref();
    let bytes = read_private(path)?;
    P256Key::from_pkcs8(bytes).map_err(|source| FileError::Key { path: path.to_owned(), source })
}

/// Writes a file of mode 0600 beside its final name, makes it durable and renames it: a crash leaves the old
/// file or the new one.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let failed = |source| FileError::Write { path: path.to_owned(), source };
    let mut name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?.to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = write_new(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if let Err(source) = written {
        // The temporary file may or may not exist; the first error is the one that tells what is wrong.
        if let Err(error) = fs::remove_file(&temporary) {
            tracing::debug!(%error, "temporary file not removed");
        }
        return Err(failed(source));
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new("."))).and_then(|dir| dir.sync_all()).map_err(failed)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A leftover of a crashed process with the same id is ours to replace; `create_new` follows no link.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes a directory of mode 0700, or accepts one that is private already.
pub(crate) fn private_dir(path: &Path) -> Result<(), FileError> {
    let failed = |source| FileError::Write { path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    check_private_dir(path)
}

/// Refuses a directory that others can enter.
pub(crate) fn check_private_dir(path: &Path) -> Result<(), FileError> {
    let metadata = fs::metadata(path).map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    check_mode(path, metadata.mode())
}

/// Reads a file that only its owner may read.
pub(crate) fn read_private(path: &Path) -> Result<SecretBytes, FileError> {
    let failed = |source| FileError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    check_mode(path, metadata.permissions().mode())?;
    read_bounded(path, file, metadata.len()).map(SecretBytes::new)
}

/// Reads a file that anybody may read and change: policy, which somebody reviews before it is applied.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let failed = |source| FileError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let len = file.metadata().map_err(failed)?.len();
    read_bounded(path, file, len)
}

/// Reads a file that may be public, but that only its owner may change.
pub(crate) fn read_unchanged(path: &Path) -> Result<Vec<u8>, FileError> {
    let failed = |source| FileError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & CHANGERS != 0 {
        return Err(FileError::Writable { path: path.to_owned(), mode });
    }
    read_bounded(path, file, metadata.len())
}

/// The buffer is as long as the file from the start, so that no copy of a key is left behind by growing.
fn read_bounded(path: &Path, file: File, len: u64) -> Result<Vec<u8>, FileError> {
    let too_long = || FileError::TooLong { path: path.to_owned() };
    if len > FILE_LEN {
        return Err(too_long());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(len).map_err(|_| too_long())? + 1);
    file.take(FILE_LEN + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    if bytes.len() as u64 > FILE_LEN { Err(too_long()) } else { Ok(bytes) }
}

fn check_mode(path: &Path, mode: u32) -> Result<(), FileError> {
    let mode = mode & 0o777;
    if mode & OTHERS == 0 { Ok(()) } else { Err(FileError::Exposed { path: path.to_owned(), mode }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_file_is_private_and_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.der");
        let key = P256Key::generate().unwrap();
        save_key(&path, &key).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(load_key(&path).unwrap().spki(), key.spki());
        let other = P256Key::generate().unwrap();
        save_key(&path, &other).unwrap();
        assert_eq!(load_key(&path).unwrap().spki(), other.spki());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn v2_an_exposed_key_is_not_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.der");
        save_key(&path, &P256Key::generate().unwrap()).unwrap();
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(load_key(&path), Err(FileError::Exposed { mode: found, .. }) if found == mode));
        }
    }

    #[test]
    fn a_failed_write_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("taken");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("x"), b"x").unwrap();
        assert!(matches!(write_private(&path, b"new"), Err(FileError::Write { .. })));
        assert_eq!(fs::read(path.join("x")).unwrap(), b"x");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn other_bytes_are_not_a_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.der");
        write_private(&path, b"not a key").unwrap();
        assert!(matches!(load_key(&path), Err(FileError::Key { .. })));
        write_private(&path, &vec![0; FILE_LEN as usize + 1]).unwrap();
        assert!(matches!(load_key(&path), Err(FileError::TooLong { .. })));
    }
}
