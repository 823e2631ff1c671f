//! A whole policy, then one change at a time: the message is the contract, line included.

#![expect(clippy::string_slice, reason = "tests cut text where they found something in it")]

use vouchsafe_protocol::policy::{
    AbiVersion, Accept, AgeCondition, AkRule, AuthorKeyRule, BitRule, Capability, ChipRule, Conditions,
    CspName, Deny, EkRule, Expiry, Hours, HoursCondition, IdBlockRule, IdRule, LaunchDigest, LeaseTerms,
    MigrationAgentRule, MitigationRule, PcrExpectation, Permission, PlatformCondition, PlatformKind, Product,
    Renewal, ReportIdRule, RevocationRule, SnpAccept, Tcb, TcbFloor, TcbGrace, TpmKindRule, UserDataRule,
};

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
revocation    = { max_age = "90d" }

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
    assert_eq!(snp.measurements[0].value.0[46..], [0xab, 0x12]);
    let turin = Tcb { fmc: 1, boot_loader: 1, tee: 1, snp: 1, microcode: 51 };
    assert_eq!(snp.tcb_floors[1], TcbFloor::all(Product::Turin, turin));
    assert_eq!(snp.revocation, RevocationRule::Checked { max_age_secs: 90 * 24 * 3600 });
    assert_eq!(snp.platform_info.smt, BitRule::Forbidden);
    assert_eq!(snp.platform_info.tsme, BitRule::Any);
    assert!(matches!(&snp.chip, ChipRule::Allow(chips) if chips.len() == 1));
    let pcrs: Vec<u8> = tpm.pcrs.iter().map(|rule| rule.index).collect();
    assert_eq!(pcrs, [0, 11], "ascending, whatever the order of the file");
    assert_eq!(tpm.pcrs[1].expected, PcrExpectation::Values(vec![[2; 32].into()]));
    assert_eq!(tpm.ek, EkRule::AnyTpm);
    assert_eq!(role.allow[0].path, "kv/billing/*");
}

#[test]
fn what_is_not_said_is_the_strict_choice() {
    let role = compiled(ROLE);
    let [Accept::Snp(snp), Accept::Tpm(tpm)] = role.accept.as_slice() else { panic!() };
    let SnpAccept { products, measurements, tcb_floors, chip, revocation, .. } = snp.clone();
    let mut strict = SnpAccept::strict(products, measurements, tcb_floors, chip, revocation);
    strict.platform_info.smt = BitRule::Forbidden;
    assert_eq!(*snp, strict);
    assert_eq!(
        (snp.guest_policy.debug, snp.guest_policy.migrate_ma),
        (BitRule::Forbidden, BitRule::Forbidden)
    );
    assert_eq!(snp.platform_info.alias_check_complete, BitRule::Required);
    assert_eq!((tpm.kind, tpm.ak), (TpmKindRule::Hardware, AkRule::ByCredential));
    assert_eq!(role.refusals, vouchsafe_protocol::policy::RefusalDetail::CodeOnly);
}

#[test]
fn b11_a_role_names_its_platform_or_the_waiver() {
    let message = broken("chip          = { allow = \"chips-eu-1\" }\n", "");
    assert_eq!(
        message,
        "role.toml:6: 'chip' is missing: { allow = \"LIST\" }, { providers = [\"NAME\"] }, or a named waiver: \
         \"any-chip\" or \"any-chip-even-masked\""
    );
    let message = broken("ek            = \"any-tpm\"\n", "");
    assert_eq!(
        message,
        "role.toml:16: 'ek' is missing: { allow = [\"HEX\"] }, or the named waiver \"any-tpm\""
    );
    let message = broken("\"any-tpm\"", "\"any\"");
    assert!(message.starts_with("role.toml:20: expected { allow = [\"HEX\"] }"), "{message}");
    let waived = compiled(&ROLE.replace("{ allow = \"chips-eu-1\" }", "\"any-chip-even-masked\""));
    assert!(matches!(&waived.accept[0], Accept::Snp(snp) if snp.chip == ChipRule::AnyChipEvenMasked));
}

