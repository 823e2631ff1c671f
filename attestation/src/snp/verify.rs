//! From bytes that an Attester sent to a report that is believed.

use vouchsafe_crypto::digest;
use vouchsafe_crypto::verify::{HashAlgorithm, Scheme, verify_p384_fixed};
use vouchsafe_protocol::evidence::{SnpEndorsements, SnpEvidence};
use vouchsafe_protocol::policy::{Permission, Product};

use super::report::{Report, ReportError, SIGNED_LEN, SigningKey};
use super::roots::{AmdRoots, issuer_name};
use super::vek::{VekCertificate, VekClaims, VekError};
use crate::cache::{ChainCache, VerifiedVek};
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
}

impl SnpError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Report(ReportError::Length { .. }) => "snp.report.length",
            Self::Report(ReportError::Version { .. }) => "snp.report.version",
            Self::Report(ReportError::Algorithm { .. }) => "snp.report.algorithm",
            Self::Report(ReportError::SigningKey { .. }) => "snp.report.signing-key",
            Self::Report(ReportError::SignatureRange) => "snp.report.signature-range",
            Self::Report(ReportError::SignatureReserved) => "snp.report.signature-reserved",
            Self::NoVek => "snp.vek.missing",
            Self::Vek(_) => "snp.vek",
            Self::KindMismatch => "snp.vek.kind",
            Self::ProductMismatch => "snp.vek.product",
            Self::TcbMismatch => "snp.vek.tcb",
            Self::ChipMismatch => "snp.vek.chip",
            Self::UnknownProduct { .. } => "snp.root.unknown-product",
            Self::NoIntermediate => "snp.chain.no-intermediate",
            Self::Intermediate(_) => "snp.chain.intermediate",
            Self::IntermediateName => "snp.chain.intermediate-name",
            Self::Chain(ChainError::Expired) => "snp.chain.expired",
            Self::Chain(ChainError::NotYetValid) => "snp.chain.not-yet-valid",
            Self::Chain(_) => "snp.chain",
            Self::Signature => "snp.signature",
        }
    }
}

/// A report whose certificate was not looked at yet. A report over another statement, or of a version that no rule
/// takes, is refused here: hashing and parsing certificates costs ten times as much as parsing a report.
#[derive(Debug)]
pub struct ReadReport<'a> {
    evidence: &'a SnpEvidence,
    signed: &'a [u8],
    report: Report,
}

impl<'a> ReadReport<'a> {
    /// Parses the report of some evidence, and nothing else.
    ///
    /// # Errors
    /// [`SnpError::Report`].
    pub fn read(evidence: &'a SnpEvidence) -> Result<Self, SnpError> {
        let bytes = &evidence.report;
        let report = Report::parse(bytes).map_err(SnpError::Report)?;
        let signed =
            bytes.get(..SIGNED_LEN).ok_or(SnpError::Report(ReportError::Length { len: bytes.len() }))?;
        Ok(Self { evidence, signed, report })
    }

    /// The report's claims, unverified.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Parses the VEK certificate, unless its chain is in the cache.
    ///
    /// # Errors
    /// [`SnpError::Vek`].
    pub fn with_vek(self, roots: &AmdRoots, cache: &ChainCache) -> Result<ReadEvidence<'a>, SnpError> {
        let Self { evidence, signed, report } = self;
        let SnpEvidence { report: _, endorsements: SnpEndorsements { vek, intermediate, crl: _ } } = evidence;
        let vek = vek.as_deref().ok_or(SnpError::NoVek)?;
        let intermediate = intermediate.as_deref();
        // Whether an intermediate was offered is told apart from an empty one by its own part.
        let present: &[u8] = if intermediate.is_some() { &[1] } else { &[0] };
        let key = digest::preimage(
            "vouchsafe/1/vek-chain",
            &[roots.digest(), vek, present, intermediate.unwrap_or_default()],
        );
        let cache_key = digest::sha256(&[&key]);
        let vek = match cache.get(&cache_key) {
            Some(chain) => Vek::Cached(chain.clone()),
            None => Vek::Offered(Box::new(VekCertificate::parse(vek).map_err(SnpError::Vek)?)),
        };
        Ok(ReadEvidence { signed, report, vek, intermediate, cache_key })
    }
}

