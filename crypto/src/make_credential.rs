//! MakeCredential: a secret that only one TPM, holding one named object, can open.
//!
//! TPM 2.0 Library, Part 1 (revision 1.59), section 24 "Credential Protection", Annex B.10 (RSA) and C.6 (ECC).
//! The caller has verified that the endorsement key is a TPM's and recomputed the name of the attestation
//! key; this module makes the blob and believes nothing. One profile: name algorithm SHA-256 and AES-128-CFB,
//! the default template of every endorsement key (TCG EK Credential Profile 2.5).

use aes::Aes128;
use cfb_mode::cipher::{AsyncStreamCipher, KeyIvInit};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{agreement, hmac};
use rsa::traits::PaddingScheme;
use rsa::{BigUint, Oaep, RsaPublicKey};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

/// Length of a TPM name with SHA-256 in bytes: the algorithm id 0x000B and the digest.
pub const NAME_LEN: usize = 34;

/// The public part of an endorsement key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndorsementKey {
    /// P-256: coordinates, big-endian.
    EccP256 {
        /// x.
        x: [u8; 32],
        /// y.
        y: [u8; 32],
    },
    /// RSA with 2,048 bits: modulus and exponent, big-endian.
    Rsa2048 {
        /// Modulus, 256 bytes.
        modulus: Vec<u8>,
        /// Public exponent.
        exponent: u32,
    },
}

/// The two structures that `TPM2_ActivateCredential` takes, each with its size field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// `TPM2B_ID_OBJECT`.
    pub id_object: Vec<u8>,
    /// `TPM2B_ENCRYPTED_SECRET`.
    pub encrypted_secret: Vec<u8>,
}

/// Why no credential could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MakeCredentialError {
    /// The endorsement key is not a valid public key.
    #[error("endorsement key is not a valid public key")]
    Key,
    /// The system has no randomness.
    #[error("no randomness")]
    Random,
}

/// Protects `secret` so that only the TPM of `ek`, holding an object named `name`, can open it.
///
/// # Errors
/// [`MakeCredentialError`].
pub fn make_credential(
    ek: &EndorsementKey,
    name: &[u8; NAME_LEN],
    secret: &[u8; 32],
) -> Result<Credential, MakeCredentialError> {
    let rng = SystemRandom::new();
    let (seed, encrypted_secret) = match ek {
        EndorsementKey::EccP256 { x, y } => share_seed_ecc(x, y, &rng)?,
        EndorsementKey::Rsa2048 { modulus, exponent } => share_seed_rsa(modulus, *exponent, &rng)?,
    };

    // encIdentity = CFB(KDFa(seed, "STORAGE", name), IV 0, TPM2B_DIGEST(secret)); Part 1, 24.4, equation 41.
    // The key comes from a seed that is fresh for this call, so the zero IV cannot repeat under one key.
    let storage = kdfa(&seed, b"STORAGE\0", name, 128);
    let mut identity = Zeroizing::new([0u8; 34]);
    let (len, value) = identity.split_at_mut(2);
    len.copy_from_slice(&32u16.to_be_bytes());
    value.copy_from_slice(secret);
    let key = storage.first_chunk::<16>().ok_or(MakeCredentialError::Key)?;
    cfb_mode::Encryptor::<Aes128>::new(key.into(), &[0; 16].into()).encrypt(identity.as_mut_slice());

    // outerHMAC = HMAC(KDFa(seed, "INTEGRITY"), encIdentity || name); Part 1, 24.5, equation 43.
    let integrity = kdfa(&seed, b"INTEGRITY\0", &[], 256);
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, integrity.as_slice()));
    context.update(identity.as_slice());
    context.update(name);
    let object = [sized(context.sign().as_ref()).as_slice(), identity.as_slice()].concat();
    Ok(Credential { id_object: sized(&object), encrypted_secret: sized(&encrypted_secret) })
}

type Seed = Zeroizing<[u8; 32]>;

