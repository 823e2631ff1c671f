//! Endorsement keys, attestation keys and residency. Each test starts from keys that are accepted, changes one
//! thing, and expects exactly one refusal.

mod common;

use common::snp::NOW;
use common::tpm::{
    AES_128_CFB, AK_ATTRIBUTES, Ak, Ca, ECDSA_SHA256, EK_ATTRIBUTES, EK_USAGE, Fixture, NO_SCHEME,
    NO_SYMMETRIC, SHA1, SHA256, anchor_sets, anchors, ca_params, ecc_public, ek_params, secret,
};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    KeyPair, KeyUsagePurpose, NameConstraints, date_time_ymd,
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

fn refusal(fixture: &Fixture, keys: &TpmKeys) -> EkError {
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

// --- T12: the certificate

#[test]
fn t12_a_self_signed_certificate_is_refused() {
    let fixture = Fixture::new();
    let der = ek_params().self_signed(&fixture.ek).unwrap().der().to_vec();
    assert_eq!(refusal(&fixture, &fixture.keys_of(vec![der])), EkError::Chain(ChainError::SelfSigned));
}

#[test]
fn t12_a_certificate_of_an_unknown_authority_is_refused() {
    let fixture = Fixture::new();
    let other = Ca::new("somebody");
    let der = ek_params().signed_by(&fixture.ek, &other.issuer).unwrap().der().to_vec();
    for chain in [vec![der.clone()], vec![der, other.der]] {
        let refused = refusal(&fixture, &fixture.keys_of(chain));
        // A root that the evidence brings along is never believed.
        assert!(matches!(
            refused,
            EkError::Chain(ChainError::UnknownIssuer) | EkError::Chain(ChainError::SelfSigned)
        ));
    }
}

#[test]
fn t12_a_certificate_of_a_forged_authority_with_the_right_name_is_refused() {
    let fixture = Fixture::new();
    let forged = Ca::new("TPM maker");
    let der = ek_params().signed_by(&fixture.ek, &forged.issuer).unwrap().der().to_vec();
    assert_eq!(refusal(&fixture, &fixture.keys_of(vec![der])), EkError::Chain(ChainError::BadSignature));
}

#[test]
fn t12_an_expired_or_future_certificate_is_refused() {
    let fixture = Fixture::new();
    let mut expired = ek_params();
    expired.not_after = date_time_ymd(2025, 12, 31);
    let refused = refusal(&fixture, &fixture.keys_with(expired));
    assert_eq!(refused, EkError::Chain(ChainError::Expired));
    let mut future = ek_params();
    future.not_before = date_time_ymd(2026, 1, 2);
    let refused = refusal(&fixture, &fixture.keys_with(future));
    assert_eq!(refused, EkError::Chain(ChainError::NotYetValid));
}

#[test]
fn t12_an_expired_root_is_refused() {
    let mut fixture = Fixture::new();
    let mut params = ca_params("TPM maker");
    params.not_after = date_time_ymd(2025, 12, 31);
    fixture.ca = Ca::with(params);
    fixture.anchors = anchors(&[("maker", AnchorClass::Hardware, vec![fixture.ca.der.clone()])]);
    assert_eq!(refusal(&fixture, &fixture.keys()), EkError::Chain(ChainError::Expired));
}

#[test]
fn t12_a_certificate_for_another_key_is_refused() {
    let fixture = Fixture::new();
    let other = KeyPair::generate().unwrap();
    let der = ek_params().signed_by(&other, &fixture.ca.issuer).unwrap().der().to_vec();
    assert_eq!(refusal(&fixture, &fixture.keys_of(vec![der])), EkError::KeyMismatch);
}

#[test]
fn t12_a_certificate_that_is_not_for_an_endorsement_key_is_refused() {
    let fixture = Fixture::new();
    type Change = fn(&mut CertificateParams);
    let changes: [Change; 4] = [
        |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
        |params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature],
        |params| {
            params.key_usages = Vec::new();
            params.extended_key_usages = Vec::new();
        },
        |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
    ];
    for change in changes {
        let mut params = ek_params();
        change(&mut params);
        assert_eq!(refusal(&fixture, &fixture.keys_with(params)), EkError::Usage);
    }
    // Either statement alone is enough, as with Google's and older certificates.
    let accepted: [Change; 3] = [
        |params| params.extended_key_usages = Vec::new(),
        |params| params.key_usages = Vec::new(),
        |params| params.key_usages = vec![KeyUsagePurpose::KeyEncipherment],
    ];
    for change in accepted {
        let mut params = ek_params();
        change(&mut params);
        verify_ek(&fixture.keys_with(params), &fixture.anchors, NOW).unwrap();
    }
}

