//! Wire types, the strict codec, frames, limits, error codes and ids.
//!
//! Trusted for: turning bytes into types that cannot be wrong, with limits before allocation.
//! Not trusted for: anything cryptographic; a decoded message is well-formed, never authentic.
//! Left to the caller: every signature, every check of a value against state or policy.

pub mod anchors;
pub mod codec;
pub mod collateral;
pub mod derive;
pub mod evidence;
pub mod frame;
pub mod id;
pub mod introduction;
pub mod kv;
pub mod lease;
pub mod limits;
pub mod link;
pub mod log;
pub mod path;
pub mod policy;
pub mod policy_check;
pub mod refusal;
pub mod seen;
pub mod session;
pub mod transit;
