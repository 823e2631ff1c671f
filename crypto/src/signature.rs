//! Signing keys: ECDSA P-256 for identities, authorities and offers; Ed25519 for log checkpoints.

use core::fmt;

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED,
    ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair, UnparsedPublicKey,
};

use crate::secret::{Key32, SecretBytes};

/// Length of the DER SubjectPublicKeyInfo of a P-256 key in bytes.
pub const P256_SPKI_LEN: usize = 91;

/// RFC 5480: `SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING }` up to the point.
const P256_SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Why a key or signature is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The signature is not by this key over this message.
    #[error("signature does not verify")]
    Invalid,
    /// The bytes are not a key of the one accepted algorithm and form.
    #[error("key is malformed or of another algorithm")]
    Key,
    /// No randomness for a new key or signature.
    #[error("the random generator failed")]
    Random,
}

/// An ECDSA P-256 private key, kept as PKCS#8.
pub struct P256Key {
    pair: EcdsaKeyPair,
    pkcs8: SecretBytes,
}

impl P256Key {
    /// Makes a new key.
    ///
    /// # Errors
    /// [`SignatureError::Random`].
    pub fn generate() -> Result<Self, SignatureError> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
            .map_err(|_| SignatureError::Random)?;
        Self::from_pkcs8(SecretBytes::new(document.as_ref().to_vec()))
    }

    /// Reads a key from PKCS#8 DER.
    ///
    /// # Errors
    /// [`SignatureError::Key`].
    pub fn from_pkcs8(pkcs8: SecretBytes) -> Result<Self, SignatureError> {
        let pair = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_ASN1_SIGNING,
            pkcs8.expose_secret(),
            &SystemRandom::new(),
        )
        .map_err(|_| SignatureError::Key)?;
        Ok(Self { pair, pkcs8 })
    }

    /// The private key as PKCS#8 DER, to be sealed or handed to TLS.
    #[must_use]
    pub fn expose_pkcs8(&self) -> &SecretBytes {
        &self.pkcs8
    }

    /// The public key as an uncompressed point, 65 bytes.
    #[must_use]
    pub fn point(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// DER SubjectPublicKeyInfo, [`P256_SPKI_LEN`] bytes.
    #[must_use]
    pub fn spki(&self) -> Vec<u8> {
        [P256_SPKI_PREFIX.as_slice(), self.point()].concat()
    }

    /// Signs: an ASN.1 ECDSA signature with SHA-256, at most 72 bytes.
    ///
    /// # Errors
    /// [`SignatureError::Random`].
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        let signature = self.pair.sign(&SystemRandom::new(), message).map_err(|_| SignatureError::Random)?;
        Ok(signature.as_ref().to_vec())
    }

    /// Signs: r and s, 32 bytes each, big-endian, as JWS wants them (RFC 7518, section 3.4); with SHA-256.
    ///
    /// # Errors
    /// [`SignatureError::Random`].
    pub fn sign_fixed(&self, message: &[u8]) -> Result<[u8; 64], SignatureError> {
        let (random, pkcs8) = (SystemRandom::new(), self.pkcs8.expose_secret());
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &random)
            .map_err(|_| SignatureError::Key)?;
        let signature = pair.sign(&random, message).map_err(|_| SignatureError::Random)?;
        signature.as_ref().try_into().map_err(|_| SignatureError::Key)
    }
}

impl fmt::Debug for P256Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("P256Key(..)")
    }
}

/// A P-256 public key in exactly one form: DER SubjectPublicKeyInfo with an uncompressed point.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct P256PublicKey([u8; P256_SPKI_LEN]);

impl P256PublicKey {
    /// Parses. Whether the point is on the curve shows at the first `verify`.
    ///
    /// # Errors
    /// [`SignatureError::Key`] for any other length, algorithm or point form.
    pub fn from_spki(spki: &[u8]) -> Result<Self, SignatureError> {
        let bytes: [u8; P256_SPKI_LEN] = spki.try_into().map_err(|_| SignatureError::Key)?;
        match bytes.strip_prefix(P256_SPKI_PREFIX.as_slice()) {
            Some([0x04, ..]) => Ok(Self(bytes)),
            _ => Err(SignatureError::Key),
        }
    }

