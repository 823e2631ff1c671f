//! Whole conversations.

use std::sync::{Arc, Mutex};

use vouchsafe_attestation::{
    ChainCache, Collateral, Context, Residency, StatementPreimage, TrustAnchors, appraise, statement,
};
use vouchsafe_crypto::digest::sha256;
use vouchsafe_crypto::signature::{P256Key, P256PublicKey};
use vouchsafe_crypto::transcript;
use vouchsafe_platform::{Attester, PlatformError, PlatformKind};
use vouchsafe_protocol::codec;
use vouchsafe_protocol::evidence::Evidence;
use vouchsafe_protocol::id::RoleName;
use vouchsafe_protocol::introduction::{
    Hello, IntroductionReply, IntroductionRequest, LogsWanted, OfferBody, OperatorKey, Proof, Prove,
    ProveBody, Subject,
};
use vouchsafe_protocol::limits::INTRODUCTION_FRAME_LEN;
use vouchsafe_protocol::link::ALPN_INTRODUCE;
use vouchsafe_protocol::policy::{Accept, VaultPlatformPin};
use vouchsafe_protocol::refusal::{Refusal, RefusalCode};

use super::host::{serve, serve_certified, serve_introductions};
use crate::clock::now_secs;
use crate::vault::fake::{CHIP, FakeVault, MEASUREMENT, self_signed};
use crate::*;

/// A simulated machine that counts what it was asked for.
struct SimMachine(Arc<Mutex<usize>>);

impl Attester for SimMachine {
    fn kind(&self) -> PlatformKind {
        PlatformKind::Sim
    }

    fn evidence(
        &mut self,
        statement: &StatementPreimage,
        _pcrs: &[u8],
        _logs: LogsWanted,
    ) -> Result<Evidence, PlatformError> {
        *self.0.lock().unwrap() += 1;
        Ok(Evidence::Snp(CHIP.attest(MEASUREMENT, &statement.snp_report_data()).unwrap()))
    }
}

fn machine() -> (Machine, Arc<Mutex<usize>>) {
    let asked = Arc::new(Mutex::new(0));
    (Machine::new(SimMachine(Arc::clone(&asked))), asked)
}

fn role() -> RoleName {
    "billing".parse().unwrap()
}

type Shared = Arc<Mutex<FakeVault>>;

fn shared() -> (Shared, Pin) {
    let vault = FakeVault::new();
    let pin = vault.pin();
    (Arc::new(Mutex::new(vault)), pin)
}

/// Answers as a right vault does, verifying what a vault verifies.
fn answer(vault: &Shared, request: IntroductionRequest) -> IntroductionReply {
    let mut vault = vault.lock().unwrap();
    match request {
        IntroductionRequest::Hello(hello) => {
            IntroductionReply::Offer(vault.offer(&codec::encode(&hello).unwrap(), |_| ()))
        }
        IntroductionRequest::Prove(prove) => {
            let body = check_proof(&vault, &prove);
            IntroductionReply::Grant(vault.grant(&body.identity))
        }
        IntroductionRequest::Init(init) => {
            vault.init_digest = sha256(&[&codec::encode(&init).unwrap()]);
            IntroductionReply::InitDone(vault.init_done(|_| ()))
        }
    }
}

/// The vault's side of the binding, written once more.
fn check_proof(vault: &FakeVault, prove: &Prove) -> ProveBody {
    let body: ProveBody = codec::decode(&prove.body, INTRODUCTION_FRAME_LEN).unwrap();
    let identity = P256PublicKey::from_spki(&body.identity).unwrap();
    identity.verify(&transcript::prove_preimage(&prove.body), &prove.signature).unwrap();
    let hello: Hello = codec::decode(&body.hello, INTRODUCTION_FRAME_LEN).unwrap();
    let offer: vouchsafe_protocol::introduction::Offer =
        codec::decode(&body.offer, INTRODUCTION_FRAME_LEN).unwrap();
    let challenge = codec::decode::<OfferBody>(&offer.body, INTRODUCTION_FRAME_LEN).unwrap().challenge;
    match (&body.proof, hello.subject) {
        (Proof::Evidence { evidence, activated: None }, Subject::Agent { role, .. }) => {
            let digest = transcript::offer_digest(&body.hello, &body.offer);
            let statement =
                statement::introduction(&challenge, &digest, &body.identity, &role, &vault.vault_id);
            let VaultPlatformPin::Snp(rules) = vault.platform() else { panic!() };
            let anchors = TrustAnchors::new(&vault.anchors).unwrap();
            let cache = &mut ChainCache::new();
            let rules = [Accept::Snp(rules)];
            let collateral = Collateral::new();
            let context = Context { anchors: &anchors, collateral: &collateral, now_unix_secs: now_secs() };
            appraise(evidence, &statement, &rules, Residency::NotATpm, context, cache).unwrap();
        }
        (Proof::OperatorKey, Subject::Operator(_)) => {}
        other => panic!("{other:?}"),
    }
    body
}

