//! Revocation lists: fresh, of the right root, and naming nothing of the chain.

use crate::snp_fixture::{self, CHIP_ID, Fixture, NOW, TCB, accept, with};
use vouchsafe_attestation::snp::crl::{CrlError, RevocationList};
use vouchsafe_attestation::snp::verify::SnpError;
use vouchsafe_attestation::{Appraisal, AppraisalError, ChainCache, Residency, appraise};
use vouchsafe_protocol::collateral::CollateralItem;
use vouchsafe_protocol::evidence::{Evidence, SnpEvidence};
use vouchsafe_protocol::limits::CRL_LEN;
use vouchsafe_protocol::policy::{Accept, ChipRule, Product, RevocationRule};
use vouchsafe_simulation::{
    ASK_SERIAL, ASVK_SERIAL, Critical, CrlSigner, CrlSpec, IntermediateSpec, SimulatedChip, VekKind, VekSpec,
};

const DAY: u64 = 24 * 60 * 60;
const MONTH: u32 = 30 * 24 * 60 * 60;

fn checked(max_age_secs: u32) -> Accept {
    with(|accept| {
        accept.chip = ChipRule::AnyChipEvenMasked;
        accept.revocation = RevocationRule::Checked { max_age_secs };
    })
}

fn judge_chip(
    fixture: &Fixture,
    chip: &SimulatedChip,
    crl: Option<Vec<u8>>,
) -> Result<Appraisal, AppraisalError> {
    let mut evidence = chip.evidence(snp_fixture::report(chip).sign(chip).unwrap());
    evidence.endorsements.crl = crl;
    fixture.appraise_evidence(evidence, &[checked(MONTH)])
}

fn judge(fixture: &Fixture, crl: Vec<u8>) -> Result<Appraisal, AppraisalError> {
    judge_chip(fixture, &fixture.chip, Some(crl))
}

fn refusal(fixture: &Fixture, crl: Vec<u8>) -> CrlError {
    match judge(fixture, crl) {
        Err(AppraisalError::Snp(SnpError::Revocation(error))) => error,
        other => panic!("expected the list to refuse, got {other:?}"),
    }
}

fn of(fixture: &Fixture, spec: &CrlSpec) -> Vec<u8> {
    fixture.pki.crl(spec).unwrap()
}

#[test]
fn s11_a_fresh_list_is_accepted_and_a_missing_one_is_not() {
    for product in [Product::Milan, Product::Genoa, Product::Turin] {
        let fixture = Fixture::new(product);
        let fresh = of(&fixture, &CrlSpec::fresh(NOW - DAY).revoking(&[9]).revoking(&[0x7f, 0, 2]));
        judge(&fixture, fresh).unwrap();
        let missing = judge_chip(&fixture, &fixture.chip, None).unwrap_err();
        assert_eq!(missing, AppraisalError::Snp(SnpError::Revocation(CrlError::Missing)));
        assert_eq!(missing.code(), "snp.crl.missing");
        // Only who asks for it needs one, and who does not is not stopped by a bad one.
        fixture.appraise(fixture.report()).unwrap();
        let mut evidence = fixture.evidence(fixture.report());
        evidence.endorsements.crl = Some(b"junk".to_vec());
        fixture.appraise_evidence(evidence, &[accept()]).unwrap();
    }
}

#[test]
fn s11_a_stale_or_future_list_is_refused_to_the_second() {
    let fixture = Fixture::genoa();
    let dates = |this_update, next_update| {
        of(&fixture, &CrlSpec { next_update: Some(next_update), ..CrlSpec::fresh(this_update) })
    };
    judge(&fixture, dates(NOW, NOW)).unwrap();
    assert_eq!(refusal(&fixture, dates(NOW + 1, NOW + 2)), CrlError::NotYetValid);
    assert_eq!(refusal(&fixture, dates(NOW - 2, NOW - 1)), CrlError::Stale);
    let endless = CrlSpec { next_update: None, ..CrlSpec::fresh(NOW) };
    assert_eq!(refusal(&fixture, of(&fixture, &endless)), CrlError::Malformed);
}

