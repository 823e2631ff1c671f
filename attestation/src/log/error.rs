//! Why a boot event log is refused: as bytes, against values, as the record of a boot.

/// Why bytes are not an event log. Events are counted from 1, a crypto-agile header among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventLogError {
    /// Longer than [`super::LOG_LEN`].
    #[error("event log is too long")]
    TooLong,
    /// No byte.
    #[error("event log is empty")]
    Empty,
    /// More than [`super::EVENTS`].
    #[error("event log has too many events")]
    TooManyEvents,
    /// The log ends inside an event.
    #[error("event log ends inside event {number}")]
    Truncated {
        /// Event.
        number: u32,
    },
    /// The Spec ID event does not have the form that its signature promises.
    #[error("header of the event log is malformed")]
    Header,
    /// The Spec ID event announces no algorithm, too many, one twice, an unknown one, or one with a wrong length.
    #[error("header of the event log announces impossible algorithms")]
    Algorithms,
    /// For a PCR that no TPM has.
    #[error("event {number} is for PCR {pcr}, which no TPM has")]
    Pcr {
        /// Event.
        number: u32,
        /// Index.
        pcr: u32,
    },
    /// No digest, or more than algorithms were announced.
    #[error("event {number} has {count} digests")]
    DigestCount {
        /// Event.
        number: u32,
        /// Digests.
        count: u32,
    },
    /// A digest of an algorithm that the header does not announce.
    #[error("event {number} has a digest of algorithm {algorithm:#06x}, which is not announced")]
    DigestAlgorithm {
        /// Event.
        number: u32,
        /// TPM_ALG_ID.
        algorithm: u16,
    },
    /// Two digests of one algorithm.
    #[error("event {number} has two digests of one algorithm")]
    DigestTwice {
        /// Event.
        number: u32,
    },
    /// A StartupLocality event that is malformed, of an impossible locality, or not the only one.
    #[error("event {number} gives no possible startup locality")]
    StartupLocality {
        /// Event.
        number: u32,
    },
}

impl EventLogError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "tpm.log.too-long",
            Self::Empty => "tpm.log.empty",
            Self::TooManyEvents => "tpm.log.too-many-events",
            Self::Truncated { .. } => "tpm.log.truncated",
            Self::Header => "tpm.log.header",
            Self::Algorithms => "tpm.log.algorithms",
            Self::Pcr { .. } => "tpm.log.pcr-index",
            Self::DigestCount { .. } => "tpm.log.digest-count",
            Self::DigestAlgorithm { .. } => "tpm.log.digest-algorithm",
            Self::DigestTwice { .. } => "tpm.log.digest-twice",
            Self::StartupLocality { .. } => "tpm.log.startup-locality",
        }
    }
}

/// Why a log does not explain PCR values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The log has no digests for the bank.
    #[error("event log has no digests for the quoted bank")]
    BankAbsent,
    /// An event has no digest for the bank.
    #[error("event {number} has no digest for the quoted bank")]
    DigestMissing {
        /// Event.
        number: u32,
    },
    /// The PCR holds what its first events replay to: the log has events that were never extended.
    #[error("event log has more events for PCR {pcr} than were extended into it")]
    Longer {
        /// PCR.
        pcr: u8,
    },
    /// The PCR was extended further than the log tells.
    #[error("event log lacks events that were extended into PCR {pcr}")]
    Shorter {
        /// PCR.
        pcr: u8,
    },
    /// The log replays to another value: another boot, another machine, or a changed digest.
    #[error("event log replays to another value of PCR {pcr}")]
    Value {
        /// PCR.
        pcr: u8,
    },
}

impl ReplayError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::BankAbsent => "tpm.log.bank-absent",
            Self::DigestMissing { .. } => "tpm.log.digest-missing",
            Self::Longer { .. } => "tpm.log.longer",
            Self::Shorter { .. } => "tpm.log.shorter",
            Self::Value { .. } => "tpm.log.replay",
        }
    }
}

/// Why a log that replays is still not the record of an orderly boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BootError {
    /// The digest of an extended event is all zero: the bank is allocated, and nothing was measured into it.
    #[error("digest of event {number} is all zero")]
    ZeroDigest {
        /// Event.
        number: u32,
    },
    /// The firmware closed a PCR with the separator that says that measuring failed.
    #[error("firmware closed PCR {pcr} with an error")]
    ErrorSeparator {
        /// PCR.
        pcr: u8,
    },
    /// An event is called a separator and has another digest.
    #[error("event {number} is called a separator, and is none")]
    SeparatorSpoofed {
        /// Event.
        number: u32,
    },
    /// An event has the digest of a separator and is called something else.
    #[error("event {number} is a separator, and is called something else")]
    SeparatorRetyped {
        /// Event.
        number: u32,
    },
    /// A second separator in one PCR.
    #[error("PCR {pcr} has a second separator")]
    SeparatorTwice {
        /// PCR.
        pcr: u8,
    },
    /// One of PCRs 0 to 7 has no separator.
    #[error("PCR {pcr} has no separator")]
    SeparatorMissing {
        /// PCR.
        pcr: u8,
    },
    /// An event behind the separator of its PCR that the specification does not put there.
    #[error("event {number} stands behind the separator of its PCR, where it cannot be")]
    AfterSeparator {
        /// Event.
        number: u32,
    },
    /// An event in one of PCRs 0 to 7 after the firmware has handed over.
    #[error("event {number} stands behind the end of boot services, where firmware measures nothing")]
    AfterExit {
        /// Event.
        number: u32,
    },
}

impl BootError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::ZeroDigest { .. } => "tpm.log.zero-digest",
            Self::ErrorSeparator { .. } => "tpm.log.separator.error",
            Self::SeparatorSpoofed { .. } => "tpm.log.separator.spoofed",
            Self::SeparatorRetyped { .. } => "tpm.log.separator.retyped",
            Self::SeparatorTwice { .. } => "tpm.log.separator.twice",
            Self::SeparatorMissing { .. } => "tpm.log.separator.missing",
            Self::AfterSeparator { .. } => "tpm.log.after-separator",
            Self::AfterExit { .. } => "tpm.log.after-exit",
        }
    }
}