#[tokio::test]
async fn b1_b3_an_agent_is_introduced_by_evidence_for_its_own_fresh_key() {
    let (vault, pin) = shared();
    let serving = Arc::clone(&vault);
    let endpoint = serve_introductions(move |request| Some(answer(&serving, request))).await;
    let (machine, asked) = machine();
    let introduced = introduce(&endpoint, Expect::Pinned(&pin), &role(), &machine).await.unwrap();
    assert_eq!(*asked.lock().unwrap(), 1);
    assert_eq!(introduced.spiffe_id, format!("spiffe://{}/billing", pin.vault_id.trust_domain()));
    assert_eq!(introduced.pin, pin, "nothing new but the journal, which a session has to prove");
    // Another introduction has another key.
    let serving = Arc::clone(&vault);
    let endpoint = serve_introductions(move |request| Some(answer(&serving, request))).await;
    let second = introduce(&endpoint, Expect::Pinned(&introduced.pin), &role(), &machine).await.unwrap();
    assert_ne!(introduced.identity.key().spki(), second.identity.key().spki());
}

#[tokio::test]
async fn v7_an_identity_is_renewed_with_its_own_key_and_new_evidence() {
    let (vault, pin) = shared();
    let serving = Arc::clone(&vault);
    let endpoint = serve_introductions(move |request| Some(answer(&serving, request))).await;
    let (machine, asked) = machine();
    let first = introduce(&endpoint, Expect::Pinned(&pin), &role(), &machine).await.unwrap();
    let endpoint = serve_introductions(move |request| Some(answer(&vault, request))).await;
    let again = renew_identity(&endpoint, &first.pin, &role(), &machine, &first.identity).await.unwrap();
    assert_eq!(*asked.lock().unwrap(), 2, "new evidence, bound to this very introduction");
    assert_eq!(again.identity.key().spki(), first.identity.key().spki());
    assert_ne!(again.identity.certificate(), first.identity.certificate());
}

#[tokio::test]
async fn an_operator_is_introduced_by_its_key() {
    let (vault, pin) = shared();
    let endpoint = serve_introductions(move |request| Some(answer(&vault, request))).await;
    let key = P256Key::generate().unwrap();
    let expect = Expect::Pinned(&pin);
    let introduced = introduce_operator(&endpoint, expect, &"alice".parse().unwrap(), &key).await.unwrap();
    assert_eq!(introduced.identity.key().spki(), key.spki());
}

#[tokio::test]
async fn b10_nothing_is_shown_to_another_vault() {
    let (vault, _) = shared();
    let (_, pin) = shared();
    let endpoint = serve_introductions(move |request| match request {
        IntroductionRequest::Hello(_) => Some(answer(&vault, request)),
        _ => panic!("something was proved to another vault"),
    })
    .await;
    let (machine, asked) = machine();
    let error = introduce(&endpoint, Expect::Pinned(&pin), &role(), &machine).await.unwrap_err();
    let IntroduceError::Offer(OfferError::Vault(VaultError::WrongVault { expected, .. })) = error else {
        panic!("{error}")
    };
    assert_eq!(expected, pin.vault_id);
    assert_eq!(*asked.lock().unwrap(), 0);
}

#[tokio::test]
async fn trust_on_first_use_records_the_pin_and_keeps_it() {
    let (vault, pin) = shared();
    let serving = Arc::clone(&vault);
    let endpoint = serve_introductions(move |request| Some(answer(&serving, request))).await;
    let (machine, _) = machine();
    let expect = Expect::DangerousTrustOnFirstUse { anchors: &pin.anchors };
    let introduced = introduce(&endpoint, expect, &role(), &machine).await.unwrap();
    assert_eq!(introduced.pin, pin);
    // The second use is held against it.
    let (other, _) = shared();
    let endpoint = serve_introductions(move |request| Some(answer(&other, request))).await;
    let expect = Expect::Pinned(&introduced.pin);
    let error = introduce(&endpoint, expect, &role(), &machine).await.unwrap_err();
    assert!(matches!(error, IntroduceError::Offer(OfferError::Vault(VaultError::WrongVault { .. }))));
}

#[tokio::test]
async fn b1_a_grant_for_another_key_is_not_used() {
    let (vault, pin) = shared();
    let endpoint = serve_introductions(move |request| match request {
        IntroductionRequest::Prove(_) => {
            let other = P256Key::generate().unwrap().spki();
            Some(IntroductionReply::Grant(vault.lock().unwrap().grant(&other)))
        }
        request => Some(answer(&vault, request)),
    })
    .await;
    let (machine, _) = machine();
    let error = introduce(&endpoint, Expect::Pinned(&pin), &role(), &machine).await.unwrap_err();
    assert!(matches!(error, IntroduceError::Grant(GrantError::Certificate(CertificateError::AnotherKey))));
}

#[tokio::test]
async fn a_refusal_keeps_its_code_and_rule() {
    let (vault, pin) = shared();
    let refusal = Refusal { code: RefusalCode::Evidence, rule: Some("snp.measurement".to_owned()) };
    let sent = refusal.clone();
    let endpoint = serve_introductions(move |request| match request {
        IntroductionRequest::Prove(_) => Some(IntroductionReply::Refusal(sent.clone())),
        request => Some(answer(&vault, request)),
    })
    .await;
    let (machine, _) = machine();
    let error = introduce(&endpoint, Expect::Pinned(&pin), &role(), &machine).await.unwrap_err();
    assert!(matches!(error, IntroduceError::Refused(found) if found == refusal));
}

