//! Roots and intermediates.

use rcgen::{BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair};

use crate::snp_fixture::{self, CHIP_ID, Fixture, TCB};
use vouchsafe_attestation::snp::roots::RootsError;
use vouchsafe_attestation::snp::vek::VekError;
use vouchsafe_attestation::snp::verify::SnpError;
use vouchsafe_attestation::x509::ChainError;
use vouchsafe_attestation::{AnchorError, AppraisalError, TrustAnchors};
use vouchsafe_protocol::anchors::{AmdAnchors, Anchors, SimulatedRoot};
use vouchsafe_protocol::id::AnchorClass;
use vouchsafe_protocol::policy::{Accept, ChipRule, Product};
use vouchsafe_simulation::{VekSpec, field};

#[test]
fn s1_no_root_is_refused_when_anchors_are_loaded() {
    let anchors = Anchors { amd: AmdAnchors::Simulated(Vec::new()), tpm: Vec::new() };
    assert_eq!(TrustAnchors::new(&anchors).unwrap_err(), AnchorError::Amd(RootsError::Empty));
}

#[test]
fn s1_two_roots_for_a_product_are_refused() {
    let root = Fixture::genoa().pki.root();
    let anchors = Anchors { amd: AmdAnchors::Simulated(vec![root.clone(), root]), tpm: Vec::new() };
    let expected = AnchorError::Amd(RootsError::Duplicate { product: Product::Genoa });
    assert_eq!(TrustAnchors::new(&anchors).unwrap_err(), expected);
}

#[test]
fn s1_a_root_of_another_product_is_refused() {
    let mut root = Fixture::genoa().pki.root();
    root.product = Product::Milan;
    let anchors = Anchors { amd: AmdAnchors::Simulated(vec![root]), tpm: Vec::new() };
    let expected = AnchorError::Amd(RootsError::Name { product: Product::Milan });
    assert_eq!(TrustAnchors::new(&anchors).unwrap_err(), expected);
}

#[test]
fn s1_an_issuer_with_another_name_is_refused() {
    let fixture = Fixture::genoa();
    let root = SimulatedRoot { ask: fixture.pki.asvk().to_vec(), ..fixture.pki.root() };
    let anchors = Anchors { amd: AmdAnchors::Simulated(vec![root]), tpm: Vec::new() };
    let expected = AnchorError::Amd(RootsError::Name { product: Product::Genoa });
    assert_eq!(TrustAnchors::new(&anchors).unwrap_err(), expected);
}

#[test]
fn s1_a_product_without_a_root_is_refused() {
    let mut fixture = Fixture::genoa();
    let evidence = fixture.evidence(fixture.report());
    fixture.anchors = snp_fixture::anchors(&[fixture.pki.for_product(Product::Milan).unwrap().root()]);
    let expected = SnpError::UnknownProduct { product: Product::Genoa };
    assert_eq!(fixture.refusal(evidence), AppraisalError::Snp(expected));
}

#[test]
fn s1_an_unknown_product_is_refused() {
    let fixture = Fixture::genoa();
    let spec = VekSpec::vcek(Product::Genoa, TCB, CHIP_ID)
        .with_extension("2", Some(vec![0x16, 6, b'V', b'e', b'n', b'i', b'c', b'e']));
    assert_eq!(fixture.refusal_of_chip(&spec), AppraisalError::Snp(SnpError::Vek(VekError::Product)));
}

#[test]
fn s2_a_forged_chain_with_the_right_names_is_refused() {
    let fixture = Fixture::genoa();
    let forged = Fixture::foreign(Product::Genoa);
    let evidence = forged.evidence(forged.report());
    let refused = fixture.refusal(evidence);
    assert_eq!(refused, AppraisalError::Snp(SnpError::Chain(ChainError::BadSignature)));
}

#[test]
fn s2_the_built_in_roots_never_accept_simulated_evidence() {
    let mut fixture = Fixture::genoa();
    let evidence = fixture.evidence(fixture.report());
    fixture.anchors = TrustAnchors::new(&Anchors { amd: AmdAnchors::BuiltIn, tpm: Vec::new() }).unwrap();
    assert_eq!(fixture.anchors.class(), AnchorClass::Hardware);
    let refused = fixture.refusal(evidence);
    assert_eq!(refused, AppraisalError::Snp(SnpError::Chain(ChainError::UnknownIssuer)));
}

