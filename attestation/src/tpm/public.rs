//! TPMT_PUBLIC: big-endian, exact length (Part 2, section 12.2.4).

use vouchsafe_crypto::digest;
use vouchsafe_crypto::verify::PublicKey;
use vouchsafe_protocol::limits::TPM_STRUCTURE_LEN;

use crate::bytes::{Reader, WrongLength};
use crate::x509::without_leading_zeros;

/// TPM_ALG_SHA256.
pub(crate) const ALG_SHA256: u16 = 0x000b;
/// TPM_ALG_SHA384.
pub(crate) const ALG_SHA384: u16 = 0x000c;
const ALG_RSA: u16 = 0x0001;
const ALG_AES: u16 = 0x0006;
const ALG_NULL: u16 = 0x0010;
const ALG_RSASSA: u16 = 0x0014;
const ALG_RSAES: u16 = 0x0015;
const ALG_RSAPSS: u16 = 0x0016;
const ALG_OAEP: u16 = 0x0017;
const ALG_ECDSA: u16 = 0x0018;
const ALG_ECDH: u16 = 0x0019;
const ALG_ECC: u16 = 0x0023;
const ALG_CFB: u16 = 0x0043;
const CURVE_P256: u16 = 0x0003;
const CURVE_P384: u16 = 0x0004;
/// Sizes of RSA keys in bits.
const RSA_BITS: [u16; 3] = [2048, 3072, 4096];
/// The exponent that TPMs write as 0 (section 12.2.3.5).
const DEFAULT_EXPONENT: u32 = 65_537;

/// Why bytes are not a public area that this verifier reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicError {
    /// An algorithm, curve, key size or mode that is not accepted.
    #[error("algorithm {algorithm:#06x} of the public area is not accepted")]
    Algorithm {
        /// TPM_ALG_ID, curve or key size.
        algorithm: u16,
    },
    /// The structure ends early, has bytes behind it, or a field of impossible size.
    #[error("public area is malformed")]
    Malformed,
    /// An attribute bit that the specification reserves is set.
    #[error("public area has reserved attributes")]
    ReservedAttributes,
}

impl From<WrongLength> for PublicError {
    fn from(WrongLength: WrongLength) -> Self {
        Self::Malformed
    }
}

/// TPMA_OBJECT (section 8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes(pub u32);

impl Attributes {
    /// The private part cannot leave this TPM.
    pub const FIXED_TPM: Self = Self(1 << 1);
    /// The parent cannot change.
    pub const FIXED_PARENT: Self = Self(1 << 4);
    /// The TPM made the private part.
    pub const SENSITIVE_DATA_ORIGIN: Self = Self(1 << 5);
    /// Signs only what the TPM made, decrypts only what the TPM uses.
    pub const RESTRICTED: Self = Self(1 << 16);
    /// May decrypt.
    pub const DECRYPT: Self = Self(1 << 17);
    /// May sign.
    pub const SIGN: Self = Self(1 << 18);
    /// Bits with a meaning: all others are reserved and zero.
    const DEFINED: u32 = 0x000f_0cf6;

    /// Whether all bits of `other` are set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Signing or encryption scheme of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyScheme {
    /// ECDSA with this hash.
    Ecdsa(u16),
    /// None fixed.
    Null,
    /// RSASSA-PSS with this hash.
    RsaPss(u16),
    /// RSASSA-PKCS1-v1_5 with this hash.
    RsaSsa(u16),
    /// An encryption scheme; no attestation or endorsement key has one.
    Encryption(u16),
}

/// A public area, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Public {
    /// nameAlg, a TPM_ALG_ID.
    pub name_algorithm: u16,
    /// objectAttributes.
    pub attributes: Attributes,
    /// authPolicy.
    pub auth_policy: Vec<u8>,
    /// Whether the symmetric algorithm for children is AES-128 in CFB mode.
    pub aes_128_cfb: bool,
    /// Scheme.
    pub scheme: KeyScheme,
    /// The key: P-256, P-384, or RSA of 2,048, 3,072 or 4,096 bits.
    pub key: PublicKey,
}

