//! Agents that quote with a key that nobody makes a credential for: one that their cloud certified, and one that the
//! report of their paravisor names. Each test breaks one thing and expects one refusal.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "test helpers; clippy exempts only the tests themselves"
)]

mod support;

use std::sync::LazyLock;

use support::*;
use vouchsafe_attestation::StatementPreimage;
use vouchsafe_crypto::signature::P256Key;
use vouchsafe_protocol::codec;
use vouchsafe_protocol::evidence::{
    AkProof, Evidence, EvidenceKind, Logs, PcrValue, SnpVtpmEvidence, TpmEvidence, TpmKeys,
};
use vouchsafe_protocol::introduction::{Activated, Grant, OfferBody, Proof, Subject};
use vouchsafe_protocol::limits::INTRODUCTION_FRAME_LEN;
use vouchsafe_protocol::policy::{
    Accept, AkRule, EkRule, EventRules, ImaRule, PcrExpectation, PcrRule, Permission, SnpVtpmAccept,
    TpmAccept, TpmKindRule, UserDataRule,
};
use vouchsafe_protocol::refusal::Refusal;
use vouchsafe_protocol::session::{Reply, Request};
use vouchsafe_simulation::Validity;
use vouchsafe_simulation::hcl::{HclBuilder, report_data, runtime_claims};
use vouchsafe_simulation::tpm::{QuoteBuilder, TpmCertificateSpec, TpmKey, TpmKeyKind};
use zeroize::Zeroizing;

/// The key of a virtual TPM, of either kind.
static AK: LazyLock<TpmKey> =
    LazyLock::new(|| TpmKey::from_seed(TpmKeyKind::RsaSsaSha256, [8; 32], "ak").unwrap());

fn pcrs() -> Vec<PcrValue> {
    vec![PcrValue { index: 4, value: [0x44; 32] }, PcrValue { index: 7, value: [0x77; 32] }]
}

fn pcr_rules() -> Vec<PcrRule> {
    let rule = |pcr: PcrValue| PcrRule {
        index: pcr.index,
        expected: PcrExpectation::Values(vec![pcr.value.into()]),
        all_zero: Permission::Forbidden,
    };
    pcrs().into_iter().map(rule).collect()
}

fn tpm_accept() -> TpmAccept {
    TpmAccept {
        anchors: vec!["cloud".parse().unwrap()],
        kind: TpmKindRule::HostVirtual,
        pcrs: pcr_rules(),
        events: EventRules::default(),
        ima: ImaRule::NotRequired,
        ak: AkRule::ByCertificate,
        ek: EkRule::AnyTpm,
    }
}

fn vtpm_accept() -> SnpVtpmAccept {
    let Accept::Snp(snp) = role("any", &[]).accept.remove(0) else { panic!("rules for reports") };
    SnpVtpmAccept {
        snp,
        pcrs: pcr_rules(),
        events: EventRules::default(),
        ima: ImaRule::NotRequired,
        user_data: UserDataRule::Required,
    }
}

/// A vault whose role `web` has this rule.
fn vault_with(rule: Accept) -> Vault {
    let mut vault = Vault::create();
    let operator = vault.introduce_operator();
    let mut session = vault.open(&operator).unwrap();
    let mut web = role("web", &[]);
    web.accept = vec![rule];
    vault.outcome(&mut session, &operator, &Request::RoleApply(vec![web])).unwrap();
    vault
}

fn subject(kind: EvidenceKind, tpm: Option<TpmKeys>) -> Subject {
    Subject::Agent { role: "web".parse().unwrap(), kind, tpm }
}

fn certified(spec: &TpmCertificateSpec) -> TpmKeys {
    let ak_chain = vec![CLOUD.issue(spec, &AK.spki().unwrap()).unwrap()];
    TpmKeys { ak_public: AK.ak_public(), proof: AkProof::Certificate { ak_chain } }
}

/// What an agent with the cloud's key says first.
fn cloud_agent() -> Subject {
    subject(EvidenceKind::Tpm, Some(certified(&TpmCertificateSpec::google_ak())))
}

fn paravisor_agent() -> Subject {
    subject(EvidenceKind::SnpVtpm, None)
}

fn quote_by(key: &TpmKey, statement: &StatementPreimage) -> (Vec<u8>, Vec<u8>) {
    let quote = QuoteBuilder::over(key.kind(), &pcrs(), &statement.tpm_qualifying_data()).encode();
    let signature = key.sign(&quote).unwrap();
    (quote, signature)
}

fn tpm_evidence(key: &TpmKey, statement: &StatementPreimage) -> Evidence {
    let (quote, signature) = quote_by(key, statement);
    let (ak_public, logs) = (key.ak_public(), Logs::default());
    Evidence::Tpm(TpmEvidence { quote, signature, ak_public, pcrs: pcrs(), logs })
}

