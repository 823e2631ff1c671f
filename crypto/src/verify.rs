//! Verification with public keys, over public bytes: certificates, reports, quotes.
//!
//! Called by `vouchsafe-attestation`, with keys and signatures that an adversary chose. Invariant: a
//! function returns `Ok` only if the signature is right for exactly this message under exactly this
//! algorithm; the caller chose the algorithm, never the key or the signature.

use ring::{digest, signature};

/// Hash functions that evidence of others uses. What Vouchsafe itself hashes uses `crate::digest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashAlgorithm {
    /// SHA-1. Collisions are practical: only for a policy that names it.
    DangerousSha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl HashAlgorithm {
    /// Length of a digest in bytes.
    #[must_use]
    pub fn len(self) -> usize {
        self.ring().output_len()
    }

    /// Never; a digest has at least 20 bytes.
    #[must_use]
    pub fn is_empty(self) -> bool {
        false
    }

    /// Hash of the concatenated parts.
    #[must_use]
    pub fn digest(self, parts: &[&[u8]]) -> Vec<u8> {
        let mut context = digest::Context::new(self.ring());
        for part in parts {
            context.update(part);
        }
        context.finish().as_ref().to_vec()
    }

    /// Hash of the concatenated parts, without an allocation.
    #[must_use]
    pub fn hash(self, parts: &[&[u8]]) -> Digest {
        let mut context = digest::Context::new(self.ring());
        for part in parts {
            context.update(part);
        }
        Digest(context.finish())
    }

    fn ring(self) -> &'static digest::Algorithm {
        match self {
            Self::DangerousSha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

/// A hash, by reference as its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Digest(digest::Digest);

impl AsRef<[u8]> for Digest {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref()
    }
}

/// A public key that signs evidence or certificates.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PublicKey {
    /// P-256: 65 bytes, uncompressed point.
    P256(Vec<u8>),
    /// P-384: 97 bytes, uncompressed point.
    P384(Vec<u8>),
    /// RSA, 2,048 to 8,192 bits: modulus and exponent, big-endian.
    Rsa {
        /// Modulus, without leading zeros.
        modulus: Vec<u8>,
        /// Public exponent, without leading zeros.
        exponent: Vec<u8>,
    },
}

/// How a message was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// ECDSA with the DER form of the signature (certificates).
    EcdsaAsn1(HashAlgorithm),
    /// ECDSA with r and s, big-endian, each as long as the order (reports, quotes).
    EcdsaFixed(HashAlgorithm),
    /// RSASSA-PKCS1-v1_5.
    RsaPkcs1(HashAlgorithm),
    /// RSASSA-PSS, MGF1 with the same hash, salt as long as the hash.
    RsaPss(HashAlgorithm),
}

/// Why a signature is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The signature, or the key, is not valid for the message.
    #[error("signature does not verify")]
    BadSignature,
    /// r or s of an ECDSA signature is zero or not below the order of the group.
    #[error("r or s of the signature is out of range")]
    OutOfRange,
    /// The key cannot make signatures of this scheme, or the scheme uses a refused hash.
    #[error("key and signature scheme do not go together")]
    Unsupported,
}

/// Order n of P-384, big-endian (SEC 2 version 2.0, section 2.5.1).
const P384_ORDER: [u8; 48] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf, 0x58, 0x1a,
    0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
];

/// Verifies a signature. SHA-1 is refused here; see [`dangerous_verify_sha1`].
///
/// # Errors
/// [`VerifyError`], by what is wrong.
pub fn verify(key: &PublicKey, scheme: Scheme, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
    use HashAlgorithm::{Sha256, Sha384, Sha512};
    use Scheme::{EcdsaAsn1, EcdsaFixed, RsaPkcs1, RsaPss};
    match key {
        PublicKey::P256(point) => {
            let algorithm = match scheme {
                EcdsaAsn1(Sha256) => &signature::ECDSA_P256_SHA256_ASN1,
                EcdsaAsn1(Sha384) => &signature::ECDSA_P256_SHA384_ASN1,
                EcdsaFixed(Sha256) => &signature::ECDSA_P256_SHA256_FIXED,
                _ => return Err(VerifyError::Unsupported),
            };
            verify_ec(algorithm, point, message, signature)
        }
        PublicKey::P384(point) => {
            let algorithm = match scheme {
                EcdsaAsn1(Sha256) => &signature::ECDSA_P384_SHA256_ASN1,
                EcdsaAsn1(Sha384) => &signature::ECDSA_P384_SHA384_ASN1,
                EcdsaFixed(Sha384) => &signature::ECDSA_P384_SHA384_FIXED,
                _ => return Err(VerifyError::Unsupported),
            };
            verify_ec(algorithm, point, message, signature)
        }
        PublicKey::Rsa { modulus, exponent } => {
            let parameters = match scheme {
                RsaPkcs1(Sha256) => &signature::RSA_PKCS1_2048_8192_SHA256,
                RsaPkcs1(Sha384) => &signature::RSA_PKCS1_2048_8192_SHA384,
                RsaPkcs1(Sha512) => &signature::RSA_PKCS1_2048_8192_SHA512,
                RsaPss(Sha256) => &signature::RSA_PSS_2048_8192_SHA256,
                RsaPss(Sha384) => &signature::RSA_PSS_2048_8192_SHA384,
                RsaPss(Sha512) => &signature::RSA_PSS_2048_8192_SHA512,
                _ => return Err(VerifyError::Unsupported),
            };
            verify_rsa(parameters, modulus, exponent, message, signature)
        }
    }
}

