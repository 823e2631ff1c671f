//! Whether one way to be accepted may load.

use crate::limits::NAME_LEN;
use crate::policy::{Accept, Product};

use super::events::EventsError;
use super::{snp, tpm};

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
    /// Snp 11.
    #[error("the list of cloud providers is empty, or has a name of no or more than {NAME_LEN} bytes")]
    NoProvider,
    /// Snp 12.
    #[error("the largest age of a revocation list is zero")]
    RevocationAge,
    /// Snp 13.
    #[error("the list of ID keys is empty")]
    NoIdKey,
    /// Snp 14.
    #[error("the list of author keys is empty")]
    NoAuthorKey,
    /// Snp 15.
    #[error("mitigations are asked for, which only reports of version 5 show; set min_report_version = 5")]
    MitigationsWithoutVersion,
    /// Snp 16.
    #[error(
        "a grace floor of {product:?} is not at or below the floor in every component, so it would refuse what the \
         floor accepts"
    )]
    GraceAboveFloor {
        /// Product.
        product: Product,
    },
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
    /// Tpm 11.
    #[error(transparent)]
    Events(EventsError),
}

/// Checks one accept rule.
///
/// # Errors
/// [`AcceptError`].
pub fn check_accept(rule: &Accept) -> Result<(), AcceptError> {
    match rule {
        Accept::Snp(rule) => snp::check_snp(rule),
        Accept::SnpVtpm(rule) => tpm::check_snp_vtpm(rule),
        Accept::Tpm(rule) => tpm::check_tpm(rule),
    }
}

pub(super) fn at_most(count: usize, limit: usize) -> Result<(), AcceptError> {
    if count > limit { Err(AcceptError::TooManyValues { count, limit }) } else { Ok(()) }
}
