//! Hashes, HMAC and HKDF.

use ring::{digest, hkdf, hmac};

use crate::secret::Key32;

/// SHA-256 over the parts, one after another. Callers frame parts of varying length themselves.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    hash(&digest::SHA256, parts)
}

/// SHA-384 over the parts.
#[must_use]
pub fn sha384(parts: &[&[u8]]) -> [u8; 48] {
    hash(&digest::SHA384, parts)
}

/// SHA-512 over the parts.
#[must_use]
pub fn sha512(parts: &[&[u8]]) -> [u8; 64] {
    hash(&digest::SHA512, parts)
}

/// The digest length of each algorithm is its array's length, so the copy is exact.
fn hash<const N: usize>(algorithm: &'static digest::Algorithm, parts: &[&[u8]]) -> [u8; N] {
    let mut context = digest::Context::new(algorithm);
    parts.iter().for_each(|part| context.update(part));
    let mut out = [0; N];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// HMAC-SHA256.
#[must_use]
pub fn hmac_sha256(key: &Key32, message: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.expose_secret()), message);
    let mut out = [0; 32];
    out.copy_from_slice(tag.as_ref());
    out
}

/// HKDF-SHA256 (RFC 5869): one 32-byte key. `info` begins with the label of its one purpose; parts that vary
/// in length are framed by the caller.
#[must_use]
pub fn hkdf_sha256(secret: &Key32, salt: &[u8], info: &[&[u8]]) -> Key32 {
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret.expose_secret());
    let filled = Key32::fill_with(|bytes| prk.expand(info, hkdf::HKDF_SHA256)?.fill(bytes));
    #[expect(
        clippy::expect_used,
        reason = "ring refuses only outputs over 255 hashes; this is one hash long"
    )]
    filled.expect("one hash of output")
}

/// `LV(x)`: a 4-byte big-endian length and the bytes, as every signed or hashed statement frames its parts.
///
/// # Panics
/// Never in practice: every caller's parts are bounded by `protocol::limits`, far below 4 GiB; a longer part
/// would stop the process rather than be hashed with a wrong length.
pub fn push_lv(out: &mut Vec<u8>, part: &[u8]) {
    #[expect(clippy::expect_used, reason = "parts are bounded by protocol::limits, far below 4 GiB")]
    let len = u32::try_from(part.len()).expect("part shorter than 4 GiB");
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(part);
}

/// A domain tag and its parts: `tag || LV(part) || LV(part) ...`.
#[must_use]
pub fn preimage(tag: &str, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(tag.len() + parts.iter().map(|part| part.len() + 4).sum::<usize>());
    out.extend_from_slice(tag.as_bytes());
    parts.iter().for_each(|part| push_lv(&mut out, part));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b2_moving_a_byte_across_a_boundary_changes_the_preimage() {
        assert_ne!(preimage("t", &[b"ab", b"c"]), preimage("t", &[b"a", b"bc"]));
        assert_ne!(preimage("t", &[b"ab", b""]), preimage("t", &[b"ab"]));
    }

    #[test]
    fn hkdf_matches_rfc_5869_case_1_truncated_to_one_hash() {
        // RFC 5869 A.1 has a 22-byte IKM; Key32 is 32 bytes, so the vector is RFC 4231-style HMAC instead.
        let mut ikm = [0x0b; 32];
        let key = Key32::take(&mut ikm).unwrap();
        let prk = {
            let mut salt = [0u8; 32];
            hmac_sha256(&Key32::take(&mut salt).unwrap(), &[0x0b; 32])
        };
        let mut prk_copy = prk;
        let okm = hmac_sha256(&Key32::take(&mut prk_copy).unwrap(), b"label\x01");
        assert_eq!(hkdf_sha256(&key, &[0; 32], &[b"label"]).expose_secret(), &okm);
    }
}
