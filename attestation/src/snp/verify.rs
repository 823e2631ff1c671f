//! From bytes that an Attester sent to a report that is believed.

use std::sync::Arc;

use vouchsafe_crypto::digest;
use vouchsafe_crypto::verify::{HashAlgorithm, Scheme, verify_p384_fixed};
use vouchsafe_protocol::evidence::{SnpEndorsements, SnpEvidence};
use vouchsafe_protocol::policy::{Permission, Product, RevocationRule};

use super::crl::{CrlError, RevocationList};
use super::report::{Report, ReportError, SIGNED_LEN, SigningKey};
use super::roots::{AmdRoots, Root, issuer_name};
use super::rules::Claimed;
use super::vek::{VekCertificate, VekClaims, VekError};
use crate::cache::{ChainCache, VerifiedVek};
use crate::collateral::Collateral;
use crate::x509::{Certificate, CertificateError, ChainError, Validity, verify_chain};

/// AMD signs certificates with RSASSA-PSS, SHA-384, salt 48 (AMD 57230, section 3.2).
const AMD_SCHEME: Scheme = Scheme::RsaPss(HashAlgorithm::Sha384);

/// Why a report is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnpError {
    /// Not a report.
    #[error("report cannot be read")]
    Report(#[source] ReportError),
    /// No certificate of a VCEK or VLEK came with the report, and there is none for it in the collateral.
    #[error("there is no endorsement certificate for the report")]
    NoVek,
    /// Not a certificate of a VCEK or VLEK.
    #[error("endorsement certificate cannot be read")]
    Vek(#[source] VekError),
    /// SIGNING_KEY names another kind of key than the certificate.
    #[error("report is signed by another kind of key than the certificate's")]
    KindMismatch,
    /// CPUID of the report is of another product than the certificate, or of none that is known.
    #[error("report and certificate are of different products")]
    ProductMismatch,
    /// The TCB that the VEK was derived for is not the report's.
    #[error("certificate is for another TCB than the reported one")]
    TcbMismatch,
    /// The certificate is for another chip than the report.
    #[error("certificate is for another chip")]
    ChipMismatch,
    /// No root for the product.
    #[error("there is no root for {product:?}")]
    UnknownProduct {
        /// Product.
        product: Product,
    },
    /// A VLEK came without the certificate that issued it.
    #[error("issuer of the VLEK is missing")]
    NoIntermediate,
    /// The intermediate is not a certificate.
    #[error("intermediate certificate cannot be read")]
    Intermediate(#[source] CertificateError),
    /// The intermediate is not the one that issues this kind of key for this product.
    #[error("intermediate certificate is not the issuer of such keys")]
    IntermediateName,
    /// The chain does not hold.
    #[error("endorsement certificate does not chain to the root of its product")]
    Chain(#[source] ChainError),
    /// The signature of the report does not verify.
    #[error("signature of the report does not verify")]
    Signature,
    /// It is not shown that nothing of the chain is revoked.
    #[error("certificates of the report are not shown to be in force")]
    Revocation(#[source] CrlError),
}

impl SnpError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Report(error) => error.code(),
            Self::NoVek => "snp.vek.missing",
            Self::Vek(error) => error.code(),
            Self::KindMismatch => "snp.vek.kind",
            Self::ProductMismatch => "snp.vek.product",
            Self::TcbMismatch => "snp.vek.tcb",
            Self::ChipMismatch => "snp.vek.chip",
            Self::UnknownProduct { .. } => "snp.root.unknown-product",
            Self::NoIntermediate => "snp.chain.no-intermediate",
            Self::Intermediate(_) => "snp.chain.intermediate",
            Self::IntermediateName => "snp.chain.intermediate-name",
            Self::Chain(error) => chain_code(*error),
            Self::Signature => "snp.signature",
            Self::Revocation(error) => error.code(),
        }
    }
}

fn chain_code(error: ChainError) -> &'static str {
    match error {
        ChainError::BadSignature => "snp.chain.signature",
        ChainError::CriticalExtension => "snp.chain.critical-extension",
        ChainError::Expired => "snp.chain.expired",
        ChainError::NoAnchor => "snp.chain.no-anchor",
        ChainError::NotAnAuthority => "snp.chain.not-an-authority",
        ChainError::NotYetValid => "snp.chain.not-yet-valid",
        ChainError::PathTooLong => "snp.chain.path-too-long",
        ChainError::SelfSigned => "snp.chain.self-signed",
        ChainError::TooMany => "snp.chain.too-many",
        ChainError::UnknownIssuer => "snp.chain.unknown-issuer",
        ChainError::UnsupportedAlgorithm => "snp.chain.algorithm",
    }
}

