//! The rules that every typed role must keep. The policy compiler checks them before it sends a role, and the
//! enclave checks them again before it believes one: what does not pass does not load.
//!
//! Who calls it: anybody, on a role that an adversary may have written. What must stay true: a role that
//! passes is satisfiable, bounded, and trusts nothing that the machine's owner can reset (T3, T9).

use std::collections::BTreeSet;

use crate::limits::{LEASES, RULES_PER_ROLE};
use crate::path::{Path, PathError, Pattern};
use crate::policy::{
    Accept, AgeCondition, Allow, Capability, Conditions, Deny, Hours, HoursCondition, LeaseTerms,
    PlatformCondition, Role, SnpVtpmAccept, TpmAccept,
};

mod accept;
mod events;
mod snp;
mod tpm;

pub use accept::{AcceptError, check_accept};
pub use events::{EventsError, check_events};
pub use snp::check_snp;
pub use tpm::{check_pcr_index, check_snp_vtpm, check_tpm};

/// Longest evidence age and identity lifetime in seconds (30 days): an identity outlives no patch cycle.
pub const LIFETIME_MAX_SECS: u32 = 30 * 24 * 3600;
/// First segments of SPIFFE paths that the vault keeps for itself: no role can look like an operator.
pub const RESERVED_SPIFFE: [&str; 2] = ["operator", "vault"];

/// Why a role does not load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// Step 1.
    #[error("spiffe_path is not '/' and a canonical path of A-Z a-z 0-9 - _ .")]
    SpiffePath,
    /// Step 2.
    #[error("spiffe_path begins with a segment that the vault keeps for itself ('operator', 'vault')")]
    ReservedSpiffePath,
    /// Step 3.
    #[error("evidence_max_age is not between 1 second and 30 days")]
    EvidenceMaxAge,
    /// Step 4.
    #[error("identity_ttl is not between 1 second and 30 days")]
    IdentityTtl,
    /// Step 5.
    #[error("the role accepts nothing: it has no accept rule")]
    NoAccept,
    /// Step 6.
    #[error("the role has {count} accept, allow or deny rules, more than the limit of {RULES_PER_ROLE}")]
    TooManyRules {
        /// How many.
        count: usize,
    },
    /// Step 7.
    #[error("accept rule {number} is not usable")]
    Accept {
        /// Which, from 1.
        number: usize,
        /// Why.
        source: AcceptError,
    },
    /// Step 8.
    #[error("allow rule {number} is not usable")]
    Allow {
        /// Which, from 1.
        number: usize,
        /// Why.
        source: AllowError,
    },
    /// Step 9.
    #[error("deny rule {number} is not usable")]
    Deny {
        /// Which, from 1.
        number: usize,
        /// Why.
        source: AllowError,
    },
    /// Step 10.
    #[error("leases_per_identity is more than leases, or leases more than {LEASES}")]
    Leases,
    /// Step 11.
    #[error(
        "tpm rules with different PCR selections in one role are not supported: the offer asks for one quote; use \
         one role for each selection"
    )]
    TpmSelections,
}

/// Why an allow rule does not load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllowError {
    /// Allow 1.
    #[error(
        "path is not a canonical path with '+', '{{role}}', '{{platform}}' or '{{measurement}}' for whole segments, and '/*' at its end"
    )]
    Path(#[source] PathError),
    /// Allow 2.
    #[error("no capability is named: the list is empty")]
    NoCapability,
    /// Allow 3.
    #[error("{capability:?} is listed twice")]
    RepeatedCapability {
        /// Which.
        capability: Capability,
    },
    /// Allow 4.
    #[error("the lease is not between 1 second and 30 days, or max_lease is shorter than lease")]
    Lease,
    /// Allow 5.
    #[error("evidence_age is not between 1 second and 30 days")]
    EvidenceAge,
    /// Allow 6.
    #[error("platform names no kind, or one twice")]
    Platform,
    /// Allow 7.
    #[error("hours are no window of a day on some day: '08:00-18:00', from another minute than until")]
    Hours,
}