#[test]
fn s11_a_list_has_a_maximum_age_to_the_second() {
    let fixture = Fixture::genoa();
    let month = u64::from(MONTH);
    for age in [0, month - 1, month] {
        judge(&fixture, of(&fixture, &CrlSpec::fresh(NOW - age))).unwrap();
    }
    let age_secs = i64::from(MONTH) + 1;
    let expected = CrlError::TooOld { age_secs, max_age_secs: MONTH };
    assert_eq!(refusal(&fixture, of(&fixture, &CrlSpec::fresh(NOW - month - 1))), expected);
}

#[test]
fn s11_a_revoked_ask_or_asvk_is_refused() {
    let fixture = Fixture::genoa();
    let vlek = fixture.pki.chip(&VekSpec::vlek(Product::Genoa, TCB)).unwrap();
    let revoking = |serial: &[u8]| of(&fixture, &CrlSpec::fresh(NOW).revoking(&[9]).revoking(serial));
    let revoked = AppraisalError::Snp(SnpError::Revocation(CrlError::Revoked));
    assert_eq!(judge(&fixture, revoking(&ASK_SERIAL)).unwrap_err(), revoked);
    assert_eq!(judge_chip(&fixture, &vlek, Some(revoking(&ASVK_SERIAL))).unwrap_err(), revoked);
    // Each only its own.
    judge(&fixture, revoking(&ASVK_SERIAL)).unwrap();
    judge_chip(&fixture, &vlek, Some(revoking(&ASK_SERIAL))).unwrap();
}

#[test]
fn s11_a_revoked_vek_is_refused() {
    let fixture = Fixture::genoa();
    let revoking = |serial: &[u8]| of(&fixture, &CrlSpec::fresh(NOW).revoking(serial));
    for spec in [VekSpec::vcek(Product::Genoa, TCB, CHIP_ID), VekSpec::vlek(Product::Genoa, TCB)] {
        let spec = VekSpec { serial: vec![0x12, 0x34], ..spec };
        let chip = fixture.pki.chip(&spec).unwrap();
        let refused = judge_chip(&fixture, &chip, Some(revoking(&[0x12, 0x34]))).unwrap_err();
        assert_eq!(refused, AppraisalError::Snp(SnpError::Revocation(CrlError::RevokedVek)));
        for other in [&[0x34][..], &[0x12], &[0x12, 0x34, 0], &[0x12, 0x35]] {
            judge_chip(&fixture, &chip, Some(revoking(other))).unwrap();
        }
    }
    // Zero is a serial as good as another: AMD's VCEKs have it.
    assert_eq!(refusal(&fixture, revoking(&[0])), CrlError::RevokedVek);
}

#[test]
fn s11_a_foreign_list_is_refused() {
    let fixture = Fixture::genoa();
    let spec = CrlSpec::fresh(NOW);
    let of_milan = fixture.pki.for_product(Product::Milan).unwrap().crl(&spec).unwrap();
    assert_eq!(refusal(&fixture, of_milan), CrlError::Foreign);
    let of_intermediate = fixture.pki.crl_by(&spec, CrlSigner::Intermediate).unwrap();
    assert_eq!(refusal(&fixture, of_intermediate), CrlError::Foreign);
    let forged = Fixture::foreign(Product::Genoa).pki.crl(&spec).unwrap();
    assert_eq!(refusal(&fixture, forged), CrlError::Signature);
    let by_intermediate = fixture.pki.crl_by(&spec, CrlSigner::IntermediateAsRoot).unwrap();
    assert_eq!(refusal(&fixture, by_intermediate), CrlError::Signature);
}

