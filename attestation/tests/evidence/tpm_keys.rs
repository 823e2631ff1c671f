//! Endorsement keys, attestation keys and residency. Each test starts from keys that are accepted, changes one
//! thing, and expects exactly one refusal.

use crate::snp_fixture::NOW;
use crate::tpm_fixture::{
    Ak, Fixture, SHA1, anchor_sets, anchors, ca, ek_spec, p256_key, quote_over, secret,
};
use vouchsafe_attestation::tpm::attest::{AttestError, Quote};
use vouchsafe_attestation::tpm::public::{Public, PublicError};
use vouchsafe_attestation::tpm::signature::{QuoteSignature, SignatureError};
use vouchsafe_attestation::x509::{CertificateError, ChainError};
use vouchsafe_attestation::{
    AkError, AnchorError, EkError, ResidencyError, TrustAnchors, confirm_residency, make_credential,
    parse_ak, verify_ek,
};
use vouchsafe_crypto::verify::{HashAlgorithm, PublicKey, Scheme};
use vouchsafe_protocol::evidence::{AkProof, TpmKeys};
use vouchsafe_protocol::id::AnchorClass;
use vouchsafe_protocol::limits::CERTIFICATES;
use vouchsafe_simulation::tpm::{
    AK_ATTRIBUTES, ALG_SHA384, EK_ATTRIBUTES, EK_USAGE, PublicSpec, TpmKey, TpmKeyKind, sized,
};

pub(crate) fn refusal(fixture: &Fixture, keys: &TpmKeys) -> EkError {
    verify_ek(keys, &fixture.anchors, NOW).unwrap_err()
}

#[test]
fn a_right_ek_is_accepted_and_its_anchor_named() {
    let fixture = Fixture::new();
    let ek = verify_ek(&fixture.keys(), &fixture.anchors, NOW).unwrap();
    assert_eq!(ek.anchor().as_str(), "maker");
    assert_eq!(ek.class(), AnchorClass::Hardware);
}

#[test]
fn t13_the_set_that_matched_names_the_class() {
    let fixture = Fixture::new();
    let simulator = ca("simulator");
    let both = anchors(&[
        ("maker", AnchorClass::Hardware, vec![fixture.ca.der().to_vec()]),
        ("simulator", AnchorClass::Simulated, vec![simulator.der().to_vec()]),
    ]);
    assert_eq!(both.class(), AnchorClass::Simulated);
    let der = fixture.ek_certificate(&simulator, &ek_spec());
    let ek = verify_ek(&fixture.keys_of(vec![der]), &both, NOW).unwrap();
    assert_eq!((ek.anchor().as_str(), ek.class()), ("simulator", AnchorClass::Simulated));
    let ek = verify_ek(&fixture.keys(), &both, NOW).unwrap();
    assert_eq!((ek.anchor().as_str(), ek.class()), ("maker", AnchorClass::Hardware));
}

// --- the endorsement key itself

#[test]
fn t4_an_endorsement_key_that_follows_no_template_is_refused() {
    let fixture = Fixture::new();
    let right = PublicSpec::ek();
    let mut cases = vec![
        PublicSpec { name_algorithm: SHA1, ..right.clone() },
        PublicSpec { attributes: EK_ATTRIBUTES | 1 << 18, ..right.clone() },
        PublicSpec { symmetric: vec![0x00, 0x10], ..right.clone() },
        PublicSpec { scheme: vec![0x00, 0x18, 0x00, 0x0b], ..right.clone() },
    ];
    for bit in [1, 4, 5, 16, 17] {
        cases.push(PublicSpec { attributes: EK_ATTRIBUTES & !(1 << bit), ..right.clone() });
    }
    for public in cases {
        let chain = vec![fixture.ek_certificate(&fixture.ca, &ek_spec())];
        assert_eq!(refusal(&fixture, &fixture.keys_as(chain, &public)), EkError::Template);
    }
}

#[test]
fn t4_an_endorsement_key_that_no_credential_can_be_made_for_is_refused() {
    let mut fixture = Fixture::new();
    fixture.ek = TpmKey::generate(TpmKeyKind::EcdsaP384).unwrap();
    assert_eq!(refusal(&fixture, &fixture.keys()), EkError::Template);
    fixture.ek = TpmKey::generate(TpmKeyKind::RsaSsaSha256).unwrap();
    verify_ek(&fixture.keys(), &fixture.anchors, NOW).unwrap();
}

