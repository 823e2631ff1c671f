//! The decision is small whatever it hits, and every step of cleaning up is replayed as it was done.

use vouchsafe_enclave::KernelPorts;
use vouchsafe_protocol::lease::Selector;
use vouchsafe_protocol::policy::Role;

use crate::support::*;
use crate::world::*;

#[test]
fn v9_a_decision_is_one_small_record_and_cleaning_up_is_replayed_step_by_step() {
    let role = Role { leases_per_identity: 20_000, leases: 20_000, ..web() };
    let mut world = World::new(vec![role]);
    let (mut agent, mut other) = (world.agent("web"), world.agent("web"));
    for index in 0..12_000 {
        let path = if index % 3 == 0 { "kv/web/b" } else { SECRET };
        agent.read(&mut world.vault, path).unwrap();
    }
    let kept = other.read(&mut world.vault, SECRET).unwrap();
    let frames = world.vault.machine.frames.len();
    let access = world.vault.machine.access.len();
    let prefix = "kv/web/b".parse().unwrap();
    world.revoke(Selector::Prefix(prefix));
    let record = &world.vault.machine.frames[frames..];
    assert_eq!(record.len(), 1, "one record");
    assert!(record[0].len() < 1024, "{} bytes", record[0].len());
    assert!(world.vault.machine.access.len() <= access + 1);
    // Every holder, before a single step.
    assert_eq!(agent.list(&mut world.vault).len(), 8_000);
    let second = Selector::Identity(number(&mut world, &agent, 2));
    let mut steps = 0;
    while world.vault.core.next_tick() <= world.vault.now {
        assert_eq!(world.vault.core.state_digest(), world.replayed(), "step {steps}");
        world.vault.core.tick(world.vault.now, &mut KernelPorts).unwrap();
        world.vault.store();
        if steps == 1 {
            // In the middle of it, another one.
            world.revoke(second.clone());
            assert!(agent.ask(&mut world.vault, &get(SECRET, None)).is_err());
        }
        steps += 1;
    }
    assert!((4..100).contains(&steps), "{steps} steps");
    assert_eq!(world.vault.core.state_digest(), world.replayed());
    assert_eq!(world.held(), [kept.number]);
    let mut world = world.crash();
    world.tick();
    assert_eq!(world.held(), [kept.number]);
}
