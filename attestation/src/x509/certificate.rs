//! One certificate: parsed once into owned, bounded values. Nothing here is believed yet.

use vouchsafe_crypto::verify::{HashAlgorithm, PublicKey, Scheme};
use vouchsafe_protocol::limits::CERTIFICATE_LEN;
use x509_parser::asn1_rs::{Any, FromDer, Oid, oid};
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{
    AlgorithmIdentifier, SubjectPublicKeyInfo, X509Certificate, X509Extension, X509Version,
};
use x509_parser::public_key::{PublicKey as ParsedKey, RSAPublicKey};
use x509_parser::signature_algorithm::RsaSsaPssParams;

use super::envelope::check_envelope;

/// Most extensions in one certificate; AMD's have 11, TPM vendors' about 10.
const EXTENSIONS: usize = 32;

/// Why bytes are not a certificate that this verifier reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The inner and the outer signature algorithm differ (RFC 5280, section 4.1.1.2).
    #[error("signature algorithms of a certificate disagree")]
    AlgorithmMismatch,
    /// An extension occurs twice, or there are too many.
    #[error("certificate repeats an extension or has too many")]
    Extensions,
    /// Not one DER certificate of version 3, whole.
    #[error("certificate is malformed")]
    Malformed,
    /// Longer than [`CERTIFICATE_LEN`].
    #[error("certificate of {len} bytes is too long")]
    TooLong {
        /// Length in bytes.
        len: usize,
    },
}

/// Dates between which a certificate, or a chain of them, is valid; seconds since 1970, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First second.
    pub not_before: i64,
    /// Last second.
    pub not_after: i64,
}

impl Validity {
    /// The time that both cover.
    #[must_use]
    pub fn intersect(self, other: Self) -> Self {
        Self {
            not_before: self.not_before.max(other.not_before),
            not_after: self.not_after.min(other.not_after),
        }
    }
}

/// Bits of the key usage extension (RFC 5280, section 4.2.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUsage {
    /// May sign messages.
    pub digital_signature: bool,
    /// May decrypt keys.
    pub key_encipherment: bool,
    /// May agree on keys.
    pub key_agreement: bool,
    /// May sign certificates.
    pub cert_sign: bool,
    /// May sign revocation lists.
    pub crl_sign: bool,
}

/// An extension as it stands in the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Object identifier, dotted.
    pub oid: String,
    /// Whether a reader that does not know it must refuse the certificate.
    pub critical: bool,
    /// Content of the OCTET STRING.
    pub value: Vec<u8>,
}

/// A parsed certificate, unverified.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub(crate) der: Vec<u8>,
    pub(crate) tbs: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) scheme: Option<Scheme>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    pub(crate) serial: Vec<u8>,
    pub(crate) common_name: Option<String>,
    pub(crate) validity: Validity,
    pub(crate) key: Option<PublicKey>,
    pub(crate) spki: Vec<u8>,
    pub(crate) authority: Option<Authority>,
    pub(crate) key_usage: Option<KeyUsage>,
    pub(crate) extended_usage: Option<Vec<String>>,
    pub(crate) extensions: Vec<Extension>,
    pub(crate) not_understood: bool,
}

/// Basic constraints of a certificate authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Authority {
    /// Most intermediates below it, if it says so.
    pub(crate) path_len: Option<u32>,
}

