//! Intermediate certificates: AMD's by product and kind of key, TPM vendors' by the names they have.

use vouchsafe_protocol::collateral::{
    AMD_INTERMEDIATES, CollateralEntry, CollateralItem, CollateralSubject, TPM_INTERMEDIATES,
};
use vouchsafe_protocol::limits::{CERTIFICATES, NAME_LEN};
use vouchsafe_protocol::policy::Product;

use super::{Added, CollateralError, Stored, seconds};
use crate::anchors::TrustAnchors;
use crate::snp::report::SigningKey;
use crate::snp::roots::issuer_name;
use crate::x509::{Certificate, ChainError, verify_chain};

/// Intermediates of all makers.
#[derive(Clone, Debug, Default)]
pub(super) struct Intermediates {
    amd: Vec<(Product, SigningKey, Kept)>,
    tpm: Vec<Kept>,
}

#[derive(Clone, Debug)]
struct Kept {
    certificate: Certificate,
    imported_unix_secs: u64,
}

impl Kept {
    fn new(certificate: Certificate, imported_unix_secs: u64) -> Self {
        Self { certificate, imported_unix_secs }
    }

    fn stored(&self) -> Stored {
        let (der, validity) = (self.certificate.der().to_vec(), self.certificate.validity());
        Stored { der, validity, imported_unix_secs: self.imported_unix_secs }
    }

    fn lasts(&self, now: u64) -> bool {
        self.certificate.validity().not_after >= seconds(now)
    }
}

impl Intermediates {
    pub(super) const NONE: Self = Self { amd: Vec::new(), tpm: Vec::new() };

    /// Keeps an ASK or ASVK that the root of its product issued.
    pub(super) fn add_amd(
        &mut self,
        der: &[u8],
        anchors: &TrustAnchors,
        now: u64,
    ) -> Result<Added, CollateralError> {
        // Step 1.
        let certificate = Certificate::parse(der).map_err(CollateralError::Certificate)?;
        let name = certificate.common_name().ok_or(CollateralError::Name)?;
        let roots = anchors.amd().all().iter();
        let named = roots.flat_map(|root| [SigningKey::Vcek, SigningKey::Vlek].map(|kind| (root, kind)));
        let (root, kind) = named
            .into_iter()
            .find(|(root, kind)| issuer_name(root.product, *kind) == name)
            .ok_or(CollateralError::Name)?;
        // Step 2.
        if !certificate.is_authority() {
            return Err(CollateralError::NotAnAuthority);
        }
        verify_chain(&certificate, &[], core::slice::from_ref(&root.ark), seconds(now))
            .map_err(CollateralError::Chain)?;
        // Step 4.
        if self.amd.iter().any(|(_, _, kept)| kept.certificate.der() == der) {
            return Ok(Added::Known);
        }
        let is_same = |product: Product, other: SigningKey| product == root.product && other == kind;
        self.amd.retain(|(product, other, kept)| !is_same(*product, *other) || kept.lasts(now));
        if self.amd.iter().filter(|(product, other, _)| is_same(*product, *other)).count()
            >= AMD_INTERMEDIATES
        {
            return Err(CollateralError::Full { most: AMD_INTERMEDIATES });
        }
        self.amd.push((root.product, kind, Kept::new(certificate, now)));
        Ok(Added::New)
    }

