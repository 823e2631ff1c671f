//! TPMT_SIGNATURE: big-endian, exact length (Part 2, section 11.3.4).

use vouchsafe_crypto::verify::{HashAlgorithm, PublicKey, Scheme};
use vouchsafe_protocol::limits::TPM_STRUCTURE_LEN;

use super::hash_algorithm;
use crate::bytes::{Reader, WrongLength};

/// Why bytes are not a signature that this verifier reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// An algorithm that is not accepted.
    #[error("signature algorithm {algorithm:#06x} is not accepted")]
    Algorithm {
        /// TPM_ALG_ID of scheme or hash.
        algorithm: u16,
    },
    /// The structure ends early, has bytes behind it, or a field of impossible size.
    #[error("signature of the quote is malformed")]
    Malformed,
}

impl From<WrongLength> for SignatureError {
    fn from(WrongLength: WrongLength) -> Self {
        Self::Malformed
    }
}

/// A signature of a TPM with the algorithm it claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuoteSignature {
    /// Scheme and hash, as claimed: the caller compares them with the key's.
    pub scheme: Scheme,
    /// Hash of the scheme: also the one that pcrDigest is made with.
    pub hash: HashAlgorithm,
    /// RSA: as long as the modulus. ECDSA: r and s, 48 bytes each, big-endian, whatever the curve.
    pub bytes: Vec<u8>,
}

impl QuoteSignature {
    /// Parses a TPMT_SIGNATURE of RSASSA, RSAPSS or ECDSA (P-256, P-384).
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, SignatureError> {
        if bytes.len() > TPM_STRUCTURE_LEN {
            return Err(SignatureError::Malformed);
        }
        let mut at = Reader(bytes);
        let (algorithm, hash_id) = (at.u16_be()?, at.u16_be()?);
        let hash = hash_algorithm(hash_id).ok_or(SignatureError::Algorithm { algorithm: hash_id })?;
        let (scheme, bytes) = match algorithm {
            0x0014 => (Scheme::RsaPkcs1(hash), at.sized()?.to_vec()),
            0x0016 => (Scheme::RsaPss(hash), at.sized()?.to_vec()),
            0x0018 => (Scheme::EcdsaFixed(hash), [padded(at.sized()?)?, padded(at.sized()?)?].concat()),
            _ => return Err(SignatureError::Algorithm { algorithm }),
        };
        at.end()?;
        Ok(Self { scheme, hash, bytes })
    }

    /// A bare RSASSA-PKCS1-v1_5 signature with SHA-256, as some stacks store it.
    #[must_use]
    pub fn raw_rsassa_sha256(bytes: &[u8]) -> Self {
        let hash = HashAlgorithm::Sha256;
        Self { scheme: Scheme::RsaPkcs1(hash), hash, bytes: bytes.to_vec() }
    }

    /// Whether a key can have made it, by kind.
    #[must_use]
    pub fn fits(&self, key: &PublicKey) -> bool {
        matches!(
            (self.scheme, key),
            (Scheme::RsaPkcs1(_) | Scheme::RsaPss(_), PublicKey::Rsa { .. })
                | (Scheme::EcdsaFixed(_), PublicKey::P256(_) | PublicKey::P384(_))
        )
    }

    /// The signature in the fixed form that keys like this one make: for ECDSA, r and s each as long as the order.
    /// `None` if r or s is longer than that.
    pub(crate) fn fixed_for(&self, key: &PublicKey) -> Option<Vec<u8>> {
        match (self.scheme, key) {
            (Scheme::EcdsaFixed(_), PublicKey::P256(_)) => {
                let mut fixed = Vec::with_capacity(64);
                for scalar in self.bytes.chunks(SCALAR_LEN) {
                    let (excess, scalar) = scalar.split_at_checked(SCALAR_LEN - 32)?;
                    if excess.iter().any(|byte| *byte != 0) {
                        return None;
                    }
                    fixed.extend_from_slice(scalar);
                }
                Some(fixed)
            }
            _ => Some(self.bytes.clone()),
        }
    }
}

/// Longest r or s that is read, in bytes: of P-384.
const SCALAR_LEN: usize = 48;

/// A TPM may leave out leading zeros of r and s: 1 to 48 bytes, here always 48.
fn padded(scalar: &[u8]) -> Result<[u8; SCALAR_LEN], SignatureError> {
    let mut fixed = [0; SCALAR_LEN];
    let start = fixed.len().checked_sub(scalar.len()).ok_or(SignatureError::Malformed)?;
    if scalar.is_empty() {
        return Err(SignatureError::Malformed);
    }
    fixed.iter_mut().skip(start).zip(scalar).for_each(|(to, from)| *to = *from);
    Ok(fixed)
}
