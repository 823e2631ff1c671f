//! The derive engine: the same key for the same role, label, version and vault, and another for anything else.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests and their helpers")]

#[path = "support/keys.rs"]
mod keys;
mod support;

use keys::{Rig, path};
use support::*;
use vouchsafe_protocol::codec;
use vouchsafe_protocol::derive::*;
use vouchsafe_protocol::limits::DERIVED_KEY_LEN;
use vouchsafe_protocol::policy::{
    Accept, Capability, ChipRule, LaunchDigest, Product, RevocationRule, SnpAccept,
};
use vouchsafe_protocol::refusal::RefusalCode;
use vouchsafe_protocol::session::{Reply, Request};

const GRANT: &[(&str, &[Capability])] = &[("derive/web/*", &[Capability::Derive, Capability::List])];

fn key(label: &str, version: Option<u32>, len: u8) -> Request {
    Request::Derive(DeriveRequest::Key { label: path(label), version, len })
}

fn rotate(label: &str) -> Request {
    Request::Derive(DeriveRequest::Rotate { label: path(label) })
}

fn configure(label: &str, min_version: u32) -> Request {
    Request::Derive(DeriveRequest::Configure { label: path(label), min_version })
}

fn derived(reply: Result<Reply, RefusalCode>) -> (u32, Vec<u8>) {
    match reply {
        Ok(Reply::Derive(DeriveReply::Key { version, key })) => (version, key.expose_secret().to_vec()),
        other => panic!("{other:?}"),
    }
}

fn current(rig: &mut Rig, label: &str) -> Vec<u8> {
    derived(rig.ask(true, &key(label, None, 32))).1
}

#[test]
fn a_key_is_the_same_after_a_crash_and_for_every_session_of_its_role() {
    let mut rig = Rig::with(GRANT);
    let own = current(&mut rig, "derive/web/disk");
    assert_eq!(own.len(), 32);
    assert_eq!(own, current(&mut rig, "derive/web/disk"));
    rig.renew();
    assert_eq!(own, current(&mut rig, "derive/web/disk"), "another identity of the role");
    rig = rig.crash();
    assert_eq!(own, current(&mut rig, "derive/web/disk"), "after a restart");
}

/// The role goes on to accept another release: its agents have the same keys.
#[test]
fn a_key_survives_a_redeploy_of_an_accepted_release() {
    let mut rig = Rig::with(GRANT);
    let own = current(&mut rig, "derive/web/disk");
    let newer = LaunchDigest([9; 48]);
    let mut both = role("web", GRANT);
    let Accept::Snp(old) = &both.accept[0] else { panic!("another kind") };
    let accept = SnpAccept::strict(
        vec![Product::Genoa],
        vec![MEASUREMENT.into(), newer.into()],
        old.tcb_floors.clone(),
        ChipRule::AnyChip,
        RevocationRule::Unchecked,
    );
    both.accept = vec![Accept::Snp(accept)];
    rig.ask(false, &Request::RoleApply(vec![both])).unwrap();
    let hello = rig.vault.hello(agent("web"));
    let offer = rig.vault.offer(&hello).unwrap();
    let identity = vouchsafe_crypto::signature::P256Key::generate().unwrap();
    let prove = proof(&hello, &offer, &identity, &identity.spki(), "web", newer);
    let grant = rig.vault.prove(&prove).unwrap();
    let redeployed = Identity { key: identity, grant, prove };
    let mut session = rig.vault.open(&redeployed).unwrap();
    let reply = rig.vault.outcome(&mut session, &redeployed, &key("derive/web/disk", None, 32));
    assert_eq!(derived(reply).1, own);
}

#[test]
fn v7_every_role_label_length_version_and_vault_has_another_key() {
    let mut rig = Rig::with(GRANT);
    let own = current(&mut rig, "derive/web/disk");
    let mut all = vec![own, current(&mut rig, "derive/web/disc")];
    let long = derived(rig.ask(true, &key("derive/web/disk", None, 64))).1;
    all.extend([long[..32].to_vec(), long[32..].to_vec()]);
    // Another role with the same grant.
    rig.ask(false, &Request::RoleApply(vec![role("other", GRANT)])).unwrap();
    let other = rig.vault.introduce("other").unwrap();
    let mut session = rig.vault.open(&other).unwrap();
    all.push(derived(rig.vault.outcome(&mut session, &other, &key("derive/web/disk", None, 32))).1);
    // The next version.
    rig.ask(false, &rotate("derive/web/disk")).unwrap();
    all.push(current(&mut rig, "derive/web/disk"));
    // Another vault.
    all.push(current(&mut Rig::with(GRANT), "derive/web/disk"));
    let count = all.len();
    let unique: std::collections::BTreeSet<_> = all.into_iter().collect();
    assert_eq!(unique.len(), count);
}

