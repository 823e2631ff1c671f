//! Logs that explain PCR values: the boot event log (TCG PC Client Platform Firmware Profile 1.06, section 10) and
//! the log of Linux's integrity measurement architecture.
//!
//! A log is written by nobody in particular and sent by an Attester: every byte of it is its sender's choice. What
//! makes it worth reading is that its digests, extended one after another, give values that a TPM signed. So:
//!
//! 1. [`EventLog::parse`] reads bytes into events and believes nothing;
//! 2. [`confirm`] replays them: the [`Replayed`] log that it returns has, for each confirmed PCR, the digests that were
//!    extended, all of them, in order. Types, order between PCRs and data are still the sender's choice;
//! 3. [`Replayed::measured_boot`] checks what every honest log has: separators and the boundary where firmware ends;
//! 4. [`meaning`](Event::meaning) believes an event's data only if its digest is the hash of it.
//!
//! ```
//! use vouchsafe_attestation::log::{EventLog, confirm};
//! use vouchsafe_crypto::verify::HashAlgorithm;
//!
//! /// Whether Secure Boot was on, by a log and by values that a quote was verified for.
//! fn secure_boot(log: &[u8], quoted: &[(u8, [u8; 32])]) -> Result<bool, Box<dyn std::error::Error>> {
//!     let log = EventLog::parse(log)?;
//!     let boot = confirm(&log, HashAlgorithm::Sha256, quoted.iter().copied())?.measured_boot()?;
//!     Ok(boot.secure_boot().and_then(|shown| shown.enabled) == Some(true))
//! }
//! assert!(secure_boot(b"not a log", &[]).is_err());
//! ```
//!
//! Nothing here does input or output, and nothing allocates more than [`EVENTS`] small records.

mod after;
mod boot;
mod confirm;
mod error;
mod event;
mod header;
pub mod ima;
mod image;
mod kind;
mod meaning;
mod parse;
mod register;
mod replay;
mod secure_boot;
mod signature_list;
mod text;
mod variable;

pub use boot::MeasuredBoot;
pub use confirm::{Replayed, compare, confirm};
pub use error::{BootError, EventLogError, ReplayError};
pub use event::{Digests, Event};
pub use image::ImageLoad;
pub use kind::EventKind;
pub use meaning::{BootAction, Meaning, SeparatorValue};
pub use parse::EventLog;
pub use replay::Replay;
pub use secure_boot::SecureBoot;
pub use signature_list::{Signature, SignatureKind, SignatureList, SignatureListError, signature_lists};
pub use text::CoveredText;
pub use variable::{Guid, UefiVariable};

/// Longest log that is read, in bytes: what a verifier on its own is given. A vault reads at most
/// [`vouchsafe_protocol::limits::EVENT_LOG_LEN`].
pub const LOG_LEN: usize = 2 * 1024 * 1024;
/// Most events of a boot event log that are read; real logs have a few hundred.
pub const EVENTS: usize = 8192;
/// PCRs of a TPM (PC Client Platform TPM Profile 1.05, section 4.6).
pub const PCR_COUNT: u8 = 24;
