//! The store of what endorses evidence: what gets in, what it is used for, and that it is bounded.

use crate::snp_fixture::{self, CHIP_ID, Fixture, NOW, TCB, accept, with};
use crate::tpm_fixture;
use vouchsafe_attestation::snp::crl::CrlError;
use vouchsafe_attestation::snp::vek::VekError;
use vouchsafe_attestation::snp::verify::SnpError;
use vouchsafe_attestation::x509::{CertificateError, ChainError};
use vouchsafe_attestation::{Added, AppraisalError, Collateral, CollateralError, verify_ek};
use vouchsafe_protocol::collateral::{
    AMD_INTERMEDIATES, CollateralItem, CollateralSubject, TPM_INTERMEDIATES, VLEKS_PER_TCB,
};
use vouchsafe_protocol::evidence::{AkProof, SnpEndorsements};
use vouchsafe_protocol::limits::CERTIFICATES;
use vouchsafe_protocol::policy::{ChipId, ChipRule, CspName, Product, Tcb};
use vouchsafe_simulation::tpm::TpmCertificateSpec;
use vouchsafe_simulation::{CrlSigner, CrlSpec, IntermediateSpec, SimulatedChip, Validity, VekKind, VekSpec};

const DAY: u64 = 24 * 60 * 60;

fn vek(chip: &SimulatedChip) -> CollateralItem {
    CollateralItem::Vek(chip.vek().to_vec())
}

fn asvk(fixture: &Fixture) -> CollateralItem {
    CollateralItem::AmdIntermediate(fixture.pki.asvk().to_vec())
}

fn add(fixture: &mut Fixture, item: &CollateralItem) -> Result<Added, CollateralError> {
    fixture.collateral.add(item, &fixture.anchors, NOW)
}

/// A report that brings nothing.
fn bare(fixture: &Fixture, chip: &SimulatedChip) -> Result<(), AppraisalError> {
    let mut evidence = chip.evidence(snp_fixture::report(chip).sign(chip).unwrap());
    evidence.endorsements = SnpEndorsements::default();
    let rule = with(|accept| accept.chip = ChipRule::AnyChipEvenMasked);
    fixture.appraise_evidence(evidence, &[rule]).map(drop)
}

#[test]
fn a_vcek_that_was_imported_serves_its_chip_at_its_tcb() {
    for product in [Product::Milan, Product::Genoa, Product::Turin] {
        let mut fixture = Fixture::new(product);
        let chip = fixture.pki.chip(&VekSpec::vcek(product, TCB, CHIP_ID)).unwrap();
        assert_eq!(bare(&fixture, &chip).unwrap_err(), AppraisalError::Snp(SnpError::NoVek));
        let others = [
            VekSpec::vcek(product, Tcb { microcode: TCB.microcode + 1, ..TCB }, CHIP_ID),
            VekSpec::vcek(product, TCB, [7; 64]),
        ];
        for other in others {
            let other = fixture.pki.chip(&other).unwrap();
            assert_eq!(add(&mut fixture, &vek(&other)), Ok(Added::New));
            assert_eq!(bare(&fixture, &chip).unwrap_err(), AppraisalError::Snp(SnpError::NoVek));
        }
        assert_eq!(add(&mut fixture, &vek(&chip)), Ok(Added::New));
        assert_eq!(add(&mut fixture, &vek(&chip)), Ok(Added::Known));
        bare(&fixture, &chip).unwrap();
        // A report of version 2 shows no product; chip and TCB name the certificate.
        let mut evidence = chip.evidence(snp_fixture::report(&chip).version(2).sign(&chip).unwrap());
        evidence.endorsements = SnpEndorsements::default();
        let rule = with(|accept| accept.min_report_version = 2);
        fixture.appraise_evidence(evidence, &[rule]).unwrap();
        assert_eq!(fixture.collateral.len(), 3);
    }
}

