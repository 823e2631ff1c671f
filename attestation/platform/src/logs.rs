//! Logs that the kernel keeps of what was measured into PCRs: of the boot, and of its integrity measurement
//! architecture (IMA).
//!
//! Who controls them: the kernel, and so whoever controls this machine. A log is worth what it replays to, which is the
//! verifier's to say; here it is only read, within limits, and refused if no verifier could read it.

use core::fmt;
use std::io;
use std::path::{Path, PathBuf};

use vouchsafe_attestation::log::ima::{ImaError, ImaLog, PCR_IMA};
use vouchsafe_attestation::log::{EventLog, EventLogError, ReplayError, confirm};
use vouchsafe_crypto::verify::HashAlgorithm;
use vouchsafe_protocol::evidence::{Logs, PcrValue};
use vouchsafe_protocol::introduction::LogsWanted;
use vouchsafe_protocol::limits::{EVENT_LOG_LEN, IMA_LOG_LEN};

use crate::files;

/// Where Linux mounts securityfs.
pub const SECURITYFS: &str = "/sys/kernel/security";

/// Where the kernel shows its logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPaths {
    /// Boot event log, as the firmware handed it over.
    pub boot: PathBuf,
    /// IMA's log in binary form.
    pub ima: PathBuf,
    /// IMA's log in text form, which is read where there is no binary one.
    pub ima_text: PathBuf,
}

impl LogPaths {
    /// The paths below a securityfs. `tpm` is the kernel's name of the TPM, `tpm0` for the first.
    #[must_use]
    pub fn below(securityfs: &Path, tpm: &str) -> Self {
        let ima = securityfs.join("ima");
        Self {
            boot: securityfs.join(tpm).join("binary_bios_measurements"),
            ima: ima.join("binary_runtime_measurements"),
            ima_text: ima.join("ascii_runtime_measurements"),
        }
    }

    /// The kernel's paths for the TPM of a device file: `tpm1` for `/dev/tpm1` and `/dev/tpmrm1`.
    #[must_use]
    pub fn of_device(device: &Path) -> Self {
        let name = device.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = name.trim_start_matches("tpm").trim_start_matches("rm");
        let known = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        Self::below(Path::new(SECURITYFS), &format!("tpm{}", if known { number } else { "0" }))
    }

    /// The boot event log.
    ///
    /// # Errors
    /// [`LogError`] if it cannot be read, is too long, or is not one.
    pub fn read_boot(&self) -> Result<Vec<u8>, LogError> {
        let error = |fault| LogError { log: Log::Boot, path: self.boot.clone(), fault };
        let bytes = read(&self.boot, EVENT_LOG_LEN).map_err(error)?;
        EventLog::parse(&bytes).map_err(|source| error(LogFault::Boot(source)))?;
        Ok(bytes)
    }

    /// Whether a boot event log leads to the SHA-256 values of a quote. The verifier decides; this is to say it early.
    ///
    /// # Errors
    /// [`LogFault::BootReplay`], or that it is not a log.
    pub fn check_boot(&self, log: &[u8], pcrs: &[PcrValue]) -> Result<(), LogError> {
        let error = |fault| LogError { log: Log::Boot, path: self.boot.clone(), fault };
        let log = EventLog::parse(log).map_err(|source| error(LogFault::Boot(source)))?;
        let quoted = pcrs.iter().map(|pcr| (pcr.index, pcr.value));
        let replayed = confirm(&log, HashAlgorithm::Sha256, quoted);
        replayed.map(drop).map_err(|source| error(LogFault::BootReplay(source)))
    }

    /// IMA's log up to the entry that was the last when `pcrs`, the SHA-256 values of a quote, were quoted. To be read
    /// after quoting: the kernel writes an entry down before it extends PCR 10, so that the log then holds all that the
    /// quote covers, and perhaps more, which is cut off.
    ///
    /// # Errors
    /// [`LogError`] if it cannot be read, is too long, is not one, or does not lead to the quoted value.
    pub fn read_ima(&self, pcrs: &[PcrValue]) -> Result<Vec<u8>, LogError> {
        let missing = |fault: &LogFault| matches!(fault, LogFault::Absent);
        let (path, read) = match read(&self.ima, IMA_LOG_LEN) {
            Err(fault) if missing(&fault) => (&self.ima_text, read(&self.ima_text, IMA_LOG_LEN)),
            read => (&self.ima, read),
        };
        let error = |fault| LogError { log: Log::Ima, path: path.clone(), fault };
        let bytes = read.map_err(error)?;
        let log = ImaLog::parse(&bytes).map_err(|source| error(LogFault::Ima(source)))?;
        let quoted = pcrs.iter().find(|pcr| pcr.index == PCR_IMA);
        let quoted = quoted.ok_or_else(|| error(LogFault::NotQuoted))?;
        let cut = log.cut_to(HashAlgorithm::Sha256, &quoted.value);
        cut.map(<[u8]>::to_vec).ok_or_else(|| error(LogFault::Replay))
    }

