use super::*;
use vouchsafe_crypto::signature::P256Key;

const NOW: u64 = 1_000;

struct Agent {
    key: P256Key,
    session: Session,
    head: [u8; 32],
    next: u64,
}

fn agent() -> Agent {
    let key = P256Key::generate().unwrap();
    let identity = Identity {
        number: 1,
        certificate: [1; 32],
        key: key.spki(),
        subject: IdentitySubject::Operator("op".parse().unwrap()),
        at_secs: NOW,
        not_after_secs: NOW + 1_000,
        evidence_until_secs: NOW + 500,
        clock: None,
    };
    let session = Session::open(identity, [9; 32]).ok().unwrap();
    Agent { key, session, head: [9; 32], next: 1 }
}

impl Agent {
    fn ask(&mut self, now: u64) -> Result<(), RefusalCode> {
        let link = chain_link(&self.head, self.next, false, b"request");
        self.session.advance(self.next, link, false, b"request", now)?;
        self.head = link;
        self.next += 1;
        Ok(())
    }

    fn sign(&mut self, upto: u64, head: [u8; 32]) -> Result<Action, RefusalCode> {
        let signature = self.key.sign(&chain_head_preimage(upto, &head)).unwrap();
        self.session.sign(upto, &signature)
    }
}

#[test]
fn a_signed_chain_goes_on_and_its_head_is_logged() {
    let mut agent = agent();
    for _ in 0..3 {
        for _ in 0..UNSIGNED_REQUESTS {
            agent.ask(NOW).unwrap();
        }
        assert_eq!(agent.ask(NOW), Err(RefusalCode::Unsigned));
        let (upto, head) = (agent.next - 1, agent.head);
        let action = agent.sign(upto, head).unwrap();
        assert!(
            matches!(action, Action::ChainHead { upto: logged, head: at, .. } if logged == upto && at == head)
        );
    }
}

#[test]
fn requests_out_of_order_replayed_or_changed_break_the_chain() {
    let mut agent = agent();
    agent.ask(NOW).unwrap();
    let link = chain_link(&agent.head, 2, false, b"request");
    for (number, link, receipt, body) in [
        (1, link, false, b"request".as_slice()),
        (3, link, false, b"request"),
        (2, link, true, b"request"),
        (2, link, false, b"reqUest"),
        (2, [0; 32], false, b"request"),
    ] {
        assert_eq!(agent.session.advance(number, link, receipt, body, NOW), Err(RefusalCode::Chain));
    }
    assert_eq!(agent.session.advance(2, link, false, b"request", NOW), Ok(()));
}

#[test]
fn b3_a_chain_of_another_connection_does_not_fit() {
    let mut agent = agent();
    agent.head = [8; 32];
    assert_eq!(agent.ask(NOW), Err(RefusalCode::Chain));
}

#[test]
fn f8_a_bad_signature_ends_the_session_and_covers_nothing() {
    let mut agent = agent();
    agent.ask(NOW).unwrap();
    let head = agent.head;
    let other = P256Key::generate().unwrap();
    let forged = other.sign(&chain_head_preimage(1, &head)).unwrap();
    assert_eq!(agent.session.sign(1, &forged).err(), Some(RefusalCode::Chain));
    assert_eq!(agent.sign(1, [0; 32]).err(), Some(RefusalCode::Chain));
    assert_eq!(agent.sign(2, head).err(), Some(RefusalCode::Chain));
    assert_eq!(agent.sign(0, head).err(), Some(RefusalCode::Chain));
    assert!(agent.sign(1, head).is_ok());
    assert_eq!(agent.sign(1, head).err(), Some(RefusalCode::Chain), "signed twice");
}

#[test]
fn f6_evidence_has_its_own_clock() {
    let mut agent = agent();
    agent.ask(NOW + 499).unwrap();
    assert_eq!(agent.ask(NOW + 500), Err(RefusalCode::EvidenceExpired));
    agent.session.identity.evidence_until_secs = NOW + 5_000;
    assert_eq!(agent.ask(NOW + 1_000), Err(RefusalCode::Identity));
}

#[test]
fn f7_a_silent_session_ends_at_its_deadline() {
    let mut agent = agent();
    assert_eq!(agent.session.deadline(), NOW + 500);
    assert_eq!(agent.session.check_deadline(NOW + 499), Ok(()));
    assert_eq!(agent.session.check_deadline(NOW + 500), Err(RefusalCode::EvidenceExpired));
    agent.ask(NOW).unwrap();
    let deadline = agent.session.deadline();
    assert_eq!(deadline, NOW + UNSIGNED_SECS + UNSIGNED_GRACE_SECS + 1);
    assert_eq!(agent.session.check_deadline(deadline - 1), Ok(()));
    assert_eq!(agent.session.check_deadline(deadline), Err(RefusalCode::Unsigned));
}

#[test]
fn signing_one_behind_does_not_renew_the_time_of_what_stays_unsigned() {
    let mut agent = agent();
    agent.ask(NOW).unwrap();
    let first = agent.head;
    agent.ask(NOW + 3).unwrap();
    agent.sign(1, first).unwrap();
    assert_eq!(agent.session.deadline(), NOW + 3 + UNSIGNED_SECS + UNSIGNED_GRACE_SECS + 1);
    agent.ask(NOW + 8).unwrap();
    assert_eq!(agent.ask(NOW + 9), Err(RefusalCode::Unsigned));
}

fn agent_identity(number: u64, key: &P256Key, platform: Vec<u8>) -> Identity {
    let subject = IdentitySubject::Agent {
        role: "web".parse().unwrap(),
        evidence: [number as u8; 32],
        platform,
        measurement: vec![1; 48],
        kind: vouchsafe_protocol::policy::PlatformKind::Snp,
    };
    Identity {
        number,
        certificate: [1; 32],
        key: key.spki(),
        subject,
        at_secs: NOW,
        not_after_secs: NOW + 1_000,
        evidence_until_secs: NOW + 500,
        clock: None,
    }
}

#[test]
fn s12_a_chip_that_is_not_shown_names_no_platform() {
    let key = P256Key::generate().unwrap();
    assert!(agent_identity(1, &key, vec![0; 64]).asking(NOW).unwrap().platform.is_none());
    assert_eq!(agent_identity(1, &key, vec![7; 64]).asking(NOW).unwrap().platform, Some([7; 64].as_slice()));
}

#[test]
fn b7_a_session_is_logged_as_the_identity_that_it_rests_on() {
    let key = P256Key::generate().unwrap();
    let mut session = Session::open(agent_identity(1, &key, vec![7; 64]), [9; 32]).ok().unwrap();
    session.renew(&agent_identity(2, &key, vec![7; 64]));
    let logged = |session: &Session| match session.actor() {
        Actor::Agent { identity, evidence, .. } => (identity, evidence),
        other => panic!("{other:?}"),
    };
    assert_eq!(logged(&session), (2, [2; 32]));
    // Another key's, and an older one, change nothing.
    session.renew(&agent_identity(3, &P256Key::generate().unwrap(), vec![7; 64]));
    session.renew(&agent_identity(1, &key, vec![7; 64]));
    assert_eq!(logged(&session), (2, [2; 32]));
}
