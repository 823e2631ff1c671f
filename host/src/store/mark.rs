//! A lower bound of what was acknowledged, so that lost writes are noticed.
//!
//! The embedded store cuts its write-ahead log at the first entry it cannot parse. That is right for a torn
//! tail after a crash and wrong for a damaged byte in the middle, which would drop acknowledged frames in
//! silence. So the number of frames and boot records
//! that were durable is kept beside the store, overwritten in place after
//! each commit and never flushed: it survives the death of the process, and after a power cut it may be
//! older, which is still a lower bound. Against a hostile host it means nothing; that is the enclave's part.
//!
//! File `acknowledged`: the number and its complement, 8 bytes big-endian each.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::OpenError;

/// The open file and its value.
#[derive(Debug)]
pub(super) struct Mark {
    file: File,
    acknowledged: u64,
}

impl Mark {
    pub(super) fn open(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join("acknowledged");
        let mut options = OpenOptions::new();
        let opened = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = opened.map_err(|source| OpenError::Mark { path, source })?;
        let mut bytes = [0; 16];
        let acknowledged = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => decode(bytes).unwrap_or_else(|| {
                // Torn by a power cut: nothing is known.
                tracing::warn!("the count of acknowledged writes is unreadable and is taken anew");
                0
            }),
            // A new store.
            Err(_) => 0,
        };
        Ok(Self { file, acknowledged })
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Notes that so many writes are durable. A failure costs only the notice of a later loss.
    pub(super) fn raise(&mut self, acknowledged: u64) {
        self.acknowledged = acknowledged;
        if let Err(error) = self.file.write_all_at(&encode(acknowledged), 0) {
            tracing::warn!(%error, "cannot note the count of acknowledged writes");
        }
    }
}

fn encode(number: u64) -> [u8; 16] {
    ((u128::from(number) << 64) | u128::from(!number)).to_be_bytes()
}

fn decode(bytes: [u8; 16]) -> Option<u64> {
    let number = u64::try_from(u128::from_be_bytes(bytes) >> 64).ok()?;
    (encode(number) == bytes).then_some(number)
}