    /// The logs that are wanted.
    ///
    /// # Errors
    /// [`LogError`] for the first that there is not.
    pub fn read_wanted(&self, wanted: LogsWanted, pcrs: &[PcrValue]) -> Result<Logs, LogError> {
        let LogsWanted { boot, ima } = wanted;
        Ok(Logs {
            boot: boot.then(|| self.read_boot()).transpose()?,
            ima: ima.then(|| self.read_ima(pcrs)).transpose()?,
        })
    }
}

fn read(path: &Path, limit: usize) -> Result<Vec<u8>, LogFault> {
    match files::read(path, limit) {
        Ok(bytes) if bytes.is_empty() => Err(LogFault::Empty),
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => LogFault::Absent,
            io::ErrorKind::PermissionDenied => LogFault::Denied(error),
            io::ErrorKind::FileTooLarge => LogFault::TooLong { limit },
            _ => LogFault::Io(error),
        }),
    }
}

/// Which log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// Of the boot.
    Boot,
    /// IMA's.
    Ima,
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boot => "boot event log",
            Self::Ima => "IMA log",
        })
    }
}

/// A log that cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("the {log} {path} cannot be used")]
pub struct LogError {
    /// Which.
    pub log: Log,
    /// Where it is looked for.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub fault: LogFault,
}

impl LogError {
    /// No log, because the TPM is not this machine's own.
    pub(crate) fn other_tpm(log: Log) -> Self {
        Self { log, path: PathBuf::from(SECURITYFS), fault: LogFault::OtherTpm }
    }
}

/// Why a log cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LogFault {
    /// There is no such file.
    #[error("there is no such file")]
    Absent,
    /// The boot event log is cut, damaged or something else.
    #[error("it is not a boot event log")]
    Boot(#[source] EventLogError),
    /// This user may not read it.
    #[error("this user may not read it")]
    Denied(#[source] io::Error),
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// IMA's log is cut, damaged or something else.
    #[error("it is not an IMA log")]
    Ima(#[source] ImaError),
    /// Reading fails.
    #[error("it cannot be read")]
    Io(#[source] io::Error),
    /// Its events lead to other values than the quoted ones.
    #[error("its events do not lead to the quoted values")]
    BootReplay(#[source] ReplayError),
    /// PCR 10 is not quoted, so that nothing vouches for IMA's log.
    #[error("PCR 10, which vouches for it, is not quoted")]
    NotQuoted,
    /// Entries lead to another value of PCR 10 than the quoted one.
    #[error("its entries do not lead to the quoted value of PCR 10")]
    Replay,
    /// A software TPM that is not this machine's has no log here.
    #[error("the TPM is not this machine's own, so the kernel has no log of it")]
    OtherTpm,
    /// Longer than anybody reads.
    #[error("it is longer than {limit} bytes")]
    TooLong {
        /// Most bytes that are read.
        limit: usize,
    },
}

impl LogFault {
    /// What the user may do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Absent => {
                "is securityfs mounted at /sys/kernel/security, and does this firmware or kernel keep such a log? \
                 (IMA: boot with ima_policy=tcb)"
            }
            Self::Denied(_) => "run as root: the kernel shows this log to nobody else",
            Self::NotQuoted => "add 10 to the PCRs to quote",
            Self::Replay => {
                "the log is of another TPM or was not kept in SHA-256: kernels before 5.8 extend SHA-1 digests only"
            }
            Self::OtherTpm => "name the directory of its log with --logs",
            Self::Empty => "the firmware handed no log over to the kernel; look at its TPM settings",
            Self::BootReplay(_) => {
                "the log is of another TPM, or something extended PCRs without logging it; quote only PCRs that the log \
                 explains"
            }
            Self::Boot(_) | Self::Ima(_) | Self::Io(_) | Self::TooLong { .. } => "",
        }
    }
}

#[cfg(test)]
mod tests;
