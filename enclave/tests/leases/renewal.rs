//! Who may renew, for how long, and by what evidence.

use vouchsafe_crypto::signature::P256Key;
use vouchsafe_protocol::lease::Selector;
use vouchsafe_protocol::policy::{
    Accept, AgeCondition, Allow, Capability, Conditions, Deny, Expiry, LeaseTerms, ReferenceValue, Renewal,
};
use vouchsafe_protocol::refusal::RefusalCode;
use vouchsafe_protocol::session::Request;

use crate::support::*;
use crate::world::*;

const READ: &[Capability] = &[Capability::Read];

#[test]
fn v7_only_the_key_and_role_that_hold_a_lease_renew_it() {
    let api = reader("api", vec![leased("kv/web/*", READ, 600, 1500)]);
    let mut world = World::new(vec![web(), api]);
    let key = P256Key::generate().unwrap();
    let mut holder = world.agent_of("web", &key, MEASUREMENT);
    let lease = holder.read(&mut world.vault, SECRET).unwrap();
    let mut same_role = world.agent("web");
    let mut other_role = world.agent("api");
    let mut same_key_other_role = world.agent_of("api", &key, MEASUREMENT);
    world.later(300);
    let before = world.vault.core.state_digest();
    for other in [&mut same_role, &mut other_role, &mut same_key_other_role] {
        assert_eq!(code(other.renew(&mut world.vault, lease.number)), RefusalCode::NotFound);
        assert_eq!(
            code(other.revoke(&mut world.vault, Selector::Lease(lease.number))),
            RefusalCode::NotFound
        );
        assert_eq!(other.list(&mut world.vault), [0u64; 0], "another's lease is shown");
    }
    assert_eq!(code(world.operator.renew(&mut world.vault, lease.number)), RefusalCode::Denied);
    assert_eq!(world.vault.core.state_digest(), before, "V3: a refused renewal changed something");
    assert_eq!(holder.renew(&mut world.vault, lease.number).unwrap().until_secs, START + 900);
}

#[test]
fn v7_a_new_introduction_with_the_same_key_takes_the_lease_over() {
    let mut world = World::new(vec![web()]);
    let key = P256Key::generate().unwrap();
    let mut holder = world.agent_of("web", &key, MEASUREMENT);
    let lease = holder.read(&mut world.vault, SECRET).unwrap();
    let first = number(&mut world, &holder, lease.number);
    world.later(100);
    let mut again = world.agent_of("web", &key, MEASUREMENT);
    // Not before it is renewed.
    assert_eq!(number(&mut world, &again, lease.number), first);
    // The session that was open goes on with the new evidence, too.
    assert_eq!(holder.renew(&mut world.vault, lease.number).unwrap().until_secs, START + 700);
    let second = number(&mut world, &again, lease.number);
    assert!(second > first);
    world.revoke(Selector::Identity(first));
    world.tick();
    assert_eq!(again.list(&mut world.vault), [lease.number], "it rests on the new identity now");
    world.revoke(Selector::Identity(second));
    assert_eq!(world.held(), [0u64; 0]);
    assert_eq!(rule(again.renew(&mut world.vault, lease.number)), "identity.revoked");
}

#[test]
fn a_lease_is_renewed_up_to_its_maximum_and_then_ends() {
    let mut world = World::new(vec![web()]);
    let mut holder = world.agent("web");
    let lease = holder.read(&mut world.vault, SECRET).unwrap();
    assert_eq!((lease.until_secs, lease.end_secs), (START + 600, START + 1500));
    world.later(599);
    assert_eq!(holder.renew(&mut world.vault, lease.number).unwrap().until_secs, START + 1199);
    world.later(599);
    assert_eq!(holder.renew(&mut world.vault, lease.number).unwrap().until_secs, START + 1500);
    let before = world.vault.core.state_digest();
    assert_eq!(code(holder.renew(&mut world.vault, lease.number)), RefusalCode::LeaseEnd);
    assert_eq!(world.vault.core.state_digest(), before);
    world.later(302);
    assert_eq!(code(holder.renew(&mut world.vault, lease.number)), RefusalCode::NotFound);
    // What it is for can be had anew.
    assert_eq!(holder.read(&mut world.vault, SECRET).unwrap().number, lease.number + 1);
}

#[test]
fn a_renewal_never_shortens_what_was_promised() {
    let mut world = World::new(vec![web()]);
    let mut holder = world.agent("web");
    let lease = holder.read(&mut world.vault, SECRET).unwrap();
    world.apply(vec![reader("web", vec![leased("kv/web/*", READ, 60, 60)])]);
    world.later(10);
    assert_eq!(holder.renew(&mut world.vault, lease.number).unwrap(), lease);
}