/// A paravisor's report over `user_data`, and a quote over the statement.
fn vtpm_evidence(user_data: &[u8; 64], statement: &StatementPreimage) -> Evidence {
    let (_, chip) = &*FLEET;
    let claims = runtime_claims(&AK, &AK, user_data);
    let report = chip.report().measurement(MEASUREMENT).report_data(&report_data(&claims));
    let report = report.sign(chip).unwrap();
    let (quote, signature) = quote_by(&AK, statement);
    Evidence::SnpVtpm(Box::new(SnpVtpmEvidence {
        hcl_report: HclBuilder::new(&report, &claims).encode(),
        endorsements: chip.evidence(report).endorsements,
        quote,
        signature,
        pcrs: pcrs(),
        logs: Logs::default(),
    }))
}

/// Introduces an agent that makes this evidence over the binding for its own key.
fn introduce(
    vault: &mut Vault,
    subject: Subject,
    evidence: impl FnOnce(&StatementPreimage) -> Evidence,
) -> Result<Grant, Refusal> {
    introduce_with(vault, subject, evidence, None)
}

fn introduce_with(
    vault: &mut Vault,
    subject: Subject,
    evidence: impl FnOnce(&StatementPreimage) -> Evidence,
    activated: Option<Activated>,
) -> Result<Grant, Refusal> {
    let hello = vault.hello(subject);
    let offer = vault.offer(&hello)?;
    let body: OfferBody = codec::decode(&offer.body, INTRODUCTION_FRAME_LEN).unwrap();
    let quoting = body.tpm.expect("PCRs to quote");
    assert_eq!((quoting.credential, quoting.pcrs), (None, vec![4, 7]));
    let key = P256Key::generate().unwrap();
    let evidence = evidence(&binding(&hello, &offer, &key.spki(), "web"));
    let prove = signed(&hello, &offer, &key, &key.spki(), Proof::Evidence { evidence, activated });
    vault.prove(&prove)
}

fn rule(result: Result<Grant, Refusal>) -> String {
    result.unwrap_err().rule.expect("the role names the rule")
}

#[test]
fn a_certified_key_gets_an_identity_without_a_credential() {
    let mut vault = vault_with(Accept::Tpm(tpm_accept()));
    let grant = introduce(&mut vault, cloud_agent(), |statement| tpm_evidence(&AK, statement)).unwrap();
    assert_eq!(grant.appraisal, "simulated, virtual TPM of cloud, accepted by rule 1");
}

#[test]
fn t4_an_answer_that_nobody_asked_for_is_refused() {
    let mut vault = vault_with(Accept::Tpm(tpm_accept()));
    let answer = Activated(Zeroizing::new(vec![0; 32]));
    let evidence = |statement: &StatementPreimage| tpm_evidence(&AK, statement);
    let refused = introduce_with(&mut vault, cloud_agent(), evidence, Some(answer));
    assert_eq!(rule(refused), "tpm.residency");
}

#[test]
fn t4_a_quote_by_another_key_than_the_certified_one_is_refused() {
    let mut vault = vault_with(Accept::Tpm(tpm_accept()));
    let other = TpmKey::generate(TpmKeyKind::EcdsaP256).unwrap();
    let refused = introduce(&mut vault, cloud_agent(), |statement| tpm_evidence(&other, statement));
    assert_eq!(rule(refused), "tpm.ak.not-resident");
    // A role that asks for a credential takes no certificate for it.
    let mut vault = vault_with(Accept::Tpm(TpmAccept { ak: AkRule::ByCredential, ..tpm_accept() }));
    let refused = introduce(&mut vault, cloud_agent(), |statement| tpm_evidence(&AK, statement));
    assert_eq!(rule(refused), "tpm.ak.proof");
}

#[test]
fn t12_a_certificate_that_is_not_right_gets_no_offer() {
    let vault = vault_with(Accept::Tpm(tpm_accept()));
    let offer = |spec: TpmCertificateSpec| {
        let hello = vault.hello(subject(EvidenceKind::Tpm, Some(certified(&spec))));
        vault.offer(&hello).map(drop).map_err(|refusal| refusal.rule.unwrap())
    };
    assert_eq!(offer(TpmCertificateSpec::microsoft_ak()), Ok(()));
    let expired = Validity { not_before: 0, not_after: START - 1 };
    let expired = TpmCertificateSpec { validity: expired, ..TpmCertificateSpec::google_ak() };
    assert_eq!(offer(expired), Err("tpm.ak-cert.expired".to_owned()));
    let ek = TpmCertificateSpec::maker_ek(TpmKeyKind::RsaSsaSha256);
    assert_eq!(offer(ek), Err("tpm.ak-cert.key-usage".to_owned()));
}