#[test]
fn what_comes_with_evidence_is_used_before_what_is_stored() {
    let mut fixture = Fixture::genoa();
    let stored = fixture.pki.chip(&VekSpec::vcek(Product::Genoa, TCB, CHIP_ID)).unwrap();
    add(&mut fixture, &vek(&stored)).unwrap();
    // The fixture's chip has the same id and TCB and another key: the stapled certificate decides.
    fixture.appraise(fixture.report()).unwrap();
    let mut evidence = fixture.evidence(fixture.report());
    evidence.endorsements.vek = None;
    let refused = fixture.appraise_evidence(evidence, &[accept()]).unwrap_err();
    assert_eq!(refused, AppraisalError::Snp(SnpError::Signature));
}

#[test]
fn a_lookup_never_weakens_a_check() {
    let mut fixture = Fixture::genoa();
    let short = Validity { not_after: NOW + 10, ..Validity::default() };
    let chip = fixture.pki.chip(&VekSpec::vcek(Product::Genoa, TCB, CHIP_ID).valid(short)).unwrap();
    add(&mut fixture, &vek(&chip)).unwrap();
    let mut evidence = chip.evidence(snp_fixture::report(&chip).sign(&chip).unwrap());
    evidence.endorsements = SnpEndorsements::default();
    let evidence = vouchsafe_protocol::evidence::Evidence::Snp(evidence);
    let at = |fixture: &Fixture, now| {
        vouchsafe_attestation::appraise(
            &evidence,
            &snp_fixture::statement(),
            &[accept()],
            vouchsafe_attestation::Residency::NotATpm,
            fixture.context(now),
            &mut vouchsafe_attestation::ChainCache::new(),
        )
        .map(drop)
    };
    at(&fixture, NOW + 10).unwrap();
    let expired = AppraisalError::Snp(SnpError::Chain(ChainError::Expired));
    assert_eq!(at(&fixture, NOW + 11).unwrap_err(), expired);
    // Under other roots, what was imported is worth nothing.
    fixture.anchors = Fixture::foreign(Product::Genoa).anchors;
    let foreign = AppraisalError::Snp(SnpError::Chain(ChainError::BadSignature));
    assert_eq!(at(&fixture, NOW).unwrap_err(), foreign);
}

#[test]
fn s2_a_vlek_needs_its_asvk_from_somewhere() {
    let mut fixture = Fixture::genoa();
    let vlek = fixture.pki.chip(&VekSpec::vlek(Product::Genoa, TCB)).unwrap();
    let no_issuer = CollateralError::Endorsement(SnpError::NoIntermediate);
    assert_eq!(add(&mut fixture, &vek(&vlek)), Err(no_issuer));
    // The issuer of the other kind of key is none.
    let ask = CollateralItem::AmdIntermediate(fixture.pki.root().ask);
    assert_eq!(add(&mut fixture, &ask), Ok(Added::New));
    assert_eq!(add(&mut fixture, &vek(&vlek)), Err(no_issuer));
    let asvk = asvk(&fixture);
    assert_eq!(add(&mut fixture, &asvk), Ok(Added::New));
    assert_eq!(add(&mut fixture, &asvk), Ok(Added::Known));
    assert_eq!(add(&mut fixture, &vek(&vlek)), Ok(Added::New));
    bare(&fixture, &vlek).unwrap();
}

#[test]
fn of_several_vleks_the_one_that_signed_is_found() {
    let mut fixture = Fixture::genoa();
    let issuer = asvk(&fixture);
    add(&mut fixture, &issuer).unwrap();
    let of = |fixture: &Fixture, n: usize| {
        let spec = VekSpec::vlek(Product::Genoa, TCB).with_provider(&format!("CN=cloud-{n}"));
        fixture.pki.chip(&spec).unwrap()
    };
    let vleks: Vec<_> = (0..VLEKS_PER_TCB).map(|n| of(&fixture, n)).collect();
    for vlek in &vleks {
        assert_eq!(add(&mut fixture, &vek(vlek)), Ok(Added::New));
    }
    for vlek in &vleks {
        bare(&fixture, vlek).unwrap();
    }
    let one_more = of(&fixture, VLEKS_PER_TCB);
    assert_eq!(bare(&fixture, &one_more).unwrap_err(), AppraisalError::Snp(SnpError::NoVek));
    let full = CollateralError::Full { most: VLEKS_PER_TCB };
    assert_eq!(add(&mut fixture, &vek(&one_more)), Err(full));
}

