//! Many leases at once; `VOUCHSAFE_LEASES=1000000` for as many as the name says, which `scripts/bench` measures, too.

use vouchsafe_protocol::lease::Selector;
use vouchsafe_protocol::policy::Role;
use vouchsafe_protocol::session::Request;

use crate::support::*;
use crate::world::*;

#[test]
fn v9_a_million_is_revoked_by_prefix_in_one_record() {
    let leases: u32 = std::env::var("VOUCHSAFE_LEASES").map_or(100_000, |text| text.parse().unwrap());
    let role = Role { leases_per_identity: leases, leases: leases + 1, ..web() };
    let mut world = World::new(vec![role]);
    let (mut agent, mut other) = (world.agent("web"), world.agent("web"));
    let kept = other.read(&mut world.vault, "kv/web/b").unwrap();
    let request = get(SECRET, None);
    for index in 0..leases {
        let Client { identity, session } = &mut agent;
        let answer = world.vault.ask(session, identity, &request, false);
        assert!(answer.is_ok());
        if index % 1000 == 0 {
            world.vault.store();
        }
    }
    world.vault.store();
    assert!(world.vault.sign(&mut agent.session, &agent.identity).is_ok());
    let frames = world.vault.machine.frames.len();
    world.revoke(Selector::Prefix(SECRET.parse().unwrap()));
    assert_eq!(world.vault.machine.frames.len(), frames + 1);
    assert!(world.vault.machine.frames[frames].len() < 1024);
    let first = Request::Lease(vouchsafe_protocol::lease::LeaseRequest::Renew { number: kept.number + 1 });
    assert!(agent.ask(&mut world.vault, &first).is_err(), "the next request is refused already");
    let steps = world.tick();
    assert!(steps > leases as usize / 5_000, "in steps that others need not wait for: {steps}");
    assert_eq!(world.held(), [kept.number]);
    assert_eq!(world.vault.core.state_digest(), world.replayed());
}