/// A report whose certificate was not looked at yet. A report over another statement, or of a version that no rule
/// takes, is refused here: hashing and parsing certificates costs ten times as much as parsing a report.
#[derive(Debug)]
pub struct ReadReport<'a> {
    endorsements: &'a SnpEndorsements,
    collateral: &'a Collateral,
    signed: &'a [u8],
    report: Report,
}

impl<'a> ReadReport<'a> {
    /// Parses the report of some evidence, and nothing else.
    ///
    /// # Errors
    /// [`SnpError::Report`].
    pub fn read(evidence: &'a SnpEvidence) -> Result<Self, SnpError> {
        let SnpEvidence { report, endorsements } = evidence;
        Self::parse(report, endorsements)
    }

    /// Parses a report, for what came with it.
    ///
    /// # Errors
    /// [`SnpError::Report`].
    pub fn parse(bytes: &'a [u8], endorsements: &'a SnpEndorsements) -> Result<Self, SnpError> {
        let report = Report::parse(bytes).map_err(SnpError::Report)?;
        let signed =
            bytes.get(..SIGNED_LEN).ok_or(SnpError::Report(ReportError::Length { len: bytes.len() }))?;
        Ok(Self { endorsements, collateral: Collateral::NONE, signed, report })
    }

    /// Looks up what did not come with the report in the collateral; without this, all must have come with it.
    #[must_use]
    pub fn with_collateral(self, collateral: &'a Collateral) -> Self {
        Self { collateral, ..self }
    }

    /// The report's claims, unverified.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Takes the VEK certificate that came with the report, else one from the collateral, and parses it unless its
    /// chain is in the cache.
    ///
    /// # Errors
    /// [`SnpError::NoVek`], [`SnpError::Vek`].
    pub fn with_vek(self, roots: &AmdRoots, cache: &ChainCache) -> Result<ReadEvidence<'a>, SnpError> {
        let Self { endorsements, collateral, signed, report } = self;
        let offered = match endorsements.vek.as_deref() {
            Some(vek) => vek,
            None => collateral.vek_for(&report, signed).ok_or(SnpError::NoVek)?,
        };
        let intermediate = endorsements.intermediate.as_deref();
        // Whether an intermediate was offered is told apart from an empty one by its own part.
        let present: &[u8] = if intermediate.is_some() { &[1] } else { &[0] };
        let key = digest::preimage(
            "vouchsafe/1/vek-chain",
            &[roots.digest(), offered, present, intermediate.unwrap_or_default()],
        );
        let cache_key = digest::sha256(&[&key]);
        let vek = match cache.chain(&cache_key) {
            Some(chain) => Vek::Cached(chain),
            None => Vek::Offered(Box::new(VekCertificate::parse(offered).map_err(SnpError::Vek)?)),
        };
        Ok(ReadEvidence { endorsements, collateral, offered, signed, report, vek, cache_key })
    }
}

/// A report with the certificate beside it: read, compared with each other, and not yet verified. What policy
/// says of its claims is checked now.
#[derive(Debug)]
pub struct ReadEvidence<'a> {
    endorsements: &'a SnpEndorsements,
    collateral: &'a Collateral,
    offered: &'a [u8],
    signed: &'a [u8],
    report: Report,
    vek: Vek,
    cache_key: [u8; 32],
}

#[derive(Debug)]
enum Vek {
    Cached(Arc<VerifiedVek>),
    Offered(Box<VekCertificate>),
}

