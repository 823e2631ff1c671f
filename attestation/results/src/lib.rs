//! Attestation Results (RFC 9334, section 8.4): what is said and kept of evidence that was accepted.
//!
//! Trusted for: claims that come from verified evidence alone, and a signature over exactly those.
//! Not trusted for: verifying anything; [`seen::facts`] asks for the [`vouchsafe_attestation::Appraisal`] that did.
//! Left to the caller: keys, and to whom a result is given.

pub mod ear;
mod json;
pub mod seen;
