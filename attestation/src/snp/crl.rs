//! Revocation of AMD's certificates: a list signed by the root of the product (AMD 57230, section 4).
//!
//! A list says nothing unless it is signed by the right root, in force, and as young as policy asks; each of these is
//! a rule of its own. Lists come with evidence or from the collateral, and are verified alike.

use vouchsafe_crypto::verify::{HashAlgorithm, Scheme, verify};
use vouchsafe_protocol::limits::CRL_LEN;
use vouchsafe_protocol::policy::Product;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Extension, X509Version};

use super::roots::{AmdRoots, Root};
use crate::x509::{Validity, check_envelope, signature_scheme, without_leading_zeros};

/// How AMD signs (AMD 57230, section 3.2): RSASSA-PSS, SHA-384, salt 48.
const SCHEME: Scheme = Scheme::RsaPss(HashAlgorithm::Sha384);

/// Why a revocation list is not believed, or what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrlError {
    /// An extension, of the list or of an entry, that must be understood and is not: the list may speak of other
    /// certificates than it seems to (RFC 5280, section 5.2).
    #[error("revocation list has a critical extension that is not understood")]
    CriticalExtension,
    /// Issued by somebody else than the root of the product.
    #[error("revocation list is of another issuer than the root of the product")]
    Foreign,
    /// Not one whole DER CRL with both dates.
    #[error("revocation list is malformed")]
    Malformed,
    /// Neither came with the evidence, nor is in the collateral.
    #[error("there is no revocation list")]
    Missing,
    /// Before thisUpdate.
    #[error("revocation list is not yet valid")]
    NotYetValid,
    /// The intermediate is revoked.
    #[error("issuer of the endorsement key is revoked")]
    Revoked,
    /// The VCEK or VLEK is revoked.
    #[error("endorsement key is revoked")]
    RevokedVek,
    /// Not signed by the root of the product.
    #[error("revocation list is not signed by the root of the product")]
    Signature,
    /// After nextUpdate.
    #[error("revocation list is out of date")]
    Stale,
    /// Older than policy allows, though still in force.
    #[error("revocation list is {age_secs} s old and may be {max_age_secs} s old")]
    TooOld {
        /// Since thisUpdate.
        age_secs: i64,
        /// Of the rule.
        max_age_secs: u32,
    },
    /// There is no root for the product.
    #[error("there is no root for the product")]
    UnknownProduct,
}

impl CrlError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::CriticalExtension => "snp.crl.critical-extension",
            Self::Foreign => "snp.crl.foreign",
            Self::Malformed => "snp.crl.malformed",
            Self::Missing => "snp.crl.missing",
            Self::NotYetValid => "snp.crl.not-yet-valid",
            Self::Revoked => "snp.crl.revoked",
            Self::RevokedVek => "snp.crl.revoked-vek",
            Self::Signature => "snp.crl.signature",
            Self::Stale => "snp.crl.stale",
            Self::TooOld { .. } => "snp.crl.too-old",
            Self::UnknownProduct => "snp.root.unknown-product",
        }
    }
}

/// A list that the root of a product signed. What it says holds only between its dates: see [`Self::check`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationList {
    validity: Validity,
    /// Without leading zeros.
    serials: Vec<Vec<u8>>,
}

impl RevocationList {
    /// Parses a list and verifies that the root of `product` signed it.
    ///
    /// Steps: 1. whole DER of version 2 within [`CRL_LEN`], with both dates and one signature algorithm; 2. nothing in it that must
    /// be understood and is not; 3. names the root as issuer; 4. is signed by it, in AMD's way.
    ///
    /// # Errors
    /// [`CrlError`], one variant per step.
    pub fn verify(der: &[u8], roots: &AmdRoots, product: Product) -> Result<Self, CrlError> {
        let root = roots.of(product).ok_or(CrlError::UnknownProduct)?;
        let (list, parsed) = Self::parse(der)?;
        if list.issuer().as_raw() != root.ark.subject {
            return Err(CrlError::Foreign);
        }
        check_signature(&list, root)?;
        Ok(parsed)
    }