#[test]
fn s11_a_list_with_what_must_be_understood_is_refused() {
    let fixture = Fixture::genoa();
    for critical in [Critical::InList, Critical::InEntries] {
        let spec = CrlSpec { critical, ..CrlSpec::fresh(NOW).revoking(&[9]) };
        assert_eq!(refusal(&fixture, of(&fixture, &spec)), CrlError::CriticalExtension);
    }
}

#[test]
fn s16_every_other_length_of_a_list_is_refused() {
    let fixture = Fixture::genoa();
    let good = of(&fixture, &CrlSpec::fresh(NOW).revoking(&[9]));
    let roots = fixture.anchors.amd();
    for len in (0..good.len()).chain([good.len() + 1, CRL_LEN + 1]) {
        let mut cut = good.clone();
        cut.resize(len, 0);
        let refused = RevocationList::verify(&cut, roots, Product::Genoa).unwrap_err();
        assert_eq!(refused, CrlError::Malformed, "{len}");
    }
    for bit in 0..good.len() * 8 {
        let mut flipped = good.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(RevocationList::verify(&flipped, roots, Product::Genoa).is_err(), "bit {bit}");
    }
}

#[test]
fn s11_a_list_of_the_largest_size_is_read() {
    let fixture = Fixture::genoa();
    let mut spec = CrlSpec::fresh(NOW);
    for serial in 0..2500u32 {
        spec = spec.revoking(&[&[1], serial.to_be_bytes().as_slice()].concat());
    }
    let list = of(&fixture, &spec);
    assert!((CRL_LEN * 3 / 4..=CRL_LEN).contains(&list.len()), "{}", list.len());
    judge(&fixture, list).unwrap();
    assert_eq!(refusal(&fixture, of(&fixture, &spec.revoking(&ASK_SERIAL))), CrlError::Revoked);
}

#[test]
fn s11_an_older_list_than_the_verifier_knows_is_not_used() {
    let mut fixture = Fixture::genoa();
    let before = of(&fixture, &CrlSpec::fresh(NOW - 2 * DAY));
    let revoking = of(&fixture, &CrlSpec::fresh(NOW - DAY).revoking(&ASK_SERIAL));
    let after = of(&fixture, &CrlSpec::fresh(NOW));
    judge(&fixture, before.clone()).unwrap();
    fixture.collateral.add(&CollateralItem::AmdCrl(revoking), &fixture.anchors, NOW).unwrap();
    assert_eq!(refusal(&fixture, before), CrlError::Revoked);
    let stored_alone = judge_chip(&fixture, &fixture.chip, None).unwrap_err();
    assert_eq!(stored_alone, AppraisalError::Snp(SnpError::Revocation(CrlError::Revoked)));
    // A younger one is what the root says now.
    judge(&fixture, after).unwrap();
    // One of the same second is not younger.
    let same = of(&fixture, &CrlSpec::fresh(NOW - DAY));
    assert_eq!(refusal(&fixture, same), CrlError::Revoked);
    // What was sent is looked at even though it is not needed: junk is refused.
    assert_eq!(refusal(&fixture, b"junk".to_vec()), CrlError::Malformed);
}

#[test]
fn s11_a_stored_list_serves_when_none_is_sent_and_still_ages() {
    let mut fixture = Fixture::genoa();
    let list = of(&fixture, &CrlSpec::fresh(NOW));
    fixture.collateral.add(&CollateralItem::AmdCrl(list), &fixture.anchors, NOW).unwrap();
    let evidence = Evidence::Snp(fixture.evidence(fixture.report()));
    let mut cache = ChainCache::new();
    let mut at = |now| {
        let rules = [checked(MONTH)];
        let statement = snp_fixture::statement();
        appraise(&evidence, &statement, &rules, Residency::NotATpm, fixture.context(now), &mut cache)
            .map(|appraisal| appraisal.rule)
    };
    let revocation = |error| Err(AppraisalError::Snp(SnpError::Revocation(error)));
    assert_eq!(at(NOW), Ok(0));
    assert_eq!(at(NOW - 1), revocation(CrlError::NotYetValid));
    assert_eq!(at(NOW + u64::from(MONTH)), Ok(0));
    let age_secs = i64::from(MONTH) + 1;
    let too_old = CrlError::TooOld { age_secs, max_age_secs: MONTH };
    assert_eq!(at(NOW + u64::from(MONTH) + 1), revocation(too_old));
    assert_eq!(at(NOW + 181 * DAY), revocation(CrlError::Stale));
}

