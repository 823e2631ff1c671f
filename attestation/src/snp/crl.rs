//! Revocation of AMD's intermediates: a CRL signed by the root of the product. (VCEK serials are all zero, so
//! AMD's list can name nothing else.) The vault does not ask for one in this version; `evidence check` does.

use vouchsafe_crypto::verify::{HashAlgorithm, Scheme, verify};
use vouchsafe_protocol::policy::Product;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use super::roots::AmdRoots;
use crate::x509::{Certificate, Validity};

/// Largest CRL in bytes; AMD's have under 1 KiB.
const CRL_LEN: usize = 64 * 1024;

/// Why a revocation list is not believed, or what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrlError {
    /// Not one whole DER CRL with both dates.
    #[error("revocation list is malformed")]
    Malformed,
    /// Before thisUpdate.
    #[error("revocation list is not yet valid")]
    NotYetValid,
    /// The intermediate is revoked.
    #[error("issuer of the endorsement key is revoked")]
    Revoked,
    /// Not signed by the root of the product.
    #[error("revocation list is not signed by the root of the product")]
    Signature,
    /// After nextUpdate.
    #[error("revocation list is out of date")]
    Stale,
    /// There is no root for the product.
    #[error("there is no root for the product")]
    UnknownProduct,
}

/// Checks that `intermediate` is not on a list that is signed by the root of `product` and in force at `now`.
///
/// Steps: 1. whole DER with both dates; 2. names the root as issuer and is signed by it; 3. in force; 4. the
/// serial is not listed.
///
/// # Errors
/// [`CrlError`], one variant per step.
pub fn check_not_revoked(
    crl: &[u8],
    intermediate: &Certificate,
    roots: &AmdRoots,
    product: Product,
    now: i64,
) -> Result<(), CrlError> {
    let root = &roots.of(product).ok_or(CrlError::UnknownProduct)?.ark;
    // Step 1.
    if crl.len() > CRL_LEN {
        return Err(CrlError::Malformed);
    }
    let (rest, list) = CertificateRevocationList::from_der(crl).map_err(|_| CrlError::Malformed)?;
    let next_update = list.next_update().ok_or(CrlError::Malformed)?;
    let unused_bits = list.signature_value.unused_bits != 0;
    if !rest.is_empty() || unused_bits || list.signature_algorithm != list.tbs_cert_list.signature {
        return Err(CrlError::Malformed);
    }
    // Step 2.
    let scheme = Scheme::RsaPss(HashAlgorithm::Sha384);
    let key = root.key().ok_or(CrlError::Signature)?;
    if list.issuer().as_raw() != root.subject || root.scheme() != Some(scheme) {
        return Err(CrlError::Signature);
    }
    verify(key, scheme, list.tbs_cert_list.as_ref(), &list.signature_value.data)
        .map_err(|_| CrlError::Signature)?;
    // Step 3.
    let window = Validity { not_before: list.last_update().timestamp(), not_after: next_update.timestamp() };
    if now < window.not_before {
        return Err(CrlError::NotYetValid);
    }
    if now > window.not_after {
        return Err(CrlError::Stale);
    }
    // Step 4.
    if list.iter_revoked_certificates().any(|revoked| revoked.raw_serial() == intermediate.serial()) {
        return Err(CrlError::Revoked);
    }
    Ok(())
}
