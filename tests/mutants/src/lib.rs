//! Removes every check of `vouchsafe-attestation`, one at a time, and tells which removals nothing notices.
//!
//! The source is copied below `target/mutants`, rewritten there so that every check has a switch ([`mutate`]), built
//! once, and then run with one switch after another ([`shard`]): first over the corpus of bad evidence and the real
//! evidence, then, for what these did not notice, over the crate's own tests ([`own_tests`]). The source that is
//! shipped has no switch.

pub mod accepted;
pub mod mutate;
pub mod own_tests;
pub mod report;
pub mod scratch;
pub mod shard;
