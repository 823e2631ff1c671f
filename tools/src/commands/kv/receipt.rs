//! Receipts in files.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use vouchsafe_protocol::codec;

use crate::failure::Problem;
use crate::home::write_private;

/// A file for a receipt that can be written, as far as that can be known before.
pub(super) struct ReceiptFile(PathBuf);

impl ReceiptFile {
    /// Before the vault is asked: a write is not made only to lose its receipt.
    pub(super) fn new(path: PathBuf) -> Result<Self> {
        let failed = || format!("no receipt can be kept in {}", path.display());
        if path.is_dir() {
            return Err(Problem::new("receipt-path", format!("{}: it is a directory", failed())).into());
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let probe = tempfile::NamedTempFile::new_in(parent.unwrap_or(std::path::Path::new(".")));
        probe.and_then(tempfile::NamedTempFile::close).with_context(failed)?;
        Ok(Self(path))
    }
}

/// A receipt is public, but says what was read: it is kept like an identity.
pub(super) fn keep(file: Option<&ReceiptFile>, receipt: &vouchsafe_protocol::log::Receipt) -> Result<()> {
    let Some(ReceiptFile(path)) = file else { return Ok(()) };
    let bytes = codec::encode(receipt).context("the receipt cannot be encoded")?;
    write_private(path, &bytes).context("the vault has done this, but the receipt could not be kept")
}
