use super::*;
use crate::verify::{self, HashAlgorithm, PublicKey, Scheme};

const MADE: [Algorithm; 3] = [Algorithm::EcdsaP256, Algorithm::EcdsaP384, Algorithm::Ed25519];

#[test]
fn every_kind_signs_and_every_other_key_and_message_is_refused() {
    for algorithm in MADE {
        let key = SigningKey::read(algorithm, &generate(algorithm).unwrap()).unwrap();
        let spki = key.spki();
        let signature = key.sign(b"message").unwrap();
        assert_eq!(super::verify(algorithm, &spki, b"message", &signature), Ok(()));
        let invalid = Err(SignatureError::Invalid);
        assert_eq!(super::verify(algorithm, &spki, b"massage", &signature), invalid);
        let other = SigningKey::read(algorithm, &generate(algorithm).unwrap()).unwrap().spki();
        assert_eq!(super::verify(algorithm, &other, b"message", &signature), invalid);
        let short = signature.get(..signature.len() - 1).unwrap();
        assert_eq!(super::verify(algorithm, &spki, b"message", short), invalid);
        for wrong in MADE.into_iter().filter(|other| *other != algorithm) {
            assert_eq!(super::verify(wrong, &spki, b"message", &signature), Err(SignatureError::Key));
        }
    }
}

/// RFC 8032, section 7.1, test 2.
#[test]
fn ed25519_matches_rfc_8032() {
    let hex = |text: &str| -> Vec<u8> {
        let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        text.as_bytes().chunks(2).map(digits).collect()
    };
    let seed = hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
    let key = SigningKey::read(Algorithm::Ed25519, &SecretBytes::new(seed)).unwrap();
    let public = hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    assert_eq!(key.spki(), [ED25519_SPKI, &public].concat());
    let signature = hex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    );
    assert_eq!(key.sign(&[0x72]).unwrap(), signature);
}

/// What is signed here is verified by the code that verifies evidence, which takes the same bytes.
#[test]
fn p384_signatures_are_ordinary_ones() {
    let key = SigningKey::read(Algorithm::EcdsaP384, &generate(Algorithm::EcdsaP384).unwrap()).unwrap();
    let point = key.spki().split_off(P384_SPKI.len());
    let public = PublicKey::P384(point);
    let signature = key.sign(b"message").unwrap();
    verify::verify(&public, Scheme::EcdsaAsn1(HashAlgorithm::Sha384), b"message", &signature).unwrap();
}

#[test]
fn material_of_another_kind_is_refused() {
    for algorithm in MADE {
        let material = generate(algorithm).unwrap();
        for other in MADE.into_iter().chain([Algorithm::RsaPss]).filter(|other| *other != algorithm) {
            assert_eq!(SigningKey::read(other, &material).err(), Some(SignatureError::Key), "{other:?}");
        }
        for len in [0, material.len() - 1] {
            let short = SecretBytes::new(material.expose_secret()[..len].to_vec());
            assert_eq!(SigningKey::read(algorithm, &short).err(), Some(SignatureError::Key));
        }
    }
    assert_eq!(generate(Algorithm::RsaPss).err(), Some(SignatureError::Key), "ring makes no RSA keys");
}

#[test]
fn rsa_pss_signs_with_an_imported_key_and_its_spki_is_der() {
    use rsa::pkcs8::{EncodePrivateKey, EncodePublicKey};
    let private = rsa::RsaPrivateKey::new(&mut rand_core::OsRng, 2048).unwrap();
    let material = SecretBytes::new(private.to_pkcs8_der().unwrap().as_bytes().to_vec());
    let key = SigningKey::read(Algorithm::RsaPss, &material).unwrap();
    assert_eq!(key.spki(), private.to_public_key().to_public_key_der().unwrap().as_bytes());
    let signature = key.sign(b"message").unwrap();
    assert_eq!(super::verify(Algorithm::RsaPss, &key.spki(), b"message", &signature), Ok(()));
    let invalid = Err(SignatureError::Invalid);
    assert_eq!(super::verify(Algorithm::RsaPss, &key.spki(), b"massage", &signature), invalid);
    // 1,024 bits are below what ring takes.
    let small = rsa::RsaPrivateKey::new(&mut rand_core::OsRng, 1024).unwrap();
    let small = SecretBytes::new(small.to_pkcs8_der().unwrap().as_bytes().to_vec());
    assert_eq!(SigningKey::read(Algorithm::RsaPss, &small).err(), Some(SignatureError::Key));
}

#[test]
fn what_overwrites_a_dropped_key_is_a_key() {
    assert!(known_ecdsa(Algorithm::EcdsaP256).is_some() && known_ecdsa(Algorithm::EcdsaP384).is_some());
}
