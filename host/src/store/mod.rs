//! The sealed streams on disk.
//!
//! Append-only, compare-and-swap on the number of frames, durable before an answer, fail stop: after a failed
//! write nothing more is written until the host starts again, because what a failed flush left behind is
//! unknown. The frames are opaque; whether they are genuine is for the enclave to find out.

mod disk;
mod hostile;
mod mark;
mod space;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock};

use vouchsafe_protocol::limits::{JOURNAL_FRAME_LEN, LINK_FRAME_LEN, READ_FRAMES};
use vouchsafe_protocol::link::{Append, StorageFailure, StreamId};

use disk::Disk;
use mark::Mark;
use space::Reserve;
pub use space::Space;

/// Appends in one request: a group commit has one for each of two streams; this leaves room.
pub const APPENDS: usize = 4096;
/// Largest boot record in bytes.
pub const BOOT_LEN: usize = JOURNAL_FRAME_LEN;
/// Bytes of frames in one reply: the largest frame fits. Larger replies are no faster, and both sides hold them
/// in memory, more than once.
const REPLY_LEN: usize = JOURNAL_FRAME_LEN;
const _: () =
    assert!(REPLY_LEN + 64 * 1024 <= LINK_FRAME_LEN, "frames and their length prefixes fit the link");

/// The streams and the boot record.
pub struct Store {
    disk: Disk,
    heads: Mutex<Heads>,
    failure: OnceLock<StorageFailure>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { disk: _, heads: _, failure } = self;
        f.debug_struct("Store").field("failure", failure).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Heads {
    frames: BTreeMap<StreamId, u64>,
    /// How often the boot record was written.
    boot_revision: u64,
    mark: Mark,
    reserve: Reserve,
}

impl Heads {
    /// Writes that were made durable.
    fn total(&self) -> u64 {
        self.frames.values().fold(self.boot_revision, |total, frames| total.saturating_add(*frames))
    }
}

/// Why the store does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The files are damaged, unreadable, or of an unknown version.
    #[error("the store in {path} is damaged or unreadable; restore it from a backup")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Why.
        source: fjall::Error,
    },
    /// A key in the store is not one that this program writes.
    #[error("the store in {path} holds an unknown entry; it was not written by this version")]
    Foreign {
        /// Which.
        path: PathBuf,
    },
    /// Opening needs space.
    #[error("the disk of {path} is full; free some space")]
    Full {
        /// Which.
        path: PathBuf,
        /// Why.
        source: fjall::Error,
    },
    /// Less than was acknowledged: a damaged write-ahead log was cut short.
    #[error(
        "the store in {path} holds {found} writes, but {acknowledged} were acknowledged; restore it from a backup"
    )]
    Lost {
        /// Which.
        path: PathBuf,
        /// Writes (frames and boot records) that were durable.
        acknowledged: u64,
        /// Writes there are.
        found: u64,
    },
    /// The embedded store stumbled over damage that it does not report as an error.
    #[error("the store in {path} is damaged; restore it from a backup")]
    Panicked {
        /// Which.
        path: PathBuf,
    },
    /// The mark beside the store cannot be used.
    #[error("cannot write {path}")]
    Mark {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Store {
    /// Opens the store in a directory, creating it if there is none. One process at a time.
    ///
    /// # Errors
    /// [`OpenError`], by what is wrong.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let open = || {
            let disk = Disk::open(dir)?;
            let (frames, boot_revision) = (disk.heads(dir)?, disk.boot_revision(dir)?);
            Ok((disk, frames, boot_revision))
        };
        // Unwind safe: nothing of a store that panicked is used.
        let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(open));
        let (disk, frames, boot_revision) =
            opened.unwrap_or_else(|_| Err(OpenError::Panicked { path: dir.into() }))?;
        let heads = Heads { frames, boot_revision, mark: Mark::open(dir)?, reserve: Reserve::open(dir) };
        let (acknowledged, found) = (heads.mark.acknowledged(), heads.total());
        if found < acknowledged {
            return Err(OpenError::Lost { path: dir.into(), acknowledged, found });
        }
        Ok(Self { disk, heads: Mutex::new(heads), failure: OnceLock::new() })
    }

    /// Makes all of these durable, or none; tells how much space is left.
    ///
    /// # Errors
    /// [`StorageFailure::Conflict`] if an index is not the next of its stream, [`StorageFailure::TooLarge`]
    /// beyond [`APPENDS`] or for a frame that is empty or beyond [`JOURNAL_FRAME_LEN`]; otherwise the store
    /// has failed and takes no more writes.
    pub fn append(&self, appends: Vec<Append>) -> Result<Space, StorageFailure> {
        let fits = |append: &Append| (1..=JOURNAL_FRAME_LEN).contains(&append.frame.len());
        if appends.len() > APPENDS || !appends.iter().all(fits) {
            return Err(StorageFailure::TooLarge);
        }
        let mut heads = self.writable()?;
        let mut next = BTreeMap::new();
        for append in &appends {
            let head = next
                .entry(append.stream)
                .or_insert_with(|| heads.frames.get(&append.stream).copied().unwrap_or_default());
            if append.index != *head {
                return Err(StorageFailure::Conflict);
            }
            *head = head.checked_add(1).ok_or(StorageFailure::TooLarge)?;
        }
        self.durable(self.disk.append(appends))?;
        heads.frames.extend(next);
        let total = heads.total();
        heads.mark.raise(total);
        Ok(heads.reserve.look())
    }

    /// Streams that have frames, and how many.
    ///
    /// # Errors
    /// [`StorageFailure::Io`] if a write died half-way, so that the numbers may be wrong.
    pub fn heads(&self) -> Result<Vec<(StreamId, u64)>, StorageFailure> {
        Ok(self.lock()?.frames.iter().map(|(&stream, &len)| (stream, len)).collect())
    }

    /// Frames from an index on: at most [`READ_FRAMES`] and as fit into one reply; none at the end.
    ///
    /// # Errors
    /// [`StorageFailure::Io`] if they cannot be read.
    pub fn read_frames(&self, stream: StreamId, from: u64) -> Result<Vec<Vec<u8>>, StorageFailure> {
        let head = self.lock()?.frames.get(&stream).copied().unwrap_or_default();
        let mut frames = Vec::new();
        let mut bytes = 0;
        for (index, entry) in (from..head).zip(self.disk.frames(stream, from)).take(READ_FRAMES) {
            let (found, frame) = entry.map_err(unreadable)?.ok_or(StorageFailure::Io)?;
            if found != index {
                tracing::error!(?stream, index, found, "a frame is missing");
                return Err(StorageFailure::Io);
            }
            bytes += frame.len();
            if bytes > REPLY_LEN {
                break;
            }
            frames.push(frame);
        }
        if frames.is_empty() && from < head {
            return Err(StorageFailure::Io);
        }
        Ok(frames)
    }

    /// The boot record, if there is one.
    ///
    /// # Errors
    /// [`StorageFailure::Io`] if it cannot be read.
    pub fn read_boot(&self) -> Result<Option<Vec<u8>>, StorageFailure> {
        Ok(self.disk.boot().map_err(unreadable)?.map(|(_, boot)| boot))
    }

    /// Replaces the boot record, atomically and durably.
    ///
    /// # Errors
    /// [`StorageFailure::TooLarge`] beyond [`BOOT_LEN`]; otherwise the store has failed.
    pub fn write_boot(&self, boot: &[u8]) -> Result<(), StorageFailure> {
        if boot.len() > BOOT_LEN {
            return Err(StorageFailure::TooLarge);
        }
        let mut heads = self.writable()?;
        let revision = heads.boot_revision.checked_add(1).ok_or(StorageFailure::Io)?;
        self.durable(self.disk.write_boot(revision, boot))?;
        heads.boot_revision = revision;
        let total = heads.total();
        heads.mark.raise(total);
        Ok(())
    }

    /// Why nothing more is written, if so.
    #[must_use]
    pub fn failure(&self) -> Option<StorageFailure> {
        self.failure.get().copied()
    }

    fn lock(&self) -> Result<MutexGuard<'_, Heads>, StorageFailure> {
        // Poisoned: a write panicked half-way, so the heads may be wrong.
        self.heads.lock().map_err(|_| self.fail(StorageFailure::Io))
    }

    fn writable(&self) -> Result<MutexGuard<'_, Heads>, StorageFailure> {
        let heads = self.lock()?;
        match self.failure() {
            Some(failure) => Err(failure),
            None => Ok(heads),
        }
    }

    /// Fail stop.
    fn durable(&self, result: Result<(), fjall::Error>) -> Result<(), StorageFailure> {
        result.map_err(|error| {
            tracing::error!(%error, "a write failed; nothing more is written until the host starts again");
            self.fail(self.disk.failure(&error))
        })
    }

    fn fail(&self, failure: StorageFailure) -> StorageFailure {
        *self.failure.get_or_init(|| failure)
    }
}

fn unreadable(error: fjall::Error) -> StorageFailure {
    tracing::error!(%error, "the store cannot be read");
    StorageFailure::Io
}
