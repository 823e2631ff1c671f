use super::*;
use crate::policy::{Hours, RefusalDetail};

/// Monday, 2026-11-23, 12:00 UTC.
const NOON: u64 = 1_795_392_000 + 12 * 3600;

/// An identity of ten minutes ago.
struct Identity {
    role: RoleName,
    platform: Vec<u8>,
}

fn identity(role: &str, platform: Vec<u8>) -> Identity {
    Identity { role: role.parse().unwrap(), platform }
}

fn asking(identity: &Identity, now_secs: u64) -> Asking<'_> {
    Asking {
        role: &identity.role,
        platform: Some(&identity.platform),
        measurement: Some(&[0xab; 48]),
        kind: PlatformKind::Snp,
        evidence_at_secs: NOON - 600,
        now_secs,
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
    let wanted = Wanted { capability: Capability::Read, path: &path.parse().unwrap(), below: false };
    grants.ruling(wanted, asking(identity, now))
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

#[test]
fn what_is_changed_below_a_prefix_reaches_nothing_that_is_denied() {
    let all: &[Capability] = &[Capability::List, Capability::Manage];
    let ruling = |deny: &str, path: &str, capability| {
        let denied = Deny { path: deny.to_owned(), cannot: all.to_vec() };
        let grants = Grants::of(&role(vec![Allow::always("kv/*", all)], vec![denied]));
        let wanted = Wanted { capability, path: &path.parse().unwrap(), below: true };
        grants.ruling(wanted, asking(&identity("web", vec![]), NOON))
    };
    for deny in ["kv/a/b", "kv/a/*", "kv/+/b", "kv/a/b/c/*", "kv/{role}/x"] {
        let denied = Ruling::Denied(PolicyRule::Deny(1));
        assert_eq!(ruling(deny, "kv/a", Capability::Manage), denied, "{deny}");
    }
    for deny in ["kv/b/*", "kv/a", "kv/ab/*"] {
        assert_eq!(ruling(deny, "kv/a", Capability::Manage), allowed(1), "{deny}");
    }
    // A list shows names directly below, and no more.
    assert_eq!(ruling("kv/a/b", "kv/a", Capability::List), allowed(1));
    assert_eq!(ruling("kv/a/*", "kv/a", Capability::List), Ruling::Denied(PolicyRule::Deny(1)));
}

#[test]
fn each_rule_says_why() {
    let when = |when: Conditions| Allow { when, ..Allow::always("kv/*", READ) };
    let rules = vec![
        Allow::always("kv/a", &[Capability::Write]),
        Allow::always("kv/b", READ),
        Allow::always("kv/{platform}", READ),
        when(Conditions { evidence_age: AgeCondition::AtMost(600), ..Conditions::default() }),
        when(Conditions {
            platform: PlatformCondition::OneOf(vec![PlatformKind::Tpm]),
            ..Conditions::default()
        }),
        when(Conditions {
            hours: HoursCondition::Within(Hours { from_minute: 0, until_minute: 1, days: 1 }),
            ..Conditions::default()
        }),
        Allow::always("kv/+", READ),
    ];
    let grants = Grants::of(&role(rules, vec![deny("kv/b"), deny("kv/{measurement}")]));
    let wanted = Wanted { capability: Capability::Read, path: &"kv/a".parse().unwrap(), below: false };
    let identity = identity("web", vec![]);
    let unknown = Asking { platform: None, measurement: None, ..asking(&identity, NOON) };
    let (denies, allows) = grants.explain(wanted, unknown);
    assert_eq!(denies, [Said::OtherPath, Said::NoAttribute(AttributeError(Attribute::Measurement))]);
    let expected = [
        Said::OtherCapability,
        Said::OtherPath,
        Said::NoAttribute(AttributeError(Attribute::Platform)),
        Said::EvidenceAge,
        Said::Platform,
        Said::Hours,
        Said::Matches,
    ];
    assert_eq!(allows, expected);
    assert_eq!(grants.ruling(wanted, unknown), Ruling::Denied(PolicyRule::Deny(2)));
}
