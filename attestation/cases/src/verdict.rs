//! What the verifier says of a case.

use core::fmt::Write;
use std::error::Error;

use serde::Serialize;
use vouchsafe_attestation::AppraisalError;

/// A verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// Everything held.
    Valid {
        /// Index of the rule that accepted, where rules were applied.
        #[serde(skip_serializing_if = "Option::is_none")]
        rule: Option<usize>,
        /// What was shown.
        claims: serde_json::Value,
    },
    /// Refused.
    Invalid(Refusal),
    /// Nothing that this version gives a verdict on.
    NotSupported {
        /// Why.
        reason: String,
    },
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The rule, by its stable code (docs/RULES.md).
    pub code: &'static str,
    /// The rule and its causes, for people.
    pub reason: String,
}

impl Verdict {
    /// The code of the rule that refused, if one did.
    #[must_use]
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::Invalid(refusal) => Some(refusal.code),
            Self::Valid { .. } | Self::NotSupported { .. } => None,
        }
    }

    /// Whether everything held.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        matches!(self, Self::Valid { .. })
    }
}

/// Why a run of a case ended before everything was found to hold.
#[derive(Clone, Debug)]
pub(crate) enum Stop {
    Refused(Refusal),
    NotSupported(String),
}

impl Stop {
    /// A refusal by a rule of the verifier's, with its causes.
    pub(crate) fn refused(code: &'static str, error: &dyn Error) -> Self {
        Self::Refused(Refusal { code, reason: chain(error) })
    }

    /// The case lacks something that its kind needs.
    pub(crate) fn missing(part: &str) -> Self {
        Self::Refused(Refusal { code: "case.missing", reason: format!("the case has no '{part}'") })
    }

    /// Something of the case cannot be read as what it must be.
    pub(crate) fn malformed(part: &str) -> Self {
        Self::Refused(Refusal {
            code: "case.malformed",
            reason: format!("'{part}' of the case cannot be read"),
        })
    }

    pub(crate) fn not_supported(reason: impl Into<String>) -> Self {
        Self::NotSupported(reason.into())
    }
}

/// A run: claims, or why not.
pub(crate) type Run<T = serde_json::Value> = Result<T, Stop>;

/// What was shown, and to which rule.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) rule: Option<usize>,
    pub(crate) claims: serde_json::Value,
}

impl From<Run<Shown>> for Verdict {
    fn from(run: Run<Shown>) -> Self {
        match run {
            Ok(Shown { rule, claims }) => Self::Valid { rule, claims },
            Err(Stop::Refused(refusal)) => Self::Invalid(refusal),
            Err(Stop::NotSupported(reason)) => Self::NotSupported { reason },
        }
    }
}

impl From<AppraisalError> for Stop {
    fn from(error: AppraisalError) -> Self {
        Self::refused(error.code(), &error)
    }
}

macro_rules! refusals {
    ($($error:ty),* $(,)?) => {
        $(impl From<$error> for Stop {
            fn from(error: $error) -> Self {
                Self::refused(error.code(), &error)
            }
        })*
    };
}

refusals![
    vouchsafe_attestation::azure::ClaimsError,
    vouchsafe_attestation::azure::HclError,
    vouchsafe_attestation::azure::VtpmError,
    vouchsafe_attestation::log::BootError,
    vouchsafe_attestation::log::EventLogError,
    vouchsafe_attestation::log::ReplayError,
    vouchsafe_attestation::log::ima::ImaError,
    vouchsafe_attestation::tpm::ak_certificate::AkCertError,
    vouchsafe_attestation::tpm::clock::ClockError,
    vouchsafe_attestation::AkError,
    vouchsafe_attestation::EkError,
    vouchsafe_attestation::ResidencyError,
    vouchsafe_attestation::snp::crl::CrlError,
    vouchsafe_attestation::snp::rules::SnpRuleError,
    vouchsafe_attestation::snp::verify::SnpError,
    vouchsafe_attestation::tpm::quote::QuoteError,
    vouchsafe_attestation::tpm::rules::TpmRuleError,
];

/// The message with those of its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        if write!(text, ": {cause}").is_err() {
            break;
        }
        source = cause.source();
    }
    text
}
