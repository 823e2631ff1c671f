//! Rules for the claims of a quote. Called before the signature is checked: what policy refuses costs none.

use vouchsafe_crypto::verify::HashAlgorithm;
use vouchsafe_protocol::evidence::PcrValue;
use vouchsafe_protocol::policy::{EkRule, PcrRule, Permission, TpmAccept};

use super::attest::Quote;
use super::residency::ResidentAk;

/// The rule that a quote broke. Ordered by step of [`check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TpmRuleError {
    /// The anchor set that vouches for the TPM is not accepted.
    #[error("trust anchor of the TPM is not accepted")]
    Anchor,
    /// The TPM is not on the list.
    #[error("TPM is not on the list")]
    EkNotListed,
    /// The quote does not select exactly the PCRs of the rule, of the SHA-256 bank alone.
    #[error("quote does not select exactly the PCRs of the rule")]
    Selection,
    /// The values that were sent are not for exactly the selected PCRs.
    #[error("PCR values were not sent for exactly the selected PCRs")]
    Values,
    /// A PCR was never extended.
    #[error("PCR {index} was never extended")]
    AllZero {
        /// PCR.
        index: u8,
    },
    /// A PCR has another value.
    #[error("value of PCR {index} is not accepted")]
    Value {
        /// PCR.
        index: u8,
    },
}

impl TpmRuleError {
    /// The step of [`check`] at which this fails: of several rules, the one that got furthest says most.
    #[must_use]
    pub fn step(&self) -> u8 {
        match self {
            Self::Anchor => 1,
            Self::EkNotListed => 2,
            Self::Selection => 3,
            Self::Values => 4,
            Self::AllZero { .. } | Self::Value { .. } => 5,
        }
    }

    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Anchor => "tpm.anchor",
            Self::EkNotListed => "tpm.ek.not-listed",
            Self::Selection => "tpm.pcr.selection",
            Self::Values => "tpm.pcr.values",
            Self::AllZero { .. } => "tpm.pcr.all-zero",
            Self::Value { .. } => "tpm.pcr.value",
        }
    }
}

/// Applies every rule of a role to a quote, the values sent with it, and the TPM it is said to be from.
///
/// # Errors
/// [`TpmRuleError`], the first that fails in the order of its variants.
pub fn check(
    quote: &Quote,
    sent: &[PcrValue],
    resident: &ResidentAk,
    accept: &TpmAccept,
) -> Result<(), TpmRuleError> {
    let TpmAccept { anchors, pcrs, ek } = accept;
    if !anchors.contains(resident.anchor()) {
        return Err(TpmRuleError::Anchor);
    }
    if matches!(ek, EkRule::Allow(listed) if !listed.contains(resident.ek_spki_digest())) {
        return Err(TpmRuleError::EkNotListed);
    }
    check_selection(quote, sent, pcrs.iter().map(|rule| rule.index))?;
    for PcrRule { index, values, all_zero } in pcrs {
        // Values are found by index, never by position.
        let value = sent.iter().find(|pcr| pcr.index == *index).ok_or(TpmRuleError::Values)?.value;
        if value == [0; 32] && *all_zero == Permission::Forbidden {
            return Err(TpmRuleError::AllZero { index: *index });
        }
        if !values.contains(&value) {
            return Err(TpmRuleError::Value { index: *index });
        }
    }
    Ok(())
}

/// Compares a quote with exact values, each for one PCR of the SHA-256 bank.
///
/// # Errors
/// [`TpmRuleError::Selection`], [`TpmRuleError::Values`], [`TpmRuleError::Value`].
pub fn check_exactly(quote: &Quote, sent: &[PcrValue], pinned: &[PcrValue]) -> Result<(), TpmRuleError> {
    check_selection(quote, sent, pinned.iter().map(|pcr| pcr.index))?;
    for pin in pinned {
        if !sent.contains(pin) {
            return Err(TpmRuleError::Value { index: pin.index });
        }
    }
    Ok(())
}

/// The SHA-256 bank alone is selected, in it exactly the `wanted` PCRs (at least one), and exactly their values
/// were sent, ascending and each once.
fn check_selection(
    quote: &Quote,
    sent: &[PcrValue],
    wanted: impl Iterator<Item = u8>,
) -> Result<(), TpmRuleError> {
    let mut wanted: Vec<u8> = wanted.collect();
    wanted.sort_unstable();
    let selected = match quote.selection.as_slice() {
        [bank] if bank.bank == HashAlgorithm::Sha256 => &bank.indices,
        _ => return Err(TpmRuleError::Selection),
    };
    if selected.is_empty() || *selected != wanted {
        return Err(TpmRuleError::Selection);
    }
    if !sent.iter().map(|pcr| pcr.index).eq(selected.iter().copied()) {
        return Err(TpmRuleError::Values);
    }
    Ok(())
}
