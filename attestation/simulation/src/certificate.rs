//! Certificates in AMD's profile (AMD 57230, revision 0.51): names, extensions, RSASSA-PSS.

use std::str::FromStr;
use std::time::Duration;

use rsa::RsaPrivateKey;
use rsa::pss::SigningKey;
use rsa::signature::{RandomizedSigner, SignatureEncoding};
use sha2::Sha384;
use vouchsafe_protocol::policy::{Product, Tcb};
use x509_cert::certificate::{Certificate, TbsCertificate, Version};
use x509_cert::der::asn1::{BitString, GeneralizedTime, ObjectIdentifier, OctetString, UtcTime};
use x509_cert::der::{Encode, oid::AssociatedOid};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::SubjectPublicKeyInfoOwned;
use x509_cert::time::Time;

use crate::random::Source;
use crate::{SimulationError, VekKind};

/// First second that UTCTime cannot express (2050-01-01).
const GENERALIZED_FROM: u64 = 2_524_608_000;

/// Dates of a certificate in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First second.
    pub not_before: u64,
    /// Last second.
    pub not_after: u64,
}

impl Default for Validity {
    /// From 2020-01-01 to 2049-12-31: a simulation works whatever the clock says.
    fn default() -> Self {
        Self { not_before: 1_577_836_800, not_after: GENERALIZED_FROM - 1 }
    }
}

impl Validity {
    /// 365 days, as a VLEK's.
    #[must_use]
    pub fn year_from(not_before: u64) -> Self {
        Self { not_before, not_after: not_before + 365 * 24 * 60 * 60 }
    }
}

/// An extension below 1.3.6.1.4.1.3704.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmdExtensionValue {
    /// What follows the prefix in the object identifier, such as `3.8`.
    pub suffix: String,
    /// Content of the OCTET STRING.
    pub value: Vec<u8>,
}

/// What a VCEK or VLEK certificate is to say. Tests change one thing.
#[derive(Clone, Debug)]
pub struct VekSpec {
    /// Kind, which chooses the issuer and the subject.
    pub kind: VekKind,
    /// Common name of the subject.
    pub subject: String,
    /// AMD's extensions.
    pub extensions: Vec<AmdExtensionValue>,
    /// Dates.
    pub validity: Validity,
    /// Serial number, big-endian; AMD's VEKs have zero.
    pub serial: Vec<u8>,
    /// The product, for the layout of reports.
    pub product: Product,
    /// The TCB, for the contents of reports.
    pub tcb: Tcb,
    /// CHIP_ID, for the contents of reports.
    pub chip_id: [u8; 64],
}

impl VekSpec {
    /// A right one for a chip at a TCB. Turin's hardware id is the first 8 bytes of `chip_id`, the rest zero.
    #[must_use]
    pub fn vcek(product: Product, tcb: Tcb, chip_id: [u8; 64]) -> Self {
        let mut extensions = amd_extensions(product, tcb);
        let len = if product == Product::Turin { 8 } else { 64 };
        let hardware_id: Vec<u8> = chip_id.into_iter().take(len).collect();
        let mut padded = [0; 64];
        padded.iter_mut().zip(&hardware_id).for_each(|(to, from)| *to = *from);
        extensions.push(AmdExtensionValue { suffix: "4".to_owned(), value: hardware_id });
        Self {
            kind: VekKind::Vcek,
            subject: "SEV-VCEK".to_owned(),
            extensions,
            validity: Validity::default(),
            serial: vec![0],
            product,
            tcb,
            chip_id: padded,
        }
    }

    /// A right one for the cloud provider [`Self::PROVIDER`], valid for the year from 2025-07-01.
    #[must_use]
    pub fn vlek(product: Product, tcb: Tcb) -> Self {
        let mut extensions = amd_extensions(product, tcb);
        extensions.push(AmdExtensionValue { suffix: "5".to_owned(), value: ia5(Self::PROVIDER) });
        Self {
            kind: VekKind::Vlek,
            subject: "SEV-VLEK".to_owned(),
            extensions,
            validity: Validity::year_from(1_751_328_000),
            serial: vec![0],
            product,
            tcb,
            chip_id: [0; 64],
        }
    }

    /// The provider of [`Self::vlek`].
    pub const PROVIDER: &str = "CN=simulated-cloud";

    /// The same for another cloud provider.
    #[must_use]
    pub fn with_provider(self, name: &str) -> Self {
        self.with_extension("5", Some(ia5(name)))
    }

    /// The same with other dates.
    #[must_use]
    pub fn valid(mut self, validity: Validity) -> Self {
        self.validity = validity;
        self
    }

    /// Replaces the value of an extension, or adds it; `None` removes it.
    #[must_use]
    pub fn with_extension(mut self, suffix: &str, value: Option<Vec<u8>>) -> Self {
        self.extensions.retain(|extension| extension.suffix != suffix);
        if let Some(value) = value {
            self.extensions.push(AmdExtensionValue { suffix: suffix.to_owned(), value });
        }
        self
    }
}

/// Name of a product as AMD writes it.
pub(crate) fn product_name(product: Product) -> &'static str {
    match product {
        Product::Milan => "Milan",
        Product::Genoa => "Genoa",
        Product::Turin => "Turin",
    }
}

