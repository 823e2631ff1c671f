//! What a hostile host can do to the frames it keeps. The host itself never calls this; tests and the demo do,
//! to show that the enclave notices.

use vouchsafe_protocol::link::{StorageFailure, StreamId};

use super::Store;

impl Store {
    /// Replaces one stored frame: an edit, or an older or foreign frame in its place.
    ///
    /// # Errors
    /// [`StorageFailure`] if there is no such frame or it cannot be written.
    pub fn dangerous_replace(
        &self,
        stream: StreamId,
        index: u64,
        frame: Vec<u8>,
    ) -> Result<(), StorageFailure> {
        let heads = self.writable()?;
        if heads.frames.get(&stream).is_none_or(|&head| index >= head) {
            return Err(StorageFailure::Conflict);
        }
        self.durable(self.disk.edit(stream, Some((index, frame)), 0..0))
    }

    /// Drops the last frames of a stream: a rollback to when it had `len` frames.
    ///
    /// # Errors
    /// [`StorageFailure`] if there are not so many frames or they cannot be removed.
    pub fn dangerous_truncate(&self, stream: StreamId, len: u64) -> Result<(), StorageFailure> {
        let mut heads = self.writable()?;
        let head = heads.frames.get(&stream).copied().unwrap_or_default();
        if len > head {
            return Err(StorageFailure::Conflict);
        }
        self.durable(self.disk.edit(stream, None, len..head))?;
        if len == 0 {
            heads.frames.remove(&stream);
        } else {
            heads.frames.insert(stream, len);
        }
        let total = heads.total();
        heads.mark.raise(total);
        Ok(())
    }
}
