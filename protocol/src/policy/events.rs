//! Rules over the boot event log and the IMA log.

use serde::{Deserialize, Serialize};

/// Rules over the boot event log, for PCRs judged by events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRules {}

/// Rules over the log of Linux's integrity measurement architecture (PCR 10).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImaRule {
    /// Every measured file has one of these SHA-256 digests; never empty.
    AllowList(Vec<[u8; 32]>),
    /// The log is not asked for.
    #[default]
    NotRequired,
}