/// Verifies ECDSA P-384 with SHA-384 over r and s, 48 bytes each, big-endian, and says when one of them is
/// out of range (SEC 1 version 2.0, section 4.1.4, step 1) rather than merely wrong. `point` is uncompressed, 97
/// bytes; another form is refused.
///
/// The signature of every SNP report. With the feature `aws-lc` (off by default) `aws-lc-rs` does the arithmetic
/// instead of `ring`, four times as fast, with the same verdicts; see `docs/decisions/0009-p384-implementation.md`.
///
/// # Errors
/// [`VerifyError::OutOfRange`] unless 0 < r, s < n; [`VerifyError::BadSignature`].
pub fn verify_p384_fixed(
    point: &[u8],
    message: &[u8],
    r: &[u8; 48],
    s: &[u8; 48],
) -> Result<(), VerifyError> {
    if !in_p384_range(r) || !in_p384_range(s) {
        return Err(VerifyError::OutOfRange);
    }
    // Each library reads further forms of points (aws-lc-rs: compressed ones, whole SubjectPublicKeyInfos).
    if !matches!(point, [4, xy @ ..] if xy.len() == 96) {
        return Err(VerifyError::BadSignature);
    }
    let mut signature = [0; 96];
    signature.iter_mut().zip(r.iter().chain(s)).for_each(|(to, from)| *to = *from);
    p384_fixed(point, message, &signature)
}

#[cfg(feature = "aws-lc")]
fn p384_fixed(point: &[u8], message: &[u8], signature: &[u8; 96]) -> Result<(), VerifyError> {
    use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point)
        .verify(message, signature)
        .map_err(|_| VerifyError::BadSignature)
}

#[cfg(not(feature = "aws-lc"))]
fn p384_fixed(point: &[u8], message: &[u8], signature: &[u8; 96]) -> Result<(), VerifyError> {
    verify_ec(&signature::ECDSA_P384_SHA384_FIXED, point, message, signature)
}

/// Whether 0 < `scalar` < n of P-384, big-endian. Public values: not constant-time.
#[must_use]
pub fn in_p384_range(scalar: &[u8; 48]) -> bool {
    scalar.iter().any(|byte| *byte != 0) && *scalar < P384_ORDER
}

/// Verifies an RSASSA-PKCS1-v1_5 signature over SHA-1. Only for a policy that names SHA-1.
///
/// # Errors
/// [`VerifyError`], by what is wrong.
pub fn dangerous_verify_sha1(key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
    let PublicKey::Rsa { modulus, exponent } = key else {
        return Err(VerifyError::Unsupported);
    };
    let parameters = &signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY;
    verify_rsa(parameters, modulus, exponent, message, signature)
}

fn verify_ec(
    algorithm: &'static signature::EcdsaVerificationAlgorithm,
    point: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), VerifyError> {
    signature::UnparsedPublicKey::new(algorithm, point)
        .verify(message, signature)
        .map_err(|_| VerifyError::BadSignature)
}

