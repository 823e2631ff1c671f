//! A lease lives as long as its answer said: not longer, whatever the clock does, and not shorter, whatever else happens.

use crate::support::*;
use crate::world::*;

#[test]
fn f7_a_lease_ends_at_its_time_though_nobody_acts() {
    let mut world = World::new(vec![web()]);
    let mut holder = world.agent("web");
    let lease = holder.read(&mut world.vault, SECRET).unwrap();
    world.later(599);
    assert_eq!(holder.list(&mut world.vault), [lease.number]);
    world.later(1);
    // No step of cleaning up was done.
    assert_eq!(holder.list(&mut world.vault), [0u64; 0]);
    assert_eq!(world.held(), [0u64; 0]);
    assert!(holder.renew(&mut world.vault, lease.number).is_err());
    let before = world.vault.core.state_digest();
    assert!(world.tick() >= 1);
    assert_ne!(world.vault.core.state_digest(), before, "it is cleaned up in the end");
    assert_eq!(world.vault.core.state_digest(), world.replayed());
}

#[test]
fn h6_a_clock_set_back_or_frozen_makes_no_lease_live_longer() {
    let mut world = World::new(vec![web()]);
    let mut holder = world.agent("web");
    let lease = holder.read(&mut world.vault, SECRET).unwrap();
    world.later(600);
    assert_eq!(world.held(), [0u64; 0]);
    for now in [START + 599, START, 0] {
        world.vault.now = now;
        assert!(!holder.list(&mut world.vault).contains(&lease.number), "at {now}");
        assert!(holder.renew(&mut world.vault, lease.number).is_err());
        // What is handed out now is counted from the latest time that was seen.
        let again = holder.read(&mut world.vault, SECRET).unwrap();
        assert_eq!((again.until_secs, again.end_secs), (START + 1200, START + 2100));
    }
    // Across a restart, too: time is never behind the journal.
    world.vault.now = START - 1_000_000;
    let mut world = world.crash();
    assert!(world.vault.core.clock() >= START + 600);
    assert!(!world.held().contains(&lease.number));
}

#[test]
fn h6_a_clock_set_back_or_frozen_makes_no_lease_live_shorter() {
    let mut world = World::new(vec![web()]);
    let mut holder = world.agent("web");
    let lease = holder.read(&mut world.vault, SECRET).unwrap();
    for now in [START, START - 5000, START + 300, START + 10, START + 599] {
        world.vault.now = now;
        world.tick();
        assert_eq!(holder.list(&mut world.vault), [lease.number], "at {now}");
    }
}

#[test]
fn h6_a_clock_set_forward_ends_leases_and_does_not_bring_them_back() {
    let mut world = World::new(vec![web()]);
    let mut holder = world.agent("web");
    holder.read(&mut world.vault, SECRET).unwrap();
    world.later(700);
    assert_eq!(world.held(), [0u64; 0]);
    world.vault.now = START + 1;
    assert_eq!(world.held(), [0u64; 0]);
    let next = holder.read(&mut world.vault, SECRET).unwrap();
    assert_eq!(next.until_secs, START + 1300);
}

#[test]
fn a_lease_lives_as_long_as_its_answer_said_whatever_becomes_of_the_session() {
    let mut world = World::new(vec![web()]);
    let mut holder = world.agent("web");
    let lease = holder.read(&mut world.vault, SECRET).unwrap();
    world.vault.core.close_session(holder.session.id);
    assert_eq!(world.held(), [lease.number], "closed");
    let mut world = world.crash();
    assert_eq!(world.held(), [lease.number], "crashed");
    let Client { identity, .. } = holder;
    let mut holder = world.open(identity);
    world.later(300);
    let renewed = holder.renew(&mut world.vault, lease.number).unwrap();
    assert_eq!(renewed.until_secs, START + 900);
    let World { vault, .. } = world;
    let mut vault = vault.restart();
    let identity = vault.introduce_operator();
    let session = vault.open(&identity).unwrap();
    let mut world = World { vault, operator: Client { identity, session } };
    world.tick();
    world.later(599);
    world.tick();
    assert_eq!(world.held(), [lease.number], "until the very end");
    world.later(1);
    assert_eq!(world.held(), [0u64; 0]);
    let mut world = world.crash();
    world.tick();
    assert_eq!(world.held(), [0u64; 0], "expiry survives a crash");
}

#[test]
fn an_unacknowledged_lease_is_gone_with_the_crash() {
    let mut world = World::new(vec![web()]);
    let mut holder = world.agent("web");
    let answer =
        world.vault.ask(&mut holder.session, &holder.identity, &get(SECRET, None), false).ok().unwrap();
    assert!(answer.pending.release(&world.vault.durable).is_err(), "H4: no answer before it is stored");
    let mut world = world.crash();
    assert_eq!(world.held(), [0u64; 0]);
}
