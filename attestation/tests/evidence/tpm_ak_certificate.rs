//! Attestation keys by certificate. Each test starts from a certificate that is accepted, changes one thing, and
//! expects exactly one refusal.

use vouchsafe_attestation::tpm::ak_certificate::verify_ak_chain;
use vouchsafe_attestation::tpm::quote::QuoteError;
use vouchsafe_attestation::tpm::rules::TpmRuleError;
use vouchsafe_attestation::x509::{Certificate, CertificateError, ChainError};
use vouchsafe_attestation::{
    AkCertError, AkError, AppraisalError, PlatformClass, PlatformId, ResidentAk, ShownBy, TrustAnchors,
    verify_ak_certificate,
};
use vouchsafe_protocol::id::AnchorClass;
use vouchsafe_protocol::policy::{Accept, AkRule, EkRule, TpmAccept, TpmKind, TpmKindRule};
use vouchsafe_simulation::tpm::{
    AK_ATTRIBUTES, AlternativeName, Constraints, ExtraExtension, KeyUse, QuoteBuilder, TpmAuthority,
    TpmCertificateSpec, TpmKey, TpmKeyKind,
};

use crate::snp_fixture::{NOW, statement};
use crate::tpm_fixture::{
    Ak, EXPIRED, FUTURE, Fixture, anchor_sets, anchors, below, ca, ca_spec, ek_spec, p256_key, pcrs,
    tpm_accept,
};

/// Certificates of attestation keys in the shapes of Google's and Microsoft's.
fn specs() -> [TpmCertificateSpec; 2] {
    [TpmCertificateSpec::google_ak(), TpmCertificateSpec::microsoft_ak()]
}

fn certificate(fixture: &Fixture, issuer: &TpmAuthority, spec: &TpmCertificateSpec) -> Vec<u8> {
    issuer.issue(spec, &fixture.ak.key.spki().unwrap()).unwrap()
}

fn verify(fixture: &Fixture, chain: &[Vec<u8>]) -> Result<ResidentAk, AkCertError> {
    verify_ak_certificate(&fixture.ak.public, chain, &fixture.anchors, NOW)
}

/// The refusal of a certificate of other contents, by the right authority.
fn refusal(fixture: &Fixture, spec: &TpmCertificateSpec) -> AkCertError {
    verify(fixture, &[certificate(fixture, &fixture.ca, spec)]).unwrap_err()
}

fn certified(fixture: &Fixture) -> ResidentAk {
    verify(fixture, &[certificate(fixture, &fixture.ca, &specs()[0])]).unwrap()
}

/// A rule that asks for a certificate.
fn by_certificate() -> TpmAccept {
    TpmAccept { ak: AkRule::ByCertificate, ..tpm_accept() }
}

#[test]
fn certificates_in_the_shapes_of_both_clouds_are_accepted_and_described() {
    let fixture = Fixture::new();
    let other: [fn(&mut TpmCertificateSpec); 2] =
        [|spec| spec.extended_usage = None, |spec| spec.subject = Some("AK".to_owned())];
    for spec in specs().into_iter().chain(other.map(|change| {
        let mut spec = TpmCertificateSpec::google_ak();
        change(&mut spec);
        spec
    })) {
        let ak = verify(&fixture, &[certificate(&fixture, &fixture.ca, &spec)]).unwrap();
        assert_eq!(ak.anchor().as_str(), "maker");
        assert_eq!((ak.class(), ak.kind()), (AnchorClass::Hardware, TpmKind::Hardware));
        assert_eq!(ak.shown_by(), ShownBy::Certificate);
    }
    let ak = certified(&fixture);
    let spki = vouchsafe_crypto::digest::sha256(&[&fixture.ak.key.spki().unwrap()]);
    assert_eq!(*ak.spki_digest(), spki);
    let rules = [Accept::Tpm(by_certificate())];
    let appraisal = fixture.appraise_as(fixture.good(), &rules, &ak).unwrap();
    assert_eq!(appraisal.platform_id, PlatformId::Ak(spki));
}