#[test]
fn t4_a_certificate_of_the_attestation_key_is_no_endorsement_key() {
    let fixture = Fixture::new();
    let ak_chain = vec![fixture.ek_certificate(&fixture.ca, &ek_spec())];
    let keys = TpmKeys { proof: AkProof::Certificate { ak_chain }, ..fixture.keys() };
    assert_eq!(refusal(&fixture, &keys), EkError::NoCertificate);
}

#[test]
fn s16_every_other_length_of_a_public_area_is_refused() {
    let rsa = TpmKey::generate(TpmKeyKind::RsaPssSha256).unwrap();
    let p384 = TpmKey::generate(TpmKeyKind::EcdsaP384).unwrap();
    let ek = p256_key().public_area(&PublicSpec::ek());
    for good in [ek, Ak::generate().public, rsa.ak_public(), p384.ak_public()] {
        for len in (0..good.len()).chain([good.len() + 1, 5000]) {
            let mut cut = good.clone();
            cut.resize(len, 0);
            assert_eq!(Public::parse(&cut), Err(PublicError::Malformed), "{len}");
        }
    }
}

#[test]
fn s16_structures_of_a_tpm_are_bounded() {
    // 4,096 bytes: right in form, whatever they say.
    let key = p256_key();
    let fixed = key.ak_public().len();
    let area = |len: usize| {
        let auth_policy = vec![0; len - fixed];
        key.public_area(&PublicSpec { auth_policy, ..PublicSpec::ak(key.kind()) })
    };
    assert!(Public::parse(&area(4096)).is_ok());
    assert_eq!(Public::parse(&area(4097)), Err(PublicError::Malformed));
    let signature = |len: usize| [&[0x00, 0x14, 0x00, 0x0b], sized(&vec![1; len - 6]).as_slice()].concat();
    assert!(QuoteSignature::parse(&signature(4096)).is_ok());
    assert_eq!(QuoteSignature::parse(&signature(4097)), Err(SignatureError::Malformed));
    let quote = |len: usize| {
        let mut quote = quote_over(&[]);
        quote.signer = Vec::new();
        let fixed = quote.encode().len();
        quote.signer = vec![0; len - fixed];
        Quote::parse(&quote.encode()).map(drop)
    };
    assert_eq!(quote(4096), Ok(()));
    assert_eq!(quote(4097), Err(AttestError::Malformed));
}

// --- T5: the attestation key

#[test]
fn t5_each_attribute_of_an_attestation_key_is_checked() {
    for (bit, expected) in [
        (16, AkError::Unrestricted),
        (1, AkError::NotFixedTpm),
        (4, AkError::NotFixedParent),
        (5, AkError::ForeignOrigin),
        (18, AkError::NotSigning),
    ] {
        let ak = Ak::with_attributes(AK_ATTRIBUTES & !(1 << bit));
        assert_eq!(parse_ak(&ak.public).unwrap_err(), expected);
    }
    let ak = Ak::with_attributes(AK_ATTRIBUTES | 1 << 17);
    assert_eq!(parse_ak(&ak.public).unwrap_err(), AkError::Decrypt);
    for reserved in [0, 3, 8, 12, 20, 31] {
        let ak = Ak::with_attributes(AK_ATTRIBUTES | 1 << reserved);
        assert_eq!(parse_ak(&ak.public).unwrap_err(), AkError::Public(PublicError::ReservedAttributes));
    }
}

#[test]
fn t5_name_algorithm_scheme_and_curve_are_checked() {
    let public = |change: fn(&mut PublicSpec)| {
        let mut spec = PublicSpec::ak(TpmKeyKind::EcdsaP256);
        change(&mut spec);
        parse_ak(&p256_key().public_area(&spec)).unwrap_err()
    };
    // SHA-1, and SHA-384: one way to name keys.
    assert_eq!(public(|spec| spec.name_algorithm = SHA1), AkError::NameAlgorithm);
    assert_eq!(public(|spec| spec.name_algorithm = ALG_SHA384), AkError::NameAlgorithm);
    for refused in [
        public(|spec| spec.scheme = vec![0x00, 0x10]),
        public(|spec| spec.scheme = vec![0x00, 0x18, 0x00, 0x04]),
        public(|spec| spec.scheme = vec![0x00, 0x18, 0x00, 0x0c]),
        public(|spec| spec.scheme = vec![0x00, 0x14, 0x00, 0x0b]),
        // ECDH.
        public(|spec| spec.scheme = vec![0x00, 0x19, 0x00, 0x0b]),
    ] {
        assert_eq!(refused, AkError::Scheme);
    }
    let mut p521 = Ak::generate().public;
    let curve = 2 + 2 + 4 + 2 + 2 + 4;
    p521[curve + 1] = 0x05;
    let expected = AkError::Public(PublicError::Algorithm { algorithm: 0x0005 });
    assert_eq!(parse_ak(&p521).unwrap_err(), expected);
    let mut derives = Ak::generate().public;
    derives[curve + 3] = 0x07;
    let expected = AkError::Public(PublicError::Algorithm { algorithm: 0x0007 });
    assert_eq!(parse_ak(&derives).unwrap_err(), expected);
    // Coordinates of the other curve.
    let mut p384 = Ak::generate().public;
    p384[curve + 1] = 0x04;
    assert_eq!(parse_ak(&p384).unwrap_err(), AkError::Public(PublicError::Malformed));
}

