use vouchsafe_crypto::digest::sha256;
use vouchsafe_crypto::signature::P256Key;
use vouchsafe_crypto::transcript::chain_link;
use vouchsafe_protocol::log::{AuditEntry, PolicyRule, RequestRef};
use vouchsafe_protocol::policy::PlatformKind;

use super::*;

const START: [u8; 32] = [7; 32];

fn agent(identity: u64) -> Actor {
    Actor::Agent {
        role: "billing".parse().unwrap(),
        identity,
        evidence: [1; 32],
        platform: PlatformKind::Snp,
    }
}

/// A log of one session: an introduction, three requests of which the second is in the journal, and heads over
/// one and over all but the last.
struct Log {
    key: P256Key,
    entries: Vec<Placed>,
}

fn placed(stream: StreamId, actor: Actor, request: Option<RequestRef>, action: Action) -> Placed {
    let entry = AuditEntry {
        blind: [0; 16],
        at_secs: 1,
        actor,
        request,
        action,
        decision: Decision::Allowed,
        rule: PolicyRule::None,
        lease: None,
    };
    Placed { stream, leaf: 0, entry }
}

const ACCESS: StreamId = StreamId::Access { epoch: 1 };

impl Log {
    fn of(actor: &Actor) -> Self {
        let key = P256Key::generate().unwrap();
        let introduce = Action::Introduce { key: key.spki().to_vec(), evidence: [1; 32], rule: None };
        let mut log = Self { key, entries: vec![placed(StreamId::Journal, actor.clone(), None, introduce)] };
        let mut link = START;
        for number in 1..=3_u64 {
            let body = [u8::try_from(number).unwrap(); 9];
            let receipt = number == 2;
            link = chain_link(&link, number, receipt, &body);
            let place = RequestRef { session: [7; 16], number, receipt, digest: sha256(&[&body]) };
            let stream = if receipt { StreamId::Journal } else { ACCESS };
            log.entries.push(placed(stream, actor.clone(), Some(place), Action::Look));
            if number < 3 {
                let signature = log.key.sign(&chain_head_preimage(number, &link)).unwrap();
                let head = Action::ChainHead { start: START, upto: number, head: link, signature };
                log.entries.push(placed(ACCESS, actor.clone(), None, head));
            }
        }
        log
    }

    fn request(&mut self, number: u64) -> &mut RequestRef {
        self.requests().find(|place| place.number == number).unwrap()
    }

    fn requests(&mut self) -> impl Iterator<Item = &mut RequestRef> {
        self.entries.iter_mut().filter_map(|placed| placed.entry.request.as_mut())
    }

    fn forget(&mut self, number: u64) {
        self.entries.retain(|placed| placed.entry.request.is_none_or(|place| place.number != number));
    }

    fn verify(&self) -> Result<Chains, ChainError> {
        verify(self.entries.iter(), |_| true)
    }
}

fn broken(change: impl FnOnce(&mut Log)) -> ChainError {
    let mut log = Log::of(&agent(4));
    change(&mut log);
    log.verify().unwrap_err()
}

#[test]
fn b7_signed_and_unsigned_requests_are_counted() {
    let expected = Chains { heads: 2, signed: 2, unsigned: 1, beyond: 0 };
    assert_eq!(Log::of(&agent(4)).verify().unwrap(), expected);
    assert_eq!(Log::of(&Actor::Operator("ann".parse().unwrap())).verify().unwrap(), expected);
}

#[test]
fn b7_entries_of_both_logs_may_come_in_any_order() {
    let mut log = Log::of(&agent(4));
    log.entries.reverse();
    assert_eq!(log.verify().unwrap().signed, 2);
}

#[test]
fn b7_an_operator_may_have_had_several_keys() {
    let ann = Actor::Operator("ann".parse().unwrap());
    let mut log = Log::of(&ann);
    let key = P256Key::generate().unwrap().spki().to_vec();
    let introduce = Action::Introduce { key, evidence: [0; 32], rule: None };
    log.entries.push(placed(StreamId::Journal, ann, None, introduce));
    assert_eq!(log.verify().unwrap().heads, 2);
}

#[test]
fn b7_step_1_a_request_that_is_twice_in_the_log_is_refused() {
    let error = broken(|log| log.request(3).number = 2);
    assert!(matches!(error, ChainError::Twice { number: 2, .. }), "{error:?}");
}

#[test]
fn b7_step_2_a_request_that_was_signed_and_is_not_in_the_log_is_refused() {
    let error = broken(|log| log.forget(2));
    assert!(matches!(error, ChainError::Missing { upto: 2, missing: 2, .. }), "{error:?}");
}

#[test]
fn b7_step_2_an_open_log_may_lack_its_last_requests() {
    let mut log = Log::of(&agent(4));
    log.forget(2);
    let chains = verify(log.entries.iter(), |stream| stream != ACCESS).unwrap();
    assert_eq!(chains, Chains { heads: 1, signed: 1, unsigned: 1, beyond: 1 });
}

#[test]
fn b7_step_3_requests_of_somebody_else_are_refused() {
    let error = broken(|log| {
        let entry =
            log.entries.iter_mut().find(|placed| placed.entry.request.is_some_and(|place| place.number == 2));
        entry.unwrap().entry.actor = agent(5);
    });
    assert!(matches!(error, ChainError::Actor { number: 2, .. }), "{error:?}");
}

#[test]
fn b7_step_4_another_request_than_the_signed_one_is_refused() {
    let error = broken(|log| log.request(2).digest = [0; 32]);
    assert!(matches!(error, ChainError::Head { upto: 2, .. }), "{error:?}");
    let error = broken(|log| log.request(1).receipt = true);
    assert!(matches!(error, ChainError::Head { upto: 1, .. }), "{error:?}");
}

#[test]
fn b7_step_5_who_was_never_introduced_cannot_sign() {
    let error = broken(|log| {
        log.entries.remove(0);
    });
    assert!(matches!(error, ChainError::NotIntroduced { .. }), "{error:?}");
    let error = broken(|log| log.entries[0].entry.decision = Decision::Refused(refused()));
    assert!(matches!(error, ChainError::NotIntroduced { .. }), "{error:?}");
}

fn refused() -> vouchsafe_protocol::refusal::RefusalCode {
    vouchsafe_protocol::refusal::RefusalCode::Evidence
}

#[test]
fn b7_step_6_a_signature_of_another_key_is_refused() {
    let error = broken(|log| {
        if let Action::Introduce { key, .. } = &mut log.entries[0].entry.action {
            *key = P256Key::generate().unwrap().spki().to_vec();
        }
    });
    assert!(matches!(error, ChainError::Signature { upto: 1, .. }), "{error:?}");
}

#[test]
fn b7_a_session_may_go_on_with_a_newer_identity_of_the_same_key_and_role() {
    let log = Log::of(&agent(1));
    let again = |key: Vec<u8>, actor: Actor| {
        let introduce = Action::Introduce { key, evidence: [1; 32], rule: None };
        let mut entries = log.entries.clone();
        // From its second request on.
        for placed in entries.iter_mut().skip(3) {
            placed.entry.actor = actor.clone();
        }
        entries.push(placed(StreamId::Journal, actor, None, introduce));
        verify(entries.iter(), |_| true)
    };
    assert_eq!(again(log.key.spki().to_vec(), agent(2)).unwrap().heads, 2);
    let other = P256Key::generate().unwrap().spki().to_vec();
    assert!(matches!(again(other, agent(2)), Err(ChainError::Actor { .. })));
}
