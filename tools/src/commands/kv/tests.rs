//! The text forms, and how arguments are read.

use std::collections::BTreeMap;

use clap::Parser;
use serde_json::json;
use vouchsafe_protocol::kv::{
    KvCasRule, KvFields, KvGenerator, KvLimits, KvMetadata, KvRule, KvScope, KvSettings, KvState, KvValue,
    KvVersion, SecretValue,
};
use vouchsafe_protocol::path::Path;

use super::args::{duration, scope, time, value};
use super::{KvCommand, generate, read, settings, watch};

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    _command: KvCommand,
}

fn parses(arguments: &str) -> bool {
    Line::try_parse_from(std::iter::once("kv").chain(arguments.split_whitespace())).is_ok()
}

fn path(text: &str) -> Path {
    text.parse().unwrap()
}

fn strings(all: &[&str]) -> Vec<String> {
    all.iter().map(|one| (*one).to_owned()).collect()
}

#[test]
fn commands_take_what_their_help_says() {
    for line in [
        "configure kv/a --max-versions 5 --custom owner=billing",
        "configure kv/a/* --cas required --delete-after 90d",
        "configure kv/* --cas default",
        "configure kv/a --remove-custom owner --no-generator --max-versions default",
        "forget kv/a",
        "generate kv/a --password --length 24 --class lower:2 --class =-_ --rotate-every 30d --grace 1d",
        "generate kv/a --hex 32 --cas 0",
        "generate kv/a --uuid",
        "generate kv/a --key p256",
        "get kv/a --previous --field password",
        "list kv --recursive --limit 5",
        "list kv/a/* --after b",
        "patch kv/a password=- --remove port --cas 4 --ttl 12h",
        "patch kv/a --remove port",
        "put kv/a user=web password=@p --ttl 90s",
        "put kv/a --bytes a=b",
        "rotate kv/a",
        "settings kv/a/*",
        "watch kv/a kv/b --after 3 --count 1",
    ] {
        assert!(parses(line), "{line}");
    }
    for line in [
        "configure secret/a --max-versions 5",
        "configure kv --max-versions 5",
        "configure kv/a --max-versions many",
        "configure kv/a --delete-after 5",
        "configure kv/a --custom owner",
        "forget kv/a/*",
        "generate kv/a",
        "generate kv/a --hex 32 --uuid",
        "generate kv/a --uuid --length 12",
        "generate kv/a --password --class vowels",
        "get kv/a --previous --version 1",
        "list kv --limit 0",
        "patch kv/a",
        "put kv/a",
        "watch",
        "watch kv/a --count 0",
    ] {
        assert!(!parses(line), "{line}");
    }
}

#[test]
fn one_value_is_taken_as_it_is_and_pairs_as_fields() {
    let shown = |arguments: &[&str], bytes| match value(&strings(arguments), bytes)
        .map_err(|error| error.to_string())?
    {
        KvValue::Bytes(value) => Ok(String::from_utf8(value.expose_secret().to_vec()).unwrap()),
        KvValue::Fields(fields) => {
            let fields =
                fields.iter().map(|(name, value)| format!("{name}:{}", String::from_utf8_lossy(value)));
            Ok::<_, String>(fields.collect::<Vec<_>>().join(" "))
        }
    };
    assert_eq!(shown(&["plain"], false).unwrap(), "plain");
    assert_eq!(shown(&["b=2", "a=1=1"], false).unwrap(), "a:1=1 b:2");
    assert_eq!(shown(&["a="], false).unwrap(), "a:");
    assert_eq!(shown(&["a=b"], true).unwrap(), "a=b");
    assert_eq!(shown(&["+/=="], false).unwrap(), "+/==");
    for (arguments, bytes) in
        [(&["a=1", "plain"][..], false), (&["a=1", "b=2"], true), (&["a=1", "a=2"], false)]
    {
        let said = shown(arguments, bytes).unwrap_err();
        assert!(!said.contains("plain"), "a value is repeated: {said}");
    }
}

#[test]
fn times_and_scopes_have_one_form() {
    for (text, secs) in [("90s", 90), ("15m", 900), ("12h", 43_200), ("30d", 2_592_000), ("2w", 1_209_600)] {
        assert_eq!((duration(text), time(secs).as_str()), (Ok(secs), text));
    }
    for text in ["", "s", "5", "-5s", "+5s", "5y", "99999999999s", "5 s", "1\u{e4}"] {
        assert!(duration(text).is_err(), "{text}");
    }
    assert_eq!(scope("kv/a/*"), Ok(KvScope::Below(path("kv/a"))));
    assert_eq!(scope("kv/*"), Ok(KvScope::Below(path("kv"))));
    assert_eq!(scope("kv/a"), Ok(KvScope::Secret(path("kv/a"))));
    for text in ["kv", "*", "/*", "other/*", "kv/a/*/b", "kv//*"] {
        assert!(scope(text).is_err(), "{text}");
    }
}

