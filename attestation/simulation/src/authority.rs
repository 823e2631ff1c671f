//! The simulated AMD: one root and its issuers, for one product.

use p384::SecretKey;
use p384::elliptic_curve::sec1::ToEncodedPoint;
use ring::rand::{SecureRandom, SystemRandom};
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey};
use rsa::{RsaPrivateKey, RsaPublicKey};
use vouchsafe_crypto::secret::SecretBytes;
use vouchsafe_protocol::anchors::SimulatedRoot;
use vouchsafe_protocol::policy::Product;
use x509_cert::der::Decode;
use x509_cert::der::asn1::{BitString, ObjectIdentifier};
use x509_cert::spki::{AlgorithmIdentifier, SubjectPublicKeyInfoOwned};
use zeroize::Zeroizing;

use crate::certificate::{
    Contents, Validity, VekSpec, authority_extensions, encoding, issue, product_name, vek_extensions,
};
use crate::chip::SimulatedChip;
use crate::crl::{self, CrlSigner, CrlSpec};
use crate::random::Source;
use crate::{SimulationError, VekKind};

/// RSA keys of AMD have 4,096 bits; 2,048 are made in a fraction of a second.
const RSA_BITS: usize = 2048;

/// Serial number of the ARK.
pub const ARK_SERIAL: [u8; 1] = [1];
/// Serial number of the ASK.
pub const ASK_SERIAL: [u8; 1] = [2];
/// Serial number of the ASVK.
pub const ASVK_SERIAL: [u8; 1] = [3];

/// Root (ARK) and issuers (ASK, ASVK) of one product. Its private keys are forgotten when it is dropped.
pub struct SimulatedPki {
    product: Product,
    source: Source,
    ark_key: RsaPrivateKey,
    ask_key: RsaPrivateKey,
    ark: Vec<u8>,
    ask: Vec<u8>,
    asvk: Vec<u8>,
}

/// What an intermediate's certificate is to say. Tests change one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntermediateSpec {
    /// Serial number, big-endian.
    pub serial: Vec<u8>,
    /// Common name, such as `SEV-Genoa` or `SEV-VLEK-Genoa`.
    pub subject: String,
    /// Dates.
    pub validity: Validity,
    /// How many intermediates may follow; `None` for one that is no authority.
    pub path_len: Option<u8>,
}

impl IntermediateSpec {
    /// A right one, for the ASK or ASVK of a product.
    #[must_use]
    pub fn new(kind: VekKind, product: Product) -> Self {
        let serial = match kind {
            VekKind::Vcek => ASK_SERIAL,
            VekKind::Vlek => ASVK_SERIAL,
        };
        let subject = issuer_name(kind, product);
        Self { serial: serial.to_vec(), subject, validity: Validity::default(), path_len: Some(0) }
    }
}

/// A PKI as files in a directory: certificates in DER and private keys in PKCS#8.
pub struct PkiFiles {
    /// `ark.der`
    pub ark: Vec<u8>,
    /// `ask.der`
    pub ask: Vec<u8>,
    /// `asvk.der`
    pub asvk: Vec<u8>,
    /// `ark-key.pk8`, for its owner's eyes only.
    pub ark_key: SecretBytes,
    /// `ask-key.pk8`, likewise.
    pub ask_key: SecretBytes,
}

impl SimulatedPki {
    /// The files to keep it in, so that chips can be made later.
    ///
    /// # Errors
    /// [`SimulationError::Key`].
    pub fn to_files(&self) -> Result<PkiFiles, SimulationError> {
        let pkcs8 = |key: &RsaPrivateKey| {
            let der = key.to_pkcs8_der().map_err(|_| SimulationError::Key)?;
            Ok(SecretBytes::new(der.as_bytes().to_vec()))
        };
        Ok(PkiFiles {
            ark: self.ark.clone(),
            ask: self.ask.clone(),
            asvk: self.asvk.clone(),
            ark_key: pkcs8(&self.ark_key)?,
            ask_key: pkcs8(&self.ask_key)?,
        })
    }

    /// A PKI from its files.
    ///
    /// # Errors
    /// [`SimulationError::Key`] if a private key cannot be read.
    pub fn from_files(product: Product, files: PkiFiles) -> Result<Self, SimulationError> {
        let PkiFiles { ark, ask, asvk, ark_key, ask_key } = files;
        let key = |pkcs8: &SecretBytes| {
            RsaPrivateKey::from_pkcs8_der(pkcs8.expose_secret()).map_err(|_| SimulationError::Key)
        };
        let (ark_key, ask_key) = (key(&ark_key)?, key(&ask_key)?);
        Ok(Self { product, source: Source::System, ark_key, ask_key, ark, ask, asvk })
    }