/// A report with the certificate beside it: read, compared with each other, and not yet verified. What policy
/// says of its claims is checked now.
#[derive(Debug)]
pub struct ReadEvidence<'a> {
    signed: &'a [u8],
    report: Report,
    vek: Vek,
    intermediate: Option<&'a [u8]>,
    cache_key: [u8; 32],
}

#[derive(Debug)]
enum Vek {
    Cached(VerifiedVek),
    Offered(Box<VekCertificate>),
}

impl<'a> ReadEvidence<'a> {
    /// Reads evidence: first the report ([`ReadReport::read`]), then its certificate ([`ReadReport::with_vek`]).
    ///
    /// # Errors
    /// [`SnpError::Report`], [`SnpError::Vek`].
    pub fn read(evidence: &'a SnpEvidence, roots: &AmdRoots, cache: &ChainCache) -> Result<Self, SnpError> {
        ReadReport::read(evidence)?.with_vek(roots, cache)
    }

    /// The report's claims, unverified.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The certificate's claims; verified only if they came from the cache.
    #[must_use]
    pub fn vek(&self) -> &VekClaims {
        match &self.vek {
            Vek::Cached(chain) => &chain.claims,
            Vek::Offered(certificate) => &certificate.claims,
        }
    }

    /// Verifies, at `now` in seconds since 1970, that the report is what a processor of AMD's said.
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
    ) -> Result<VerifiedReport, SnpError> {
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
        let chain = match self.vek {
            Vek::Cached(chain) => chain,
            Vek::Offered(vek) => {
                let validity = endorse(&vek, self.intermediate, roots, now)?;
                let chain = VerifiedVek { claims: vek.claims, validity };
                cache.insert(self.cache_key, chain.clone());
                chain
            }
        };
        crate::x509::check_dates(chain.validity, now).map_err(SnpError::Chain)?;
        // Step 6.
        verify_p384_fixed(&chain.claims.point, self.signed, &self.report.r, &self.report.s)
            .map_err(|_| SnpError::Signature)?;
        Ok(VerifiedReport { report: self.report, product: chain.claims.product })
    }
}

/// Verifies that a VEK was issued by the right intermediate of its product, and that by the root of its
/// product, in one walk. Returns the dates that hold for all three.
///
/// # Errors
/// [`SnpError::UnknownProduct`], [`SnpError::NoIntermediate`], [`SnpError::Intermediate`],
/// [`SnpError::IntermediateName`], [`SnpError::Chain`].
pub fn endorse(
    vek: &VekCertificate,
    intermediate: Option<&[u8]>,
    roots: &AmdRoots,
    now: i64,
) -> Result<Validity, SnpError> {
    let VekClaims { kind, product, .. } = vek.claims;
    let root = roots.of(product).ok_or(SnpError::UnknownProduct { product })?;
    let intermediate = match (intermediate, kind) {
        (Some(der), _) => Certificate::parse(der).map_err(SnpError::Intermediate)?,
        (None, SigningKey::Vcek) => root.ask.clone(),
        (None, SigningKey::Vlek) => return Err(SnpError::NoIntermediate),
    };
    if intermediate.common_name() != Some(issuer_name(product, kind)) {
        return Err(SnpError::IntermediateName);
    }
    if [vek.certificate.scheme(), intermediate.scheme()] != [Some(AMD_SCHEME); 2] {
        return Err(SnpError::Chain(ChainError::UnsupportedAlgorithm));
    }
    let intermediates = core::slice::from_ref(&intermediate);
    let anchors = core::slice::from_ref(&root.ark);
    let chain = verify_chain(&vek.certificate, intermediates, anchors, now).map_err(SnpError::Chain)?;
    // A VEK that the root itself signed would skip the intermediate whose name was checked.
    if chain.intermediates != 1 {
        return Err(SnpError::IntermediateName);
    }
    Ok(chain.validity)
}

/// A report that a processor of AMD's (or of a simulated PKI, as the roots say) signed.
#[derive(Debug)]
pub struct VerifiedReport {
    report: Report,
    product: Product,
}

impl VerifiedReport {
    /// Its fields.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The product, as certificate and CPUID say.
    #[must_use]
    pub fn product(&self) -> Product {
        self.product
    }
}
