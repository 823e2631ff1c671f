use vouchsafe_protocol::policy::{Hours, PlatformKind, RefusalDetail};

use super::*;

/// Monday, 2026-11-23, 12:00 UTC.
const NOON: u64 = 1_795_392_000 + 12 * 3600;

fn identity(role: &str, platform: Vec<u8>) -> Identity {
    Identity {
        number: 1,
        certificate: [1; 32],
        key: vec![2; 91],
        subject: IdentitySubject::Agent {
            role: role.parse().unwrap(),
            evidence: [3; 32],
            platform,
            measurement: vec![0xab; 48],
            kind: PlatformKind::Snp,
        },
        at_secs: NOON - 600,
        not_after_secs: NOON + 600,
        evidence_until_secs: NOON + 600,
        clock: None,
    }
}

fn role(allow: Vec<Allow>, deny: Vec<Deny>) -> Role {
    Role {
        name: "web".parse().unwrap(),
        spiffe_path: "/web".to_owned(),
        evidence_max_age_secs: 3600,
        identity_ttl_secs: 3600,
        refusals: RefusalDetail::CodeOnly,
        accept: vec![],
        allow,
        deny,
        leases_per_identity: 1,
        leases: 1,
    }
}

fn deny(path: &str) -> Deny {
    Deny { path: path.to_owned(), cannot: vec![Capability::Read] }
}

fn read(allow: Vec<Allow>, denied: Vec<Deny>, path: &str) -> Ruling {
    ruling(allow, denied, path, &identity("web", vec![0xc0, 0xde]), NOON)
}

fn ruling(allow: Vec<Allow>, deny: Vec<Deny>, path: &str, identity: &Identity, now: u64) -> Ruling {
    let grants = Grants::of(&role(allow, deny));
    grants.ruling(Capability::Read, &path.parse().unwrap(), false, Asking { identity, now })
}

fn allowed(rule: u16) -> Ruling {
    Ruling::Allowed { rule: PolicyRule::Allow(rule), lease: LeaseTerms::None }
}

const READ: &[Capability] = &[Capability::Read];

#[test]
fn what_no_rule_allows_is_denied() {
    assert_eq!(read(vec![], vec![], "kv/a"), Ruling::Denied(PolicyRule::None));
    let other = Allow::always("kv/a", &[Capability::Write]);
    assert_eq!(read(vec![other], vec![], "kv/a"), Ruling::Denied(PolicyRule::None));
    let first_that_matches = vec![Allow::always("kv/b", READ), Allow::always("kv/*", READ)];
    assert_eq!(read(first_that_matches, vec![], "kv/a"), allowed(2));
}

#[test]
fn a_deny_rule_wins_however_wide_and_wherever_it_stands() {
    let exact = || vec![Allow::always("kv/prod/db", READ)];
    assert_eq!(read(exact(), vec![deny("kv/dev/*")], "kv/prod/db"), allowed(1));
    assert_eq!(
        read(exact(), vec![deny("kv/dev/*"), deny("kv/*")], "kv/prod/db"),
        Ruling::Denied(PolicyRule::Deny(2))
    );
    let writes = Deny { path: "kv/*".to_owned(), cannot: vec![Capability::Write] };
    assert_eq!(read(exact(), vec![writes], "kv/prod/db"), allowed(1));
}

#[test]
fn attributes_are_those_of_the_identity() {
    let by = |attribute: &str| vec![Allow::always(format!("kv/{attribute}/*"), READ)];
    assert_eq!(read(by("{role}"), vec![], "kv/web/x"), allowed(1));
    assert_eq!(read(by("{role}"), vec![], "kv/api/x"), Ruling::Denied(PolicyRule::None));
    assert_eq!(read(by("{platform}"), vec![], "kv/c0de/x"), allowed(1));
    assert_eq!(read(by("{measurement}"), vec![], &format!("kv/{}/x", "ab".repeat(48))), allowed(1));
}

#[test]
fn v12_a_rule_that_cannot_be_judged_allows_nothing_and_denies_everything() {
    // A name with a dot at its end is a role's, and no segment of a path.
    let odd = identity("web.", vec![]);
    let by_role = || vec![Allow::always("kv/{role}/*", READ)];
    assert_eq!(ruling(by_role(), vec![], "kv/web/x", &odd, NOON), Ruling::Denied(PolicyRule::None));
    let all = || vec![Allow::always("kv/*", READ)];
    assert_eq!(ruling(all(), vec![], "kv/web/x", &odd, NOON), allowed(1));
    let denied = ruling(all(), vec![deny("kv/{role}/*")], "kv/web/x", &odd, NOON);
    assert_eq!(denied, Ruling::Denied(PolicyRule::Deny(1)));
}

#[test]
fn each_condition_decides_alone() {
    let when = |when: Conditions| vec![Allow { when, ..Allow::always("kv/*", READ) }];
    let denied = Ruling::Denied(PolicyRule::None);
    let age = |secs| Conditions { evidence_age: AgeCondition::AtMost(secs), ..Conditions::default() };
    assert_eq!(read(when(age(601)), vec![], "kv/a"), allowed(1));
    assert_eq!(read(when(age(600)), vec![], "kv/a"), denied, "f6: its evidence is as old as that");
    let kinds = |kinds: &[PlatformKind]| Conditions {
        platform: PlatformCondition::OneOf(kinds.to_vec()),
        ..Conditions::default()
    };
    assert_eq!(read(when(kinds(&[PlatformKind::Tpm, PlatformKind::Snp])), vec![], "kv/a"), allowed(1));
    assert_eq!(read(when(kinds(&[PlatformKind::Tpm, PlatformKind::SnpVtpm])), vec![], "kv/a"), denied);
    let hours = |from_minute, until_minute| Conditions {
        hours: HoursCondition::Within(Hours { from_minute, until_minute, days: 1 }),
        ..Conditions::default()
    };
    assert_eq!(read(when(hours(12 * 60, 12 * 60 + 1)), vec![], "kv/a"), allowed(1));
    assert_eq!(read(when(hours(12 * 60 + 1, 13 * 60)), vec![], "kv/a"), denied);
}
