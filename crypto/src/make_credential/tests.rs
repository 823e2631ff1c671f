//! The TPM's side of the protocol, written out again from Part 1, opens what `make_credential` made.
//! The end-to-end test against a TPM is in `vouchsafe-platform`.

use super::*;

const NAME: [u8; NAME_LEN] = [7; NAME_LEN];
const SECRET: [u8; 32] = [9; 32];

fn unsized_(bytes: &[u8]) -> (&[u8], &[u8]) {
    let len = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    bytes[2..].split_at(len)
}

/// `TPM2_ActivateCredential` after the seed is recovered.
fn open(seed: &Seed, name: &[u8], id_object: &[u8]) -> Option<Vec<u8>> {
    let (object, rest) = unsized_(id_object);
    assert!(rest.is_empty());
    let (tag, identity) = unsized_(object);
    let integrity = kdfa(seed, b"INTEGRITY\0", &[], 256);
    let key = hmac::Key::new(hmac::HMAC_SHA256, integrity.as_slice());
    hmac::verify(&key, &[identity, name].concat(), tag).ok()?;
    let storage = kdfa(seed, b"STORAGE\0", name, 128);
    let mut identity = identity.to_vec();
    cfb_mode::Decryptor::<Aes128>::new_from_slices(&storage[..16], &[0; 16]).unwrap().decrypt(&mut identity);
    let (secret, rest) = unsized_(&identity);
    assert!(rest.is_empty());
    Some(secret.to_vec())
}

#[test]
fn t4_an_ecc_ek_recovers_the_secret_only_for_the_named_object() {
    let rng = SystemRandom::new();
    let ek = agreement::EphemeralPrivateKey::generate(&agreement::ECDH_P256, &rng).unwrap();
    let public = ek.compute_public_key().unwrap();
    let (x, y): ([u8; 32], [u8; 32]) =
        (public.as_ref()[1..33].try_into().unwrap(), public.as_ref()[33..].try_into().unwrap());
    let blob = make_credential(&EndorsementKey::EccP256 { x, y }, &NAME, &SECRET).unwrap();

    let (point, rest) = unsized_(&blob.encrypted_secret);
    assert!(rest.is_empty());
    let (peer_x, peer_y) = unsized_(point);
    let (peer_y, rest) = unsized_(peer_y);
    assert!(rest.is_empty());
    let peer = [&[4], peer_x, peer_y].concat();
    let peer = agreement::UnparsedPublicKey::new(&agreement::ECDH_P256, peer);
    let seed = agreement::agree_ephemeral(ek, &peer, |z| kdfe(z, peer_x, &x)).unwrap();
    assert_eq!(open(&seed, &NAME, &blob.id_object).unwrap(), SECRET);
    assert_eq!(open(&seed, &[8; NAME_LEN], &blob.id_object), None);
}

#[test]
fn t4_an_rsa_ek_recovers_the_secret_only_for_the_named_object() {
    use rsa::traits::PublicKeyParts;
    let mut rng = TestRng(SystemRandom::new());
    let private = rsa::RsaPrivateKey::new(&mut rng, 2048).unwrap();
    let ek = EndorsementKey::Rsa2048 { modulus: private.n().to_bytes_be(), exponent: 65_537 };
    let blob = make_credential(&ek, &NAME, &SECRET).unwrap();
    let (encrypted, rest) = unsized_(&blob.encrypted_secret);
    assert!(rest.is_empty());
    let seed = private.decrypt(Oaep::new_with_label::<Sha256, _>("IDENTITY\0"), encrypted).unwrap();
    let seed = Zeroizing::new(seed.try_into().unwrap());
    assert_eq!(open(&seed, &NAME, &blob.id_object).unwrap(), SECRET);
    assert_eq!(open(&seed, &[8; NAME_LEN], &blob.id_object), None);
}

#[test]
fn a_key_that_is_not_on_the_curve_is_refused() {
    let ek = EndorsementKey::EccP256 { x: [1; 32], y: [1; 32] };
    assert_eq!(make_credential(&ek, &NAME, &SECRET), Err(MakeCredentialError::Key));
}

#[test]
fn two_credentials_for_one_secret_share_nothing() {
    let rng = SystemRandom::new();
    let ek = agreement::EphemeralPrivateKey::generate(&agreement::ECDH_P256, &rng).unwrap();
    let public = ek.compute_public_key().unwrap();
    let (x, y) = (public.as_ref()[1..33].try_into().unwrap(), public.as_ref()[33..].try_into().unwrap());
    let ek = EndorsementKey::EccP256 { x, y };
    let one = make_credential(&ek, &NAME, &SECRET).unwrap();
    let two = make_credential(&ek, &NAME, &SECRET).unwrap();
    assert_ne!(one.id_object, two.id_object);
    assert_ne!(one.encrypted_secret, two.encrypted_secret);
}

struct TestRng(SystemRandom);

impl rand_core::RngCore for TestRng {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        self.0.fill(dest).unwrap();
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

impl rand_core::CryptoRng for TestRng {}
