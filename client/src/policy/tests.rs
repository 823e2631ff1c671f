//! A whole policy, then one change at a time: the message is the contract, line included.

use vouchsafe_protocol::policy::{Accept, BitRule, ChipRule, EkRule, HostDataRule, Permission, Product, Tcb};

use super::*;

const ROLE: &str = r#"[role.billing-agent]
spiffe_path      = "/billing/agent"
evidence_max_age = "1h"
identity_ttl     = "90s"

[[role.billing-agent.accept]]
kind          = "snp"
products      = ["genoa", "turin"]
measurement   = { release = "billing-agent" }
tcb_floor     = "amd-2026-10"
platform_info = { smt = "forbidden" }
vmpl          = 0
chip          = { allow = "chips-eu-1" }

[[role.billing-agent.accept]]
kind          = "tpm"
anchors       = ["cloud-vtpm"]
pcrs          = { 11 = { release = "uki" }, 0 = { values = ["0101010101010101010101010101010101010101010101010101010101010101"] } }
ek            = "any-tpm"

[[role.billing-agent.allow]]
path          = "kv/billing/*"
can           = ["read", "list"]
"#;

const VALUES: &str = r#"[release.billing-agent]
date = "2026-10-01"
snp  = ["ababababababababababababababababababababababababababababababababababababababababababababababab12"]

[release.uki]
date = 2026-10-02
pcr  = { 11 = ["0202020202020202020202020202020202020202020202020202020202020202"] }

[tcb_floor.amd-2026-10]
date   = "2026-10-01"
source = "AMD-SB-3019, as read by another project"
genoa  = { boot_loader = 9, tee = 0, snp = 23, microcode = 72 }
turin  = { fmc = 1, boot_loader = 1, tee = 1, snp = 1, microcode = 51 }

[chips.chips-eu-1]
ids = ["03030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303"]
"#;

fn both(role: &str, values: &str) -> Result<Vec<Role>, CompileError> {
    compile(&[("role.toml", role), ("values.toml", values)])
}

/// The message after one change to the role.
fn broken(from: &str, to: &str) -> String {
    assert!(ROLE.contains(from), "{from}");
    both(&ROLE.replacen(from, to, 1), VALUES).unwrap_err().to_string()
}

/// The message after one change to the values.
fn broken_values(from: &str, to: &str) -> String {
    assert!(VALUES.contains(from), "{from}");
    both(ROLE, &VALUES.replacen(from, to, 1)).unwrap_err().to_string()
}

fn compiled(role: &str) -> Role {
    both(role, VALUES).unwrap().remove(0)
}

#[test]
fn a_whole_policy_compiles_to_the_typed_form() {
    let role = compiled(ROLE);
    assert_eq!((role.name.as_str(), role.spiffe_path.as_str()), ("billing-agent", "/billing/agent"));
    assert_eq!((role.evidence_max_age_secs, role.identity_ttl_secs), (3600, 90));
    let [Accept::Snp(snp), Accept::Tpm(tpm)] = role.accept.as_slice() else { panic!() };
    assert_eq!(snp.products, [Product::Genoa, Product::Turin]);
    assert_eq!(snp.measurements[0].0[46..], [0xab, 0x12]);
    assert_eq!(snp.tcb_floors[1].tcb, Tcb { fmc: 1, boot_loader: 1, tee: 1, snp: 1, microcode: 51 });
    assert_eq!(snp.platform_info.smt, BitRule::Forbidden);
    assert_eq!(snp.platform_info.tsme, BitRule::Any);
    assert!(matches!(&snp.chip, ChipRule::Allow(chips) if chips.len() == 1));
    let pcrs: Vec<u8> = tpm.pcrs.iter().map(|rule| rule.index).collect();
    assert_eq!(pcrs, [0, 11], "ascending, whatever the order of the file");
    assert_eq!(tpm.pcrs[1].values, [[2; 32]]);
    assert_eq!(tpm.ek, EkRule::AnyTpm);
    assert_eq!(role.allow[0].path, "kv/billing/*");
}

#[test]
fn what_is_not_said_is_the_strict_choice() {
    let role = compiled(ROLE);
    let [Accept::Snp(snp), _] = role.accept.as_slice() else { panic!() };
    assert_eq!(snp.platform_info.alias_check_complete, BitRule::Required);
    assert_eq!(snp.platform_info.unknown_bits, Permission::Forbidden);
    assert_eq!((snp.debug, snp.provisional_firmware), (Permission::Forbidden, Permission::Forbidden));
    assert_eq!((snp.reserved_fields, snp.min_report_version), (Permission::Forbidden, 3));
    assert_eq!(snp.host_data, HostDataRule::AnyHostData);
    assert_eq!(role.refusals, vouchsafe_protocol::policy::RefusalDetail::CodeOnly);
}