    /// Makes a PKI with fresh keys. Takes a fraction of a second.
    ///
    /// # Errors
    /// [`SimulationError`].
    pub fn generate(product: Product) -> Result<Self, SimulationError> {
        Self::generate_from(product, Source::System)
    }

    /// Makes the PKI of a seed: the same seed gives the same keys, certificates and signatures, and so do the chips
    /// that it makes. For evidence that others are to reproduce; whoever knows the seed knows the keys.
    ///
    /// # Errors
    /// [`SimulationError`].
    pub fn from_seed(product: Product, seed: [u8; 32]) -> Result<Self, SimulationError> {
        Self::generate_from(product, Source::Seed(Zeroizing::new(seed)))
    }

    fn generate_from(product: Product, source: Source) -> Result<Self, SimulationError> {
        let key = |purpose: &[u8]| {
            RsaPrivateKey::new(&mut source.stream(&[purpose])?, RSA_BITS).map_err(|_| SimulationError::Key)
        };
        let (ark_key, ask_key) = (key(b"ark")?, key(b"ask")?);
        Self::issued(product, source, ark_key, ask_key, [Validity::default(); 2])
    }

    /// Issues the authority certificates anew, with the same keys and other dates.
    ///
    /// # Errors
    /// [`SimulationError`].
    pub fn reissued(&self, ark: Validity, ask: Validity) -> Result<Self, SimulationError> {
        let (ark_key, ask_key) = (self.ark_key.clone(), self.ask_key.clone());
        Self::issued(self.product, self.source.clone(), ark_key, ask_key, [ark, ask])
    }

    /// A PKI for another product with the same keys.
    ///
    /// # Errors
    /// [`SimulationError`].
    pub fn for_product(&self, product: Product) -> Result<Self, SimulationError> {
        let (ark_key, ask_key) = (self.ark_key.clone(), self.ask_key.clone());
        Self::issued(product, self.source.clone(), ark_key, ask_key, [Validity::default(); 2])
    }

    fn issued(
        product: Product,
        source: Source,
        ark_key: RsaPrivateKey,
        ask_key: RsaPrivateKey,
        [ark_validity, ask_validity]: [Validity; 2],
    ) -> Result<Self, SimulationError> {
        let root = format!("ARK-{}", product_name(product));
        let authority = |serial: &[u8], subject: String, key: &RsaPrivateKey, validity, path_len| {
            let contents = Contents {
                serial: serial.to_vec(),
                issuer: root.clone(),
                subject,
                validity,
                spki: rsa_spki(key)?,
                extensions: authority_extensions(Some(path_len))?,
            };
            issue(contents, &ark_key, &source)
        };
        let ark = authority(&ARK_SERIAL, root.clone(), &ark_key, ark_validity, 1)?;
        let ask = authority(&ASK_SERIAL, issuer_name(VekKind::Vcek, product), &ask_key, ask_validity, 0)?;
        let asvk = authority(&ASVK_SERIAL, issuer_name(VekKind::Vlek, product), &ask_key, ask_validity, 0)?;
        Ok(Self { product, source, ark_key, ask_key, ark, ask, asvk })
    }

    /// What a vault is initialised with to believe this PKI.
    #[must_use]
    pub fn root(&self) -> SimulatedRoot {
        SimulatedRoot { product: self.product, ark: self.ark.clone(), ask: self.ask.clone() }
    }

    /// DER of the issuer of VLEKs.
    #[must_use]
    pub fn asvk(&self) -> &[u8] {
        &self.asvk
    }

    /// A revocation list of this product. DER.
    ///
    /// # Errors
    /// [`SimulationError`].
    pub fn crl(&self, spec: &CrlSpec) -> Result<Vec<u8>, SimulationError> {
        self.crl_by(spec, CrlSigner::Root)
    }

    /// A revocation list that somebody else than the root may have signed. DER.
    ///
    /// # Errors
    /// [`SimulationError`].
    pub fn crl_by(&self, spec: &CrlSpec, signer: CrlSigner) -> Result<Vec<u8>, SimulationError> {
        let root = format!("ARK-{}", product_name(self.product));
        let (issuer, key) = match signer {
            CrlSigner::Root => (root, &self.ark_key),
            CrlSigner::IntermediateAsRoot => (root, &self.ask_key),
            CrlSigner::Intermediate => (issuer_name(VekKind::Vcek, self.product), &self.ask_key),
        };
        crl::sign(spec, &issuer, key, &self.source)
    }

