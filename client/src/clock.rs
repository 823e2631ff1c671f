//! The time, read at the edge: certificates and evidence are judged at an instant passed in from here.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970 by this machine's clock; 0 for a clock before that, at which no certificate is valid.
#[expect(clippy::disallowed_methods, reason = "the client is the edge of its process; all below take `now`")]
pub(crate) fn now_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
