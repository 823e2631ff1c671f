//! What the vault keeps of evidence and of what endorses it: seen evidence and collateral.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test helpers; clippy exempts only the tests themselves"
)]

mod support;

use std::sync::LazyLock;

use support::*;
use vouchsafe_crypto::digest::sha256;
use vouchsafe_crypto::signature::P256Key;
use vouchsafe_protocol::codec;
use vouchsafe_protocol::collateral::{CollateralEntry, CollateralItem, CollateralSubject};
use vouchsafe_protocol::evidence::{
    AkProof, Evidence, EvidenceKind, Logs, PcrValue, SnpEndorsements, SnpEvidence, TpmEvidence, TpmKeys,
};
use vouchsafe_protocol::id::AnchorClass;
use vouchsafe_protocol::introduction::{LogsWanted, OfferBody, Proof, Subject};
use vouchsafe_protocol::limits::{INTRODUCTION_FRAME_LEN, SEEN_LEN, SEEN_PAGE, SEEN_TOTAL_LEN};
use vouchsafe_protocol::policy::{
    Accept, AkRule, EkRule, EventRules, ImaRule, PcrExpectation, PcrRule, Permission, Product,
    RevocationRule, Role, TpmAccept, TpmKind, TpmKindRule,
};
use vouchsafe_protocol::refusal::{Refusal, RefusalCode};
use vouchsafe_protocol::seen::{AkShownBy, SeenEvidence, SeenFacts, SeenPage};
use vouchsafe_protocol::session::{Outcome, Reply, Request};
use vouchsafe_simulation::CrlSpec;
use vouchsafe_simulation::tpm::{QuoteBuilder, TpmCertificateSpec, TpmKey, TpmKeyKind};

static AK: LazyLock<TpmKey> = LazyLock::new(|| TpmKey::generate(TpmKeyKind::EcdsaP256).unwrap());

fn apply(vault: &mut Vault, role: Role) {
    operator(vault, &Request::RoleApply(vec![role])).unwrap();
}

fn operator(vault: &mut Vault, request: &Request) -> Result<Reply, Refusal> {
    let operator = vault.introduce_operator();
    let mut session = vault.open(&operator).unwrap();
    match vault.response(&mut session, &operator, request).outcome {
        Outcome::Done(reply) => Ok(reply),
        Outcome::Refused(refusal) => Err(refusal),
    }
}

fn page(vault: &mut Vault, after: u64) -> SeenPage {
    match operator(vault, &Request::EvidenceList { after }).unwrap() {
        Reply::Evidence(page) => page,
        other => panic!("{other:?}"),
    }
}

fn records(vault: &mut Vault) -> Vec<SeenEvidence> {
    let page = page(vault, 0);
    assert_eq!((page.more, page.forgotten), (false, 0));
    page.records
}

fn kept(vault: &mut Vault) -> Vec<CollateralEntry> {
    match operator(vault, &Request::CollateralList { after: None }).unwrap() {
        Reply::Collateral { entries, more: false } => entries,
        other => panic!("{other:?}"),
    }
}

fn import(vault: &mut Vault, items: Vec<CollateralItem>) -> Result<Vec<CollateralEntry>, Refusal> {
    operator(vault, &Request::CollateralImport(items)).map(|reply| match reply {
        Reply::Collateral { entries, more: false } => entries,
        other => panic!("{other:?}"),
    })
}

/// Introduces an agent of `web` whose report comes with these endorsements.
fn introduce_with(vault: &mut Vault, endorsements: SnpEndorsements) -> Result<Identity, Refusal> {
    let hello = vault.hello(agent("web"));
    let offer = vault.offer(&hello)?;
    let key = P256Key::generate().unwrap();
    let Evidence::Snp(made) = evidence(&binding(&hello, &offer, &key.spki(), "web")) else { panic!() };
    let evidence = Evidence::Snp(SnpEvidence { report: made.report, endorsements });
    let prove = signed(&hello, &offer, &key, &key.spki(), Proof::Evidence { evidence, activated: None });
    let grant = vault.prove(&prove)?;
    Ok(Identity { key, grant, prove })
}

