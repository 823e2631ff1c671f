//! The form of certificates, keys and chains: limits, algorithms, dates, extensions that must be understood.

use vouchsafe_attestation::x509::{Certificate, CertificateError, ChainError, parse_spki, verify_chain};
use vouchsafe_attestation::{EkError, TrustAnchors, verify_ek};
use vouchsafe_crypto::verify::{HashAlgorithm, PublicKey, Scheme};
use vouchsafe_protocol::id::AnchorClass;
use vouchsafe_simulation::Validity;
use vouchsafe_simulation::tpm::{
    ExtraExtension, KeyUse, TpmAuthority, TpmCertificateSpec, TpmKey, TpmKeyKind,
};

use crate::snp_fixture::NOW;
use crate::tpm_fixture::{Fixture, anchor_sets, below, ca, ca_spec, ek_spec, p256_key};
use crate::tpm_keys::refusal;

/// AMD's root: RSASSA-PSS with every parameter written out.
const ARK: &[u8] = include_bytes!("../../roots/milan-ark.der");

fn extension(oid: &str, critical: bool, value: &[u8]) -> ExtraExtension {
    ExtraExtension { oid: oid.to_owned(), critical, value: value.to_vec() }
}

fn with_extra(extra: Vec<ExtraExtension>) -> Vec<u8> {
    let fixture = Fixture::new();
    fixture.ek_certificate(&fixture.ca, &TpmCertificateSpec { extra, ..ek_spec() })
}

/// Replaces every occurrence of some bytes, of which there must be `count`.
fn patched(der: &[u8], from: &[u8], to: &[u8], count: usize) -> Vec<u8> {
    let mut der = der.to_vec();
    let places: Vec<usize> = (0..der.len()).filter(|at| der[*at..].starts_with(from)).collect();
    assert_eq!(places.len(), count);
    for at in places {
        der[at..at + to.len()].copy_from_slice(to);
    }
    der
}

#[test]
fn s16_certificates_are_bounded_in_length_and_in_extensions() {
    let of_len = |len: usize| {
        // The value of one extension makes up the length; its own length is written in two bytes from 256 on.
        let base = with_extra(vec![extension("1.2.3.4", false, &[0; 4000])]).len();
        let mut der = with_extra(vec![extension("1.2.3.4", false, &vec![0; 4000 + len - base])]);
        // A signature has one byte more or less; the trial above may have had another.
        for _ in 0..64 {
            if der.len() == len {
                break;
            }
            der = with_extra(vec![extension("1.2.3.4", false, &vec![0; 4000 + len - base])]);
        }
        assert_eq!(der.len(), len);
        Certificate::parse(&der).map(drop)
    };
    assert_eq!(of_len(8192), Ok(()));
    assert_eq!(of_len(8193), Err(CertificateError::TooLong { len: 8193 }));
    let own = Certificate::parse(&with_extra(Vec::new())).unwrap().extensions().len();
    let of_count = |count: usize| {
        let more = (own..count).map(|number| extension(&format!("1.2.3.{number}"), false, &[5, 0]));
        Certificate::parse(&with_extra(more.collect())).map(drop)
    };
    assert_eq!(of_count(32), Ok(()));
    assert_eq!(of_count(33), Err(CertificateError::Extensions));
}

#[test]
fn v13_a_broken_extension_that_decides_something_is_not_taken_for_absent() {
    let with = |spec: &TpmCertificateSpec| {
        let fixture = Fixture::new();
        Certificate::parse(&fixture.ek_certificate(&fixture.ca, spec)).map(drop)
    };
    // Key usage, alternative name, extended key usage, each as NULL.
    for oid in ["2.5.29.15", "2.5.29.17", "2.5.29.37", "2.5.29.30"] {
        let bare = TpmCertificateSpec {
            subject: Some("EK".to_owned()),
            key_usage: None,
            extended_usage: None,
            alternative_name: vouchsafe_simulation::tpm::AlternativeName::Absent,
            extra: vec![extension(oid, false, &[5, 0])],
            ..ek_spec()
        };
        assert_eq!(with(&bare), Err(CertificateError::Malformed), "{oid}");
    }
    // A subject key identifier decides nothing.
    assert_eq!(with_extra(vec![extension("2.5.29.14", false, &[5, 0])]).first(), Some(&0x30));
    Certificate::parse(&with_extra(vec![extension("2.5.29.14", false, &[5, 0])])).unwrap();
}

