//! What an identity of a role may do, when, and for how long it may keep what it got.
//!
//! Precedence: a deny rule that matches refuses, whatever else is said and wherever it stands; else one matching allow
//! rule suffices; else it is refused. Of several allow rules the first that matches gives the lease.

use serde::{Deserialize, Serialize};

use super::Capability;

/// A grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allow {
    /// Text of a [`crate::path::Pattern`].
    pub path: String,
    /// What may be done there.
    pub can: Vec<Capability>,
    /// For how long.
    pub lease: LeaseTerms,
    /// When it holds.
    pub when: Conditions,
}

impl Allow {
    /// A grant without lease or condition.
    #[must_use]
    pub fn always(path: impl Into<String>, can: &[Capability]) -> Self {
        Self { path: path.into(), can: can.to_vec(), lease: LeaseTerms::None, when: Conditions::default() }
    }
}

/// A refusal that no grant overrules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deny {
    /// Text of a [`crate::path::Pattern`].
    pub path: String,
    /// What is refused there.
    pub cannot: Vec<Capability>,
}

/// Whether what is handed out has to be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaseTerms {
    /// It is handed out without a lease.
    None,
    /// With a lease.
    Lease {
        /// Seconds until it has to be renewed; never longer than the evidence behind it holds.
        ttl_secs: u32,
        /// Seconds after which it ends, however often it was renewed.
        max_secs: u32,
        /// What a renewal takes.
        renewal: Renewal,
    },
}

/// What a renewal takes, beside the key that holds the lease and evidence that satisfies the policy in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Renewal {
    /// Evidence that is younger than the lease's last renewal: the holder introduces itself again, with the same key.
    FreshEvidence,
    /// Evidence that is not too old for its role.
    SameEvidence,
}

/// When a grant holds: all of them must.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    /// How old the evidence may be.
    pub evidence_age: AgeCondition,
    /// What kind of platform it must be.
    pub platform: PlatformCondition,
    /// At what time.
    pub hours: HoursCondition,
}

/// How old evidence may be for a grant, beside what its role says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AgeCondition {
    /// As old as the role lets it get.
    #[default]
    AsRole,
    /// At most so many seconds.
    AtMost(u32),
}

/// What kind of platform a grant is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlatformCondition {
    /// Whatever the role accepts.
    #[default]
    AsRole,
    /// One of these. Never empty.
    OneOf(Vec<PlatformKind>),
}

/// A kind of platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PlatformKind {
    /// SEV-SNP.
    Snp,
    /// SEV-SNP, with a paravisor's virtual TPM inside.
    SnpVtpm,
    /// A TPM.
    Tpm,
}

/// At what time a grant holds. Time is the vault's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HoursCondition {
    /// Always.
    #[default]
    Always,
    /// At these hours only.
    Within(Hours),
}

/// A window of time, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    /// First minute of the day, 0 to 1,439.
    pub from_minute: u16,
    /// First minute after it, 1 to 1,440. Before `from_minute`: the window goes on after midnight and belongs to the day
    /// on which it began.
    pub until_minute: u16,
    /// Days on which it begins: bit 0 is Monday, bit 6 Sunday. Never zero.
    pub days: u8,
}

impl Hours {
    /// Whether a time in seconds since 1970 lies within.
    #[must_use]
    pub fn contain(&self, at_secs: u64) -> bool {
        let (day, minute) = (at_secs / 86_400, (at_secs % 86_400) / 60);
        let (from, until) = (u64::from(self.from_minute), u64::from(self.until_minute));
        // 1970-01-01 was a Thursday.
        let on = |day: u64| self.days >> ((day + 3) % 7) & 1 == 1;
        if from < until {
            on(day) && (from..until).contains(&minute)
        } else {
            (on(day) && minute >= from) || (on(day + 6) && minute < until)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Monday, 2026-11-23, 00:00 UTC.
    const MONDAY: u64 = 1_795_392_000;

    #[test]
    fn hours_are_of_their_days_and_go_on_after_midnight() {
        let day = |from_minute, until_minute, days| Hours { from_minute, until_minute, days };
        let at = |days: u64, minute: u64| MONDAY + days * 86_400 + minute * 60;
        let office = day(8 * 60, 18 * 60, 0b001_1111);
        for (days, minute, within) in [
            (0, 479, false),
            (0, 480, true),
            (0, 1079, true),
            (0, 1080, false),
            (4, 600, true),
            (5, 600, false),
            (6, 600, false),
            (7, 600, true),
        ] {
            assert_eq!(office.contain(at(days, minute)), within, "{days} {minute}");
        }
        let night = day(22 * 60, 60, 0b001_0000);
        for (days, minute, within) in [
            (4, 1319, false),
            (4, 1320, true),
            (5, 59, true),
            (5, 60, false),
            (4, 30, false),
            (5, 1400, false),
        ] {
            assert_eq!(night.contain(at(days, minute)), within, "{days} {minute}");
        }
    }
}