#[test]
fn t3_resettable_and_drtm_pcrs_do_not_compile() {
    assert_eq!(
        broken("{ 11 = { release", "{ 16 = { release"),
        "role.toml:19: PCR 16 can be reset by software, so its value proves nothing"
    );
    assert_eq!(
        broken("{ 11 = { release", "{ 23 = { release"),
        "role.toml:19: PCR 23 can be reset by software, so its value proves nothing"
    );
    assert_eq!(
        broken("{ 11 = { release", "{ 17 = { release"),
        "role.toml:19: PCR 17 belongs to a dynamic launch (DRTM), which is not supported"
    );
    assert_eq!(
        broken_values("{ 11 = [", "{ 23 = ["),
        "values.toml:7: PCR 23 can be reset by software, so its value proves nothing"
    );
    assert_eq!(
        broken("{ 11 = { release", "{ 24 = { release"),
        "role.toml:19: PCR 24 does not exist; a PC's TPM has 0 to 23"
    );
    assert_eq!(
        broken("{ 11 = { release", "{ 011 = { release"),
        "role.toml:19: expected a PCR index, 0 to 15, as key"
    );
}

#[test]
fn t2_an_empty_selection_and_t9_an_all_zero_pcr_do_not_compile() {
    let pcrs = ROLE.lines().find_map(|line| line.strip_prefix("pcrs          = ")).unwrap();
    assert_eq!(broken(pcrs, "{}"), "role.toml:19: no PCR is selected");
    assert_eq!(
        broken(&"01".repeat(32), &"00".repeat(32)),
        "role.toml:19: PCR 0 accepts the all-zero value of a PCR that nothing was measured into, without \
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
        "role.toml:12: unknown key 'vmlp'; known here: kind, products, measurement, tcb_floor, \
         tcb_floor_grace, chip, revocation, vmpl, provisional_firmware, guest_policy, unknown_platform_bits, \
         platform_info, mitigations, min_report_version, host_data, id_block, family_id, image_id, min_guest_svn, \
         report_id, migration_agent, reserved_fields"
    );
    assert_eq!(
        broken("can  ", "max_lese = \"15m\"\ncan  "),
        "role.toml:24: unknown key 'max_lese'; known here: path, can, renew, lease, max_lease, evidence_age, platform, \
         hours, days"
    );
    assert!(broken("{ smt =", "{ sMt =").starts_with("role.toml:11: unknown key 'sMt'"));
    assert!(broken("[role.", "[rule]\n[role.").starts_with("role.toml:1: unknown key 'rule'"));
    assert!(broken("spiffe_path ", "spiffe ").contains("'spiffe_path' is missing"));
}

