//! Collateral: what endorses evidence and does not come with it. Imported beforehand; nothing is ever fetched while
//! evidence is verified.
//!
//! Operators import, and whoever holds an item may have made it. INVARIANT: an item gets in only if it chains to an
//! anchor at the time of its import; and it is verified again, dates and revocation included, wherever it is used. So
//! a store can only spare an Attester the sending, never make anything acceptable that is not. All of it is bounded.

mod error;
mod intermediates;
mod vek;

use std::borrow::Cow;
use std::sync::Arc;

use vouchsafe_crypto::digest;
use vouchsafe_protocol::collateral::{CollateralEntry, CollateralItem, CollateralSubject};
use vouchsafe_protocol::evidence::{AkProof, TpmKeys};
use vouchsafe_protocol::policy::Product;

pub use self::error::CollateralError;
use self::intermediates::Intermediates;
use self::vek::Veks;
use crate::anchors::TrustAnchors;
use crate::snp::crl::RevocationList;
use crate::snp::report::{Report, SigningKey};
use crate::x509::{Certificate, Validity};

/// Certificates and revocation lists that the verifier has, for a store that lives as long as its owner keeps it.
///
/// ```
/// use vouchsafe_attestation::{Collateral, CollateralError, TrustAnchors};
/// use vouchsafe_protocol::anchors::{AmdAnchors, Anchors};
/// use vouchsafe_protocol::collateral::CollateralItem;
///
/// let anchors = TrustAnchors::new(&Anchors { amd: AmdAnchors::BuiltIn, tpm: Vec::new() })?;
/// let mut collateral = Collateral::new();
/// let junk = CollateralItem::AmdCrl(vec![0x30, 0]);
/// let refused = collateral.add(&junk, &anchors, 1_795_392_000);
/// assert!(matches!(refused, Err(CollateralError::Crl(_))));
/// # Ok::<(), vouchsafe_attestation::AnchorError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Collateral {
    crls: Vec<Crl>,
    intermediates: Intermediates,
    veks: Veks,
}

#[derive(Clone, Debug)]
struct Crl {
    product: Product,
    list: Arc<RevocationList>,
    stored: Stored,
}

/// An item as it was imported.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    der: Vec<u8>,
    validity: Validity,
    imported_unix_secs: u64,
}

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is new.
    New,
    /// It took the place of an older one for the same thing.
    Replaced,
    /// It was there already, or a younger one for the same thing.
    Known,
}

impl Collateral {
    /// Holds nothing: all must come with the evidence.
    pub(crate) const NONE: &Self =
        &Self { crls: Vec::new(), intermediates: Intermediates::NONE, veks: Veks::NONE };

    /// Holds nothing: all must come with the evidence.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Imports an item at `now`, in seconds since 1970. The same items, in the same order and at the same times, always
    /// make the same store. Something that was imported is never replaced by something older.
    ///
    /// Steps: 1. it can be read; 2. it chains to an anchor at `now`, or is signed by the product's root and in force;
    /// 3. a revocation list is not older than the one that is there; 4. there is room, if need be in place of what has
    /// expired.
    ///
    /// # Errors
    /// [`CollateralError`]; the store is as it was.
    pub fn add(
        &mut self,
        item: &CollateralItem,
        anchors: &TrustAnchors,
        now: u64,
    ) -> Result<Added, CollateralError> {
        match item {
            CollateralItem::AmdCrl(der) => self.add_crl(der, anchors, now),
            CollateralItem::AmdIntermediate(der) => self.intermediates.add_amd(der, anchors, now),
            CollateralItem::TpmIntermediate(der) => self.intermediates.add_tpm(der, anchors, now),
            CollateralItem::Vek(der) => {
                let (vek, validity) = vek::verify(der, self, anchors, now)?;
                self.veks.add(&vek.claims, der, validity, now)
            }
        }
    }

