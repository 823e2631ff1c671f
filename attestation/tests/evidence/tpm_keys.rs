//! Endorsement keys, attestation keys and residency. Each test starts from keys that are accepted, changes one
//! thing, and expects exactly one refusal.

use crate::snp_fixture::NOW;
use crate::tpm_fixture::{
    AES_128_CFB, AK_ATTRIBUTES, Ak, Ca, ECDSA_SHA256, EK_ATTRIBUTES, EK_USAGE, Fixture, NO_SCHEME,
    NO_SYMMETRIC, SHA1, SHA256, anchor_sets, anchors, ecc_public, ek_params, secret,
};
use ring::signature::KeyPair as _;
use vouchsafe_attestation::tpm::public::{Public, PublicError};
use vouchsafe_attestation::x509::{CertificateError, ChainError};
use vouchsafe_attestation::{
    AkError, AnchorError, EkError, ResidencyError, TrustAnchors, confirm_residency, make_credential,
    parse_ak, verify_ek,
};
use vouchsafe_protocol::evidence::TpmKeys;
use vouchsafe_protocol::id::AnchorClass;

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
    let simulator = Ca::new("simulator");
    let both = anchors(&[
        ("maker", AnchorClass::Hardware, vec![fixture.ca.der.clone()]),
        ("simulator", AnchorClass::Simulated, vec![simulator.der.clone()]),
    ]);
    assert_eq!(both.class(), AnchorClass::Simulated);
    let der = ek_params().signed_by(&fixture.ek, &simulator.issuer).unwrap().der().to_vec();
    let ek = verify_ek(&fixture.keys_of(vec![der]), &both, NOW).unwrap();
    assert_eq!((ek.anchor().as_str(), ek.class()), ("simulator", AnchorClass::Simulated));
    let ek = verify_ek(&fixture.keys(), &both, NOW).unwrap();
    assert_eq!((ek.anchor().as_str(), ek.class()), ("maker", AnchorClass::Hardware));
}

// --- the endorsement key itself

#[test]
fn t4_an_endorsement_key_that_follows_no_template_is_refused() {
    let fixture = Fixture::new();
    let point = fixture.ek.public_key_raw();
    let all = |name_alg, attributes, symmetric: &[u8], scheme: &[u8]| {
        ecc_public(name_alg, attributes, symmetric, scheme, point)
    };
    let mut cases = vec![
        all(SHA1, EK_ATTRIBUTES, &AES_128_CFB, &NO_SCHEME),
        all(SHA256, EK_ATTRIBUTES | 1 << 18, &AES_128_CFB, &NO_SCHEME),
        all(SHA256, EK_ATTRIBUTES, &NO_SYMMETRIC, &NO_SCHEME),
        all(SHA256, EK_ATTRIBUTES, &AES_128_CFB, &ECDSA_SHA256),
    ];
    for bit in [1, 4, 5, 16, 17] {
        cases.push(all(SHA256, EK_ATTRIBUTES & !(1 << bit), &AES_128_CFB, &NO_SCHEME));
    }
    for ek_public in cases {
        let keys = TpmKeys { ek_public, ..fixture.keys() };
        assert_eq!(refusal(&fixture, &keys), EkError::Template);
    }
}

#[test]
fn s16_every_other_length_of_a_public_area_is_refused() {
    let fixture = Fixture::new();
    for good in [fixture.keys().ek_public, fixture.keys().ak_public] {
        for len in (0..good.len()).chain([good.len() + 1, 5000]) {
            let mut cut = good.clone();
            cut.resize(len, 0);
            assert_eq!(Public::parse(&cut), Err(PublicError::Malformed), "{len}");
        }
    }
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
    let ak = Ak::generate();
    let point = ak.key.public_key().as_ref();
    let public = |name_alg, scheme: &[u8]| ecc_public(name_alg, AK_ATTRIBUTES, &NO_SYMMETRIC, scheme, point);
    assert_eq!(parse_ak(&public(SHA1, &ECDSA_SHA256)).unwrap_err(), AkError::NameAlgorithm);
    for scheme in [&NO_SCHEME as &[u8], &[0, 0x18, 0, 0x04], &[0, 0x14, 0, 0x0b]] {
        assert_eq!(parse_ak(&public(SHA256, scheme)).unwrap_err(), AkError::Scheme);
    }
    let mut p384 = public(SHA256, &ECDSA_SHA256);
    let curve = 2 + 2 + 4 + 2 + 2 + 4;
    p384[curve + 1] = 0x04;
    let expected = AkError::Public(PublicError::Algorithm { algorithm: 0x0004 });
    assert_eq!(parse_ak(&p384).unwrap_err(), expected);
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

// --- anchors

#[test]
fn s1_empty_duplicate_or_unreadable_anchors_are_refused() {
    let ca = Ca::new("TPM maker").der;
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
    let leaf = ("maker", hardware, fixture.keys().ek_chain);
    assert_eq!(load(&[leaf]), Err(AnchorError::NotAnAuthority { name: name() }));
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    let many: Vec<_> = names.map(|name| (name, hardware, vec![ca.clone()])).to_vec();
    assert_eq!(load(&many), Err(AnchorError::TooMany));
}

#[test]
fn s1_no_anchor_for_tpms_verifies_nothing() {
    let fixture = Fixture::new();
    let refused = verify_ek(&fixture.keys(), &anchors(&[]), NOW).unwrap_err();
    assert_eq!(refused, EkError::Chain(ChainError::NoAnchor));
}

#[test]
fn the_usage_is_the_one_of_the_profile() {
    assert_eq!(EK_USAGE, [2, 23, 133, 8, 1]);
}