impl Certificate {
    /// Parses exactly one DER certificate.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > CERTIFICATE_LEN {
            return Err(CertificateError::TooLong { len: der.len() });
        }
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|_| CertificateError::Malformed)?;
        if !rest.is_empty() || parsed.version() != X509Version::V3 || parsed.signature_value.unused_bits != 0
        {
            return Err(CertificateError::Malformed);
        }
        check_envelope(der, 2)?;
        let (extensions, constraints) = read_extensions(parsed.extensions())?;
        let mut names = parsed.subject().iter_common_name();
        let common_name = match (names.next(), names.next()) {
            (Some(name), None) => name.as_str().ok().map(str::to_owned),
            _ => None,
        };
        Ok(Self {
            tbs: parsed.tbs_certificate.as_ref().to_vec(),
            signature: parsed.signature_value.data.to_vec(),
            scheme: signature_scheme(&parsed.signature_algorithm),
            issuer: parsed.issuer().as_raw().to_vec(),
            subject: parsed.subject().as_raw().to_vec(),
            serial: parsed.raw_serial().to_vec(),
            common_name,
            validity: Validity {
                not_before: parsed.validity().not_before.timestamp(),
                not_after: parsed.validity().not_after.timestamp(),
            },
            key: public_key(parsed.public_key()),
            spki: parsed.public_key().raw.to_vec(),
            authority: constraints.authority,
            key_usage: constraints.key_usage,
            extended_usage: constraints.extended_usage,
            not_understood: constraints.not_understood,
            extensions,
            der: der.to_vec(),
        })
    }

    /// The bytes that were parsed.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The one common name of the subject, if there is exactly one.
    #[must_use]
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// Whether the subject has a name or, if it is empty, a critical alternative name (RFC 5280, section 4.2.1.6).
    #[must_use]
    pub fn names_its_subject(&self) -> bool {
        let alternative =
            self.extensions.iter().any(|extension| extension.oid == "2.5.29.17" && extension.critical);
        self.subject != [0x30, 0] || alternative
    }

    /// Dates.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// DER of the SubjectPublicKeyInfo.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The key, if it is of a kind this verifier knows.
    #[must_use]
    pub fn key(&self) -> Option<&PublicKey> {
        self.key.as_ref()
    }

    /// Serial number, big-endian, as encoded.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// How it is signed, if in a way this verifier knows.
    #[must_use]
    pub fn scheme(&self) -> Option<Scheme> {
        self.scheme
    }

    /// Key usage, if it says.
    #[must_use]
    pub fn key_usage(&self) -> Option<KeyUsage> {
        self.key_usage
    }

    /// Whether it is a certificate authority's.
    #[must_use]
    pub fn is_authority(&self) -> bool {
        self.authority.is_some()
    }

    /// Every extension.
    #[must_use]
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// The content of an extension by its dotted object identifier.
    #[must_use]
    pub fn extension(&self, oid: &str) -> Option<&[u8]> {
        self.extensions.iter().find(|extension| extension.oid == oid).map(|found| found.value.as_slice())
    }
}

/// Reads a DER SubjectPublicKeyInfo. `None` unless whole and of a kind this verifier knows.
#[must_use]
pub fn parse_spki(der: &[u8]) -> Option<PublicKey> {
    match SubjectPublicKeyInfo::from_der(der) {
        Ok(([], spki)) => public_key(&spki),
        _ => None,
    }
}

#[derive(Default)]
struct Constraints {
    authority: Option<Authority>,
    key_usage: Option<KeyUsage>,
    extended_usage: Option<Vec<String>>,
    /// A critical extension, or any name constraint, that the chain walk does not evaluate.
    not_understood: bool,
}