#[test]
fn s11_a_revoked_intermediate_that_was_issued_anew_serves_again() {
    let mut fixture = Fixture::genoa();
    let issued = |serial: u8| {
        let spec = IntermediateSpec {
            serial: vec![0x70, serial],
            ..IntermediateSpec::new(VekKind::Vcek, Product::Genoa)
        };
        fixture.pki.intermediate(&spec).unwrap()
    };
    let (anew, again) = (issued(1), issued(2));
    let list = |secs: u64, serials: &[&[u8]]| {
        let fresh = CrlSpec::fresh(NOW - secs);
        of(&fixture, &serials.iter().fold(fresh, |list, serial| list.revoking(serial)))
    };
    let lists = [list(3, &[&ASK_SERIAL]), list(2, &[&ASK_SERIAL, &[0x70, 1]]), list(1, &[&ASK_SERIAL, &[0]])];
    let mut evidence = fixture.evidence(fixture.report());
    let sent = evidence.endorsements.intermediate.take();
    let mut cache = ChainCache::new();
    let mut at = |fixture: &Fixture, evidence: &SnpEvidence, rule: Accept| {
        let (statement, context) = (snp_fixture::statement(), fixture.context(NOW));
        let evidence = Evidence::Snp(evidence.clone());
        appraise(&evidence, &statement, &[rule], Residency::NotATpm, context, &mut cache).map(|_| ())
    };
    let revoked = Err(AppraisalError::Snp(SnpError::Revocation(CrlError::Revoked)));
    // The chain by the compiled-in intermediate is in the cache; then that is revoked.
    assert_eq!(at(&fixture, &evidence, accept()), Ok(()));
    evidence.endorsements.crl = Some(lists[0].clone());
    assert_eq!(at(&fixture, &evidence, checked(MONTH)), revoked);
    fixture.collateral.add(&CollateralItem::AmdIntermediate(anew), &fixture.anchors, NOW).unwrap();
    assert_eq!(at(&fixture, &evidence, checked(MONTH)), Ok(()));
    // The next one is revoked, and the one after it is found among those that are.
    evidence.endorsements.crl = Some(lists[1].clone());
    assert_eq!(at(&fixture, &evidence, checked(MONTH)), revoked);
    fixture.collateral.add(&CollateralItem::AmdIntermediate(again), &fixture.anchors, NOW).unwrap();
    assert_eq!(at(&fixture, &evidence, checked(MONTH)), Ok(()));
    // A VEK that is itself revoked is not mended by its issuer.
    evidence.endorsements.crl = Some(lists[2].clone());
    let revoked_vek = Err(AppraisalError::Snp(SnpError::Revocation(CrlError::RevokedVek)));
    assert_eq!(at(&fixture, &evidence, checked(MONTH)), revoked_vek);
    // What evidence brings along is the intermediate, and no other stands in for it.
    evidence.endorsements.crl = Some(lists[0].clone());
    evidence.endorsements.intermediate = Some(sent.unwrap_or_else(|| fixture.pki.root().ask));
    assert_eq!(at(&fixture, &evidence, checked(MONTH)), revoked);
}