/// Annex C.6.1: one-pass Diffie-Hellman with an ephemeral key, then KDFe. The secret is the ephemeral point.
fn share_seed_ecc(
    x: &[u8; 32],
    y: &[u8; 32],
    rng: &SystemRandom,
) -> Result<(Seed, Vec<u8>), MakeCredentialError> {
    let random = |_| MakeCredentialError::Random;
    let ephemeral = agreement::EphemeralPrivateKey::generate(&agreement::ECDH_P256, rng).map_err(random)?;
    let point = ephemeral.compute_public_key().map_err(random)?;
    let (own_x, own_y) = match point.as_ref() {
        [4, rest @ ..] if rest.len() == 64 => rest.split_at(32),
        _ => return Err(MakeCredentialError::Key),
    };
    let peer = [&[4], x.as_slice(), y.as_slice()].concat();
    let peer = agreement::UnparsedPublicKey::new(&agreement::ECDH_P256, peer);
    let seed = agreement::agree_ephemeral(ephemeral, &peer, |z| kdfe(z, own_x, x))
        .map_err(|_| MakeCredentialError::Key)?;
    Ok((seed, [sized(own_x), sized(own_y)].concat()))
}

/// Annex B.10.3: a random seed under RSAES-OAEP with the EK's name algorithm and the label "IDENTITY\0".
fn share_seed_rsa(
    modulus: &[u8],
    exponent: u32,
    rng: &SystemRandom,
) -> Result<(Seed, Vec<u8>), MakeCredentialError> {
    let mut seed = Zeroizing::new([0; 32]);
    rng.fill(seed.as_mut_slice()).map_err(|_| MakeCredentialError::Random)?;
    let key = RsaPublicKey::new(BigUint::from_bytes_be(modulus), BigUint::from(exponent))
        .map_err(|_| MakeCredentialError::Key)?;
    let mut padding = PaddingSeed { bytes: [0; 32], left: true, exhausted: false };
    rng.fill(&mut padding.bytes).map_err(|_| MakeCredentialError::Random)?;
    let encrypted = Oaep::new_with_label::<Sha256, _>("IDENTITY\0")
        .encrypt(&mut padding, &key, seed.as_slice())
        .map_err(|_| MakeCredentialError::Key)?;
    if padding.exhausted {
        return Err(MakeCredentialError::Random);
    }
    Ok((seed, encrypted))
}

/// The 32 random bytes that OAEP takes, drawn beforehand: `RngCore` has no way to report that a system has
/// none, and OAEP asks exactly once.
struct PaddingSeed {
    bytes: [u8; 32],
    left: bool,
    exhausted: bool,
}

impl Drop for PaddingSeed {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl rand_core::RngCore for PaddingSeed {
    fn next_u32(&mut self) -> u32 {
        self.exhausted = true;
        0
    }

    fn next_u64(&mut self) -> u64 {
        self.exhausted = true;
        0
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        if self.left && dest.len() == self.bytes.len() {
            dest.copy_from_slice(&self.bytes);
        } else {
            self.exhausted = true;
        }
        self.left = false;
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

impl rand_core::CryptoRng for PaddingSeed {}

/// Part 1, section 11.4.10.2, one block: HMAC(seed, 1 || label || context || bits).
fn kdfa(seed: &Seed, label: &[u8], context: &[u8], bits: u32) -> Zeroizing<[u8; 32]> {
    let mut hmac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, seed.as_slice()));
    hmac.update(&1u32.to_be_bytes());
    hmac.update(label);
    hmac.update(context);
    hmac.update(&bits.to_be_bytes());
    let mut key = Zeroizing::new([0; 32]);
    for (to, from) in key.iter_mut().zip(hmac.sign().as_ref()) {
        *to = *from;
    }
    key
}

/// Part 1, section 11.4.10.3, one block: H(1 || z || "IDENTITY\0" || party U || party V).
fn kdfe(z: &[u8], party_u: &[u8], party_v: &[u8]) -> Seed {
    let mut hash = Sha256::new();
    hash.update(1u32.to_be_bytes());
    hash.update(z);
    hash.update(b"IDENTITY\0");
    hash.update(party_u);
    hash.update(party_v);
    let mut seed = Zeroizing::new([0; 32]);
    hash.finalize_into((&mut *seed).into());
    seed
}

/// A `TPM2B`: 2-byte big-endian length, then the bytes. Everything here is shorter than 300 bytes.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [len.to_be_bytes().as_slice(), bytes].concat()
}

#[cfg(test)]
mod tests;