#[tokio::test]
async fn h7_a_host_that_hangs_up_or_answers_out_of_turn_is_an_error() {
    let (vault, pin) = shared();
    let (machine, _) = machine();
    let endpoint = serve_introductions(|_| None).await;
    let error = introduce(&endpoint, Expect::Pinned(&pin), &role(), &machine).await.unwrap_err();
    assert!(matches!(error, IntroduceError::Frame(_)), "{error:?}");
    let done = IntroductionReply::InitDone(vault.lock().unwrap().init_done(|_| ()));
    let mut done = Some(done);
    let endpoint = serve_introductions(move |_| done.take()).await;
    let error = introduce(&endpoint, Expect::Pinned(&pin), &role(), &machine).await.unwrap_err();
    assert!(matches!(error, IntroduceError::Unexpected), "{error:?}");
}

#[tokio::test]
async fn another_protocol_or_no_host_is_said_so() {
    let (_, pin) = shared();
    let (machine, _) = machine();
    let endpoint = serve(b"http/1.1", |_| None).await;
    let error = introduce(&endpoint, Expect::Pinned(&pin), &role(), &machine).await.unwrap_err();
    assert!(matches!(error, IntroduceError::Transport(_)), "{error:?}");
    // The discard port of loopback, where nobody listens.
    let nobody = Endpoint::new("127.0.0.1:9");
    let error = introduce(&nobody, Expect::Pinned(&pin), &role(), &machine).await.unwrap_err();
    assert!(matches!(error, IntroduceError::Transport(TransportError::Connect { .. })), "{error:?}");
}

#[tokio::test]
async fn b6_the_outer_handshake_is_signed_by_the_certificate_that_is_shown() {
    let (_, pin) = shared();
    let (machine, _) = machine();
    let (owner, other) = (P256Key::generate().unwrap(), P256Key::generate().unwrap());
    let certificate = self_signed(&owner, rcgen::IsCa::NoCa);
    let endpoint = serve_certified(ALPN_INTRODUCE, certificate, &other, |_| panic!("a hello was sent")).await;
    let error = introduce(&endpoint, Expect::Pinned(&pin), &role(), &machine).await.unwrap_err();
    assert!(matches!(error, IntroduceError::Transport(TransportError::Tls(_))), "{error:?}");
}

fn parts(pin: &Pin) -> InitParts {
    let key = P256Key::generate().unwrap().spki();
    InitParts {
        operators: vec![OperatorKey { name: "alice".parse().unwrap(), key }],
        anchors: pin.anchors.clone(),
    }
}

#[tokio::test]
async fn init_returns_the_pin_of_the_vault_it_made() {
    for explicit in [false, true] {
        let (vault, pin) = shared();
        let endpoint = serve_introductions(move |request| Some(answer(&vault, request))).await;
        let platform = if explicit {
            VaultPlatform::Expected(pin.platform.clone())
        } else {
            VaultPlatform::DangerousTrustWhatItShows
        };
        let made = init(&endpoint, &parts(&pin), &platform).await.unwrap();
        assert_eq!(made.pin, pin);
    }
}

#[tokio::test]
async fn b10_init_with_other_operators_than_ours_is_found() {
    let (vault, pin) = shared();
    let endpoint = serve_introductions(move |request| {
        let IntroductionRequest::Init(mut init) = request else { panic!() };
        init.operators[0].key = P256Key::generate().unwrap().spki();
        Some(answer(&vault, IntroductionRequest::Init(init)))
    })
    .await;
    let error = init(&endpoint, &parts(&pin), &VaultPlatform::DangerousTrustWhatItShows).await.unwrap_err();
    assert!(matches!(error, InitError::InitDigest), "{error:?}");
}

#[tokio::test]
async fn init_is_signed_and_its_platform_is_the_expected_one() {
    let (vault, pin) = shared();
    let endpoint = serve_introductions(move |request| {
        let IntroductionReply::InitDone(mut done) = answer(&vault, request) else { panic!() };
        done.vault.init_digest[0] ^= 1;
        Some(IntroductionReply::InitDone(done))
    })
    .await;
    let platform = VaultPlatform::Expected(pin.platform.clone());
    let error = init(&endpoint, &parts(&pin), &platform).await.unwrap_err();
    assert!(matches!(error, InitError::Signature), "{error:?}");

    let (vault, pin) = shared();
    let endpoint = serve_introductions(move |request| Some(answer(&vault, request))).await;
    let mut expected = pin.platform.clone();
    let VaultPlatformPin::Snp(rules) = &mut expected else { panic!() };
    rules.measurements[0].value.0[0] ^= 1;
    let error = init(&endpoint, &parts(&pin), &VaultPlatform::Expected(expected)).await.unwrap_err();
    assert!(matches!(error, InitError::Vault(VaultError::Evidence(_))), "{error:?}");
}