#[test]
fn v13_name_constraints_are_never_ignored() {
    let permitted = [&[0x30, 0x0d, 0xa0, 0x0b, 0x30, 0x09, 0x82, 0x07], b"example".as_slice()].concat();
    let constrained = |critical| TpmCertificateSpec {
        extra: vec![extension("2.5.29.30", critical, &permitted)],
        ..ca_spec("TPM maker")
    };
    for critical in [true, false] {
        // Of an intermediate.
        let fixture = Fixture::new();
        let spec = TpmCertificateSpec { subject: Some("lower".to_owned()), ..constrained(critical) };
        let lower = below(&fixture.ca, &spec);
        let der = fixture.ek_certificate(&lower, &ek_spec());
        let refused = refusal(&fixture, &fixture.keys_of(vec![der, lower.der().to_vec()]));
        assert_eq!(refused, EkError::Chain(ChainError::CriticalExtension));
        // Of the anchor itself.
        let mut fixture = Fixture::new();
        fixture.ca = TpmAuthority::root(p256_key(), &constrained(critical)).unwrap();
        let sets = anchor_sets(&[("maker", AnchorClass::Hardware, vec![fixture.ca.der().to_vec()])]);
        fixture.anchors = TrustAnchors::new(&sets).unwrap();
        let refused = refusal(&fixture, &fixture.keys());
        assert_eq!(refused, EkError::Chain(ChainError::CriticalExtension));
    }
}

#[test]
fn t12_the_first_and_the_last_second_of_a_certificate_belong_to_it() {
    let fixture = Fixture::new();
    let at = |not_before, not_after| {
        let validity = Validity { not_before, not_after };
        let keys = fixture.keys_with(&TpmCertificateSpec { validity, ..ek_spec() });
        verify_ek(&keys, &fixture.anchors, NOW).map(drop)
    };
    assert_eq!(at(NOW, NOW), Ok(()));
    assert_eq!(at(NOW + 1, NOW + 1), Err(EkError::Chain(ChainError::NotYetValid)));
    assert_eq!(at(NOW - 1, NOW - 1), Err(EkError::Chain(ChainError::Expired)));
}

#[test]
fn v13_a_chain_has_seven_intermediates_at_most() {
    let fixture = Fixture::new();
    let leaf = Certificate::parse(&fixture.ek_certificate(&fixture.ca, &ek_spec())).unwrap();
    let root = [Certificate::parse(fixture.ca.der()).unwrap()];
    let crowd = vec![Certificate::parse(ca("somebody").der()).unwrap(); 8];
    let verify = |intermediates: &[Certificate], anchors: &[Certificate]| {
        verify_chain(&leaf, intermediates, anchors, NOW.try_into().unwrap()).map(|chain| chain.intermediates)
    };
    assert_eq!(verify(&crowd[..7], &root), Ok(0));
    assert_eq!(verify(&crowd, &root), Err(ChainError::TooMany));
    assert_eq!(verify(&[], &[]), Err(ChainError::NoAnchor));
}