#[test]
fn any_one_rule_suffices_for_revocation_too() {
    let fixture = Fixture::genoa();
    let evidence = || fixture.evidence(fixture.report());
    let appraisal = fixture.appraise_evidence(evidence(), &[checked(MONTH), accept()]).unwrap();
    assert_eq!(appraisal.rule, 1);
    let refused = fixture.appraise_evidence(evidence(), &[checked(MONTH), checked(1)]).unwrap_err();
    assert_eq!(refused, AppraisalError::Snp(SnpError::Revocation(CrlError::Missing)));
}

#[test]
fn s11_a_list_that_was_verified_is_not_believed_under_another_root() {
    let (fixture, other) = (Fixture::genoa(), Fixture::foreign(Product::Genoa));
    let mut cache = ChainCache::new();
    let mut judge = |fixture: &Fixture, crl: Vec<u8>| {
        let mut evidence = fixture.evidence(fixture.report());
        evidence.endorsements.crl = Some(crl);
        let (evidence, rules) = (Evidence::Snp(evidence), [checked(MONTH)]);
        let statement = snp_fixture::statement();
        appraise(&evidence, &statement, &rules, Residency::NotATpm, fixture.context(NOW), &mut cache)
            .map(drop)
    };
    let list = of(&fixture, &CrlSpec::fresh(NOW));
    judge(&fixture, list.clone()).unwrap();
    let refused = judge(&other, list).unwrap_err();
    assert_eq!(refused, AppraisalError::Snp(SnpError::Revocation(CrlError::Signature)));
}

#[test]
fn s11_a_list_that_was_verified_is_not_believed_for_another_product() {
    let (mut genoa, milan) = (Fixture::genoa(), Fixture::new(Product::Milan));
    genoa.anchors = snp_fixture::anchors(&[genoa.pki.root(), milan.pki.root()]);
    let mut cache = ChainCache::new();
    let list = of(&genoa, &CrlSpec::fresh(NOW));
    let mut judge = |fixture: &Fixture| {
        let mut evidence = fixture.evidence(fixture.report());
        evidence.endorsements.crl = Some(list.clone());
        let (evidence, rules) = (Evidence::Snp(evidence), [checked(MONTH)]);
        let statement = snp_fixture::statement();
        appraise(&evidence, &statement, &rules, Residency::NotATpm, genoa.context(NOW), &mut cache).map(drop)
    };
    judge(&genoa).unwrap();
    let refused = judge(&milan).unwrap_err();
    assert_eq!(refused, AppraisalError::Snp(SnpError::Revocation(CrlError::Foreign)));
}

#[test]
fn a_list_tells_what_is_on_it() {
    let fixture = Fixture::genoa();
    let read =
        |spec: &CrlSpec| RevocationList::verify(&of(&fixture, spec), fixture.anchors.amd(), Product::Genoa);
    let empty = read(&CrlSpec::fresh(NOW)).unwrap();
    assert!(empty.is_empty() && !empty.lists(&[9]));
    let full = read(&CrlSpec::fresh(NOW).revoking(&[9])).unwrap();
    assert!(!full.is_empty() && full.len() == 1);
    assert!(full.lists(&[9]) && full.lists(&[0, 9]) && !full.lists(&[9, 0]));
}

#[test]
fn s11_a_list_that_is_too_long_is_not_read() {
    let fixture = Fixture::genoa();
    let with = |entries: u16| {
        let spec = CrlSpec::fresh(NOW);
        of(
            &fixture,
            &(0..entries).fold(spec, |spec, n| spec.revoking(&[&[0x11; 14][..], &n.to_be_bytes()].concat())),
        )
    };
    let verify = |der: &[u8]| RevocationList::verify(der, fixture.anchors.amd(), Product::Genoa).map(drop);
    let (fits, too_long) = (with(1500), with(2500));
    assert!(fits.len() < CRL_LEN && too_long.len() > CRL_LEN, "{} {}", fits.len(), too_long.len());
    assert_eq!((verify(&fits), verify(&too_long)), (Ok(()), Err(CrlError::Malformed)));
}