#[test]
fn b11_a_role_names_its_platform_or_the_waiver() {
    let message = broken("chip          = { allow = \"chips-eu-1\" }\n", "");
    assert_eq!(
        message,
        "role.toml:6: 'chip' is missing: { allow = \"LIST\" }, or a named waiver: \"any-chip\""
    );
    let message = broken("ek            = \"any-tpm\"\n", "");
    assert_eq!(
        message,
        "role.toml:15: 'ek' is missing: { allow = [\"HEX\"] }, or the named waiver \"any-tpm\""
    );
    let message = broken("\"any-tpm\"", "\"any\"");
    assert!(message.starts_with("role.toml:19: expected { allow = [\"HEX\"] }"), "{message}");
    let waived = compiled(&ROLE.replace("{ allow = \"chips-eu-1\" }", "\"any-chip-even-masked\""));
    assert!(matches!(&waived.accept[0], Accept::Snp(snp) if snp.chip == ChipRule::AnyChipEvenMasked));
}

#[test]
fn t3_resettable_and_drtm_pcrs_do_not_compile() {
    assert_eq!(
        broken("{ 11 = { release", "{ 16 = { release"),
        "role.toml:18: PCR 16 can be reset by software, so its value proves nothing"
    );
    assert_eq!(
        broken("{ 11 = { release", "{ 23 = { release"),
        "role.toml:18: PCR 23 can be reset by software, so its value proves nothing"
    );
    assert_eq!(
        broken("{ 11 = { release", "{ 17 = { release"),
        "role.toml:18: PCR 17 belongs to a dynamic launch (DRTM), which is not supported"
    );
    assert_eq!(
        broken_values("{ 11 = [", "{ 23 = ["),
        "values.toml:7: PCR 23 can be reset by software, so its value proves nothing"
    );
    assert_eq!(
        broken("{ 11 = { release", "{ 24 = { release"),
        "role.toml:18: PCR 24 does not exist; a PC's TPM has 0 to 23"
    );
    assert_eq!(
        broken("{ 11 = { release", "{ 011 = { release"),
        "role.toml:18: expected a PCR index, 0 to 15, as key"
    );
}

#[test]
fn t2_an_empty_selection_and_t9_an_all_zero_pcr_do_not_compile() {
    let pcrs = ROLE.lines().find_map(|line| line.strip_prefix("pcrs          = ")).unwrap();
    assert_eq!(broken(pcrs, "{}"), "role.toml:18: no PCR is selected");
    assert_eq!(
        broken(&"01".repeat(32), &"00".repeat(32)),
        "role.toml:18: PCR 0 accepts the all-zero value of a PCR that nothing was measured into, without \
         'all_zero'"
    );
    let named = ROLE.replace(
        &format!("{{ values = [\"{}\"] }}", "01".repeat(32)),
        &format!("{{ values = [\"{}\"], all_zero = \"allowed\" }}", "00".repeat(32)),
    );
    assert!(
        matches!(&compiled(&named).accept[1], Accept::Tpm(tpm) if tpm.pcrs[0].all_zero == Permission::Allowed)
    );
}

#[test]
fn s5_a_floor_names_every_component_of_every_product() {
    assert_eq!(
        broken("\"turin\"]", "\"turin\", \"milan\"]"),
        "role.toml:10: tcb_floor 'amd-2026-10' has no floor for Milan"
    );
    assert_eq!(
        broken_values(", microcode = 72", ""),
        "values.toml:12: 'microcode' is missing: a floor names every component of its product"
    );
    assert_eq!(
        broken_values("fmc = 1, ", ""),
        "values.toml:13: 'fmc' is missing: a floor names every component of its product"
    );
    assert!(broken_values("{ boot", "{ fmc = 1, boot").starts_with("values.toml:12: unknown key 'fmc'"));
    assert_eq!(
        broken_values("snp = 23", "snp = 256"),
        "values.toml:12: expected a whole number from 0 to 255"
    );
}

#[test]
fn s12_chip_ids_are_whole_and_not_masked() {
    let whole = "03".repeat(64);
    let message = broken_values(&whole, &"03".repeat(63));
    assert_eq!(message, "values.toml:16: expected a chip id of 128 hexadecimal digits");
    let message = broken_values(&whole, &"00".repeat(64));
    assert!(message.starts_with("role.toml:13: the chip list has the all-zero id"), "{message}");
}

#[test]
fn unknown_keys_are_refused_where_they_stand() {
    assert_eq!(
        broken("vmpl ", "vmlp "),
        "role.toml:12: unknown key 'vmlp'; known here: kind, products, measurement, tcb_floor, chip, vmpl, \
         provisional_firmware, unknown_platform_bits, platform_info, debug, min_report_version, host_data, \
         reserved_fields"
    );
    assert_eq!(
        broken("can  ", "max_lease = \"15m\"\ncan  "),
        "role.toml:23: unknown key 'max_lease'; known here: path, can"
    );
    assert!(broken("{ smt =", "{ sMt =").starts_with("role.toml:11: unknown key 'sMt'"));
    assert!(broken("[role.", "[rule]\n[role.").starts_with("role.toml:1: unknown key 'rule'"));
    assert!(broken("spiffe_path ", "spiffe ").contains("'spiffe_path' is missing"));
}