fn vek() -> CollateralItem {
    CollateralItem::Vek(FLEET.1.vek().to_vec())
}

fn crl(spec: &CrlSpec) -> CollateralItem {
    CollateralItem::AmdCrl(FLEET.0.crl(spec).unwrap())
}

/// A role that asks for a young revocation list.
fn checked(role: Role) -> Role {
    let mut role = role;
    let Accept::Snp(rules) = &mut role.accept[0] else { panic!() };
    rules.revocation = RevocationRule::Checked { max_age_secs: 7 * 86_400 };
    role
}

// --- seen evidence

#[test]
fn what_an_agent_showed_is_kept_for_operators() {
    let mut vault = Vault::create();
    apply(&mut vault, role("web", &[]));
    let now = vault.now;
    let agent = vault.introduce("web").unwrap();
    let [seen] = records(&mut vault).try_into().unwrap();
    let domain = vault.id().trust_domain();
    assert_eq!((seen.role.as_str(), seen.spiffe_id.clone()), ("web", format!("spiffe://{domain}/web")));
    assert_eq!((seen.at_unix_secs, seen.not_after_unix_secs), (now, agent.grant.not_after_secs));
    assert_eq!(seen.evidence_until_unix_secs, agent.grant.evidence_until_secs);
    // The role of the tests waives revocation: said, wherever the evidence is.
    assert_eq!(
        (seen.rule, seen.warnings.as_slice(), seen.clock),
        (0, &["revocation-unchecked".to_owned()][..], None)
    );
    assert_eq!(seen.anchor_class, AnchorClass::Simulated);
    assert_eq!(seen.role_digest, sha256(&[&codec::encode(&role("web", &[])).unwrap()]));
    let SeenFacts::Snp(snp) = &seen.facts else { panic!() };
    assert_eq!((snp.product, &snp.provider), (Product::Genoa, &None));
    // Little more than the report: 20,000 machines fit.
    let len = codec::encode(&seen).unwrap().len();
    assert!(len * 20_000 <= SEEN_TOTAL_LEN, "{len} bytes");
    // The report itself: what rules are tried on.
    assert_eq!((snp.report.len(), &snp.report[0x90..0xC0]), (1184, &MEASUREMENT.0[..]));
    assert_eq!(seen.platform, snp.report[0x1A0..0x1E0]);
}

#[test]
fn agents_see_nothing_of_what_others_showed_and_import_nothing() {
    let mut vault = Vault::create();
    apply(&mut vault, role("web", &[("kv/*", ALL)]));
    let agent = vault.introduce("web").unwrap();
    let mut session = vault.open(&agent).unwrap();
    let before = vault.core.state_digest();
    for request in [
        Request::EvidenceList { after: 0 },
        Request::CollateralList { after: None },
        Request::CollateralImport(vec![vek()]),
        Request::ForgetTpm { key: [0; 32] },
    ] {
        assert_eq!(vault.outcome(&mut session, &agent, &request).err(), Some(RefusalCode::Denied));
    }
    assert_eq!(vault.core.state_digest(), before);
}

#[test]
fn seen_evidence_survives_a_restart_and_dies_with_its_identity() {
    let mut vault = Vault::create();
    apply(&mut vault, role("web", &[]));
    vault.introduce("web").unwrap();
    vault.now += 10;
    vault.introduce("web").unwrap();
    let before = records(&mut vault);
    assert_eq!(before.len(), 2);
    let mut vault = vault.crash();
    assert_eq!(records(&mut vault), before);
    let mut vault = vault.restart();
    // Two hours: the first identity has ended.
    vault.now += 7_195;
    assert_eq!(records(&mut vault), before[1..]);
    vault.now += 10;
    assert_eq!(records(&mut vault), []);
}

