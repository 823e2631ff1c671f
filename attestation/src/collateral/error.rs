//! Why an item is not imported.

use crate::snp::crl::CrlError;
use crate::snp::vek::VekError;
use crate::snp::verify::SnpError;
use crate::x509::{CertificateError, ChainError};

/// Why an item is not imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CollateralError {
    /// Not a certificate.
    #[error("intermediate certificate cannot be read")]
    Certificate(#[source] CertificateError),
    /// It does not chain to an anchor.
    #[error("certificate does not chain to an anchor of this vault")]
    Chain(#[source] ChainError),
    /// Not a revocation list of a product's root, or not in force.
    #[error("revocation list is not believed")]
    Crl(#[source] CrlError),
    /// The chain of a VCEK or VLEK does not hold.
    #[error("endorsement certificate is not believed")]
    Endorsement(#[source] SnpError),
    /// There is no room.
    #[error("there are {most} such items already")]
    Full {
        /// Limit.
        most: usize,
    },
    /// The common name is of no intermediate of AMD's.
    #[error("certificate is not an ASK or ASVK of a product with a root")]
    Name,
    /// Not a certificate authority's.
    #[error("certificate is not an authority's")]
    NotAnAuthority,
    /// A younger list of the same root was imported before.
    #[error("a younger revocation list of the same root is there already")]
    Rollback,
    /// Not a certificate of a VCEK or VLEK.
    #[error("endorsement certificate cannot be read")]
    Vek(#[source] VekError),
}

impl CollateralError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Certificate(_) => "collateral.certificate",
            Self::Chain(_) => "collateral.chain",
            Self::Crl(error) => error.code(),
            Self::Endorsement(error) => error.code(),
            Self::Full { .. } => "collateral.full",
            Self::Name => "collateral.name",
            Self::NotAnAuthority => "collateral.not-an-authority",
            Self::Rollback => "collateral.rollback",
            Self::Vek(error) => error.code(),
        }
    }
}