    /// A certificate for the key of the intermediates with other contents than the right ones: for one of another name,
    /// with other dates, or that may not issue. DER.
    ///
    /// # Errors
    /// [`SimulationError`].
    pub fn intermediate(&self, spec: &IntermediateSpec) -> Result<Vec<u8>, SimulationError> {
        let contents = Contents {
            serial: spec.serial.clone(),
            issuer: format!("ARK-{}", product_name(self.product)),
            subject: spec.subject.clone(),
            validity: spec.validity,
            spki: rsa_spki(&self.ask_key)?,
            extensions: authority_extensions(spec.path_len)?,
        };
        issue(contents, &self.ark_key, &self.source)
    }

    /// Makes a chip (or a provider's VLEK) with a fresh P-384 key and the certificate that `spec` describes.
    ///
    /// # Errors
    /// [`SimulationError`].
    pub fn chip(&self, spec: &VekSpec) -> Result<SimulatedChip, SimulationError> {
        self.issue_vek(spec, &self.ask_key, issuer_name(spec.kind, self.product))
    }

    /// As [`Self::chip`], but the root itself issues the certificate, without an intermediate.
    ///
    /// # Errors
    /// [`SimulationError`].
    pub fn chip_under_root(&self, spec: &VekSpec) -> Result<SimulatedChip, SimulationError> {
        self.issue_vek(spec, &self.ark_key, format!("ARK-{}", product_name(self.product)))
    }

    fn issue_vek(
        &self,
        spec: &VekSpec,
        issuer_key: &RsaPrivateKey,
        issuer: String,
    ) -> Result<SimulatedChip, SimulationError> {
        let kind: &[u8] = match spec.kind {
            VekKind::Vcek => b"vcek",
            VekKind::Vlek => b"vlek",
        };
        let product = product_name(spec.product).as_bytes();
        let secret = SecretKey::random(&mut self.source.stream(&[kind, product, &spec.chip_id])?);
        let pkcs8 = secret.to_pkcs8_der().map_err(|_| SimulationError::Key)?;
        let key = SecretBytes::new(pkcs8.as_bytes().to_vec());
        let contents = Contents {
            serial: spec.serial.clone(),
            issuer,
            subject: spec.subject.clone(),
            validity: spec.validity,
            spki: p384_spki(secret.public_key().to_encoded_point(false).as_bytes())?,
            extensions: vek_extensions(&spec.extensions)?,
        };
        let vek = issue(contents, issuer_key, &self.source)?;
        let issuer = match spec.kind {
            VekKind::Vcek => self.ask.clone(),
            VekKind::Vlek => self.asvk.clone(),
        };
        Ok(SimulatedChip {
            kind: spec.kind,
            product: spec.product,
            tcb: spec.tcb,
            chip_id: spec.chip_id,
            ark: self.ark.clone(),
            issuer,
            vek,
            crl: None,
            key,
        })
    }
}

/// A random CHIP_ID.
///
/// # Errors
/// [`SimulationError::Random`].
pub(crate) fn random_chip_id() -> Result<[u8; 64], SimulationError> {
    let mut id = [0; 64];
    SystemRandom::new().fill(&mut id).map_err(|_| SimulationError::Random)?;
    Ok(id)
}

fn issuer_name(kind: VekKind, product: Product) -> String {
    match kind {
        VekKind::Vcek => format!("SEV-{}", product_name(product)),
        VekKind::Vlek => format!("SEV-VLEK-{}", product_name(product)),
    }
}

fn rsa_spki(key: &RsaPrivateKey) -> Result<SubjectPublicKeyInfoOwned, SimulationError> {
    let der = RsaPublicKey::from(key).to_public_key_der().map_err(encoding)?;
    SubjectPublicKeyInfoOwned::from_der(der.as_bytes()).map_err(encoding)
}

fn p384_spki(point: &[u8]) -> Result<SubjectPublicKeyInfoOwned, SimulationError> {
    let curve = ObjectIdentifier::new("1.3.132.0.34").map_err(encoding)?;
    Ok(SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifier {
            oid: ObjectIdentifier::new("1.2.840.10045.2.1").map_err(encoding)?,
            parameters: Some((&curve).into()),
        },
        subject_public_key: BitString::from_bytes(point).map_err(encoding)?,
    })
}
