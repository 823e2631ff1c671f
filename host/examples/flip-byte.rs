//! Plays a hostile host: flips one bit of one stored frame, while no host runs.
//!
//! `cargo run -p vouchsafe-host --example flip-byte -- DATA_DIR INDEX OFFSET [EPOCH]`
//!
//! The frame is that of the journal, or of the access log of an epoch. The store's own checksums are written
//! anew, so that it is the enclave that must notice.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Parser;
use vouchsafe_host::store::Store;
use vouchsafe_protocol::link::StreamId;

/// Flips one bit of one stored frame.
#[derive(Parser)]
struct Arguments {
    /// The host's data directory.
    data: PathBuf,
    /// Which frame, from 0.
    index: u64,
    /// Which byte of it, from 0.
    offset: usize,
    /// Epoch of an access log; without it, the journal.
    epoch: Option<u64>,
}

fn main() -> anyhow::Result<()> {
    let Arguments { data, index, offset, epoch } = Arguments::parse();
    let stream = epoch.map_or(StreamId::Journal, |epoch| StreamId::Access { epoch });
    let path = data.join("store");
    if !path.is_dir() {
        bail!("{} is not the data directory of a host", data.display());
    }
    let store = Store::open(&path)?;
    let mut frame = store.read_frames(stream, index)?.into_iter().next().context("no such frame")?;
    *frame.get_mut(offset).context("the frame is shorter")? ^= 1;
    store.dangerous_replace(stream, index, frame)?;
    Ok(())
}
