//! Whether rules for a TPM quote, or a paravisor's, may load.

use std::collections::BTreeSet;

use crate::limits::{CERTIFICATES, PCRS, REFERENCE_VALUES};
use crate::policy::{
    EkRule, EventRules, ImaRule, PcrExpectation, PcrRule, Permission, SnpVtpmAccept, TpmAccept,
};

use super::accept::{AcceptError, at_most};
use super::events::check_events;
use super::snp::check_snp;

/// Checks rules for a TPM quote; the steps are those of the `Tpm` variants of [`AcceptError`].
///
/// # Errors
/// [`AcceptError`].
pub fn check_tpm(rule: &TpmAccept) -> Result<(), AcceptError> {
    let TpmAccept { anchors, kind: _, pcrs, events, ima, ak: _, ek } = rule;
    // 1
    if anchors.is_empty() {
        return Err(AcceptError::NoAnchor);
    }
    at_most(anchors.len(), CERTIFICATES)?;
    // 2
    if anchors.iter().collect::<BTreeSet<_>>().len() != anchors.len() {
        return Err(AcceptError::RepeatedAnchor);
    }
    // 3 to 9, 11
    check_pcrs(pcrs, events, ima)?;
    // 10
    match ek {
        EkRule::Allow(keys) if keys.is_empty() => Err(AcceptError::NoEk),
        EkRule::Allow(keys) => at_most(keys.len(), REFERENCE_VALUES),
        EkRule::AnyTpm => Ok(()),
    }
}

/// Checks rules for a paravisor's evidence: those for its report, and steps 3 to 9 and 11 of [`check_tpm`].
///
/// # Errors
/// [`AcceptError`].
pub fn check_snp_vtpm(rule: &SnpVtpmAccept) -> Result<(), AcceptError> {
    let SnpVtpmAccept { snp, pcrs, events, ima, user_data: _ } = rule;
    check_snp(snp)?;
    check_pcrs(pcrs, events, ima)
}

/// Steps 3 to 9 and 11 of [`check_tpm`].
fn check_pcrs(pcrs: &[PcrRule], events: &EventRules, ima: &ImaRule) -> Result<(), AcceptError> {
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
    // 11
    check_events(pcrs, events, ima).map_err(AcceptError::Events)
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
    let PcrRule { index, expected, all_zero } = rule;
    let index = *index;
    // 4, 5, 6
    check_pcr_index(index)?;
    let values = match expected {
        PcrExpectation::Events => return Ok(()),
        PcrExpectation::Values(values) => values,
    };
    // 8
    if values.is_empty() {
        return Err(AcceptError::NoPcrValue { index });
    }
    at_most(values.len(), REFERENCE_VALUES)?;
    // 9
    match all_zero {
        Permission::Forbidden if values.iter().any(|accepted| accepted.value == [0; 32]) => {
            Err(AcceptError::AllZeroPcr { index })
        }
        Permission::Forbidden | Permission::Allowed => Ok(()),
    }
}
