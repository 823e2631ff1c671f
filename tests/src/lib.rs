//! Cross-crate scenarios, harness, vectors, golden files
