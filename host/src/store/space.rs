//! Space kept back on the disk, so that an operator can still end what was handed out when everything else is full (H10).
//!
//! A file of [`RESERVE`] bytes lies beside the store. When less than [`SCARCE`] is free it goes, and every answer to an
//! append says from then on that space is scarce: the enclave then takes nothing but decisions of operators. It comes
//! back once both fit again.
//!
//! File `reserve`: allocated, never written.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

/// Below this, in bytes, space is scarce: the store's write-ahead log grows in steps of 64 MiB.
pub(super) const SCARCE: u64 = 64 * 1024 * 1024;
/// Kept back, in bytes: for two such steps, which hold some hundred thousand decisions.
const RESERVE: u64 = 2 * SCARCE;

/// How much space there is after an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Enough.
    Ample,
    /// What was kept back is in use.
    Scarce,
}

/// The file, as it is kept or as it went.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    kept: bool,
}

impl Reserve {
    /// Makes the file if it fits.
    pub(super) fn open(dir: &Path) -> Self {
        let mut reserve = Self { path: dir.join("reserve"), kept: false };
        if reserve.look() == Space::Scarce {
            tracing::warn!("the disk has no room for a reserve; only decisions of operators are stored");
        }
        reserve
    }

    /// Looks at the disk; makes the file or lets it go.
    pub(super) fn look(&mut self) -> Space {
        // A disk that does not say how full it is is not held against anybody; a failed write will be.
        let free = free(&self.path).unwrap_or(u64::MAX);
        match self.kept {
            true if free < SCARCE => {
                if let Err(error) = fs::remove_file(&self.path) {
                    tracing::error!(%error, "the reserve cannot be let go");
                }
                tracing::warn!(
                    "the disk is nearly full; only decisions of operators are stored until space is freed"
                );
                self.kept = false;
            }
            false if free >= SCARCE + RESERVE => self.kept = self.make(),
            true | false => {}
        }
        if self.kept { Space::Ample } else { Space::Scarce }
    }

    fn make(&self) -> bool {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.path);
        let made = file.and_then(|file| Ok(fallocate(&file, FallocateFlags::empty(), 0, RESERVE)?));
        if let Err(error) = &made {
            tracing::warn!(%error, "no space can be kept back");
        }
        made.is_ok()
    }
}

/// Free bytes of the disk that this path is on, for whoever is not root.
fn free(path: &Path) -> Option<u64> {
    let disk = statvfs(path.parent()?).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}