#[test]
fn fresh_evidence_means_an_introduction_since_the_last_renewal() {
    let mut role = web();
    role.allow[0].lease =
        LeaseTerms::Lease { ttl_secs: 600, max_secs: 3000, renewal: Renewal::FreshEvidence };
    let mut world = World::new(vec![role]);
    let key = P256Key::generate().unwrap();
    let mut holder = world.agent_of("web", &key, MEASUREMENT);
    let lease = holder.read(&mut world.vault, SECRET).unwrap();
    for round in 1..=2 {
        world.later(100);
        let before = world.vault.core.state_digest();
        assert_eq!(code(holder.renew(&mut world.vault, lease.number)), RefusalCode::EvidenceExpired);
        assert_eq!(world.vault.core.state_digest(), before);
        world.introduce("web", &key, MEASUREMENT).unwrap();
        let until = START + 100 * round + 600;
        assert_eq!(holder.renew(&mut world.vault, lease.number).unwrap().until_secs, until);
    }
}

#[test]
fn f3_introductions_kept_in_stock_are_not_fresh_evidence() {
    let mut role = web();
    role.allow[0].lease =
        LeaseTerms::Lease { ttl_secs: 600, max_secs: 3000, renewal: Renewal::FreshEvidence };
    let mut world = World::new(vec![role]);
    let key = P256Key::generate().unwrap();
    let mut holder = world.agent_of("web", &key, MEASUREMENT);
    let stock: Vec<_> = (0..3).map(|_| world.introduce("web", &key, MEASUREMENT).unwrap()).collect();
    let lease = holder.read(&mut world.vault, SECRET).unwrap();
    world.later(100);
    for identity in stock {
        let session = world.vault.open(&identity).unwrap();
        let mut later = Client { identity, session };
        assert_eq!(code(later.renew(&mut world.vault, lease.number)), RefusalCode::EvidenceExpired);
    }
    world.introduce("web", &key, MEASUREMENT).unwrap();
    holder.renew(&mut world.vault, lease.number).unwrap();
}

#[test]
fn a_lease_does_not_go_back_to_older_evidence() {
    let mut world = World::new(vec![web()]);
    let key = P256Key::generate().unwrap();
    let old = world.introduce("web", &key, MEASUREMENT).unwrap();
    let mut holder = world.agent_of("web", &key, MEASUREMENT);
    let lease = holder.read(&mut world.vault, SECRET).unwrap();
    let newest = number(&mut world, &holder, lease.number);
    // A session that was opened with the older certificate, after the newer one was issued.
    let session = world.vault.open(&old).unwrap();
    Client { identity: old, session }.renew(&mut world.vault, lease.number).unwrap();
    assert_eq!(number(&mut world, &holder, lease.number), newest);
}

#[test]
fn f6_no_lease_outlives_the_evidence_it_rests_on() {
    let mut world = World::new(vec![reader("web", vec![leased("kv/web/*", READ, 80_000, 90_000)])]);
    let key = P256Key::generate().unwrap();
    let mut holder = world.agent_of("web", &key, MEASUREMENT);
    world.later(600);
    let lease = holder.read(&mut world.vault, SECRET).unwrap();
    assert_eq!(
        lease.until_secs,
        START + 3600,
        "its evidence is too old from then on, whatever the rule says"
    );
    assert_eq!(
        holder.renew(&mut world.vault, lease.number).unwrap(),
        lease,
        "the same evidence is no younger"
    );
    world.later(1000);
    let mut again = world.agent_of("web", &key, MEASUREMENT);
    assert_eq!(again.renew(&mut world.vault, lease.number).unwrap().until_secs, START + 1600 + 3600);
    world.later(3600);
    // The certificate is good for another hour; the evidence is not.
    assert_eq!(code(again.renew(&mut world.vault, lease.number)), RefusalCode::EvidenceExpired);
    let identity = again.identity;
    assert_eq!(world.vault.open(&identity).err().unwrap().code, RefusalCode::EvidenceExpired);
    world.operator = world_operator(&mut world.vault);
    assert_eq!(world.held(), [0u64; 0]);
}

#[test]
fn f6_a_grant_that_asks_for_young_evidence_gives_and_renews_nothing_on_older() {
    let when = Conditions { evidence_age: AgeCondition::AtMost(300), ..Conditions::default() };
    let mut world =
        World::new(vec![reader("web", vec![Allow { when, ..leased("kv/web/*", READ, 250, 2500) }])]);
    let key = P256Key::generate().unwrap();
    let mut holder = world.agent_of("web", &key, MEASUREMENT);
    world.later(299);
    let lease = holder.read(&mut world.vault, SECRET).unwrap();
    assert!(holder.renew(&mut world.vault, lease.number).is_ok());
    world.later(1);
    assert_eq!(code(holder.read(&mut world.vault, SECRET)), RefusalCode::Denied);
    assert_eq!(code(holder.renew(&mut world.vault, lease.number)), RefusalCode::Denied);
    assert_eq!(holder.list(&mut world.vault), [lease.number], "what was promised holds");
    world.introduce("web", &key, MEASUREMENT).unwrap();
    assert!(holder.renew(&mut world.vault, lease.number).is_ok());
}