#[test]
fn quotes_by_every_kind_of_certified_key_are_accepted() {
    for kind in [
        TpmKeyKind::EcdsaP256,
        TpmKeyKind::EcdsaP384,
        TpmKeyKind::RsaPssSha256,
        TpmKeyKind::RsaPssSha384,
        TpmKeyKind::RsaSsaSha256,
        TpmKeyKind::RsaSsaSha384,
    ] {
        let mut fixture = Fixture::new();
        fixture.ak = Ak::of(TpmKey::from_seed(kind, [3; 32], "ak").unwrap());
        let ak = certified(&fixture);
        let rules = [Accept::Tpm(by_certificate())];
        let quote = QuoteBuilder::over(kind, &pcrs(), &statement().tpm_qualifying_data());
        let good = fixture.evidence(&quote, &pcrs());
        fixture.appraise_as(good.clone(), &rules, &ak).unwrap();
        // The digest is made with the hash of the scheme, and no other.
        let swapped = match kind {
            TpmKeyKind::EcdsaP384 | TpmKeyKind::RsaPssSha384 | TpmKeyKind::RsaSsaSha384 => {
                TpmKeyKind::EcdsaP256
            }
            _ => TpmKeyKind::EcdsaP384,
        };
        let quote = QuoteBuilder::over(swapped, &pcrs(), &statement().tpm_qualifying_data());
        let refused = fixture.appraise_as(fixture.evidence(&quote, &pcrs()), &rules, &ak).unwrap_err();
        assert_eq!(refused, AppraisalError::Quote(QuoteError::PcrDigest), "{kind:?}");
        let mut forged = good;
        *forged.signature.last_mut().unwrap() ^= 1;
        let refused = fixture.appraise_as(forged, &rules, &ak).unwrap_err();
        assert_eq!(refused, AppraisalError::Quote(QuoteError::BadSignature), "{kind:?}");
    }
}

#[test]
fn t5_the_public_area_of_a_certified_key_is_checked() {
    let mut fixture = Fixture::new();
    fixture.ak = Ak::with_attributes(AK_ATTRIBUTES & !(1 << 16));
    assert_eq!(refusal(&fixture, &specs()[0]), AkCertError::Ak(AkError::Unrestricted));
}

#[test]
fn t12_a_certificate_of_another_attestation_key_is_refused() {
    let fixture = Fixture::new();
    let der = fixture.ca.issue(&specs()[0], &p256_key().spki().unwrap()).unwrap();
    assert_eq!(verify(&fixture, &[der]).unwrap_err(), AkCertError::KeyMismatch);
}

#[test]
fn t12_a_certificate_that_is_not_for_an_attestation_key_is_refused() {
    let fixture = Fixture::new();
    let mut google = TpmCertificateSpec::google_ak();
    google.extended_usage = Some(vec!["1.3.6.1.5.5.7.3.2".to_owned()]);
    assert_eq!(refusal(&fixture, &google), AkCertError::ExtendedUsage);
    let mut microsoft = TpmCertificateSpec::microsoft_ak();
    microsoft.extended_usage = Some(vec!["1.3.6.1.4.1.311.10.3.12".to_owned()]);
    assert_eq!(refusal(&fixture, &microsoft), AkCertError::ExtendedUsage);
    // An endorsement key's: of a key that decrypts.
    assert_eq!(refusal(&fixture, &ek_spec()), AkCertError::KeyUsage);
    for usage in [
        None,
        Some(vec![]),
        Some(vec![KeyUse::KeyEncipherment]),
        Some(vec![KeyUse::DigitalSignature, KeyUse::KeyEncipherment]),
        Some(vec![KeyUse::DigitalSignature, KeyUse::KeyAgreement]),
        Some(vec![KeyUse::DigitalSignature, KeyUse::CertSign]),
        Some(vec![KeyUse::DigitalSignature, KeyUse::CrlSign]),
    ] {
        let spec = TpmCertificateSpec { key_usage: usage.clone(), ..TpmCertificateSpec::google_ak() };
        assert_eq!(refusal(&fixture, &spec), AkCertError::KeyUsage, "{usage:?}");
    }
    let constraints = Constraints::Authority { path_len: None };
    let authority = TpmCertificateSpec { constraints, ..TpmCertificateSpec::google_ak() };
    assert_eq!(refusal(&fixture, &authority), AkCertError::Authority);
    for alternative_name in [AlternativeName::Absent, AlternativeName::NotCritical] {
        let nameless = TpmCertificateSpec { alternative_name, ..TpmCertificateSpec::google_ak() };
        assert_eq!(refusal(&fixture, &nameless), AkCertError::Name);
    }
}

