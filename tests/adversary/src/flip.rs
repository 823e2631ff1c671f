//! The host edits its own store: one bit of one sealed frame. Its database's checksums are right again
//! afterwards, as a deliberate host would have it; only the enclave can notice.

use std::path::Path;

use anyhow::{Context as _, Result};
use vouchsafe_host::store::Store;
use vouchsafe_protocol::link::StreamId;

use crate::Outcome;

/// Flips the lowest bit of a byte; doing it again takes it back.
pub(crate) fn flip(data: &Path, index: u64, byte: i64) -> Result<Outcome> {
    let store = Store::open(&data.join("store"))?;
    let frames = store.read_frames(StreamId::Journal, index)?;
    let mut frame = frames.into_iter().next().with_context(|| format!("the journal has no frame {index}"))?;
    let len = frame.len();
    let place = usize::try_from(if byte < 0 { i64::try_from(len)? + byte } else { byte });
    let bit = place.ok().and_then(|place| frame.get_mut(place)).context("the frame has no such byte")?;
    *bit ^= 1;
    store.dangerous_replace(StreamId::Journal, index, frame)?;
    Ok(Outcome::Done(format!("flipped one bit of frame {index}, which has {len} bytes")))
}
