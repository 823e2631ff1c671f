//! Streams as keys of an embedded store. Why fjall: `docs/decisions/0001-embedded-store.md`.
//!
//! Keyspace `frames`: `0 || index` for the journal, `1 || epoch || index` for an access log, all integers
//! 8 bytes big-endian, so that the order of keys is the order of frames. Keyspace `boot`: one key, `boot`,
//! whose value is its revision, 8 bytes big-endian, and the record.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use vouchsafe_protocol::link::{Append, StorageFailure, StreamId};

use super::OpenError;
use super::space::SCARCE;

const BOOT_KEY: &str = "boot";

pub(super) struct Disk {
    path: PathBuf,
    database: Database,
    frames: Keyspace,
    boot: Keyspace,
}

impl Disk {
    pub(super) fn open(dir: &Path) -> Result<Self, OpenError> {
        let opened = Database::builder(dir).open().and_then(|database| {
            let frames = database.keyspace("frames", KeyspaceCreateOptions::default)?;
            let boot = database.keyspace(BOOT_KEY, KeyspaceCreateOptions::default)?;
            Ok(Self { path: dir.into(), database, frames, boot })
        });
        opened.map_err(|source| match is_no_space(&source) {
            true => OpenError::Full { path: dir.into(), source },
            false => OpenError::Damaged { path: dir.into(), source },
        })
    }

    /// Number of frames of each stream: one seek per stream.
    pub(super) fn heads(&self, dir: &Path) -> Result<BTreeMap<StreamId, u64>, OpenError> {
        let damaged = |source| OpenError::Damaged { path: dir.into(), source };
        let foreign = || OpenError::Foreign { path: dir.into() };
        let mut heads = BTreeMap::new();
        let mut from = Vec::new();
        while let Some(first) = self.frames.range(from..).next() {
            let (stream, _) = parse(&first.key().map_err(damaged)?).ok_or_else(foreign)?;
            let last = self.frames.range(key(stream, 0)..=key(stream, u64::MAX)).next_back();
            let last = last.ok_or_else(foreign)?.key().map_err(damaged)?;
            let (_, index) = parse(&last).ok_or_else(foreign)?;
            heads.insert(stream, index.checked_add(1).ok_or_else(foreign)?);
            from = key(stream, u64::MAX);
        }
        Ok(heads)
    }

    pub(super) fn append(&self, appends: Vec<Append>) -> Result<(), fjall::Error> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for Append { stream, index, frame } in appends {
            batch.insert(&self.frames, key(stream, index), frame);
        }
        batch.commit()
    }

    /// Entries from an index on; `None` for a key that this program does not write.
    pub(super) fn frames(
        &self,
        stream: StreamId,
        from: u64,
    ) -> impl Iterator<Item = Result<Option<(u64, Vec<u8>)>, fjall::Error>> {
        self.frames.range(key(stream, from)..=key(stream, u64::MAX)).map(|entry| {
            let (key, frame) = entry.into_inner()?;
            Ok(parse(&key).map(|(_, index)| (index, frame.to_vec())))
        })
    }

    /// How often the boot record was written.
    pub(super) fn boot_revision(&self, dir: &Path) -> Result<u64, OpenError> {
        match self.boot() {
            Ok(boot) => Ok(boot.map_or(0, |(revision, _)| revision)),
            Err(source) => Err(OpenError::Damaged { path: dir.into(), source }),
        }
    }

    /// The boot record and its revision.
    pub(super) fn boot(&self) -> Result<Option<(u64, Vec<u8>)>, fjall::Error> {
        let Some(value) = self.boot.get(BOOT_KEY)? else { return Ok(None) };
        let Some((revision, boot)) = value.split_first_chunk::<8>() else {
            return Err(fjall::Error::Unrecoverable);
        };
        Ok(Some((u64::from_be_bytes(*revision), boot.to_vec())))
    }

    pub(super) fn write_boot(&self, revision: u64, boot: &[u8]) -> Result<(), fjall::Error> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        let value = [&revision.to_be_bytes(), boot].concat();
        batch.insert(&self.boot, BOOT_KEY, value);
        batch.commit()
    }

    /// Replaces and removes frames of a stream, durably.
    pub(super) fn edit(
        &self,
        stream: StreamId,
        replaced: Option<(u64, Vec<u8>)>,
        removed: std::ops::Range<u64>,
    ) -> Result<(), fjall::Error> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        if let Some((index, frame)) = replaced {
            batch.insert(&self.frames, key(stream, index), frame);
        }
        for index in removed {
            batch.remove(&self.frames, key(stream, index));
        }
        batch.commit()
    }

    /// What a failed write was. When the store stopped itself earlier the cause is gone; then the disk is asked.
    pub(super) fn failure(&self, error: &fjall::Error) -> StorageFailure {
        let full = || {
            let disk = rustix::fs::statvfs(&self.path);
            disk.is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < SCARCE)
        };
        match error {
            error if is_no_space(error) => StorageFailure::NoSpace,
            fjall::Error::Poisoned if full() => StorageFailure::NoSpace,
            _ => StorageFailure::Io,
        }
    }
}

pub(super) fn is_no_space(error: &fjall::Error) -> bool {
    let full =
        |error: &io::Error| matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => full(error),
        _ => false,
    }
}

fn key(stream: StreamId, index: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(17);
    match stream {
        StreamId::Journal => key.push(0),
        StreamId::Access { epoch } => {
            key.push(1);
            key.extend_from_slice(&epoch.to_be_bytes());
        }
    }
    key.extend_from_slice(&index.to_be_bytes());
    key
}

fn parse(key: &[u8]) -> Option<(StreamId, u64)> {
    let (tag, numbers) = key.split_first()?;
    let (rest, index) = numbers.split_last_chunk::<8>()?;
    let stream = match (tag, rest) {
        (0, []) => StreamId::Journal,
        (1, epoch) => StreamId::Access { epoch: u64::from_be_bytes(epoch.try_into().ok()?) },
        _ => return None,
    };
    Some((stream, u64::from_be_bytes(*index)))
}
