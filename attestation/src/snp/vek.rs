//! Claims of a VCEK or VLEK certificate: AMD's extensions below 1.3.6.1.4.1.3704.1 (AMD 57230, revision 0.51,
//! section 3). Parsed strictly; true only once the chain is verified.

use vouchsafe_crypto::verify::PublicKey;
use vouchsafe_protocol::limits::NAME_LEN;
use vouchsafe_protocol::policy::Product;

use super::report::SigningKey;
use super::tcb::RawTcb;
use crate::x509::{Certificate, CertificateError, Validity};

/// Why a certificate is not one of a versioned endorsement key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VekError {
    /// Not a certificate.
    #[error("endorsement certificate cannot be read")]
    Certificate(#[source] CertificateError),
    /// An extension of AMD's is missing, twice, or not of its exact form.
    #[error("extension 1.3.6.1.4.1.3704.1.{0} is missing or malformed", extension.suffix())]
    Extension {
        /// Which.
        extension: AmdExtension,
    },
    /// An extension below AMD's arc that this version does not know: a component of the TCB that it would overlook.
    #[error("certificate has an unknown extension of AMD's")]
    UnknownExtension,
    /// A VLEK is valid for more than a year and a day.
    #[error("VLEK is valid for {secs} s, more than a year")]
    Life {
        /// From its first second to its last.
        secs: i64,
    },
    /// The key is not on P-384.
    #[error("endorsement key is not on P-384")]
    Key,
    /// The subject is neither SEV-VCEK nor SEV-VLEK.
    #[error("certificate is neither of a VCEK nor of a VLEK")]
    Kind,
    /// The product name is none that this version knows.
    #[error("certificate names an unknown product")]
    Product,
}

impl VekError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Certificate(_) => "snp.vek.certificate",
            Self::Extension { .. } => "snp.vek.extension",
            Self::UnknownExtension => "snp.vek.unknown-extension",
            Self::Life { .. } => "snp.vlek.life",
            Self::Key => "snp.vek.key",
            Self::Kind => "snp.vek.subject",
            Self::Product => "snp.vek.unknown-product",
        }
    }
}

/// AMD's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in AMD 57230, table 8")]
pub enum AmdExtension {
    StructVersion,
    ProductName,
    BlSpl,
    TeeSpl,
    SnpSpl,
    Spl4,
    Spl5,
    Spl6,
    Spl7,
    UcodeSpl,
    FmcSpl,
    HwId,
    CspId,
}

impl AmdExtension {
    /// What follows 1.3.6.1.4.1.3704.1. in the object identifier.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        self.oid().trim_start_matches("1.3.6.1.4.1.3704.1.")
    }

    fn oid(self) -> &'static str {
        match self {
            Self::StructVersion => "1.3.6.1.4.1.3704.1.1",
            Self::ProductName => "1.3.6.1.4.1.3704.1.2",
            Self::BlSpl => "1.3.6.1.4.1.3704.1.3.1",
            Self::TeeSpl => "1.3.6.1.4.1.3704.1.3.2",
            Self::SnpSpl => "1.3.6.1.4.1.3704.1.3.3",
            Self::Spl4 => "1.3.6.1.4.1.3704.1.3.4",
            Self::Spl5 => "1.3.6.1.4.1.3704.1.3.5",
            Self::Spl6 => "1.3.6.1.4.1.3704.1.3.6",
            Self::Spl7 => "1.3.6.1.4.1.3704.1.3.7",
            Self::UcodeSpl => "1.3.6.1.4.1.3704.1.3.8",
            Self::FmcSpl => "1.3.6.1.4.1.3704.1.3.9",
            Self::HwId => "1.3.6.1.4.1.3704.1.4",
            Self::CspId => "1.3.6.1.4.1.3704.1.5",
        }
    }
}

/// Everything of AMD's is below this.
const ARC: &str = "1.3.6.1.4.1.3704.1.";
/// Most seconds that a VLEK is valid: a year (AMD 57230, section 2.3) that may be a leap year.
const VLEK_LIFE_SECS: i64 = 366 * 24 * 60 * 60;

const EXTENSIONS: [AmdExtension; 13] = [
    AmdExtension::StructVersion,
    AmdExtension::ProductName,
    AmdExtension::BlSpl,
    AmdExtension::TeeSpl,
    AmdExtension::SnpSpl,
    AmdExtension::Spl4,
    AmdExtension::Spl5,
    AmdExtension::Spl6,
    AmdExtension::Spl7,
    AmdExtension::UcodeSpl,
    AmdExtension::FmcSpl,
    AmdExtension::HwId,
    AmdExtension::CspId,
];

