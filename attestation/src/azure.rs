//! Evidence of a paravisor: firmware in the most privileged level of an SNP guest that runs a virtual TPM for the
//! rest of it, as on Azure's confidential virtual machines.
//!
//! Called with evidence of agents, every byte of which the Attester controls. What is believed, and in which order:
//! 1. an SNP report of the paravisor is verified like any other, and a rule accepts its measurement;
//! 2. REPORT_DATA of that report is the hash of the paravisor's *runtime claims* ([`HclReport::bind`]);
//! 3. only then are the claims read as JSON ([`BoundClaims::read`]). INVARIANT: [`BoundClaims`] is made only from a
//!    [`VerifiedReport`], so no JSON parser sees a byte that no processor of AMD's vouches for;
//! 4. the claims name the attestation key of the virtual TPM; its quote is checked like any other.
//!
//! The class of the platform follows from AMD's root, as for a bare report. A virtual TPM that the host runs has no
//! such report and is never taken for this.
//!
//! Left to the caller: that a rule accepted the report before [`BoundClaims::read`] is called, since everybody can
//! write a paravisor of their own; and the rules over PCRs.

pub(crate) mod appraisal;
pub mod claims;
pub mod hcl;

use vouchsafe_crypto::verify::{HashAlgorithm, PublicKey, Scheme};
use vouchsafe_protocol::policy::Permission;

pub use appraisal::SnpVtpmClaims;
pub use claims::{BoundClaims, ClaimsError, RuntimeClaims, VmConfiguration};
pub use hcl::{HclError, HclReport};

use crate::snp::verify::VerifiedReport;
use crate::tpm::attest::Quote;
use crate::tpm::quote::{Expected, PcrValues, QuoteError, verify_quote};
use crate::tpm::signature::QuoteSignature;

/// Why evidence of a paravisor's virtual TPM is not believed, the SNP report being right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VtpmError {
    /// The runtime claims cannot be used.
    #[error("runtime claims of the paravisor are refused")]
    Claims(#[source] ClaimsError),
    /// The HCL report is malformed, or its claims are not those of the report.
    #[error("HCL report is refused")]
    Hcl(#[source] HclError),
    /// The quote is not believed.
    #[error("quote is refused")]
    Quote(#[source] QuoteError),
}

impl VtpmError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Claims(error) => error.code(),
            Self::Hcl(error) => error.code(),
            Self::Quote(error) => error.code(),
        }
    }
}

/// A quote with its signature, and what it must be over.
#[derive(Clone, Copy, Debug)]
pub struct VtpmQuote<'a> {
    /// `TPMS_ATTEST`.
    pub bytes: &'a [u8],
    /// `bytes`, parsed.
    pub quote: &'a Quote,
    /// Signature over `bytes`.
    pub signature: &'a QuoteSignature,
    /// PCR values that were sent.
    pub values: &'a PcrValues,
    /// Qualifying data, compared whole.
    pub extra_data: &'a [u8],
}

/// Verifies that the virtual TPM of the paravisor in `verified` made a quote. `hcl` is the report that `verified`
/// was read from.
///
/// Steps: 1. REPORT_DATA is the hash of the runtime claims; 2. the claims read, and name one attestation key; 3. the
/// quote, by that key, with RSASSA and SHA-256.
///
/// # Errors
/// [`VtpmError`], one variant per step.
pub fn verify_snp_vtpm(
    hcl: &HclReport<'_>,
    verified: &VerifiedReport,
    quote: VtpmQuote<'_>,
) -> Result<RuntimeClaims, VtpmError> {
    // Step 1.
    let bound = hcl.bind(verified).map_err(VtpmError::Hcl)?;
    // Step 2.
    let claims = bound.read().map_err(VtpmError::Claims)?;
    // Step 3.
    verify_vtpm_quote(claims.ak(), quote).map_err(VtpmError::Quote)?;
    Ok(claims)
}

fn verify_vtpm_quote(ak: &PublicKey, quote: VtpmQuote<'_>) -> Result<(), QuoteError> {
    let VtpmQuote { bytes, quote, signature, values, extra_data } = quote;
    let expected = Expected {
        key: ak,
        scheme: Some(Scheme::RsaPkcs1(HashAlgorithm::Sha256)),
        extra_data,
        sha1: Permission::Forbidden,
    };
    verify_quote(bytes, quote, signature, values, expected)
}