#[test]
fn t12_an_ak_certificate_of_nobody_we_know_is_refused() {
    let fixture = Fixture::new();
    for spec in specs() {
        let stranger = ca("somebody");
        let der = certificate(&fixture, &stranger, &spec);
        assert_eq!(
            verify(&fixture, std::slice::from_ref(&der)).unwrap_err(),
            AkCertError::Chain(ChainError::UnknownIssuer)
        );
        // A root that the evidence brings along is never believed.
        let refused = verify(&fixture, &[der, stranger.der().to_vec()]).unwrap_err();
        assert_eq!(refused, AkCertError::Chain(ChainError::SelfSigned));
        let forged = certificate(&fixture, &ca("TPM maker"), &spec);
        assert_eq!(verify(&fixture, &[forged]).unwrap_err(), AkCertError::Chain(ChainError::BadSignature));
    }
    let own = TpmCertificateSpec { subject: Some("AK".to_owned()), ..TpmCertificateSpec::google_ak() };
    let der = certificate(&fixture, &ca("AK"), &own);
    assert_eq!(verify(&fixture, &[der]).unwrap_err(), AkCertError::Chain(ChainError::SelfSigned));
    let der = certificate(&fixture, &fixture.ca, &own);
    let refused = verify_ak_certificate(&fixture.ak.public, &[der], &anchors(&[]), NOW).unwrap_err();
    assert_eq!(refused, AkCertError::Chain(ChainError::NoAnchor));
}

#[test]
fn t12_an_expired_or_future_ak_certificate_is_refused() {
    let fixture = Fixture::new();
    for spec in specs() {
        let expired = TpmCertificateSpec { validity: EXPIRED, ..spec.clone() };
        assert_eq!(refusal(&fixture, &expired), AkCertError::Chain(ChainError::Expired));
        let future = TpmCertificateSpec { validity: FUTURE, ..spec };
        assert_eq!(refusal(&fixture, &future), AkCertError::Chain(ChainError::NotYetValid));
    }
}

#[test]
fn t12_no_ak_certificate_or_a_broken_one_is_refused() {
    let fixture = Fixture::new();
    let good = certificate(&fixture, &fixture.ca, &specs()[0]);
    assert_eq!(verify(&fixture, &[]).unwrap_err(), AkCertError::NoCertificate);
    assert_eq!(verify(&fixture, &vec![good.clone(); 9]).unwrap_err(), AkCertError::NoCertificate);
    // Eight are allowed, needed or not.
    verify(&fixture, &vec![good.clone(); 8]).unwrap();
    let malformed = AkCertError::Certificate(CertificateError::Malformed);
    for len in (0..good.len()).chain([good.len() + 1]) {
        let mut cut = good.clone();
        cut.resize(len, 0);
        assert_eq!(verify(&fixture, &[cut]).unwrap_err(), malformed);
    }
    assert_eq!(verify(&fixture, &[good, vec![0x30]]).unwrap_err(), malformed);
}

#[test]
fn v13_extensions_and_intermediates_of_ak_certificates_are_not_ignored() {
    let fixture = Fixture::new();
    let unknown = ExtraExtension { oid: "1.2.3.4".to_owned(), critical: true, value: vec![5, 0] };
    let spec = TpmCertificateSpec { extra: vec![unknown], ..TpmCertificateSpec::google_ak() };
    assert_eq!(refusal(&fixture, &spec), AkCertError::Chain(ChainError::CriticalExtension));
    let upper = below(&fixture.ca, &ca_spec("upper"));
    let lower = below(&upper, &ca_spec("lower"));
    let der = certificate(&fixture, &lower, &specs()[1]);
    let chain = [der.clone(), lower.der().to_vec(), upper.der().to_vec()];
    verify(&fixture, &chain).unwrap();
    // The same without a public area, as for stored certificates.
    let root = [Certificate::parse(fixture.ca.der()).unwrap()];
    verify_ak_chain(&chain, &root, NOW.try_into().unwrap()).unwrap();
    let refused = verify_ak_chain(&chain[..2], &root, NOW.try_into().unwrap()).unwrap_err();
    assert_eq!(refused, AkCertError::Chain(ChainError::UnknownIssuer));
    let usage = verify_ak_chain(&[fixture.ek_certificate(&fixture.ca, &ek_spec())], &root, 0).unwrap_err();
    assert_eq!(usage, AkCertError::KeyUsage);
}

