//! Leases: who may renew and end them, what ends them, and that nothing else does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test helpers; clippy exempts only the tests themselves"
)]

#[path = "../support/mod.rs"]
mod support;

mod million;
mod policy;
mod quota;
mod random;
mod renewal;
mod replay;
mod revocation;
mod time;
mod world;
