//! Keys of users that sign: Ed25519, ECDSA P-256 and P-384, RSA-PSS.
//!
//! All of it is ring's, whose private operations take time that depends on lengths alone: Ed25519 and ECDSA by
//! construction, RSA by `elem_exp_consttime` with CRT, the result verified before it is given (faults). ring makes
//! no RSA keys. What Wycheproof and NIST vectors there are for these primitives, ring runs.

use std::hint::black_box;

use ring::rand::SystemRandom;
use ring::rsa::KeyPair as RsaKeyPair;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1,
    ECDSA_P384_SHA384_ASN1_SIGNING, ED25519, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
    KeyPair as _, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};

use crate::secret::SecretBytes;
use crate::signature::SignatureError;

/// RFC 8410, section 4: SubjectPublicKeyInfo up to the 32-byte key.
const ED25519_SPKI: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// RFC 5480: id-ecPublicKey with prime256v1, up to the 65-byte point.
const P256_SPKI: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// RFC 5480: id-ecPublicKey with secp384r1, up to the 97-byte point.
const P384_SPKI: &[u8] = &[
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81,
    0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
];
/// RFC 3279, section 2.3.1: AlgorithmIdentifier of rsaEncryption.
const RSA_ALGORITHM: &[u8] =
    &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
/// Bytes before the RSAPublicKey: two headers with 2-byte lengths, the algorithm, the count of unused bits.
const RSA_SPKI_HEADER_LEN: usize = 4 + 15 + 4 + 1;

/// An algorithm that signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA P-256 with SHA-256, signatures in ASN.1.
    EcdsaP256,
    /// ECDSA P-384 with SHA-384, signatures in ASN.1.
    EcdsaP384,
    /// Ed25519.
    Ed25519,
    /// RSASSA-PSS with SHA-256, MGF1 with SHA-256 and a salt of 32 bytes.
    RsaPss,
}

/// A private key ready for use. ring keeps its numbers in memory of its own: the elliptic ones are overwritten on
/// drop; those of RSA are on the heap where nobody else reaches them, and end with the process.
pub struct SigningKey(Pair);

enum Pair {
    Ecdsa(Box<EcdsaKeyPair>, Algorithm),
    Ed25519(Box<Ed25519KeyPair>),
    Rsa(Box<RsaKeyPair>),
}

impl SigningKey {
    /// Reads a private key: a 32-byte seed for Ed25519, PKCS#8 DER for the others.
    ///
    /// # Errors
    /// [`SignatureError::Key`] unless it is exactly that, and its public and private parts fit.
    pub fn read(algorithm: Algorithm, material: &SecretBytes) -> Result<Self, SignatureError> {
        let bytes = material.expose_secret();
        Ok(Self(match algorithm {
            Algorithm::EcdsaP256 | Algorithm::EcdsaP384 => {
                let ring = ecdsa(algorithm).ok_or(SignatureError::Key)?;
                let pair = EcdsaKeyPair::from_pkcs8(ring, bytes, &SystemRandom::new());
                Pair::Ecdsa(Box::new(pair.map_err(|_| SignatureError::Key)?), algorithm)
            }
            Algorithm::Ed25519 => {
                let pair = Ed25519KeyPair::from_seed_unchecked(bytes).map_err(|_| SignatureError::Key)?;
                Pair::Ed25519(Box::new(pair))
            }
            Algorithm::RsaPss => {
                Pair::Rsa(Box::new(RsaKeyPair::from_pkcs8(bytes).map_err(|_| SignatureError::Key)?))
            }
        }))
    }

    /// DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn spki(&self) -> Vec<u8> {
        match &self.0 {
            Pair::Ecdsa(pair, algorithm) => {
                let prefix = if *algorithm == Algorithm::EcdsaP256 { P256_SPKI } else { P384_SPKI };
                [prefix, pair.public_key().as_ref()].concat()
            }
            Pair::Ed25519(pair) => [ED25519_SPKI, pair.public_key().as_ref()].concat(),
            Pair::Rsa(pair) => rsa_spki(pair.public().as_ref()),
        }
    }

    /// Signs.
    ///
    /// # Errors
    /// [`SignatureError::Random`].
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        let random = SystemRandom::new();
        match &self.0 {
            Pair::Ecdsa(pair, _) => {
                Ok(pair.sign(&random, message).map_err(|_| SignatureError::Random)?.as_ref().to_vec())
            }
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PSS_SHA256, &random, message, &mut signature)
                    .map_err(|_| SignatureError::Random)?;
                Ok(signature)
            }
        }
    }
}

impl Drop for SigningKey {
    /// Overwrites the secret numbers with a known key's, in place.
    fn drop(&mut self) {
        match &mut self.0 {
            Pair::Ecdsa(pair, algorithm) => {
                if let Some(known) = known_ecdsa(*algorithm) {
                    **pair = known;
                    black_box(pair);
                }
            }
            Pair::Ed25519(pair) => {
                if let Ok(known) = Ed25519KeyPair::from_seed_unchecked(&[0; 32]) {
                    **pair = known;
                    black_box(pair);
                }
            }
            Pair::Rsa(_) => {}
        }
    }
}

