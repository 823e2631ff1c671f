//! The log of Linux's integrity measurement architecture (`security/integrity/ima`): what was run and read since boot,
//! extended into PCR 10. Its sender chose every byte of it; what counts is that the digests recomputed from its
//! entries lead to a value that a TPM signed.
//!
//! Both forms that the kernel offers are read, `ascii_runtime_measurements` and (little-endian)
//! `binary_runtime_measurements`, with the templates `ima`, `ima-ng`, `ima-ngv2`, `ima-sig`, `ima-sigv2`, `ima-modsig` and
//! `ima-buf`. Another template is carried along by its bytes in the binary form; in the text form it is refused, since
//! its bytes cannot be known.
//!
//! ```
//! use vouchsafe_attestation::log::ima::{ImaLog, check_files};
//! use vouchsafe_crypto::verify::HashAlgorithm;
//!
//! /// Whether nothing ran but files on an ascending list, by a log and the quoted value of PCR 10.
//! fn ran(log: &[u8], pcr_10: &[u8; 32], allowed: &[[u8; 32]]) -> Result<(), Box<dyn std::error::Error>> {
//!     let confirmed = ImaLog::parse(log)?.confirm(HashAlgorithm::Sha256, pcr_10)?;
//!     // No other PCR was quoted, so the boot aggregate is a file like any other.
//!     check_files(&confirmed, allowed, |_| None)?;
//!     Ok(())
//! }
//! assert!(ran(b"", &[0; 32], &[]).is_err());
//! ```

mod ascii;
mod binary;
mod entry;
mod error;
mod fields;
mod replay;
mod rules;

pub use entry::{Entry, FileMeasurement, ShortDigest, Template};
pub use error::{ImaError, ImaReplayError, ImaRuleError};
pub use replay::{ConfirmedImaLog, PCR_IMA};
pub use rules::{BootAggregate, check_files};

use crate::bytes::Reader;
use crate::log::LOG_LEN;

/// An IMA log, parsed and not believed. Borrows from its bytes; entries are read again whenever they are asked for,
/// so that a log of any length takes no memory.
#[derive(Clone, Copy, Debug)]
pub struct ImaLog<'a> {
    bytes: &'a [u8],
    form: Form,
    entry_count: u32,
}

/// How a log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Lines of text.
    Ascii,
    /// Little-endian records.
    Binary,
}

impl<'a> ImaLog<'a> {
    /// Parses a whole log.
    ///
    /// Steps: 1. bounded, not empty; 2. entries up to the last byte, each of its template's exact form; 3. each
    /// template hash but a violation's is the hash of the entry's template data.
    ///
    /// # Errors
    /// [`ImaError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ImaError> {
        // Step 1.
        if bytes.len() > LOG_LEN {
            return Err(ImaError::TooLong);
        }
        let Some(first) = bytes.first() else { return Err(ImaError::Empty) };
        // A binary log begins with the number of a PCR, below 24; no text does.
        let form = if *first < super::PCR_COUNT { Form::Binary } else { Form::Ascii };
        let mut log = Self { bytes, form, entry_count: 0 };
        // Steps 2 and 3.
        for entry in log.entries() {
            let entry = entry?;
            if !entry.is_violation() && !entry.has_right_template_hash() {
                return Err(ImaError::TemplateHash { number: entry.number });
            }
            log.entry_count = entry.number;
        }
        Ok(log)
    }

    /// How the log is written.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// Number of entries.
    #[must_use]
    pub fn entry_count(&self) -> u32 {
        self.entry_count
    }

    /// The entries, in order. None is an error in a log that was parsed.
    pub fn entries(&self) -> impl Iterator<Item = Result<Entry<'a>, ImaError>> + use<'a> {
        let (form, mut number) = (self.form, 0);
        let mut at = Reader(self.bytes);
        std::iter::from_fn(move || {
            if at.0.is_empty() {
                return None;
            }
            number += 1;
            let entry = match form {
                Form::Ascii => ascii::read_line(&mut at, number),
                Form::Binary => binary::read_record(&mut at, number),
            };
            if entry.is_err() {
                at = Reader(&[]);
            }
            Some(entry)
        })
    }
}