#[test]
fn t12_no_certificate_or_a_broken_one_is_refused() {
    let fixture = Fixture::new();
    assert_eq!(refusal(&fixture, &fixture.keys_of(Vec::new())), EkError::NoCertificate);
    let many = vec![fixture.keys().ek_chain.remove(0); 9];
    assert_eq!(refusal(&fixture, &fixture.keys_of(many)), EkError::NoCertificate);
    let good = fixture.keys().ek_chain.remove(0);
    for len in (0..good.len()).chain([good.len() + 1]) {
        let mut cut = good.clone();
        cut.resize(len, 0);
        let refused = refusal(&fixture, &fixture.keys_of(vec![cut]));
        assert_eq!(refused, EkError::Certificate(CertificateError::Malformed));
    }
}

#[test]
fn t12_intermediates_are_used_in_any_order_and_must_be_authorities() {
    let fixture = Fixture::new();
    let upper = fixture.ca.below(ca_params("upper"));
    let lower = upper.below(ca_params("lower"));
    let der = ek_params().signed_by(&fixture.ek, &lower.issuer).unwrap().der().to_vec();
    for chain in [
        vec![der.clone(), lower.der.clone(), upper.der.clone()],
        vec![der.clone(), upper.der.clone(), lower.der.clone()],
    ] {
        verify_ek(&fixture.keys_of(chain), &fixture.anchors, NOW).unwrap();
    }
    let refused = refusal(&fixture, &fixture.keys_of(vec![der.clone(), lower.der.clone()]));
    assert_eq!(refused, EkError::Chain(ChainError::UnknownIssuer));

    // An ordinary certificate of the same maker cannot issue.
    let mut params = ca_params("no authority");
    params.is_ca = IsCa::ExplicitNoCa;
    let leaf = fixture.ca.below(params);
    let der = ek_params().signed_by(&fixture.ek, &leaf.issuer).unwrap().der().to_vec();
    let refused = refusal(&fixture, &fixture.keys_of(vec![der, leaf.der]));
    assert_eq!(refused, EkError::Chain(ChainError::NotAnAuthority));
    let mut params = ca_params("signs no certificates");
    params.key_usages = vec![KeyUsagePurpose::CrlSign];
    let ca = fixture.ca.below(params);
    let der = ek_params().signed_by(&fixture.ek, &ca.issuer).unwrap().der().to_vec();
    let refused = refusal(&fixture, &fixture.keys_of(vec![der, ca.der]));
    assert_eq!(refused, EkError::Chain(ChainError::NotAnAuthority));
}

#[test]
fn v13_path_lengths_name_constraints_and_critical_extensions_are_not_ignored() {
    let fixture = Fixture::new();
    let mut params = ca_params("upper");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let upper = fixture.ca.below(params);
    let lower = upper.below(ca_params("lower"));
    let der = ek_params().signed_by(&fixture.ek, &lower.issuer).unwrap().der().to_vec();
    let refused = refusal(&fixture, &fixture.keys_of(vec![der, lower.der, upper.der]));
    assert_eq!(refused, EkError::Chain(ChainError::PathTooLong));

    let mut params = ca_params("constrained");
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("example".to_owned())],
        excluded_subtrees: Vec::new(),
    });
    let constrained = fixture.ca.below(params);
    let der = ek_params().signed_by(&fixture.ek, &constrained.issuer).unwrap().der().to_vec();
    let refused = refusal(&fixture, &fixture.keys_of(vec![der, constrained.der]));
    assert_eq!(refused, EkError::Chain(ChainError::CriticalExtension));

    let mut params = ek_params();
    let mut unknown = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
    unknown.set_criticality(true);
    params.custom_extensions = vec![unknown];
    let refused = refusal(&fixture, &fixture.keys_with(params.clone()));
    assert_eq!(refused, EkError::Chain(ChainError::CriticalExtension));
    params.custom_extensions[0].set_criticality(false);
    verify_ek(&fixture.keys_with(params.clone()), &fixture.anchors, NOW).unwrap();
    let twice = params.custom_extensions[0].clone();
    params.custom_extensions.push(twice);
    let refused = refusal(&fixture, &fixture.keys_with(params));
    assert_eq!(refused, EkError::Certificate(CertificateError::Extensions));
}

#[test]
fn v13_work_on_a_chain_is_bounded() {
    let fixture = Fixture::new();
    // Authorities that share a name and a forged leaf: each would have to be tried for each.
    let crowd: Vec<Ca> = (0..7).map(|_| fixture.ca.below(ca_params("crowd"))).collect();
    let outsider = Ca::new("outside").below(ca_params("crowd"));
    let der = ek_params().signed_by(&fixture.ek, &outsider.issuer).unwrap().der().to_vec();
    let chain = [vec![der.clone()], crowd.iter().map(|ca| ca.der.clone()).collect()].concat();
    assert_eq!(refusal(&fixture, &fixture.keys_of(chain)), EkError::Chain(ChainError::BadSignature));
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
