//! What a refusal tells (F9): a code, the same one for everything that an attacker could learn from by trying.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use support::*;
use vouchsafe_crypto::signature::P256Key;
use vouchsafe_protocol::evidence::Evidence;
use vouchsafe_protocol::introduction::{Proof, Subject};
use vouchsafe_protocol::policy::{LaunchDigest, RefusalDetail, Role};
use vouchsafe_protocol::refusal::{Refusal, RefusalCode};
use vouchsafe_protocol::session::Request;

fn vault_with(roles: Vec<Role>) -> Vault {
    let mut vault = Vault::create();
    let operator = vault.introduce_operator();
    let mut session = vault.open(&operator).unwrap();
    vault.outcome(&mut session, &operator, &Request::RoleApply(roles)).unwrap();
    vault
}

/// Every way to be refused for what the evidence says, each from a right proof by one change.
fn refusals(vault: &mut Vault) -> Vec<Refusal> {
    let changes: [fn(&mut Evidence); 4] = [
        |evidence| *evidence = evidence_of(LaunchDigest([8; 48]), &statement_of_nothing()),
        |evidence| edit(evidence, 0x90),
        |evidence| edit(evidence, 0x1a0),
        |evidence| edit(evidence, 0x2a0),
    ];
    let mut found = Vec::new();
    for change in changes {
        let hello = vault.hello(agent("web"));
        let offer = vault.offer(&hello).unwrap();
        let key = P256Key::generate().unwrap();
        let mut evidence = evidence(&binding(&hello, &offer, &key.spki(), "web"));
        change(&mut evidence);
        let prove = signed(&hello, &offer, &key, &key.spki(), Proof::Evidence { evidence, activated: None });
        found.push(vault.prove(&prove).unwrap_err());
    }
    // Right but for its measurement: the signature is genuine.
    let hello = vault.hello(agent("web"));
    let offer = vault.offer(&hello).unwrap();
    let key = P256Key::generate().unwrap();
    let other = proof(&hello, &offer, &key, &key.spki(), "web", LaunchDigest([8; 48]));
    found.push(vault.prove(&other).unwrap_err());
    // A role that does not exist is refused like one whose evidence is wrong.
    found.push(vault.offer(&vault.hello(agent("none"))).err().unwrap());
    found
}

/// Evidence over something else entirely.
fn statement_of_nothing() -> vouchsafe_attestation::statement::StatementPreimage {
    let id = Vault::create().id();
    vouchsafe_attestation::statement::vault(&id, b"", b"", b"", &[0; 32])
}

/// Flips a bit of the report: measurement at 0x90, chip id at 0x1a0, signature at 0x2a0.
fn edit(evidence: &mut Evidence, at: usize) {
    if let Evidence::Snp(snp) = evidence {
        *snp.report.get_mut(at).unwrap() ^= 1;
    }
}

#[test]
fn f9_refused_evidence_is_one_code_and_nothing_else() {
    let mut vault = vault_with(vec![Role { refusals: RefusalDetail::CodeOnly, ..role("web", &[]) }]);
    let opaque = Refusal { code: RefusalCode::Evidence, rule: None };
    for refusal in refusals(&mut vault) {
        assert_eq!(refusal, opaque);
    }
}

#[test]
fn f9_a_role_that_names_rules_names_them_and_never_a_value() {
    let mut vault = vault_with(vec![role("web", &[])]);
    let refusals = refusals(&mut vault);
    let (unknown_role, known) = refusals.split_last().unwrap();
    assert_eq!(*unknown_role, Refusal { code: RefusalCode::Evidence, rule: None });
    let mut rules = std::collections::BTreeSet::new();
    for refusal in known {
        let rule = refusal.rule.as_deref().unwrap();
        assert!(
            rule.len() < 64 && rule.bytes().all(|b| b.is_ascii_lowercase() || b"._0123456789".contains(&b)),
            "{rule}"
        );
        rules.insert(rule.to_owned());
    }
    assert!(rules.len() > 1, "the changes above fail different rules: {rules:?}");
}

#[test]
fn f9_an_unknown_operator_is_refused_like_a_wrong_key() {
    let mut vault = Vault::create();
    let thief = P256Key::generate().unwrap();
    let mut refused = |name: &str| {
        let hello = vault.hello(Subject::Operator(name.parse().unwrap()));
        let offer = vault.offer(&hello).unwrap();
        vault.prove(&signed(&hello, &offer, &thief, &thief.spki(), Proof::OperatorKey)).unwrap_err()
    };
    assert_eq!(refused("op"), refused("nobody"));
}

#[test]
fn f9_what_is_not_allowed_looks_the_same_whether_or_not_it_exists() {
    let mut vault =
        vault_with(vec![role("web", &[("kv/web/*", ALL)]), role("other", &[("kv/other/*", ALL)])]);
    let owner = vault.introduce("other").unwrap();
    let mut session = vault.open(&owner).unwrap();
    let there = put("kv/other/there", b"value", vouchsafe_protocol::kv::Cas::Any);
    vault.outcome(&mut session, &owner, &there).unwrap();

    let agent = vault.introduce("web").unwrap();
    let mut session = vault.open(&agent).unwrap();
    for version in [None, Some(1), Some(9)] {
        let mut refused = |path| vault.outcome(&mut session, &agent, &get(path, version)).err();
        let (exists, does_not) = (refused("kv/other/there"), refused("kv/other/nothing"));
        assert_eq!((exists, does_not), (Some(RefusalCode::Denied), Some(RefusalCode::Denied)));
    }
}
