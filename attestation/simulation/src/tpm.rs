//! A TPM in software: keys, public areas, quotes and signatures in the TPM's own bytes (TPM 2.0 Library, Part 2,
//! revision 1.59), and certificates in the shapes that makers and clouds give them.
//!
//! From a seed, keys and signatures are the same every time (RSASSA-PSS draws its salt from the seed and the
//! message).

mod certificate;
mod quote;

use p256::pkcs8::EncodePublicKey as _;
use rsa::RsaPrivateKey;
use rsa::signature::{RandomizedSigner, SignatureEncoding, Signer};
use rsa::traits::PublicKeyParts;
use sha2::{Digest, Sha256, Sha384};
use zeroize::Zeroizing;

pub use certificate::{
    AK_USAGE, AlternativeName, Constraints, EK_USAGE, ExtraExtension, KeyUse, TpmAuthority,
    TpmCertificateSpec,
};
pub use quote::QuoteBuilder;

use crate::SimulationError;
use crate::random::Source;

/// TPM_ALG_SHA1.
pub const ALG_SHA1: u16 = 0x0004;
/// TPM_ALG_SHA256.
pub const ALG_SHA256: u16 = 0x000b;
/// TPM_ALG_SHA384.
pub const ALG_SHA384: u16 = 0x000c;
/// TPM_ALG_SHA512.
pub const ALG_SHA512: u16 = 0x000d;
/// TPMA_OBJECT of an attestation key: fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign.
pub const AK_ATTRIBUTES: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 16 | 1 << 18;
/// TPMA_OBJECT of an endorsement key: fixedTPM, fixedParent, sensitiveDataOrigin, adminWithPolicy, restricted,
/// decrypt.
pub const EK_ATTRIBUTES: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 16 | 1 << 17;

/// Bits of an RSA key.
const RSA_BITS: usize = 2048;

/// What a key is and how it signs. RSA keys have 2,048 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TpmKeyKind {
    /// ECDSA on P-256 with SHA-256.
    EcdsaP256,
    /// ECDSA on P-384 with SHA-384.
    EcdsaP384,
    /// RSASSA-PSS with SHA-256, salt of 32 bytes.
    RsaPssSha256,
    /// RSASSA-PSS with SHA-384, salt of 48 bytes.
    RsaPssSha384,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RsaSsaSha256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RsaSsaSha384,
}

impl TpmKeyKind {
    /// TPM_ALG_ID of its hash.
    #[must_use]
    pub fn hash(self) -> u16 {
        match self {
            Self::EcdsaP256 | Self::RsaPssSha256 | Self::RsaSsaSha256 => ALG_SHA256,
            Self::EcdsaP384 | Self::RsaPssSha384 | Self::RsaSsaSha384 => ALG_SHA384,
        }
    }

    /// TPM_ALG_ID of its scheme.
    #[must_use]
    pub fn scheme(self) -> u16 {
        match self {
            Self::EcdsaP256 | Self::EcdsaP384 => 0x0018,
            Self::RsaPssSha256 | Self::RsaPssSha384 => 0x0016,
            Self::RsaSsaSha256 | Self::RsaSsaSha384 => 0x0014,
        }
    }

    /// Hash of the concatenated parts, with its hash.
    #[must_use]
    pub fn digest(self, parts: &[&[u8]]) -> Vec<u8> {
        if self.hash() == ALG_SHA384 { digest::<Sha384>(parts) } else { digest::<Sha256>(parts) }
    }
}

fn digest<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
    parts.iter().fold(D::new(), |hash, part| hash.chain_update(part)).finalize().to_vec()
}

/// A key that a TPM would keep to itself.
pub struct TpmKey {
    kind: TpmKeyKind,
    secret: Secret,
    source: Source,
}

enum Secret {
    P256(p256::SecretKey),
    P384(p384::SecretKey),
    Rsa(Box<RsaPrivateKey>),
}

/// A TPMT_PUBLIC before it is encoded, all but the key. Starts right; every field can be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicSpec {
    /// nameAlg.
    pub name_algorithm: u16,
    /// objectAttributes.
    pub attributes: u32,
    /// authPolicy.
    pub auth_policy: Vec<u8>,
    /// TPMT_SYM_DEF_OBJECT, encoded.
    pub symmetric: Vec<u8>,
    /// TPMT_RSA_SCHEME or TPMT_ECC_SCHEME, encoded.
    pub scheme: Vec<u8>,
}