#[test]
fn references_are_resolved_or_named() {
    assert_eq!(
        broken("release = \"billing-agent\"", "release = \"other\""),
        "role.toml:9: there is no [release.other] in these files"
    );
    assert_eq!(
        broken("release = \"billing-agent\"", "release = \"uki\""),
        "role.toml:9: release 'uki' has no SNP launch digest ('snp')"
    );
    assert_eq!(
        broken("release = \"uki\"", "release = \"billing-agent\""),
        "role.toml:18: release 'billing-agent' has no value for PCR 11 ('pcr')"
    );
    assert_eq!(
        broken("\"amd-2026-10\"", "\"amd-2025-01\""),
        "role.toml:10: there is no [tcb_floor.amd-2025-01] in these files"
    );
    assert_eq!(
        broken("\"chips-eu-1\"", "\"chips-us-1\""),
        "role.toml:13: there is no [chips.chips-us-1] in these files"
    );
    assert_eq!(
        broken("{ release = \"billing-agent\" }", "{}"),
        "role.toml:9: give either 'release' or 'digests'"
    );
}

#[test]
fn every_value_has_one_form() {
    for (from, to, message) in [
        ("\"1h\"", "\"1 h\"", "3: expected a time such as \"90s\", \"15m\", \"1h\" or \"7d\""),
        ("\"1h\"", "\"h\"", "3: expected a time such as \"90s\", \"15m\", \"1h\" or \"7d\""),
        ("\"1h\"", "\"+1h\"", "3: expected a time such as \"90s\", \"15m\", \"1h\" or \"7d\""),
        ("\"1h\"", "\"99999999d\"", "3: expected a time such as \"90s\", \"15m\", \"1h\" or \"7d\""),
        ("\"1h\"", "3600", "3: expected a string, found integer"),
        ("\"1h\"", "\"0s\"", "3: evidence_max_age is not between 1 second and 30 days"),
        ("\"90s\"", "\"31d\"", "4: identity_ttl is not between 1 second and 30 days"),
        ("\"snp\"", "\"tdx\"", "7: expected 'snp' or 'tpm'"),
        ("\"genoa\"", "\"Genoa\"", "8: expected 'milan', 'genoa' or 'turin'"),
        ("= 0\n", "= 4\n", "12: expected a whole number from 0 to 3"),
        ("= 0\n", "= -1\n", "12: expected a whole number from 0 to 3"),
        ("\"list\"]", "\"sign\"]", "23: expected 'delete', 'destroy', 'list', 'read' or 'write'"),
        ("\"list\"]", "\"read\"]", "21: Read is listed twice"),
        ("kv/billing/*", "kv/billing*", "21: path is not a canonical path or one followed by '/*'"),
    ] {
        assert_eq!(broken(from, to), format!("role.toml:{message}"), "{to}");
    }
    for (from, to, message) in [
        ("\"2026-10-01\"", "\"yesterday\"", "2: expected a date, YYYY-MM-DD"),
        ("ab12\"]", "ab\"]", "3: expected a launch digest of 96 hexadecimal digits"),
    ] {
        assert_eq!(broken_values(from, to), format!("values.toml:{message}"), "{to}");
    }
}

#[test]
fn v1_names_and_spiffe_paths_are_canonical_and_unique() {
    assert!(broken("\"/billing/agent\"", "\"billing/agent\"").starts_with("role.toml:2: spiffe_path is not"));
    assert!(broken("\"/billing/agent\"", "\"/operator/x\"").starts_with("role.toml:2: spiffe_path begins"));
    let message = both("[role.Billing]\n", VALUES.split("[chips").next().unwrap()).unwrap_err().to_string();
    assert!(message.starts_with("role.toml:1: 'Billing' is not a name"), "{message}");
    let other = ROLE.replace("billing-agent]", "other]").replace("role.billing-agent.", "role.other.");
    let message = compile(&[("a", ROLE), ("b", &other), ("c", VALUES)]).unwrap_err().to_string();
    assert_eq!(message, "b:1: another role has the same spiffe_path");
    let message = compile(&[("a", ROLE), ("b", VALUES), ("c", VALUES)]).unwrap_err().to_string();
    assert_eq!(message, "c:1: 'billing-agent' is defined twice");
}

#[test]
fn a_file_that_is_no_toml_or_has_no_role_is_refused() {
    let message = compile(&[("x.toml", "[role.a]\nb = \n")]).unwrap_err().to_string();
    assert!(message.starts_with("x.toml:2: "), "{message}");
    assert_eq!(
        compile(&[("x.toml", "")]).unwrap_err().to_string(),
        "x.toml:1: there is no role in these files"
    );
    let message = compile(&[("x", "[role.a]\nspiffe_path='/a'\nevidence_max_age='1h'\nidentity_ttl='1h'\n")]);
    assert_eq!(message.unwrap_err().to_string(), "x:1: the role accepts nothing: it has no accept rule");
}
