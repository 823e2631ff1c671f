//! What the vault makes of TPMs whose clocks do not go on (T11, T16): cleared, set back, copied.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test helpers; clippy exempts only the tests themselves"
)]

mod support;

use std::sync::LazyLock;

use support::*;
use vouchsafe_crypto::signature::P256Key;
use vouchsafe_protocol::evidence::{AkProof, Evidence, EvidenceKind, Logs, PcrValue, TpmEvidence, TpmKeys};
use vouchsafe_protocol::introduction::{Proof, Prove, Subject};
use vouchsafe_protocol::policy::{
    Accept, AkRule, EkRule, EventRules, ImaRule, PcrExpectation, PcrRule, Permission, TpmAccept, TpmKindRule,
};
use vouchsafe_protocol::refusal::{Refusal, RefusalCode};
use vouchsafe_protocol::session::{Outcome, Reply, Request};
use vouchsafe_simulation::tpm::{QuoteBuilder, TpmCertificateSpec, TpmKey, TpmKeyKind};

static AK: LazyLock<TpmKey> = LazyLock::new(|| TpmKey::generate(TpmKeyKind::EcdsaP256).unwrap());
static OTHER: LazyLock<TpmKey> = LazyLock::new(|| TpmKey::generate(TpmKeyKind::EcdsaP256).unwrap());

const PCRS: [PcrValue; 1] = [PcrValue { index: 7, value: [0x77; 32] }];

/// resetCount, restartCount and the clock in milliseconds.
type Clock = (u32, u32, u64);

const FIRST: Clock = (5, 0, 1_000_000);
const SECOND: Clock = (6, 0, 40);

fn vault() -> Vault {
    let mut vault = Vault::create();
    let mut web = role("web", &[("kv/web/*", ALL)]);
    let [pcr] = PCRS;
    web.accept = vec![Accept::Tpm(TpmAccept {
        anchors: vec!["cloud".parse().unwrap()],
        kind: TpmKindRule::HostVirtual,
        pcrs: vec![PcrRule {
            index: pcr.index,
            expected: PcrExpectation::Values(vec![pcr.value.into()]),
            all_zero: Permission::Forbidden,
        }],
        events: EventRules::default(),
        ima: ImaRule::NotRequired,
        ak: AkRule::ByCertificate,
        ek: EkRule::AnyTpm,
    })];
    operator(&mut vault, &Request::RoleApply(vec![web])).unwrap();
    vault
}

/// What an operator is told.
fn operator(vault: &mut Vault, request: &Request) -> Result<Reply, RefusalCode> {
    let operator = vault.introduce_operator();
    let mut session = vault.open(&operator).unwrap();
    vault.outcome(&mut session, &operator, request)
}

/// A proof of the machine with this key, at this time of its TPM.
fn proof_at(vault: &Vault, ak: &TpmKey, clock: Clock) -> (P256Key, Prove) {
    let certificate = CLOUD.issue(&TpmCertificateSpec::google_ak(), &ak.spki().unwrap()).unwrap();
    let keys =
        TpmKeys { ak_public: ak.ak_public(), proof: AkProof::Certificate { ak_chain: vec![certificate] } };
    let role = "web".parse().unwrap();
    let hello = vault.hello(Subject::Agent { role, kind: EvidenceKind::Tpm, tpm: Some(keys) });
    let offer = vault.offer(&hello).unwrap();
    let key = P256Key::generate().unwrap();
    let statement = binding(&hello, &offer, &key.spki(), "web");
    let (reset_count, restart_count, millis) = clock;
    let quote = QuoteBuilder {
        reset_count,
        restart_count,
        clock: millis,
        ..QuoteBuilder::over(ak.kind(), &PCRS, &statement.tpm_qualifying_data())
    }
    .encode();
    let evidence = Evidence::Tpm(TpmEvidence {
        signature: ak.sign(&quote).unwrap(),
        quote,
        ak_public: ak.ak_public(),
        pcrs: PCRS.to_vec(),
        logs: Logs::default(),
    });
    let prove = signed(&hello, &offer, &key, &key.spki(), Proof::Evidence { evidence, activated: None });
    (key, prove)
}

fn introduce_as(vault: &mut Vault, ak: &TpmKey, clock: Clock) -> Result<Identity, Refusal> {
    let (key, prove) = proof_at(vault, ak, clock);
    let grant = vault.prove(&prove)?;
    Ok(Identity { key, grant, prove })
}

