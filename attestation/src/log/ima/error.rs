//! Why an IMA log is refused.

/// Why bytes are not an IMA log. Entries are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImaError {
    /// Longer than [`crate::log::LOG_LEN`].
    #[error("IMA log is too long")]
    TooLong,
    /// No byte.
    #[error("IMA log is empty")]
    Empty,
    /// An entry does not have the form of its template.
    #[error("entry {number} of the IMA log is malformed")]
    Malformed {
        /// Entry.
        number: u32,
    },
    /// A template that is not known, where its bytes cannot be known either.
    #[error("entry {number} of the IMA log has an unknown template")]
    Template {
        /// Entry.
        number: u32,
    },
    /// The template hash is not the hash of the template data.
    #[error("template hash of entry {number} of the IMA log is not the hash of the entry")]
    TemplateHash {
        /// Entry.
        number: u32,
    },
}

impl ImaError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "tpm.ima.too-long",
            Self::Empty => "tpm.ima.empty",
            Self::Malformed { .. } => "tpm.ima.malformed",
            Self::Template { .. } => "tpm.ima.template",
            Self::TemplateHash { .. } => "tpm.ima.template-hash",
        }
    }
}

/// Why an IMA log does not explain the value of PCR 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImaReplayError {
    /// PCR 10 holds what the first entries lead to.
    #[error("IMA log has more entries than were extended into PCR 10")]
    Longer,
    /// An old kernel extended SHA-1 digests, filled up with zeros: nothing but SHA-1 protects the entries.
    #[error("PCR 10 holds SHA-1 digests filled up with zeros")]
    PaddedSha1,
    /// The log leads to another value: another boot, another machine, entries changed or left out.
    #[error("IMA log replays to another value of PCR 10")]
    Value,
}

impl ImaReplayError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Longer => "tpm.ima.longer",
            Self::PaddedSha1 => "tpm.ima.padded-sha1",
            Self::Value => "tpm.ima.replay",
        }
    }
}

/// Why the files that an IMA log names are not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImaRuleError {
    /// An entry that was extended into another PCR, so that PCR 10 says nothing of it.
    #[error("entry {number} of the IMA log is for another PCR")]
    OtherPcr {
        /// Entry.
        number: u32,
    },
    /// A file was open for writing while it was measured: what was read is not known.
    #[error("entry {number} of the IMA log records a violation")]
    Violation {
        /// Entry.
        number: u32,
    },
    /// What was measured is no file but a buffer of the kernel: a command line for kexec, a policy, critical data.
    #[error("entry {number} of the IMA log is not of a file")]
    Buffer {
        /// Entry.
        number: u32,
    },
    /// A template without a file digest that is known here.
    #[error("entry {number} of the IMA log has an unknown template")]
    Template {
        /// Entry.
        number: u32,
    },
    /// The first entry does not hold the PCRs that the boot left.
    #[error("boot aggregate of the IMA log is not that of the quoted PCRs")]
    BootAggregate,
    /// The digest of a file is not on the list.
    #[error("file of entry {number} of the IMA log is not on the list")]
    FileNotListed {
        /// Entry.
        number: u32,
    },
}

impl ImaRuleError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::OtherPcr { .. } => "tpm.ima.other-pcr",
            Self::Violation { .. } => "tpm.ima.violation",
            Self::Buffer { .. } => "tpm.ima.buffer",
            Self::Template { .. } => "tpm.ima.unknown-template",
            Self::BootAggregate => "tpm.ima.boot-aggregate",
            Self::FileNotListed { .. } => "tpm.ima.file",
        }
    }
}