#[test]
fn seen_evidence_comes_in_pages() {
    let mut vault = Vault::create();
    apply(&mut vault, role("web", &[]));
    for _ in 0..=SEEN_PAGE {
        vault.introduce("web").unwrap();
    }
    let first = page(&mut vault, 0);
    assert_eq!((first.records.len(), first.more), (SEEN_PAGE, true));
    let last = first.records.last().unwrap().identity;
    let second = page(&mut vault, last);
    assert_eq!((second.records.len(), second.more), (1, false));
    assert!(second.records[0].identity > last);
    assert_eq!(page(&mut vault, u64::MAX).records, []);
}

/// A role for certified TPM keys; PCR 4 is judged by its value, or by events.
fn tpm_role(expected: PcrExpectation, ima: ImaRule) -> Role {
    let mut web = role("web", &[]);
    web.accept = vec![Accept::Tpm(TpmAccept {
        anchors: vec!["cloud".parse().unwrap()],
        kind: TpmKindRule::HostVirtual,
        pcrs: vec![PcrRule { index: 4, expected, all_zero: Permission::Forbidden }],
        events: EventRules::default(),
        ima,
        ak: AkRule::ByCertificate,
        ek: EkRule::AnyTpm,
    })];
    web
}

const PCR: PcrValue = PcrValue { index: 4, value: [0x44; 32] };

fn tpm_subject() -> Subject {
    let certificate = CLOUD.issue(&TpmCertificateSpec::google_ak(), &AK.spki().unwrap()).unwrap();
    let proof = AkProof::Certificate { ak_chain: vec![certificate] };
    let tpm = Some(TpmKeys { ak_public: AK.ak_public(), proof });
    Subject::Agent { role: "web".parse().unwrap(), kind: EvidenceKind::Tpm, tpm }
}

/// Introduces the certified TPM with these logs; the length of the proof in bytes.
fn introduce_tpm(vault: &mut Vault, logs: Logs) -> Result<usize, Refusal> {
    let hello = vault.hello(tpm_subject());
    let offer = vault.offer(&hello)?;
    let key = P256Key::generate().unwrap();
    let statement = binding(&hello, &offer, &key.spki(), "web");
    let quote = QuoteBuilder::over(AK.kind(), &[PCR], &statement.tpm_qualifying_data()).encode();
    let signature = AK.sign(&quote).unwrap();
    let (ak_public, pcrs) = (AK.ak_public(), vec![PCR]);
    let evidence = Evidence::Tpm(TpmEvidence { quote, signature, ak_public, pcrs, logs });
    let prove = signed(&hello, &offer, &key, &key.spki(), Proof::Evidence { evidence, activated: None });
    let len = codec::encode(&prove).unwrap().len();
    vault.prove(&prove)?;
    Ok(len)
}

fn tpm_facts(vault: &mut Vault) -> vouchsafe_protocol::seen::SeenTpm {
    match records(vault).pop().unwrap().facts {
        SeenFacts::Tpm(tpm) => *tpm,
        other => panic!("{other:?}"),
    }
}

#[test]
fn quotes_are_kept_with_logs_that_are_small_and_say_so_where_they_are_not() {
    let mut vault = Vault::create();
    apply(&mut vault, tpm_role(PcrExpectation::Values(vec![PCR.value.into()]), ImaRule::NotRequired));
    introduce_tpm(&mut vault, Logs::default()).unwrap();
    let tpm = tpm_facts(&mut vault);
    assert_eq!(
        (tpm.anchor.as_str(), tpm.kind, tpm.shown_by),
        ("cloud", TpmKind::HostVirtual, AkShownBy::Certificate)
    );
    assert_eq!((tpm.spki_digest, tpm.ak_public), (sha256(&[&AK.spki().unwrap()]), AK.ak_public()));
    assert_eq!((tpm.quote.pcrs, tpm.quote.logs_dropped), (vec![PCR], false));

    let small = Logs { boot: Some(vec![7; 4096]), ima: None };
    introduce_tpm(&mut vault, small.clone()).unwrap();
    let quote = tpm_facts(&mut vault).quote;
    assert_eq!((quote.logs, quote.logs_dropped), (small, false));

    let large = Logs { boot: Some(vec![7; SEEN_LEN]), ima: None };
    introduce_tpm(&mut vault, large).unwrap();
    let quote = tpm_facts(&mut vault).quote;
    assert_eq!((quote.logs, quote.logs_dropped), (Logs::default(), true));
    for record in records(&mut vault) {
        assert!(codec::encode(&record).unwrap().len() <= SEEN_LEN);
    }
}

