//! The rules that every typed role must keep. The policy compiler checks them before it sends a role, and the
//! enclave checks them again before it believes one: what does not pass does not load.
//!
//! Who calls it: anybody, on a role that an adversary may have written. What must stay true: a role that
//! passes is satisfiable, bounded, and trusts nothing that the machine's owner can reset (T3, T9).

use std::collections::BTreeSet;

use crate::limits::RULES_PER_ROLE;
use crate::path::{Path, PathError, Pattern};
use crate::policy::{Accept, Allow, Capability, Role, SnpVtpmAccept, TpmAccept};

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
    #[error("the role has {count} accept or allow rules, more than the limit of {RULES_PER_ROLE}")]
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
    #[error("path is not a canonical path or one followed by '/*'")]
    Path(#[source] PathError),
    /// Allow 2.
    #[error("nothing is allowed: 'can' is empty")]
    NoCapability,
    /// Allow 3.
    #[error("{capability:?} is listed twice")]
    RepeatedCapability {
        /// Which.
        capability: Capability,
    },
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
/// 8. every allow rule has a pattern and distinct capabilities;
/// 9. all tpm rules select the same PCRs, as an offer asks for one quote.
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
    let count = accept.len().max(allow.len());
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
    let Allow { path, can } = rule;
    // 1
    path.parse::<Pattern>().map_err(AllowError::Path)?;
    // 2
    if can.is_empty() {
        return Err(AllowError::NoCapability);
    }
    // 3
    let mut seen = BTreeSet::new();
    match can.iter().find(|capability| !seen.insert(**capability)) {
        Some(capability) => Err(AllowError::RepeatedCapability { capability: *capability }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