/// Makes a new private key, in the form that [`SigningKey::read`] takes.
///
/// # Errors
/// [`SignatureError::Random`]; [`SignatureError::Key`] for RSA, which ring cannot make.
pub fn generate(algorithm: Algorithm) -> Result<SecretBytes, SignatureError> {
    match algorithm {
        Algorithm::EcdsaP256 | Algorithm::EcdsaP384 => {
            let ring = ecdsa(algorithm).ok_or(SignatureError::Key)?;
            let document = EcdsaKeyPair::generate_pkcs8(ring, &SystemRandom::new());
            Ok(SecretBytes::new(document.map_err(|_| SignatureError::Random)?.as_ref().to_vec()))
        }
        Algorithm::Ed25519 => {
            let seed = crate::random::key().map_err(|_| SignatureError::Random)?;
            Ok(SecretBytes::new(seed.expose_secret().to_vec()))
        }
        Algorithm::RsaPss => Err(SignatureError::Key),
    }
}

/// Verifies with a public key that [`SigningKey::spki`] gave.
///
/// # Errors
/// [`SignatureError::Key`] for another form; [`SignatureError::Invalid`].
pub fn verify(
    algorithm: Algorithm,
    spki: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    let (ring, key): (&'static dyn VerificationAlgorithm, _) = match algorithm {
        Algorithm::EcdsaP256 => (&ECDSA_P256_SHA256_ASN1, spki.strip_prefix(P256_SPKI)),
        Algorithm::EcdsaP384 => (&ECDSA_P384_SHA384_ASN1, spki.strip_prefix(P384_SPKI)),
        Algorithm::Ed25519 => (&ED25519, spki.strip_prefix(ED25519_SPKI)),
        Algorithm::RsaPss => (&RSA_PSS_2048_8192_SHA256, spki.get(RSA_SPKI_HEADER_LEN..)),
    };
    let key = UnparsedPublicKey::new(ring, key.ok_or(SignatureError::Key)?);
    key.verify(message, signature).map_err(|_| SignatureError::Invalid)
}

fn ecdsa(algorithm: Algorithm) -> Option<&'static EcdsaSigningAlgorithm> {
    match algorithm {
        Algorithm::EcdsaP256 => Some(&ECDSA_P256_SHA256_ASN1_SIGNING),
        Algorithm::EcdsaP384 => Some(&ECDSA_P384_SHA384_ASN1_SIGNING),
        Algorithm::Ed25519 | Algorithm::RsaPss => None,
    }
}

/// The key pair of the scalar 1: its public key is the base point (SEC 2 version 2.0, 2.4.2 and 2.5.1).
fn known_ecdsa(algorithm: Algorithm) -> Option<EcdsaKeyPair> {
    let ring = ecdsa(algorithm)?;
    let (len, base): (usize, &[u8]) = match algorithm {
        Algorithm::EcdsaP256 => (32, &P256_BASE),
        _ => (48, &P384_BASE),
    };
    let mut scalar = vec![0; len];
    *scalar.last_mut()? = 1;
    EcdsaKeyPair::from_private_key_and_public_key(ring, &scalar, base, &SystemRandom::new()).ok()
}

#[rustfmt::skip]
const P256_BASE: [u8; 65] = [
    0x04,
    0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2,
    0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96,
    0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16,
    0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5,
];
#[rustfmt::skip]
const P384_BASE: [u8; 97] = [
    0x04,
    0xaa, 0x87, 0xca, 0x22, 0xbe, 0x8b, 0x05, 0x37, 0x8e, 0xb1, 0xc7, 0x1e, 0xf3, 0x20, 0xad, 0x74,
    0x6e, 0x1d, 0x3b, 0x62, 0x8b, 0xa7, 0x9b, 0x98, 0x59, 0xf7, 0x41, 0xe0, 0x82, 0x54, 0x2a, 0x38,
    0x55, 0x02, 0xf2, 0x5d, 0xbf, 0x55, 0x29, 0x6c, 0x3a, 0x54, 0x5e, 0x38, 0x72, 0x76, 0x0a, 0xb7,
    0x36, 0x17, 0xde, 0x4a, 0x96, 0x26, 0x2c, 0x6f, 0x5d, 0x9e, 0x98, 0xbf, 0x92, 0x92, 0xdc, 0x29,
    0xf8, 0xf4, 0x1d, 0xbd, 0x28, 0x9a, 0x14, 0x7c, 0xe9, 0xda, 0x31, 0x13, 0xb5, 0xf0, 0xb8, 0xc0,
    0x0a, 0x60, 0xb1, 0xce, 0x1d, 0x7e, 0x81, 0x9d, 0x7a, 0x43, 0x1d, 0x7c, 0x90, 0xea, 0x0e, 0x5f,
];

/// SubjectPublicKeyInfo of an RSAPublicKey (DER). Moduli of 2,048 to 4,096 bits have 2-byte lengths.
fn rsa_spki(public: &[u8]) -> Vec<u8> {
    let header = |tag: u8, len: usize| {
        let [.., high, low] = len.to_be_bytes();
        [tag, 0x82, high, low]
    };
    let bits = header(0x03, public.len() + 1);
    let outer = header(0x30, RSA_ALGORITHM.len() + bits.len() + 1 + public.len());
    [&outer, RSA_ALGORITHM, &bits, &[0], public].concat()
}

#[cfg(test)]
mod tests;
