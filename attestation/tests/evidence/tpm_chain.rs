//! The certificate of an endorsement key and its chain.

use vouchsafe_attestation::x509::{Certificate, CertificateError, ChainError};
use vouchsafe_attestation::{EkError, verify_ek, verify_ek_chain};
use vouchsafe_protocol::id::AnchorClass;
use vouchsafe_simulation::tpm::{
    AlternativeName, Constraints, ExtraExtension, KeyUse, TpmCertificateSpec, TpmKeyKind,
};

use crate::snp_fixture::NOW;
use crate::tpm_fixture::{EXPIRED, FUTURE, Fixture, anchors, below, ca, ca_spec, ek_spec, p256_key};
use crate::tpm_keys::refusal;

#[test]
fn t12_a_self_signed_certificate_is_refused() {
    let fixture = Fixture::new();
    let own = ca("EK");
    let spec = TpmCertificateSpec { subject: Some("EK".to_owned()), ..ek_spec() };
    let der = fixture.ek_certificate(&own, &spec);
    assert_eq!(refusal(&fixture, &fixture.keys_of(vec![der])), EkError::Chain(ChainError::SelfSigned));
}

#[test]
fn t12_a_certificate_of_an_unknown_authority_is_refused() {
    let fixture = Fixture::new();
    let other = ca("somebody");
    let der = fixture.ek_certificate(&other, &ek_spec());
    for chain in [vec![der.clone()], vec![der, other.der().to_vec()]] {
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
    let der = fixture.ek_certificate(&ca("TPM maker"), &ek_spec());
    assert_eq!(refusal(&fixture, &fixture.keys_of(vec![der])), EkError::Chain(ChainError::BadSignature));
}

#[test]
fn t12_an_expired_or_future_certificate_is_refused() {
    let fixture = Fixture::new();
    let at = |validity| TpmCertificateSpec { validity, ..ek_spec() };
    let refused = refusal(&fixture, &fixture.keys_with(&at(EXPIRED)));
    assert_eq!(refused, EkError::Chain(ChainError::Expired));
    let refused = refusal(&fixture, &fixture.keys_with(&at(FUTURE)));
    assert_eq!(refused, EkError::Chain(ChainError::NotYetValid));
}

#[test]
fn t12_an_expired_root_is_refused() {
    use vouchsafe_simulation::tpm::TpmAuthority;
    let mut fixture = Fixture::new();
    let spec = TpmCertificateSpec { validity: EXPIRED, ..ca_spec("TPM maker") };
    fixture.ca = TpmAuthority::root(p256_key(), &spec).unwrap();
    fixture.anchors = anchors(&[("maker", AnchorClass::Hardware, vec![fixture.ca.der().to_vec()])]);
    assert_eq!(refusal(&fixture, &fixture.keys()), EkError::Chain(ChainError::Expired));
}

#[test]
fn t12_a_certificate_for_another_key_is_refused() {
    let fixture = Fixture::new();
    let der = fixture.ca.issue(&ek_spec(), &p256_key().spki().unwrap()).unwrap();
    assert_eq!(refusal(&fixture, &fixture.keys_of(vec![der])), EkError::KeyMismatch);
}

#[test]
fn t12_a_certificate_that_is_not_for_an_endorsement_key_is_refused() {
    let fixture = Fixture::new();
    let with = |change: fn(&mut TpmCertificateSpec)| {
        let mut spec = ek_spec();
        change(&mut spec);
        verify_ek(&fixture.keys_with(&spec), &fixture.anchors, NOW).map(drop)
    };
    let client_auth = |spec: &mut TpmCertificateSpec| {
        spec.extended_usage = Some(vec!["1.3.6.1.5.5.7.3.2".to_owned()]);
    };
    assert_eq!(with(client_auth), Err(EkError::ExtendedUsage));
    // An attestation key's.
    let attestation = |spec: &mut TpmCertificateSpec| {
        spec.extended_usage = Some(vec!["2.23.133.8.3".to_owned()]);
    };
    assert_eq!(with(attestation), Err(EkError::ExtendedUsage));
    let signs = |spec: &mut TpmCertificateSpec| spec.key_usage = Some(vec![KeyUse::DigitalSignature]);
    assert_eq!(with(signs), Err(EkError::KeyUsage));
    let unstated = |spec: &mut TpmCertificateSpec| {
        spec.key_usage = None;
        spec.extended_usage = None;
    };
    assert_eq!(with(unstated), Err(EkError::UnstatedUsage));
    let authority =
        |spec: &mut TpmCertificateSpec| spec.constraints = Constraints::Authority { path_len: None };
    assert_eq!(with(authority), Err(EkError::Authority));
    // Nobody's: neither a subject nor a critical alternative name.
    let nameless = |spec: &mut TpmCertificateSpec| spec.alternative_name = AlternativeName::NotCritical;
    assert_eq!(with(nameless), Err(EkError::Name));
    let nameless = |spec: &mut TpmCertificateSpec| spec.alternative_name = AlternativeName::Absent;
    assert_eq!(with(nameless), Err(EkError::Name));
}

#[test]
fn t12_certificates_in_the_shapes_of_makers_and_clouds_are_accepted() {
    let fixture = Fixture::new();
    let accepted: [fn(&mut TpmCertificateSpec); 5] = [
        |_| {},
        // Either statement of usage alone is enough, as with older certificates.
        |spec| spec.extended_usage = None,
        |spec| spec.key_usage = None,
        |spec| spec.key_usage = Some(vec![KeyUse::KeyEncipherment]),
        |spec| *spec = TpmCertificateSpec::google_ek(TpmKeyKind::EcdsaP256),
    ];
    for change in accepted {
        let mut spec = ek_spec();
        change(&mut spec);
        verify_ek(&fixture.keys_with(&spec), &fixture.anchors, NOW).unwrap();
    }
}

#[test]
fn t12_no_certificate_or_a_broken_one_is_refused() {
    let fixture = Fixture::new();
    let good = fixture.ek_certificate(&fixture.ca, &ek_spec());
    assert_eq!(refusal(&fixture, &fixture.keys_of(Vec::new())), EkError::NoCertificate);
    let many = vec![good.clone(); 9];
    assert_eq!(refusal(&fixture, &fixture.keys_of(many.clone())), EkError::NoCertificate);
    // Eight are allowed, needed or not.
    verify_ek(&fixture.keys_of(many[1..].to_vec()), &fixture.anchors, NOW).unwrap();
    // The same without a public area, as for stored certificates.
    let root = [Certificate::parse(fixture.ca.der()).unwrap()];
    let stored = |chain: &[Vec<u8>], roots| verify_ek_chain(chain, roots, NOW.try_into().unwrap()).map(drop);
    assert_eq!(stored(&[], &root), Err(EkError::NoCertificate));
    assert_eq!(stored(&many, &root), Err(EkError::NoCertificate));
    assert_eq!(stored(&many[1..], &root), Ok(()));
    assert_eq!(stored(&many[..1], &[]), Err(EkError::Chain(ChainError::NoAnchor)));
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
    let upper = below(&fixture.ca, &ca_spec("upper"));
    let lower = below(&upper, &ca_spec("lower"));
    let (upper_der, lower_der) = (upper.der().to_vec(), lower.der().to_vec());
    let der = fixture.ek_certificate(&lower, &ek_spec());
    for chain in [
        vec![der.clone(), lower_der.clone(), upper_der.clone()],
        vec![der.clone(), upper_der, lower_der.clone()],
    ] {
        verify_ek(&fixture.keys_of(chain), &fixture.anchors, NOW).unwrap();
    }
    let refused = refusal(&fixture, &fixture.keys_of(vec![der, lower_der]));
    assert_eq!(refused, EkError::Chain(ChainError::UnknownIssuer));

    // An ordinary certificate of the same maker cannot issue.
    let no_authority =
        TpmCertificateSpec { constraints: Constraints::NotAuthority, ..ca_spec("no authority") };
    let no_cert_sign =
        TpmCertificateSpec { key_usage: Some(vec![KeyUse::CrlSign]), ..ca_spec("signs no certificates") };
    for spec in [no_authority, no_cert_sign] {
        let issuer = below(&fixture.ca, &spec);
        let der = fixture.ek_certificate(&issuer, &ek_spec());
        let refused = refusal(&fixture, &fixture.keys_of(vec![der, issuer.der().to_vec()]));
        assert_eq!(refused, EkError::Chain(ChainError::NotAnAuthority));
    }
}

#[test]
fn v13_path_lengths_name_constraints_and_critical_extensions_are_not_ignored() {
    let fixture = Fixture::new();
    let constraints = Constraints::Authority { path_len: Some(0) };
    let upper = below(&fixture.ca, &TpmCertificateSpec { constraints, ..ca_spec("upper") });
    let lower = below(&upper, &ca_spec("lower"));
    let der = fixture.ek_certificate(&lower, &ek_spec());
    let refused = refusal(&fixture, &fixture.keys_of(vec![der, lower.der().to_vec(), upper.der().to_vec()]));
    assert_eq!(refused, EkError::Chain(ChainError::PathTooLong));

    // Name constraints: permitted is the DNS name "example".
    let value = [&[0x30, 0x0d, 0xa0, 0x0b, 0x30, 0x09, 0x82, 0x07], b"example".as_slice()].concat();
    let constrained = ExtraExtension { oid: "2.5.29.30".to_owned(), critical: true, value };
    let constrained =
        below(&fixture.ca, &TpmCertificateSpec { extra: vec![constrained], ..ca_spec("constrained") });
    let der = fixture.ek_certificate(&constrained, &ek_spec());
    let refused = refusal(&fixture, &fixture.keys_of(vec![der, constrained.der().to_vec()]));
    assert_eq!(refused, EkError::Chain(ChainError::CriticalExtension));

    let unknown = |critical| ExtraExtension { oid: "1.2.3.4".to_owned(), critical, value: vec![5, 0] };
    let with = |extra| TpmCertificateSpec { extra, ..ek_spec() };
    let refused = refusal(&fixture, &fixture.keys_with(&with(vec![unknown(true)])));
    assert_eq!(refused, EkError::Chain(ChainError::CriticalExtension));
    verify_ek(&fixture.keys_with(&with(vec![unknown(false)])), &fixture.anchors, NOW).unwrap();
    let refused = refusal(&fixture, &fixture.keys_with(&with(vec![unknown(false), unknown(false)])));
    assert_eq!(refused, EkError::Certificate(CertificateError::Extensions));
}

#[test]
fn v13_work_on_a_chain_is_bounded() {
    let mut fixture = Fixture::new();
    // Eight authorities share a name. The chain comes back to that name, so that each is tried again.
    let crowd: Vec<Vec<u8>> = (0..8).map(|_| ca("crowd").der().to_vec()).collect();
    fixture.anchors = anchors(&[("maker", AnchorClass::Hardware, crowd)]);
    let outsider = ca("crowd");
    let upper = below(&outsider, &ca_spec("upper"));
    let lower = below(&upper, &ca_spec("crowd"));
    let der = fixture.ek_certificate(&lower, &ek_spec());
    let refused = refusal(&fixture, &fixture.keys_of(vec![der, lower.der().to_vec(), upper.der().to_vec()]));
    assert_eq!(refused, EkError::Chain(ChainError::TooMany));
}
