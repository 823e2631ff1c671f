//! What the transit engine does with its keys: subkeys, sealed messages, HMACs; signatures are in [`signing`].
//!
//! Called by the enclave alone, with paths, contexts and messages that an adversary may have chosen. What must stay
//! true: the key of a message comes from everything it is bound to, each part framed (B2), and no (key, nonce)
//! pair repeats.
//!
//! ```text
//! place   = kind (1) || LV(path) || LV(version, 4) || LV(context)
//! message = HKDF-SHA-256(material, salt, "vouchsafe/1/transit/message" || place)              32 bytes
//! aad     = "vouchsafe/1/transit/associated" || LV(format) || LV(place) || LV(caller's associated data)
//! salt    = random, 32 bytes; of a convergent key:
//!           HMAC-SHA-256(HKDF-SHA-256(material, "", "vouchsafe/1/transit/convergent" || place),
//!                        LV(caller's associated data) || plaintext)
//! ```

use ring::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::{hkdf, hmac};
use zeroize::Zeroizing;

use crate::aead::{OpenError, TAG_LEN};
use crate::digest::{preimage, push_lv};
use crate::secret::{Key32, SecretBytes};

pub mod signing;

/// Format byte of what [`seal`] makes.
const FORMAT: u8 = 1;
/// Length of a salt in bytes.
pub const SALT_LEN: usize = 32;
/// Format, version of the key, salt.
pub const HEADER_LEN: usize = 1 + 4 + SALT_LEN;

const ASSOCIATED: &str = "vouchsafe/1/transit/associated";
const CONVERGENT: &[u8] = b"vouchsafe/1/transit/convergent";
const HMAC: &[u8] = b"vouchsafe/1/transit/hmac";
const MESSAGE: &[u8] = b"vouchsafe/1/transit/message";

/// An algorithm that encrypts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    /// AES-256-GCM (NIST SP 800-38D).
    Aes256Gcm,
    /// ChaCha20-Poly1305 (RFC 8439).
    ChaCha20Poly1305,
}

/// Where a subkey belongs: everything that makes it another one.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The key's kind, one byte of its own for each.
    pub kind: u8,
    /// The key's path.
    pub path: &'a str,
    /// The key's version, from 1.
    pub version: u32,
    /// Context of a derived key; else empty.
    pub context: &'a [u8],
}

/// What a sealed message is bound to.
#[derive(Clone, Copy, Debug)]
pub struct Bound<'a> {
    /// Algorithm.
    pub cipher: Cipher,
    /// Where its key belongs.
    pub place: Place<'a>,
    /// The caller's associated data.
    pub aad: &'a [u8],
}

impl Place<'_> {
    fn bytes(&self) -> Vec<u8> {
        let mut out = vec![self.kind];
        push_lv(&mut out, self.path.as_bytes());
        push_lv(&mut out, &self.version.to_be_bytes());
        push_lv(&mut out, self.context);
        out
    }

    /// A subkey of `material` for one purpose, here, under this salt.
    fn subkey(&self, material: &SecretBytes, salt: &[u8], label: &[u8]) -> Key32 {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(material.expose_secret());
        let info = [label, &self.bytes()];
        let filled = Key32::fill_with(|bytes| prk.expand(&info, hkdf::HKDF_SHA256)?.fill(bytes));
        #[expect(
            clippy::expect_used,
            reason = "ring refuses only outputs over 255 hashes; this is one hash long"
        )]
        filled.expect("one hash of output")
    }
}