fn introduce(vault: &mut Vault, clock: Clock) -> Result<Identity, Refusal> {
    introduce_as(vault, &AK, clock)
}

fn refused(result: Result<Identity, Refusal>) -> String {
    let refusal = result.err().unwrap();
    assert_eq!(refusal.code, RefusalCode::Evidence);
    refusal.rule.unwrap()
}

/// Numbers of the agents' identities that live.
fn live(vault: &mut Vault) -> Vec<u64> {
    match operator(vault, &Request::EvidenceList { after: 0 }).unwrap() {
        Reply::Evidence(page) => page.records.iter().map(|record| record.identity).collect(),
        other => panic!("{other:?}"),
    }
}

fn opens(vault: &mut Vault, identity: &Identity) -> Result<(), Refusal> {
    vault.open(identity).map(drop)
}

const ENDED: RefusalCode = RefusalCode::Identity;

#[test]
fn t11_a_clock_that_goes_on_is_accepted_again_and_again() {
    let mut vault = vault();
    let first = introduce(&mut vault, FIRST).unwrap();
    introduce(&mut vault, (5, 0, 1_000_001)).unwrap();
    // Two quotes of one boot that overtook each other.
    introduce(&mut vault, (5, 0, 999_000)).unwrap();
    assert!(opens(&mut vault, &first).is_ok());
    introduce(&mut vault, SECOND).unwrap();
    introduce(&mut vault, (6, 1, 2)).unwrap();
    introduce(&mut vault, (7, 0, 1)).unwrap();
}

#[test]
fn t11_a_clock_that_goes_back_ends_the_identities_of_its_key() {
    let mut vault = vault();
    let (agent, other) =
        (introduce(&mut vault, FIRST).unwrap(), introduce_as(&mut vault, &OTHER, FIRST).unwrap());
    let mut session = vault.open(&agent).unwrap();
    vault.outcome(&mut session, &agent, &Request::Checkpoint { from_size: 0 }).unwrap();
    assert_eq!(refused(introduce(&mut vault, (5, 0, 900_000))), "tpm.clock.back");
    // The open session is over, and no other opens; also not after a crash.
    let asked = vault.ask(&mut session, &agent, &Request::Checkpoint { from_size: 0 }, false);
    assert_eq!(asked.err().unwrap().refusal.code, ENDED);
    assert_eq!(vault.core.next_deadline(session.id), 0);
    assert_eq!(opens(&mut vault, &agent).unwrap_err().code, ENDED);
    let mut vault = vault.crash();
    assert_eq!(opens(&mut vault, &agent).unwrap_err().code, ENDED);
    // Another machine's identity is none of this.
    assert!(opens(&mut vault, &other).is_ok());
    // What was seen stays the measure.
    assert_eq!(refused(introduce(&mut vault, (5, 0, 900_000))), "tpm.clock.back");
    introduce(&mut vault, FIRST).unwrap();
}

#[test]
fn t11_a_boot_before_the_one_seen_is_refused_when_no_identity_lives() {
    let mut vault = vault();
    introduce(&mut vault, SECOND).unwrap();
    vault.now += 8000;
    assert_eq!(live(&mut vault), [0; 0]);
    let before = vault.core.state_digest();
    assert_eq!(refused(introduce(&mut vault, FIRST)), "tpm.clock.back");
    // There was nothing to end, so nothing changed.
    assert_eq!(vault.core.state_digest(), before);
}

#[test]
fn t11_a_session_of_an_older_boot_ends_with_both_boots_revoked() {
    let mut vault = vault();
    let older = introduce(&mut vault, FIRST).unwrap();
    let mut session = vault.open(&older).unwrap();
    vault
        .outcome(&mut session, &older, &put("kv/web/a", b"before", vouchsafe_protocol::kv::Cas::Any))
        .unwrap();
    let newer = introduce(&mut vault, SECOND).unwrap();
    assert_eq!(live(&mut vault).len(), 2);
    let response = vault.response(&mut session, &older, &get("kv/web/a", None));
    let Outcome::Refused(refusal) = response.outcome else { panic!("nothing is served") };
    assert_eq!((refusal.code, refusal.rule.as_deref()), (ENDED, Some("tpm.clock.two-boots")));
    let again = vault.ask(&mut session, &older, &get("kv/web/a", None), false);
    assert_eq!(again.err().unwrap().refusal.code, ENDED);
    let mut vault = vault.crash();
    assert_eq!(live(&mut vault), [0; 0]);
    for identity in [&older, &newer] {
        assert_eq!(opens(&mut vault, identity).unwrap_err().code, ENDED);
    }
    // The machine that runs may come again.
    introduce(&mut vault, (6, 0, 50)).unwrap();
}