#[test]
fn an_intermediate_that_was_replaced_still_serves_what_it_issued() {
    let mut fixture = Fixture::genoa();
    for not_after in 1..AMD_INTERMEDIATES as u64 {
        let spec = IntermediateSpec {
            validity: Validity { not_after: NOW + not_after * DAY, ..Validity::default() },
            ..IntermediateSpec::new(VekKind::Vlek, Product::Genoa)
        };
        let der = fixture.pki.intermediate(&spec).unwrap();
        add(&mut fixture, &CollateralItem::AmdIntermediate(der)).unwrap();
    }
    let vlek = fixture.pki.chip(&VekSpec::vlek(Product::Genoa, TCB)).unwrap();
    let issuer = asvk(&fixture);
    add(&mut fixture, &issuer).unwrap();
    add(&mut fixture, &vek(&vlek)).unwrap();
    bare(&fixture, &vlek).unwrap();
    let spec = IntermediateSpec { serial: vec![9], ..IntermediateSpec::new(VekKind::Vlek, Product::Genoa) };
    let one_more = CollateralItem::AmdIntermediate(fixture.pki.intermediate(&spec).unwrap());
    let full = CollateralError::Full { most: AMD_INTERMEDIATES };
    assert_eq!(add(&mut fixture, &one_more), Err(full));
    // Each kind has its own room.
    let ask = CollateralItem::AmdIntermediate(fixture.pki.root().ask);
    assert_eq!(add(&mut fixture, &ask), Ok(Added::New));
    // Later, when some have expired, there is room.
    let later = fixture.collateral.add(&one_more, &fixture.anchors, NOW + 2 * DAY);
    assert_eq!(later, Ok(Added::New));
}

#[test]
fn what_does_not_chain_to_an_anchor_is_not_imported() {
    let mut fixture = Fixture::genoa();
    let foreign = Fixture::foreign(Product::Genoa);
    let past = Validity { not_after: NOW - 1, ..Validity::default() };
    let expired = fixture.pki.chip(&VekSpec::vcek(Product::Genoa, TCB, CHIP_ID).valid(past)).unwrap();
    let intermediate = |change: fn(&mut IntermediateSpec)| {
        let mut spec = IntermediateSpec::new(VekKind::Vcek, Product::Genoa);
        change(&mut spec);
        CollateralItem::AmdIntermediate(Fixture::genoa().pki.intermediate(&spec).unwrap())
    };
    let crl = |crl: Vec<u8>| CollateralItem::AmdCrl(crl);
    let fresh = CrlSpec::fresh(NOW);
    let chain = |error| CollateralError::Endorsement(SnpError::Chain(error));
    let cases = [
        (vek(&foreign.chip), chain(ChainError::BadSignature)),
        (vek(&expired), chain(ChainError::Expired)),
        (
            CollateralItem::Vek(vec![0x30, 0]),
            CollateralError::Vek(VekError::Certificate(CertificateError::Malformed)),
        ),
        (
            CollateralItem::AmdIntermediate(vec![0x30, 0]),
            CollateralError::Certificate(CertificateError::Malformed),
        ),
        (asvk(&foreign), CollateralError::Chain(ChainError::BadSignature)),
        (intermediate(|spec| spec.path_len = None), CollateralError::NotAnAuthority),
        (intermediate(|spec| spec.subject = "SEV-Other".to_owned()), CollateralError::Name),
        (intermediate(|spec| spec.subject = "SEV-Milan".to_owned()), CollateralError::Name),
        (
            intermediate(|spec| spec.validity.not_before = NOW + 1),
            CollateralError::Chain(ChainError::NotYetValid),
        ),
        (crl(vec![0x30, 0]), CollateralError::Crl(CrlError::Malformed)),
        (crl(foreign.pki.crl(&fresh).unwrap()), CollateralError::Crl(CrlError::Signature)),
        (
            crl(fixture.pki.crl_by(&fresh, CrlSigner::Intermediate).unwrap()),
            CollateralError::Crl(CrlError::Foreign),
        ),
        (
            crl(fixture.pki.crl(&CrlSpec::fresh(NOW + 1)).unwrap()),
            CollateralError::Crl(CrlError::NotYetValid),
        ),
        (
            crl(fixture.pki.crl(&CrlSpec { next_update: Some(NOW - 1), ..CrlSpec::fresh(NOW - 2) }).unwrap()),
            CollateralError::Crl(CrlError::Stale),
        ),
        (
            CollateralItem::TpmIntermediate(fixture.pki.asvk().to_vec()),
            CollateralError::Chain(ChainError::NoAnchor),
        ),
        (CollateralItem::TpmIntermediate(fixture.chip.vek().to_vec()), CollateralError::NotAnAuthority),
    ];
    for (item, expected) in cases {
        assert_eq!(add(&mut fixture, &item), Err(expected));
        assert!(fixture.collateral.is_empty());
    }
}