#[test]
fn s2_an_intermediate_of_another_name_or_kind_is_refused() {
    let fixture = Fixture::genoa();
    for intermediate in [fixture.pki.root().ark, fixture.pki.asvk().to_vec()] {
        let mut evidence = fixture.evidence(fixture.report());
        evidence.endorsements.intermediate = Some(intermediate);
        assert_eq!(fixture.refusal(evidence), AppraisalError::Snp(SnpError::IntermediateName));
    }
}

#[test]
fn s2_a_vcek_issued_by_the_root_itself_is_refused() {
    let fixture = Fixture::genoa();
    let chip = fixture.pki.chip_under_root(&VekSpec::vcek(Product::Genoa, TCB, CHIP_ID)).unwrap();
    let evidence = chip.evidence(snp_fixture::report(&chip).sign(&chip).unwrap());
    assert_eq!(fixture.refusal(evidence), AppraisalError::Snp(SnpError::IntermediateName));
}

#[test]
fn s2_a_vlek_without_its_issuer_is_refused() {
    let fixture = Fixture::genoa();
    let vlek = fixture.pki.chip(&VekSpec::vlek(Product::Genoa, TCB)).unwrap();
    let mut evidence = vlek.evidence(snp_fixture::report(&vlek).sign(&vlek).unwrap());
    evidence.endorsements.intermediate = None;
    let rule = Accept::Snp(snp_fixture::SnpAccept {
        chip: ChipRule::AnyChipEvenMasked,
        ..snp_fixture::snp_accept()
    });
    let refused = fixture.appraise_evidence(evidence, &[rule]).unwrap_err();
    assert_eq!(refused, AppraisalError::Snp(SnpError::NoIntermediate));
}

#[test]
fn s3_the_kind_of_certificate_is_told_by_amds_own_names() {
    let fixture = Fixture::genoa();
    let mut spec = VekSpec::vcek(Product::Genoa, TCB, CHIP_ID);
    spec.subject = "VCEK".to_owned();
    assert_eq!(fixture.refusal_of_chip(&spec), AppraisalError::Snp(SnpError::Vek(VekError::Kind)));
}

#[test]
fn s3_a_report_that_names_the_other_kind_of_key_is_refused() {
    let fixture = Fixture::genoa();
    let report = fixture.report().set(field::FLAGS, &(1u32 << 2).to_le_bytes());
    let rule = Accept::Snp(snp_fixture::SnpAccept {
        chip: ChipRule::AnyChipEvenMasked,
        ..snp_fixture::snp_accept()
    });
    let refused = fixture.appraise_with(report, &[rule]).unwrap_err();
    assert_eq!(refused, AppraisalError::Snp(SnpError::KindMismatch));
}

#[test]
fn s2_a_chain_that_is_not_signed_in_amds_way_is_refused() {
    let mut fixture = Fixture::genoa();
    // Right names, right extensions, signatures that verify: but ECDSA.
    let params = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    let [root_key, issuer_key] = [(); 2].map(|()| KeyPair::generate().unwrap());
    let root = params("ARK-Genoa").self_signed(&root_key).unwrap().der().to_vec();
    let root_issuer = Issuer::new(params("ARK-Genoa"), root_key);
    let issuer = params("SEV-Genoa").signed_by(&issuer_key, &root_issuer).unwrap().der().to_vec();
    let issuer_issuer = Issuer::new(params("SEV-Genoa"), issuer_key);
    let mut params = params("SEV-VCEK");
    params.is_ca = IsCa::NoCa;
    for extension in VekSpec::vcek(Product::Genoa, TCB, CHIP_ID).extensions {
        let oid = [1, 3, 6, 1, 4, 1, 3704, 1].into_iter();
        let oid: Vec<u64> = oid.chain(extension.suffix.split('.').map(|n| n.parse().unwrap())).collect();
        params.custom_extensions.push(CustomExtension::from_oid_content(&oid, extension.value));
    }
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let mut evidence = fixture.evidence(fixture.report());
    evidence.endorsements.vek = Some(params.signed_by(&key, &issuer_issuer).unwrap().der().to_vec());
    evidence.endorsements.intermediate = Some(issuer.clone());
    let root = SimulatedRoot { product: Product::Genoa, ark: root, ask: issuer };
    fixture.anchors = snp_fixture::anchors(&[root]);
    let refused = fixture.refusal(evidence);
    assert_eq!(refused, AppraisalError::Snp(SnpError::Chain(ChainError::UnsupportedAlgorithm)));
}