    /// DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.0
    }

    /// The uncompressed point, 65 bytes.
    #[must_use]
    pub fn point(&self) -> &[u8] {
        self.0.split_at(P256_SPKI_PREFIX.len()).1
    }

    /// Verifies an ASN.1 ECDSA signature with SHA-256.
    ///
    /// # Errors
    /// [`SignatureError::Invalid`].
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, self.point())
            .verify(message, signature)
            .map_err(|_| SignatureError::Invalid)
    }
}

impl P256PublicKey {
    /// Verifies a signature of [`P256Key::sign_fixed`].
    ///
    /// # Errors
    /// [`SignatureError::Invalid`], also for one of another length.
    pub fn verify_fixed(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.point())
            .verify(message, signature)
            .map_err(|_| SignatureError::Invalid)
    }
}

/// An Ed25519 key that signs log checkpoints, made from a 32-byte seed.
pub struct LogKey(Ed25519KeyPair);

impl LogKey {
    /// Derives the pair.
    ///
    /// # Errors
    /// [`SignatureError::Key`] if ring refuses the seed.
    pub fn from_seed(seed: &Key32) -> Result<Self, SignatureError> {
        Ed25519KeyPair::from_seed_unchecked(seed.expose_secret()).map(Self).map_err(|_| SignatureError::Key)
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> LogPublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        LogPublicKey(bytes)
    }

    /// Signs, 64 bytes.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut out = [0; 64];
        out.copy_from_slice(self.0.sign(message).as_ref());
        out
    }
}

/// An Ed25519 public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogPublicKey(pub [u8; 32]);

impl LogPublicKey {
    /// Verifies.
    ///
    /// # Errors
    /// [`SignatureError::Invalid`].
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(message, signature)
            .map_err(|_| SignatureError::Invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    #[test]
    fn p256_signs_and_every_other_key_and_message_is_refused() {
        let key = P256Key::generate().unwrap();
        let public = P256PublicKey::from_spki(&key.spki()).unwrap();
        let signature = key.sign(b"message").unwrap();
        public.verify(b"message", &signature).unwrap();
        assert_eq!(public.verify(b"massage", &signature), Err(SignatureError::Invalid));
        let other = P256PublicKey::from_spki(&P256Key::generate().unwrap().spki()).unwrap();
        assert_eq!(other.verify(b"message", &signature), Err(SignatureError::Invalid));
    }

    #[test]
    fn p256_fixed_signatures_are_the_same_key_s_in_another_form() {
        let key = P256Key::generate().unwrap();
        let public = P256PublicKey::from_spki(&key.spki()).unwrap();
        let signature = key.sign_fixed(b"message").unwrap();
        public.verify_fixed(b"message", &signature).unwrap();
        assert_eq!(public.verify_fixed(b"massage", &signature), Err(SignatureError::Invalid));
        assert_eq!(public.verify_fixed(b"message", &signature[..63]), Err(SignatureError::Invalid));
        assert_eq!(public.verify(b"message", &signature), Err(SignatureError::Invalid));
        let asn1 = key.sign(b"message").unwrap();
        assert_eq!(public.verify_fixed(b"message", &asn1), Err(SignatureError::Invalid));
    }

    #[test]
    fn spki_has_one_form() {
        let spki = P256Key::generate().unwrap().spki();
        for len in 0..spki.len() {
            assert_eq!(P256PublicKey::from_spki(&spki[..len]), Err(SignatureError::Key));
        }
        let mut compressed = spki.clone();
        compressed[26] = 0x02;
        assert_eq!(P256PublicKey::from_spki(&compressed), Err(SignatureError::Key));
        let mut other_curve = spki;
        other_curve[22] = 0x22;
        assert_eq!(P256PublicKey::from_spki(&other_curve), Err(SignatureError::Key));
    }

    #[test]
    fn log_key_signs() {
        let key = LogKey::from_seed(&random::key().unwrap()).unwrap();
        let signature = key.sign(b"note");
        key.public().verify(b"note", &signature).unwrap();
        assert_eq!(key.public().verify(b"nota", &signature), Err(SignatureError::Invalid));
    }
}
