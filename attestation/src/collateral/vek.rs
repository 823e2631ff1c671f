//! Certificates of VCEKs and VLEKs, by what a report says of the key that signed it.

use std::collections::BTreeMap;

use vouchsafe_crypto::verify::verify_p384_fixed;
use vouchsafe_protocol::collateral::{
    CollateralEntry, CollateralItem, CollateralSubject, VEKS, VLEKS_PER_TCB,
};
use vouchsafe_protocol::policy::{ChipId, CspName, Product};

use super::{Added, Collateral, CollateralError, Stored, seconds};
use crate::anchors::TrustAnchors;
use crate::snp::report::{Report, SigningKey};
use crate::snp::tcb::RawTcb;
use crate::snp::vek::{VekCertificate, VekClaims};
use crate::snp::verify::endorse_with;
use crate::x509::Validity;

/// Certificates, one for each key.
#[derive(Clone, Debug, Default)]
pub(super) struct Veks {
    by_key: BTreeMap<Key, Vek>,
}

/// What a report shows of a key, and then what only the certificate does. Ordered so that the certificates for one
/// report are neighbours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    /// All zero for a VLEK.
    chip_id: [u8; 64],
    /// REPORTED_TCB.
    tcb: [u8; 8],
    product: Product,
    /// Empty for a VCEK.
    provider: String,
}

#[derive(Clone, Debug)]
struct Vek {
    stored: Stored,
    /// Uncompressed P-384 point.
    point: Vec<u8>,
}

/// Reads a certificate and verifies its chain, with what the store has.
pub(super) fn verify(
    der: &[u8],
    collateral: &Collateral,
    anchors: &TrustAnchors,
    now: u64,
) -> Result<(VekCertificate, Validity), CollateralError> {
    let vek = VekCertificate::parse(der).map_err(CollateralError::Vek)?;
    endorse_with(&vek, None, collateral, anchors.amd(), seconds(now))
        .map_err(CollateralError::Endorsement)?;
    let validity = vek.certificate().validity();
    Ok((vek, validity))
}

impl Veks {
    pub(super) const NONE: Self = Self { by_key: BTreeMap::new() };

    /// Keeps a verified certificate. Of two for one key the one that is valid for longer stays.
    pub(super) fn add(
        &mut self,
        claims: &VekClaims,
        der: &[u8],
        validity: Validity,
        now: u64,
    ) -> Result<Added, CollateralError> {
        let VekClaims { kind: _, product, tcb, chip_id, provider, point } = claims;
        let provider = provider.clone().unwrap_or_default();
        let key = Key { chip_id: *chip_id, tcb: tcb.0, product: *product, provider };
        let stored = Stored { der: der.to_vec(), validity, imported_unix_secs: now };
        let vek = Vek { stored, point: point.clone() };
        if let Some(known) = self.by_key.get_mut(&key) {
            if validity.not_after <= known.stored.validity.not_after {
                return Ok(Added::Known);
            }
            *known = vek;
            return Ok(Added::Replaced);
        }
        if self.by_key.len() >= VEKS {
            self.by_key.retain(|_, vek| !vek.stored.expired(now));
        }
        if self.by_key.len() >= VEKS {
            return Err(CollateralError::Full { most: VEKS });
        }
        let same_tcb =
            self.candidates(&key.chip_id, key.tcb).filter(|(other, _)| other.product == key.product);
        if same_tcb.count() >= VLEKS_PER_TCB {
            return Err(CollateralError::Full { most: VLEKS_PER_TCB });
        }
        self.by_key.insert(key, vek);
        Ok(Added::New)
    }

