//! Why evidence was refused.

use vouchsafe_protocol::codec::CodecError;

use crate::azure::{ClaimsError, HclError, VtpmError};
use crate::snp::rules::SnpRuleError;
use crate::snp::verify::SnpError;
use crate::tpm::ak::AkError;
use crate::tpm::quote::QuoteError;
use crate::tpm::rules::TpmRuleError;

/// Why evidence was refused. Every variant below it names one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppraisalError {
    /// The attestation key is not one that a TPM signs its own statements with.
    #[error("attestation key is not acceptable")]
    Ak(#[source] AkError),
    /// The attestation key is not the pinned one.
    #[error("attestation key is not the pinned one")]
    AkNotPinned,
    /// The evidence cannot be encoded.
    #[error("evidence cannot be encoded")]
    Encoding(#[source] CodecError),
    /// The report of the paravisor is malformed, or its claims are not those of the SNP report in it.
    #[error("HCL report is refused")]
    Hcl(#[source] HclError),
    /// No rule accepts evidence of this kind.
    #[error("evidence of this kind is not accepted")]
    Kind,
    /// No proof that the TPM holds the key that made the quote.
    #[error("attestation key is not proven resident in a TPM")]
    NotResident,
    /// The quote is not believed.
    #[error("quote is refused")]
    Quote(#[source] QuoteError),
    /// The claims of the paravisor cannot be used.
    #[error("runtime claims of the paravisor are refused")]
    RuntimeClaims(#[source] ClaimsError),
    /// The report is not believed.
    #[error("report is refused")]
    Snp(#[source] SnpError),
    /// The report is not what the role asks for.
    #[error("report does not satisfy the rules")]
    SnpRule(#[source] SnpRuleError),
    /// The evidence is over another statement: another challenge, key, role, offer or vault.
    #[error("evidence is over another statement")]
    Statement,
    /// The quote is not what the role asks for.
    #[error("quote does not satisfy the rules")]
    TpmRule(#[source] TpmRuleError),
    /// The paravisor's report was not made for this statement, and the rule wants a fresh one.
    #[error("user data of the paravisor's report are not the statement")]
    UserData,
}

impl AppraisalError {
    /// A stable code that names the rule: `snp.policy.debug`, `tpm.pcr.value`, ...
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Ak(error) => error.code(),
            Self::AkNotPinned => "tpm.ak.not-pinned",
            Self::Encoding(_) => "evidence.encoding",
            Self::Hcl(error) => error.code(),
            Self::Kind => "evidence.kind",
            Self::NotResident => "tpm.ak.not-resident",
            Self::Quote(error) => error.code(),
            Self::RuntimeClaims(error) => error.code(),
            Self::Snp(error) => error.code(),
            Self::SnpRule(error) => error.code(),
            Self::Statement => "evidence.statement",
            Self::TpmRule(error) => error.code(),
            Self::UserData => "azure.user-data",
        }
    }
}

impl From<SnpRuleError> for AppraisalError {
    fn from(error: SnpRuleError) -> Self {
        Self::SnpRule(error)
    }
}

impl From<TpmRuleError> for AppraisalError {
    fn from(error: TpmRuleError) -> Self {
        Self::TpmRule(error)
    }
}

impl From<VtpmError> for AppraisalError {
    fn from(error: VtpmError) -> Self {
        match error {
            VtpmError::Claims(error) => Self::RuntimeClaims(error),
            VtpmError::Hcl(error) => Self::Hcl(error),
            VtpmError::Quote(error) => Self::Quote(error),
        }
    }
}