#[test]
fn t4_a_certified_key_is_not_taken_for_one_shown_by_credential_or_the_other_way_round() {
    let fixture = Fixture::new();
    let (by_cert, by_cred) = (certified(&fixture), fixture.resident());
    let rule = |ak| [Accept::Tpm(TpmAccept { ak, ..tpm_accept() })];
    let ask = |ak, resident| fixture.appraise_as(fixture.good(), &rule(ak), resident).map(drop);
    let refused = Err(AppraisalError::TpmRule(TpmRuleError::AkProof));
    assert_eq!(ask(AkRule::ByCertificate, &by_cert), Ok(()));
    assert_eq!(ask(AkRule::ByCredential, &by_cert), refused);
    assert_eq!(ask(AkRule::ByCredential, &by_cred), Ok(()));
    assert_eq!(ask(AkRule::ByCertificate, &by_cred), refused);
    for resident in [&by_cert, &by_cred] {
        assert_eq!(ask(AkRule::Either, resident), Ok(()));
    }
}

#[test]
fn t4_a_quote_by_another_key_than_the_certified_one_is_refused() {
    let mut fixture = Fixture::new();
    let ak = certified(&fixture);
    fixture.ak = Ak::generate();
    let rules = [Accept::Tpm(by_certificate())];
    let refused = fixture.appraise_as(fixture.good(), &rules, &ak).unwrap_err();
    assert_eq!(refused, AppraisalError::NotResident);
}

#[test]
fn t13_a_virtual_tpm_of_the_host_never_satisfies_a_rule_that_asks_for_hardware() {
    let mut fixture = Fixture::new();
    let mut sets = anchor_sets(&[("maker", AnchorClass::Hardware, vec![fixture.ca.der().to_vec()])]);
    sets.tpm[0].kind = TpmKind::HostVirtual;
    fixture.anchors = TrustAnchors::new(&sets).unwrap();
    for resident in [certified(&fixture), fixture.resident()] {
        assert_eq!(resident.kind(), TpmKind::HostVirtual);
        let ask = |kind| {
            let rule = Accept::Tpm(TpmAccept { kind, ak: AkRule::Either, ..tpm_accept() });
            fixture.appraise_as(fixture.good(), &[rule], &resident).map(|appraisal| appraisal.class)
        };
        let refused = Err(AppraisalError::TpmRule(TpmRuleError::Kind));
        assert_eq!(ask(TpmKindRule::Hardware), refused);
        let class = PlatformClass::Tpm { anchor: "maker".parse().unwrap(), kind: TpmKind::HostVirtual };
        assert_eq!(ask(TpmKindRule::HostVirtual), Ok(class.clone()));
        assert_eq!(ask(TpmKindRule::Any), Ok(class));
    }
    // And hardware is not taken for what a host runs.
    let hardware = Fixture::new();
    let rule = Accept::Tpm(TpmAccept { kind: TpmKindRule::HostVirtual, ..tpm_accept() });
    let refused = hardware.appraise(hardware.good(), &[rule]).unwrap_err();
    assert_eq!(refused, AppraisalError::TpmRule(TpmRuleError::Kind));
}

#[test]
fn b11_a_certified_key_that_is_not_on_the_list_is_refused() {
    let fixture = Fixture::new();
    let ak = certified(&fixture);
    let listed = |digest| Accept::Tpm(TpmAccept { ek: EkRule::Allow(vec![digest]), ..by_certificate() });
    let refused = fixture.appraise_as(fixture.good(), &[listed([0; 32])], &ak).unwrap_err();
    assert_eq!(refused, AppraisalError::TpmRule(TpmRuleError::EkNotListed));
    fixture.appraise_as(fixture.good(), &[listed(*ak.spki_digest())], &ak).unwrap();
}
