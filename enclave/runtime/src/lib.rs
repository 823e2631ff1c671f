//! The process around the core: links, inner TLS, storage, group commit.
//!
//! Trusted for: moving bytes between the core and the outside unchanged, ending the inner TLS, giving the core
//! the platform's root key, counter and evidence, and letting no reply out before its log entry is durable.
//! Not trusted for: any decision; those are the core's (`vouchsafe-enclave`). The host at the other end of
//! every link is hostile: its answers are bounded, decoded strictly and believed only as far as the core
//! confirms them. To the host go TLS records, sealed frames and public certificates, nothing else.
//! Left to the caller: to harden the process ([`harden`]) and, after [`Exit::Sealed`], to replace it.

pub mod config;
pub mod harden;

mod birth;
mod boot;
mod clock;
mod commit;
mod enclave;
mod frames;
mod introduce;
mod lifecycle;
mod links;
mod listener;
mod machine;
mod phase;
mod session;
mod session_tls;
mod storage;
mod ticker;
mod vault;
mod verifiers;

pub use crate::config::Config;
pub use crate::enclave::{Enclave, OpenError, run};
pub use crate::lifecycle::Exit;
pub use crate::listener::ListenError;
pub use crate::verifiers::verifications;
