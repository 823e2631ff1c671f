//! Seen evidence from a file: what `vouchsafe evidence seen --output json` printed.

use std::path::Path;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use vouchsafe_evidence::suite;
use vouchsafe_protocol::codec;
use vouchsafe_protocol::limits::SEEN_LEN;
use vouchsafe_protocol::seen::SeenEvidence;

use crate::failure::Problem;

/// Of the file, only the encoded records and how many are missing matter here.
#[derive(Deserialize)]
struct SeenFile {
    seen: Vec<SeenRecord>,
    #[serde(default)]
    forgotten: u64,
}

#[derive(Deserialize)]
struct SeenRecord {
    record: String,
}

/// Records, and how many were forgotten for want of room.
pub(super) fn read(path: &Path) -> Result<(Vec<SeenEvidence>, u64)> {
    let bytes = suite::read_file(path)?;
    let malformed = |what: &str| {
        Problem::new("malformed-file", format!("{} {what}", path.display()))
            .hint("write it with 'vouchsafe evidence seen --output json'")
    };
    let file: SeenFile =
        serde_json::from_slice(&bytes).with_context(|| malformed("is not a list of seen evidence"))?;
    let decode = |record: &SeenRecord| -> Result<SeenEvidence> {
        let bytes =
            BASE64_STANDARD.decode(&record.record).with_context(|| malformed("has a damaged record"))?;
        codec::decode(&bytes, 2 * SEEN_LEN).with_context(|| malformed("has a damaged record"))
    };
    Ok((file.seen.iter().map(decode).collect::<Result<_>>()?, file.forgotten))
}
