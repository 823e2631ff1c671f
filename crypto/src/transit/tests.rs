use super::*;
use crate::digest::hmac_sha256;

const CIPHERS: [Cipher; 2] = [Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305];

fn material(byte: u8) -> SecretBytes {
    SecretBytes::new(vec![byte; 32])
}

fn bound(cipher: Cipher) -> Bound<'static> {
    let place = Place { kind: 1, path: "transit/a", version: 3, context: b"tenant" };
    Bound { cipher, place, aad: b"aad" }
}

fn opens(bound: &Bound<'_>, material: &SecretBytes, sealed: &[u8]) -> Option<Vec<u8>> {
    open(bound, material, sealed.to_vec()).ok().map(|plain| plain.to_vec())
}

#[test]
fn b2_a_message_opens_only_where_it_was_sealed() {
    for cipher in CIPHERS {
        let right = bound(cipher);
        let sealed = seal(&right, &material(1), &[5; SALT_LEN], b"plaintext");
        assert_eq!(opens(&right, &material(1), &sealed).as_deref(), Some(b"plaintext".as_slice()));
        assert_eq!(opens(&right, &material(2), &sealed), None, "key");
        let Bound { place, .. } = right;
        let wrong = [
            Bound { place: Place { kind: 2, ..place }, ..right },
            Bound { place: Place { path: "transit/b", ..place }, ..right },
            Bound { place: Place { version: 4, ..place }, ..right },
            Bound { place: Place { context: b"tenanu", ..place }, ..right },
            Bound { place: Place { path: "transit/at", context: b"enant", ..place }, ..right },
            Bound { aad: b"aae", ..right },
            Bound { aad: b"", ..right },
        ];
        for (index, wrong) in wrong.iter().enumerate() {
            assert_eq!(opens(wrong, &material(1), &sealed), None, "{cipher:?} {index}");
        }
    }
    let sealed = seal(&bound(Cipher::Aes256Gcm), &material(1), &[5; SALT_LEN], b"plaintext");
    assert_eq!(opens(&bound(Cipher::ChaCha20Poly1305), &material(1), &sealed), None);
}

/// The version in the header is authentic although it is in the clear: it is the caller's, who found the key by it.
#[test]
fn h5_the_version_of_the_header_must_be_the_key_s() {
    let right = bound(Cipher::Aes256Gcm);
    let mut sealed = seal(&right, &material(1), &[5; SALT_LEN], b"plaintext");
    sealed[4] = 4;
    assert_eq!(opens(&right, &material(1), &sealed), None);
    let other = Bound { place: Place { version: 4, ..right.place }, ..right };
    assert_eq!(opens(&other, &material(1), &sealed), None);
}

#[test]
fn h2_every_changed_bit_and_every_other_length_is_refused() {
    for cipher in CIPHERS {
        let bound = bound(cipher);
        let sealed = seal(&bound, &material(1), &[5; SALT_LEN], b"plaintext");
        assert_eq!(sealed.len(), HEADER_LEN + 9 + TAG_LEN);
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(opens(&bound, &material(1), &flipped), None, "bit {bit}");
        }
        for len in 0..sealed.len() {
            assert_eq!(opens(&bound, &material(1), &sealed[..len]), None, "length {len}");
        }
        assert_eq!(opens(&bound, &material(1), &[sealed.as_slice(), &[0]].concat()), None);
    }
}

#[test]
fn h9_another_salt_is_another_key() {
    let bound = bound(Cipher::Aes256Gcm);
    let body = |salt: u8| seal(&bound, &material(1), &[salt; SALT_LEN], &[0; 64])[HEADER_LEN..].to_vec();
    // The same key and nonce would give the same key stream, so the same ciphertext of the same plaintext.
    assert_ne!(body(1), body(2));
    assert_ne!(body(1)[..64], body(2)[..64]);
}

#[test]
fn a_convergent_salt_depends_on_every_input_and_on_nothing_else() {
    let right = bound(Cipher::Aes256Gcm);
    let salt = right.convergent_salt(&material(1), b"plaintext");
    assert_eq!(salt, right.convergent_salt(&material(1), b"plaintext"));
    let place = right.place;
    let moved = Bound { aad: b"aadp", ..right };
    for other in [
        right.convergent_salt(&material(2), b"plaintext"),
        right.convergent_salt(&material(1), b"plaintexu"),
        Bound { aad: b"aae", ..right }.convergent_salt(&material(1), b"plaintext"),
        moved.convergent_salt(&material(1), b"laintext"),
        Bound { place: Place { version: 4, ..place }, ..right }.convergent_salt(&material(1), b"plaintext"),
        Bound { place: Place { context: b"other", ..place }, ..right }
            .convergent_salt(&material(1), b"plaintext"),
        Bound { place: Place { path: "transit/b", ..place }, ..right }
            .convergent_salt(&material(1), b"plaintext"),
    ] {
        assert_ne!(other, salt);
    }
}

/// RFC 4231, test case 1 has a 20-byte key; its message and tag pin the algorithm.
#[test]
fn mac_matches_rfc_4231_case_1() {
    let material = SecretBytes::new(vec![0x0b; 20]);
    let expected = [
        0xb0, 0x34, 0x4c, 0x61, 0xd8, 0xdb, 0x38, 0x53, 0x5c, 0xa8, 0xaf, 0xce, 0xaf, 0x0b, 0xf1, 0x2b, 0x88,
        0x1d, 0xc2, 0x00, 0xc9, 0x83, 0x3d, 0xa7, 0x26, 0xe9, 0x37, 0x6c, 0x2e, 0x32, 0xcf, 0xf7,
    ];
    assert_eq!(mac(&material, b"Hi There"), expected);
    assert!(is_mac(&material, b"Hi There", &expected));
    assert!(!is_mac(&material, b"Hi There", &expected[..31]) && !is_mac(&material, b"Hi there", &expected));
}

/// The derivation by hand, with HMAC alone (RFC 5869), and RFC 5116's AEAD through `aead`: the documented form.
#[test]
fn a_sealed_message_is_the_documented_one() {
    let lv = |part: &[u8]| [&u32::try_from(part.len()).unwrap().to_be_bytes(), part].concat();
    let place = [vec![1], lv(b"transit/a"), lv(&[0, 0, 0, 3]), lv(b"tenant")].concat();
    let salt = Key32::take(&mut [5; 32]).unwrap();
    let mut prk = hmac_sha256(&salt, &[1; 32]);
    let info = [b"vouchsafe/1/transit/message".as_slice(), &place, &[1]].concat();
    let mut key = hmac_sha256(&Key32::take(&mut prk).unwrap(), &info);
    let aad = [b"vouchsafe/1/transit/associated".to_vec(), lv(&[1]), lv(&place), lv(b"aad")].concat();
    let mut body = b"plaintext".to_vec();
    crate::aead::SealingKey::new(&Key32::take(&mut key).unwrap()).seal([0; 12], &aad, &mut body);
    let expected = [vec![1, 0, 0, 0, 3], vec![5; 32], body].concat();
    assert_eq!(seal(&bound(Cipher::Aes256Gcm), &material(1), &[5; 32], b"plaintext"), expected);
}
