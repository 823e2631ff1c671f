//! The rules that every typed role must keep. The policy compiler checks them before it sends a role, and the
//! enclave checks them again before it believes one: what does not pass does not load.
//!
//! Who calls it: anybody, on a role that an adversary may have written. What must stay true: a role that
//! passes is satisfiable, bounded, and trusts nothing that the machine's owner can reset (T3, T9).

use std::collections::BTreeSet;

use crate::limits::{CERTIFICATES, PCRS, REFERENCE_VALUES, RULES_PER_ROLE};
use crate::path::{Path, PathError, Pattern};
use crate::policy::{
    Accept, Allow, Capability, ChipRule, EkRule, PcrRule, Permission, Product, Role, SnpAccept, Tcb,
    TpmAccept,
};

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

/// Why an accept rule does not load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// Snp 1.
    #[error("no product is named")]
    NoProduct,
    /// Snp 2.
    #[error("a product is named twice")]
    RepeatedProduct,
    /// Snp 3.
    #[error("no measurement is listed")]
    NoMeasurement,
    /// A list of reference values is too long.
    #[error("a list has {count} values, more than the limit of {limit}")]
    TooManyValues {
        /// How many.
        count: usize,
        /// Limit.
        limit: usize,
    },
    /// Snp 4.
    #[error("there is not exactly one TCB floor for product {product:?}")]
    FloorMissing {
        /// Product.
        product: Product,
    },
    /// Snp 5.
    #[error("there is a TCB floor for product {product:?}, which is not accepted")]
    FloorWithoutProduct {
        /// Product.
        product: Product,
    },
    /// Snp 6.
    #[error("the TCB floor of {product:?} names an FMC version, which only Turin has")]
    FmcWithoutTurin {
        /// Product.
        product: Product,
    },
    /// Snp 7.
    #[error("vmpl {vmpl} is not 0 to 3")]
    Vmpl {
        /// Value.
        vmpl: u8,
    },
    /// Snp 8.
    #[error("min_report_version {version} is not 2 to 5")]
    ReportVersion {
        /// Value.
        version: u32,
    },
    /// Snp 9.
    #[error("the chip list is empty")]
    NoChip,
    /// Snp 10.
    #[error(
        "the chip list has the all-zero id of a masked chip; name the waiver 'any-chip-even-masked' instead"
    )]
    MaskedChip,
    /// Tpm 1.
    #[error("no anchor is named")]
    NoAnchor,
    /// Tpm 2.
    #[error("an anchor is named twice")]
    RepeatedAnchor,
    /// Tpm 3.
    #[error("no PCR is selected")]
    NoPcr,
    /// Tpm 4.
    #[error("PCR {index} does not exist; a PC's TPM has 0 to 23")]
    PcrIndex {
        /// Index.
        index: u8,
    },
    /// Tpm 5.
    #[error("PCR {index} can be reset by software, so its value proves nothing")]
    ResettablePcr {
        /// Index.
        index: u8,
    },
    /// Tpm 6.
    #[error("PCR {index} belongs to a dynamic launch (DRTM), which is not supported")]
    DrtmPcr {
        /// Index.
        index: u8,
    },
    /// Tpm 7.
    #[error("PCR {index} is repeated or out of order")]
    PcrOrder {
        /// Index.
        index: u8,
    },
    /// Tpm 8.
    #[error("PCR {index} has no accepted value")]
    NoPcrValue {
        /// Index.
        index: u8,
    },
    /// Tpm 9.
    #[error(
        "PCR {index} accepts the all-zero value of a PCR that nothing was measured into, without 'all_zero'"
    )]
    AllZeroPcr {
        /// Index.
        index: u8,
    },
    /// Tpm 10.
    #[error("the list of endorsement keys is empty")]
    NoEk,
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
        Accept::Tpm(tpm) => Some(tpm.pcrs.iter().map(|pcr| pcr.index)),
        Accept::Snp(_) => None,
    });
    let first = selections.next();
    if selections.any(|other| first.as_ref().is_some_and(|first| !first.clone().eq(other))) {
        return Err(RoleError::TpmSelections);
    }
    Ok(())
}

/// Checks one accept rule.
///
/// # Errors
/// [`AcceptError`].
pub fn check_accept(rule: &Accept) -> Result<(), AcceptError> {
    match rule {
        Accept::Snp(rule) => check_snp(rule),
        Accept::Tpm(rule) => check_tpm(rule),
    }
}

