//! Cases of attestation evidence: the schema of `cases.json`, a runner that puts each case to the verifier of
//! `vouchsafe-attestation`, launch digests, and a generator of a corpus of bad evidence.
//!
//! Trusted for: that every verdict comes from the verifier's own rules; the runner maps the schema to calls, and what
//! it does not know is "not supported", never passed. Not trusted with: secrets, or a decision about a live machine.
//! Left to the caller: where files come from, and the time, which each case states.

pub mod check;
pub mod corpus;
pub mod measure;
pub mod pem;
pub mod policy;
pub mod runner;
pub mod schema;
pub mod suite;
#[cfg(test)]
mod test_evidence;
pub mod verdict;

pub use check::{Agreement, CheckError, Line, Outcome, Summary, check};
pub use runner::{Runner, run};
pub use schema::{Case, Document, Expect};
pub use suite::{Bundle, Suite, SuiteError};
pub use verdict::{Refusal, Verdict};

#[cfg(test)]
mod tests;
