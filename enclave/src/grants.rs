//! What a role's rules say of one request. Precedence is that of [`vouchsafe_protocol::policy::Allow`]: a deny rule that
//! matches refuses; else the first allow rule that matches decides; else it is refused.

use vouchsafe_protocol::log::PolicyRule;
use vouchsafe_protocol::path::{Attribute, AttributeError, Attributes, Path, Pattern};
use vouchsafe_protocol::policy::{
    AgeCondition, Allow, Capability, Conditions, Deny, HoursCondition, LeaseTerms, PlatformCondition, Role,
};

use crate::change::{Identity, IdentitySubject};

/// A role's rules, their patterns parsed once.
pub(crate) struct Grants {
    allow: Vec<(Pattern, Allow)>,
    deny: Vec<(Pattern, Deny)>,
}

/// Who asks, and when.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub identity: &'a Identity,
    pub now: u64,
}

/// What the rules say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ruling {
    Allowed { rule: PolicyRule, lease: LeaseTerms },
    Denied(PolicyRule),
}

impl Attributes for Asking<'_> {
    fn value(&self, attribute: Attribute) -> Option<String> {
        let IdentitySubject::Agent { role, platform, measurement, .. } = &self.identity.subject else {
            return None;
        };
        Some(match attribute {
            Attribute::Measurement => hex(measurement),
            Attribute::Platform => hex(platform),
            Attribute::Role => role.to_string(),
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}

impl Grants {
    /// Compiles. Validation refused what does not parse; should it come all the same, nothing is granted.
    pub fn of(role: &Role) -> Self {
        let allow = role.allow.iter().map(|rule| Ok((rule.path.parse()?, rule.clone())));
        let deny = role.deny.iter().map(|rule| Ok((rule.path.parse()?, rule.clone())));
        let parsed: Result<_, vouchsafe_protocol::path::PathError> = allow
            .collect::<Result<Vec<_>, _>>()
            .and_then(|allow| Ok((allow, deny.collect::<Result<_, _>>()?)));
        let (allow, deny) = parsed.unwrap_or_default();
        Self { allow, deny }
    }

    /// What they say of a capability on a path, or, with `below`, on everything below it.
    pub fn ruling(&self, capability: Capability, path: &Path, below: bool, asking: Asking<'_>) -> Ruling {
        let covers = |pattern: &Pattern| -> Result<bool, AttributeError> {
            if below { pattern.covers_below(path, &asking) } else { pattern.matches(path, &asking) }
        };
        // A deny rule that cannot be judged denies; an allow rule that cannot allows nothing.
        let denies = |(pattern, deny): &(Pattern, Deny)| {
            deny.cannot.contains(&capability) && covers(pattern) != Ok(false)
        };
        if let Some(index) = self.deny.iter().position(denies) {
            return Ruling::Denied(PolicyRule::Deny(number(index)));
        }
        let allows = |(_, (pattern, allow)): &(usize, &(Pattern, Allow))| {
            allow.can.contains(&capability) && covers(pattern) == Ok(true) && holds(&allow.when, asking)
        };
        match self.allow.iter().enumerate().find(allows) {
            Some((index, (_, allow))) => {
                Ruling::Allowed { rule: PolicyRule::Allow(number(index)), lease: allow.lease }
            }
            None => Ruling::Denied(PolicyRule::None),
        }
    }
}

/// Rules are numbered from 1; there are at most [`vouchsafe_protocol::limits::RULES_PER_ROLE`].
fn number(index: usize) -> u16 {
    u16::try_from(index + 1).unwrap_or(u16::MAX)
}

/// Whether every condition holds.
///
/// 1. the evidence is young enough;
/// 2. the platform is of a kind that is named;
/// 3. it is the time for it.
fn holds(when: &Conditions, Asking { identity, now }: Asking<'_>) -> bool {
    let Conditions { evidence_age, platform, hours } = when;
    let IdentitySubject::Agent { kind, .. } = &identity.subject else { return false };
    let young = match evidence_age {
        AgeCondition::AsRole => true,
        AgeCondition::AtMost(secs) => now < identity.at_secs.saturating_add(u64::from(*secs)),
    };
    let of_kind = match platform {
        PlatformCondition::AsRole => true,
        PlatformCondition::OneOf(kinds) => kinds.contains(kind),
    };
    let in_time = match hours {
        HoursCondition::Always => true,
        HoursCondition::Within(hours) => hours.contain(now),
    };
    young && of_kind && in_time
}

#[cfg(test)]
mod tests;