/// Checks rules for an SNP report; the steps are those of the `Snp` variants of [`AcceptError`].
///
/// # Errors
/// [`AcceptError`].
pub fn check_snp(rule: &SnpAccept) -> Result<(), AcceptError> {
    let SnpAccept {
        products,
        measurements,
        tcb_floors,
        provisional_firmware: _, // these accept each of their values: every one is a named choice
        platform_info: _,
        vmpl,
        chip,
        debug: _,
        min_report_version,
        host_data: _,
        reserved_fields: _,
    } = rule;
    // 1, 2
    let distinct: BTreeSet<Product> = products.iter().copied().collect();
    if distinct.is_empty() {
        return Err(AcceptError::NoProduct);
    }
    if distinct.len() != products.len() {
        return Err(AcceptError::RepeatedProduct);
    }
    // 3
    if measurements.is_empty() {
        return Err(AcceptError::NoMeasurement);
    }
    at_most(measurements.len(), REFERENCE_VALUES)?;
    // 4
    for product in &distinct {
        if tcb_floors.iter().filter(|floor| floor.product == *product).count() != 1 {
            return Err(AcceptError::FloorMissing { product: *product });
        }
    }
    for floor in tcb_floors {
        let product = floor.product;
        // 5
        if !distinct.contains(&product) {
            return Err(AcceptError::FloorWithoutProduct { product });
        }
        // 6
        let Tcb { fmc, boot_loader: _, tee: _, snp: _, microcode: _ } = floor.tcb;
        if fmc != 0 && product != Product::Turin {
            return Err(AcceptError::FmcWithoutTurin { product });
        }
    }
    // 7
    if *vmpl > 3 {
        return Err(AcceptError::Vmpl { vmpl: *vmpl });
    }
    // 8
    if !(2..=5).contains(min_report_version) {
        return Err(AcceptError::ReportVersion { version: *min_report_version });
    }
    check_chip(chip)
}

/// Steps 9 and 10 of [`check_snp`].
fn check_chip(chip: &ChipRule) -> Result<(), AcceptError> {
    match chip {
        ChipRule::Allow(chips) => {
            // 9
            if chips.is_empty() {
                return Err(AcceptError::NoChip);
            }
            at_most(chips.len(), REFERENCE_VALUES)?;
            // 10
            if chips.iter().any(|chip| chip.0 == [0; 64]) {
                return Err(AcceptError::MaskedChip);
            }
            Ok(())
        }
        ChipRule::AnyChip | ChipRule::AnyChipEvenMasked => Ok(()),
    }
}

/// Checks rules for a TPM quote; the steps are those of the `Tpm` variants of [`AcceptError`].
///
/// # Errors
/// [`AcceptError`].
pub fn check_tpm(rule: &TpmAccept) -> Result<(), AcceptError> {
    let TpmAccept { anchors, pcrs, ek } = rule;
    // 1
    if anchors.is_empty() {
        return Err(AcceptError::NoAnchor);
    }
    at_most(anchors.len(), CERTIFICATES)?;
    // 2
    if anchors.iter().collect::<BTreeSet<_>>().len() != anchors.len() {
        return Err(AcceptError::RepeatedAnchor);
    }
    // 3
    if pcrs.is_empty() {
        return Err(AcceptError::NoPcr);
    }
    at_most(pcrs.len(), PCRS)?;
    let mut last = None;
    for pcr in pcrs {
        check_pcr(pcr)?;
        // 7
        if last.is_some_and(|last| last >= pcr.index) {
            return Err(AcceptError::PcrOrder { index: pcr.index });
        }
        last = Some(pcr.index);
    }
    // 10
    match ek {
        EkRule::Allow(keys) if keys.is_empty() => Err(AcceptError::NoEk),
        EkRule::Allow(keys) => at_most(keys.len(), REFERENCE_VALUES),
        EkRule::AnyTpm => Ok(()),
    }
}

/// Steps 4 to 6 of [`check_tpm`]: whether a PCR may be trusted at all (T3). PC Client Platform TPM Profile
/// 1.05, table 5: 16 and 23 are reset by software, 17 to 22 by a dynamic launch.
///
/// # Errors
/// [`AcceptError::PcrIndex`], [`AcceptError::ResettablePcr`], [`AcceptError::DrtmPcr`].
pub fn check_pcr_index(index: u8) -> Result<(), AcceptError> {
    match index {
        24.. => Err(AcceptError::PcrIndex { index }),
        16 | 23 => Err(AcceptError::ResettablePcr { index }),
        17..=22 => Err(AcceptError::DrtmPcr { index }),
        0..=15 => Ok(()),
    }
}

fn check_pcr(rule: &PcrRule) -> Result<(), AcceptError> {
    let PcrRule { index, values, all_zero } = rule;
    let index = *index;
    // 4, 5, 6
    check_pcr_index(index)?;
    // 8
    if values.is_empty() {
        return Err(AcceptError::NoPcrValue { index });
    }
    at_most(values.len(), REFERENCE_VALUES)?;
    // 9
    match all_zero {
        Permission::Forbidden if values.contains(&[0; 32]) => Err(AcceptError::AllZeroPcr { index }),
        Permission::Forbidden | Permission::Allowed => Ok(()),
    }
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

fn at_most(count: usize, limit: usize) -> Result<(), AcceptError> {
    if count > limit { Err(AcceptError::TooManyValues { count, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
