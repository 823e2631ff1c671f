//! What is written in a policy and cannot be meant: rules that never decide, terms that never apply, waivers with wide
//! grants. A role that is refused does not get here; a role with findings works as it is written.

use core::fmt;

use vouchsafe_protocol::id::RoleName;
use vouchsafe_protocol::path::{Attribute, Path, Pattern};
use vouchsafe_protocol::policy::{
    Accept, AgeCondition, Allow, Capability, ChipRule, Conditions, EkRule, LeaseTerms, PcrExpectation,
    PcrRule, PlatformCondition, PlatformKind, ReferenceValue, Role, SnpAccept, SnpVtpmAccept, TpmAccept,
    Validity,
};

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

/// What is handed out with a lease.
const LEASED: &[Capability] =
    &[Capability::DataKey, Capability::Derive, Capability::Export, Capability::Read];
/// What each engine knows, by its mount.
const MOUNTS: [(&str, &[Capability]); 3] = [
    ("derive", &[Capability::Derive, Capability::List, Capability::Manage]),
    (
        "kv",
        &[
            Capability::Delete,
            Capability::Destroy,
            Capability::List,
            Capability::Manage,
            Capability::Read,
            Capability::Write,
        ],
    ),
    (
        "transit",
        &[
            Capability::DataKey,
            Capability::Decrypt,
            Capability::Encrypt,
            Capability::Export,
            Capability::List,
            Capability::Manage,
            Capability::Rewrap,
            Capability::Sign,
            Capability::Verify,
        ],
    ),
];

fn capabilities(mount: &str) -> &'static [Capability] {
    MOUNTS.iter().find(|(name, _)| *name == mount).map_or(&[], |(_, known)| known)
}

fn mounts() -> String {
    MOUNTS.map(|(name, _)| format!("{name}/")).join(", ")
}

fn names(all: &[Capability]) -> String {
    use crate::text::TextForm as _;
    all.iter().map(Capability::to_text).collect::<Vec<_>>().join(", ")
}

/// Findings in roles, at a time in seconds since 1970, in the order of roles and rules.
#[must_use]
pub fn lint(roles: &[Role], now_secs: u64) -> Vec<Finding> {
    let mut findings = Vec::new();
    for role in roles {
        let linter = Linter { role, now_secs };
        let found = linter.findings();
        findings.extend(found.into_iter().map(|(place, problem)| {
            let role = role.name.clone();
            Finding { role, place, problem }
        }));
    }
    findings
}

struct Linter<'a> {
    role: &'a Role,
    now_secs: u64,
}

type Found = Vec<(Place, Problem)>;