    /// A certificate for the key that signed `signed`, the signed part of `report`. A report names its chip; it does not
    /// name a provider, so of several VLEKs the one whose key verifies the signature is taken. Nothing is believed yet.
    pub(super) fn of(&self, report: &Report, signed: &[u8]) -> Option<&[u8]> {
        let product = report.cpuid.map(|cpuid| cpuid.product());
        let fits = |key: &Key| {
            product.is_none_or(|product| product == Some(key.product))
                && (report.signing_key == SigningKey::Vcek) == key.provider.is_empty()
        };
        let mut found =
            self.candidates(&report.chip_id.0, report.reported_tcb.0).filter(|(key, _)| fits(key));
        let (_, first) = found.next()?;
        let Some(second) = found.next() else {
            return Some(&first.stored.der);
        };
        let signs = |vek: &&Vek| verify_p384_fixed(&vek.point, signed, &report.r, &report.s).is_ok();
        let all = [first, second.1].into_iter().chain(found.map(|(_, vek)| vek));
        all.take(MOST_TRIED).find(signs).map(|vek| vek.stored.der.as_slice())
    }

    fn candidates(&self, chip_id: &[u8; 64], tcb: [u8; 8]) -> impl Iterator<Item = (&Key, &Vek)> {
        let chip_id = *chip_id;
        let from = Key { chip_id, tcb, product: Product::Milan, provider: String::new() };
        self.by_key.range(from..).take_while(move |(key, _)| key.chip_id == chip_id && key.tcb == tcb)
    }

    pub(super) fn list(&self) -> impl Iterator<Item = CollateralEntry> {
        self.by_key.iter().map(|(key, vek)| {
            let Key { chip_id, tcb, product, provider } = key;
            let (product, tcb) = (*product, RawTcb(*tcb).components(*product));
            vek.stored.entry(if provider.is_empty() {
                CollateralSubject::Vcek { product, chip: ChipId(*chip_id), tcb }
            } else {
                CollateralSubject::Vlek { product, provider: CspName(provider.clone()), tcb }
            })
        })
    }

    pub(super) fn items(&self) -> impl Iterator<Item = (CollateralItem, u64)> {
        self.by_key.values().map(|vek| vek.stored.item(CollateralItem::Vek))
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }
}

/// Signatures checked to find a VLEK: those of one TCB, for a report of version 2 of every product.
const MOST_TRIED: usize = 3 * VLEKS_PER_TCB;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_767_225_600;

    fn claims(n: usize, tcb: u8) -> VekClaims {
        let mut chip_id = [1; 64];
        chip_id.iter_mut().zip(n.to_le_bytes()).for_each(|(to, from)| *to = from);
        VekClaims {
            kind: SigningKey::Vcek,
            product: Product::Genoa,
            tcb: RawTcb([tcb; 8]),
            chip_id,
            provider: None,
            point: Vec::new(),
        }
    }

    fn until(secs: u64) -> Validity {
        Validity { not_before: 0, not_after: seconds(secs) }
    }

    #[test]
    fn it_is_bounded_and_what_has_expired_makes_room() {
        let mut veks = Veks::default();
        for n in 0..VEKS {
            let end = if n < 2 { NOW } else { NOW + 100 };
            assert_eq!(veks.add(&claims(n, 0), &[], until(end), NOW), Ok(Added::New));
        }
        let full = Err(CollateralError::Full { most: VEKS });
        assert_eq!(veks.add(&claims(VEKS, 0), &[], until(NOW + 100), NOW), full);
        assert_eq!(veks.len(), VEKS);
        // One that is there can be replaced all the same.
        assert_eq!(veks.add(&claims(5, 0), &[], until(NOW + 200), NOW), Ok(Added::Replaced));
        assert_eq!(veks.add(&claims(VEKS, 0), &[], until(NOW + 100), NOW + 1), Ok(Added::New));
        assert_eq!(veks.len(), VEKS - 1);
    }

    #[test]
    fn one_chip_may_have_a_certificate_for_each_of_its_tcbs() {
        let mut veks = Veks::default();
        for tcb in 0..20 {
            assert_eq!(veks.add(&claims(1, tcb), &[tcb], until(NOW), NOW), Ok(Added::New));
        }
        let chip_id = claims(1, 0).chip_id;
        let found: Vec<_> =
            veks.candidates(&chip_id, [7; 8]).map(|(_, vek)| vek.stored.der.clone()).collect();
        assert_eq!(found, [[7]]);
        assert_eq!(veks.candidates(&[0; 64], [7; 8]).count(), 0);
    }
}
