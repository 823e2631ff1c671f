//! What a vault serves while its host has little space left.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test helpers; clippy exempts only the tests themselves"
)]

mod support;

use support::*;
use vouchsafe_enclave::{KernelPorts, Space};
use vouchsafe_protocol::kv::Cas;
use vouchsafe_protocol::lease::{LeaseReply, LeaseRequest, Selector};
use vouchsafe_protocol::link::StorageReply;
use vouchsafe_protocol::policy::Capability;
use vouchsafe_protocol::refusal::RefusalCode;
use vouchsafe_protocol::session::{Outcome, Reply, Request};

fn vault() -> Vault {
    let mut vault = Vault::create();
    let operator = vault.introduce_operator();
    let mut session = vault.open(&operator).unwrap();
    let roles = vec![role("web", &[("kv/web/*", &[Capability::Read])])];
    vault.outcome(&mut session, &operator, &Request::RoleApply(roles)).unwrap();
    vault
}

fn outcome(vault: &mut Vault, session: &mut Session, identity: &Identity, request: &Request) -> Outcome {
    vault.response(session, identity, request).outcome
}

#[test]
fn h10_an_answer_says_how_much_space_there_is() {
    assert_eq!(Space::of(&StorageReply::Scarce), Space::Scarce);
    assert_eq!(Space::of(&StorageReply::Done), Space::Ample);
}

#[test]
fn h10_with_little_space_agents_are_refused_and_nothing_is_written() {
    let mut vault = vault();
    let identity = vault.introduce("web").unwrap();
    let mut session = vault.open(&identity).unwrap();
    vault.core.notice_space(Space::Scarce);
    let (before, frames) = (vault.core.state_digest(), vault.machine.frames.len());
    let access = vault.machine.access.len();
    let end = vault.ask(&mut session, &identity, &get("kv/web/a", None), false).err().unwrap();
    assert_eq!(end.refusal.code, RefusalCode::Scarce);
    assert!(end.last_words.is_some(), "the agent is told");
    assert_eq!(vault.open(&identity).err().map(|refusal| refusal.code), Some(RefusalCode::Scarce));
    assert_eq!(vault.introduce("web").err().map(|refusal| refusal.code), Some(RefusalCode::Scarce));
    vault.store();
    assert_eq!((vault.machine.frames.len(), vault.machine.access.len()), (frames, access));
    assert_eq!(vault.core.state_digest(), before);
    // With enough again they are served, in the same session.
    vault.core.notice_space(Space::Ample);
    assert!(vault.open(&identity).is_ok());
}

#[test]
fn h10_with_little_space_an_operator_still_ends_what_was_handed_out() {
    let mut vault = vault();
    let agent = vault.introduce("web").unwrap();
    let mut agents = vault.open(&agent).unwrap();
    vault.core.notice_space(Space::Scarce);
    let operator = vault.introduce_operator();
    let mut session = vault.open(&operator).unwrap();
    let revoke = Request::Lease(LeaseRequest::Revoke(Selector::Role("web".parse().unwrap())));
    let done = outcome(&mut vault, &mut session, &operator, &revoke);
    assert!(matches!(done, Outcome::Done(Reply::Lease(LeaseReply::Revoked))), "{done:?}");
    // And nothing that only fills it.
    let end = vault.ask(&mut session, &operator, &put("kv/web/a", b"v", Cas::Any), false).err().unwrap();
    assert_eq!(end.refusal.code, RefusalCode::Scarce);
    vault.core.notice_space(Space::Ample);
    let refused = outcome(&mut vault, &mut agents, &agent, &get("kv/web/a", None));
    assert!(matches!(refused, Outcome::Refused(refusal) if refusal.code == RefusalCode::Identity));
}

#[test]
fn h10_the_host_is_asked_again_whether_there_is_space() {
    let mut vault = vault();
    // What is left to do after a start comes first.
    while vault.core.next_tick() <= vault.now {
        vault.core.tick(vault.now, &mut KernelPorts).unwrap();
    }
    vault.store();
    vault.core.notice_space(Space::Scarce);
    let at = vault.core.next_tick();
    assert!(at > vault.now && at <= vault.now + 60, "{at}");
    vault.now = at;
    vault.core.tick(at, &mut KernelPorts).unwrap();
    let access = vault.machine.access.len();
    vault.store();
    assert_eq!(vault.machine.access.len(), access + 1, "the entry whose answer tells");
    assert!(vault.core.next_tick() > at);
}