#[test]
fn grants_say_when_and_for_how_long() {
    let more = |more: &str| {
        let text = ROLE.replace("can  ", &format!("{more}\ncan  "));
        compile(&[("role.toml", &text), ("values.toml", VALUES)]).map(|roles| roles[0].allow[0].clone())
    };
    let lease = |text: &str| more(text).unwrap().lease;
    let terms = |ttl_secs, max_secs, renewal| LeaseTerms::Lease { ttl_secs, max_secs, renewal };
    assert_eq!(lease(""), LeaseTerms::None);
    assert_eq!(lease("lease = '15m'"), terms(900, 900, Renewal::SameEvidence));
    assert_eq!(lease("max_lease = '15m'"), terms(900, 900, Renewal::SameEvidence));
    let both = "lease = '15m'\nmax_lease = '1d'\nrenew = 'fresh-evidence'";
    assert_eq!(lease(both), terms(900, 86_400, Renewal::FreshEvidence));
    let when = |text: &str| more(text).unwrap().when;
    assert_eq!(when(""), Conditions::default());
    assert_eq!(when("evidence_age = '10m'").evidence_age, AgeCondition::AtMost(600));
    let platforms = PlatformCondition::OneOf(vec![PlatformKind::Tpm, PlatformKind::SnpVtpm]);
    assert_eq!(when("platform = ['tpm', 'snp-vtpm']").platform, platforms);
    let hours =
        |from_minute, until_minute, days| HoursCondition::Within(Hours { from_minute, until_minute, days });
    assert_eq!(when("hours = '22:30-06:00'").hours, hours(1350, 360, 0x7f));
    assert_eq!(when("days = ['mon', 'sun']").hours, hours(0, 1440, 0x41));
    assert_eq!(when("hours = '00:00-24:00'\ndays = ['fri']").hours, hours(0, 1440, 0x10));
    for (text, said) in [
        ("renew = 'same-evidence'", "a lease to renew"),
        ("lease = '2h'\nmax_lease = '1h'", "max_lease is shorter than lease"),
        ("lease = '0s'", "the lease is not between"),
        ("lease = '31d'", "the lease is not between"),
        ("evidence_age = '0s'", "evidence_age is not between"),
        ("platform = []", "platform names no kind, or one twice"),
        ("platform = ['tpm', 'tpm']", "platform names no kind, or one twice"),
        ("hours = '8-18'", "two times in UTC"),
        ("hours = '08:00-08:00'", "hours are no window"),
        ("hours = '24:00-06:00'", "hours are no window"),
        ("hours = '08:60-18:00'", "two times in UTC"),
        ("days = []", "hours are no window"),
        ("days = ['monday']", "expected 'mon'"),
    ] {
        let error = more(text).unwrap_err().to_string();
        assert!(error.contains(said), "{text}: {error}");
    }
}

