use super::*;
use crate::policy::compile;

/// 2027-01-01T00:00:00Z.
const NOW: u64 = 1_798_761_600;

fn linted(accept: &str, rest: &str) -> Vec<(Place, &'static str)> {
    named("web", accept, rest)
}

/// Places and codes of findings in a role with one TPM of its own, unless `accept` says otherwise.
fn named(name: &str, accept: &str, rest: &str) -> Vec<(Place, &'static str)> {
    let tpm = "kind = 'tpm'\nanchors = ['maker']\npcrs = { 7 = { release = 'now' } }\n";
    let accept =
        if accept.is_empty() { &format!("{tpm}ek = {{ allow = ['{}'] }}", "11".repeat(32)) } else { accept };
    let rest = rest.replace("[[allow]]", &format!("[[role.'{name}'.allow]]"));
    let rest = rest.replace("[[deny]]", &format!("[[role.'{name}'.deny]]"));
    let digest = "ab".repeat(32);
    let text = format!(
        "[role.'{name}']\nspiffe_path = '/web'\nevidence_max_age = '1h'\nidentity_ttl = '1h'\nTOP\n\
         [[role.'{name}'.accept]]\n{accept}\n{rest}\n\
         [release.now]\ndate = 2026-01-01\npcr = {{ 7 = ['{digest}'] }}\n\
         [release.old]\ndate = 2026-01-01\nexpires = 2026-10-01\ngrace = '7d'\npcr = {{ 7 = ['{digest}'] }}\n"
    );
    let (top, text) = match text.split_once("TOP=") {
        Some((before, after)) => {
            let (top, after) = after.split_once('\n').unwrap();
            (top.to_owned(), format!("{before}{after}"))
        }
        None => (String::new(), text),
    };
    let roles = compile(&[("role.toml", &text.replace("TOP", &top))])
        .unwrap_or_else(|error| panic!("{error}\n{text}"));
    let findings = lint(&roles, NOW);
    findings.iter().for_each(|finding| assert!(!finding.problem.to_string().is_empty()));
    findings.iter().map(|finding| (finding.place, finding.problem.code())).collect()
}

const GOOD: &str = "[[allow]]\npath = 'kv/web/*'\ncan = ['read']\n";

#[test]
fn what_is_meant_has_no_findings() {
    assert_eq!(linted("", GOOD), []);
    let much = "[[allow]]\npath = 'kv/{role}/*'\ncan = ['read', 'list']\nlease = '15m'\nmax_lease = '1d'\n\
                [[allow]]\npath = 'kv/shared/+'\ncan = ['read']\nevidence_age = '10m'\nplatform = ['tpm']\n\
                [[allow]]\npath = 'transit/invoices'\ncan = ['sign', 'data-key']\nlease = '1h'\n\
                [[allow]]\npath = 'derive/{role}/disk'\ncan = ['derive']\n\
                [[deny]]\npath = 'kv/+/root'\ncannot = ['read']\n\
                [[deny]]\npath = 'kv/shared/*'\ncannot = ['write']\n";
    assert_eq!(linted("", much), []);
}

#[test]
fn rules_that_never_decide_are_found() {
    let denied = "[[allow]]\npath = 'kv/web/a'\ncan = ['read', 'write']\n[[allow]]\npath = 'kv/web/b'\ncan = ['read', 'list']\n\
                  [[deny]]\npath = 'kv/web/*'\ncannot = ['write', 'read']\n";
    assert_eq!(linted("", denied), [(Place::Allow(1), "denied")], "something is left of the second");
    let hidden = "[[allow]]\npath = 'kv/+/*'\ncan = ['read', 'list']\n[[allow]]\npath = 'kv/web/a'\ncan = ['read']\nlease = '1h'\n";
    assert_eq!(linted("", hidden), [(Place::Allow(2), "hidden")]);
    let earlier_on_condition = "[[allow]]\npath = 'kv/+/*'\ncan = ['read']\nevidence_age = '1m'\n\
                                [[allow]]\npath = 'kv/web/a'\ncan = ['read']\nlease = '1h'\n";
    assert_eq!(linted("", earlier_on_condition), []);
    let wider_later =
        "[[allow]]\npath = 'kv/web/a'\ncan = ['read']\n[[allow]]\npath = 'kv/web/*'\ncan = ['read']\n";
    assert_eq!(linted("", wider_later), []);
    let denies = "[[deny]]\npath = 'kv/web/a'\ncannot = ['read']\n[[deny]]\npath = 'kv/web/*'\ncannot = ['read']\n\
                  [[deny]]\npath = 'kv/web/*'\ncannot = ['read']\n";
    let found = linted("", &format!("[[allow]]\npath = 'kv/+/*'\ncan = ['read']\n{denies}"));
    assert_eq!(found, [(Place::Deny(1), "hidden-deny"), (Place::Deny(3), "hidden-deny")]);
}

