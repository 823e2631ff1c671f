//! Certificates of endorsement and attestation keys, and the authorities that issue them: ECDSA on P-256.

use p256::ecdsa::signature::Signer;
use sha2::{Digest, Sha256};
use x509_cert::certificate::{Certificate, TbsCertificate, Version};
use x509_cert::der::asn1::{BitString, ObjectIdentifier, OctetString};
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::Extension;
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifier, SubjectPublicKeyInfoOwned};

use super::{Secret, TpmKey, TpmKeyKind};
use crate::SimulationError;
use crate::certificate::{Validity, encoding, time};

/// tcg-kp-EKCertificate.
pub const EK_USAGE: &str = "2.23.133.8.1";
/// tcg-kp-AIKCertificate.
pub const AK_USAGE: &str = "2.23.133.8.3";
/// ecdsa-with-SHA256.
const ECDSA_SHA256: &str = "1.2.840.10045.4.3.2";

/// A bit of the key usage extension, by its number (RFC 5280, section 4.2.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in RFC 5280")]
pub enum KeyUse {
    DigitalSignature = 0,
    KeyEncipherment = 2,
    KeyAgreement = 4,
    CertSign = 5,
    CrlSign = 6,
}

/// Basic constraints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Constraints {
    /// None.
    Absent,
    /// A certificate authority's.
    Authority {
        /// Most intermediates below it.
        path_len: Option<u8>,
    },
    /// CA:FALSE.
    NotAuthority,
}

/// The subject's alternative name: the TPM's maker, model and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlternativeName {
    /// None.
    Absent,
    /// Critical.
    Critical,
    /// Not critical.
    NotCritical,
}

/// Any other extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtraExtension {
    /// Object identifier, dotted.
    pub oid: String,
    /// Whether it is critical.
    pub critical: bool,
    /// Content of the OCTET STRING.
    pub value: Vec<u8>,
}

/// What a certificate is to say. Starts right; every field can be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TpmCertificateSpec {
    /// Common name of the subject; an empty subject without.
    pub subject: Option<String>,
    /// Dates.
    pub validity: Validity,
    /// Basic constraints.
    pub constraints: Constraints,
    /// Key usage.
    pub key_usage: Option<Vec<KeyUse>>,
    /// Extended key usage, as dotted object identifiers.
    pub extended_usage: Option<Vec<String>>,
    /// Subject alternative name.
    pub alternative_name: AlternativeName,
    /// Other extensions.
    pub extra: Vec<ExtraExtension>,
}

impl TpmCertificateSpec {
    /// Of an authority.
    #[must_use]
    pub fn authority(name: &str) -> Self {
        Self {
            subject: Some(name.to_owned()),
            validity: Validity::default(),
            constraints: Constraints::Authority { path_len: None },
            key_usage: Some(vec![KeyUse::CertSign, KeyUse::CrlSign]),
            extended_usage: None,
            alternative_name: AlternativeName::Absent,
            extra: Vec::new(),
        }
    }

    /// Of an endorsement key, as a maker of TPMs writes it: empty subject, the model as critical alternative name.
    #[must_use]
    pub fn maker_ek(kind: TpmKeyKind) -> Self {
        let usage = match kind {
            TpmKeyKind::EcdsaP256 | TpmKeyKind::EcdsaP384 => KeyUse::KeyAgreement,
            _ => KeyUse::KeyEncipherment,
        };
        Self {
            subject: None,
            constraints: Constraints::NotAuthority,
            key_usage: Some(vec![usage]),
            extended_usage: Some(vec![EK_USAGE.to_owned()]),
            alternative_name: AlternativeName::Critical,
            ..Self::authority("")
        }
    }

    /// Of an endorsement key, as Google writes it: a named subject, and neither extended usage nor model.
    #[must_use]
    pub fn google_ek(kind: TpmKeyKind) -> Self {
        Self {
            subject: Some("218557372616137117".to_owned()),
            extended_usage: None,
            alternative_name: AlternativeName::Absent,
            ..Self::maker_ek(kind)
        }
    }

