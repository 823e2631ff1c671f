//! Verify and appraise SEV-SNP and TPM 2.0 evidence.
//!
//! Trusted for: that an [`Appraisal`] exists only for evidence that a genuine platform made over exactly the
//! given statement, and that the rules accept. Not trusted with: secrets, keys that sign, input, output, clocks.
//! Left to the caller: a fresh, single-use challenge in the statement; the time; what an appraisal is good for.
//!
//! [`appraise`] is the one way in. Collateral is never fetched: it is in the evidence, compiled in, or refused.
//!
#![doc = include_str!("../README.md")]

mod accepting;
pub mod anchors;
pub mod appraisal;
pub mod azure;
mod bytes;
pub mod cache;
pub mod collateral;
pub mod error;
pub mod explain;
pub mod log;
pub mod snp;
pub mod statement;
pub mod tpm;
pub mod x509;

pub use anchors::{AnchorError, TrustAnchors};
pub use appraisal::{
    Appraisal, Claims, Context, PlatformClass, PlatformId, Residency, SnpClaims, TpmClaims, appraise,
    appraise_vault,
};
pub use cache::ChainCache;
pub use collateral::{Added, Collateral, CollateralError};
pub use error::AppraisalError;
pub use statement::{Statement, StatementPreimage};
pub use tpm::ak::{AkError, AttestationKey, parse_ak};
pub use tpm::ak_certificate::{AkCertError, verify_ak_certificate, verify_ak_chain};
pub use tpm::ek::{EkError, VerifiedEk, verify_ek, verify_ek_chain};
pub use tpm::residency::{ResidencyError, ResidentAk, ShownBy, confirm_residency, make_credential};