#[test]
fn t5_rsa_schemes_and_sizes_are_checked() {
    let rsa = TpmKey::generate(TpmKeyKind::RsaSsaSha256).unwrap();
    let with_scheme = |scheme: &[u8]| {
        let spec = PublicSpec { scheme: scheme.to_vec(), ..PublicSpec::ak(rsa.kind()) };
        parse_ak(&rsa.public_area(&spec))
    };
    for scheme in [[0x00, 0x14, 0x00, 0x04], [0x00, 0x16, 0x00, 0x0d], [0x00, 0x18, 0x00, 0x0b]] {
        assert_eq!(with_scheme(&scheme).unwrap_err(), AkError::Scheme);
    }
    // RSAES has no hash, OAEP has one; neither signs.
    for scheme in [[0x00, 0x15].as_slice(), &[0x00, 0x17, 0x00, 0x0b]] {
        assert_eq!(with_scheme(scheme).unwrap_err(), AkError::Scheme);
    }
    // Fewer bits than it says: the first is zero.
    let mut shorter = rsa.ak_public();
    let modulus = shorter.len() - 256;
    shorter[modulus] &= 0x7f;
    assert_eq!(parse_ak(&shorter).unwrap_err(), AkError::Public(PublicError::Malformed));
    // 1,024 bits.
    let mut short = rsa.ak_public();
    let bits = 2 + 2 + 4 + 2 + 2 + 4;
    short[bits..bits + 2].copy_from_slice(&1024u16.to_be_bytes());
    let expected = AkError::Public(PublicError::Algorithm { algorithm: 1024 });
    assert_eq!(parse_ak(&short).unwrap_err(), expected);
    // Says 3,072 and has 2,048.
    short[bits..bits + 2].copy_from_slice(&3072u16.to_be_bytes());
    assert_eq!(parse_ak(&short).unwrap_err(), AkError::Public(PublicError::Malformed));
}

#[test]
fn every_accepted_kind_of_attestation_key_is_read() {
    use HashAlgorithm::{Sha256, Sha384};
    for (kind, scheme) in [
        (TpmKeyKind::EcdsaP256, Scheme::EcdsaFixed(Sha256)),
        (TpmKeyKind::EcdsaP384, Scheme::EcdsaFixed(Sha384)),
        (TpmKeyKind::RsaSsaSha256, Scheme::RsaPkcs1(Sha256)),
        (TpmKeyKind::RsaSsaSha384, Scheme::RsaPkcs1(Sha384)),
        (TpmKeyKind::RsaPssSha256, Scheme::RsaPss(Sha256)),
        (TpmKeyKind::RsaPssSha384, Scheme::RsaPss(Sha384)),
    ] {
        let ak = parse_ak(&TpmKey::generate(kind).unwrap().ak_public()).unwrap();
        assert_eq!(ak.scheme(), scheme);
        let expected = matches!(
            (kind, ak.key()),
            (TpmKeyKind::EcdsaP256, PublicKey::P256(_)) | (TpmKeyKind::EcdsaP384, PublicKey::P384(_))
        ) || matches!(ak.key(), PublicKey::Rsa { .. });
        assert!(expected);
    }
}

#[test]
fn t5_the_name_is_computed_from_the_public_area() {
    let ak = Ak::generate();
    let expected = [&[0, 0x0b], vouchsafe_crypto::digest::sha256(&[&ak.public]).as_slice()].concat();
    assert_eq!(parse_ak(&ak.public).unwrap().name().as_slice(), expected);
}

