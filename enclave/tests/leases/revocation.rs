//! What a decision hits, and what not.

use vouchsafe_crypto::signature::P256Key;
use vouchsafe_protocol::lease::Selector;
use vouchsafe_protocol::refusal::RefusalCode;

use crate::support::*;
use crate::world::*;

/// Two agents of `web`, with two measurements, and one of `api`, which came later; each with leases.
struct Three {
    world: World,
    agents: [Client; 3],
    /// Leases of each.
    leases: [Vec<u64>; 3],
    identities: [u64; 3],
}

fn three() -> Three {
    let mut api = web();
    (api.name, api.spiffe_path) = ("api".parse().unwrap(), "/api".to_owned());
    api.allow[0].path = "kv/+/*".to_owned();
    let mut world = World::new(vec![web(), api]);
    let key = || P256Key::generate().unwrap();
    let mut one = world.agent_of("web", &key(), MEASUREMENT);
    let mut two = world.agent_of("web", &key(), OTHER);
    world.later(50);
    let mut api = world.agent_of("api", &key(), OTHER);
    let mut read = |agent: &mut Client, path: &str| agent.read(&mut world.vault, path).unwrap().number;
    let leases = [
        vec![read(&mut one, SECRET), read(&mut one, "kv/web/b")],
        vec![read(&mut two, SECRET)],
        vec![read(&mut api, "kv/webs/a"), read(&mut api, SECRET)],
    ];
    let agents = [one, two, api];
    let identities = [0, 1, 2].map(|index| number(&mut world, &agents[index], leases[index][0]));
    Three { world, agents, leases, identities }
}

impl Three {
    fn revoked(selector: impl Fn(&Self) -> Selector) -> Self {
        let mut three = three();
        let selector = selector(&three);
        three.world.revoke(selector);
        three
    }

    /// Exactly these agents are refused at their next request, and these leases end; before and after cleaning up, and
    /// after a crash. What comes afterwards is not hit.
    fn expect(mut self, agents: &[usize], leases: &[u64]) {
        let all = self.leases.concat();
        let mut left: Vec<u64> = all.into_iter().filter(|lease| !leases.contains(lease)).collect();
        left.sort_unstable();
        let mut world = self.world;
        for (index, agent) in self.agents.iter_mut().enumerate() {
            let read = agent.ask(&mut world.vault, &get(SECRET, Some(1)));
            match (agents.contains(&index), read) {
                (true, Err(refusal)) => {
                    assert_eq!(refusal.code, RefusalCode::Identity);
                    assert_eq!(refusal.rule.unwrap(), "identity.revoked");
                    assert!(world.vault.open(&agent.identity).is_err(), "a revoked identity opens a session");
                }
                (false, Ok(response)) => left.extend(response.lease.map(|lease| lease.number)),
                (hit, other) => panic!("agent {index}, hit: {hit}: {:?}", other.map(|_| ())),
            }
        }
        assert_eq!(world.held(), left, "before cleaning up");
        assert_eq!(world.vault.core.state_digest(), world.replayed());
        world.tick();
        assert_eq!(world.held(), left, "after cleaning up");
        assert_eq!(world.vault.core.state_digest(), world.replayed());
        // Who still satisfies the policy comes back.
        for (role, measurement) in [("web", MEASUREMENT), ("web", OTHER), ("api", OTHER)] {
            let mut new = world.agent_of(role, &P256Key::generate().unwrap(), measurement);
            left.push(new.read(&mut world.vault, SECRET).unwrap().number);
        }
        assert_eq!(world.held(), left, "what came later was hit");
        let mut world = world.crash();
        world.tick();
        assert_eq!(world.held(), left, "after a crash");
    }
}

#[test]
fn revoke_one_lease() {
    let three = Three::revoked(|three| Selector::Lease(three.leases[0][0]));
    let ended = three.leases[0][0];
    three.expect(&[], &[ended]);
}

#[test]
fn v12_revoke_by_prefix_ends_leases_of_whole_segments() {
    let three = Three::revoked(|_| Selector::Prefix("kv/web".parse().unwrap()));
    let ended = [three.leases[0].clone(), three.leases[1].clone(), vec![three.leases[2][1]]].concat();
    three.expect(&[], &ended);
    let three = Three::revoked(|_| Selector::Prefix(SECRET.parse().unwrap()));
    let ended = [three.leases[0][0], three.leases[1][0], three.leases[2][1]];
    three.expect(&[], &ended);
}

#[test]
fn revoke_by_identity() {
    let three = Three::revoked(|three| Selector::Identity(three.identities[1]));
    let ended = three.leases[1].clone();
    three.expect(&[1], &ended);
}

#[test]
fn revoke_by_role() {
    let three = Three::revoked(|_| Selector::Role("web".parse().unwrap()));
    let ended = [three.leases[0].clone(), three.leases[1].clone()].concat();
    three.expect(&[0, 1], &ended);
}

#[test]
fn revoke_by_measurement() {
    let three = Three::revoked(|_| Selector::Measurement(OTHER.0.to_vec()));
    let ended = [three.leases[1].clone(), three.leases[2].clone()].concat();
    three.expect(&[1, 2], &ended);
    let three = Three::revoked(|_| Selector::Measurement(OTHER.0[..32].to_vec()));
    three.expect(&[], &[]);
}

#[test]
fn revoke_by_platform() {
    let three = Three::revoked(|_| Selector::Platform(CHIP.to_vec()));
    let ended = three.leases.concat();
    three.expect(&[0, 1, 2], &ended);
    let three = Three::revoked(|_| Selector::Platform([6; 64].to_vec()));
    three.expect(&[], &[]);
}

#[test]
fn revoke_by_age_of_evidence() {
    let three = Three::revoked(|_| Selector::EvidenceBefore(START + 50));
    let ended = [three.leases[0].clone(), three.leases[1].clone()].concat();
    three.expect(&[0, 1], &ended);
    let three = Three::revoked(|_| Selector::EvidenceBefore(START));
    three.expect(&[], &[]);
}

#[test]
fn decisions_on_agents_do_not_hit_operators() {
    let mut three = Three::revoked(|_| Selector::EvidenceBefore(u64::MAX));
    three.world.tick();
    assert_eq!(three.world.held(), [0u64; 0]);
    three.world.revoke(Selector::Measurement(Vec::new()));
    three.world.revoke(Selector::Platform(Vec::new()));
    three.world.tick();
    assert_eq!(three.world.held(), [0u64; 0], "the operator goes on");
}

#[test]
fn what_there_is_not_cannot_be_revoked() {
    let mut three = three();
    let before = three.world.vault.core.state_digest();
    for selector in [Selector::Lease(999), Selector::Lease(0), Selector::Identity(999)] {
        let refused = three.world.operator.revoke(&mut three.world.vault, selector);
        assert_eq!(code(refused), RefusalCode::NotFound);
    }
    assert_eq!(three.world.vault.core.state_digest(), before, "V3");
}

#[test]
fn a_session_opened_after_a_decision_with_an_older_identity_is_refused() {
    let mut three = Three::revoked(|three| Selector::Identity(three.identities[0]));
    let refusal = three.world.vault.open(&three.agents[0].identity).err().unwrap();
    assert_eq!((refusal.code, refusal.rule.as_deref()), (RefusalCode::Identity, Some("identity.revoked")));
}
