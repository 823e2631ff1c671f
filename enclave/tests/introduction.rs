//! Introductions against a hostile agent or host: each test breaks one thing and expects one refusal.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "test helpers; clippy exempts only the tests themselves"
)]

mod support;

use support::*;
use vouchsafe_crypto::signature::P256Key;
use vouchsafe_enclave::{KernelPorts, ProveOutcome};
use vouchsafe_protocol::codec;
use vouchsafe_protocol::introduction::{Hello, Offer, OfferBody, Proof, Prove, ProveBody, Subject, VERSION};
use vouchsafe_protocol::limits::{CHALLENGE_SECS, INTRODUCTION_FRAME_LEN};
use vouchsafe_protocol::policy::{
    Accept, AkRule, EkRule, EventRules, ImaRule, LaunchDigest, PcrExpectation, PcrRule, Permission,
    TpmAccept, TpmKindRule,
};
use vouchsafe_protocol::refusal::{Refusal, RefusalCode};
use vouchsafe_protocol::session::Request;

fn vault_with_role() -> Vault {
    let mut vault = Vault::create();
    let operator = vault.introduce_operator();
    let mut session = vault.open(&operator).unwrap();
    let roles = vec![role("web", &[("kv/web/*", ALL)]), role("other", &[])];
    vault.outcome(&mut session, &operator, &Request::RoleApply(roles)).unwrap();
    vault
}

/// A hello and the offer to it, ready for a proof.
fn begun(vault: &Vault) -> (Vec<u8>, Offer, P256Key) {
    let hello = vault.hello(agent("web"));
    let offer = vault.offer(&hello).unwrap();
    (hello, offer, P256Key::generate().unwrap())
}

fn right_proof(vault: &Vault) -> Prove {
    let (hello, offer, key) = begun(vault);
    proof(&hello, &offer, &key, &key.spki(), "web", MEASUREMENT)
}

fn code(result: Result<vouchsafe_protocol::introduction::Grant, Refusal>) -> RefusalCode {
    result.unwrap_err().code
}

fn change_body(prove: &Prove, key: &P256Key, change: impl FnOnce(&mut ProveBody)) -> Prove {
    let mut body: ProveBody = codec::decode(&prove.body, INTRODUCTION_FRAME_LEN).unwrap();
    change(&mut body);
    let body = codec::encode(&body).unwrap();
    let signature = key.sign(&vouchsafe_crypto::transcript::prove_preimage(&body)).unwrap();
    Prove { body, signature }
}

#[test]
fn a_right_proof_gets_an_identity_for_exactly_its_key() {
    let mut vault = vault_with_role();
    let agent = vault.introduce("web").unwrap();
    let (_, certificate) = x509_parser::parse_x509_certificate(&agent.grant.certificate).unwrap();
    assert_eq!(certificate.public_key().raw, agent.key.spki());
    let (_, authority) = x509_parser::parse_x509_certificate(&agent.grant.authority).unwrap();
    assert_eq!(certificate.issuer(), authority.subject());
    let key = vouchsafe_crypto::signature::LogPublicKey(offered(&vault).vault.log_key);
    vouchsafe_log::verify_receipt(&agent.grant.receipt, &vault.id(), &key).unwrap();
}

fn offered(vault: &Vault) -> OfferBody {
    let (_, offer, _) = begun(vault);
    codec::decode(&offer.body, INTRODUCTION_FRAME_LEN).unwrap()
}

#[test]
fn f2_evidence_without_a_challenge_of_ours_is_refused() {
    let mut vault = vault_with_role();
    let (hello, offer, key) = begun(&vault);
    let mut body: OfferBody = codec::decode(&offer.body, INTRODUCTION_FRAME_LEN).unwrap();
    for challenge in [Vec::new(), vec![0; body.challenge.len()]] {
        body.challenge = challenge;
        let forged = Offer { body: codec::encode(&body).unwrap(), signature: offer.signature.clone() };
        let prove = proof(&hello, &forged, &key, &key.spki(), "web", MEASUREMENT);
        assert_eq!(code(vault.prove(&prove)), RefusalCode::Challenge);
    }
}

