//! The machine below: seal a root key, produce evidence, count epochs
