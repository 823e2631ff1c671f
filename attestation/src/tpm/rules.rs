//! Rules for the claims of a quote. Called before the signature is checked: what policy refuses costs none.

use vouchsafe_crypto::verify::HashAlgorithm;
use vouchsafe_protocol::evidence::PcrValue;
use vouchsafe_protocol::id::AnchorName;
use vouchsafe_protocol::policy::{
    AkRule, EkRule, EventRules, ImaRule, PcrExpectation, PcrRule, Permission, TpmAccept, TpmKind,
    TpmKindRule, Validity,
};

use super::attest::Quote;
use super::event_rules::EventRuleError;
use super::logs::ComparedLogs;
use super::residency::{ResidentAk, ShownBy};
use crate::log::ima::{ImaError, ImaReplayError, ImaRuleError};
use crate::log::{BootError, EventLogError, ReplayError};
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
    /// A PCR is judged by events, and no log of them came.
    #[error("PCR {index} is judged by events, and its log is missing")]
    NoLog {
        /// PCR.
        index: u8,
    },
    /// The boot event log is none.
    #[error("boot event log is refused")]
    BootLog(#[source] EventLogError),
    /// The boot event log does not explain the PCRs.
    #[error("boot event log does not explain the PCRs")]
    Replay(#[source] ReplayError),
    /// The boot event log is not of an orderly boot.
    #[error("boot event log is not that of an orderly boot")]
    Boot(#[source] BootError),
    /// What was booted is not accepted.
    #[error("events of the boot are not accepted")]
    Event(#[source] EventRuleError),
    /// The IMA log is none.
    #[error("IMA log is refused")]
    ImaLog(#[source] ImaError),
    /// The IMA log does not explain PCR 10.
    #[error("IMA log does not explain PCR 10")]
    ImaReplay(#[source] ImaReplayError),
    /// What was run is not accepted.
    #[error("files of the IMA log are not accepted")]
    Ima(#[source] ImaRuleError),
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
            Self::AllZero { .. } | Self::Expired { .. } | Self::Value { .. } => 5,
            Self::NoLog { .. } => 6,
            Self::BootLog(_) => 7,
            Self::Replay(_) => 8,
            Self::Boot(_) => 9,
            Self::Event(_) => 10,
            Self::ImaLog(_) => 11,
            Self::ImaReplay(_) => 12,
            Self::Ima(_) => 13,
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
            Self::Value { .. } => "tpm.pcr.value",
            Self::NoLog { .. } => "tpm.log.missing",
            Self::BootLog(error) => error.code(),
            Self::Replay(error) => error.code(),
            Self::Boot(error) => error.code(),
            Self::Event(error) => error.code(),
            Self::ImaLog(error) => error.code(),
            Self::ImaReplay(error) => error.code(),
            Self::Ima(error) => error.code(),
        }
    }
}

/// Applies every rule of a role to a quote, the values and logs sent with it, and the TPM it is said to be from.
///
/// # Errors
/// [`TpmRuleError`], the first that fails in the order of its variants.
pub fn check(
    quote: &Quote,
    sent: &[PcrValue],
    resident: &ResidentAk,
    accept: &TpmAccept,
    now: u64,
    logs: &ComparedLogs<'_, '_>,
) -> Result<Vec<Warning>, TpmRuleError> {
    check_shown(quote, sent, Shown::by(resident), accept, now, logs)
}

/// What rules ask of the TPM behind a quote. Not a proof that a key is in it: that is [`ResidentAk`].
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// Anchor set that vouches for the TPM.
    pub anchor: &'a AnchorName,
    /// Kind of TPM that the set stands for.
    pub kind: TpmKind,
    /// How the attestation key was shown to be the TPM's.
    pub shown_by: ShownBy,
    /// SHA-256 of the SubjectPublicKeyInfo of the certificate that chains to the anchor.
    pub spki_digest: &'a [u8; 32],
}

impl<'a> Shown<'a> {
    /// What a resident key shows.
    #[must_use]
    pub fn by(resident: &'a ResidentAk) -> Self {
        let (anchor, spki_digest) = (resident.anchor(), resident.spki_digest());
        Self { anchor, kind: resident.kind(), shown_by: resident.shown_by(), spki_digest }
    }
}

/// [`check`], for evidence that is stored and was or will be shown to be of a resident key.
///
/// # Errors
/// As [`check`].
pub fn check_shown(
    quote: &Quote,
    sent: &[PcrValue],
    shown: Shown<'_>,
    accept: &TpmAccept,
    now: u64,
    logs: &ComparedLogs<'_, '_>,
) -> Result<Vec<Warning>, TpmRuleError> {
    let TpmAccept { anchors, kind, pcrs, events, ima, ak, ek } = accept;
    if !anchors.contains(shown.anchor) {
        return Err(TpmRuleError::Anchor);
    }
    let of_kind = match kind {
        TpmKindRule::Any => true,
        TpmKindRule::Hardware => shown.kind == TpmKind::Hardware,
        TpmKindRule::HostVirtual => shown.kind == TpmKind::HostVirtual,
    };
    if !of_kind {
        return Err(TpmRuleError::Kind);
    }
    let as_asked = match ak {
        AkRule::ByCertificate => shown.shown_by == ShownBy::Certificate,
        AkRule::ByCredential => shown.shown_by == ShownBy::Credential,
        AkRule::Either => true,
    };
    if !as_asked {
        return Err(TpmRuleError::AkProof);
    }
    if matches!(ek, EkRule::Allow(listed) if !listed.contains(shown.spki_digest)) {
        return Err(TpmRuleError::EkNotListed);
    }
    check_pcrs(quote, sent, PcrRules { pcrs, events, ima }, now, logs)
}

/// Rules over PCRs and over the logs that explain them.
#[derive(Clone, Copy, Debug)]
pub struct PcrRules<'a> {
    /// The exact selection, and what each must hold.
    pub pcrs: &'a [PcrRule],
    /// For PCRs judged by events.
    pub events: &'a EventRules,
    /// For PCR 10, if it is.
    pub ima: &'a ImaRule,
}

/// Applies rules over PCRs to a quote, the values and the logs sent with it, whoever's TPM it is from. `logs` are those
/// beside the same values.
///
/// # Errors
/// [`TpmRuleError`] from [`TpmRuleError::Selection`] on.
pub fn check_pcrs(
    quote: &Quote,
    sent: &[PcrValue],
    rules: PcrRules<'_>,
    now: u64,
    logs: &ComparedLogs<'_, '_>,
) -> Result<Vec<Warning>, TpmRuleError> {
    let PcrRules { pcrs, events, ima } = rules;
    check_selection(quote, sent, pcrs.iter().map(|rule| rule.index))?;
    let mut warnings = Vec::new();
    for PcrRule { index, expected, all_zero } in pcrs {
        // Values are found by index, never by position.
        let value = sent.iter().find(|pcr| pcr.index == *index).ok_or(TpmRuleError::Values)?.value;
        if value == [0; 32] && *all_zero == Permission::Forbidden {
            return Err(TpmRuleError::AllZero { index: *index });
        }
        let PcrExpectation::Values(values) = expected else { continue };
        let matching = values.iter().filter(|accepted| accepted.value == value);
        match matching.map(|accepted| accepted.expiry.at(now)).max() {
            None => return Err(TpmRuleError::Value { index: *index }),
            Some(Validity::Expired) => return Err(TpmRuleError::Expired { index: *index }),
            Some(Validity::Grace) => warnings.push(Warning::ReferenceValue),
            Some(Validity::Valid) => {}
        }
    }
    // Those that are judged by events.
    logs.check(pcrs, events, ima)?;
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
    // A bank of which nothing is selected adds nothing to what is signed.
    let mut banks = quote.selection.iter().filter(|bank| !bank.indices.is_empty());
    let selected = match (banks.next(), banks.next()) {
        (Some(bank), None) if bank.bank == HashAlgorithm::Sha256 => &bank.indices,
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