#[test]
fn t9_signature_algorithms_are_told_apart_by_every_parameter() {
    let scheme = |der: &[u8]| Certificate::parse(der).unwrap().scheme();
    // ECDSA: the name is there twice, inside and beside what is signed.
    let ecdsa = ca("authority").der().to_vec();
    assert_eq!(scheme(&ecdsa), Some(Scheme::EcdsaAsn1(HashAlgorithm::Sha256)));
    let name = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
    let named = |last| [name.as_slice(), &[last]].concat();
    let sha384 = patched(&ecdsa, &named(2), &named(3), 2);
    assert_eq!(scheme(&sha384), Some(Scheme::EcdsaAsn1(HashAlgorithm::Sha384)));
    assert_eq!(scheme(&patched(&ecdsa, &named(2), &named(4), 2)), None, "SHA-512");
    // RSASSA-PSS: hash, mask hash, salt and trailer.
    assert_eq!(scheme(ARK), Some(Scheme::RsaPss(HashAlgorithm::Sha384)));
    let hash = |last| [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last];
    let salt = |len| [0xa2, 0x03, 0x02, 0x01, len];
    for (last, len, expected) in [
        (1, 32, Some(Scheme::RsaPss(HashAlgorithm::Sha256))),
        (3, 64, Some(Scheme::RsaPss(HashAlgorithm::Sha512))),
    ] {
        let other = patched(ARK, &hash(2), &hash(last), 4);
        assert_eq!(scheme(&other), None, "the salt is of another hash");
        assert_eq!(scheme(&patched(&other, &salt(48), &salt(len), 2)), expected);
    }
    assert_eq!(scheme(&patched(ARK, &salt(48), &salt(47), 2)), None);
    let trailer = |field| [0xa3, 0x03, 0x02, 0x01, field];
    assert_eq!(scheme(&patched(ARK, &trailer(1), &trailer(2), 2)), None);
    let mask = |last| [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last];
    assert_eq!(scheme(&patched(ARK, &mask(8), &mask(9), 2)), None, "the mask is no MGF1");
    // The hash of the mask alone: the second of each pair.
    let mut other = ARK.to_vec();
    let places: Vec<usize> = (0..ARK.len()).filter(|at| ARK[*at..].starts_with(&hash(2))).collect();
    for pair in places.chunks(2) {
        other[pair[1] + 8] = 1;
    }
    assert_eq!(scheme(&other), None);
}

#[test]
fn s16_public_keys_have_one_form() {
    let rsa = TpmKey::generate(TpmKeyKind::RsaSsaSha256).unwrap().spki().unwrap();
    let key = parse_spki(&rsa).unwrap();
    assert!(matches!(key, PublicKey::Rsa { .. }));
    let named = |last| [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last];
    // Some endorsement keys are named as keys for OAEP.
    assert_eq!(parse_spki(&patched(&rsa, &named(1), &named(7), 1)), Some(key));
    for last in [2, 8, 9] {
        assert_eq!(parse_spki(&patched(&rsa, &named(1), &named(last), 1)), None);
    }
    // A bit less than whole bytes. It must be zero, so half of all keys will do.
    let p256 =
        (0..256).map(|_| p256_key().spki().unwrap()).find(|spki| spki[spki.len() - 1] & 1 == 0).unwrap();
    assert!(matches!(parse_spki(&p256), Some(PublicKey::P256(_))));
    assert_eq!(parse_spki(&patched(&p256, &[0x03, 0x42, 0x00], &[0x03, 0x42, 0x01], 1)), None);
    // A point that is not uncompressed.
    assert_eq!(parse_spki(&patched(&p256, &[0x42, 0x00, 0x04], &[0x42, 0x00, 0x05], 1)), None);
    let longer = [p256.as_slice(), &[0]].concat();
    assert_eq!(parse_spki(&longer), None);
}

#[test]
fn what_a_certificate_says_of_its_key_is_read() {
    let fixture = Fixture::new();
    let read = |uses: Vec<KeyUse>| {
        let spec = TpmCertificateSpec { key_usage: Some(uses), ..ek_spec() };
        let usage =
            Certificate::parse(&fixture.ek_certificate(&fixture.ca, &spec)).unwrap().key_usage().unwrap();
        [
            usage.digital_signature,
            usage.key_encipherment,
            usage.key_agreement,
            usage.cert_sign,
            usage.crl_sign,
        ]
    };
    let uses = [
        KeyUse::DigitalSignature,
        KeyUse::KeyEncipherment,
        KeyUse::KeyAgreement,
        KeyUse::CertSign,
        KeyUse::CrlSign,
    ];
    for (at, usage) in uses.into_iter().enumerate() {
        let mut expected = [false; 5];
        expected[at] = true;
        assert_eq!(read(vec![usage]), expected);
    }
    let spec = TpmCertificateSpec { key_usage: None, ..ek_spec() };
    assert_eq!(Certificate::parse(&fixture.ek_certificate(&fixture.ca, &spec)).unwrap().key_usage(), None);
}
