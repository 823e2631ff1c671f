//! Rules for the claims of a quote. Called before the signature is checked: what policy refuses costs none.

use vouchsafe_crypto::verify::HashAlgorithm;
use vouchsafe_protocol::evidence::PcrValue;
use vouchsafe_protocol::policy::{
    AkRule, EkRule, PcrExpectation, PcrRule, Permission, TpmAccept, TpmKind, TpmKindRule, Validity,
};

use super::attest::Quote;
use super::residency::{ResidentAk, ShownBy};
use crate::snp::rules::Warning;

/// The rule that a quote broke. Ordered by step of [`check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TpmRuleError {
    /// The anchor set that vouches for the TPM is not accepted.
    #[error("trust anchor of the TPM is not accepted")]
    Anchor,
    /// The attestation key was shown to be a TPM's in another way than the rule asks for.
    #[error("attestation key is not shown to be a TPM's in the way that is asked for")]
    AkProof,
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
    /// A PCR is judged by events, and no log replays to it.
    #[error("PCR {index} is judged by events, and no log explains it")]
    NoLog {
        /// PCR.
        index: u8,
    },
    /// A PCR has a value that was accepted and has expired.
    #[error("value of PCR {index} has expired")]
    Expired {
        /// PCR.
        index: u8,
    },
    /// The anchor set that vouches for the TPM stands for another kind of TPM.
    #[error("kind of the TPM is not accepted")]
    Kind,
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
            Self::AkProof | Self::Anchor | Self::Kind => 1,
            Self::EkNotListed => 2,
            Self::Selection => 3,
            Self::Values => 4,
            Self::AllZero { .. } | Self::Expired { .. } | Self::NoLog { .. } | Self::Value { .. } => 5,
        }
    }

    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::AkProof => "tpm.ak.proof",
            Self::Anchor => "tpm.anchor",
            Self::EkNotListed => "tpm.ek.not-listed",
            Self::Selection => "tpm.pcr.selection",
            Self::Values => "tpm.pcr.values",
            Self::AllZero { .. } => "tpm.pcr.all-zero",
            Self::Expired { .. } => "tpm.pcr.expired",
            Self::Kind => "tpm.kind",
            Self::NoLog { .. } => "tpm.log.missing",
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
    now: u64,
) -> Result<Vec<Warning>, TpmRuleError> {
    let TpmAccept { anchors, kind, pcrs, events: _, ima: _, ak, ek } = accept;
    if !anchors.contains(resident.anchor()) {
        return Err(TpmRuleError::Anchor);
    }
    let of_kind = match kind {
        TpmKindRule::Any => true,
        TpmKindRule::Hardware => resident.kind() == TpmKind::Hardware,
        TpmKindRule::HostVirtual => resident.kind() == TpmKind::HostVirtual,
    };
    if !of_kind {
        return Err(TpmRuleError::Kind);
    }
    let as_asked = match ak {
        AkRule::ByCertificate => resident.shown_by() == ShownBy::Certificate,
        AkRule::ByCredential => resident.shown_by() == ShownBy::Credential,
        AkRule::Either => true,
    };
    if !as_asked {
        return Err(TpmRuleError::AkProof);
    }
    if matches!(ek, EkRule::Allow(listed) if !listed.contains(resident.spki_digest())) {
        return Err(TpmRuleError::EkNotListed);
    }
    check_pcrs(quote, sent, pcrs, now)
}

/// Applies rules over PCRs to a quote and the values sent with it, whoever's TPM it is from.
///
/// # Errors
/// [`TpmRuleError`] from [`TpmRuleError::Selection`] on.
pub fn check_pcrs(
    quote: &Quote,
    sent: &[PcrValue],
    pcrs: &[PcrRule],
    now: u64,
) -> Result<Vec<Warning>, TpmRuleError> {
    check_selection(quote, sent, pcrs.iter().map(|rule| rule.index))?;
    let mut warnings = Vec::new();
    for PcrRule { index, expected, all_zero } in pcrs {
        // Values are found by index, never by position.
        let value = sent.iter().find(|pcr| pcr.index == *index).ok_or(TpmRuleError::Values)?.value;
        if value == [0; 32] && *all_zero == Permission::Forbidden {
            return Err(TpmRuleError::AllZero { index: *index });
        }
        let PcrExpectation::Values(values) = expected else {
            return Err(TpmRuleError::NoLog { index: *index });
        };
        let matching = values.iter().filter(|accepted| accepted.value == value);
        match matching.map(|accepted| accepted.expiry.at(now)).max() {
            None => return Err(TpmRuleError::Value { index: *index }),
            Some(Validity::Expired) => return Err(TpmRuleError::Expired { index: *index }),
            Some(Validity::Grace) => warnings.push(Warning::ReferenceValue),
            Some(Validity::Valid) => {}
        }
    }
    warnings.dedup();
    Ok(warnings)
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