impl<'a> ReadEvidence<'a> {
    /// Reads evidence that brings all of its endorsements: first the report ([`ReadReport::read`]), then its
    /// certificate ([`ReadReport::with_vek`]).
    ///
    /// # Errors
    /// [`SnpError::Report`], [`SnpError::NoVek`], [`SnpError::Vek`].
    pub fn read(evidence: &'a SnpEvidence, roots: &AmdRoots, cache: &ChainCache) -> Result<Self, SnpError> {
        ReadReport::read(evidence)?.with_vek(roots, cache)
    }

    /// The report's claims, unverified.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// What rules look at, unverified. The product is the one the certificate claims; [`Self::verify`] compares it with
    /// CPUID.
    #[must_use]
    pub fn claimed(&self) -> Claimed<'_> {
        let VekClaims { product, provider, .. } = self.vek();
        Claimed { report: &self.report, product: *product, provider: provider.as_deref() }
    }

    /// The certificate's claims; verified only if they came from the cache.
    #[must_use]
    pub fn vek(&self) -> &VekClaims {
        match &self.vek {
            Vek::Cached(chain) => &chain.claims,
            Vek::Offered(certificate) => &certificate.claims,
        }
    }

    /// Verifies, at `now` in seconds since 1970, that the report is what a processor of AMD's said. Whether anything
    /// of its chain is revoked is for [`VerifiedReport::check_revocation`].
    ///
    /// Steps: 1. certificate and SIGNING_KEY agree on the kind; 2. certificate and CPUID (from version 3) agree
    /// on the product; 3. the certificate's TCB equals REPORTED_TCB, byte by byte; 4. its hardware id equals
    /// CHIP_ID, all 64 bytes (a masked one only if `masked` allows it; a VLEK has none and CHIP_ID is zero);
    /// 5. the chain holds up to the root of the product (selected, built and checked in one function);
    /// 6. the key of that very certificate verifies the signature.
    ///
    /// # Errors
    /// [`SnpError`], one variant per step.
    pub fn verify(
        self,
        roots: &AmdRoots,
        masked: Permission,
        now: i64,
        cache: &mut ChainCache,
    ) -> Result<VerifiedReport<'a>, SnpError> {
        let claims = self.vek();
        // Step 1.
        if claims.kind != self.report.signing_key {
            return Err(SnpError::KindMismatch);
        }
        // Step 2.
        if self.report.cpuid.is_some_and(|cpuid| cpuid.product() != Some(claims.product)) {
            return Err(SnpError::ProductMismatch);
        }
        // Step 3.
        if claims.tcb != self.report.reported_tcb {
            return Err(SnpError::TcbMismatch);
        }
        // Step 4.
        let is_masked = self.report.chip_id.0 == [0; 64];
        if claims.chip_id != self.report.chip_id.0 && !(is_masked && masked == Permission::Allowed) {
            return Err(SnpError::ChipMismatch);
        }
        // Step 5.
        let vek = match self.vek {
            // Out of date: verified anew, as an intermediate that was issued anew may have other dates.
            Vek::Cached(chain) if crate::x509::check_dates(chain.validity, now).is_err() => {
                Vek::Offered(Box::new(VekCertificate::parse(self.offered).map_err(SnpError::Vek)?))
            }
            vek => vek,
        };
        let is_new = matches!(vek, Vek::Offered(_));
        let chain = match vek {
            Vek::Cached(chain) => chain,
            Vek::Offered(vek) => {
                let intermediate = self.endorsements.intermediate.as_deref();
                let Endorsed { validity, issuer } =
                    endorse_with(&vek, intermediate, self.collateral, roots, now)?;
                let VekCertificate { certificate, claims } = *vek;
                let serial = certificate.serial().to_vec();
                let issuer_serial = issuer.serial().to_vec();
                Arc::new(VerifiedVek { claims, validity, serial, issuer_serial })
            }
        };
        // Step 6.
        verify_p384_fixed(&chain.claims.point, self.signed, &self.report.r, &self.report.s)
            .map_err(|_| SnpError::Signature)?;
        // Not before: whoever has certificates but no chip would flush the cache with them.
        if is_new {
            cache.insert_chain(self.cache_key, Arc::clone(&chain));
        }
        let Self { endorsements, collateral, offered, report, cache_key, .. } = self;
        Ok(VerifiedReport { report, chain, endorsements, collateral, offered, cache_key })
    }
}