/// What a VEK certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VekClaims {
    /// VCEK or VLEK.
    pub kind: SigningKey,
    /// Product.
    pub product: Product,
    /// TCB the key was derived for, as a report of that product would hold it.
    pub tcb: RawTcb,
    /// CHIP_ID that a report must have: the hardware id, padded with zeros on Turin; all zero for a VLEK.
    pub chip_id: [u8; 64],
    /// Cloud provider, as a VLEK names it; `None` for a VCEK.
    pub provider: Option<String>,
    /// Uncompressed P-384 point, 97 bytes.
    pub point: Vec<u8>,
}

/// A parsed VEK certificate with its claims, unverified.
#[derive(Clone, Debug)]
pub struct VekCertificate {
    pub(crate) certificate: Certificate,
    /// Claims.
    pub claims: VekClaims,
}

impl VekCertificate {
    /// Parses a DER certificate and AMD's extensions in it.
    ///
    /// Steps: 1. a certificate; 2. the subject names the kind; 3. no extension of AMD's that is unknown, and the
    /// version of their structure; 4. a known product; 5. a P-384 key; 6. every component of the product's TCB, no
    /// other; 7. a hardware id of the product's length and no provider (VCEK), or a provider and no hardware id
    /// (VLEK); 8. a VLEK is valid for at most a year and a day.
    ///
    /// # Errors
    /// [`VekError`], one variant per step.
    pub fn parse(der: &[u8]) -> Result<Self, VekError> {
        // Step 1.
        let certificate = Certificate::parse(der).map_err(VekError::Certificate)?;
        // Step 2.
        let kind = match certificate.common_name() {
            Some("SEV-VCEK") => SigningKey::Vcek,
            Some("SEV-VLEK") => SigningKey::Vlek,
            _ => return Err(VekError::Kind),
        };
        // Step 3.
        let of_amd = certificate.extensions().iter().filter(|extension| extension.oid.starts_with(ARC));
        for extension in of_amd {
            if !EXTENSIONS.iter().any(|known| known.oid() == extension.oid) {
                return Err(VekError::UnknownExtension);
            }
        }
        // Step 4.
        let product = product(&certificate)?;
        struct_version(&certificate, product)?;
        // Step 5.
        let Some(PublicKey::P384(point)) = certificate.key().cloned() else {
            return Err(VekError::Key);
        };
        // Steps 6 and 7.
        let tcb = tcb(&certificate, product)?;
        let chip_id = chip_id(&certificate, kind, product)?;
        let provider = provider(&certificate, kind)?;
        // Step 8.
        let Validity { not_before, not_after } = certificate.validity();
        let secs = not_after.saturating_sub(not_before);
        if kind == SigningKey::Vlek && secs > VLEK_LIFE_SECS {
            return Err(VekError::Life { secs });
        }
        Ok(Self { claims: VekClaims { kind, product, tcb, chip_id, provider, point }, certificate })
    }

    /// The certificate.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }
}

/// An IA5String: "Milan", "Genoa" or "Turin", and perhaps a stepping, as in "Milan-B0".
fn product(certificate: &Certificate) -> Result<Product, VekError> {
    let malformed = VekError::Extension { extension: AmdExtension::ProductName };
    let text = match certificate.extension(AmdExtension::ProductName.oid()) {
        Some([0x16, len @ ..=0x7f, text @ ..]) if usize::from(*len) == text.len() => text,
        _ => return Err(malformed),
    };
    let (name, stepping) = match text.iter().position(|byte| *byte == b'-') {
        Some(at) => text.split_at(at),
        None => (text, &[][..]),
    };
    let known_form = match stepping {
        [] => true,
        [_, letter, digit] => letter.is_ascii_uppercase() && digit.is_ascii_digit(),
        _ => false,
    };
    match name {
        b"Milan" if known_form => Ok(Product::Milan),
        b"Genoa" if known_form => Ok(Product::Genoa),
        b"Turin" if known_form => Ok(Product::Turin),
        _ => Err(VekError::Product),
    }
}

/// Version of the structure of these extensions: 0, and 1 where there is an FMC.
fn struct_version(certificate: &Certificate, product: Product) -> Result<(), VekError> {
    let expected = match product {
        Product::Milan | Product::Genoa => 0,
        Product::Turin => 1,
    };
    if component(certificate, AmdExtension::StructVersion)? == expected {
        Ok(())
    } else {
        Err(VekError::Extension { extension: AmdExtension::StructVersion })
    }
}

