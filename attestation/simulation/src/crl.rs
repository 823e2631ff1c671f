//! Revocation lists in AMD's form: signed by the root of a product, with an authority key id and a number.

use rsa::RsaPrivateKey;
use rsa::pss::SigningKey;
use rsa::signature::{RandomizedSigner, SignatureEncoding};
use sha2::Sha384;
use x509_cert::certificate::Version;
use x509_cert::crl::{CertificateList, RevokedCert, TbsCertList};
use x509_cert::der::Encode;
use x509_cert::der::asn1::{BitString, Null, ObjectIdentifier};
use x509_cert::ext::Extension;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::AlgorithmIdentifierOwned;

use crate::SimulationError;
use crate::certificate::{encoding, extension, name, time};
use crate::random::Source;

/// cRLNumber (RFC 5280, section 5.2.3).
const CRL_NUMBER: &str = "2.5.29.20";
/// issuingDistributionPoint (RFC 5280, section 5.2.5): whoever does not know it must not use the list.
const ISSUING_DISTRIBUTION_POINT: &str = "2.5.29.28";
/// certificateIssuer (RFC 5280, section 5.3.3): the entry is of another issuer's certificate.
const CERTIFICATE_ISSUER: &str = "2.5.29.29";

/// sha384WithRSAEncryption (RFC 8017, appendix C).
const SHA384_WITH_RSA: &str = "1.2.840.113549.1.1.12";

/// What a revocation list is to say. Tests change one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlSpec {
    /// First second, since 1970.
    pub this_update: u64,
    /// Last second, since 1970; a list without one is malformed for this verifier.
    pub next_update: Option<u64>,
    /// Serials, big-endian, such as [`crate::ASK_SERIAL`].
    pub revoked: Vec<Vec<u8>>,
    /// An extension of the list, or of each entry, that must be understood and is not.
    pub critical: Critical,
    /// The signature algorithm that it names, whatever it is signed with.
    pub named: NamedAlgorithm,
}

/// The signature algorithm that a revocation list names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-384: not the one that it is signed with.
    RsaPkcs1Sha384,
    /// RSASSA-PSS with SHA-384: the one that it is signed with.
    RsaPssSha384,
}

/// Where a revocation list has an extension that must be understood and is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Critical {
    /// In each entry.
    InEntries,
    /// In the list.
    InList,
    /// Nowhere.
    Nowhere,
}

impl CrlSpec {
    /// A right one that revokes nothing, valid for half a year from `this_update`.
    #[must_use]
    pub fn fresh(this_update: u64) -> Self {
        Self {
            this_update,
            next_update: Some(this_update + 180 * 24 * 60 * 60),
            revoked: Vec::new(),
            critical: Critical::Nowhere,
            named: NamedAlgorithm::RsaPssSha384,
        }
    }

    /// The same, revoking one more serial.
    #[must_use]
    pub fn revoking(mut self, serial: &[u8]) -> Self {
        self.revoked.push(serial.to_vec());
        self
    }
}

/// Who signs a revocation list, and which name it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrlSigner {
    /// The root, in its own name.
    Root,
    /// The key of the intermediates, in the name of the root: a signature that does not verify.
    IntermediateAsRoot,
    /// The intermediate, in its own name.
    Intermediate,
}

/// Signs a list with RSASSA-PSS, SHA-384, salt 48. DER.
pub(crate) fn sign(
    spec: &CrlSpec,
    issuer: &str,
    key: &RsaPrivateKey,
    source: &Source,
) -> Result<Vec<u8>, SimulationError> {
    let algorithm = match spec.named {
        NamedAlgorithm::RsaPkcs1Sha384 => AlgorithmIdentifierOwned {
            oid: ObjectIdentifier::new(SHA384_WITH_RSA).map_err(encoding)?,
            parameters: Some(Null.into()),
        },
        NamedAlgorithm::RsaPssSha384 => {
            rsa::pss::get_default_pss_signature_algo_id::<Sha384>().map_err(encoding)?
        }
    };
    let mut extensions = vec![of_oid(CRL_NUMBER, false, &[2, 1, 1])?];
    if spec.critical == Critical::InList {
        extensions.push(of_oid(ISSUING_DISTRIBUTION_POINT, true, &[0x30, 0])?);
    }
    let entry_extensions = match spec.critical {
        Critical::InEntries => Some(vec![of_oid(CERTIFICATE_ISSUER, true, &[0x30, 0])?]),
        Critical::InList | Critical::Nowhere => None,
    };
    let entries = spec.revoked.iter().map(|serial| {
        Ok(RevokedCert {
            serial_number: SerialNumber::new(serial).map_err(encoding)?,
            revocation_date: time(spec.this_update)?,
            crl_entry_extensions: entry_extensions.clone(),
        })
    });
    let entries = entries.collect::<Result<Vec<_>, SimulationError>>()?;
    let list = TbsCertList {
        version: Version::V2,
        signature: algorithm.clone(),
        issuer: name(issuer)?,
        this_update: time(spec.this_update)?,
        next_update: spec.next_update.map(time).transpose()?,
        revoked_certificates: (!entries.is_empty()).then_some(entries),
        crl_extensions: Some(extensions),
    };
    let message = list.to_der().map_err(encoding)?;
    let mut rng = source.stream(&[b"crl", &message])?;
    let signer = SigningKey::<Sha384>::new(key.clone());
    let signature = signer.try_sign_with_rng(&mut rng, &message).map_err(|_| SimulationError::Key)?;
    let signature = BitString::from_bytes(&signature.to_bytes()).map_err(encoding)?;
    CertificateList { tbs_cert_list: list, signature_algorithm: algorithm, signature }
        .to_der()
        .map_err(encoding)
}

fn of_oid(oid: &str, critical: bool, value: &[u8]) -> Result<Extension, SimulationError> {
    extension(ObjectIdentifier::new(oid).map_err(encoding)?, critical, value.to_vec())
}
