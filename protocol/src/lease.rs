//! Leases: everything that is handed out for a time. The identity behind it is the root of each.

use serde::{Deserialize, Serialize};

use crate::id::RoleName;
use crate::path::Path;

/// What the holder of a lease knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Number, from 1.
    pub number: u64,
    /// Until when it holds unless it is renewed, in seconds since 1970. Nothing but a revocation ends it before, whatever
    /// becomes of the session.
    pub until_secs: u64,
    /// When it ends, however often it is renewed, in seconds since 1970.
    pub end_secs: u64,
}

/// What is known of a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseEntry {
    /// The lease.
    pub lease: Lease,
    /// What it is for.
    pub path: Path,
    /// Number of the identity that it rests on.
    pub identity: u64,
    /// That identity's role.
    pub role: RoleName,
}

/// Requests. Agents see and touch their own leases only, operators all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaseRequest {
    /// Leases that hold, in the order of numbers, at most [`crate::limits::LIST_PAGE`].
    List {
        /// After the lease with this number; 0 for the first page.
        after: u64,
    },
    /// Makes it hold for another period; by the key that holds it, and for as long as its rule allows.
    Renew {
        /// Number.
        number: u64,
    },
    /// Ends leases, and identities with all that rests on them, at once.
    Revoke(Selector),
}

/// What is revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Selector {
    /// Identities whose evidence was appraised before this time, in seconds since 1970.
    EvidenceBefore(u64),
    /// One identity, by the number of its certificate.
    Identity(u64),
    /// One lease.
    Lease(u64),
    /// Identities whose evidence shows this: the launch digest (48 bytes), or the digest of the quoted PCRs (32).
    Measurement(#[serde(deserialize_with = "crate::kv::bounded::list::<_, _, 64>")] Vec<u8>),
    /// Identities on one platform: a chip id (64 bytes), or SHA-256 of the key that an anchor vouches for (32).
    Platform(#[serde(deserialize_with = "crate::kv::bounded::list::<_, _, 64>")] Vec<u8>),
    /// Leases of a path and of everything below it.
    Prefix(Path),
    /// Identities of a role.
    Role(RoleName),
}

/// Answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaseReply {
    /// A page.
    Leases {
        /// Leases.
        leases: Vec<LeaseEntry>,
        /// After which number to ask again, if there are more to look at; a page may be empty all the same.
        next: Option<u64>,
    },
    /// It holds until then.
    Renewed(Lease),
    /// What was selected has ended.
    Revoked,
}