#[test]
fn versions_are_derived_from_the_minimum_to_the_current_one() {
    let mut rig = Rig::with(GRANT);
    let label = "derive/web/disk";
    let first = current(&mut rig, label);
    let Ok(Reply::Derive(DeriveReply::Version(2))) = rig.ask(false, &rotate(label)) else { panic!() };
    assert_eq!(derived(rig.ask(true, &key(label, Some(1), 32))), (1, first.clone()), "while it is allowed");
    let (version, second) = derived(rig.ask(true, &key(label, None, 32)));
    assert_eq!(version, 2);
    assert_eq!(derived(rig.ask(true, &key(label, Some(2), 32))).1, second);
    for version in [0, 3, u32::MAX] {
        rig.refuses(true, &key(label, Some(version), 32), RefusalCode::NotFound);
    }
    rig.ask(false, &configure(label, 2)).unwrap();
    rig.refuses(true, &key(label, Some(1), 32), RefusalCode::NotFound);
    let Ok(Reply::Derive(DeriveReply::Metadata(metadata))) =
        rig.ask(false, &Request::Derive(DeriveRequest::Metadata { label: path(label) }))
    else {
        panic!()
    };
    assert_eq!(metadata, LabelMetadata { current: 2, min_version: 2, rotated_secs: START });
    rig = rig.crash();
    rig.refuses(true, &key(label, Some(1), 32), RefusalCode::NotFound);
    assert_eq!(current(&mut rig, label), second);
}

#[test]
fn v3_every_refusal_leaves_the_state_as_it_was() {
    let mut rig = Rig::with(GRANT);
    let label = "derive/web/disk";
    for (len, code) in [
        (DERIVED_KEY_LEN.start() - 1, RefusalCode::TooLarge),
        (DERIVED_KEY_LEN.end() + 1, RefusalCode::TooLarge),
    ] {
        rig.refuses(true, &key(label, None, len), code);
    }
    // A refused first request does not even make the seed.
    rig.refuses(true, &key(label, Some(2), 32), RefusalCode::NotFound);
    rig.refuses(true, &key("derive/other/disk", None, 32), RefusalCode::Denied);
    rig.refuses(false, &key(label, None, 32), RefusalCode::Denied);
    rig.refuses(true, &rotate(label), RefusalCode::Denied);
    rig.refuses(true, &configure(label, 1), RefusalCode::Denied);
    for min_version in [0, 2] {
        rig.refuses(false, &configure(label, min_version), RefusalCode::Settings);
    }
    rig.refuses(false, &rotate("derive"), RefusalCode::Path);
    rig.refuses(false, &rotate("transit/web/disk"), RefusalCode::Path);
    rig.ask(false, &rotate(label)).unwrap();
    rig.ask(false, &configure(label, 2)).unwrap();
    rig.refuses(false, &configure(label, 1), RefusalCode::Settings);
}

/// The seed is made once, by a change of its own, and before the first key is given.
#[test]
fn h4_the_seed_is_durable_before_the_first_key_and_made_once() {
    let mut rig = Rig::with(GRANT);
    let before = rig.digest();
    current(&mut rig, "derive/web/disk");
    let with_seed = rig.digest();
    assert_ne!(with_seed, before);
    current(&mut rig, "derive/web/other");
    assert_eq!(rig.digest(), with_seed, "deriving changes nothing more");
}

#[test]
fn touched_labels_are_listed() {
    let mut rig = Rig::with(GRANT);
    for label in ["derive/web/b", "derive/web/a", "derive/web/a/x"] {
        rig.ask(false, &rotate(label)).unwrap();
    }
    let list = Request::Derive(DeriveRequest::List { prefix: path("derive/web"), after: None });
    for agent in [true, false] {
        let Ok(Reply::Derive(DeriveReply::Names { names, more: false })) = rig.ask(agent, &list) else {
            panic!()
        };
        assert_eq!(names, ["a", "a/", "b"]);
    }
    assert!(codec::encode(&list).is_ok());
}
