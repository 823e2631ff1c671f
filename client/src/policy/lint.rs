//! What is written in a policy and cannot be meant: rules that never decide, terms that never apply, waivers with wide
//! grants. A role that is refused does not get here; a role with findings works as it is written.

use vouchsafe_protocol::path::{Attribute, Path, Pattern};
use vouchsafe_protocol::policy::{
    Accept, AgeCondition, Allow, Capability, ChipRule, Conditions, EkRule, LeaseTerms, PcrExpectation,
    PcrRule, PlatformCondition, PlatformKind, ReferenceValue, Role, SnpAccept, SnpVtpmAccept, TpmAccept,
    Validity,
};

mod problem;

pub use problem::{Expired, Finding, Place, Problem, Whose};

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