#[test]
fn f3_a_proof_kept_back_is_refused() {
    let mut vault = vault_with_role();
    let prove = right_proof(&vault);
    vault.now += CHALLENGE_SECS + 1;
    assert_eq!(code(vault.prove(&prove)), RefusalCode::ChallengeExpired);
}

#[test]
fn f4_of_64_racing_uses_exactly_one_wins() {
    let mut vault = vault_with_role();
    let prove = right_proof(&vault);
    let (introducer, now) = (vault.core.introducer(), vault.now);
    let outcomes: Vec<ProveOutcome> = std::thread::scope(|scope| {
        let racing: Vec<_> = (0..64).map(|_| scope.spawn(|| introducer.prove(&prove, now))).collect();
        racing.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let pending: Vec<_> =
        outcomes.into_iter().map(|outcome| vault.core.admit(outcome, now, &mut KernelPorts)).collect();
    vault.store();
    let results: Vec<_> = pending.into_iter().map(|pending| released(pending, &vault.durable)).collect();
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(
        results.into_iter().filter_map(Result::err).all(|refusal| refusal.code == RefusalCode::ChallengeUsed)
    );
}

#[test]
fn f4_a_replayed_proof_is_refused() {
    let mut vault = vault_with_role();
    let agent = vault.introduce("web").unwrap();
    assert_eq!(code(vault.prove(&agent.prove)), RefusalCode::ChallengeUsed);
}

#[test]
fn f4_a_proof_replayed_after_a_restart_is_refused() {
    let mut vault = vault_with_role();
    let agent = vault.introduce("web").unwrap();
    let mut vault = vault.restart();
    assert_eq!(code(vault.prove(&agent.prove)), RefusalCode::Challenge);
}

#[test]
fn f5_a_failed_proof_leaves_the_challenge_usable() {
    let mut vault = vault_with_role();
    let (hello, offer, key) = begun(&vault);
    let wrong = proof(&hello, &offer, &key, &key.spki(), "web", LaunchDigest([8; 48]));
    assert_eq!(code(vault.prove(&wrong)), RefusalCode::Evidence);
    let right = proof(&hello, &offer, &key, &key.spki(), "web", MEASUREMENT);
    assert!(vault.prove(&right).is_ok());
}

#[test]
fn f10_a_flood_of_hellos_leaves_nothing_behind() {
    let mut vault = vault_with_role();
    vault.store();
    let state = vault.core.state_digest();
    let hello = vault.hello(agent("web"));
    let resident = || -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    };
    for _ in 0..1_000 {
        vault.offer(&hello).unwrap();
    }
    let before = resident();
    for _ in 0..20_000 {
        vault.offer(&hello).unwrap();
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 16 * 1024 * 1024, "{grown} bytes for 20,000 hellos");
    assert_eq!(vault.core.state_digest(), state);
    assert!(vault.core.cut().unwrap().is_none(), "a hello waits to be stored");
}

#[test]
fn b1_evidence_for_another_key_is_refused() {
    let mut vault = vault_with_role();
    let (hello, offer, key) = begun(&vault);
    let thief = P256Key::generate().unwrap();
    let genuine = proof(&hello, &offer, &key, &key.spki(), "web", MEASUREMENT);
    let relayed = change_body(&genuine, &thief, |body| body.identity = thief.spki());
    let refusal = vault.prove(&relayed).unwrap_err();
    assert_eq!((refusal.code, refusal.rule.as_deref()), (RefusalCode::Evidence, Some("evidence.statement")));
}

#[test]
fn b1_a_proof_signed_by_another_key_is_refused() {
    let mut vault = vault_with_role();
    let (hello, offer, key) = begun(&vault);
    let thief = P256Key::generate().unwrap();
    let prove = proof(&hello, &offer, &thief, &key.spki(), "web", MEASUREMENT);
    assert_eq!(code(vault.prove(&prove)), RefusalCode::Possession);
}

#[test]
fn b1_an_offer_to_another_hello_is_refused() {
    let mut vault = vault_with_role();
    let (_, offer, key) = begun(&vault);
    let (other_hello, ..) = begun(&vault);
    let prove = proof(&other_hello, &offer, &key, &key.spki(), "web", MEASUREMENT);
    assert_eq!(code(vault.prove(&prove)), RefusalCode::Challenge);
}

#[test]
fn b1_evidence_for_another_role_is_refused() {
    let mut vault = vault_with_role();
    let (hello, offer, key) = begun(&vault);
    let prove = proof(&hello, &offer, &key, &key.spki(), "other", MEASUREMENT);
    assert_eq!(code(vault.prove(&prove)), RefusalCode::Evidence);
}

#[test]
fn b3_an_offer_changed_by_the_host_is_refused() {
    let mut vault = vault_with_role();
    let (hello, offer, key) = begun(&vault);
    let mut body: OfferBody = codec::decode(&offer.body, INTRODUCTION_FRAME_LEN).unwrap();
    body.vault.checkpoint.push(b'\n');
    let changed = Offer { body: codec::encode(&body).unwrap(), signature: offer.signature };
    // The evidence binds the changed offer, as that of an agent that did not check it would.
    let prove = proof(&hello, &changed, &key, &key.spki(), "web", MEASUREMENT);
    assert_eq!(code(vault.prove(&prove)), RefusalCode::Challenge);
}

#[test]
fn b9_a_certificate_that_was_not_issued_opens_no_session() {
    let mut vault = vault_with_role();
    let mut agent = vault.introduce("web").unwrap();
    for bit in [0, 100, agent.grant.certificate.len() * 8 - 1] {
        agent.grant.certificate[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(vault.open(&agent).err().unwrap().code, RefusalCode::Identity);
        agent.grant.certificate[bit / 8] ^= 1 << (bit % 8);
    }
    vault.open(&agent).unwrap();
}

#[test]
fn b9_the_same_key_under_a_new_name_or_serial_is_no_identity() {
    // Issued by the same authority key, for the same attested key, but not by an introduction.
    let mut vault = vault_with_role();
    let mut agent = vault.introduce("web").unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.serial_number = Some(rcgen::SerialNumber::from(2u64));
    let forger = rcgen::KeyPair::generate().unwrap();
    let issuer = rcgen::Issuer::new(rcgen::CertificateParams::default(), forger);
    let subject = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(
        &agent.key.expose_pkcs8().expose_secret().to_vec().into(),
        &rcgen::PKCS_ECDSA_P256_SHA256,
    )
    .unwrap();
    agent.grant.certificate = params.signed_by(&subject, &issuer).unwrap().der().to_vec();
    assert_eq!(vault.open(&agent).err().unwrap().code, RefusalCode::Identity);
}

#[test]
fn b10_an_agent_that_expects_another_vault_gets_no_offer() {
    let (vault, other) = (vault_with_role(), vault_with_role());
    let hello = other.hello(agent("web"));
    assert_eq!(vault.offer(&hello).err().unwrap().code, RefusalCode::WrongVault);
}

#[test]
fn an_unknown_role_and_another_version_are_refused() {
    let vault = vault_with_role();
    assert_eq!(vault.offer(&vault.hello(agent("none"))).err().unwrap().code, RefusalCode::Evidence);
    let hello = Hello { version: VERSION + 1, nonce: [0; 32], subject: agent("web"), vault_id: None };
    let encoded = codec::encode(&hello).unwrap();
    assert_eq!(vault.offer(&encoded).err().unwrap().code, RefusalCode::Version);
}

#[test]
fn an_operator_needs_the_key_pinned_at_init() {
    let mut vault = Vault::create();
    let thief = P256Key::generate().unwrap();
    for name in ["op", "nobody"] {
        let hello = vault.hello(Subject::Operator(name.parse().unwrap()));
        let offer = vault.offer(&hello).unwrap();
        let prove = signed(&hello, &offer, &thief, &thief.spki(), Proof::OperatorKey);
        assert_eq!(code(vault.prove(&prove)), RefusalCode::Possession);
    }
    // Naming the pinned key without holding it.
    let hello = vault.hello(Subject::Operator("op".parse().unwrap()));
    let offer = vault.offer(&hello).unwrap();
    let pinned = vault.operator.spki();
    let prove = signed(&hello, &offer, &thief, &pinned, Proof::OperatorKey);
    assert_eq!(code(vault.prove(&prove)), RefusalCode::Possession);
}

#[test]
fn an_operator_key_does_not_pass_for_evidence() {
    let mut vault = vault_with_role();
    let (hello, offer, key) = begun(&vault);
    let prove = signed(&hello, &offer, &key, &key.spki(), Proof::OperatorKey);
    assert_eq!(code(vault.prove(&prove)), RefusalCode::Malformed);
}

#[test]
fn f6_evidence_ends_before_the_certificate_does() {
    let mut vault = vault_with_role();
    let agent = vault.introduce("web").unwrap();
    vault.now += 3599;
    let mut session = vault.open(&agent).unwrap();
    assert!(vault.ask(&mut session, &agent, &get("kv/web/x", None), false).is_ok());
    assert_eq!(vault.core.next_deadline(session.id), vault.now + 1);
    vault.now += 1;
    let end = vault.ask(&mut session, &agent, &get("kv/web/x", None), false).err().unwrap();
    assert_eq!(end.refusal.code, RefusalCode::EvidenceExpired);
    assert_eq!(vault.open(&agent).err().unwrap().code, RefusalCode::EvidenceExpired);
}

#[test]
fn f7_evidence_ends_even_if_nothing_is_asked_and_time_is_set_back() {
    let mut vault = vault_with_role();
    let agent = vault.introduce("web").unwrap();
    let session = vault.open(&agent).unwrap();
    assert_eq!(vault.core.expire(session.id, vault.now), None);
    assert_eq!(vault.core.expire(session.id, vault.now + 3600).unwrap().code, RefusalCode::EvidenceExpired);
    // The host's clock goes back: time inside does not.
    assert_eq!(vault.core.expire(session.id, vault.now).unwrap().code, RefusalCode::EvidenceExpired);
}

#[test]
fn b8_an_agents_session_may_not_do_what_an_operators_may() {
    let mut vault = vault_with_role();
    let agent = vault.introduce("web").unwrap();
    let mut session = vault.open(&agent).unwrap();
    for request in [
        Request::AuditKey,
        Request::AuditStreams,
        Request::RoleApply(vec![role("web", &[("kv/*", ALL)])]),
        Request::RoleList,
        Request::RoleShow("web".parse().unwrap()),
        Request::Seal,
        Request::Status,
    ] {
        assert_eq!(
            vault.outcome(&mut session, &agent, &request).err(),
            Some(RefusalCode::Denied),
            "{request:?}"
        );
    }
}

#[test]
fn a_role_that_asks_for_an_unknown_anchor_or_is_not_valid_does_not_load() {
    let mut vault = Vault::create();
    let operator = vault.introduce_operator();
    let mut session = vault.open(&operator).unwrap();
    let before = vault.core.state_digest();
    let mut unknown = role("web", &[]);
    unknown.accept = vec![Accept::Tpm(TpmAccept {
        anchors: vec!["nowhere".parse().unwrap()],
        kind: TpmKindRule::Any,
        pcrs: vec![PcrRule {
            index: 0,
            expected: PcrExpectation::Values(vec![[1; 32].into()]),
            all_zero: Permission::Forbidden,
        }],
        events: EventRules::default(),
        ima: ImaRule::NotRequired,
        ak: AkRule::Either,
        ek: EkRule::AnyTpm,
    })];
    let mut nobody = role("web", &[]);
    nobody.accept.clear();
    for roles in
        [vec![], vec![unknown.clone()], vec![role("ok", &[]), unknown], vec![nobody], vec![role("a", &[]); 2]]
    {
        let refused = vault.outcome(&mut session, &operator, &Request::RoleApply(roles));
        assert_eq!(refused.err(), Some(RefusalCode::Role));
    }
    assert_eq!(vault.core.state_digest(), before, "V3: a refused file changed something");
}

#[test]
fn roles_replaced_while_a_proof_is_verified_count() {
    let mut vault = vault_with_role();
    let prove = right_proof(&vault);
    let outcome = vault.core.introducer().prove(&prove, vault.now);
    let operator = vault.introduce_operator();
    let mut session = vault.open(&operator).unwrap();
    let tightened = Request::RoleApply(vec![role("web", &[])]);
    vault.outcome(&mut session, &operator, &tightened).unwrap();
    let pending = vault.core.admit(outcome, vault.now, &mut KernelPorts);
    vault.store();
    assert_eq!(released(pending, &vault.durable).unwrap_err().code, RefusalCode::Busy);
}