#[test]
fn s11_a_list_is_replaced_by_younger_ones_only() {
    let mut fixture = Fixture::genoa();
    let at = |fixture: &Fixture, this_update| {
        CollateralItem::AmdCrl(fixture.pki.crl(&CrlSpec::fresh(this_update)).unwrap())
    };
    let (old, middle, young) = (at(&fixture, NOW - 2), at(&fixture, NOW - 1), at(&fixture, NOW));
    assert_eq!(add(&mut fixture, &middle), Ok(Added::New));
    assert_eq!(add(&mut fixture, &middle), Ok(Added::Known));
    assert_eq!(add(&mut fixture, &old), Err(CollateralError::Rollback));
    assert_eq!(add(&mut fixture, &young), Ok(Added::Replaced));
    assert_eq!(add(&mut fixture, &middle), Err(CollateralError::Rollback));
    // Another one of the same second is not older.
    let other = fixture.pki.crl(&CrlSpec::fresh(NOW).revoking(&[9])).unwrap();
    assert_eq!(add(&mut fixture, &CollateralItem::AmdCrl(other)), Ok(Added::Replaced));
    assert_eq!(fixture.collateral.len(), 1);
}

#[test]
fn of_two_certificates_for_one_key_the_one_that_lasts_stays() {
    let mut fixture = Fixture::genoa();
    let until = |not_after| {
        let validity = Validity { not_after, ..Validity::default() };
        fixture.pki.chip(&VekSpec::vcek(Product::Genoa, TCB, CHIP_ID).valid(validity)).unwrap()
    };
    let (short, long) = (until(NOW + DAY), until(NOW + 2 * DAY));
    assert_eq!(add(&mut fixture, &vek(&short)), Ok(Added::New));
    assert_eq!(add(&mut fixture, &vek(&long)), Ok(Added::Replaced));
    assert_eq!(add(&mut fixture, &vek(&short)), Ok(Added::Known));
    let kept: Vec<_> = fixture.collateral.list().map(|entry| entry.not_after_unix_secs).collect();
    assert_eq!(kept, [NOW + 2 * DAY]);
}

