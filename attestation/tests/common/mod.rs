//! What the tests of this crate start from.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

pub mod snp;
pub mod tpm;