fn verify_rsa(
    parameters: &'static signature::RsaParameters,
    modulus: &[u8],
    exponent: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), VerifyError> {
    signature::RsaPublicKeyComponents { n: modulus, e: exponent }
        .verify(parameters, message, signature)
        .map_err(|_| VerifyError::BadSignature)
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

    use super::*;

    fn signed() -> (Vec<u8>, [u8; 48], [u8; 48]) {
        let rng = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &rng).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, pkcs8.as_ref(), &rng).unwrap();
        let signature = key.sign(&rng, b"message").unwrap();
        let (r, s) = signature.as_ref().split_at(48);
        (key.public_key().as_ref().to_vec(), r.try_into().unwrap(), s.try_into().unwrap())
    }

    #[test]
    fn a_right_signature_verifies_and_a_changed_message_does_not() {
        let (key, r, s) = signed();
        assert_eq!(verify_p384_fixed(&key, b"message", &r, &s), Ok(()));
        assert_eq!(verify_p384_fixed(&key, b"messagf", &r, &s), Err(VerifyError::BadSignature));
        assert_eq!(verify_p384_fixed(&key, b"message", &s, &r), Err(VerifyError::BadSignature));
    }

    #[test]
    fn s13_r_and_s_must_lie_between_zero_and_the_order() {
        let (key, r, s) = signed();
        let mut above = P384_ORDER;
        above[47] += 1;
        for bad in [[0; 48], P384_ORDER, above, [0xff; 48]] {
            assert_eq!(verify_p384_fixed(&key, b"message", &bad, &s), Err(VerifyError::OutOfRange));
            assert_eq!(verify_p384_fixed(&key, b"message", &r, &bad), Err(VerifyError::OutOfRange));
        }
        let mut largest = P384_ORDER;
        largest[47] -= 1;
        assert!(in_p384_range(&largest));
        assert_eq!(verify_p384_fixed(&key, b"message", &largest, &s), Err(VerifyError::BadSignature));
    }

    #[test]
    fn only_an_uncompressed_point_on_the_curve_is_a_key() {
        let (key, r, s) = signed();
        let bad = Err(VerifyError::BadSignature);
        let mut compressed = key[..49].to_vec();
        compressed[0] = 2 + (key[96] & 1);
        let mut hybrid = key.clone();
        hybrid[0] = 6 + (key[96] & 1);
        let mut off_curve = key.clone();
        off_curve[96] ^= 1;
        let mut zero = [0; 97];
        zero[0] = 4;
        let long = [key.as_slice(), &[0]].concat();
        for point in
            [&compressed, &hybrid, &off_curve, &zero.to_vec(), &key[..96].to_vec(), &long, &vec![0], &vec![]]
        {
            assert_eq!(verify_p384_fixed(point, b"message", &r, &s), bad);
        }
    }

    /// The same verdicts as the other implementation's, for right signatures and for every kind of wrong one.
    /// Without the feature it compares ring with itself; `scripts/test` runs it with the feature too.
    #[test]
    fn the_implementation_in_use_agrees_with_ring() {
        for round in 0..200u32 {
            let (mut key, mut r, mut s) = signed();
            let bit = round as usize * 7;
            match round % 5 {
                0 => {}
                1 => r[bit / 8 % 48] ^= 1 << (bit % 8),
                2 => s[bit / 8 % 48] ^= 1 << (bit % 8),
                3 => key[1 + bit / 8 % 96] ^= 1 << (bit % 8),
                // n - s verifies as s does: malleable by construction, whoever checks it.
                _ => s = subtract(&P384_ORDER, &s),
            }
            let signature = [r, s].concat();
            let theirs = verify_ec(&signature::ECDSA_P384_SHA384_FIXED, &key, b"message", &signature);
            assert_eq!(verify_p384_fixed(&key, b"message", &r, &s).is_ok(), theirs.is_ok(), "round {round}");
            assert_eq!(theirs.is_ok(), matches!(round % 5, 0 | 4), "round {round}");
        }
    }

    fn subtract(from: &[u8; 48], what: &[u8; 48]) -> [u8; 48] {
        let mut result = [0; 48];
        let mut borrow = false;
        for i in (0..48).rev() {
            let (partial, first) = from[i].overflowing_sub(what[i]);
            let (byte, second) = partial.overflowing_sub(u8::from(borrow));
            (result[i], borrow) = (byte, first || second);
        }
        result
    }

    #[test]
    fn t9_sha1_is_never_verified_by_the_ordinary_function() {
        let key = PublicKey::Rsa { modulus: vec![0x80; 256], exponent: vec![1, 0, 1] };
        let scheme = Scheme::RsaPkcs1(HashAlgorithm::DangerousSha1);
        assert_eq!(verify(&key, scheme, b"m", &[0; 256]), Err(VerifyError::Unsupported));
    }

    #[test]
    fn key_and_scheme_must_go_together() {
        let key = PublicKey::P256(vec![4; 65]);
        let scheme = Scheme::RsaPkcs1(HashAlgorithm::Sha256);
        assert_eq!(verify(&key, scheme, b"m", &[0; 64]), Err(VerifyError::Unsupported));
    }
}
