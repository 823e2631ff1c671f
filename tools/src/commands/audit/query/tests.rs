use vouchsafe_protocol::link::StreamId;
use vouchsafe_protocol::log::{AuditEntry, KvOperation, PolicyRule};
use vouchsafe_protocol::policy::PlatformKind;
use vouchsafe_protocol::refusal::RefusalCode;

use super::*;

fn placed(leaf: u64, actor: Actor, action: Action, decision: Decision) -> Placed {
    let (rule, lease) = match decision {
        Decision::Allowed => (PolicyRule::Allow(2), Some(leaf)),
        Decision::Refused(_) => (PolicyRule::Deny(1), None),
    };
    let at_secs = 1_790_000_000 + 60 * leaf;
    let entry = AuditEntry { blind: [0; 16], at_secs, actor, request: None, action, decision, rule, lease };
    Placed { stream: StreamId::Access { epoch: 3 }, leaf, entry }
}

fn log() -> Vec<Placed> {
    let agent = |role: &str, identity| Actor::Agent {
        role: role.parse().unwrap(),
        identity,
        evidence: [0xe1; 32],
        platform: PlatformKind::SnpVtpm,
    };
    let get =
        |path: &str| Action::Kv { operation: KvOperation::Get, path: path.to_owned(), versions: vec![3, 4] };
    let denied = Decision::Refused(RefusalCode::Denied);
    vec![
        placed(0, agent("web", 1), get("kv/web/db"), Decision::Allowed),
        placed(1, agent("web", 2), get("kv/web/db/old"), Decision::Allowed),
        placed(2, agent("api", 3), get("kv/web/db"), denied),
        placed(3, Actor::Operator("ada".parse().unwrap()), Action::Look, Decision::Allowed),
        placed(4, Actor::Vault, Action::CleanUp, Decision::Allowed),
    ]
}

fn none() -> Filter {
    Filter {
        identity: None,
        role: None,
        operator: None,
        path: None,
        lease: None,
        since: None,
        until: None,
        refused: false,
        stream: Which::All,
    }
}

fn found(filter: &Filter) -> Vec<u64> {
    filter.of(log().iter()).iter().map(|placed| placed.leaf).collect()
}

#[test]
fn each_filter_decides_alone() {
    assert_eq!(found(&none()), [0, 1, 2, 3, 4]);
    assert_eq!(found(&Filter { identity: Some(2), ..none() }), [1]);
    assert_eq!(found(&Filter { role: Some("web".parse().unwrap()), ..none() }), [0, 1]);
    assert_eq!(found(&Filter { operator: Some("ada".parse().unwrap()), ..none() }), [3]);
    assert_eq!(found(&Filter { path: Some("kv/web/db".parse().unwrap()), ..none() }), [0, 2]);
    assert_eq!(found(&Filter { path: Some("kv/web/*".parse().unwrap()), ..none() }), [0, 1, 2]);
    assert_eq!(found(&Filter { lease: Some(1), ..none() }), [1]);
    assert_eq!(found(&Filter { since: Some(1_790_000_120), ..none() }), [2, 3, 4]);
    assert_eq!(found(&Filter { until: Some(1_790_000_120), ..none() }), [0, 1]);
    assert_eq!(found(&Filter { refused: true, ..none() }), [2]);
    assert_eq!(found(&Filter { stream: Which::Journal, ..none() }), [0; 0]);
}

#[test]
fn rows_have_the_same_fields_in_both_forms() {
    let log = log();
    let entries: Vec<_> = log.iter().collect();
    let csv = written(&entries, Form::Csv).unwrap();
    let mut lines = csv.lines();
    assert_eq!(lines.next().unwrap(), FIELDS.join(","));
    assert_eq!(
        lines.next().unwrap(),
        "2026-09-21T14:13:20Z,access-3,0,agent,web,1,\
         e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1,snp-vtpm,kv.get,kv/web/db,3 4,\
         allowed,,allow 2,0,,,,\"kv get kv/web/db version 3, 4\""
    );
    assert_eq!(lines.count(), 4);
    let jsonl = written(&entries, Form::Jsonl).unwrap();
    let third: Value = serde_json::from_str(jsonl.lines().nth(2).unwrap()).unwrap();
    for (field, value) in [
        ("decision", "refused"),
        ("code", "denied"),
        ("rule", "deny 1"),
        ("actor", "api"),
        ("action", "kv.get"),
    ] {
        assert_eq!(third.get(field).and_then(Value::as_str), Some(value), "{field}");
    }
    assert_eq!(third.as_object().unwrap().len(), FIELDS.len());
}

#[test]
fn a_field_of_csv_is_never_a_formula() {
    for text in ["=1+1", "+1", "-1", "@x", "\tx"] {
        assert_eq!(plain(Some(&Value::String(text.to_owned()))), format!("'{text}"));
    }
}
