//! Keys of the derive engine: for a vault, a role, a label and a version, always the same; for anything else, another.

use ring::hkdf::{HKDF_SHA256, KeyType, Salt};

use crate::digest::push_lv;
use crate::secret::{Key32, SecretBytes};

const LABEL: &[u8] = b"vouchsafe/1/derive";

/// Whom a derived key is for, and for what.
#[derive(Clone, Copy, Debug)]
pub struct Purpose<'a> {
    /// The vault's id, as its 33 bytes.
    pub vault: &'a [u8; 33],
    /// The role.
    pub role: &'a str,
    /// The label's path.
    pub label: &'a str,
    /// The label's version, from 1.
    pub version: u32,
    /// Length of the key in bytes; another length gives another key, not a part of this one.
    pub len: u8,
}

/// A length for ring.
struct Len(usize);

impl KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

/// `HKDF-SHA-256(seed, "", "vouchsafe/1/derive" || LV(vault id) || LV(role) || LV(label) || LV(version, 4) ||
/// LV(length, 1))`.
#[must_use]
pub fn derived_key(seed: &Key32, purpose: &Purpose<'_>) -> SecretBytes {
    let Purpose { vault, role, label, version, len } = purpose;
    let mut info = Vec::new();
    push_lv(&mut info, vault.as_slice());
    push_lv(&mut info, role.as_bytes());
    push_lv(&mut info, label.as_bytes());
    push_lv(&mut info, &version.to_be_bytes());
    push_lv(&mut info, &[*len]);
    let len = usize::from(*len);
    let mut key = vec![0; len];
    let prk = Salt::new(HKDF_SHA256, &[]).extract(seed.expose_secret());
    #[expect(clippy::expect_used, reason = "ring refuses only outputs over 8,160 bytes; a u8 is below it")]
    prk.expand(&[LABEL, &info], Len(len)).and_then(|okm| okm.fill(&mut key)).expect("at most 255 bytes");
    SecretBytes::new(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::hmac_sha256;

    fn seed(byte: u8) -> Key32 {
        Key32::take(&mut [byte; 32]).unwrap()
    }

    const PURPOSE: Purpose<'static> =
        Purpose { vault: &[9; 33], role: "web", label: "derive/disk", version: 1, len: 32 };

    fn key(seed_byte: u8, purpose: &Purpose<'_>) -> Vec<u8> {
        derived_key(&seed(seed_byte), purpose).expose_secret().to_vec()
    }

    #[test]
    fn b2_every_part_of_the_purpose_gives_another_key() {
        let own = key(1, &PURPOSE);
        assert_eq!(own, key(1, &PURPOSE), "always the same");
        let others = [
            key(2, &PURPOSE),
            key(1, &Purpose { vault: &[8; 33], ..PURPOSE }),
            key(1, &Purpose { role: "wec", ..PURPOSE }),
            key(1, &Purpose { label: "derive/disc", ..PURPOSE }),
            key(1, &Purpose { role: "webd", label: "erive/disk", ..PURPOSE }),
            key(1, &Purpose { version: 2, ..PURPOSE }),
        ];
        assert!(others.iter().all(|other| *other != own));
        let longer = key(1, &Purpose { len: 64, ..PURPOSE });
        assert!(longer.len() == 64 && !longer.starts_with(&own), "another length is another key");
    }

    /// RFC 5869 by hand, with HMAC alone: the documented form.
    #[test]
    fn a_derived_key_is_the_documented_one() {
        let prk = hmac_sha256(&seed(0), seed(1).expose_secret());
        let mut info = b"vouchsafe/1/derive".to_vec();
        for part in [[9; 33].as_slice(), b"web", b"derive/disk", &[0, 0, 0, 1], &[32]] {
            info.extend_from_slice(&[0, 0, 0, u8::try_from(part.len()).unwrap()]);
            info.extend_from_slice(part);
        }
        info.push(1);
        let expected = hmac_sha256(&Key32::take(&mut prk.clone()).unwrap(), &info);
        assert_eq!(key(1, &PURPOSE), expected);
    }
}
