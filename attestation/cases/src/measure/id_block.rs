//! ID block and ID authentication information (AMD 56860, section 8.18, tables 75 and 76): they let a guest's owner
//! fix launch digest, ids, SVN and policy, and sign for them. Little-endian.

use p384::ecdsa::signature::Signer;
use p384::ecdsa::{Signature, SigningKey};
use p384::elliptic_curve::sec1::ToEncodedPoint;
use p384::pkcs8::DecodePrivateKey;
use p384::{PublicKey, SecretKey};
use vouchsafe_crypto::digest::sha384;
use vouchsafe_protocol::policy::LaunchDigest;

/// Version of the format.
const VERSION: u32 = 1;
/// Bytes of ID authentication information.
const ID_AUTH_LEN: usize = 4096;
/// A P-384 key with SHA-384 (chapter 10).
const ALGORITHM: u32 = 1;
/// Curve P-384 (chapter 10).
const CURVE: u32 = 2;
/// Bytes of a public key and of a signature (tables 141 and 140).
const KEY_LEN: usize = 0x404;
const SIGNATURE_LEN: usize = 0x200;
/// Bytes of a number in either.
const NUMBER_LEN: usize = 72;

/// What a guest's owner fixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdBlock {
    /// Launch digest: the launch fails if it comes out otherwise.
    pub digest: LaunchDigest,
    /// FAMILY_ID of reports.
    pub family_id: [u8; 16],
    /// IMAGE_ID of reports.
    pub image_id: [u8; 16],
    /// GUEST_SVN of reports.
    pub guest_svn: u32,
    /// POLICY: the launch fails with another.
    pub policy: u64,
}

/// An ID block that is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdAuth {
    /// 4,096 bytes, as the machine monitor hands them to the firmware.
    pub bytes: Vec<u8>,
    /// ID_KEY_DIGEST of reports.
    pub id_key_digest: LaunchDigest,
    /// AUTHOR_KEY_DIGEST of reports; `None` without an author key.
    pub author_key_digest: Option<LaunchDigest>,
}

/// Why a key cannot sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdKeyError {
    /// Not a private key on P-384, in PEM (PKCS#8 or SEC 1).
    #[error("key is not a P-384 private key in PEM")]
    Key,
    /// The signature could not be made.
    #[error("signature could not be made")]
    Signature,
}

impl IdBlock {
    /// The 96 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { digest, family_id, image_id, guest_svn, policy } = self;
        [
            digest.0.as_slice(),
            family_id,
            image_id,
            &VERSION.to_le_bytes(),
            &guest_svn.to_le_bytes(),
            &policy.to_le_bytes(),
        ]
        .concat()
    }

    /// Signs with an ID key and, if there is one, has an author key vouch for it. Both are P-384 private keys in PEM.
    /// Signatures are deterministic (RFC 6979).
    ///
    /// # Errors
    /// [`IdKeyError`].
    pub fn sign(&self, id_key: &str, author_key: Option<&str>) -> Result<IdAuth, IdKeyError> {
        let id_key = secret(id_key)?;
        let author_key = author_key.map(secret).transpose()?;
        let public = encode(&id_key.public_key());
        let author = match &author_key {
            Some(author) => Some((sign(author, &public)?, encode(&author.public_key()))),
            None => None,
        };
        let author_key_digest = author.as_ref().map(|(_, key)| LaunchDigest(sha384(&[key])));
        let (author_signature, author_public) =
            author.unwrap_or_else(|| (vec![0; SIGNATURE_LEN], vec![0; KEY_LEN]));
        let author_algorithm = if author_key_digest.is_some() { ALGORITHM } else { 0 };
        let mut bytes = [ALGORITHM.to_le_bytes(), author_algorithm.to_le_bytes()].concat();
        bytes.resize(0x40, 0);
        bytes.extend(sign(&id_key, &self.to_bytes())?);
        bytes.extend(&public);
        bytes.resize(0x680, 0);
        bytes.extend(author_signature);
        bytes.extend(author_public);
        bytes.resize(ID_AUTH_LEN, 0);
        Ok(IdAuth { bytes, id_key_digest: LaunchDigest(sha384(&[&public])), author_key_digest })
    }
}

/// The digest that reports carry for a key (ID_KEY_DIGEST, AUTHOR_KEY_DIGEST), from its private key in PEM.
///
/// # Errors
/// [`IdKeyError::Key`].
pub fn key_digest(pem: &str) -> Result<LaunchDigest, IdKeyError> {
    Ok(LaunchDigest(sha384(&[&encode(&secret(pem)?.public_key())])))
}

fn secret(pem: &str) -> Result<SecretKey, IdKeyError> {
    SecretKey::from_pkcs8_pem(pem).or_else(|_| SecretKey::from_sec1_pem(pem)).map_err(|_| IdKeyError::Key)
}

/// Curve, then x and y as little-endian numbers, then zeros.
fn encode(key: &PublicKey) -> Vec<u8> {
    let point = key.to_encoded_point(false);
    let mut bytes = CURVE.to_le_bytes().to_vec();
    for number in [point.x(), point.y()].into_iter().flatten() {
        bytes.extend(little_endian(number));
    }
    bytes.resize(KEY_LEN, 0);
    bytes
}

/// r and s as little-endian numbers, then zeros.
fn sign(key: &SecretKey, message: &[u8]) -> Result<Vec<u8>, IdKeyError> {
    let signature: Signature = SigningKey::from(key).try_sign(message).map_err(|_| IdKeyError::Signature)?;
    let (r, s) = signature.split_bytes();
    let mut bytes = little_endian(&r);
    bytes.extend(little_endian(&s));
    bytes.resize(SIGNATURE_LEN, 0);
    Ok(bytes)
}

fn little_endian(number: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = number.iter().rev().copied().collect();
    bytes.resize(NUMBER_LEN, 0);
    bytes
}
