//! Where real evidence lies. It is not part of the repository: tests that need it are skipped loudly without it.

use std::path::PathBuf;

/// The directory of evidence: `VOUCHSAFE_EVIDENCE`, or beside the repository.
pub(crate) fn evidence() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/evidence");
    let dir = std::env::var_os("VOUCHSAFE_EVIDENCE").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    if dir.join("cases.json").exists() {
        return Some(dir);
    }
    eprintln!("SKIPPED: no evidence at {}; set VOUCHSAFE_EVIDENCE", dir.display());
    None
}