impl PublicSpec {
    /// Of an attestation key.
    #[must_use]
    pub fn ak(kind: TpmKeyKind) -> Self {
        Self {
            name_algorithm: ALG_SHA256,
            attributes: AK_ATTRIBUTES,
            auth_policy: Vec::new(),
            symmetric: vec![0x00, 0x10],
            scheme: [kind.scheme().to_be_bytes(), kind.hash().to_be_bytes()].concat(),
        }
    }

    /// Of an endorsement key: AES-128 in CFB mode, no scheme.
    #[must_use]
    pub fn ek() -> Self {
        Self {
            name_algorithm: ALG_SHA256,
            attributes: EK_ATTRIBUTES,
            auth_policy: Vec::new(),
            symmetric: vec![0x00, 0x06, 0x00, 0x80, 0x00, 0x43],
            scheme: vec![0x00, 0x10],
        }
    }
}

impl TpmKey {
    /// A fresh key.
    ///
    /// # Errors
    /// [`SimulationError`].
    pub fn generate(kind: TpmKeyKind) -> Result<Self, SimulationError> {
        Self::from_source(kind, Source::System, "")
    }

    /// The key of a seed and a label.
    ///
    /// # Errors
    /// [`SimulationError`].
    pub fn from_seed(kind: TpmKeyKind, seed: [u8; 32], label: &str) -> Result<Self, SimulationError> {
        Self::from_source(kind, Source::Seed(Zeroizing::new(seed)), label)
    }

    fn from_source(kind: TpmKeyKind, source: Source, label: &str) -> Result<Self, SimulationError> {
        let mut random = source.stream(&[b"tpm-key", label.as_bytes()])?;
        let secret = match kind {
            TpmKeyKind::EcdsaP256 => Secret::P256(p256::SecretKey::random(&mut random)),
            TpmKeyKind::EcdsaP384 => Secret::P384(p384::SecretKey::random(&mut random)),
            TpmKeyKind::RsaPssSha256
            | TpmKeyKind::RsaPssSha384
            | TpmKeyKind::RsaSsaSha256
            | TpmKeyKind::RsaSsaSha384 => {
                let key = RsaPrivateKey::new(&mut random, RSA_BITS).map_err(|_| SimulationError::Key)?;
                Secret::Rsa(Box::new(key))
            }
        };
        Ok(Self { kind, secret, source })
    }