    /// Of an attestation key, as Google writes it: empty subject, the model as critical alternative name, and the
    /// extended usage of an endorsement key.
    #[must_use]
    pub fn google_ak() -> Self {
        Self {
            subject: None,
            constraints: Constraints::NotAuthority,
            key_usage: Some(vec![KeyUse::DigitalSignature]),
            extended_usage: Some(vec![EK_USAGE.to_owned()]),
            alternative_name: AlternativeName::Critical,
            ..Self::authority("")
        }
    }

    /// Of an attestation key, as Microsoft writes it: a named subject, the extended usage of an attestation key and
    /// one of Microsoft's own, no basic constraints.
    #[must_use]
    pub fn microsoft_ak() -> Self {
        Self {
            subject: Some("9b6eccb6c0a3.ConfidentialVM.Azure.windows.net".to_owned()),
            constraints: Constraints::Absent,
            extended_usage: Some(vec!["1.3.6.1.4.1.311.10.3.12".to_owned(), AK_USAGE.to_owned()]),
            alternative_name: AlternativeName::Absent,
            ..Self::google_ak()
        }
    }

    fn extensions(&self) -> Result<Vec<Extension>, SimulationError> {
        let mut all = Vec::new();
        let mut push = |oid: &str, critical, value: Vec<u8>| {
            all.push(Extension {
                extn_id: ObjectIdentifier::new(oid).map_err(|_| SimulationError::Certificate)?,
                critical,
                extn_value: OctetString::new(value).map_err(encoding)?,
            });
            Ok::<(), SimulationError>(())
        };
        match self.constraints {
            Constraints::Absent => {}
            Constraints::NotAuthority => push("2.5.29.19", true, tlv(0x30, &[]))?,
            Constraints::Authority { path_len } => {
                let path_len = path_len.map(|len| tlv(0x02, &[len & 0x7f])).unwrap_or_default();
                push("2.5.29.19", true, tlv(0x30, &[tlv(0x01, &[0xff]), path_len].concat()))?;
            }
        }
        if let Some(uses) = &self.key_usage {
            let bits = uses.iter().fold(0u8, |bits, usage| bits | 0x80 >> (*usage as u8));
            // A named bit list has no trailing zeros.
            let unused = u8::try_from(bits.trailing_zeros()).unwrap_or(0) & 7;
            push("2.5.29.15", true, tlv(0x03, &[unused, bits]))?;
        }
        if let Some(usages) = &self.extended_usage {
            let oids = usages.iter().map(|oid| oid_der(oid)).collect::<Result<Vec<_>, _>>()?;
            push("2.5.29.37", false, tlv(0x30, &oids.concat()))?;
        }
        match self.alternative_name {
            AlternativeName::Absent => {}
            AlternativeName::Critical => push("2.5.29.17", true, tpm_model()?)?,
            AlternativeName::NotCritical => push("2.5.29.17", false, tpm_model()?)?,
        }
        for ExtraExtension { oid, critical, value } in &self.extra {
            push(oid, *critical, value.clone())?;
        }
        Ok(all)
    }
}

/// A certificate authority for keys of TPMs.
pub struct TpmAuthority {
    name: Option<String>,
    key: TpmKey,
    der: Vec<u8>,
}

impl TpmAuthority {
    /// A root with a key: P-256, and what [`TpmCertificateSpec::authority`] says, or anything else.
    ///
    /// # Errors
    /// [`SimulationError`].
    pub fn root(key: TpmKey, spec: &TpmCertificateSpec) -> Result<Self, SimulationError> {
        let der = sign(spec, &key.spki()?, &spec.subject, &key)?;
        Ok(Self { name: spec.subject.clone(), key, der })
    }

    /// A root with a fresh key.
    ///
    /// # Errors
    /// [`SimulationError`].
    pub fn generate(name: &str) -> Result<Self, SimulationError> {
        Self::root(TpmKey::generate(TpmKeyKind::EcdsaP256)?, &TpmCertificateSpec::authority(name))
    }

    /// The root of a seed; its name is the label of its key.
    ///
    /// # Errors
    /// [`SimulationError`].
    pub fn from_seed(name: &str, seed: [u8; 32]) -> Result<Self, SimulationError> {
        let key = TpmKey::from_seed(TpmKeyKind::EcdsaP256, seed, name)?;
        Self::root(key, &TpmCertificateSpec::authority(name))
    }