#[test]
fn classes_have_names_characters_and_minimums() {
    let class = |text| generate::class(text).map(|class| (class.characters, class.minimum));
    assert_eq!(class("digits"), Ok(("0123456789".to_owned(), 1)));
    assert_eq!(class("digits:3"), Ok(("0123456789".to_owned(), 3)));
    assert_eq!(class("=-_"), Ok(("-_".to_owned(), 1)));
    assert_eq!(class("=:;:0"), Ok((":;".to_owned(), 0)));
    assert_eq!(class("=ab:"), Ok(("ab:".to_owned(), 1)));
    assert!(class("vowels").is_err() && class("digits:99999").is_err());
}

fn known() -> KvMetadata {
    let version = |version, until_secs, state| KvVersion { version, created_secs: 0, until_secs, state };
    let rule = KvRule::Password { length: 24, classes: vec![generate::class("=ab:2").unwrap()] };
    let generator = KvGenerator { rule, every_secs: Some(2_592_000), grace_secs: Some(86_400) };
    KvMetadata {
        current: 2,
        versions: vec![version(1, Some(86_400), KvState::Expired), version(2, None, KvState::Live)],
        settings: KvSettings {
            max_versions: Some(5),
            custom: BTreeMap::from([("owner".parse().unwrap(), "billing".to_owned())]),
            generator: Some(generator),
            ..KvSettings::default()
        },
        limits: KvLimits { max_versions: 5, cas: KvCasRule::Required, delete_after_secs: Some(7_200) },
        next_secs: Some(2_592_000),
    }
}

#[test]
fn metadata_says_all_that_is_known() {
    let output = settings::metadata(&path("kv/a"), &known());
    let lines: Vec<&str> = output.text().lines().map(str::trim).collect();
    assert_eq!(lines[0], "kv/a, current version 2");
    assert!(lines[2].starts_with("1") && lines[2].contains("1970-01-02T00:00:00Z"), "{lines:?}");
    assert!(lines[2].ends_with("expired") && lines[3].ends_with("live"), "{lines:?}");
    let rest = [
        "keeps 5 versions; check-and-set required; versions live 2h",
        "generated: a password of 24 characters, at least 2 of 'ab'; every 30d; grace 1d",
        "next version by itself: 1970-01-31T00:00:00Z",
        "custom owner=billing",
    ];
    assert_eq!(lines[4..], rest);
    let json = output.json();
    assert_eq!(
        json["versions"][0],
        json!({ "version": 1, "created_secs": 0, "until_secs": 86_400, "state": "expired" })
    );
    assert_eq!(json["limits"], json!({ "max_versions": 5, "cas": "required", "delete_after_secs": 7_200 }));
    assert_eq!(json["settings"]["generator"]["rule"]["kind"], "password");
    assert_eq!(json["settings"]["custom"], json!({ "owner": "billing" }));
}

#[test]
fn a_prefix_says_what_is_set_and_nothing_else() {
    let none = settings::prefix_settings(&path("kv/a"), &KvSettings::default());
    assert_eq!(none.text(), "kv/a/* has no settings of its own");
    assert_eq!(serde_json::Value::from(none.json().clone()), json!({ "prefix": "kv/a" }));
    let some =
        KvSettings { cas: Some(KvCasRule::Required), delete_after_secs: Some(90), ..KvSettings::default() };
    let some = settings::prefix_settings(&path("kv/a"), &some);
    assert_eq!(some.text(), "kv/a/*\ncas required\ndelete-after 90s");
    assert_eq!(
        serde_json::Value::from(some.json().clone()),
        json!({ "prefix": "kv/a", "cas": "required", "delete_after_secs": 90 })
    );
}

#[test]
fn fields_are_an_object_in_json_and_one_can_be_had_alone() {
    let fields = || {
        let all = [("blob", vec![0xff, 0]), ("user", b"web".to_vec())];
        let all = all.map(|(name, value)| (name.parse().unwrap(), SecretValue::new(value)));
        KvValue::Fields(KvFields::new(&all.into_iter().collect()).unwrap())
    };
    let whole = read::shown(fields(), None, json!({})).unwrap();
    assert_eq!(
        serde_json::Value::from(whole.json().clone()),
        json!({ "encoding": "fields", "fields": { "blob": "/wA=", "user": "web" }, "base64": ["blob"] })
    );
    assert_eq!(whole.text(), "", "what is secret is no text of a report");
    let name = "user".parse().unwrap();
    assert!(read::shown(fields(), Some(&name), json!({})).is_ok());
    let failed = |value, name: &str| {
        let name = name.parse().unwrap();
        read::shown(value, Some(&name), json!({})).err().unwrap().to_string()
    };
    assert_eq!(failed(fields(), "other"), "the secret has no field 'other'");
    let bytes = KvValue::Bytes(SecretValue::new(b"x".to_vec()));
    assert_eq!(failed(bytes, "user"), "the secret is one value without fields");
}

#[test]
fn a_line_of_a_watch_has_no_value() {
    let vault = vouchsafe_protocol::id::VaultId {
        class: vouchsafe_protocol::id::AnchorClass::Hardware,
        digest: [0; 32],
    };
    let line = watch::line(&path("kv/a"), 4, vault, false);
    assert_eq!((&line["path"], &line["version"]), (&"kv/a".into(), &4.into()));
    assert_eq!(line.as_object().unwrap().len(), 4);
}