#[test]
fn a_listing_names_everything_and_tells_what_expires() {
    let mut fixture = Fixture::genoa();
    let vlek = fixture.pki.chip(&VekSpec::vlek(Product::Genoa, TCB)).unwrap();
    let crl = fixture.pki.crl(&CrlSpec::fresh(NOW).revoking(&[9])).unwrap();
    let ask = CollateralItem::AmdIntermediate(fixture.pki.root().ask);
    let items = [asvk(&fixture), ask, vek(&fixture.chip), vek(&vlek), CollateralItem::AmdCrl(crl)];
    for item in &items {
        assert_eq!(add(&mut fixture, item), Ok(Added::New));
    }
    let (product, tcb) = (Product::Genoa, TCB);
    let subjects: Vec<_> = fixture.collateral.list().map(|entry| entry.subject).collect();
    let provider = CspName(VekSpec::PROVIDER.to_owned());
    assert_eq!(
        subjects,
        [
            CollateralSubject::AmdCrl { product, revoked: 1 },
            CollateralSubject::Asvk { product },
            CollateralSubject::Ask { product },
            CollateralSubject::Vlek { product, provider: provider.clone(), tcb },
            CollateralSubject::Vcek { product, chip: ChipId(CHIP_ID), tcb },
        ]
    );
    let expiring = |within| {
        let entries = fixture.collateral.expiring(NOW, within);
        entries.map(|entry| entry.subject).collect::<Vec<_>>()
    };
    assert_eq!(expiring(180 * DAY), []);
    assert_eq!(expiring(180 * DAY + 1), [CollateralSubject::AmdCrl { product, revoked: 1 }]);
    // The VLEK ends 2026-07-01, the list 180 days after the new year.
    assert_eq!(expiring(182 * DAY).len(), 2);

    // What a snapshot keeps makes the same store again.
    let mut again = Collateral::new();
    for (item, imported) in fixture.collateral.items() {
        assert_eq!(again.add(&item, &fixture.anchors, imported), Ok(Added::New));
    }
    assert!(again.list().eq(fixture.collateral.list()));
}

/// A maker's bundle: an authority below the root, and one below that.
fn bundle(fixture: &tpm_fixture::Fixture) -> [vouchsafe_simulation::tpm::TpmAuthority; 2] {
    let upper = tpm_fixture::below(&fixture.ca, &tpm_fixture::ca_spec("upper"));
    let lower = tpm_fixture::below(&upper, &tpm_fixture::ca_spec("lower"));
    [upper, lower]
}

#[test]
fn t12_intermediates_of_a_tpm_vendor_complete_a_chain_that_lacks_them() {
    let fixture = tpm_fixture::Fixture::new();
    let [upper, lower] = bundle(&fixture);
    let ek = fixture.ek_certificate(&lower, &tpm_fixture::ek_spec());
    let item = |authority: &vouchsafe_simulation::tpm::TpmAuthority| {
        CollateralItem::TpmIntermediate(authority.der().to_vec())
    };
    let mut collateral = Collateral::new();
    // From the root downwards: what hangs in the air is not imported.
    let hanging = collateral.add(&item(&lower), &fixture.anchors, NOW);
    assert_eq!(hanging, Err(CollateralError::Chain(ChainError::UnknownIssuer)));
    assert_eq!(collateral.add(&item(&upper), &fixture.anchors, NOW), Ok(Added::New));
    assert_eq!(collateral.add(&item(&lower), &fixture.anchors, NOW), Ok(Added::New));
    assert_eq!(collateral.add(&item(&lower), &fixture.anchors, NOW), Ok(Added::Known));

    let bare = fixture.keys_of(vec![ek.clone()]);
    assert!(verify_ek(&bare, &fixture.anchors, NOW).is_err());
    verify_ek(&collateral.complete(&bare), &fixture.anchors, NOW).unwrap();
    let half = fixture.keys_of(vec![ek.clone(), lower.der().to_vec()]);
    verify_ek(&collateral.complete(&half), &fixture.anchors, NOW).unwrap();
    // What came whole is left as it is, and so is what cannot be read.
    let whole = fixture.keys_of(vec![ek.clone(), lower.der().to_vec(), upper.der().to_vec()]);
    assert!(matches!(collateral.complete(&whole), std::borrow::Cow::Borrowed(_)));
    let junk = fixture.keys_of(vec![b"junk".to_vec()]);
    assert!(matches!(collateral.complete(&junk), std::borrow::Cow::Borrowed(_)));
    // Never more than a chain may have.
    let long = fixture.keys_of(vec![ek; CERTIFICATES]);
    assert!(matches!(collateral.complete(&long), std::borrow::Cow::Borrowed(_)));

    let names: Vec<_> = collateral.list().map(|entry| entry.subject).collect();
    let named = |name: &str| CollateralSubject::TpmIntermediate { name: name.to_owned() };
    assert_eq!(names, [named("upper"), named("lower")]);
    let mut again = Collateral::new();
    for (item, imported) in collateral.items() {
        assert_eq!(again.add(&item, &fixture.anchors, imported), Ok(Added::New));
    }
}

