//! What can be found, and how it is said.

use core::fmt;

use vouchsafe_protocol::id::RoleName;
use vouchsafe_protocol::policy::Capability;

use super::{LEASED, capabilities, mounts, names};

/// Something that cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// In which role.
    pub role: RoleName,
    /// In which rule, if in one.
    pub place: Place,
    /// What.
    pub problem: Problem,
}

/// A rule of a role; rules are numbered from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The role itself.
    Role,
    /// An accept rule.
    Accept(usize),
    /// An allow rule.
    Allow(usize),
    /// A deny rule.
    Deny(usize),
}

/// What cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Deny rules refuse all of it.
    #[error("it allows nothing: deny rule {deny} refuses {} there", names(.can))]
    Denied {
        /// The first that does.
        deny: usize,
        /// What.
        can: Vec<Capability>,
    },
    /// An earlier rule decides first.
    #[error("it never decides: allow rule {earlier} allows the same and more, and comes first")]
    Hidden {
        /// Which.
        earlier: usize,
    },
    /// Another rule refuses it already.
    #[error("it refuses nothing more: deny rule {other} refuses the same and more")]
    HiddenDeny {
        /// Which.
        other: usize,
    },
    /// Another accept rule is the same.
    #[error("it is the same as accept rule {other}")]
    SameAccept {
        /// Which.
        other: usize,
    },
    /// No engine is mounted there.
    #[error("nothing is there: engines are mounted at {}", mounts())]
    NoMount,
    /// The engine there does not know a capability.
    #[error("{mount} knows no {}; it has {}", names(.can), names(capabilities(.mount)))]
    NotOfMount {
        /// The engine's mount.
        mount: &'static str,
        /// What it does not know.
        can: Vec<Capability>,
    },
    /// The role's name cannot stand in a path.
    #[error("'{{role}}' never matches: the name of this role is no segment of a path")]
    RoleInPath,
    /// All reference values of the rule have expired.
    #[error("it accepts nothing any more: {what} expired, and so did every grace")]
    Expired {
        /// Of what.
        what: Expired,
    },
    /// The condition names kinds that no accept rule is for.
    #[error("it never holds: no accept rule of the role is for its 'platform'")]
    NoSuchPlatform,
    /// The condition is no stricter than the role.
    #[error("'evidence_age' changes nothing: the role lets evidence get no older than that")]
    AgeAsRole,
    /// There is a lease, and nothing to lease.
    #[error("'lease' changes nothing: only {} are leased", names(LEASED))]
    NothingLeased,
    /// The lease is longer than evidence lasts.
    #[error("no lease of it lasts as long as it says: the role's evidence is too old before")]
    LeaseBeyondEvidence,
    /// There are leases, and none may be held.
    #[error("'leases' is 0, so that everything with a lease is refused")]
    NoLeases,
    /// Nothing is granted.
    #[error("it allows nothing: there is no allow rule")]
    GrantsNothing,
    /// A platform that nobody chose may do much.
    #[error("accept rule {accept} takes {whose}, and it allows {} on '{path}'", names(.can))]
    WideForAny {
        /// The rule that waives the platform.
        accept: usize,
        /// Whose platform is accepted.
        whose: Whose,
        /// The path.
        path: String,
        /// What is allowed.
        can: Vec<Capability>,
    },
}

/// Reference values that have expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// Launch digests.
    Measurement,
    /// Values of a PCR.
    Pcr(u8),
}

/// Whose platform is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Every processor.
    AnyChip,
    /// Every TPM of an anchor.
    AnyTpm,
}

impl Problem {
    /// Stable name, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Denied { .. } => "denied",
            Self::Hidden { .. } => "hidden",
            Self::HiddenDeny { .. } => "hidden-deny",
            Self::SameAccept { .. } => "same-accept",
            Self::NoMount => "no-mount",
            Self::NotOfMount { .. } => "not-of-mount",
            Self::RoleInPath => "role-in-path",
            Self::Expired { .. } => "expired",
            Self::NoSuchPlatform => "no-such-platform",
            Self::AgeAsRole => "age-as-role",
            Self::NothingLeased => "nothing-leased",
            Self::LeaseBeyondEvidence => "lease-beyond-evidence",
            Self::NoLeases => "no-leases",
            Self::GrantsNothing => "grants-nothing",
            Self::WideForAny { .. } => "wide-for-any",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role => f.write_str("role"),
            Self::Accept(number) => write!(f, "accept rule {number}"),
            Self::Allow(number) => write!(f, "allow rule {number}"),
            Self::Deny(number) => write!(f, "deny rule {number}"),
        }
    }
}

impl fmt::Display for Expired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Measurement => f.write_str("all its launch digests have"),
            Self::Pcr(index) => write!(f, "all its values of PCR {index} have"),
        }
    }
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AnyChip => "any chip",
            Self::AnyTpm => "any TPM of its anchors",
        })
    }
}
