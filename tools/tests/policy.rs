//! `vouchsafe policy`, the built program: what people and programs are told, and the exit codes.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test, helpers included")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use vouchsafe_attestation::statement;
use vouchsafe_evidence::{Bundle, Case};
use vouchsafe_platform::Attester;
use vouchsafe_platform::sim::{self, Creation, SimConfig, SimPlatform};
use vouchsafe_protocol::codec;
use vouchsafe_protocol::evidence::{Evidence, SnpEvidence};
use vouchsafe_protocol::id::AnchorClass;
use vouchsafe_protocol::introduction::LogsWanted;
use vouchsafe_protocol::policy::Product;
use vouchsafe_protocol::seen::{SeenEvidence, SeenFacts, SeenReport};

/// A simulated machine, its evidence as a bundle, and policy files.
struct World {
    dir: TempDir,
    snp: SnpEvidence,
}

impl World {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let fleet = dir.path().join("fleet");
        let config = SimConfig { creation: Creation::IfMissing, ..SimConfig::new(fleet, "agent") };
        let mut machine = SimPlatform::open(&config).unwrap();
        let evidence =
            machine.evidence(&statement::collection(b"nonce"), &[], LogsWanted::default()).unwrap();
        let Evidence::Snp(snp) = evidence else { panic!() };
        let case = Case { name: "agent".to_owned(), kind: "snp-report".to_owned(), ..Case::default() };
        let mut bundle = Bundle { case, ..Bundle::default() };
        bundle.files.insert("report".to_owned(), snp.report.clone());
        bundle.files.insert("vcek".to_owned(), snp.endorsements.vek.clone().unwrap());
        bundle.files.insert("ask".to_owned(), snp.endorsements.intermediate.clone().unwrap());
        bundle.write(&dir.path().join("bundle")).unwrap();
        Self { dir, snp }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A policy file with one role, whose SNP rules have these launch digests.
    fn role(&self, file: &str, digests: &[&str], more: &str) -> String {
        let rule = |digest: &&str| {
            format!(
                "[[role.web.accept]]\nkind = 'snp'\nproducts = ['genoa']\nmeasurement = {{ digests = ['{digest}'] }}\n\
                 tcb_floor = 'lowest'\nchip = 'any-chip'\nrevocation = 'unchecked'\n{more}\n"
            )
        };
        let rules: String = digests.iter().map(rule).collect();
        let text = format!(
            "[role.web]\nspiffe_path = '/web'\nevidence_max_age = '1h'\nidentity_ttl = '1h'\n{rules}\n\
             [tcb_floor.lowest]\ndate = 2026-01-01\ngenoa = {{ boot_loader = 0, tee = 0, snp = 0, microcode = 0 }}\n"
        );
        let path = self.path(file);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_vouchsafe"))
            .args(arguments)
            .env("HOME", self.dir.path())
            .env_remove("VOUCHSAFE_DIR")
            .env_remove("VOUCHSAFE_ADDRESS")
            .output()
            .unwrap()
    }

    fn on_bundle(&self, command: &str, file: &str, more: &[&str]) -> Output {
        let (bundle, fleet) = (self.path("bundle"), self.path("fleet"));
        let (bundle, fleet) = (bundle.to_str().unwrap(), fleet.to_str().unwrap());
        let fixed =
            ["policy", command, file, "--role", "web", "--evidence", bundle, "--simulated-root", fleet];
        self.run(&[&fixed[..], more].concat())
    }
}

fn own() -> String {
    hex::encode(sim::measurement(sim::DEFAULT_IMAGE).0)
}

fn text(output: &Output) -> String {
    let printed = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8(printed).unwrap()
}

fn parsed(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(output)))
}

fn codes(rule: &Value) -> Vec<&str> {
    rule["refusals"].as_array().unwrap().iter().map(|refusal| refusal["code"].as_str().unwrap()).collect()
}