#[test]
fn t12_a_forged_intermediate_of_a_tpm_vendor_is_not_imported() {
    let fixture = tpm_fixture::Fixture::new();
    let forged = tpm_fixture::below(&tpm_fixture::ca("TPM maker"), &tpm_fixture::ca_spec("upper"));
    let item = CollateralItem::TpmIntermediate(forged.der().to_vec());
    let mut collateral = Collateral::new();
    let refused = collateral.add(&item, &fixture.anchors, NOW);
    assert_eq!(refused, Err(CollateralError::Chain(ChainError::BadSignature)));
    // An expired one vouches for nothing, now or later.
    let spec = TpmCertificateSpec { validity: tpm_fixture::EXPIRED, ..tpm_fixture::ca_spec("upper") };
    let item = CollateralItem::TpmIntermediate(tpm_fixture::below(&fixture.ca, &spec).der().to_vec());
    let refused = collateral.add(&item, &fixture.anchors, NOW);
    assert_eq!(refused, Err(CollateralError::Chain(ChainError::Expired)));
    assert!(collateral.is_empty());
}

#[test]
fn intermediates_of_tpm_vendors_are_bounded() {
    let fixture = tpm_fixture::Fixture::new();
    let mut collateral = Collateral::new();
    let item = |n: usize, not_after| {
        let validity = Validity { not_after, ..Validity::default() };
        let spec = TpmCertificateSpec { validity, ..tpm_fixture::ca_spec(&format!("authority {n}")) };
        CollateralItem::TpmIntermediate(tpm_fixture::below(&fixture.ca, &spec).der().to_vec())
    };
    for n in 0..TPM_INTERMEDIATES {
        let end = if n == 0 { NOW } else { NOW + DAY };
        assert_eq!(collateral.add(&item(n, end), &fixture.anchors, NOW), Ok(Added::New));
    }
    let one_more = item(TPM_INTERMEDIATES, NOW + DAY);
    let full = CollateralError::Full { most: TPM_INTERMEDIATES };
    assert_eq!(collateral.add(&one_more, &fixture.anchors, NOW), Err(full));
    assert_eq!(collateral.add(&one_more, &fixture.anchors, NOW + 1), Ok(Added::New));
    assert!(collateral.len() == TPM_INTERMEDIATES && !collateral.is_empty());
}