#[test]
fn denials_and_quotas_are_read() {
    let with = |top: &str, deny: &str| {
        let text = ROLE.replace("spiffe_path ", &format!("{top}\nspiffe_path "));
        let name = ROLE.split_once("[role.").unwrap().1.split_once(']').unwrap().0;
        let deny = deny.replace("[[deny]]", &format!("[[role.{name}.deny]]"));
        compile(&[("role.toml", &format!("{text}\n{deny}")), ("values.toml", VALUES)])
            .map(|mut roles| roles.remove(0))
    };
    let role = with("leases = 7", "[[deny]]\npath = 'kv/+/root'\ncannot = ['read', 'write']\n").unwrap();
    let cannot = vec![Capability::Read, Capability::Write];
    assert_eq!(role.deny, [Deny { path: "kv/+/root".to_owned(), cannot }]);
    assert_eq!((role.leases, role.leases_per_identity), (7, 7));
    let role = with("", "").unwrap();
    assert_eq!((role.deny.len(), role.leases, role.leases_per_identity), (0, 100_000, 1_000));
    for (top, deny, said) in [
        ("leases = 5\nleases_per_identity = 6", "", "leases_per_identity is more than leases"),
        ("leases = 2000001", "", "expected a whole number"),
        ("", "[[deny]]\npath = 'kv/*'\ncannot = []\n", "no capability"),
        ("", "[[deny]]\npath = 'kv/**'\ncannot = ['read']\n", "path is not"),
        ("", "[[deny]]\npath = 'kv/*'\ncan = ['read']\n", "'cannot' is missing"),
        ("", "[[deny]]\npath = 'kv/*'\ncannot = ['read']\nlease = '1h'\n", "unknown key 'lease'"),
    ] {
        let error = with(top, deny).unwrap_err().to_string();
        assert!(error.contains(said), "{top} {deny}: {error}");
    }
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
        "role.toml:19: release 'billing-agent' has no value for PCR 11 ('pcr')"
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
        ("\"snp\"", "\"tdx\"", "7: expected 'snp', 'snp-vtpm' or 'tpm'"),
        ("\"genoa\"", "\"Genoa\"", "8: expected 'milan', 'genoa' or 'turin'"),
        ("= 0\n", "= 4\n", "12: expected a whole number from 0 to 3"),
        ("= 0\n", "= -1\n", "12: expected a whole number from 0 to 3"),
        (
            "\"list\"]",
            "\"peek\"]",
            "24: expected 'data-key', 'decrypt', 'delete', 'derive', 'destroy', 'encrypt', 'export', 'list', 'manage', \
             'read', 'rewrap', 'sign', 'verify' or 'write'",
        ),
        ("\"list\"]", "\"read\"]", "22: Read is listed twice"),
        (
            "kv/billing/*",
            "kv/billing*",
            "22: path is not a canonical path with '+', '{role}', '{platform}' or '{measurement}' for whole segments, \
             and '/*' at its end",
        ),
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

/// The SNP rule after these lines were added to it.
fn with_lines(lines: &str) -> SnpAccept {
    let role = compiled(&ROLE.replacen("vmpl          = 0\n", &format!("{lines}\n"), 1));
    let Accept::Snp(snp) = &role.accept[0] else { panic!() };
    snp.clone()
}

/// The message after these lines were added to the SNP rule, without file and line.
fn refused_lines(lines: &str) -> String {
    let text = ROLE.replacen("vmpl          = 0\n", &format!("{lines}\n"), 1);
    let error = both(&text, VALUES).unwrap_err();
    assert_eq!((error.file.as_str(), error.line), ("role.toml", 12), "{error}");
    error.reason.to_string()
}

#[test]
fn s6_s9_every_rule_over_a_report_has_its_key() {
    let policy = with_lines(
        "guest_policy = { debug = 'any', smt = 'forbidden', migrate_ma = 'any', single_socket = 'required', \
         cxl_allowed = 'forbidden', mem_aes_256_xts = 'required', rapl_disabled = 'required', \
         ciphertext_hiding = 'required', page_swap_disabled = 'required', min_abi = '1.55' }",
    )
    .guest_policy;
    assert_eq!(
        (policy.debug, policy.migrate_ma, policy.smt),
        (BitRule::Any, BitRule::Any, BitRule::Forbidden)
    );
    assert_eq!((policy.single_socket, policy.cxl_allowed), (BitRule::Required, BitRule::Forbidden));
    assert_eq!((policy.mem_aes_256_xts, policy.rapl_disabled), (BitRule::Required, BitRule::Required));
    assert_eq!((policy.ciphertext_hiding, policy.page_swap_disabled), (BitRule::Required, BitRule::Required));
    assert_eq!(policy.min_abi, AbiVersion { major: 1, minor: 55 });

    let mitigations = "mitigations = { launch = 0x16, current = 0xffffffffffffffff }\nmin_report_version = 5";
    assert_eq!(with_lines(mitigations).mitigations, MitigationRule { launch: 0x16, current: u64::MAX });
    let error =
        both(&ROLE.replacen("vmpl          = 0", "mitigations = { launch = 1 }", 1), VALUES).unwrap_err();
    assert_eq!(
        error.to_string(),
        "role.toml:12: mitigations are asked for, which only reports of version 5 show; set min_report_version = 5"
    );
    assert_eq!(refused_lines("mitigations = { launch = -1 }"), "expected 64 bits, such as 0x1f");
    assert_eq!(refused_lines("guest_policy = { min_abi = '1.300' }"), "expected a version such as '1.55'");
    assert!(refused_lines("guest_policy = { debugging = 'any' }").starts_with("unknown key 'debugging'"));
    assert!(refused_lines("debug = 'allowed'").starts_with("unknown key 'debug'"), "the old form is gone");

    let key = "ab".repeat(48);
    let digest = LaunchDigest([0xab; 48]);
    let block =
        with_lines(&format!("id_block = {{ id_keys = ['{key}'], author_keys = ['{key}'] }}")).id_block;
    let author = AuthorKeyRule::OneOf(vec![digest]);
    assert_eq!(block, IdBlockRule::SignedBy { id_keys: vec![digest], author });
    let block = with_lines(&format!("id_block = {{ id_keys = ['{key}'] }}")).id_block;
    assert_eq!(block, IdBlockRule::SignedBy { id_keys: vec![digest], author: AuthorKeyRule::AnyAuthor });
    assert_eq!(with_lines("id_block = 'any-id-block'").id_block, IdBlockRule::AnyIdBlock);
    assert_eq!(refused_lines("id_block = { id_keys = [] }"), "the list of ID keys is empty");

    let id = "0102030405060708090a0b0c0d0e0f10";
    let snp = with_lines(&format!("family_id = '{id}'\nimage_id = '{id}'\nmin_guest_svn = 7"));
    assert!(
        matches!((snp.family_id, snp.image_id), (IdRule::Exactly(a), IdRule::Exactly(b)) if a == b && a[15] == 16)
    );
    assert_eq!(snp.min_guest_svn, 7);
    let name = "07".repeat(32);
    let snp = with_lines(&format!("report_id = '{name}'\nmigration_agent = '{name}'"));
    assert_eq!(snp.report_id, ReportIdRule::Exactly([7; 32]));
    assert_eq!(snp.migration_agent, MigrationAgentRule::Exactly([7; 32]));
    let any = with_lines("migration_agent = 'any'").migration_agent;
    assert_eq!(any, MigrationAgentRule::AnyMigrationAgent);
}

#[test]
fn s11_revocation_is_checked_or_waived_by_name() {
    let line = "revocation    = { max_age = \"90d\" }\n";
    assert_eq!(
        broken(line, ""),
        "role.toml:6: 'revocation' is missing: { max_age = \"90d\" }, or the named waiver \"unchecked\""
    );
    assert!(broken("{ max_age = \"90d\" }", "\"none\"").contains("the named waiver \"unchecked\""));
    assert_eq!(broken("\"90d\"", "\"0d\""), "role.toml:14: the largest age of a revocation list is zero");
    let waived = compiled(&ROLE.replace("{ max_age = \"90d\" }", "\"unchecked\""));
    assert!(matches!(&waived.accept[0], Accept::Snp(snp) if snp.revocation == RevocationRule::Unchecked));
}

#[test]
fn b11_providers_stand_in_the_place_of_chips() {
    let list = "{ allow = \"chips-eu-1\" }";
    let role = compiled(&ROLE.replace(list, "{ providers = [\"azure\"] }"));
    let expected = ChipRule::Providers(vec![CspName("azure".into())]);
    assert!(matches!(&role.accept[0], Accept::Snp(snp) if snp.chip == expected));
    assert!(
        broken(list, "{ providers = [] }").starts_with("role.toml:13: the list of cloud providers is empty")
    );
    let both = "{ allow = \"chips-eu-1\", providers = [\"azure\"] }";
    assert_eq!(broken(list, both), "role.toml:13: give either 'allow' or 'providers'");
}

const OLDER: &str = r#"[tcb_floor.amd-2025-01]
date = "2025-01-01"
genoa = { boot_loader = 9, tee = 0, snp = 22, microcode = 70 }
turin = { fmc = 1, boot_loader = 1, tee = 1, snp = 1, microcode = 50 }

[release.billing-6]
date    = "2026-08-01"
expires = "2026-12-31"
grace   = "14d"
snp     = ["cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd34"]

[release_set.rollout]
releases = ["billing-agent", "billing-6"]
"#;

/// With older releases and floors, after one change to each.
fn rollout(role: (&str, &str), older: (&str, &str)) -> Result<SnpAccept, String> {
    assert!(ROLE.contains(role.0) && OLDER.contains(older.0));
    let role = ROLE.replacen(role.0, role.1, 1);
    let older = OLDER.replacen(older.0, older.1, 1);
    let roles = compile(&[("role.toml", &role), ("values.toml", VALUES), ("older.toml", &older)]);
    let Accept::Snp(snp) = roles.map_err(|error| error.to_string())?.remove(0).accept.remove(0) else {
        panic!()
    };
    Ok(snp)
}

#[test]
fn s5_each_tcb_may_have_its_floor_and_a_dated_grace() {
    let name = "tcb_floor     = \"amd-2026-10\"";
    let four = "tcb_floor = { reported = \"amd-2026-10\", committed = \"amd-2025-01\", launch = \"amd-2025-01\", \
                current = \"amd-2026-10\" }";
    let floors = rollout((name, four), ("", "")).unwrap().tcb_floors[0].floors;
    assert_eq!((floors.reported.snp, floors.committed.snp), (23, 22));
    assert_eq!((floors.launch.snp, floors.current.snp), (22, 23));
    let three = rollout((name, &four.replace(", current = \"amd-2026-10\"", "")), ("", "")).unwrap_err();
    assert!(
        three.contains("'current' is missing: each of reported, committed, launch and current"),
        "{three}"
    );

    let grace =
        "tcb_floor = \"amd-2026-10\"\ntcb_floor_grace = { floor = \"amd-2025-01\", until = \"2026-12-31\" }";
    let floor = rollout((name, grace), ("", "")).unwrap().tcb_floors[0];
    let TcbGrace::Until { floors, until_unix_secs } = floor.grace else { panic!() };
    assert_eq!((floors.launch.snp, until_unix_secs), (22, 1_798_761_600), "to the end of the last day");
    let above = rollout((name, grace), ("snp = 22", "snp = 24")).unwrap_err();
    assert!(above.starts_with("role.toml:11: a grace floor of Genoa is not at or below"), "{above}");
    let endless = rollout((name, &grace.replace(", until = \"2026-12-31\"", "")), ("", "")).unwrap_err();
    assert!(endless.contains("'until' is missing"), "{endless}");
}

#[test]
fn releases_expire_each_on_its_own_day() {
    let one = "release = \"billing-agent\"";
    let end = Expiry::At { expires_unix_secs: 1_798_761_600, grace_secs: 14 * 24 * 3600 };
    for both in
        ["release = [\"billing-agent\", \"billing-6\"]", "release = \"rollout\"", "release = [\"rollout\"]"]
    {
        let values = rollout((one, both), ("", "")).unwrap().measurements;
        assert_eq!([values[0].expiry, values[1].expiry], [Expiry::Never, end], "{both}");
        assert_eq!((values[0].value.0[47], values[1].value.0[47]), (0x12, 0x34));
    }
    let shared = rollout((one, "release = \"rollout\""), (&"cd".repeat(47), &"ab".repeat(47)));
    let shared = shared.and_then(|_| rollout((one, "release = \"rollout\""), ("34\"]", "34\", \"cd\"]")));
    assert_eq!(shared.unwrap_err(), "older.toml:10: expected a launch digest of 96 hexadecimal digits");
}

#[test]
fn an_end_is_a_day_after_the_beginning_and_sets_are_of_releases() {
    let one = "release = \"billing-agent\"";
    let set = (one, "release = \"rollout\"");
    for (older, message) in [
        (
            ("expires = \"2026-12-31\"", "expires = \"2026-07-31\""),
            "older.toml:8: 'expires' is before 'date'",
        ),
        (
            ("expires = \"2026-12-31\"", "expires = \"2026-02-30\""),
            "older.toml:8: expected a date, YYYY-MM-DD",
        ),
        (
            ("expires = \"2026-12-31\"\n", ""),
            "older.toml:8: a grace begins when values expire: give 'expires', too",
        ),
        (("\"14d\"", "\"14\""), "older.toml:9: expected a time such as \"90s\", \"15m\", \"1h\" or \"7d\""),
        (
            ("\"billing-6\"]", "\"billing-5\"]"),
            "older.toml:13: there is no [release.billing-5] in these files",
        ),
        (("\"billing-agent\", \"billing-6\"", ""), "older.toml:13: no release is named"),
        (("release_set.rollout", "release_set.uki"), "older.toml:13: 'uki' is defined twice"),
        (("\"billing-6\"]", "\"uki\"]"), "older.toml:13: release 'uki' has no SNP launch digest ('snp')"),
    ] {
        assert_eq!(rollout(set, older).unwrap_err(), message);
    }
    assert_eq!(rollout((one, "release = []"), ("", "")).unwrap_err(), "role.toml:9: no release is named");
}

#[test]
fn t13_a_tpm_rule_says_which_kind_and_how_its_key_is_shown() {
    let with = |lines: &str| {
        let role = compiled(&ROLE.replace("anchors       =", &format!("{lines}\nanchors =")));
        let [_, Accept::Tpm(tpm)] = role.accept.as_slice() else { panic!() };
        tpm.clone()
    };
    assert_eq!(with("tpm_kind = 'host-virtual'").kind, TpmKindRule::HostVirtual);
    assert_eq!(with("tpm_kind = 'any'\nak = 'either'").ak, AkRule::Either);
    assert_eq!(with("ak = 'certificate'").ak, AkRule::ByCertificate);
    assert_eq!(
        broken("anchors ", "tpm_kind = 'virtual'\nanchors "),
        "role.toml:18: expected 'hardware', 'host-virtual' or 'any'"
    );
}

#[test]
fn a_paravisors_rule_has_the_keys_of_both() {
    let tpm = ROLE.find("[[role.billing-agent.accept]]\nkind          = \"tpm\"").unwrap();
    let allow = ROLE.find("[[role.billing-agent.allow]]").unwrap();
    let head = ROLE[..tpm].replace("\"snp\"", "\"snp-vtpm\"");
    let pcrs = "pcrs = { 11 = { release = \"uki\" } }\n";
    let compile_with = |lines: &str| both(&format!("{}\n{lines}{}", head.trim_end(), &ROLE[allow..]), VALUES);
    let role = compile_with(pcrs).unwrap().remove(0);
    let Accept::SnpVtpm(rule) = &role.accept[0] else { panic!() };
    assert_eq!(rule.user_data, UserDataRule::Required, "the strict choice");
    assert_eq!((rule.pcrs.len(), rule.snp.platform_info.smt), (1, BitRule::Forbidden));
    let role = compile_with(&format!("{pcrs}user_data = \"not-required\"\n")).unwrap().remove(0);
    assert!(matches!(&role.accept[0], Accept::SnpVtpm(rule) if rule.user_data == UserDataRule::NotRequired));
    assert!(compile_with("").unwrap_err().to_string().contains("'pcrs' is missing"));
    assert!(
        compile_with(&format!("{pcrs}ek = \"any-tpm\"\n"))
            .unwrap_err()
            .to_string()
            .contains("unknown key 'ek'")
    );
}

#[test]
fn floors_are_listed_with_their_bulletins() {
    let text = VALUES
        .replace("source = \"AMD", "bulletin = [\"AMD-SB-3019\"]\nconfidence = \"hearsay\"\nsource = \"AMD");
    let known = floors(&[("role.toml", ROLE), ("values.toml", &text)]).unwrap();
    let [floor] = known.as_slice() else { panic!() };
    assert_eq!((floor.name.as_str(), floor.date.to_string().as_str()), ("amd-2026-10", "2026-10-01"));
    assert_eq!(
        (floor.bulletins.as_slice(), floor.confidence.as_deref()),
        (&["AMD-SB-3019".to_owned()][..], Some("hearsay"))
    );
    assert_eq!(floor.tcbs.len(), 2);
    assert!(floors(&[("x", "[rule]\n")]).unwrap_err().to_string().starts_with("x:1: unknown key 'rule'"));
}