fn amd_extensions(product: Product, tcb: Tcb) -> Vec<AmdExtensionValue> {
    let Tcb { fmc, boot_loader, tee, snp, microcode } = tcb;
    let mut values = vec![
        ("1", integer(u8::from(product == Product::Turin))),
        ("2", ia5(product_name(product))),
        ("3.1", integer(boot_loader)),
        ("3.2", integer(tee)),
        ("3.3", integer(snp)),
        ("3.5", integer(0)),
        ("3.6", integer(0)),
        ("3.7", integer(0)),
        ("3.8", integer(microcode)),
    ];
    values.push(if product == Product::Turin { ("3.9", integer(fmc)) } else { ("3.4", integer(0)) });
    values.into_iter().map(|(suffix, value)| AmdExtensionValue { suffix: suffix.to_owned(), value }).collect()
}

/// DER INTEGER of 0 to 255.
fn integer(value: u8) -> Vec<u8> {
    if value < 0x80 { vec![2, 1, value] } else { vec![2, 2, 0, value] }
}

/// DER IA5String of less than 128 bytes.
fn ia5(text: &str) -> Vec<u8> {
    let len = u8::try_from(text.len()).unwrap_or(0x7f) & 0x7f;
    [&[0x16, len], text.as_bytes()].concat()
}

/// What one certificate says.
pub(crate) struct Contents {
    pub(crate) serial: Vec<u8>,
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) validity: Validity,
    pub(crate) spki: SubjectPublicKeyInfoOwned,
    pub(crate) extensions: Vec<Extension>,
}

/// Signs a certificate with RSASSA-PSS, SHA-384, salt 48. DER.
pub(crate) fn issue(
    contents: Contents,
    issuer: &RsaPrivateKey,
    source: &Source,
) -> Result<Vec<u8>, SimulationError> {
    let algorithm = rsa::pss::get_default_pss_signature_algo_id::<Sha384>().map_err(encoding)?;
    let tbs = TbsCertificate {
        version: Version::V3,
        serial_number: SerialNumber::new(&contents.serial).map_err(encoding)?,
        signature: algorithm.clone(),
        issuer: name(&contents.issuer)?,
        validity: x509_cert::time::Validity {
            not_before: time(contents.validity.not_before)?,
            not_after: time(contents.validity.not_after)?,
        },
        subject: name(&contents.subject)?,
        subject_public_key_info: contents.spki,
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(contents.extensions),
    };
    let message = tbs.to_der().map_err(encoding)?;
    let key = SigningKey::<Sha384>::new(issuer.clone());
    let mut rng = source.stream(&[b"certificate", &message])?;
    let signature = key.try_sign_with_rng(&mut rng, &message).map_err(|_| SimulationError::Key)?;
    let signature = BitString::from_bytes(&signature.to_bytes()).map_err(encoding)?;
    Certificate { tbs_certificate: tbs, signature_algorithm: algorithm, signature }.to_der().map_err(encoding)
}

/// Extensions of a certificate authority, as AMD's have them; or, for `None`, of one that may not be one.
pub(crate) fn authority_extensions(path_len: Option<u8>) -> Result<Vec<Extension>, SimulationError> {
    let constraints = BasicConstraints { ca: path_len.is_some(), path_len_constraint: path_len };
    let usage = KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign);
    Ok(vec![
        extension(BasicConstraints::OID, true, constraints.to_der().map_err(encoding)?)?,
        extension(KeyUsage::OID, true, usage.to_der().map_err(encoding)?)?,
    ])
}

/// AMD's extensions as certificate extensions, not critical.
pub(crate) fn vek_extensions(values: &[AmdExtensionValue]) -> Result<Vec<Extension>, SimulationError> {
    values
        .iter()
        .map(|AmdExtensionValue { suffix, value }| {
            let oid = ObjectIdentifier::new(&format!("1.3.6.1.4.1.3704.1.{suffix}"))
                .map_err(|_| SimulationError::Certificate)?;
            extension(oid, false, value.clone())
        })
        .collect()
}

pub(crate) fn extension(
    oid: ObjectIdentifier,
    critical: bool,
    value: Vec<u8>,
) -> Result<Extension, SimulationError> {
    Ok(Extension { extn_id: oid, critical, extn_value: OctetString::new(value).map_err(encoding)? })
}

/// AMD's name with a common name; the RFC 4514 form lists the last attribute first.
pub(crate) fn name(common_name: &str) -> Result<Name, SimulationError> {
    let text = format!(
        "CN={common_name},O=Advanced Micro Devices (simulated),ST=CA,L=Santa Clara,C=US,OU=Engineering"
    );
    Name::from_str(&text).map_err(encoding)
}

pub(crate) fn time(secs: u64) -> Result<Time, SimulationError> {
    let since = Duration::from_secs(secs);
    Ok(if secs < GENERALIZED_FROM {
        Time::UtcTime(UtcTime::from_unix_duration(since).map_err(encoding)?)
    } else {
        Time::GeneralTime(GeneralizedTime::from_unix_duration(since).map_err(encoding)?)
    })
}

pub(crate) fn encoding<E>(_: E) -> SimulationError {
    SimulationError::Certificate
}
