//! Collateral as it travels: what an operator imports beforehand, so that evidence can be verified that does not bring
//! all of its endorsements. Bytes that nobody has verified.

use serde::{Deserialize, Serialize};

use crate::policy::{ChipId, CspName, Product, Tcb};

/// Items in one import: a file of a vendor's bundle holds some dozens.
pub const IMPORT_ITEMS: usize = 256;
/// Certificates of VCEKs and VLEKs that a vault keeps: one per machine and TCB. 4,096 take 8 MiB.
pub const VEKS: usize = 4096;
/// VLEKs for one product and TCB: each provider that the vault serves has one.
pub const VLEKS_PER_TCB: usize = 4;
/// Intermediates kept per product and kind of key (ASK, ASVK): the one in use and those it followed.
pub const AMD_INTERMEDIATES: usize = 4;
/// Intermediates of TPM vendors that a vault keeps; a large vendor has some dozens.
pub const TPM_INTERMEDIATES: usize = 256;

/// One thing to import. Each is DER, and verified against the vault's anchors before it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CollateralItem {
    /// A revocation list of a product's root (ARK); at most [`crate::limits::CRL_LEN`] bytes.
    AmdCrl(Vec<u8>),
    /// An intermediate of AMD's: ASK or ASVK.
    AmdIntermediate(Vec<u8>),
    /// An intermediate between a TPM vendor's root and the certificates of its TPMs.
    TpmIntermediate(Vec<u8>),
    /// The certificate of a VCEK or VLEK.
    Vek(Vec<u8>),
}

impl CollateralItem {
    /// The bytes.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        match self {
            Self::AmdCrl(der) | Self::AmdIntermediate(der) | Self::TpmIntermediate(der) | Self::Vek(der) => {
                der
            }
        }
    }
}

/// A thing that a vault keeps, for a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollateralEntry {
    /// What it is.
    pub subject: CollateralSubject,
    /// Its first second (of a revocation list: thisUpdate), since 1970.
    pub not_before_unix_secs: u64,
    /// Its last second (of a revocation list: nextUpdate), since 1970.
    pub not_after_unix_secs: u64,
    /// When it was imported, in seconds since 1970.
    pub imported_unix_secs: u64,
    /// SHA-256 of its DER.
    pub digest: [u8; 32],
}

/// What a thing that a vault keeps is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CollateralSubject {
    /// Revocation list of a product's root.
    AmdCrl {
        /// Product.
        product: Product,
        /// Number of serials on it.
        revoked: u32,
    },
    /// Issuer of VCEKs.
    Ask {
        /// Product.
        product: Product,
    },
    /// Issuer of VLEKs.
    Asvk {
        /// Product.
        product: Product,
    },
    /// Intermediate of a TPM vendor.
    TpmIntermediate {
        /// Common name; empty if there is none, at most [`crate::limits::NAME_LEN`] bytes of it.
        name: String,
    },
    /// Certificate of a chip at a TCB.
    Vcek {
        /// Product.
        product: Product,
        /// Chip.
        chip: ChipId,
        /// TCB that the key was derived for.
        tcb: Tcb,
    },
    /// Certificate of a cloud provider at a TCB.
    Vlek {
        /// Product.
        product: Product,
        /// Provider.
        provider: CspName,
        /// TCB that the key was derived for.
        tcb: Tcb,
    },
}
