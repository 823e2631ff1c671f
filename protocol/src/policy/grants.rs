//! What a role's rules say of one request: decided here alone, in the enclave and by `vouchsafe policy` alike.
//!
//! Precedence is that of [`Allow`]: a deny rule that matches refuses; else the first allow rule that matches decides; else
//! it is refused.

use super::{
    AgeCondition, Allow, Capability, Conditions, Deny, HoursCondition, LeaseTerms, PlatformCondition,
    PlatformKind, Role,
};
use crate::id::RoleName;
use crate::log::PolicyRule;
use crate::path::{Attribute, AttributeError, Attributes, Path, PathError, Pattern};

/// A role's rules, their patterns parsed once.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    allow: Vec<(Pattern, Allow)>,
    deny: Vec<(Pattern, Deny)>,
}

/// Who asks, and when.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// Role of the identity.
    pub role: &'a RoleName,
    /// The platform: a chip id, or SHA-256 of the key that an anchor vouches for. None where it is not known.
    pub platform: Option<&'a [u8]>,
    /// What was measured: the launch digest, or the digest of the quoted PCRs. None where it is not known.
    pub measurement: Option<&'a [u8]>,
    /// Kind of platform.
    pub kind: PlatformKind,
    /// When the evidence was appraised, in seconds since 1970.
    pub evidence_at_secs: u64,
    /// The time, in seconds since 1970.
    pub now_secs: u64,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// What is to be done.
    pub capability: Capability,
    /// Where.
    pub path: &'a Path,
    /// Whether with everything below the path, rather than with the path itself.
    pub below: bool,
}

/// What the rules say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// Allowed.
    Allowed {
        /// By this rule.
        rule: PolicyRule,
        /// With these terms.
        lease: LeaseTerms,
    },
    /// Denied, by this rule or for want of one.
    Denied(PolicyRule),
}

/// What one rule says of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It is for what is asked.
    Matches,
    /// It is for other capabilities.
    OtherCapability,
    /// It is for other paths.
    OtherPath,
    /// It asks for an attribute that the identity does not have: an allow rule then allows nothing, a deny rule denies
    /// everything.
    NoAttribute(AttributeError),
    /// It is for younger evidence.
    EvidenceAge,
    /// It is for other kinds of platform.
    Platform,
    /// It is for other times.
    Hours,
}

impl Attributes for Asking<'_> {
    fn value(&self, attribute: Attribute) -> Option<String> {
        match attribute {
            Attribute::Measurement => self.measurement.map(hex),
            Attribute::Platform => self.platform.map(hex),
            Attribute::Role => Some(self.role.to_string()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use core::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}

impl Grants {
    /// Compiles. Validation refused what does not parse; should it come all the same, nothing is granted.
    #[must_use]
    pub fn of(role: &Role) -> Self {
        let allow = role.allow.iter().map(|rule| Ok((rule.path.parse()?, rule.clone())));
        let deny = role.deny.iter().map(|rule| Ok((rule.path.parse()?, rule.clone())));
        let parsed: Result<_, PathError> = allow
            .collect::<Result<_, _>>()
            .and_then(|allow| Ok(Self { allow, deny: deny.collect::<Result<_, _>>()? }));
        parsed.unwrap_or_default()
    }

    /// What they say of a request.
    #[must_use]
    pub fn ruling(&self, wanted: Wanted<'_>, asking: Asking<'_>) -> Ruling {
        // A deny rule that cannot be judged denies; an allow rule that cannot allows nothing.
        let denies =
            |rule| matches!(said_by_deny(rule, wanted, asking), Said::Matches | Said::NoAttribute(_));
        if let Some(index) = self.deny.iter().position(denies) {
            return Ruling::Denied(PolicyRule::Deny(number(index)));
        }
        let mut rules = self.allow.iter().enumerate();
        match rules.find(|(_, rule)| said_by_allow(rule, wanted, asking) == Said::Matches) {
            Some((index, (_, allow))) => {
                Ruling::Allowed { rule: PolicyRule::Allow(number(index)), lease: allow.lease }
            }
            None => Ruling::Denied(PolicyRule::None),
        }
    }

    /// What each of them says of a request: the deny rules, then the allow rules, in their order.
    #[must_use]
    pub fn explain(&self, wanted: Wanted<'_>, asking: Asking<'_>) -> (Vec<Said>, Vec<Said>) {
        let denies = self.deny.iter().map(|rule| said_by_deny(rule, wanted, asking)).collect();
        let allows = self.allow.iter().map(|rule| said_by_allow(rule, wanted, asking)).collect();
        (denies, allows)
    }
}

fn said_by_deny((pattern, deny): &(Pattern, Deny), wanted: Wanted<'_>, asking: Asking<'_>) -> Said {
    if !deny.cannot.contains(&wanted.capability) {
        return Said::OtherCapability;
    }
    // What is changed for everything below must not reach what is denied. Names are another thing: a list shows those
    // directly below, whatever is denied further down.
    let reaches = wanted.below && wanted.capability != Capability::List && {
        let below = format!("{}/*", wanted.path).parse::<Pattern>();
        below.is_ok_and(|below| pattern.meets(&below))
    };
    if reaches { Said::Matches } else { on_path(pattern, wanted, asking) }
}

/// 1. It has the capability;
/// 2. its pattern covers the path;
/// 3. the evidence is young enough;
/// 4. the platform is of a kind that is named;
/// 5. it is the time for it.
fn said_by_allow((pattern, allow): &(Pattern, Allow), wanted: Wanted<'_>, asking: Asking<'_>) -> Said {
    let Conditions { evidence_age, platform, hours } = &allow.when;
    let Asking { kind, evidence_at_secs, now_secs, .. } = asking;
    let young = match evidence_age {
        AgeCondition::AsRole => true,
        AgeCondition::AtMost(secs) => now_secs < evidence_at_secs.saturating_add(u64::from(*secs)),
    };
    let of_kind = match platform {
        PlatformCondition::AsRole => true,
        PlatformCondition::OneOf(kinds) => kinds.contains(&kind),
    };
    let in_time = match hours {
        HoursCondition::Always => true,
        HoursCondition::Within(hours) => hours.contain(now_secs),
    };
    match on_path(pattern, wanted, asking) {
        _ if !allow.can.contains(&wanted.capability) => Said::OtherCapability,
        Said::Matches if !young => Said::EvidenceAge,
        Said::Matches if !of_kind => Said::Platform,
        Said::Matches if !in_time => Said::Hours,
        said => said,
    }
}

fn on_path(pattern: &Pattern, Wanted { path, below, .. }: Wanted<'_>, asking: Asking<'_>) -> Said {
    let covers = if below { pattern.covers_below(path, &asking) } else { pattern.matches(path, &asking) };
    match covers {
        Ok(true) => Said::Matches,
        Ok(false) => Said::OtherPath,
        Err(error) => Said::NoAttribute(error),
    }
}

/// Rules are numbered from 1; there are at most [`crate::limits::RULES_PER_ROLE`].
fn number(index: usize) -> u16 {
    u16::try_from(index + 1).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests;
