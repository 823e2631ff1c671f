//! configfs-tsm: evidence through plain files (Linux, Documentation/ABI/testing/configfs-tsm-report).
//!
//! A directory made below the report directory is a request: write `inblob`, read `outblob` and `auxblob`. Every
//! write raises `generation`; if it is not one above what it was before our write when all is read, somebody
//! else used the request in between, and what was read is thrown away.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use vouchsafe_crypto::random;

use super::SnpError;
use super::cert_table::TABLE_LEN;
use super::report::REPORT_LEN;
use crate::files;

/// How often a request may be disturbed before giving up.
const ATTEMPTS: usize = 4;
/// Longest attribute in text form, in bytes.
const TEXT_LEN: usize = 64;
/// Name of the kernel's provider for SNP guests.
const PROVIDER: &str = "sev_guest";

/// A report and the table that came with it.
pub struct RawEvidence {
    /// Exactly 1,184 bytes, if the kernel is right.
    pub report: Vec<u8>,
    /// The certificate table; may be empty.
    pub certificates: Vec<u8>,
}

/// The few operations on the kernel's directory, so that a test can answer as the kernel does.
pub trait ReportDirectory: Send {
    /// Whether it is there at all.
    fn is_present(&self) -> bool;
    /// Its path.
    fn path(&self) -> &Path;
    /// Makes a request.
    ///
    /// # Errors
    /// The kernel's.
    fn make(&mut self, request: &Path) -> io::Result<()>;
    /// Reads an attribute of at most `limit` bytes.
    ///
    /// # Errors
    /// The kernel's.
    fn read(&mut self, attribute: &Path, limit: usize) -> io::Result<Vec<u8>>;
    /// Writes an attribute in one call.
    ///
    /// # Errors
    /// The kernel's.
    fn write(&mut self, attribute: &Path, value: &[u8]) -> io::Result<()>;
    /// Ends a request.
    ///
    /// # Errors
    /// The kernel's.
    fn remove(&mut self, request: &Path) -> io::Result<()>;
}

/// The kernel's directory.
#[derive(Debug)]
pub struct Configfs {
    path: PathBuf,
}

impl Configfs {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

impl ReportDirectory for Configfs {
    fn is_present(&self) -> bool {
        self.path.is_dir()
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn make(&mut self, request: &Path) -> io::Result<()> {
        fs::create_dir(request)
    }

    fn read(&mut self, attribute: &Path, limit: usize) -> io::Result<Vec<u8>> {
        files::read(attribute, limit)
    }

    fn write(&mut self, attribute: &Path, value: &[u8]) -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).open(attribute)?;
        file.write_all(value)
    }

    fn remove(&mut self, request: &Path) -> io::Result<()> {
        fs::remove_dir(request)
    }
}

/// Asks for a report over `report_data`.
pub(super) fn evidence(
    directory: &mut impl ReportDirectory,
    report_data: &[u8; 64],
) -> Result<RawEvidence, SnpError> {
    let random: [u8; 8] = random::array().map_err(|_| SnpError::Tsm {
        path: directory.path().to_owned(),
        source: io::ErrorKind::Other.into(),
    })?;
    let name = format!("vouchsafe-{:016x}", u64::from_be_bytes(random));
    let request = Request { path: directory.path().join(name) };
    directory.make(&request.path).map_err(|source| request.error("", source))?;
    let result = request.ask(directory, report_data);
    directory.remove(&request.path).map_err(|source| request.error("", source))?;
    result
}

struct Request {
    path: PathBuf,
}

impl Request {
    fn ask(
        &self,
        directory: &mut impl ReportDirectory,
        report_data: &[u8; 64],
    ) -> Result<RawEvidence, SnpError> {
        if self.read_text(directory, "provider")? != PROVIDER {
            return Err(SnpError::TsmProvider { path: directory.path().to_owned() });
        }
        for _ in 0..ATTEMPTS {
            let before = self.generation(directory)?;
            directory
                .write(&self.path.join("inblob"), report_data)
                .map_err(|source| self.error("inblob", source))?;
            let Some(report) = self.read_unless_busy(directory, "outblob", REPORT_LEN + 1)? else { continue };
            let Some(certificates) = self.read_unless_busy(directory, "auxblob", TABLE_LEN + 1)? else {
                continue;
            };
            if self.generation(directory)? == before.wrapping_add(1) {
                return Ok(RawEvidence { report, certificates });
            }
        }
        Err(SnpError::TsmContended { path: directory.path().to_owned() })
    }

    /// `None` when the kernel says that the request is being used by somebody else at this moment.
    fn read_unless_busy(
        &self,
        directory: &mut impl ReportDirectory,
        attribute: &str,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, SnpError> {
        match directory.read(&self.path.join(attribute), limit) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            // A provider without certificates has no such attribute, or says that there is no data.
            Err(error) if attribute == "auxblob" && error.kind() == io::ErrorKind::NotFound => {
                Ok(Some(Vec::new()))
            }
            Err(source) => Err(self.error(attribute, source)),
        }
    }

    fn generation(&self, directory: &mut impl ReportDirectory) -> Result<u64, SnpError> {
        let text = self.read_text(directory, "generation")?;
        text.parse().map_err(|_| self.error("generation", io::ErrorKind::InvalidData.into()))
    }

    fn read_text(&self, directory: &mut impl ReportDirectory, attribute: &str) -> Result<String, SnpError> {
        let bytes = directory
            .read(&self.path.join(attribute), TEXT_LEN)
            .map_err(|source| self.error(attribute, source))?;
        let text =
            String::from_utf8(bytes).map_err(|_| self.error(attribute, io::ErrorKind::InvalidData.into()))?;
        Ok(text.trim_end().to_owned())
    }

    fn error(&self, attribute: &str, source: io::Error) -> SnpError {
        SnpError::Tsm { path: self.path.join(attribute), source }
    }
}