/// An IA5String that only a VLEK has, such as "CN=cc-us-east-2.amazonaws.com".
fn provider(certificate: &Certificate, kind: SigningKey) -> Result<Option<String>, VekError> {
    let malformed = VekError::Extension { extension: AmdExtension::CspId };
    match (kind, certificate.extension(AmdExtension::CspId.oid())) {
        (SigningKey::Vcek, None) => Ok(None),
        (SigningKey::Vlek, Some([0x16, len, text @ ..]))
            if usize::from(*len) == text.len()
                && (1..=NAME_LEN).contains(&text.len())
                && text.iter().all(|byte| (0x20..0x7f).contains(byte)) =>
        {
            Ok(Some(text.iter().copied().map(char::from).collect()))
        }
        _ => Err(malformed),
    }
}

/// The TCB by components, in the byte order of the product's reports.
fn tcb(certificate: &Certificate, product: Product) -> Result<RawTcb, VekError> {
    use AmdExtension::{BlSpl, FmcSpl, SnpSpl, Spl4, Spl5, Spl6, Spl7, TeeSpl, UcodeSpl};
    let version = |extension| component(certificate, extension);
    Ok(RawTcb(match product {
        Product::Milan | Product::Genoa => {
            if certificate.extension(FmcSpl.oid()).is_some() {
                return Err(VekError::Extension { extension: FmcSpl });
            }
            [
                version(BlSpl)?,
                version(TeeSpl)?,
                version(Spl4)?,
                version(Spl5)?,
                version(Spl6)?,
                version(Spl7)?,
                version(SnpSpl)?,
                version(UcodeSpl)?,
            ]
        }
        Product::Turin => {
            // Turin has no byte for spl_4; a certificate that has one must leave it zero.
            if certificate.extension(Spl4.oid()).is_some() && version(Spl4)? != 0 {
                return Err(VekError::Extension { extension: Spl4 });
            }
            [
                version(FmcSpl)?,
                version(BlSpl)?,
                version(TeeSpl)?,
                version(SnpSpl)?,
                version(Spl5)?,
                version(Spl6)?,
                version(Spl7)?,
                version(UcodeSpl)?,
            ]
        }
    }))
}

/// A DER INTEGER from 0 to 255 in its one shortest form.
fn component(certificate: &Certificate, extension: AmdExtension) -> Result<u8, VekError> {
    match certificate.extension(extension.oid()) {
        Some([2, 1, value @ 0..=0x7f]) | Some([2, 2, 0, value @ 0x80..=0xff]) => Ok(*value),
        _ => Err(VekError::Extension { extension }),
    }
}

/// The hardware id of a VCEK; a VLEK has none.
fn chip_id(certificate: &Certificate, kind: SigningKey, product: Product) -> Result<[u8; 64], VekError> {
    let malformed = VekError::Extension { extension: AmdExtension::HwId };
    let found = certificate.extension(AmdExtension::HwId.oid());
    match (kind, found) {
        (SigningKey::Vlek, None) => Ok([0; 64]),
        (SigningKey::Vcek, Some(id)) => hardware_id(id, product).ok_or(malformed),
        (SigningKey::Vlek, Some(_)) | (SigningKey::Vcek, None) => Err(malformed),
    }
}

/// 64 bytes, 8 on Turin: as they are, or in newer certificates as a DER OCTET STRING. The length tells which.
fn hardware_id(extension: &[u8], product: Product) -> Option<[u8; 64]> {
    let len: u8 = if product == Product::Turin { 8 } else { 64 };
    let id = match extension {
        id if id.len() == usize::from(len) => id,
        [0x04, announced, id @ ..] if *announced == len && id.len() == usize::from(len) => id,
        _ => return None,
    };
    let mut chip_id = [0; 64];
    chip_id.iter_mut().zip(id).for_each(|(to, from)| *to = *from);
    Some(chip_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s4_a_hardware_id_is_read_bare_and_as_an_octet_string_and_in_no_other_form() {
        for (product, len) in [(Product::Milan, 64), (Product::Genoa, 64), (Product::Turin, 8)] {
            // An id may begin as the header does.
            for first in [0x04, 0xa5] {
                let mut id = vec![first; usize::from(len)];
                let mut expected = [0; 64];
                expected[..id.len()].copy_from_slice(&id);
                assert_eq!(hardware_id(&id, product), Some(expected));
                let wrapped = |tag: u8, announced: u8| [&[tag, announced], id.as_slice()].concat();
                assert_eq!(hardware_id(&wrapped(0x04, len), product), Some(expected));
                assert_eq!(hardware_id(&wrapped(0x03, len), product), None);
                assert_eq!(hardware_id(&wrapped(0x04, len - 1), product), None);
                let more = [wrapped(0x04, len).as_slice(), &[0]].concat();
                assert_eq!(hardware_id(&more, product), None);
                id.pop();
                assert_eq!(hardware_id(&id, product), None);
            }
        }
    }
}
