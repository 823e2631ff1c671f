//! Why the TPM did not do it.

use core::fmt;
use std::io;
use std::path::PathBuf;

use tss_esapi::constants::response_code::Tss2ResponseCodeKind;

use super::tcti::Tcti;
use crate::sealed::SealedError;

/// Why the TPM did not do it.
#[derive(Debug, thiserror::Error)]
pub enum TpmError {
    /// A command failed, or its answer was not authentic.
    #[error("{command} failed")]
    Command {
        /// The command's name in TPM 2.0 Part 3.
        command: &'static str,
        /// The TPM's or the stack's reason.
        source: tss_esapi::Error,
    },
    /// The TPM cannot be reached or used at all.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The counter is not the one that was sealed (T15).
    #[error("the TPM's counter at NV index {index:#010x} is not the one that was sealed: {what}")]
    Counter {
        /// NV index.
        index: u32,
        /// What is wrong with it.
        what: CounterFault,
    },
    /// The credential was not made for this TPM and attestation key.
    #[error("the TPM does not open the credential: it was made for another TPM or attestation key")]
    Credential,
    /// The machine's keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// A selection of PCRs is empty, has an index above 23, or repeats or reorders one.
    #[error("a PCR selection is a strictly ascending list of indices from 0 to 23")]
    PcrSelection,
    /// PCRs were extended again and again while they were being quoted.
    #[error("PCRs kept changing while they were quoted")]
    PcrsUnstable,
    /// The root key does not come back.
    #[error(transparent)]
    Unseal(#[from] UnsealError),
    /// The TPM's answer has another form than the command defines.
    #[error("the TPM answered {command} with something else")]
    UnexpectedAnswer {
        /// The command's name in TPM 2.0 Part 3.
        command: &'static str,
    },
}

/// Why there is no working connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The device is there but may not be opened.
    #[error("may not open the TPM device {path}; run as root or as a member of its group (often 'tss')")]
    Denied {
        /// The device.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The device is there but cannot be opened, for another reason.
    #[error("cannot open the TPM device {path}")]
    Device {
        /// The device.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// There is no such device.
    #[error("no TPM device at {path}; enable the machine's TPM, or name another with --tcti")]
    NoDevice {
        /// The device.
        path: PathBuf,
    },
    /// The owner hierarchy has a password.
    #[error(
        "the TPM's owner hierarchy has a password, which is not supported; clear it with tpm2_changeauth"
    )]
    OwnerPassword,
    /// Nothing answers.
    #[error("no TPM answers at {tcti}; start it, or name another with --tcti")]
    Unreachable {
        /// Where it should be.
        tcti: Tcti,
        /// The stack's reason.
        source: tss_esapi::Error,
    },
}

/// What is wrong with the machine's own keys and certificates.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file of the attestation key cannot be read or written.
    #[error("cannot use the attestation key's file {path}")]
    AkFile {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The file of the attestation key does not decode.
    #[error("the attestation key's file {path} is damaged; remove it to make a new key")]
    AkFileDamaged {
        /// The file.
        path: PathBuf,
    },
    /// The attestation key was made under another storage root key.
    #[error("the attestation key belongs to another TPM, or the TPM has been cleared; remove its file")]
    AkOfOtherTpm,
    /// The file of EK certificates does not hold any, or too many, or too long ones.
    #[error("the file of EK certificates {path} holds no usable chain: DER or PEM, leaf first, at most 8")]
    EkChainDamaged {
        /// The file.
        path: PathBuf,
    },
    /// The file of EK certificates cannot be read.
    #[error("cannot read the EK certificates {path}")]
    EkChainFile {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// No cloud provided the TPM with an attestation key and its certificate.
    #[error("the TPM holds no attestation key of a cloud with its certificate; use a key of its own")]
    NoProvidedKey,
    /// There is no certificate for the endorsement key.
    #[error(
        "the TPM holds no EK certificate; name a file with the manufacturer's: --ek-chain, or ek-chain.pem \
             in the directory of --certificates where evidence is collected"
    )]
    NoEkCertificate,
}

/// Why the root key does not come back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsealError {
    /// What belongs to the sealed object was changed (T15): its digest inside the object differs.
    #[error("the sealed root key was changed: its PCRs, keys or counter are not those that were sealed")]
    Altered,
    /// The TPM was cleared (T16).
    #[error(
        "the TPM was cleared after the vault was sealed, so its root key is gone from this TPM; the vault is \
         not new: restore it with the operators' recovery shares"
    )]
    Cleared,
    /// The sealed object does not load under this storage root key.
    #[error("the TPM does not load the sealed root key; its file was damaged")]
    Damaged,
    /// Sealed by another TPM.
    #[error("the root key was sealed by another TPM; start the vault on the machine that sealed it")]
    OtherTpm,
    /// PCRs differ from those at sealing.
    #[error("this machine booted something else than when the vault was sealed: PCR {0} changed")]
    PcrsChanged(ChangedPcrs),
    /// Not a sealed root.
    #[error(transparent)]
    Sealed(#[from] SealedError),
}

/// Indices of PCRs, ascending, never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedPcrs(pub(crate) Vec<u8>);

impl ChangedPcrs {
    /// The indices.
    #[must_use]
    pub fn indices(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for ChangedPcrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, index) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}{index}")?;
        }
        Ok(())
    }
}

/// What is wrong with a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterFault {
    /// Its name differs: index, attributes, policy or size are not those that were sealed.
    Attributes,
    /// It does not know the sealed authorisation value: somebody deleted it and made another.
    Authorization,
    /// All indices in the range are taken.
    NoFreeIndex,
    /// It was deleted.
    Missing,
}

impl fmt::Display for CounterFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Attributes => "its attributes differ",
            Self::Authorization => "it was deleted and another one made in its place",
            Self::NoFreeIndex => "no index is free for a new one",
            Self::Missing => "it was deleted",
        })
    }
}

/// The kind of a TPM's response code.
pub(crate) fn kind(error: &tss_esapi::Error) -> Option<Tss2ResponseCodeKind> {
    match error {
        tss_esapi::Error::Tss2Error(code) => code.kind(),
        tss_esapi::Error::WrapperError(_) => None,
    }
}

impl TpmError {
    /// The kind of response code, if a command was refused.
    pub(crate) fn refused_with(&self) -> Option<Tss2ResponseCodeKind> {
        match self {
            Self::Command { source, .. } => kind(source),
            _ => None,
        }
    }
}
