//! Reference values and how long they hold.
//!
//! A value that has expired is refused; between its expiry and the end of its grace it is accepted with a
//! warning, so that a fleet can be moved without an outage and everybody sees what is late.

use serde::{Deserialize, Serialize};

/// A reference value (RFC 9334, section 8.3) with its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReferenceValue<T> {
    /// What evidence is compared with.
    pub value: T,
    /// Until when.
    pub expiry: Expiry,
}

/// Until when a reference value holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Expiry {
    /// Until a time, and then for a while with a warning.
    At {
        /// Seconds since 1970 from which on the value is late.
        expires_unix_secs: u64,
        /// Seconds after that during which it is still accepted.
        grace_secs: u32,
    },
    /// Until policy changes.
    Never,
}

/// What the time says of a reference value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Validity {
    /// Its grace is over.
    Expired,
    /// Expired, and accepted with a warning.
    Grace,
    /// It holds.
    Valid,
}

impl Expiry {
    /// What `now`, in seconds since 1970, says.
    #[must_use]
    pub fn at(self, now_unix_secs: u64) -> Validity {
        match self {
            Self::Never => Validity::Valid,
            Self::At { expires_unix_secs, .. } if now_unix_secs < expires_unix_secs => Validity::Valid,
            Self::At { expires_unix_secs, grace_secs } => {
                if now_unix_secs < expires_unix_secs.saturating_add(u64::from(grace_secs)) {
                    Validity::Grace
                } else {
                    Validity::Expired
                }
            }
        }
    }
}

impl<T> ReferenceValue<T> {
    /// A value without an end.
    pub fn lasting(value: T) -> Self {
        Self { value, expiry: Expiry::Never }
    }
}

impl<T> From<T> for ReferenceValue<T> {
    fn from(value: T) -> Self {
        Self::lasting(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_valid_then_late_then_expired() {
        let expiry = Expiry::At { expires_unix_secs: 100, grace_secs: 10 };
        let at = |now| expiry.at(now);
        assert_eq!([at(0), at(99)], [Validity::Valid; 2]);
        assert_eq!([at(100), at(109)], [Validity::Grace; 2]);
        assert_eq!([at(110), at(u64::MAX)], [Validity::Expired; 2]);
        assert_eq!(Expiry::Never.at(u64::MAX), Validity::Valid);
        let endless = Expiry::At { expires_unix_secs: u64::MAX - 1, grace_secs: u32::MAX };
        assert_eq!(endless.at(u64::MAX - 1), Validity::Grace);
    }
}