#[test]
fn v6_a_boot_log_of_128_kib_fits_an_introduction_and_is_not_kept() {
    let mut vault = Vault::create();
    apply(&mut vault, tpm_role(PcrExpectation::Values(vec![PCR.value.into()]), ImaRule::NotRequired));
    let logs = Logs { boot: Some(vec![7; 128 * 1024]), ima: Some(vec![7; 64 * 1024]) };
    let len = introduce_tpm(&mut vault, logs).unwrap();
    assert!(len < INTRODUCTION_FRAME_LEN, "{len} bytes");
    assert!(tpm_facts(&mut vault).quote.logs_dropped);
    let page = page(&mut vault, 0);
    assert!(codec::encode(&page).unwrap().len() < SEEN_LEN);
}

#[test]
fn an_offer_says_which_logs_the_role_looks_at() {
    let mut vault = Vault::create();
    let values = PcrExpectation::Values(vec![PCR.value.into()]);
    let list = ImaRule::AllowList(vec![[1; 32]]);
    for (expected, ima, wanted) in [
        (values.clone(), ImaRule::NotRequired, LogsWanted { boot: false, ima: false }),
        (PcrExpectation::Events, ImaRule::NotRequired, LogsWanted { boot: true, ima: false }),
        (values, list, LogsWanted { boot: false, ima: true }),
    ] {
        let mut role = tpm_role(expected, ima);
        let Accept::Tpm(rules) = &mut role.accept[0] else { panic!() };
        if wanted.boot {
            rules.events.boot_applications = vec![[1; 32]];
        }
        if wanted.ima {
            let expected = PcrExpectation::Events;
            rules.pcrs.push(PcrRule { index: 10, expected, all_zero: Permission::Forbidden });
        }
        apply(&mut vault, role);
        let offer = vault.offer(&vault.hello(tpm_subject())).unwrap();
        let body: OfferBody = codec::decode(&offer.body, INTRODUCTION_FRAME_LEN).unwrap();
        assert_eq!(body.tpm.unwrap().logs, wanted);
    }
}

// --- collateral

#[test]
fn imported_collateral_endorses_reports_that_come_alone() {
    let mut vault = Vault::create();
    apply(&mut vault, role("web", &[]));
    let alone = SnpEndorsements::default();
    let refusal = introduce_with(&mut vault, alone.clone()).err().unwrap();
    assert_eq!(refusal.rule.as_deref(), Some("snp.vek.missing"));
    let imported = import(&mut vault, vec![vek()]).unwrap();
    assert!(matches!(imported[0].subject, CollateralSubject::Vcek { product: Product::Genoa, .. }));
    introduce_with(&mut vault, alone.clone()).unwrap();
    let before = kept(&mut vault);
    assert_eq!(before, imported);
    let mut vault = vault.crash();
    assert_eq!(kept(&mut vault), before);
    introduce_with(&mut vault, alone).unwrap();
}