#[test]
fn test_says_which_rule_accepts() {
    let world = World::new();
    let file = world.role("role.toml", &[&"11".repeat(48), &own()], "");
    let output = world.on_bundle("test", &file, &["--at", "2026-12-01T00:00:00Z"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(
        text(&output),
        "accepted as 'web' by rule 2 at 2026-12-01T00:00:00Z\n  SIMULATED: judged by roots of simulated hardware\n  rule 2 (snp): accepts\n"
    );
    let json = parsed(&world.on_bundle("test", &file, &["--output", "json"]));
    assert_eq!((&json["accepted"], &json["rule"], &json["genuine"]), (&json!(true), &json!(2), &json!(true)));
    assert_eq!(json["refused"], Value::Null);
    assert_eq!(json.get("rules"), None);
}

#[test]
fn test_exits_with_1_and_names_the_code_if_no_rule_accepts() {
    let world = World::new();
    let file = world.role("role.toml", &[&"11".repeat(48)], "");
    let output = world.on_bundle("test", &file, &["--output", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let json = parsed(&output);
    assert_eq!((&json["accepted"], &json["refused"]), (&json!(false), &json!("snp.measurement")));
}

#[test]
fn explain_lists_all_that_each_rule_refuses_with_both_sides() {
    let world = World::new();
    let other = "11".repeat(48);
    let file = world.role(
        "role.toml",
        &[&other, &own()],
        "min_guest_svn = 4\nplatform_info = { smt = 'forbidden' }",
    );
    let output = world.on_bundle("explain", &file, &["--at", "2026-12-01T00:00:00Z"]);
    assert_eq!(output.status.code(), Some(1));
    let own = own();
    let svn = "    guest security version 0 is below 4 [snp.guest-svn]\n      asked for: at least 4\n      shown:     0\n\
               \x20   platform info bit 0 is not as required [snp.platform-info]\n      asked for: smt clear\n      \
               shown:     smt set\n";
    let expected = format!(
        "refused as 'web' at 2026-12-01T00:00:00Z\n  SIMULATED: judged by roots of simulated hardware\n  rule 1 (snp): refuses\n    launch measurement is not accepted \
         [snp.measurement]\n      asked for: {other}\n      shown:     {own}\n{svn}  rule 2 (snp): refuses\n{svn}"
    );
    assert_eq!(text(&output), expected);
    let json = parsed(&world.on_bundle("explain", &file, &["--output", "json"]));
    assert_eq!(codes(&json["rules"][0]), ["snp.measurement", "snp.guest-svn", "snp.platform-info"]);
    assert_eq!(codes(&json["rules"][1]), ["snp.guest-svn", "snp.platform-info"]);
    assert_eq!(json["rules"][0]["refusals"][0]["expected"], json!(other));
    assert_eq!(json["rules"][0]["refusals"][0]["actual"], json!(own));
    assert_eq!(json["refused"], json!("snp.guest-svn"), "of the rule that got furthest");
}

#[test]
fn s2_evidence_under_other_anchors_is_not_genuine() {
    let world = World::new();
    let file = world.role("role.toml", &[&own()], "");
    let bundle = world.path("bundle");
    let arguments = [
        "policy",
        "explain",
        &file,
        "--role",
        "web",
        "--evidence",
        bundle.to_str().unwrap(),
        "--output",
        "json",
    ];
    let output = world.run(&arguments);
    assert_eq!(output.status.code(), Some(1));
    let json = parsed(&output);
    assert_eq!((&json["accepted"], &json["genuine"]), (&json!(false), &json!(false)));
    assert_eq!(json["rules"][0]["verdict"], json!("accepts"), "its claims alone would do");
    assert!(json["refused"].as_str().unwrap().starts_with("snp."), "{json}");
}

#[test]
fn s11_revocation_is_asked_for_by_default() {
    let world = World::new();
    let file = world.role("role.toml", &[&own()], "");
    let checked = fs::read_to_string(&file).unwrap().replace("'unchecked'", "{ max_age = '90d' }");
    fs::write(&file, checked).unwrap();
    let json = parsed(&world.on_bundle("explain", &file, &["--output", "json"]));
    assert_eq!(codes(&json["rules"][0]), ["snp.crl.missing"]);
}

#[test]
fn a_role_or_case_that_is_not_there_is_wrong_usage() {
    let world = World::new();
    let file = world.role("role.toml", &[&own()], "");
    let bundle = world.path("bundle");
    let bundle = bundle.to_str().unwrap();
    let output = world.run(&["policy", "test", &file, "--role", "app", "--evidence", bundle]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("there is no role 'app'") && text(&output).contains("they have web"));
    let output = world.run(&["policy", "test", &file, "--role", "web", "--evidence", bundle, "--case", "x"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("some of those there are: agent"), "{}", text(&output));
    let output = world.run(&["policy", "test", &file, "--role", "web", "--evidence", bundle, "--at", "noon"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn real_evidence_of_each_kind_is_explained() {
    let evidence = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/evidence"));
    if !evidence.join("cases.json").exists() {
        eprintln!("SKIPPED: {} is not there", evidence.display());
        return;
    }
    let world = World::new();
    let file = world.role("role.toml", &[&"11".repeat(48)], "");
    let cases: Value = serde_json::from_slice(&fs::read(evidence.join("cases.json")).unwrap()).unwrap();
    let mut tried = 0;
    for case in cases["cases"].as_array().unwrap() {
        let kind = case["kind"].as_str().unwrap();
        if !["snp-report", "azure-snp"].contains(&kind) || case["expect"] != json!("valid") {
            continue;
        }
        let (name, at) = (case["name"].as_str().unwrap(), case["at"].as_str().unwrap());
        let directory = evidence.to_str().unwrap();
        let arguments = [
            "policy",
            "explain",
            &file,
            "--role",
            "web",
            "--evidence",
            directory,
            "--case",
            name,
            "--at",
            at,
        ];
        let output = world.run(&[&arguments[..], &["--output", "json"]].concat());
        let json = parsed(&output);
        assert_eq!((&json["genuine"], output.status.code()), (&json!(true), Some(1)), "{name}: {json}");
        let verdict = if kind == "snp-report" { "refuses" } else { "other-kind" };
        assert_eq!(json["rules"][0]["verdict"], json!(verdict), "{name}");
        tried += 1;
    }
    assert!(tried >= 10, "{tried}");
}

#[test]
fn floors_are_listed_with_bulletin_and_age() {
    let world = World::new();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/tcb-floors.toml");
    let output = world.run(&["policy", "floors", shipped]);
    assert_eq!(output.status.code(), Some(0));
    let shown = text(&output);
    assert!(shown.contains("amd-sb-3015  2024-12-10, "), "{shown}");
    assert!(shown.contains("genoa  boot_loader 0, tee 0, snp 22, microcode 0"), "{shown}");
    assert!(shown.contains("turin  fmc 0, boot_loader 0, tee 0, snp 4, microcode 80"), "{shown}");
    let json = parsed(&world.run(&["policy", "floors", shipped, "--output", "json"]));
    let floors = json["floors"].as_array().unwrap();
    let badram = floors.iter().find(|floor| floor["name"] == json!("amd-sb-3015")).unwrap();
    assert_eq!(badram["bulletins"], json!(["AMD-SB-3015"]));
    assert!(badram["age_days"].as_u64().unwrap() > 700);
    assert_eq!(badram["tcbs"]["milan"]["snp"], json!(23));
    let empty = world.role("role.toml", &[&own()], "");
    let json = parsed(&world.run(&["policy", "floors", &empty, "--output", "json"]));
    assert_eq!(json["floors"][0]["name"], json!("lowest"));
}

/// An unsigned CoRIM with a launch digest and a TCB.
fn corim() -> Vec<u8> {
    use corim::builder::{ComidBuilder, CorimBuilder};
    use corim::types::common::{ClassIdChoice, MeasuredElement, TagIdChoice};
    use corim::types::corim::CorimId;
    use corim::types::environment::{ClassMap, EnvironmentMap};
    use corim::types::measurement::{Digest, MeasurementMap, MeasurementValuesMap, SvnChoice};
    use corim::types::triples::ReferenceTriple;
    let oid = ClassIdChoice::Oid(vec![0x2b, 6, 1, 4, 1, 0x9c, 0x78, 3, 1]);
    let class = ClassMap { class_id: Some(oid), vendor: None, model: None, layer: None, index: None };
    let environment = EnvironmentMap { class: Some(class), instance: None, group: None };
    let measurement = |key: u64, set: &dyn Fn(&mut MeasurementValuesMap)| {
        let mut mval = MeasurementValuesMap::new();
        set(&mut mval);
        MeasurementMap { mkey: Some(MeasuredElement::Uint(key)), mval, authorized_by: None }
    };
    let digest = measurement(641, &|mval| mval.digests = Some(vec![Digest::new(7, vec![0xab; 48])]));
    let tcb = measurement(647, &|mval| mval.svn = Some(SvnChoice::MinValue(1)));
    let comid = ComidBuilder::new(TagIdChoice::Text("c".to_owned()))
        .add_reference_triple(ReferenceTriple::new(environment, vec![digest, tcb]))
        .build()
        .unwrap();
    CorimBuilder::new(CorimId::Text("acme/agent/7".to_owned()))
        .add_comid_tag(comid)
        .unwrap()
        .build_bytes()
        .unwrap()
}

#[test]
fn a_corim_becomes_a_policy_file_that_says_what_it_leaves_out() {
    let world = World::new();
    let file = world.path("agent.corim");
    fs::write(&file, corim()).unwrap();
    let file = file.to_str().unwrap();
    let import =
        |more: &[&str]| world.run(&[&["policy", "import-corim", file, "--name", "agent-7"], more].concat());
    assert_eq!(import(&[]).status.code(), Some(2), "a publisher's key or --unsigned has to be said");
    let output = import(&["--unsigned", "--at", "2026-11-01T00:00:00Z"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let toml = text(&output);
    let head = "# UNSIGNED: nobody vouches for these values but the way they came here.\n# Not imported: measurement \
                647. A rule without it accepts more than the publisher meant.\n[release.agent-7]\ndate = \
                \"2026-11-01\"\nsource = \"CoRIM acme/agent/7, unsigned\"\n";
    assert!(toml.starts_with(head), "{toml}");
    // What was printed is a policy file.
    let release = world.path("agent-7.toml");
    fs::write(&release, &toml).unwrap();
    let role = world.role("role.toml", &[&own()], "");
    let named = fs::read_to_string(&role).unwrap();
    let named = named.replace(&format!("{{ digests = ['{}'] }}", own()), "{ release = 'agent-7' }");
    fs::write(&role, named).unwrap();
    let json = parsed(&world.on_bundle("explain", &role, &[release.to_str().unwrap(), "--output", "json"]));
    assert_eq!(json["rules"][0]["refusals"][0]["expected"], json!("ab".repeat(48)));
    let json = parsed(&import(&["--unsigned", "--output", "json"]));
    assert_eq!((&json["signed"], &json["not_imported"]), (&json!(false), &json!(["measurement 647"])));
    let key = world.path("key.pem");
    fs::write(&key, vouchsafe_crypto_key()).unwrap();
    let output = import(&["--key", key.to_str().unwrap(), "--output", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["error"]["code"], json!("corim.unsigned"));
}

/// DER of some P-256 key.
fn vouchsafe_crypto_key() -> Vec<u8> {
    vouchsafe_crypto::signature::P256Key::generate().unwrap().spki()
}

impl World {
    /// What 'evidence seen --output json' prints of two agents: one with this role, one with another.
    fn seen(&self, at: u64) -> String {
        let record = |identity: u64, role: &str| SeenEvidence {
            role: role.parse().unwrap(),
            role_digest: [0; 32],
            identity,
            spiffe_id: format!("spiffe://v/{role}"),
            at_unix_secs: at,
            not_after_unix_secs: at + 3600,
            evidence_until_unix_secs: at + 3600,
            evidence_digest: [0; 32],
            platform: vec![0xc1; 64],
            anchor_class: AnchorClass::Simulated,
            rule: 0,
            warnings: Vec::new(),
            clock: None,
            facts: SeenFacts::Snp(SeenReport {
                report: self.snp.report.clone(),
                product: Product::Genoa,
                provider: None,
            }),
        };
        let encoded = |record: SeenEvidence| json!({ "record": BASE64_STANDARD.encode(codec::encode(&record).unwrap()) });
        let seen = json!({ "seen": [encoded(record(7, "web")), encoded(record(8, "app"))], "forgotten": 2 });
        let path = self.path("seen.json");
        fs::write(&path, seen.to_string()).unwrap();
        path.display().to_string()
    }
}

/// 2026-12-01T00:00:00Z and ten minutes earlier.
const AT: &str = "2026-12-01T00:00:00Z";
const SEEN_AT: u64 = 1_796_082_600;

#[test]
fn plan_tells_whose_access_would_end_and_exits_with_3() {
    let world = World::new();
    let seen = world.seen(SEEN_AT);
    let old = world.role("old.toml", &[&own()], "");
    let new = world.role("new.toml", &[&"11".repeat(48)], "");
    let plan = |more: &[&str]| {
        world.run(&[&["policy", "plan", &new, "--seen", &seen, "--at", AT, "--before", &old], more].concat())
    };
    let output = plan(&[]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    let shown = text(&output);
    let lines: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["identity", "role", "platform", "before", "after"]);
    let web = [
        "7",
        "(spiffe://v/web)",
        "web",
        "snp",
        "genoa",
        "c1c1c1c1c1c1",
        "rule",
        "1",
        "snp.measurement",
        "LOSES",
        "ACCESS",
    ];
    assert_eq!(lines[1], web);
    assert_eq!(lines[2][6..], ["rule", "1", "unchanged"]);
    assert!(
        shown.contains(&format!("identity 7: asked for {}; shown {}", "11".repeat(48), own())),
        "{shown}"
    );
    assert!(shown.contains("1 identity would lose access\n2 more identities are live"), "{shown}");
    let json = parsed(&plan(&["--output", "json"]));
    assert_eq!((&json["lost"], &json["forgotten"]), (&json!(1), &json!(2)));
    let web = &json["identities"][0];
    assert_eq!(web["before"], json!({ "accepted": true, "rule": 1 }));
    assert_eq!(web["after"], json!({ "accepted": false, "code": "snp.measurement" }));
    assert_eq!((&web["loses_access"], &web["actual"]), (&json!(true), &json!(own())));
}

#[test]
fn plan_exits_with_0_if_everybody_stays() {
    let world = World::new();
    let seen = world.seen(SEEN_AT);
    let new = world.role("new.toml", &[&own(), &"11".repeat(48)], "");
    let output = world.run(&["policy", "plan", &new, "--seen", &seen, "--at", AT]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("nobody would lose access"));
    // What was refused before loses nothing.
    let other = world.role("other.toml", &[&"11".repeat(48)], "");
    let output = world.run(&["policy", "plan", &other, "--seen", &seen, "--at", AT, "--before", &other]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

#[test]
fn f6_plan_counts_evidence_that_a_shorter_age_would_end() {
    let world = World::new();
    let seen = world.seen(SEEN_AT);
    let new = world.role("new.toml", &[&own()], "");
    let shorter = |age: &str| {
        let text = fs::read_to_string(&new).unwrap().replace("evidence_max_age = '1h'", age);
        let path = world.path("shorter.toml");
        fs::write(&path, text).unwrap();
        let json = ["--output", "json"];
        world.run(
            &[&["policy", "plan", path.to_str().unwrap(), "--seen", &seen, "--at", AT], &json[..]].concat(),
        )
    };
    let json = parsed(&shorter("evidence_max_age = '10m'"));
    assert_eq!(json["identities"][0]["after"], json!({ "accepted": false, "code": "evidence.age" }));
    assert_eq!(parsed(&shorter("evidence_max_age = '11m'"))["lost"], json!(0));
}

#[test]
fn a_damaged_record_is_refused() {
    let world = World::new();
    let new = world.role("new.toml", &[&own()], "");
    for content in ["[]", "{}", r#"{"seen":[{"record":"AAAA"}]}"#, r#"{"seen":[{"record":"!"}]}"#] {
        let path = world.path("seen.json");
        fs::write(&path, content).unwrap();
        let output =
            world.run(&["policy", "plan", &new, "--seen", path.to_str().unwrap(), "--output", "json"]);
        assert_eq!(output.status.code(), Some(1), "{content}");
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(error["error"]["code"], json!("malformed-file"), "{content}");
    }
}

#[test]
fn help_of_every_policy_command_has_examples() {
    let world = World::new();
    for command in ["explain", "floors", "import-corim", "plan", "test"] {
        let output = world.run(&["policy", command, "--help"]);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output).contains("Examples:\n  vouchsafe policy "), "{command}");
    }
}

/// What `web` may do, after its accept rule.
fn granted(world: &World, rules: &str) -> String {
    world.role("granted.toml", &[&own()], rules)
}

const READS: &str = "[[role.web.allow]]\npath = 'kv/web/*'\ncan = ['read']\n[[role.web.deny]]\npath = 'kv/+/root'\ncannot = ['read']";

#[test]
fn lint_ends_with_3_when_something_is_found() {
    let world = World::new();
    let clean = granted(&world, READS);
    let output = world.run(&["policy", "lint", &clean]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("nothing is reached without evidence"), "{}", text(&output));
    let found = granted(&world, &READS.replace("'kv/web/*'", "'secret/web'"));
    let output = world.run(&["policy", "lint", &found, "--output", "json"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    let json = parsed(&output);
    assert_eq!(json["findings"][0]["code"], "no-mount");
    assert_eq!(json["findings"][0]["place"], "allow rule 1");
}

#[test]
fn explain_of_a_path_says_which_rule_decides() {
    let world = World::new();
    let file = granted(&world, READS);
    let explain = |path: &str, more: &[&str]| {
        let fixed = ["policy", "explain", &file, "--role", "web", "--can", "read", "--path", path];
        world.run(&[&fixed[..], more].concat())
    };
    let output = explain("kv/web/db", &["--at", "2026-11-23T12:00:00Z"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(
        text(&output)
            .starts_with("read kv/web/db: allowed by allow rule 1 for 'web' at 2026-11-23T12:00:00Z")
    );
    let output = explain("kv/web/root", &["--output", "json"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert_eq!(parsed(&output)["by"], "deny rule 1");
    for wrong in [&["--evidence", "x"][..], &["--platform-kind", "pdp"], &["--at", "noon"]] {
        assert_eq!(explain("kv/web/db", wrong).status.code(), Some(2), "{wrong:?}");
    }
    assert_eq!(explain("kv//db", &[]).status.code(), Some(2));
}

#[test]
fn test_compares_expectations_of_paths_with_and_without_evidence() {
    let world = World::new();
    let file = granted(&world, READS);
    let fixed = ["policy", "test", &file, "--role", "web"];
    let on_paths = |more: &[&str]| world.run(&[&fixed[..], more].concat());
    let output = on_paths(&[
        "--allows",
        "read=kv/web/db",
        "--denies",
        "read=kv/web/root",
        "--denies",
        "write=kv/web/db",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let output = on_paths(&["--allows", "read=kv/web/root", "--output", "json"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert_eq!(parsed(&output)["paths"][0]["allowed"], false);
    assert_eq!(on_paths(&[]).status.code(), Some(2), "nothing to test");
    let output = world.on_bundle("test", &file, &["--allows", "read=kv/web/root"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let said = text(&output);
    assert!(
        said.contains("accepted as 'web'") && said.contains("NOT AS EXPECTED: read kv/web/root"),
        "{said}"
    );
    let output = world.on_bundle("test", &file, &["--denies", "read=kv/web/root"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}