impl Linter<'_> {
    fn findings(&self) -> Found {
        let mut found = Found::new();
        let role = self.role;
        if role.allow.is_empty() {
            found.push((Place::Role, Problem::GrantsNothing));
        }
        let leased = role.allow.iter().any(|allow| allow.lease != LeaseTerms::None);
        if leased && (role.leases == 0 || role.leases_per_identity == 0) {
            found.push((Place::Role, Problem::NoLeases));
        }
        for (index, rule) in role.accept.iter().enumerate() {
            let place = Place::Accept(index + 1);
            let same = role.accept.iter().take(index).position(|earlier| earlier == rule);
            found.extend(same.map(|other| (place, Problem::SameAccept { other: other + 1 })));
            found.extend(self.expired(rule).map(|what| (place, Problem::Expired { what })));
        }
        for (index, rule) in role.allow.iter().enumerate() {
            let problems = self.allow(index, rule);
            found.extend(problems.into_iter().map(|problem| (Place::Allow(index + 1), problem)));
        }
        for index in 0..role.deny.len() {
            let problems = self.deny(index);
            found.extend(problems.into_iter().map(|problem| (Place::Deny(index + 1), problem)));
        }
        found
    }

    /// Reference values, all of them expired, without which a rule accepts nothing.
    fn expired(&self, rule: &Accept) -> Option<Expired> {
        let snp = |snp: &SnpAccept| self.all_expired(&snp.measurements).then_some(Expired::Measurement);
        let pcrs = |pcrs: &[PcrRule]| {
            let over = pcrs.iter().find(|pcr| match &pcr.expected {
                PcrExpectation::Events => false,
                PcrExpectation::Values(values) => self.all_expired(values),
            });
            over.map(|pcr| Expired::Pcr(pcr.index))
        };
        match rule {
            Accept::Snp(accept) => snp(accept),
            Accept::SnpVtpm(SnpVtpmAccept { snp: accept, pcrs: values, .. }) => snp(accept).or(pcrs(values)),
            Accept::Tpm(TpmAccept { pcrs: values, .. }) => pcrs(values),
        }
    }

    fn all_expired<T>(&self, values: &[ReferenceValue<T>]) -> bool {
        values.iter().all(|value| value.expiry.at(self.now_secs) == Validity::Expired)
    }

    fn allow(&self, index: usize, rule: &Allow) -> Vec<Problem> {
        let Allow { path, can, lease, when } = rule;
        let Ok(pattern) = path.parse::<Pattern>() else { return Vec::new() };
        let mut problems = self.path(&pattern, can);
        problems.extend(self.denied(&pattern, can));
        problems.extend(self.hidden(index, &pattern, rule));
        problems.extend(self.conditions(when));
        problems.extend(self.lease(*lease, can));
        problems.extend(self.wide(&pattern, rule));
        problems
    }

    fn deny(&self, index: usize) -> Vec<Problem> {
        let Some(rule) = self.role.deny.get(index) else { return Vec::new() };
        let Ok(pattern) = rule.path.parse::<Pattern>() else { return Vec::new() };
        let mut problems = self.path(&pattern, &rule.cannot);
        let wider = |(other, deny): (usize, &vouchsafe_protocol::policy::Deny)| {
            let covered = deny.path.parse::<Pattern>().is_ok_and(|wide| wide.covers(&pattern));
            let all = rule.cannot.iter().all(|capability| deny.cannot.contains(capability));
            // Of two that are the same the later one is found.
            let same = deny == rule && other > index;
            (other != index && covered && all && !same).then_some(Problem::HiddenDeny { other: other + 1 })
        };
        problems.extend(self.role.deny.iter().enumerate().find_map(wider));
        problems
    }

    /// What is at a path, and what it knows.
    fn path(&self, pattern: &Pattern, can: &[Capability]) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(mount) = pattern.mount() {
            match MOUNTS.iter().find(|(name, _)| *name == mount) {
                None => problems.push(Problem::NoMount),
                Some((mount, known)) => {
                    let unknown = can.iter().copied().filter(|capability| !known.contains(capability));
                    let can: Vec<Capability> = unknown.collect();
                    if !can.is_empty() {
                        problems.push(Problem::NotOfMount { mount, can });
                    }
                }
            }
        }
        let by_role = pattern.attributes().any(|attribute| attribute == Attribute::Role);
        if by_role && !is_segment(self.role.name.as_str()) {
            problems.push(Problem::RoleInPath);
        }
        problems
    }

    /// Whether deny rules refuse all that a rule allows.
    fn denied(&self, pattern: &Pattern, can: &[Capability]) -> Option<Problem> {
        let by = |capability: &Capability| {
            self.role.deny.iter().position(|deny| {
                let covers = deny.path.parse::<Pattern>().is_ok_and(|wide| wide.covers(pattern));
                covers && deny.cannot.contains(capability)
            })
        };
        let denied: Option<Vec<usize>> = can.iter().map(by).collect();
        let first = denied?.into_iter().min()?;
        Some(Problem::Denied { deny: first + 1, can: can.to_vec() })
    }

    /// Whether an earlier rule without conditions, or with the same ones, covers a rule.
    fn hidden(&self, index: usize, pattern: &Pattern, rule: &Allow) -> Option<Problem> {
        let covers = |earlier: &Allow| {
            let wide = earlier.path.parse::<Pattern>().is_ok_and(|wide| wide.covers(pattern));
            let all = rule.can.iter().all(|capability| earlier.can.contains(capability));
            wide && all && (earlier.when == Conditions::default() || earlier.when == rule.when)
        };
        let earlier = self.role.allow.iter().take(index).position(covers)?;
        Some(Problem::Hidden { earlier: earlier + 1 })
    }

    fn conditions(&self, when: &Conditions) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let AgeCondition::AtMost(secs) = when.evidence_age
            && secs >= self.role.evidence_max_age_secs
        {
            problems.push(Problem::AgeAsRole);
        }
        if let PlatformCondition::OneOf(kinds) = &when.platform
            && !self.role.accept.iter().any(|accept| kinds.contains(&kind(accept)))
        {
            problems.push(Problem::NoSuchPlatform);
        }
        problems
    }

    fn lease(&self, lease: LeaseTerms, can: &[Capability]) -> Vec<Problem> {
        let LeaseTerms::Lease { ttl_secs, .. } = lease else { return Vec::new() };
        let mut problems = Vec::new();
        if !can.iter().any(|capability| LEASED.contains(capability)) {
            problems.push(Problem::NothingLeased);
        } else if ttl_secs > self.role.evidence_max_age_secs {
            problems.push(Problem::LeaseBeyondEvidence);
        }
        problems
    }

    /// A whole engine for a platform that nobody chose.
    fn wide(&self, pattern: &Pattern, rule: &Allow) -> Option<Problem> {
        let whole = MOUNTS.iter().any(|(mount, _)| {
            format!("{mount}/+/*").parse::<Pattern>().is_ok_and(|below| pattern.covers(&below))
        });
        let can: Vec<Capability> =
            rule.can.iter().copied().filter(|capability| *capability != Capability::List).collect();
        let waived =
            self.role.accept.iter().zip(1..).find_map(|(rule, accept)| Some((accept, waiver(rule)?)));
        let (accept, whose) = waived.filter(|_| whole && !can.is_empty())?;
        Some(Problem::WideForAny { accept, whose, path: rule.path.clone(), can })
    }
}

fn waiver(rule: &Accept) -> Option<Whose> {
    match rule {
        Accept::Snp(SnpAccept { chip, .. })
        | Accept::SnpVtpm(SnpVtpmAccept { snp: SnpAccept { chip, .. }, .. }) => {
            matches!(chip, ChipRule::AnyChip | ChipRule::AnyChipEvenMasked).then_some(Whose::AnyChip)
        }
        Accept::Tpm(TpmAccept { ek, .. }) => (*ek == EkRule::AnyTpm).then_some(Whose::AnyTpm),
    }
}

/// The kind of platform that a rule accepts.
fn kind(rule: &Accept) -> PlatformKind {
    match rule {
        Accept::Snp(_) => PlatformKind::Snp,
        Accept::SnpVtpm(_) => PlatformKind::SnpVtpm,
        Accept::Tpm(_) => PlatformKind::Tpm,
    }
}

fn is_segment(text: &str) -> bool {
    !text.contains('/') && text.parse::<Path>().is_ok()
}

#[cfg(test)]
mod tests;