#[test]
fn a_vlek_serves_reports_of_its_product_by_a_vlek_alone() {
    let (mut genoa, milan) = (Fixture::genoa(), Fixture::new(Product::Milan));
    genoa.anchors = snp_fixture::anchors(&[genoa.pki.root(), milan.pki.root()]);
    for fixture in [&milan, &Fixture::genoa()] {
        let issuer = asvk(fixture);
        add(&mut genoa, &issuer).unwrap();
    }
    let of = |fixture: &Fixture, product, n: usize| {
        let spec = VekSpec::vlek(product, TCB).with_provider(&format!("CN=cloud-{n}"));
        fixture.pki.chip(&spec).unwrap()
    };
    // The same TCB bytes on both products.
    let of_milan = of(&milan, Product::Milan, 0);
    add(&mut genoa, &vek(&of_milan)).unwrap();
    let of_genoa = of(&genoa, Product::Genoa, 0);
    assert_eq!(bare(&genoa, &of_genoa).unwrap_err(), AppraisalError::Snp(SnpError::NoVek));
    add(&mut genoa, &vek(&of_genoa)).unwrap();
    bare(&genoa, &of_genoa).unwrap();
    bare(&genoa, &of_milan).unwrap();
    // Each product has its own room.
    for n in 1..VLEKS_PER_TCB {
        let one = of(&genoa, Product::Genoa, n);
        assert_eq!(add(&mut genoa, &vek(&one)), Ok(Added::New));
    }
    let of_milan = of(&milan, Product::Milan, 1);
    assert_eq!(add(&mut genoa, &vek(&of_milan)), Ok(Added::New));
    // A masked chip is no VLEK's.
    let mut evidence = genoa.evidence(genoa.report().chip_id(&[0; 64]));
    evidence.endorsements = SnpEndorsements::default();
    let rule = with(|accept| accept.chip = ChipRule::AnyChipEvenMasked);
    let refused = genoa.appraise_evidence(evidence, &[rule]).unwrap_err();
    assert_eq!(refused, AppraisalError::Snp(SnpError::NoVek));
}

#[test]
fn t12_a_completed_chain_is_no_longer_than_a_chain_may_be() {
    let fixture = tpm_fixture::Fixture::new();
    let mut collateral = Collateral::new();
    let mut lowest = tpm_fixture::below(&fixture.ca, &tpm_fixture::ca_spec("authority 0"));
    for n in 1..=CERTIFICATES {
        let item = CollateralItem::TpmIntermediate(lowest.der().to_vec());
        assert_eq!(collateral.add(&item, &fixture.anchors, NOW), Ok(Added::New), "{n}");
        let ek = fixture.ek_certificate(&lowest, &tpm_fixture::ek_spec());
        let keys = fixture.keys_of(vec![ek]);
        let verified = verify_ek(&collateral.complete(&keys), &fixture.anchors, NOW);
        assert_eq!(verified.is_ok(), n < CERTIFICATES, "{n} intermediates and a leaf");
        lowest = tpm_fixture::below(&lowest, &tpm_fixture::ca_spec(&format!("authority {n}")));
    }
    // Too far from the root for a chain: not imported.
    let item = CollateralItem::TpmIntermediate(lowest.der().to_vec());
    assert!(collateral.add(&item, &fixture.anchors, NOW).is_err());
}

#[test]
fn t12_more_authorities_of_one_name_than_fit_make_no_chain_too_long() {
    let fixture = tpm_fixture::Fixture::new();
    let mut collateral = Collateral::new();
    let upper = || tpm_fixture::below(&fixture.ca, &tpm_fixture::ca_spec("upper"));
    let uppers: Vec<_> = (0..CERTIFICATES).map(|_| upper()).collect();
    let lower = tpm_fixture::below(&uppers[0], &tpm_fixture::ca_spec("lower"));
    for authority in uppers.iter().chain([&lower]) {
        let item = CollateralItem::TpmIntermediate(authority.der().to_vec());
        assert_eq!(collateral.add(&item, &fixture.anchors, NOW), Ok(Added::New));
    }
    let ek = fixture.ek_certificate(&lower, &tpm_fixture::ek_spec());
    verify_ek(&collateral.complete(&fixture.keys_of(vec![ek.clone()])), &fixture.anchors, NOW).unwrap();
    let keys = fixture.keys_of(vec![ek, b"junk".to_vec()]);
    let AkProof::Credential { ek_chain, .. } = &collateral.complete(&keys).proof else {
        panic!("a credential")
    };
    assert_eq!(ek_chain.len(), CERTIFICATES);
}