    /// As [`Self::verify`], by the root that the list names; returns the product of that root.
    ///
    /// # Errors
    /// [`CrlError`].
    pub fn verify_any(der: &[u8], roots: &AmdRoots) -> Result<(Product, Self), CrlError> {
        let (list, parsed) = Self::parse(der)?;
        let issuer = list.issuer().as_raw();
        let root = roots.all().iter().find(|root| root.ark.subject == issuer).ok_or(CrlError::Foreign)?;
        check_signature(&list, root)?;
        Ok((root.product, parsed))
    }

    /// Steps 1 and 2.
    fn parse(der: &[u8]) -> Result<(CertificateRevocationList<'_>, Self), CrlError> {
        // Step 1. The parser allocates per entry; 64 KiB hold some 3,000 of them.
        if der.len() > CRL_LEN {
            return Err(CrlError::Malformed);
        }
        let (rest, list) = CertificateRevocationList::from_der(der).map_err(|_| CrlError::Malformed)?;
        let next_update = list.next_update().ok_or(CrlError::Malformed)?;
        // Without a version it has no extensions, and AMD's have; and nothing stands before its algorithm then.
        let other_version = list.version() != Some(X509Version(1));
        if !rest.is_empty() || other_version || list.signature_value.unused_bits != 0 {
            return Err(CrlError::Malformed);
        }
        check_envelope(der, 1).map_err(|_| CrlError::Malformed)?;
        // Step 2.
        let critical = |extensions: &[X509Extension<'_>]| extensions.iter().any(|one| one.critical);
        if critical(list.extensions())
            || list.iter_revoked_certificates().any(|entry| critical(entry.extensions()))
        {
            return Err(CrlError::CriticalExtension);
        }
        let validity =
            Validity { not_before: list.last_update().timestamp(), not_after: next_update.timestamp() };
        let entries = list.iter_revoked_certificates();
        let serials = entries.map(|entry| without_leading_zeros(entry.raw_serial())).collect();
        Ok((list, Self { validity, serials }))
    }

    /// thisUpdate and nextUpdate.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Number of revoked serials.
    #[must_use]
    pub fn len(&self) -> usize {
        self.serials.len()
    }

    /// Whether nothing is revoked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.serials.is_empty()
    }

    /// Checks that the list is in force and young enough at `now` (seconds since 1970) and names neither certificate.
    ///
    /// Steps: 1. thisUpdate ≤ now ≤ nextUpdate; 2. now - thisUpdate ≤ `max_age_secs`; 3. the intermediate's serial is
    /// not listed; 4. nor is the VEK's. (AMD gives VCEKs the serial zero, so its own lists name intermediates.)
    ///
    /// # Errors
    /// [`CrlError`], one variant per step.
    pub fn check(
        &self,
        intermediate: &[u8],
        vek: &[u8],
        max_age_secs: u32,
        now: i64,
    ) -> Result<(), CrlError> {
        // Step 1.
        self.check_dates(now)?;
        // Step 2.
        let age_secs = now.saturating_sub(self.validity.not_before);
        if age_secs > i64::from(max_age_secs) {
            return Err(CrlError::TooOld { age_secs, max_age_secs });
        }
        // Steps 3 and 4.
        if self.lists(intermediate) {
            return Err(CrlError::Revoked);
        }
        if self.lists(vek) {
            return Err(CrlError::RevokedVek);
        }
        Ok(())
    }

    pub(crate) fn check_dates(&self, now: i64) -> Result<(), CrlError> {
        if now < self.validity.not_before {
            return Err(CrlError::NotYetValid);
        }
        if now > self.validity.not_after {
            return Err(CrlError::Stale);
        }
        Ok(())
    }

    /// Whether a serial, big-endian as encoded in a certificate, is on the list.
    #[must_use]
    pub fn lists(&self, serial: &[u8]) -> bool {
        let serial = without_leading_zeros(serial);
        self.serials.contains(&serial)
    }
}

fn check_signature(list: &CertificateRevocationList<'_>, root: &Root) -> Result<(), CrlError> {
    let key = root.ark.key().ok_or(CrlError::Signature)?;
    if signature_scheme(&list.signature_algorithm) != Some(SCHEME) {
        return Err(CrlError::Signature);
    }
    verify(key, SCHEME, list.tbs_cert_list.as_ref(), &list.signature_value.data)
        .map_err(|_| CrlError::Signature)
}
