use vouchsafe_client::policy::compile;

use super::*;

const POLICY: &str = "[role.web]\nspiffe_path = '/web'\nevidence_max_age = '1h'\nidentity_ttl = '1h'\n\
    [[role.web.accept]]\nkind = 'tpm'\nanchors = ['maker']\nek = 'any-tpm'\npcrs = { 7 = { values = ['DIGEST'] } }\n\
    [[role.web.allow]]\npath = 'kv/{role}/*'\ncan = ['read', 'list']\nlease = '15m'\nmax_lease = '1d'\nrenew = 'fresh-evidence'\n\
    [[role.web.allow]]\npath = 'kv/night/+'\ncan = ['read']\nhours = '22:00-06:00'\n\
    [[role.web.allow]]\npath = 'kv/{platform}/x'\ncan = ['read']\nevidence_age = '10m'\n\
    [[role.web.deny]]\npath = 'kv/+/root'\ncannot = ['read']\n";

fn role() -> Role {
    compile(&[("web.toml", &POLICY.replace("DIGEST", &"ab".repeat(32)))]).unwrap().remove(0)
}

fn asker() -> AskerArgs {
    AskerArgs { platform_kind: None, evidence_age: 0, measurement: None, platform: None }
}

/// Monday, 2026-11-23, 12:00 UTC.
const NOON: u64 = 1_795_392_000 + 12 * 3600;

fn explained(args: &AskerArgs, at: u64, asked: &str) -> Output {
    let role = role();
    Asker::new(&role, args, Some(at)).unwrap().explain(&target(asked).unwrap())
}

#[test]
fn explain_names_the_rule_and_why_the_others_do_not_decide() {
    let output = explained(&asker(), NOON, "read=kv/web/db");
    assert_eq!(
        output.text().lines().map(str::trim).collect::<Vec<_>>(),
        [
            "read kv/web/db: allowed by allow rule 1 for 'web' at 2026-11-23T12:00:00Z",
            "with a lease of 900 s where something is handed out, renewed with fresh evidence up to 86400 s",
            "deny rule 1 (kv/+/root): is for other paths",
            "allow rule 1 (kv/{role}/*): allows it",
            "allow rule 2 (kv/night/+): is for other paths",
            "allow rule 3 (kv/{platform}/x): allows nothing, as the identity has no usable value for {platform}",
        ]
    );
    assert!(output.passed);
    let json = output.json();
    assert_eq!((&json["allowed"], &json["by"]), (&true.into(), &"allow rule 1".into()));
    assert_eq!(json["lease"], json!({ "ttl_secs": 900, "max_secs": 86_400, "renew": "fresh-evidence" }));
    assert_eq!(json["rules"][3], json!({ "allow": 3, "path": "kv/{platform}/x", "says": "no-attribute" }));
}

#[test]
fn explain_says_what_a_denial_is_for() {
    let denied = explained(&asker(), NOON, "read=kv/web/root");
    assert!(denied.text().starts_with("read kv/web/root: denied by deny rule 1"), "{}", denied.text());
    assert!(denied.text().contains("allow rule 1 (kv/{role}/*): would allow it, but for the deny rule"));
    assert!(!denied.passed, "it ends with 1");
    let night = explained(&asker(), NOON, "read=kv/night/x");
    assert!(night.text().starts_with("read kv/night/x: denied, as no rule allows it"));
    assert!(night.text().contains("allow rule 2 (kv/night/+): is for other times"));
    assert!(explained(&asker(), NOON + 11 * 3600, "read=kv/night/x").passed);
    let old = AskerArgs { evidence_age: 601, platform: Some(Bytes(vec![0xc0])), ..asker() };
    assert!(explained(&old, NOON, "read=kv/c0/x").text().contains("is for younger evidence"));
    let young = AskerArgs { evidence_age: 599, ..old.clone() };
    assert!(explained(&young, NOON, "read=kv/c0/x").passed);
    let ancient = explained(&AskerArgs { evidence_age: 3600, ..old }, NOON, "read=kv/web/db");
    assert!(!ancient.passed && ancient.text().contains("no session has evidence that old"));
}

#[test]
fn expectations_are_compared() {
    let role = role();
    let args = asker();
    let asker = Asker::new(&role, &args, Some(NOON)).unwrap();
    let targets = |all: &[&str]| all.iter().map(|text| target(text).unwrap()).collect::<Vec<_>>();
    let (lines, json, all) = asker
        .expect(&targets(&["read=kv/web/db", "list=kv/web/*"]), &targets(&["read=kv/web/root", "list=kv/*"]));
    assert!(all, "{lines:?}");
    assert_eq!(lines[0].trim(), "ok: read kv/web/db is allowed by allow rule 1");
    assert_eq!(json[3]["expected"], "denied");
    let (lines, _, all) = asker.expect(&targets(&["read=kv/web/root"]), &[]);
    assert!(!all);
    assert_eq!(lines[0].trim(), "NOT AS EXPECTED: read kv/web/root is denied by deny rule 1");
}

#[test]
fn targets_have_one_form() {
    for text in ["read", "peek=kv/a", "read=kv//a", "read=", "Read=kv/a"] {
        assert!(target(text).is_err(), "{text}");
    }
    for known in CAPABILITIES {
        assert_eq!(capability(&name(known)), Ok(known));
    }
    assert!(hexadecimal("abc").is_err() && hexadecimal("ab0c").is_ok());
}
