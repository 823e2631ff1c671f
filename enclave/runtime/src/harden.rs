//! What a process can give up cheaply: core dumps, being traced by its own user, files that others read.

use rustix::fs::Mode;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit, umask,
};

/// Why the process could not be hardened.
#[derive(Debug, thiserror::Error)]
pub enum HardenError {
    /// No memory image may ever reach a disk.
    #[error("cannot switch core dumps off")]
    CoreDumps(#[source] rustix::io::Errno),
    /// No other process of this user may read this one's memory.
    #[error("cannot make the process non-dumpable")]
    Dumpable(#[source] rustix::io::Errno),
}

/// Hardens this process, for good (an image that replaces it has to do it again).
///
/// # Errors
/// [`HardenError`]; the process must not go on to hold keys.
pub fn process() -> Result<(), HardenError> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).map_err(HardenError::CoreDumps)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(HardenError::Dumpable)?;
    umask(Mode::from_raw_mode(0o077));
    Ok(())
}

/// Descriptors beyond those of connections: the socket, the TPM, the runtime's own.
const OTHER_FILES: u64 = 64;

/// Allows as many open files as connections need, as far as this user may.
pub fn raise_open_files(connections: usize) {
    let allowed = getrlimit(Resource::Nofile);
    let needed = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHER_FILES);
    if allowed.current.is_none_or(|current| current >= needed) {
        return;
    }
    let reachable = allowed.maximum.map_or(needed, |maximum| maximum.min(needed));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(reachable), ..allowed });
    if raised.is_err() || reachable < needed {
        tracing::warn!(
            needed,
            reachable,
            "too few open files for every connection; raise the limit (ulimit -n)"
        );
    }
}
