//! A simulated chip: the private key that signs reports, and the certificates that go with them.

use p384::ecdsa::signature::Signer;
use p384::ecdsa::{Signature, SigningKey};
use p384::pkcs8::DecodePrivateKey;
use vouchsafe_crypto::secret::SecretBytes;
use vouchsafe_protocol::anchors::SimulatedRoot;
use vouchsafe_protocol::evidence::{SnpEndorsements, SnpEvidence};
use vouchsafe_protocol::policy::{LaunchDigest, Product, Tcb};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::authority::{SimulatedPki, random_chip_id};
use crate::certificate::{VekSpec, encoding};
use crate::report::ReportBuilder;
use crate::{SimulationError, VekKind};

/// A chip of a simulated PKI. Whoever has one can make any report.
pub struct SimulatedChip {
    pub(crate) kind: VekKind,
    pub(crate) product: Product,
    pub(crate) tcb: Tcb,
    pub(crate) chip_id: [u8; 64],
    pub(crate) ark: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) vek: Vec<u8>,
    pub(crate) crl: Option<Vec<u8>>,
    pub(crate) key: SecretBytes,
}

/// A chip as files in a directory: three certificates in DER and a private key in PKCS#8.
pub struct ChipFiles {
    /// `ark.der`
    pub ark: Vec<u8>,
    /// `ask.der`
    pub ask: Vec<u8>,
    /// `vcek.der`
    pub vcek: Vec<u8>,
    /// `chip-key.pk8`, for its owner's eyes only.
    pub key: SecretBytes,
}

impl SimulatedChip {
    /// Makes a PKI and one chip of it at an ordinary TCB, and forgets the authority keys: what `vouchsafe dev`
    /// and the `sim` platform need.
    ///
    /// # Errors
    /// [`SimulationError`].
    pub fn generate(product: Product) -> Result<Self, SimulationError> {
        let tcb = Tcb {
            fmc: if product == Product::Turin { 1 } else { 0 },
            boot_loader: 9,
            tee: 0,
            snp: 23,
            microcode: 72,
        };
        SimulatedPki::generate(product)?.chip(&VekSpec::vcek(product, tcb, random_chip_id()?))
    }

    /// The files to keep it in.
    #[must_use]
    pub fn to_files(&self) -> ChipFiles {
        ChipFiles {
            ark: self.ark.clone(),
            ask: self.issuer.clone(),
            vcek: self.vek.clone(),
            key: SecretBytes::new(self.key.expose_secret().to_vec()),
        }
    }

    /// A chip from its files. Product, TCB and chip id are read back from the certificate.
    ///
    /// # Errors
    /// [`SimulationError::Certificate`] if the VCEK is not one of this crate's; [`SimulationError::Key`] if the
    /// private key cannot be read.
    pub fn from_files(files: ChipFiles) -> Result<Self, SimulationError> {
        let ChipFiles { ark, ask, vcek, key } = files;
        let certificate = Certificate::from_der(&vcek).map_err(encoding)?;
        let value = |suffix: &str| {
            let oid = format!("1.3.6.1.4.1.3704.1.{suffix}");
            certificate
                .tbs_certificate
                .extensions
                .iter()
                .flatten()
                .find(|extension| extension.extn_id.to_string() == oid)
                .map(|extension| extension.extn_value.as_bytes())
                .ok_or(SimulationError::Certificate)
        };
        let number = |suffix: &str| value(suffix)?.last().copied().ok_or(SimulationError::Certificate);
        let product = match value("2")? {
            [0x16, _, b'M', ..] => Product::Milan,
            [0x16, _, b'G', ..] => Product::Genoa,
            [0x16, _, b'T', ..] => Product::Turin,
            _ => return Err(SimulationError::Certificate),
        };
        let tcb = Tcb {
            fmc: if product == Product::Turin { number("3.9")? } else { 0 },
            boot_loader: number("3.1")?,
            tee: number("3.2")?,
            snp: number("3.3")?,
            microcode: number("3.8")?,
        };
        let mut chip_id = [0; 64];
        chip_id.iter_mut().zip(value("4")?).for_each(|(to, from)| *to = *from);
        let chip =
            Self { kind: VekKind::Vcek, product, tcb, chip_id, ark, issuer: ask, vek: vcek, crl: None, key };
        chip.key_pair()?;
        Ok(chip)
    }

    /// What a vault is initialised with to believe this chip and its siblings.
    #[must_use]
    pub fn root(&self) -> SimulatedRoot {
        SimulatedRoot { product: self.product, ark: self.ark.clone(), ask: self.issuer.clone() }
    }

    /// Product.
    #[must_use]
    pub fn product(&self) -> Product {
        self.product
    }

    /// TCB it reports.
    #[must_use]
    pub fn tcb(&self) -> Tcb {
        self.tcb
    }

    /// CHIP_ID it reports.
    #[must_use]
    pub fn chip_id(&self) -> &[u8; 64] {
        &self.chip_id
    }

    /// VCEK or VLEK.
    #[must_use]
    pub fn kind(&self) -> VekKind {
        self.kind
    }

    /// DER of the VCEK or VLEK.
    #[must_use]
    pub fn vek(&self) -> &[u8] {
        &self.vek
    }

    /// DER of its issuer.
    #[must_use]
    pub fn issuer(&self) -> &[u8] {
        &self.issuer
    }

    /// A right report of this chip, to be changed and signed.
    #[must_use]
    pub fn report(&self) -> ReportBuilder {
        ReportBuilder::new(self)
    }

    /// Evidence of a guest with `measurement` over a 64-byte statement.
    ///
    /// # Errors
    /// [`SimulationError::Key`].
    pub fn attest(
        &self,
        measurement: LaunchDigest,
        report_data: &[u8; 64],
    ) -> Result<SnpEvidence, SimulationError> {
        let report = self.report().measurement(measurement).report_data(report_data).sign(self)?;
        Ok(self.evidence(report))
    }

    /// The same chip, with a revocation list that goes with its certificates from now on.
    #[must_use]
    pub fn with_crl(mut self, crl: Option<Vec<u8>>) -> Self {
        self.crl = crl;
        self
    }

    /// A report with this chip's certificates, and its revocation list if it has one.
    #[must_use]
    pub fn evidence(&self, report: Vec<u8>) -> SnpEvidence {
        let endorsements = SnpEndorsements {
            vek: Some(self.vek.clone()),
            intermediate: Some(self.issuer.clone()),
            crl: None,
        };
        SnpEvidence { report, endorsements }
    }

    /// ECDSA P-384 with SHA-384: r and s, 48 bytes each, big-endian. Deterministic (RFC 6979), so that one report
    /// of one chip always has the same bytes.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SimulationError> {
        let signature: Signature = self.key_pair()?.try_sign(message).map_err(|_| SimulationError::Key)?;
        Ok(signature.to_bytes().to_vec())
    }

    fn key_pair(&self) -> Result<SigningKey, SimulationError> {
        SigningKey::from_pkcs8_der(self.key.expose_secret()).map_err(|_| SimulationError::Key)
    }
}