    fn add_crl(&mut self, der: &[u8], anchors: &TrustAnchors, now: u64) -> Result<Added, CollateralError> {
        // Steps 1 and 2.
        let (product, list) = RevocationList::verify_any(der, anchors.amd()).map_err(CollateralError::Crl)?;
        list.check_dates(seconds(now)).map_err(CollateralError::Crl)?;
        let validity = list.validity();
        let stored = Stored { der: der.to_vec(), validity, imported_unix_secs: now };
        let new = Crl { product, list: Arc::new(list), stored };
        // Step 3. There is room for one list of each product.
        let Some(known) = self.crls.iter_mut().find(|known| known.product == product) else {
            self.crls.push(new);
            return Ok(Added::New);
        };
        if known.stored.der == der {
            return Ok(Added::Known);
        }
        if validity.not_before < known.stored.validity.not_before {
            return Err(CollateralError::Rollback);
        }
        *known = new;
        Ok(Added::Replaced)
    }

    /// Everything, for people.
    pub fn list(&self) -> impl Iterator<Item = CollateralEntry> {
        let crls = self.crls.iter().map(|crl| {
            let revoked = u32::try_from(crl.list.len()).unwrap_or(u32::MAX);
            crl.stored.entry(CollateralSubject::AmdCrl { product: crl.product, revoked })
        });
        crls.chain(self.intermediates.list()).chain(self.veks.list())
    }

    /// What is not valid any more `within_secs` after `now` (seconds since 1970), for people.
    pub fn expiring(&self, now: u64, within_secs: u64) -> impl Iterator<Item = CollateralEntry> {
        let then = now.saturating_add(within_secs);
        self.list().filter(move |entry| entry.not_after_unix_secs < then)
    }

    /// Everything with the time of its import, in an order in which [`Self::add`] takes it again at those times: what a
    /// snapshot keeps. (What is not taken again has lost an intermediate since, and was of no use.)
    pub fn items(&self) -> impl Iterator<Item = (CollateralItem, u64)> {
        let crls = self.crls.iter().map(|crl| crl.stored.item(CollateralItem::AmdCrl));
        crls.chain(self.intermediates.items()).chain(self.veks.items())
    }

    /// Number of items.
    #[must_use]
    pub fn len(&self) -> usize {
        self.crls.len() + self.intermediates.len() + self.veks.len()
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keys of a TPM with the intermediates that did not come with them, as far as they are here and a chain may have
    /// more. Nothing is verified: that is for [`crate::verify_ek`] and [`crate::verify_ak_certificate`].
    #[must_use]
    pub fn complete<'k>(&self, keys: &'k TpmKeys) -> Cow<'k, TpmKeys> {
        let (AkProof::Certificate { ak_chain: chain } | AkProof::Credential { ek_chain: chain, .. }) =
            &keys.proof;
        let missing = self.intermediates.missing(chain);
        if missing.is_empty() {
            return Cow::Borrowed(keys);
        }
        let mut keys = keys.clone();
        match &mut keys.proof {
            AkProof::Certificate { ak_chain: chain } | AkProof::Credential { ek_chain: chain, .. } => {
                chain.extend(missing);
            }
        }
        Cow::Owned(keys)
    }

    /// DER of a certificate for the key that signed a report.
    pub(crate) fn vek_for(&self, report: &Report, signed: &[u8]) -> Option<&[u8]> {
        self.veks.of(report, signed)
    }

    /// Issuers of a kind of key.
    pub(crate) fn issuers(&self, product: Product, kind: SigningKey) -> impl Iterator<Item = &Certificate> {
        self.intermediates.amd(product, kind)
    }

    /// DER of the youngest revocation list of a product's root.
    pub(crate) fn crl(&self, product: Product) -> Option<&[u8]> {
        self.crls.iter().find(|crl| crl.product == product).map(|crl| crl.stored.der.as_slice())
    }
}

impl Stored {
    fn entry(&self, subject: CollateralSubject) -> CollateralEntry {
        let unix_secs = |secs| u64::try_from(secs).unwrap_or(0);
        CollateralEntry {
            subject,
            not_before_unix_secs: unix_secs(self.validity.not_before),
            not_after_unix_secs: unix_secs(self.validity.not_after),
            imported_unix_secs: self.imported_unix_secs,
            digest: digest::sha256(&[&self.der]),
        }
    }

    fn item(&self, kind: fn(Vec<u8>) -> CollateralItem) -> (CollateralItem, u64) {
        (kind(self.der.clone()), self.imported_unix_secs)
    }

    fn expired(&self, now: u64) -> bool {
        self.validity.not_after < seconds(now)
    }
}

fn seconds(now: u64) -> i64 {
    i64::try_from(now).unwrap_or(i64::MAX)
}