#[test]
fn s11_a_role_that_asks_for_a_revocation_list_gets_it_from_the_collateral() {
    let mut vault = Vault::create();
    apply(&mut vault, checked(role("web", &[])));
    let rule = |result: Result<Identity, Refusal>| result.err().unwrap().rule.unwrap();
    let stapled = || SnpEndorsements { vek: Some(FLEET.1.vek().to_vec()), intermediate: None, crl: None };
    assert_eq!(rule(introduce_with(&mut vault, stapled())), "snp.crl.missing");
    let fresh = CrlSpec::fresh(START - 86_400);
    import(&mut vault, vec![crl(&fresh)]).unwrap();
    introduce_with(&mut vault, stapled()).unwrap();
    // In force, and too old for the role.
    vault.now += 7 * 86_400;
    assert_eq!(rule(introduce_with(&mut vault, stapled())), "snp.crl.too-old");
    let younger = CrlSpec::fresh(vault.now - 60);
    import(&mut vault, vec![crl(&younger)]).unwrap();
    introduce_with(&mut vault, stapled()).unwrap();
    // A list that revokes the issuer of every VCEK; an older one never takes its place.
    let revoking = CrlSpec::fresh(vault.now - 30).revoking(&vouchsafe_simulation::ASK_SERIAL);
    import(&mut vault, vec![crl(&revoking)]).unwrap();
    assert_eq!(rule(introduce_with(&mut vault, stapled())), "snp.crl.revoked");
    let refusal = import(&mut vault, vec![crl(&younger)]).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::Collateral);
    let mut vault = vault.crash();
    assert_eq!(rule(introduce_with(&mut vault, stapled())), "snp.crl.revoked");
}

#[test]
fn v3_one_bad_item_and_nothing_is_imported() {
    let mut vault = Vault::create();
    let operator = vault.introduce_operator();
    let mut session = vault.open(&operator).unwrap();
    let before = vault.core.state_digest();
    let foreign = vouchsafe_simulation::SimulatedPki::generate(Product::Genoa).unwrap();
    let stale = CrlSpec { next_update: Some(START - 1), ..CrlSpec::fresh(START - 100) };
    for (bad, rule) in [
        (CollateralItem::AmdCrl(foreign.crl(&CrlSpec::fresh(START - 60)).unwrap()), "snp.crl.signature"),
        (crl(&stale), "snp.crl.stale"),
        (CollateralItem::Vek(vec![0x30, 0]), "snp.vek.certificate"),
    ] {
        let request = Request::CollateralImport(vec![vek(), bad]);
        let Outcome::Refused(refusal) = vault.response(&mut session, &operator, &request).outcome else {
            panic!("{rule}")
        };
        assert_eq!((refusal.code, refusal.rule), (RefusalCode::Collateral, Some(format!("item 2: {rule}"))));
        assert_eq!(vault.core.state_digest(), before);
    }
    for count in [0, vouchsafe_protocol::collateral::IMPORT_ITEMS + 1] {
        let request = Request::CollateralImport(vec![CollateralItem::Vek(Vec::new()); count]);
        let refused = vault.outcome(&mut session, &operator, &request);
        assert_eq!(refused.err(), Some(RefusalCode::TooLarge));
        assert_eq!(vault.core.state_digest(), before);
    }
    // What is imported twice changes nothing the second time.
    let request = Request::CollateralImport(vec![vek()]);
    vault.outcome(&mut session, &operator, &request).unwrap();
    let once = vault.core.state_digest();
    assert_ne!(once, before);
    vault.outcome(&mut session, &operator, &request).unwrap();
    assert_eq!(vault.core.state_digest(), once);
}

#[test]
fn v3_a_proof_verified_before_an_import_is_not_admitted_after_it() {
    let mut vault = Vault::create();
    apply(&mut vault, role("web", &[]));
    let hello = vault.hello(agent("web"));
    let offer = vault.offer(&hello).unwrap();
    let key = P256Key::generate().unwrap();
    let prove = proof(&hello, &offer, &key, &key.spki(), "web", MEASUREMENT);
    let outcome = vault.core.introducer().prove(&prove, vault.now);
    import(&mut vault, vec![vek()]).unwrap();
    let pending = vault.core.admit(outcome, vault.now, &mut vouchsafe_enclave::KernelPorts);
    vault.store();
    assert_eq!(released(pending, &vault.durable).unwrap_err().code, RefusalCode::Busy);
    // Its challenge is not used up: it is verified again, with what is there now.
    vault.prove(&prove).unwrap();
}

#[test]
fn limits_of_what_is_kept_fit_each_other() {
    const { assert!(SEEN_PAGE * SEEN_LEN <= 1024 * 1024) };
    const { assert!(SEEN_TOTAL_LEN / SEEN_LEN >= 2048) };
}
