//! SEV-SNP reports: parse, endorse, appraise.
//!
//! The order on the way in: [`report`] turns bytes into fields; [`vek`] reads the certificate beside them;
//! [`rules`] compares both with policy, while nothing is verified yet, because a refusal there is cheap;
//! [`verify`] then checks the chain and the signature and makes the only type that stands for a believed
//! report. Terms follow AMD publication 56860, revision 1.58.

pub mod crl;
pub mod report;
pub mod roots;
pub mod rules;
pub mod tcb;
pub mod vek;
pub mod verify;