#[test]
fn t13_a_virtual_tpm_of_the_host_gets_no_identity_that_asks_for_more() {
    let mut vault = vault_with(Accept::Tpm(TpmAccept { kind: TpmKindRule::Hardware, ..tpm_accept() }));
    let refused = introduce(&mut vault, cloud_agent(), |statement| tpm_evidence(&AK, statement));
    assert_eq!(rule(refused), "tpm.kind");
    // Where a TEE is asked for, it is not even offered a challenge, and cannot switch to it later.
    let mut vault = vault_with(Accept::SnpVtpm(vtpm_accept()));
    let hello = vault.hello(cloud_agent());
    assert_eq!(vault.offer(&hello).unwrap_err().rule.as_deref(), Some("kind"));
    let refused = introduce(&mut vault, paravisor_agent(), |statement| tpm_evidence(&AK, statement));
    assert_eq!(rule(refused), "kind");
}

#[test]
fn a_paravisors_machine_gets_an_identity_without_a_credential() {
    let mut vault = vault_with(Accept::SnpVtpm(vtpm_accept()));
    let evidence = |statement: &StatementPreimage| vtpm_evidence(&statement.snp_report_data(), statement);
    let grant = introduce(&mut vault, paravisor_agent(), evidence).unwrap();
    let expected = "simulated, SEV-SNP on Genoa, a paravisor's virtual TPM, accepted by rule 1";
    assert_eq!(grant.appraisal, expected);
    // Keys of a TPM beside it would be a second story.
    let both = subject(EvidenceKind::SnpVtpm, Some(certified(&TpmCertificateSpec::google_ak())));
    let hello = vault.hello(both);
    assert_eq!(vault.offer(&hello).unwrap_err().rule.as_deref(), Some("kind"));
}

#[test]
fn b1_a_paravisors_evidence_for_another_key_is_refused() {
    let mut vault = vault_with(Accept::SnpVtpm(vtpm_accept()));
    let hello = vault.hello(paravisor_agent());
    let offer = vault.offer(&hello).unwrap();
    let (victim, own) = (P256Key::generate().unwrap(), P256Key::generate().unwrap());
    let statement = binding(&hello, &offer, &victim.spki(), "web");
    let evidence = vtpm_evidence(&statement.snp_report_data(), &statement);
    let proof = Proof::Evidence { evidence, activated: None };
    let prove = signed(&hello, &offer, &own, &own.spki(), proof);
    assert_eq!(rule(vault.prove(&prove)), "evidence.statement");
}

#[test]
fn f3_a_paravisors_report_of_an_earlier_statement_is_refused_unless_waived() {
    let stale = |statement: &StatementPreimage| vtpm_evidence(&[0; 64], statement);
    let mut vault = vault_with(Accept::SnpVtpm(vtpm_accept()));
    assert_eq!(rule(introduce(&mut vault, paravisor_agent(), stale)), "azure.user-data");
    let waived = SnpVtpmAccept { user_data: UserDataRule::NotRequired, ..vtpm_accept() };
    let mut vault = vault_with(Accept::SnpVtpm(waived));
    introduce(&mut vault, paravisor_agent(), stale).unwrap();
    // What was waived is said; of a report that is fresh nothing is.
    assert_eq!(warnings(&mut vault), [["revocation-unchecked", "report-not-fresh"]]);
    let mut vault = vault_with(Accept::SnpVtpm(vtpm_accept()));
    let fresh = |statement: &StatementPreimage| vtpm_evidence(&statement.snp_report_data(), statement);
    introduce(&mut vault, paravisor_agent(), fresh).unwrap();
    assert_eq!(warnings(&mut vault), [["revocation-unchecked"]]);
    // A TPM's anchors have no revocation lists to waive.
    let mut vault = vault_with(Accept::Tpm(tpm_accept()));
    introduce(&mut vault, cloud_agent(), |statement| tpm_evidence(&AK, statement)).unwrap();
    assert_eq!(warnings(&mut vault), [[""; 0]]);
}

/// Warnings of what the vault has seen, record by record.
fn warnings(vault: &mut Vault) -> Vec<Vec<String>> {
    let operator = vault.introduce_operator();
    let mut session = vault.open(&operator).unwrap();
    match vault.outcome(&mut session, &operator, &Request::EvidenceList { after: 0 }).unwrap() {
        Reply::Evidence(page) => page.records.into_iter().map(|record| record.warnings).collect(),
        other => panic!("{other:?}"),
    }
}
