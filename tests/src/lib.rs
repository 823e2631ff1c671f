//! Cross-crate scenarios, harness, vectors, golden files.

pub mod crash;
pub mod memory;
pub mod scan;
pub mod stack;
pub mod tap;