    /// The same RSA key signing in another way.
    ///
    /// # Errors
    /// [`SimulationError::Key`] if the key cannot be of that kind.
    pub fn as_kind(&self, kind: TpmKeyKind) -> Result<Self, SimulationError> {
        let rsa = |kind| !matches!(kind, TpmKeyKind::EcdsaP256 | TpmKeyKind::EcdsaP384);
        match &self.secret {
            Secret::Rsa(key) if rsa(kind) => {
                Ok(Self { kind, secret: Secret::Rsa(key.clone()), source: self.source.clone() })
            }
            _ => Err(SimulationError::Key),
        }
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> TpmKeyKind {
        self.kind
    }

    /// DER of its SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// [`SimulationError::Key`].
    pub fn spki(&self) -> Result<Vec<u8>, SimulationError> {
        let der = match &self.secret {
            Secret::P256(key) => key.public_key().to_public_key_der(),
            Secret::P384(key) => key.public_key().to_public_key_der(),
            Secret::Rsa(key) => key.to_public_key().to_public_key_der(),
        };
        Ok(der.map_err(|_| SimulationError::Key)?.into_vec())
    }

    /// TPMT_PUBLIC.
    #[must_use]
    pub fn public_area(&self, spec: &PublicSpec) -> Vec<u8> {
        let PublicSpec { name_algorithm, attributes, auth_policy, symmetric, scheme } = spec;
        let (kind, parameters, unique): (u16, Vec<u8>, Vec<u8>) = match &self.secret {
            // Curve, and no key derivation.
            Secret::P256(_) => (0x0023, vec![0x00, 0x03, 0x00, 0x10], self.point()),
            Secret::P384(_) => (0x0023, vec![0x00, 0x04, 0x00, 0x10], self.point()),
            // Bits, and the default exponent.
            Secret::Rsa(key) => (0x0001, vec![0x08, 0x00, 0, 0, 0, 0], sized(&key.n().to_bytes_be())),
        };
        [
            kind.to_be_bytes().as_slice(),
            &name_algorithm.to_be_bytes(),
            &attributes.to_be_bytes(),
            &sized(auth_policy),
            symmetric,
            scheme,
            &parameters,
            &unique,
        ]
        .concat()
    }

    /// TPMT_PUBLIC of this key as a right attestation key.
    #[must_use]
    pub fn ak_public(&self) -> Vec<u8> {
        self.public_area(&PublicSpec::ak(self.kind))
    }

    /// TPMS_ECC_POINT.
    fn point(&self) -> Vec<u8> {
        use p256::elliptic_curve::sec1::ToEncodedPoint;
        let point = match &self.secret {
            Secret::P256(key) => key.public_key().to_encoded_point(false).as_bytes().to_vec(),
            Secret::P384(key) => key.public_key().to_encoded_point(false).as_bytes().to_vec(),
            Secret::Rsa(_) => Vec::new(),
        };
        // The first byte says that the point is not compressed.
        let coordinates = point.get(1..).unwrap_or_default();
        let (x, y) = coordinates.split_at(coordinates.len() / 2);
        [sized(x), sized(y)].concat()
    }

    /// A JSON Web Key as paravisors write it, with this name and use; empty for a key that is not RSA.
    #[must_use]
    pub fn jwk(&self, name: &str, operation: &str) -> String {
        match &self.secret {
            Secret::Rsa(key) => format!(
                r#"{{"kid":"{name}","key_ops":["{operation}"],"kty":"RSA","e":"AQAB","n":"{}"}}"#,
                base64url(&key.n().to_bytes_be())
            ),
            Secret::P256(_) | Secret::P384(_) => String::new(),
        }
    }

    /// TPMT_SIGNATURE over bytes, with the key's scheme and hash.
    ///
    /// # Errors
    /// [`SimulationError`].
    pub fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, SimulationError> {
        let raw = self.sign_raw(bytes)?;
        let fields = match &self.secret {
            Secret::Rsa(_) => sized(&raw),
            Secret::P256(_) | Secret::P384(_) => {
                let (r, s) = raw.split_at(raw.len() / 2);
                [sized(r), sized(s)].concat()
            }
        };
        let Self { kind, .. } = self;
        Ok([kind.scheme().to_be_bytes().as_slice(), &kind.hash().to_be_bytes(), &fields].concat())
    }

    /// The signature alone: as long as the modulus, or r and s.
    ///
    /// # Errors
    /// [`SimulationError`].
    pub fn sign_raw(&self, bytes: &[u8]) -> Result<Vec<u8>, SimulationError> {
        let key = |_| SimulationError::Key;
        Ok(match (&self.secret, self.kind.hash()) {
            (Secret::P256(secret), _) => {
                let signature: p256::ecdsa::Signature =
                    p256::ecdsa::SigningKey::from(secret).try_sign(bytes).map_err(key)?;
                signature.to_bytes().to_vec()
            }
            (Secret::P384(secret), _) => {
                let signature: p384::ecdsa::Signature =
                    p384::ecdsa::SigningKey::from(secret).try_sign(bytes).map_err(key)?;
                signature.to_bytes().to_vec()
            }
            (Secret::Rsa(secret), hash) => {
                let secret = RsaPrivateKey::clone(secret);
                match (self.kind.scheme(), hash) {
                    (0x0016, ALG_SHA384) => self.sign_pss::<Sha384>(secret, bytes)?,
                    (0x0016, _) => self.sign_pss::<Sha256>(secret, bytes)?,
                    (_, ALG_SHA384) => rsa::pkcs1v15::SigningKey::<Sha384>::new(secret)
                        .try_sign(bytes)
                        .map_err(key)?
                        .to_vec(),
                    _ => rsa::pkcs1v15::SigningKey::<Sha256>::new(secret)
                        .try_sign(bytes)
                        .map_err(key)?
                        .to_vec(),
                }
            }
        })
    }

    fn sign_pss<D>(&self, key: RsaPrivateKey, bytes: &[u8]) -> Result<Vec<u8>, SimulationError>
    where
        D: Digest + rsa::signature::digest::FixedOutputReset,
    {
        let mut random = self.source.stream(&[b"tpm-signature", bytes])?;
        let signature = rsa::pss::SigningKey::<D>::new(key).try_sign_with_rng(&mut random, bytes);
        Ok(signature.map_err(|_| SimulationError::Key)?.to_vec())
    }
}

/// A TPM2B: two bytes of length, big-endian, and the bytes (at most 65,535).
#[must_use]
pub fn sized(bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [len.to_be_bytes().as_slice(), bytes].concat()
}

/// Base64url without padding (RFC 4648, section 5).
fn base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0u32, |bits, at| bits << 8 | u32::from(group.get(at).copied().unwrap_or(0)));
        for at in 0..=group.len() {
            let letter = (bits >> (18 - 6 * at)) & 0x3f;
            let letter = usize::try_from(letter).ok().and_then(|letter| LETTERS.get(letter));
            text.push(letter.map_or('A', |letter| char::from(*letter)));
        }
    }
    text
}