fn read_extensions(parsed: &[X509Extension<'_>]) -> Result<(Vec<Extension>, Constraints), CertificateError> {
    if parsed.len() > EXTENSIONS {
        return Err(CertificateError::Extensions);
    }
    let mut extensions: Vec<Extension> = Vec::with_capacity(parsed.len());
    let mut found = Constraints::default();
    for extension in parsed {
        let oid = extension.oid.to_id_string();
        if extensions.iter().any(|seen| seen.oid == oid) {
            return Err(CertificateError::Extensions);
        }
        match extension.parsed_extension() {
            ParsedExtension::BasicConstraints(constraints) => {
                found.authority =
                    constraints.ca.then_some(Authority { path_len: constraints.path_len_constraint });
            }
            ParsedExtension::KeyUsage(usage) => {
                found.key_usage = Some(KeyUsage {
                    digital_signature: usage.digital_signature(),
                    key_encipherment: usage.key_encipherment(),
                    key_agreement: usage.key_agreement(),
                    cert_sign: usage.key_cert_sign(),
                    crl_sign: usage.crl_sign(),
                });
            }
            ParsedExtension::ExtendedKeyUsage(usage) => {
                found.extended_usage = Some(usage.other.iter().map(Oid::to_id_string).collect());
            }
            // A SAN names the TPM's model in a directory name; policies restrict nothing unless a verifier
            // asks for one, and this one does not.
            ParsedExtension::SubjectAlternativeName(_) | ParsedExtension::CertificatePolicies(_) => {}
            ParsedExtension::NameConstraints(_) => found.not_understood = true,
            ParsedExtension::ParseError { .. } if is_known(&oid) => return Err(CertificateError::Malformed),
            _ => found.not_understood |= extension.critical,
        }
        extensions.push(Extension { oid, critical: extension.critical, value: extension.value.to_vec() });
    }
    Ok((extensions, found))
}

/// Extensions that decide something here (basic constraints, key usage, extended key usage, names): a
/// broken one must not count as absent.
fn is_known(oid: &str) -> bool {
    matches!(oid, "2.5.29.15" | "2.5.29.17" | "2.5.29.19" | "2.5.29.30" | "2.5.29.37")
}

pub(crate) fn signature_scheme(algorithm: &AlgorithmIdentifier<'_>) -> Option<Scheme> {
    let oid = algorithm.algorithm.to_id_string();
    Some(match oid.as_str() {
        "1.2.840.113549.1.1.11" => Scheme::RsaPkcs1(HashAlgorithm::Sha256),
        "1.2.840.113549.1.1.12" => Scheme::RsaPkcs1(HashAlgorithm::Sha384),
        "1.2.840.113549.1.1.13" => Scheme::RsaPkcs1(HashAlgorithm::Sha512),
        "1.2.840.10045.4.3.2" => Scheme::EcdsaAsn1(HashAlgorithm::Sha256),
        "1.2.840.10045.4.3.3" => Scheme::EcdsaAsn1(HashAlgorithm::Sha384),
        "1.2.840.113549.1.1.10" => pss_scheme(algorithm.parameters.as_ref()?)?,
        _ => return None,
    })
}

/// RSASSA-PSS with one hash for message and mask, a salt as long as it, and trailer 1 (RFC 4055, section 3.1);
/// the defaults (SHA-1) are not accepted.
fn pss_scheme(parameters: &Any<'_>) -> Option<Scheme> {
    let parameters = RsaSsaPssParams::try_from(parameters).ok()?;
    let mask = parameters.mask_gen_algorithm().ok()?;
    let hash = match parameters.hash_algorithm_oid().to_id_string().as_str() {
        "2.16.840.1.101.3.4.2.1" => HashAlgorithm::Sha256,
        "2.16.840.1.101.3.4.2.2" => HashAlgorithm::Sha384,
        "2.16.840.1.101.3.4.2.3" => HashAlgorithm::Sha512,
        _ => return None,
    };
    let same_hash = mask.mgf == oid!(1.2.840.113549.1.1.8) && mask.hash == *parameters.hash_algorithm_oid();
    let salt = usize::try_from(parameters.salt_length()).ok()?;
    (same_hash && salt == hash.len() && parameters.trailer_field() == 1).then_some(Scheme::RsaPss(hash))
}

fn public_key(spki: &SubjectPublicKeyInfo<'_>) -> Option<PublicKey> {
    if spki.subject_public_key.unused_bits != 0 {
        return None;
    }
    match spki.parsed().ok()? {
        ParsedKey::EC(point) => {
            let curve = spki.algorithm.parameters.as_ref()?.as_oid().ok()?;
            let point = point.data().to_vec();
            match (curve.to_id_string().as_str(), point.as_slice()) {
                ("1.2.840.10045.3.1.7", [4, xy @ ..]) if xy.len() == 64 => Some(PublicKey::P256(point)),
                ("1.3.132.0.34", [4, xy @ ..]) if xy.len() == 96 => Some(PublicKey::P384(point)),
                _ => None,
            }
        }
        ParsedKey::RSA(key) => Some(rsa_key(&key)),
        // Some endorsement keys are marked as RSAES-OAEP keys (RFC 4055, section 4).
        ParsedKey::Unknown(bytes) if spki.algorithm.algorithm == oid!(1.2.840.113549.1.1.7) => {
            match RSAPublicKey::from_der(bytes) {
                Ok(([], key)) => Some(rsa_key(&key)),
                _ => None,
            }
        }
        _ => None,
    }
}

fn rsa_key(key: &RSAPublicKey<'_>) -> PublicKey {
    PublicKey::Rsa {
        modulus: without_leading_zeros(key.modulus),
        exponent: without_leading_zeros(key.exponent),
    }
}

/// DER of the SubjectPublicKeyInfo of an RSA key (RFC 3279, section 2.3.1). Modulus and exponent are positive, without
/// leading zeros and shorter than 64 KiB.
pub(crate) fn rsa_spki(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    /// rsaEncryption, and NULL.
    const ALGORITHM: [u8; 15] =
        [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        let [high, low] = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
        let len: &[u8] = match (high, low) {
            (0, 0..=0x7f) => &[low],
            (0, _) => &[0x81, low],
            _ => &[0x82, high, low],
        };
        [&[tag], len, content].concat()
    }
    let integer = |bytes: &[u8]| {
        let sign: &[u8] = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) { &[0] } else { &[] };
        tlv(0x02, &[sign, bytes].concat())
    };
    let key = tlv(0x30, &[integer(modulus), integer(exponent)].concat());
    let key = tlv(0x03, &[&[0], key.as_slice()].concat());
    tlv(0x30, &[ALGORITHM.as_slice(), &key].concat())
}

pub(crate) fn without_leading_zeros(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().skip_while(|byte| *byte == 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_in_their_one_shortest_form() {
        let key = |modulus_len: usize| rsa_spki(&vec![0x80; modulus_len], &[1, 0, 1]);
        // As any tool writes keys of 512, 1024 and 2048 bits.
        assert_eq!(key(64)[..2], [0x30, 0x5c]);
        assert_eq!(key(128)[..3], [0x30, 0x81, 0x9f]);
        assert_eq!(key(256)[..4], [0x30, 0x82, 0x01, 0x22]);
        for len in [64, 128, 256] {
            assert!(matches!(SubjectPublicKeyInfo::from_der(&key(len)), Ok(([], _))));
        }
    }
}
