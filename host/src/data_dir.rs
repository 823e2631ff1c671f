//! The host's directory: private, owned by one process at a time.
//!
//! Layout: `lock`; `tls/certificate.der` and `tls/key.der`, the outer TLS; `store/`, the sealed streams.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A directory that this process holds.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    /// Held for its lock, which the kernel releases when the process ends in any way.
    _lock: File,
}

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It cannot be created.
    #[error("cannot create the data directory {path}; create it, or name another with --data")]
    Create {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another host uses it.
    #[error("another vouchsafe-host uses the data directory {path}; stop it, or name another with --data")]
    Locked {
        /// Which.
        path: PathBuf,
    },
    /// It cannot be made private.
    #[error("cannot set mode 0700 on the data directory {path}; it must belong to the user of the host")]
    Private {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be written.
    #[error("cannot write {path}; the data directory must be writable by the user of the host")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl DataDir {
    /// Creates it if needed, makes it private and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, DataDirError> {
        let failed = |source| DataDirError::Create { path: path.into(), source };
        private_dir(path).map_err(failed)?;
        let private = std::fs::set_permissions(path, Permissions::from_mode(0o700));
        private.map_err(|source| DataDirError::Private { path: path.into(), source })?;
        let lock_path = path.join("lock");
        let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&lock_path);
        let lock = opened.map_err(|source| DataDirError::Write { path: lock_path.clone(), source })?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.into(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::Locked { path: path.into() }),
            Err(TryLockError::Error(source)) => Err(DataDirError::Write { path: lock_path, source }),
        }
    }

    /// A path inside.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Creates a directory of mode 0700 and its parents; an existing one is left as it is.
pub(crate) fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file of mode 0600 so that after a crash there is the whole file or none.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<(), DataDirError> {
    let failed = |source| DataDirError::Write { path: path.into(), source };
    let temporary = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file =
        options.create(true).truncate(true).write(true).mode(0o600).open(&temporary).map_err(failed)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&temporary, path).map_err(failed)?;
    let parent = path.parent().unwrap_or(Path::new("."));
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_private_and_held_once() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("host");
        let held = DataDir::open(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert!(matches!(DataDir::open(&path), Err(DataDirError::Locked { .. })));
        drop(held);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn a_file_in_its_place_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("file");
        std::fs::write(&path, b"").unwrap();
        assert!(matches!(DataDir::open(&path), Err(DataDirError::Create { .. })));
    }
}
