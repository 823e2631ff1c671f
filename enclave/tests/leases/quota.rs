//! Quotas: back-pressure rather than explosion.

use vouchsafe_crypto::signature::P256Key;
use vouchsafe_protocol::lease::Selector;
use vouchsafe_protocol::policy::Role;
use vouchsafe_protocol::refusal::RefusalCode;

use crate::support::*;
use crate::world::*;

fn limited(leases_per_identity: u32, leases: u32) -> Role {
    Role { leases_per_identity, leases, ..web() }
}

#[test]
fn v9_an_identity_holds_no_more_leases_than_its_role_says() {
    let mut world = World::new(vec![limited(2, 100)]);
    let (mut one, mut other) = (world.agent("web"), world.agent("web"));
    let first = one.read(&mut world.vault, SECRET).unwrap();
    one.read(&mut world.vault, SECRET).unwrap();
    let before = world.vault.core.state_digest();
    assert_eq!(code(one.read(&mut world.vault, SECRET)), RefusalCode::Quota);
    assert_eq!(world.vault.core.state_digest(), before, "V3");
    assert!(other.read(&mut world.vault, SECRET).is_ok(), "another's quota is its own");
    assert!(one.renew(&mut world.vault, first.number).is_ok(), "what is held can be renewed");
    one.revoke(&mut world.vault, Selector::Lease(first.number)).unwrap();
    assert!(one.read(&mut world.vault, SECRET).is_ok(), "giving one back makes room at once");
    assert_eq!(code(one.read(&mut world.vault, SECRET)), RefusalCode::Quota);
    world.later(600);
    world.tick();
    assert!(one.read(&mut world.vault, SECRET).is_ok(), "so does the end");
}

#[test]
fn v9_a_role_holds_no_more_leases_than_it_says() {
    let mut world = World::new(vec![
        limited(3, 3),
        Role { name: "api".parse().unwrap(), spiffe_path: "/api".to_owned(), ..web() },
    ]);
    let (mut one, mut other, mut foreign) = (world.agent("web"), world.agent("web"), world.agent("api"));
    one.read(&mut world.vault, SECRET).unwrap();
    one.read(&mut world.vault, SECRET).unwrap();
    other.read(&mut world.vault, SECRET).unwrap();
    let before = world.vault.core.state_digest();
    assert_eq!(code(other.read(&mut world.vault, SECRET)), RefusalCode::Quota);
    assert_eq!(code(one.read(&mut world.vault, SECRET)), RefusalCode::Quota);
    assert_eq!(world.vault.core.state_digest(), before, "V3");
    assert!(foreign.read(&mut world.vault, SECRET).is_ok(), "another role's quota is its own");
}

#[test]
fn v9_new_introductions_do_not_get_around_the_quota_of_a_role() {
    let mut world = World::new(vec![limited(2, 4)]);
    let key = P256Key::generate().unwrap();
    for _ in 0..2 {
        let mut agent = world.agent_of("web", &key, MEASUREMENT);
        agent.read(&mut world.vault, SECRET).unwrap();
        agent.read(&mut world.vault, SECRET).unwrap();
    }
    let mut agent = world.agent_of("web", &key, MEASUREMENT);
    assert_eq!(code(agent.read(&mut world.vault, SECRET)), RefusalCode::Quota);
}

#[test]
fn v9_giving_leases_back_takes_no_room_that_operators_need() {
    let mut world = World::new(vec![limited(10, 10)]);
    let mut agent = world.agent("web");
    for _ in 0..2 * vouchsafe_protocol::limits::REVOCATIONS {
        let lease = agent.read(&mut world.vault, SECRET).unwrap();
        agent.revoke(&mut world.vault, Selector::Lease(lease.number)).unwrap();
    }
    world.revoke(Selector::Role("web".parse().unwrap()));
    assert_eq!(rule(agent.read(&mut world.vault, SECRET)), "identity.revoked");
}

#[test]
fn v9_decisions_that_wait_to_be_cleaned_up_after_are_bounded() {
    let mut world = World::new(vec![web()]);
    let prefix = || Selector::Prefix("kv/web".parse().unwrap());
    for _ in 0..vouchsafe_protocol::limits::REVOCATIONS {
        world.revoke(prefix());
    }
    let before = world.vault.core.state_digest();
    assert_eq!(code(world.operator.revoke(&mut world.vault, prefix())), RefusalCode::Busy);
    assert_eq!(world.vault.core.state_digest(), before);
    world.tick();
    world.revoke(prefix());
}
