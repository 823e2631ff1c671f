//! The core: a deterministic state machine without I/O.
//!
//! Trusted for: every secret, key and decision of a vault. It takes requests, the time and what its ports give
//! it; it returns replies that cannot be had before the log has them, and sealed frames to be stored.
//! Not trusted for: anything outside the boundary. What the host stores or says is checked before it is used.
//! Left to the caller (`vouchsafe-enclave-runtime`): the links, the inner TLS, sealing the root key with the
//! platform, and passing the platform's counter on.

mod boot;
mod chains;
mod challenge;
mod change;
mod clocks;
mod collateral;
mod core;
mod derive;
mod ear;
mod genesis;
mod identities;
mod identity;
mod introduce;
mod journal;
mod keys;
mod kv;
mod lease;
mod leasing;
mod names;
mod policy;
mod ports;
mod quoting;
mod requests;
mod restore;
mod revocation;
mod seen;
mod session;
mod space;
mod standing;
mod state;
mod statement;
mod tick;
mod transit;

pub use self::boot::{BootRecord, PlatformName};
pub use self::core::{Core, Handled, PendingFetch, PendingStreams, SessionEnd};
pub use self::genesis::Genesis;
pub use self::introduce::{Introducer, ProveOutcome};
pub use self::journal::{Cut, Durable, Pending, Ticket};
pub use self::ports::{KernelPorts, Ports};
pub use self::restore::{Restore, RestoreError, Restored};
pub use self::session::SessionId;
pub use self::space::Space;
pub use self::statement::Unattested;