    /// Keeps an intermediate that chains to an anchor set for TPMs, over what is kept already: a bundle is imported from
    /// the root downwards.
    pub(super) fn add_tpm(
        &mut self,
        der: &[u8],
        anchors: &TrustAnchors,
        now: u64,
    ) -> Result<Added, CollateralError> {
        // Step 1.
        let certificate = Certificate::parse(der).map_err(CollateralError::Certificate)?;
        // Step 2.
        if !certificate.is_authority() {
            return Err(CollateralError::NotAnAuthority);
        }
        let above = self.above(&certificate);
        let mut failure = ChainError::NoAnchor;
        let chains = anchors.tpm().iter().any(|set| {
            verify_chain(&certificate, &above, &set.certificates, seconds(now))
                .map_err(|error| failure = error)
                .is_ok()
        });
        if !chains {
            return Err(CollateralError::Chain(failure));
        }
        // Step 4.
        if self.tpm.iter().any(|kept| kept.certificate.der() == der) {
            return Ok(Added::Known);
        }
        if self.tpm.len() >= TPM_INTERMEDIATES {
            self.tpm.retain(|kept| kept.lasts(now));
        }
        if self.tpm.len() >= TPM_INTERMEDIATES {
            return Err(CollateralError::Full { most: TPM_INTERMEDIATES });
        }
        self.tpm.push(Kept::new(certificate, now));
        Ok(Added::New)
    }

    pub(super) fn amd(&self, product: Product, kind: SigningKey) -> impl Iterator<Item = &Certificate> {
        let of_kind = move |(one, other, _): &&(Product, SigningKey, Kept)| *one == product && *other == kind;
        self.amd.iter().filter(of_kind).map(|(_, _, kept)| &kept.certificate)
    }

    /// DER of those that a chain (leaf first) may lack, no more than fit. What cannot be read is left to the verifier.
    pub(super) fn missing(&self, chain: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let room = CERTIFICATES.saturating_sub(chain.len());
        if self.tpm.is_empty() {
            return Vec::new();
        }
        let sent = chain.iter().filter_map(|der| Certificate::parse(der).ok());
        let above = sent.flat_map(|certificate| self.above(&certificate));
        let mut missing: Vec<Vec<u8>> = Vec::new();
        for certificate in above {
            let der = certificate.der();
            let known = chain.iter().chain(&missing).any(|other| other == der);
            if !known && missing.len() < room {
                missing.push(der.to_vec());
            }
        }
        missing
    }

    /// Those above a certificate, by the names of issuers; no more than a chain may have.
    fn above(&self, leaf: &Certificate) -> Vec<Certificate> {
        let mut path: Vec<Certificate> = Vec::new();
        let mut next = 0;
        let mut issuer = leaf.issuer.clone();
        loop {
            let named = self.tpm.iter().map(|kept| &kept.certificate).filter(|one| one.subject == issuer);
            for certificate in named {
                let known = path.iter().any(|one| one.der() == certificate.der());
                if !known && path.len() + 1 < CERTIFICATES {
                    path.push(certificate.clone());
                }
            }
            let Some(certificate) = path.get(next) else {
                return path;
            };
            issuer.clone_from(&certificate.issuer);
            next += 1;
        }
    }

    pub(super) fn list(&self) -> impl Iterator<Item = CollateralEntry> {
        let amd = self.amd.iter().map(|(product, kind, kept)| {
            let product = *product;
            kept.stored().entry(match kind {
                SigningKey::Vcek => CollateralSubject::Ask { product },
                SigningKey::Vlek => CollateralSubject::Asvk { product },
            })
        });
        let tpm = self.tpm.iter().map(|kept| {
            let name = kept.certificate.common_name().unwrap_or_default();
            let end = (0..=NAME_LEN).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
            let name = name.get(..end).unwrap_or(name).to_owned();
            kept.stored().entry(CollateralSubject::TpmIntermediate { name })
        });
        amd.chain(tpm)
    }

    /// In the order of their import: what is above comes first.
    pub(super) fn items(&self) -> impl Iterator<Item = (CollateralItem, u64)> {
        let amd = self.amd.iter().map(|(_, _, kept)| kept.stored().item(CollateralItem::AmdIntermediate));
        amd.chain(self.tpm.iter().map(|kept| kept.stored().item(CollateralItem::TpmIntermediate)))
    }

    pub(super) fn len(&self) -> usize {
        self.amd.len() + self.tpm.len()
    }
}