// --- T4: residency

#[test]
fn t4_only_the_secret_proves_residency() {
    let fixture = Fixture::new();
    let ask = |answer: &[u8]| {
        let ek = verify_ek(&fixture.keys(), &fixture.anchors, NOW).unwrap();
        let ak = parse_ak(&fixture.ak.public).unwrap();
        confirm_residency(ek, ak, &secret(), answer).map(drop)
    };
    let right = [0x5e; 32];
    assert_eq!(ask(&right), Ok(()));
    let longer = [right.as_slice(), &[0]].concat();
    let mut last = right;
    last[31] ^= 1;
    for answer in [&[] as &[u8], &right[..31], &longer, &last, &[0; 32]] {
        assert_eq!(ask(answer), Err(ResidencyError));
    }
}

#[test]
fn t4_a_credential_is_made_for_the_verified_key_and_name() {
    let fixture = Fixture::new();
    let ek = verify_ek(&fixture.keys(), &fixture.anchors, NOW).unwrap();
    let blob = make_credential(&ek, &parse_ak(&fixture.ak.public).unwrap(), &secret()).unwrap();
    // TPM2B of: TPM2B HMAC (34), encrypted TPM2B secret (34). TPM2B of: two TPM2B coordinates.
    assert_eq!(blob.id_object.len(), 2 + 34 + 34);
    assert_eq!(blob.encrypted_secret.len(), 2 + 34 + 34);
}

#[test]
fn t4_a_credential_is_made_for_an_rsa_endorsement_key() {
    let mut fixture = Fixture::new();
    fixture.ek = TpmKey::generate(TpmKeyKind::RsaSsaSha256).unwrap();
    let ek = verify_ek(&fixture.keys(), &fixture.anchors, NOW).unwrap();
    let blob = make_credential(&ek, &parse_ak(&fixture.ak.public).unwrap(), &secret()).unwrap();
    // The secret is encrypted to the modulus.
    assert_eq!((blob.id_object.len(), blob.encrypted_secret.len()), (2 + 34 + 34, 2 + 256));
}

// --- anchors

#[test]
fn s1_empty_duplicate_or_unreadable_anchors_are_refused() {
    let ca = ca("TPM maker").der().to_vec();
    let name = || "maker".parse().unwrap();
    let hardware = AnchorClass::Hardware;
    let load = |sets: &[(&str, AnchorClass, Vec<Vec<u8>>)]| TrustAnchors::new(&anchor_sets(sets)).map(drop);
    assert_eq!(load(&[("maker", hardware, Vec::new())]), Err(AnchorError::Empty { name: name() }));
    let twice = ("maker", hardware, vec![ca.clone()]);
    assert_eq!(load(&[twice.clone(), twice]), Err(AnchorError::Duplicate { name: name() }));
    let repeated = ("maker", hardware, vec![ca.clone(), ca.clone()]);
    assert_eq!(load(&[repeated]), Err(AnchorError::Duplicate { name: name() }));
    let broken = ("maker", hardware, vec![ca[..ca.len() - 1].to_vec()]);
    let expected = AnchorError::Certificate { name: name(), source: CertificateError::Malformed };
    assert_eq!(load(&[broken]), Err(expected));
    let fixture = Fixture::new();
    let leaf = ("maker", hardware, vec![fixture.ek_certificate(&fixture.ca, &ek_spec())]);
    assert_eq!(load(&[leaf]), Err(AnchorError::NotAnAuthority { name: name() }));
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    let many: Vec<_> = names.map(|name| (name, hardware, vec![ca.clone()])).to_vec();
    assert_eq!((load(&many[1..]), load(&many)), (Ok(()), Err(AnchorError::TooMany)));
    let crowd =
        ("maker", hardware, (0..=CERTIFICATES).map(|n| self::ca(&n.to_string()).der().to_vec()).collect());
    assert_eq!(load(&[crowd]), Err(AnchorError::TooMany));
}

#[test]
fn s1_no_anchor_for_tpms_verifies_nothing() {
    let fixture = Fixture::new();
    let refused = verify_ek(&fixture.keys(), &anchors(&[]), NOW).unwrap_err();
    assert_eq!(refused, EkError::Chain(ChainError::NoAnchor));
}

#[test]
fn the_usage_is_the_one_of_the_profile() {
    assert_eq!(EK_USAGE, "2.23.133.8.1");
}