#[test]
fn t11_an_introduction_from_an_older_boot_revokes_both() {
    let mut vault = vault();
    let (older, newer) = (introduce(&mut vault, FIRST).unwrap(), introduce(&mut vault, SECOND).unwrap());
    let mut session = vault.open(&newer).unwrap();
    assert_eq!(refused(introduce(&mut vault, (5, 0, 2_000_000))), "tpm.clock.two-boots");
    assert_eq!(live(&mut vault), [0; 0]);
    for identity in [&older, &newer] {
        assert_eq!(opens(&mut vault, identity).unwrap_err().code, ENDED);
    }
    let asked = vault.ask(&mut session, &newer, &Request::Checkpoint { from_size: 0 }, false);
    assert_eq!(asked.err().unwrap().refusal.code, ENDED);
}

#[test]
fn t11_an_identity_does_not_outlive_its_boot_and_harms_nobody() {
    let mut vault = vault();
    let (kept, fresh) = (introduce(&mut vault, FIRST).unwrap(), introduce(&mut vault, SECOND).unwrap());
    // Found on the disk after a reboot: no second boot is alive for that.
    let refusal = opens(&mut vault, &kept).unwrap_err();
    assert_eq!((refusal.code, refusal.rule.as_deref()), (ENDED, Some("tpm.clock.older-boot")));
    assert!(opens(&mut vault, &fresh).is_ok());
    let mut vault = vault.restart();
    assert_eq!(opens(&mut vault, &kept).unwrap_err().code, ENDED);
    assert!(opens(&mut vault, &fresh).is_ok());
}

#[test]
fn t16_a_cleared_tpm_is_refused_until_an_operator_says_otherwise() {
    let mut vault = vault();
    let before = introduce(&mut vault, FIRST).unwrap();
    let clock = match operator(&mut vault, &Request::EvidenceList { after: 0 }).unwrap() {
        Reply::Evidence(page) => page.records[0].clock.unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!((clock.reset_count, clock.restart_count, clock.clock_millis), FIRST);
    assert_eq!(refused(introduce(&mut vault, (0, 0, 9))), "tpm.clock.cleared");
    assert_eq!(opens(&mut vault, &before).unwrap_err().code, ENDED);
    let mut vault = vault.crash();
    assert_eq!(refused(introduce(&mut vault, (0, 0, 9))), "tpm.clock.cleared");
    let forget = Request::ForgetTpm { key: clock.key };
    // An agent has no say in it.
    let agent = introduce_as(&mut vault, &OTHER, FIRST).unwrap();
    let mut session = vault.open(&agent).unwrap();
    assert_eq!(vault.outcome(&mut session, &agent, &forget).err(), Some(RefusalCode::Denied));
    operator(&mut vault, &forget).unwrap();
    assert_eq!(operator(&mut vault, &forget).err(), Some(RefusalCode::NotFound));
    let mut vault = vault.crash();
    introduce(&mut vault, (0, 0, 9)).unwrap();
}

#[test]
fn f4_a_refused_proof_ends_identities_once_only() {
    let mut vault = vault();
    introduce(&mut vault, SECOND).unwrap();
    let (_, stale) = proof_at(&vault, &AK, FIRST);
    assert_eq!(vault.prove(&stale).unwrap_err().code, RefusalCode::Evidence);
    let honest = introduce(&mut vault, (6, 0, 50)).unwrap();
    // Whoever kept the proof cannot use it against the machine again.
    assert_eq!(vault.prove(&stale).unwrap_err().code, RefusalCode::ChallengeUsed);
    assert!(opens(&mut vault, &honest).is_ok());
}

#[test]
fn h4_a_revocation_is_durable_before_the_refusal_is_told() {
    let mut vault = vault();
    introduce(&mut vault, SECOND).unwrap();
    let (_, stale) = proof_at(&vault, &AK, FIRST);
    let outcome = vault.core.introducer().prove(&stale, vault.now);
    let pending = vault.core.admit(outcome, vault.now, &mut vouchsafe_enclave::KernelPorts);
    assert!(!pending.is_covered(&vault.durable), "nothing is told of what is not stored");
    vault.store();
    assert!(pending.is_covered(&vault.durable));
}