/// Checks a role. What remains to the caller: that the anchors it names are the vault's, and that names and
/// SPIFFE paths are unique among roles.
///
/// 1. the SPIFFE path is canonical (SPIFFE-ID, section 2.2: letters, digits, `.`, `-`, `_`);
/// 2. and not one the vault keeps for itself;
/// 3. the evidence age is 1 second to [`LIFETIME_MAX_SECS`];
/// 4. so is the identity's lifetime;
/// 5. something is accepted;
/// 6. no more than [`RULES_PER_ROLE`] rules of a kind;
/// 7. every accept rule passes [`check_accept`];
/// 8. every allow rule has a pattern, distinct capabilities, and a lease and conditions that can hold;
/// 9. so has every deny rule;
/// 10. the leases of one identity are not more than those of all, and those not more than [`LEASES`];
/// 11. all tpm rules select the same PCRs, as an offer asks for one quote.
///
/// # Errors
/// [`RoleError`], one variant per step.
pub fn check_role(role: &Role) -> Result<(), RoleError> {
    let Role {
        name: _, // a RoleName cannot be wrong
        spiffe_path,
        evidence_max_age_secs,
        identity_ttl_secs,
        refusals: _, // both values are acceptable
        accept,
        allow,
        deny,
        leases_per_identity,
        leases,
    } = role;
    // 1
    let path = spiffe_path.strip_prefix('/').ok_or(RoleError::SpiffePath)?;
    if path.parse::<Path>().is_err() || path.contains('~') {
        return Err(RoleError::SpiffePath);
    }
    // 2
    if path.split('/').next().is_some_and(|first| RESERVED_SPIFFE.contains(&first)) {
        return Err(RoleError::ReservedSpiffePath);
    }
    let lifetime = 1..=LIFETIME_MAX_SECS;
    // 3
    if !lifetime.contains(evidence_max_age_secs) {
        return Err(RoleError::EvidenceMaxAge);
    }
    // 4
    if !lifetime.contains(identity_ttl_secs) {
        return Err(RoleError::IdentityTtl);
    }
    // 5
    if accept.is_empty() {
        return Err(RoleError::NoAccept);
    }
    // 6
    let count = accept.len().max(allow.len()).max(deny.len());
    if count > RULES_PER_ROLE {
        return Err(RoleError::TooManyRules { count });
    }
    // 7
    for (rule, number) in accept.iter().zip(1..) {
        check_accept(rule).map_err(|source| RoleError::Accept { number, source })?;
    }
    // 8
    for (rule, number) in allow.iter().zip(1..) {
        check_allow(rule).map_err(|source| RoleError::Allow { number, source })?;
    }
    // 9
    for (rule, number) in deny.iter().zip(1..) {
        check_deny(rule).map_err(|source| RoleError::Deny { number, source })?;
    }
    // 10
    if *leases_per_identity > *leases || *leases > LEASES {
        return Err(RoleError::Leases);
    }
    // 11
    let mut selections = accept.iter().filter_map(|rule| match rule {
        Accept::Tpm(TpmAccept { pcrs, .. }) | Accept::SnpVtpm(SnpVtpmAccept { pcrs, .. }) => {
            Some(pcrs.iter().map(|pcr| pcr.index))
        }
        Accept::Snp(_) => None,
    });
    let first = selections.next();
    if selections.any(|other| first.as_ref().is_some_and(|first| !first.clone().eq(other))) {
        return Err(RoleError::TpmSelections);
    }
    Ok(())
}

fn check_allow(rule: &Allow) -> Result<(), AllowError> {
    let Allow { path, can, lease, when } = rule;
    // 1 to 3
    check_pattern(path, can)?;
    let lifetime = 1..=LIFETIME_MAX_SECS;
    // 4
    if let LeaseTerms::Lease { ttl_secs, max_secs, renewal: _ } = lease
        && !(lifetime.contains(ttl_secs) && (*ttl_secs..=LIFETIME_MAX_SECS).contains(max_secs))
    {
        return Err(AllowError::Lease);
    }
    let Conditions { evidence_age, platform, hours } = when;
    // 5
    if let AgeCondition::AtMost(secs) = evidence_age
        && !lifetime.contains(secs)
    {
        return Err(AllowError::EvidenceAge);
    }
    // 6
    if let PlatformCondition::OneOf(kinds) = platform {
        let distinct: BTreeSet<_> = kinds.iter().collect();
        if kinds.is_empty() || distinct.len() != kinds.len() {
            return Err(AllowError::Platform);
        }
    }
    // 7
    if let HoursCondition::Within(Hours { from_minute, until_minute, days }) = hours {
        let in_day = *from_minute < 1440 && (1..=1440).contains(until_minute) && from_minute != until_minute;
        if !in_day || !(1..=0b111_1111).contains(days) {
            return Err(AllowError::Hours);
        }
    }
    Ok(())
}

fn check_deny(rule: &Deny) -> Result<(), AllowError> {
    let Deny { path, cannot } = rule;
    check_pattern(path, cannot)
}

fn check_pattern(path: &str, capabilities: &[Capability]) -> Result<(), AllowError> {
    // 1
    path.parse::<Pattern>().map_err(AllowError::Path)?;
    // 2
    if capabilities.is_empty() {
        return Err(AllowError::NoCapability);
    }
    // 3
    let mut seen = BTreeSet::new();
    match capabilities.iter().find(|capability| !seen.insert(**capability)) {
        Some(capability) => Err(AllowError::RepeatedCapability { capability: *capability }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