impl Bound<'_> {
    fn key(&self, material: &SecretBytes, salt: &[u8; SALT_LEN]) -> LessSafeKey {
        let algorithm = match self.cipher {
            Cipher::Aes256Gcm => &AES_256_GCM,
            Cipher::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        };
        let key = self.place.subkey(material, salt, MESSAGE);
        #[expect(
            clippy::expect_used,
            reason = "ring refuses only a wrong key length; both algorithms take 32 bytes"
        )]
        LessSafeKey::new(UnboundKey::new(algorithm, key.expose_secret()).expect("32-byte key"))
    }

    fn associated(&self) -> Vec<u8> {
        preimage(ASSOCIATED, &[&[FORMAT], &self.place.bytes(), self.aad])
    }

    /// The salt of a convergent key: it depends on everything that the ciphertext does (as in RFC 5297, the
    /// synthetic IV of SIV), so equal inputs give equal ciphertexts and different ones give different keys.
    #[must_use]
    pub fn convergent_salt(&self, material: &SecretBytes, plaintext: &[u8]) -> [u8; SALT_LEN] {
        let key = self.place.subkey(material, b"", CONVERGENT);
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.expose_secret()));
        let mut framed = Vec::with_capacity(4 + self.aad.len());
        push_lv(&mut framed, self.aad);
        context.update(&framed);
        context.update(plaintext);
        let mut salt = [0; SALT_LEN];
        salt.copy_from_slice(context.sign().as_ref());
        salt
    }
}

/// Seals: format, version and salt in the clear, then ciphertext and tag.
#[must_use]
pub fn seal(bound: &Bound<'_>, material: &SecretBytes, salt: &[u8; SALT_LEN], plaintext: &[u8]) -> Vec<u8> {
    // In one piece: a vector that grew would leave parts of the plaintext behind.
    let mut out = Vec::with_capacity(HEADER_LEN + plaintext.len() + TAG_LEN);
    out.push(FORMAT);
    out.extend_from_slice(&bound.place.version.to_be_bytes());
    out.extend_from_slice(salt);
    out.extend_from_slice(plaintext);
    let key = bound.key(material, salt);
    // The nonce is constant, and the pair does not repeat: the key is of this message alone. A random salt of 256
    // bits comes twice with probability 2^-128 after 2^64 messages, however many a version of a key seals; a
    // convergent salt comes twice only for the same place, associated data and plaintext, and then everything,
    // the ciphertext included, is the same.
    let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
    let body = out.get_mut(HEADER_LEN..).unwrap_or_default();
    #[expect(clippy::expect_used, reason = "ring refuses only plaintexts over 64 GiB; frames are bounded")]
    let tag = key
        .seal_in_place_separate_tag(nonce, Aad::from(bound.associated()), body)
        .expect("bounded plaintext");
    out.extend_from_slice(tag.as_ref());
    out
}

/// Opens what [`seal`] made. The caller has found the material by the version in the header.
///
/// # Errors
/// [`OpenError`], whatever is wrong.
pub fn open(
    bound: &Bound<'_>,
    material: &SecretBytes,
    sealed: Vec<u8>,
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let mut sealed = Zeroizing::new(sealed);
    let (header, _) = sealed.split_first_chunk::<HEADER_LEN>().ok_or(OpenError)?;
    let salt = {
        let (format, rest) = header.split_first().ok_or(OpenError)?;
        let (version, rest) = rest.split_first_chunk::<4>().ok_or(OpenError)?;
        if *format != FORMAT || u32::from_be_bytes(*version) != bound.place.version {
            return Err(OpenError);
        }
        *rest.first_chunk::<SALT_LEN>().ok_or(OpenError)?
    };
    let key = bound.key(material, &salt);
    // As in `seal`.
    let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
    let len = key
        .open_within(nonce, Aad::from(bound.associated()), &mut sealed, HEADER_LEN..)
        .map_err(|_| OpenError)?
        .len();
    sealed.truncate(len);
    Ok(sealed)
}

/// HMAC-SHA-256 (RFC 2104) under the material itself, so that whoever imported the same key agrees.
#[must_use]
pub fn mac(material: &SecretBytes, message: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(hmac::sign(&mac_key(material.expose_secret()), message).as_ref());
    out
}

/// Whether `tag` is [`mac`], in constant time.
#[must_use]
pub fn is_mac(material: &SecretBytes, message: &[u8], tag: &[u8]) -> bool {
    hmac::verify(&mac_key(material.expose_secret()), message, tag).is_ok()
}

/// The HMAC key of a context.
#[must_use]
pub fn derived_mac_material(material: &SecretBytes, place: &Place<'_>) -> SecretBytes {
    SecretBytes::new(place.subkey(material, b"", HMAC).expose_secret().to_vec())
}

fn mac_key(material: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, material)
}

#[cfg(test)]
mod tests;