impl Public {
    /// Parses a TPMT_PUBLIC of an ECC (P-256, P-384) or RSA (2,048, 3,072 or 4,096 bits) key. Believes nothing
    /// of it.
    ///
    /// # Errors
    /// [`PublicError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, PublicError> {
        if bytes.len() > TPM_STRUCTURE_LEN {
            return Err(PublicError::Malformed);
        }
        let mut at = Reader(bytes);
        let (kind, name_algorithm) = (at.u16_be()?, at.u16_be()?);
        let attributes = Attributes(at.u32_be()?);
        if attributes.0 & !Attributes::DEFINED != 0 {
            return Err(PublicError::ReservedAttributes);
        }
        let auth_policy = at.sized()?.to_vec();
        let aes_128_cfb = symmetric(&mut at)?;
        let scheme = scheme(&mut at)?;
        let key = match kind {
            ALG_ECC => ecc(&mut at)?,
            ALG_RSA => rsa(&mut at)?,
            algorithm => return Err(PublicError::Algorithm { algorithm }),
        };
        at.end()?;
        Ok(Self { name_algorithm, attributes, auth_policy, aes_128_cfb, scheme, key })
    }
}

/// The name of an object with nameAlg SHA-256: the algorithm id and the hash of the TPMT_PUBLIC
/// (Part 1, section 16).
#[must_use]
pub fn name(public: &[u8]) -> [u8; 34] {
    let mut name = [0; 34];
    let (id, hash) = name.split_at_mut(2);
    id.copy_from_slice(&ALG_SHA256.to_be_bytes());
    hash.copy_from_slice(&digest::sha256(&[public]));
    name
}

/// TPMT_SYM_DEF_OBJECT: none (false) or AES-128-CFB (true).
fn symmetric(at: &mut Reader<'_>) -> Result<bool, PublicError> {
    match at.u16_be()? {
        ALG_NULL => Ok(false),
        ALG_AES => match (at.u16_be()?, at.u16_be()?) {
            (128, ALG_CFB) => Ok(true),
            (128, algorithm) | (algorithm, _) => Err(PublicError::Algorithm { algorithm }),
        },
        algorithm => Err(PublicError::Algorithm { algorithm }),
    }
}

/// TPMT_RSA_SCHEME or TPMT_ECC_SCHEME; the ids of the two do not overlap.
fn scheme(at: &mut Reader<'_>) -> Result<KeyScheme, PublicError> {
    Ok(match at.u16_be()? {
        ALG_NULL => KeyScheme::Null,
        ALG_RSASSA => KeyScheme::RsaSsa(at.u16_be()?),
        ALG_RSAPSS => KeyScheme::RsaPss(at.u16_be()?),
        ALG_ECDSA => KeyScheme::Ecdsa(at.u16_be()?),
        ALG_RSAES => KeyScheme::Encryption(ALG_RSAES),
        id @ (ALG_OAEP | ALG_ECDH) => {
            at.u16_be()?;
            KeyScheme::Encryption(id)
        }
        algorithm => return Err(PublicError::Algorithm { algorithm }),
    })
}

/// TPMS_ECC_PARMS after the scheme, and TPMS_ECC_POINT.
fn ecc(at: &mut Reader<'_>) -> Result<PublicKey, PublicError> {
    let (curve, kdf) = (at.u16_be()?, at.u16_be()?);
    if kdf != ALG_NULL {
        return Err(PublicError::Algorithm { algorithm: kdf });
    }
    match curve {
        CURVE_P256 => Ok(PublicKey::P256(point::<32>(at)?)),
        CURVE_P384 => Ok(PublicKey::P384(point::<48>(at)?)),
        algorithm => Err(PublicError::Algorithm { algorithm }),
    }
}

/// TPMS_RSA_PARMS after the scheme, and the modulus.
fn rsa(at: &mut Reader<'_>) -> Result<PublicKey, PublicError> {
    let (bits, exponent) = (at.u16_be()?, at.u32_be()?);
    if !RSA_BITS.contains(&bits) {
        return Err(PublicError::Algorithm { algorithm: bits });
    }
    let modulus = at.sized()?;
    if modulus.len() != usize::from(bits / 8) || modulus.first().is_none_or(|byte| byte & 0x80 == 0) {
        return Err(PublicError::Malformed);
    }
    let exponent = if exponent == 0 { DEFAULT_EXPONENT } else { exponent };
    let exponent = without_leading_zeros(&exponent.to_be_bytes());
    Ok(PublicKey::Rsa { modulus: modulus.to_vec(), exponent })
}

/// TPMS_ECC_POINT, as an uncompressed point. A TPM pads coordinates to the length of the field (Part 1, Annex
/// C.8), and the name covers them as sent.
fn point<const LEN: usize>(at: &mut Reader<'_>) -> Result<Vec<u8>, PublicError> {
    let mut coordinate = || <[u8; LEN]>::try_from(at.sized()?).map_err(|_| PublicError::Malformed);
    let (x, y) = (coordinate()?, coordinate()?);
    Ok([&[4], x.as_slice(), y.as_slice()].concat())
}
