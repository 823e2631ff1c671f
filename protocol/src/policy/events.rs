//! Rules over the boot event log and the IMA log.

use serde::{Deserialize, Serialize};

use super::BitRule;

/// Rules over the boot event log, for PCRs judged by events.
///
/// Types of events are not protected, digests are. So every event that was extended into such a PCR must be known by
/// its digest: a separator or a step of the boot manager, or one that a rule here names. Only a PCR in
/// `unknown_events` may hold others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRules {
    /// The variable SecureBoot as it was measured into PCR 7 before the separator.
    pub secure_boot: BitRule,
    /// What may be in PCR 4: Authenticode SHA-256 digests of applications, ascending.
    pub boot_applications: Vec<[u8; 32]>,
    /// What may be in PCR 11: sections of unified kernel images.
    pub uki_sections: Vec<UkiSection>,
    /// How far the boot may have got, by what systemd extended into PCR 11 behind the firmware's log.
    pub boot_phases: Vec<BootPhase>,
    /// What may be in PCRs 8 (GRUB) and 12 (systemd): commands and command lines, whole, without prefix and NUL.
    pub command_lines: Vec<String>,
    /// What else may be in a PCR, ascending by index.
    pub allowed: Vec<AllowedEvents>,
    /// PCRs in which events that no rule knows are passed over, ascending.
    pub unknown_events: Vec<u8>,
}

impl EventRules {
    /// No rule: for a quote none of whose PCRs is judged by events.
    pub const NONE: Self = Self {
        secure_boot: BitRule::Any,
        boot_applications: Vec::new(),
        uki_sections: Vec::new(),
        boot_phases: Vec::new(),
        command_lines: Vec::new(),
        allowed: Vec::new(),
        unknown_events: Vec::new(),
    };
}

impl Default for EventRules {
    fn default() -> Self {
        Self::NONE
    }
}

/// Digests that may be in a PCR.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedEvents {
    /// The PCR.
    pub index: u8,
    /// SHA-256 digests of events, ascending, never empty.
    pub digests: Vec<[u8; 32]>,
}

/// A section of a unified kernel image, which systemd-stub measures as its name and then its content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UkiSection {
    /// Name, such as `.linux`.
    pub name: String,
    /// SHA-256 of the content.
    pub digest: [u8; 32],
}

/// Steps of the boot that systemd extends into PCR 11 (`systemd-pcrphase`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BootPhase {
    /// None yet, or systemd measures none: the log explains PCR 11 alone.
    Firmware,
    /// `enter-initrd`.
    Initrd,
    /// `leave-initrd`.
    InitrdLeft,
    /// `sysinit`.
    SystemInitialised,
    /// `ready`.
    Ready,
}

/// Rules over the log of Linux's integrity measurement architecture (PCR 10).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImaRule {
    /// Every measured file has one of these SHA-256 digests, ascending; never empty.
    AllowList(Vec<[u8; 32]>),
    /// The log is not asked for.
    #[default]
    NotRequired,
}