#[test]
fn paths_and_capabilities_that_no_engine_has_are_found() {
    for (path, can, code) in [
        ("secret/web/*", "read", "no-mount"),
        ("sys/seal", "write", "no-mount"),
        ("kv/web/*", "sign", "not-of-mount"),
        ("transit/key", "read", "not-of-mount"),
        ("derive/disk", "read", "not-of-mount"),
    ] {
        let rules = format!("[[allow]]\npath = '{path}'\ncan = ['{can}']\n");
        assert_eq!(linted("", &rules), [(Place::Allow(1), code)], "{path}");
        let rules = format!("{GOOD}[[deny]]\npath = '{path}'\ncannot = ['{can}']\n");
        assert_eq!(linted("", &rules), [(Place::Deny(1), code)], "{path}");
    }
    let by_role = "[[allow]]\npath = 'kv/{role}/*'\ncan = ['read']\n";
    assert_eq!(named("web.", "", by_role), [(Place::Allow(1), "role-in-path")]);
}

#[test]
fn accept_rules_that_accept_nothing_or_the_same_are_found() {
    let tpm = |release: &str| {
        format!(
            "kind = 'tpm'\nanchors = ['maker']\npcrs = {{ 7 = {{ release = {release} }} }}\nek = {{ allow = ['{}'] }}",
            "11".repeat(32)
        )
    };
    assert_eq!(linted(&tpm("'old'"), GOOD), [(Place::Accept(1), "expired")]);
    assert_eq!(linted(&tpm("['old', 'now']"), GOOD), []);
    let twice = format!("{}\n[[role.web.accept]]\n{}", tpm("'now'"), tpm("'now'"));
    assert_eq!(linted(&twice, GOOD), [(Place::Accept(2), "same-accept")]);
}

#[test]
fn conditions_and_leases_that_change_nothing_are_found() {
    for (more, code) in [
        ("can = ['read']\nplatform = ['snp', 'snp-vtpm']", "no-such-platform"),
        ("can = ['read']\nevidence_age = '1h'", "age-as-role"),
        ("can = ['write', 'list']\nlease = '15m'", "nothing-leased"),
        ("can = ['read']\nlease = '2h'", "lease-beyond-evidence"),
    ] {
        let rules = format!("[[allow]]\npath = 'kv/web/*'\n{more}\n");
        assert_eq!(linted("", &rules), [(Place::Allow(1), code)], "{more}");
    }
    let leased = "TOP=leases = 0\n[[allow]]\npath = 'kv/web/*'\ncan = ['read']\nlease = '15m'\n";
    assert_eq!(linted("", leased), [(Place::Role, "no-leases")]);
    assert_eq!(linted("", ""), [(Place::Role, "grants-nothing")]);
}

#[test]
fn b11_wide_grants_to_any_platform_are_found() {
    let any = "kind = 'tpm'\nanchors = ['maker']\npcrs = { 7 = { release = 'now' } }\nek = 'any-tpm'";
    for (path, wide) in
        [("kv/*", true), ("+/*", true), ("kv/+/*", true), ("kv/web/*", false), ("kv/+", false)]
    {
        let rules = format!("[[allow]]\npath = '{path}'\ncan = ['read']\n");
        let expected: &[_] = if wide { &[(Place::Allow(1), "wide-for-any")] } else { &[] };
        assert_eq!(linted(any, &rules), expected, "{path}");
        assert_eq!(linted("", &rules), [], "{path}");
    }
    let names_only = "[[allow]]\npath = 'kv/*'\ncan = ['list']\n";
    assert_eq!(linted(any, names_only), []);
    let snp = format!(
        "kind = 'snp'\nproducts = ['genoa']\nmeasurement = {{ digests = ['{}'] }}\ntcb_floor = 'low'\nchip = 'any-chip'\n\
         revocation = 'unchecked'\n[tcb_floor.low]\ndate = 2026-01-01\n\
         genoa = {{ boot_loader = 0, tee = 0, snp = 0, microcode = 0 }}",
        "ab".repeat(48)
    );
    assert_eq!(
        linted(&snp, "[[allow]]\npath = 'transit/*'\ncan = ['sign']\n"),
        [(Place::Allow(1), "wide-for-any")]
    );
}