    /// An authority below this one.
    ///
    /// # Errors
    /// [`SimulationError`].
    pub fn below(&self, key: TpmKey, spec: &TpmCertificateSpec) -> Result<Self, SimulationError> {
        let der = self.issue(spec, &key.spki()?)?;
        Ok(Self { name: spec.subject.clone(), key, der })
    }

    /// DER of its certificate.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// DER of a certificate for the key in `spki` (DER of a SubjectPublicKeyInfo).
    ///
    /// # Errors
    /// [`SimulationError`].
    pub fn issue(&self, spec: &TpmCertificateSpec, spki: &[u8]) -> Result<Vec<u8>, SimulationError> {
        sign(spec, spki, &self.name, &self.key)
    }
}

fn sign(
    spec: &TpmCertificateSpec,
    spki: &[u8],
    issuer: &Option<String>,
    key: &TpmKey,
) -> Result<Vec<u8>, SimulationError> {
    let oid = ObjectIdentifier::new(ECDSA_SHA256).map_err(|_| SimulationError::Certificate)?;
    let algorithm = AlgorithmIdentifier { oid, parameters: None };
    // The number of the certificate: of what it says and for whom.
    let id = Sha256::digest([format!("{spec:?}").as_bytes(), spki].concat());
    let [a, b, c, d, e, f, ..] = <[u8; 32]>::from(id);
    let tbs = TbsCertificate {
        version: Version::V3,
        serial_number: SerialNumber::new(&[1, a, b, c, d, e, f]).map_err(encoding)?,
        signature: algorithm.clone(),
        issuer: name(issuer)?,
        validity: x509_cert::time::Validity {
            not_before: time(spec.validity.not_before)?,
            not_after: time(spec.validity.not_after)?,
        },
        subject: name(&spec.subject)?,
        subject_public_key_info: SubjectPublicKeyInfoOwned::from_der(spki).map_err(encoding)?,
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(spec.extensions()?).filter(|all| !all.is_empty()),
    };
    let message = tbs.to_der().map_err(encoding)?;
    let Secret::P256(secret) = &key.secret else { return Err(SimulationError::Key) };
    let signature: p256::ecdsa::DerSignature =
        p256::ecdsa::SigningKey::from(secret).try_sign(&message).map_err(|_| SimulationError::Key)?;
    let signature = BitString::from_bytes(signature.as_bytes()).map_err(encoding)?;
    Certificate { tbs_certificate: tbs, signature_algorithm: algorithm, signature }.to_der().map_err(encoding)
}

/// A name of one common name, or of nothing.
fn name(common_name: &Option<String>) -> Result<Name, SimulationError> {
    let attributes = match common_name {
        Some(text) => rdn("2.5.4.3", text)?,
        None => Vec::new(),
    };
    Name::from_der(&tlv(0x30, &attributes)).map_err(encoding)
}

/// GeneralNames with one directory name: tpmManufacturer, tpmModel, tpmVersion (TCG EK Credential Profile 2.5,
/// section 3.1.2).
fn tpm_model() -> Result<Vec<u8>, SimulationError> {
    let attributes = [
        rdn("2.23.133.2.1", "id:53494D55")?,
        rdn("2.23.133.2.2", "simulated")?,
        rdn("2.23.133.2.3", "id:1")?,
    ];
    Ok(tlv(0x30, &tlv(0xa4, &tlv(0x30, &attributes.concat()))))
}

fn rdn(oid: &str, text: &str) -> Result<Vec<u8>, SimulationError> {
    Ok(tlv(0x31, &tlv(0x30, &[oid_der(oid)?, tlv(0x0c, text.as_bytes())].concat())))
}

fn oid_der(oid: &str) -> Result<Vec<u8>, SimulationError> {
    ObjectIdentifier::new(oid).map_err(|_| SimulationError::Certificate)?.to_der().map_err(encoding)
}

/// Tag, length, content; content of less than 64 KiB.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = match u8::try_from(content.len()) {
        Ok(len @ 0..=0x7f) => vec![len],
        Ok(len) => vec![0x81, len],
        Err(_) => {
            let [high, low] = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
            vec![0x82, high, low]
        }
    };
    [[tag].as_slice(), &len, content].concat()
}
