//! Cross-crate scenarios, harness, vectors, golden files.

pub mod crash;
pub mod stack;