/// A VEK whose chain holds.
#[derive(Clone, Debug)]
pub struct Endorsed {
    /// The dates that hold for all certificates of the chain.
    pub validity: Validity,
    /// The intermediate that issued it.
    pub issuer: Certificate,
}

/// Verifies that a VEK was issued by the right intermediate of its product, and that by the root of its product, in
/// one walk. Without an intermediate, for a VCEK, it is the one compiled in.
///
/// # Errors
/// As for evidence: [`SnpError::UnknownProduct`], [`SnpError::NoIntermediate`], [`SnpError::Intermediate`],
/// [`SnpError::IntermediateName`], [`SnpError::Chain`].
pub fn endorse(
    vek: &VekCertificate,
    intermediate: Option<&[u8]>,
    roots: &AmdRoots,
    now: i64,
) -> Result<Endorsed, SnpError> {
    endorse_with(vek, intermediate, Collateral::NONE, roots, now)
}

/// As [`endorse`]. The intermediate is the one that came with the evidence, and no other then; else one of the
/// collateral; else, for a VCEK, the one compiled in.
///
/// # Errors
/// [`SnpError::UnknownProduct`], [`SnpError::NoIntermediate`], [`SnpError::Intermediate`],
/// [`SnpError::IntermediateName`], [`SnpError::Chain`].
pub(crate) fn endorse_with(
    vek: &VekCertificate,
    intermediate: Option<&[u8]>,
    collateral: &Collateral,
    roots: &AmdRoots,
    now: i64,
) -> Result<Endorsed, SnpError> {
    let VekClaims { product, .. } = vek.claims;
    let root = roots.of(product).ok_or(SnpError::UnknownProduct { product })?;
    if let Some(der) = intermediate {
        let issuer = Certificate::parse(der).map_err(SnpError::Intermediate)?;
        return endorse_by(vek, issuer, &root.ark, now);
    }
    let mut failure = SnpError::NoIntermediate;
    // An intermediate that was replaced has the same name: the signature tells which of them it was.
    for issuer in issuers(&vek.claims, collateral, root) {
        match endorse_by(vek, issuer.clone(), &root.ark, now) {
            Ok(endorsed) => return Ok(endorsed),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// The intermediates that a verifier has for a VEK: those of the collateral, then, for a VCEK, the one compiled in.
fn issuers<'a>(
    vek: &VekClaims,
    collateral: &'a Collateral,
    root: &'a Root,
) -> impl Iterator<Item = &'a Certificate> + use<'a> {
    let compiled_in = match vek.kind {
        SigningKey::Vcek => Some(&root.ask),
        SigningKey::Vlek => None,
    };
    collateral.issuers(vek.product, vek.kind).chain(compiled_in)
}

fn endorse_by(
    vek: &VekCertificate,
    issuer: Certificate,
    ark: &Certificate,
    now: i64,
) -> Result<Endorsed, SnpError> {
    let VekClaims { kind, product, .. } = vek.claims;
    if issuer.common_name() != Some(issuer_name(product, kind)) {
        return Err(SnpError::IntermediateName);
    }
    if [vek.certificate.scheme(), issuer.scheme()] != [Some(AMD_SCHEME); 2] {
        return Err(SnpError::Chain(ChainError::UnsupportedAlgorithm));
    }
    let (intermediates, anchors) = (core::slice::from_ref(&issuer), core::slice::from_ref(ark));
    let chain = verify_chain(&vek.certificate, intermediates, anchors, now).map_err(SnpError::Chain)?;
    // A VEK that the root itself signed would skip the intermediate whose name was checked.
    if chain.intermediates != 1 {
        return Err(SnpError::IntermediateName);
    }
    Ok(Endorsed { validity: chain.validity, issuer })
}

/// A report that a processor of AMD's (or of a simulated PKI, as the roots say) signed.
#[derive(Debug)]
pub struct VerifiedReport<'a> {
    report: Report,
    chain: Arc<VerifiedVek>,
    endorsements: &'a SnpEndorsements,
    collateral: &'a Collateral,
    offered: &'a [u8],
    cache_key: [u8; 32],
}

impl VerifiedReport<'_> {
    /// Its fields.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The product, as certificate and CPUID say.
    #[must_use]
    pub fn product(&self) -> Product {
        self.chain.claims.product
    }

    /// Cloud provider that the certificate names, if it is a VLEK's.
    #[must_use]
    pub fn provider(&self) -> Option<&str> {
        self.chain.claims.provider.as_deref()
    }

    /// What rules look at.
    #[must_use]
    pub fn claimed(&self) -> Claimed<'_> {
        Claimed { report: &self.report, product: self.product(), provider: self.provider() }
    }

    /// What `rule` asks for: that a revocation list, in force and young enough at `now` (seconds since 1970), lists
    /// nothing of the chain.
    ///
    /// The list is the younger of the one that came with the evidence and the one in the collateral: an Attester cannot
    /// bring an older list than the verifier knows. A list that came and does not verify is refused, not passed over.
    /// Where no intermediate came and the one that was found is revoked, those that were issued anew are tried.
    ///
    /// # Errors
    /// [`SnpError::Revocation`].
    pub fn check_revocation(
        &self,
        rule: RevocationRule,
        roots: &AmdRoots,
        now: i64,
        cache: &mut ChainCache,
    ) -> Result<(), SnpError> {
        let RevocationRule::Checked { max_age_secs } = rule else {
            return Ok(());
        };
        let product = self.product();
        let list = |der: &[u8], cache: &mut ChainCache| {
            let tag = "vouchsafe/1/revocation-list";
            let key = digest::sha256(&[&digest::preimage(tag, &[roots.digest(), &[product as u8], der])]);
            if let Some(list) = cache.list(&key) {
                return Ok(list);
            }
            let list = Arc::new(RevocationList::verify(der, roots, product).map_err(SnpError::Revocation)?);
            cache.insert_list(key, Arc::clone(&list));
            Ok(list)
        };
        let stapled = self.endorsements.crl.as_deref().map(|der| list(der, cache)).transpose()?;
        let stored = self.collateral.crl(product).map(|der| list(der, cache)).transpose()?;
        let youngest = match (stapled, stored) {
            (Some(stapled), Some(stored))
                if stapled.validity().not_before <= stored.validity().not_before =>
            {
                stored
            }
            (Some(stapled), _) => stapled,
            (None, Some(stored)) => stored,
            (None, None) => return Err(SnpError::Revocation(CrlError::Missing)),
        };
        let VerifiedVek { serial, issuer_serial, .. } = &*self.chain;
        match youngest.check(issuer_serial, serial, max_age_secs, now) {
            Err(CrlError::Revoked) => {}
            outcome => return outcome.map_err(SnpError::Revocation),
        }
        let is_in_force = |issuer: &Certificate| {
            issuer.serial() != issuer_serial
                && youngest.check(issuer.serial(), serial, max_age_secs, now).is_ok()
        };
        let chain = self.issued_anew(roots, now, is_in_force);
        let chain = chain.ok_or(SnpError::Revocation(CrlError::Revoked))?;
        cache.insert_chain(self.cache_key, Arc::new(chain));
        Ok(())
    }

    /// The chain by another intermediate, which the verifier has and `accepts`; `None` if the evidence brought its own.
    fn issued_anew(
        &self,
        roots: &AmdRoots,
        now: i64,
        accepts: impl Fn(&Certificate) -> bool,
    ) -> Option<VerifiedVek> {
        if self.endorsements.intermediate.is_some() {
            return None;
        }
        let vek = VekCertificate::parse(self.offered).ok()?;
        let root = roots.of(vek.claims.product)?;
        let issuers = issuers(&vek.claims, self.collateral, root).filter(|issuer| accepts(issuer));
        let mut endorsed = issuers.filter_map(|issuer| endorse_by(&vek, issuer.clone(), &root.ark, now).ok());
        let Endorsed { validity, issuer } = endorsed.next()?;
        let (serial, issuer_serial) = (vek.certificate.serial().to_vec(), issuer.serial().to_vec());
        Some(VerifiedVek { claims: vek.claims, validity, serial, issuer_serial })
    }
}
