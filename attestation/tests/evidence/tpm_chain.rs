//! The certificate of an endorsement key and its chain.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    KeyPair, KeyUsagePurpose, NameConstraints, date_time_ymd,
};
use vouchsafe_attestation::x509::{CertificateError, ChainError};
use vouchsafe_attestation::{EkError, verify_ek};
use vouchsafe_protocol::id::AnchorClass;

use crate::snp_fixture::NOW;
use crate::tpm_fixture::{Ca, Fixture, anchors, ca_params, ek_params};
use crate::tpm_keys::refusal;

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
    let mut fixture = Fixture::new();
    // Eight authorities share a name. The chain comes back to that name, so that each is tried again.
    let crowd: Vec<Vec<u8>> = (0..8).map(|_| Ca::new("crowd").der).collect();
    fixture.anchors = anchors(&[("maker", AnchorClass::Hardware, crowd)]);
    let outsider = Ca::new("crowd");
    let upper = outsider.below(ca_params("upper"));
    let lower = upper.below(ca_params("crowd"));
    let der = ek_params().signed_by(&fixture.ek, &lower.issuer).unwrap().der().to_vec();
    let refused = refusal(&fixture, &fixture.keys_of(vec![der, lower.der, upper.der]));
    assert_eq!(refused, EkError::Chain(ChainError::TooMany));
}