#[test]
fn f6_a_reference_value_that_has_expired_renews_nothing() {
    let mut role = web();
    let [Accept::Snp(snp)] = role.accept.as_mut_slice() else { panic!() };
    let expiry = Expiry::At { expires_unix_secs: START + 200, grace_secs: 0 };
    snp.measurements[0] = ReferenceValue { value: MEASUREMENT, expiry };
    let mut world = World::new(vec![role]);
    let (mut dated, mut lasting) =
        (world.agent("web"), world.agent_of("web", &P256Key::generate().unwrap(), OTHER));
    let lease = dated.read(&mut world.vault, SECRET).unwrap();
    let other = lasting.read(&mut world.vault, SECRET).unwrap();
    world.later(199);
    assert!(dated.renew(&mut world.vault, lease.number).is_ok());
    world.later(1);
    let refusal = dated.renew(&mut world.vault, lease.number).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::EvidenceExpired);
    assert_eq!(refusal.rule.unwrap(), "snp.measurement.expired");
    assert!(lasting.renew(&mut world.vault, other.number).is_ok());
}

#[test]
fn a_renewal_asks_for_what_was_handed_out() {
    let mut world = World::new(vec![web()]);
    let mut holder = world.agent("web");
    let lease = holder.read(&mut world.vault, SECRET).unwrap();
    let others: &[Capability] = &[Capability::DataKey, Capability::Derive, Capability::Export];
    let without = |allow| vec![reader("web", allow)];
    for roles in [
        // Something else is allowed there, and leased.
        without(vec![leased("+/web/*", others, 600, 1500)]),
        without(vec![leased("kv/webs/*", READ, 600, 1500)]),
        // It is allowed, and not leased any more.
        without(vec![Allow::always("kv/web/*", READ)]),
    ] {
        world.apply(roles);
        assert_eq!(code(holder.renew(&mut world.vault, lease.number)), RefusalCode::Denied);
    }
    let mut denied = web();
    denied.deny.push(Deny { path: "kv/+/a".to_owned(), cannot: READ.to_vec() });
    world.apply(vec![denied]);
    assert_eq!(code(holder.renew(&mut world.vault, lease.number)), RefusalCode::Denied);
    world.apply(vec![web()]);
    assert!(holder.renew(&mut world.vault, lease.number).is_ok());
}

#[test]
fn agents_see_and_end_their_own_leases_only() {
    let mut world = World::new(vec![web()]);
    let (mut one, mut other) = (world.agent("web"), world.agent("web"));
    let (first, second) =
        (one.read(&mut world.vault, SECRET).unwrap(), other.read(&mut world.vault, SECRET).unwrap());
    let third = one.read(&mut world.vault, "kv/web/b").unwrap();
    assert_eq!(one.list(&mut world.vault), [first.number, third.number]);
    assert_eq!(other.list(&mut world.vault), [second.number]);
    assert_eq!(world.held(), [first.number, second.number, third.number]);
    let before = world.vault.core.state_digest();
    for selector in [
        Selector::EvidenceBefore(u64::MAX),
        Selector::Identity(1),
        Selector::Measurement(MEASUREMENT.0.to_vec()),
        Selector::Platform(CHIP.to_vec()),
        Selector::Prefix("kv".parse().unwrap()),
        Selector::Role("web".parse().unwrap()),
    ] {
        assert_eq!(code(one.revoke(&mut world.vault, selector)), RefusalCode::Denied);
    }
    assert_eq!(code(one.revoke(&mut world.vault, Selector::Lease(second.number))), RefusalCode::NotFound);
    assert_eq!(code(one.revoke(&mut world.vault, Selector::Lease(99))), RefusalCode::NotFound);
    assert_eq!(world.vault.core.state_digest(), before, "V3");
    one.revoke(&mut world.vault, Selector::Lease(first.number)).unwrap();
    assert_eq!(world.held(), [second.number, third.number]);
    assert_eq!(code(one.renew(&mut world.vault, first.number)), RefusalCode::NotFound);
    assert_eq!(code(one.revoke(&mut world.vault, Selector::Lease(first.number))), RefusalCode::NotFound);
}

#[test]
fn only_what_is_handed_out_with_a_lease_has_one() {
    let list: &[Capability] = &[Capability::List, Capability::Write];
    let mut world = World::new(vec![reader(
        "web",
        vec![Allow::always("kv/web/b", READ), leased("kv/web/*", &[READ, list].concat(), 60, 60)],
    )]);
    let mut agent = world.agent("web");
    let bare = agent.ask(&mut world.vault, &get("kv/web/b", None)).unwrap();
    assert_eq!(bare.lease, None, "the first rule that matches has none");
    let written = agent.ask(&mut world.vault, &put(SECRET, b"y", vouchsafe_protocol::kv::Cas::Any)).unwrap();
    assert_eq!(written.lease, None);
    let refused = agent.ask(&mut world.vault, &get("kv/web/none", None)).unwrap_err();
    assert_eq!(refused.code, RefusalCode::NotFound);
    assert_eq!(world.held(), [0u64; 0], "V3: an error path made a lease");
    assert!(agent.ask(&mut world.vault, &get(SECRET, None)).unwrap().lease.is_some());
    assert!(agent.ask(&mut world.vault, &Request::Status).is_err());
}

fn world_operator(vault: &mut Vault) -> Client {
    let identity = vault.introduce_operator();
    let session = vault.open(&identity).unwrap();
    Client { identity, session }
}
