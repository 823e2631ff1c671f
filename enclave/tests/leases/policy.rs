//! A change of policy ends what rests on evidence that it does not accept any more.

use vouchsafe_crypto::signature::P256Key;
use vouchsafe_protocol::policy::{Accept, LaunchDigest, Role, SnpAccept};
use vouchsafe_protocol::refusal::RefusalCode;

use crate::support::*;
use crate::world::*;

fn snp(role: &mut Role) -> &mut SnpAccept {
    match role.accept.as_mut_slice() {
        [Accept::Snp(snp)] => snp,
        other => panic!("{other:?}"),
    }
}

fn with(change: impl FnOnce(&mut SnpAccept)) -> Role {
    let mut role = web();
    change(snp(&mut role));
    role
}

/// Applies a role that does not accept `MEASUREMENT` on the test chip any more: by its next request, or by ticks alone.
fn ends(role: Role, code: &str) {
    // At the next request.
    let mut world = World::new(vec![web()]);
    let mut agent = world.agent("web");
    agent.read(&mut world.vault, SECRET).unwrap();
    world.apply(vec![role.clone()]);
    let refusal = agent.ask(&mut world.vault, &get(SECRET, None)).unwrap_err();
    assert_eq!((refusal.code, refusal.rule.as_deref()), (RefusalCode::Identity, Some(code)));
    assert_eq!(world.held(), [0u64; 0]);
    assert!(agent.ask(&mut world.vault, &get(SECRET, None)).is_err(), "the session is over");
    assert_eq!(world.vault.open(&agent.identity).err().unwrap().code, RefusalCode::Identity);
    world.tick();
    assert_eq!(world.vault.core.state_digest(), world.replayed());

    // By itself, and also after a crash right after the change.
    for crash in [false, true] {
        let mut world = World::new(vec![web()]);
        let mut agent = world.agent("web");
        agent.read(&mut world.vault, SECRET).unwrap();
        world.apply(vec![role.clone()]);
        if crash {
            world = world.crash();
        }
        assert!(world.tick() > 0);
        assert_eq!(world.held(), [0u64; 0], "crash: {crash}");
        assert!(world.vault.open(&agent.identity).is_err());
        assert_eq!(world.vault.core.state_digest(), world.replayed());
    }
}

#[test]
fn raising_a_tcb_floor_ends_what_rests_on_a_lower_one() {
    let role = with(|snp| {
        for floors in &mut snp.tcb_floors {
            floors.floors.reported.snp += 1;
        }
    });
    ends(role, "snp.tcb.floor");
}

#[test]
fn withdrawing_a_reference_value_ends_what_rests_on_it() {
    ends(with(|snp| snp.measurements.retain(|known| known.value == OTHER)), "snp.measurement");
}

#[test]
fn taking_the_accepting_rule_away_ends_what_it_accepted() {
    let other = LaunchDigest([9; 48]);
    ends(with(|snp| snp.measurements = vec![other.into()]), "snp.measurement");
}

#[test]
fn who_still_satisfies_the_policy_goes_on() {
    let mut world = World::new(vec![web()]);
    let (mut kept, mut ended) =
        (world.agent_of("web", &P256Key::generate().unwrap(), OTHER), world.agent("web"));
    let lease = kept.read(&mut world.vault, SECRET).unwrap();
    ended.read(&mut world.vault, SECRET).unwrap();
    world.apply(vec![with(|snp| snp.measurements.retain(|known| known.value == OTHER))]);
    world.tick();
    assert_eq!(world.held(), [lease.number]);
    assert!(kept.renew(&mut world.vault, lease.number).is_ok());
}

#[test]
fn roles_that_did_not_change_end_nobody() {
    // Its reference value has expired since: nobody new is accepted, and nobody is ended by another role's change.
    let mut api = web();
    (api.name, api.spiffe_path) = ("api".parse().unwrap(), "/api".to_owned());
    let dated = with(|snp| {
        let expires_unix_secs = START + 100;
        let expiry = vouchsafe_protocol::policy::Expiry::At { expires_unix_secs, grace_secs: 0 };
        snp.measurements[0].expiry = expiry;
    });
    let mut world = World::new(vec![dated.clone(), api.clone()]);
    let mut agent = world.agent("web");
    let lease = agent.read(&mut world.vault, SECRET).unwrap();
    world.later(200);
    world.apply(vec![api, dated]);
    world.tick();
    assert_eq!(agent.list(&mut world.vault), [lease.number]);
}

#[test]
fn f6_a_shorter_age_of_evidence_ends_identities_when_they_get_that_old() {
    for crash in [false, true] {
        let mut world = World::new(vec![web()]);
        let mut agent = world.agent("web");
        let lease = agent.read(&mut world.vault, SECRET).unwrap();
        world.later(100);
        world.apply(vec![Role { evidence_max_age_secs: 300, ..web() }]);
        if crash {
            world = world.crash();
        }
        world.tick();
        assert_eq!(world.held(), [lease.number], "it is younger than that yet");
        assert!(world.vault.core.next_tick() <= START + 300, "and will not be forgotten");
        world.later(199);
        world.tick();
        assert_eq!(world.held(), [lease.number]);
        world.later(1);
        if !crash {
            let refusal = agent.ask(&mut world.vault, &get(SECRET, None)).unwrap_err();
            assert_eq!(refusal.rule.as_deref(), Some("evidence.age"), "a session is told at once");
        }
        world.tick();
        assert_eq!(world.held(), [0u64; 0], "crash: {crash}");
        assert_eq!(world.vault.core.state_digest(), world.replayed());
    }
}

#[test]
fn a_longer_age_of_evidence_prolongs_no_promise() {
    let mut world = World::new(vec![web()]);
    let mut agent = world.agent("web");
    world.apply(vec![Role { evidence_max_age_secs: 7200, ..web() }]);
    world.later(3600);
    assert_eq!(code(agent.read(&mut world.vault, SECRET)), RefusalCode::EvidenceExpired);
}
