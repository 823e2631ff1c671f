//! The command line over cases: real evidence (skipped loudly where it is missing), the corpus, snapshots for people.

use std::path::PathBuf;

use serde_json::Value;
use vouchsafe_evidence::{Bundle, Case, Expect, Suite, corpus};

use super::*;
use crate::failure::Failure;

/// The directory of evidence: `VOUCHSAFE_EVIDENCE`, or beside the repository.
fn evidence() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/evidence");
    let dir = std::env::var_os("VOUCHSAFE_EVIDENCE").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    if dir.join("cases.json").exists() {
        return Some(dir);
    }
    eprintln!("SKIPPED: no evidence at {}; set VOUCHSAFE_EVIDENCE", dir.display());
    None
}

fn run(command: EvidenceCommand, json: bool) -> anyhow::Result<(u8, String)> {
    let mut out = Vec::new();
    let code = command.run(json, &mut out)?;
    Ok((code, String::from_utf8(out).unwrap()))
}

fn inspect_text(path: PathBuf) -> String {
    run(EvidenceCommand::Inspect { path, at: Some("2026-01-01T00:00:00Z".to_owned()) }, false).unwrap().1
}

#[derive(clap::Parser)]
struct Wrap {
    #[command(flatten)]
    args: VerifyArgs,
}

fn verify_args(path: PathBuf) -> VerifyArgs {
    verify_args_with(path, &[])
}

fn verify_args_with(path: PathBuf, flags: &[&str]) -> VerifyArgs {
    let given = [&["verify", path.to_str().unwrap()], flags].concat();
    <Wrap as clap::Parser>::parse_from(given).args
}

/// A case of the corpus as a bundle in a directory.
fn bundle(name: &str) -> tempfile::TempDir {
    bundle_of(&corpus::generate(1).unwrap(), name)
}

fn bundle_of(suite: &Suite, name: &str) -> tempfile::TempDir {
    let case = suite.document.cases.iter().find(|case| case.name == name).unwrap();
    let dir = tempfile::tempdir().unwrap();
    Bundle { case: case.clone(), files: suite.files_of(case) }.write(dir.path()).unwrap();
    dir
}

#[test]
fn real_evidence_agrees_and_nothing_is_unsupported() {
    let Some(dir) = evidence() else { return };
    let (code, out) = run(EvidenceCommand::Check { cases: dir.clone() }, false).unwrap();
    assert_eq!(code, 0, "{out}");
    assert!(out.ends_with("agree, 0 differ, 0 not supported\n"), "{}", out.lines().last().unwrap());
    let (_, json) = run(EvidenceCommand::Check { cases: dir }, true).unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["summary"]["different"], 0);
    assert_eq!(json["results"][0]["result"], "agrees");
}

#[test]
fn every_file_of_real_evidence_can_be_shown_or_is_refused_with_a_reason() {
    let Some(dir) = evidence() else { return };
    let mut shown = 0;
    for part in ["snp", "tpm", "cert", "amd", "log", "azure", "ima"] {
        for entry in std::fs::read_dir(dir.join(part)).unwrap() {
            let path = entry.unwrap().path();
            if let Ok(structure) = inspect::inspect(&path, None) {
                let mut text = Vec::new();
                structure.write(&mut text).unwrap();
                assert!(text.len() > 50, "{}", path.display());
                assert!(structure.to_json().is_object());
                shown += 1;
            }
        }
    }
    assert!(shown > 60, "{shown}");
}

#[test]
fn s16_t8_no_prefix_of_any_file_makes_inspect_panic() {
    let Some(dir) = evidence() else { return };
    for name in [
        "snp/genoa-v5-oak.bin",
        "snp/genoa-v5-oak-vcek.der",
        "amd/genoa.crl",
        "azure/milan-v3-azure-coco-v1-hcl.bin",
        "ima/ima-ng-sha256.txt",
        "tpm/gce-cos-85-nonce9009-sha256-quote.msg",
        "log/short-no-action.bin",
        "log/keylime-bogus.bin",
    ] {
        let file = read_file(&dir.join(name)).unwrap();
        let step = 1 + file.len() / 2000;
        for len in (0..file.len()).step_by(step) {
            // Whether a prefix happens to be something is not the point here.
            drop(inspect::of_file(&file[..len], 0));
        }
    }
}

#[test]
fn the_corpus_is_written_read_and_agreed_with() {
    let dir = tempfile::tempdir().unwrap();
    let command = EvidenceCommand::Corpus { dir: dir.path().to_owned(), seed: 7 };
    let (code, out) = run(command, true).unwrap();
    let said: Value = serde_json::from_str(&out).unwrap();
    let total = said["cases"]["to_accept"].as_u64().unwrap() + said["cases"]["to_refuse"].as_u64().unwrap();
    assert_eq!(code, 0);
    assert!(total >= 400, "{said}");
    assert_eq!(Suite::read(dir.path()).unwrap(), corpus::generate(7).unwrap());
    let readme = std::fs::read_to_string(dir.path().join("README.md")).unwrap();
    assert!(readme.contains("cases.json") && readme.contains("snp.policy.debug"));
    let (code, out) = run(EvidenceCommand::Check { cases: dir.path().to_owned() }, false).unwrap();
    assert_eq!(code, 0);
    assert!(
        out.contains(&format!("{total} agree, 0 differ, 0 not supported")),
        "{}",
        out.lines().last().unwrap()
    );
}

fn one_case(
    files: &[(&str, &[u8])],
    case: &str,
    mutations: &str,
) -> (tempfile::TempDir, anyhow::Result<(u8, String)>) {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    let document = format!(r#"{{"schema": 1, "split": "x", "cases": [{case}], "mutations": [{mutations}]}}"#);
    std::fs::write(dir.path().join("cases.json"), document).unwrap();
    let result = run(EvidenceCommand::Check { cases: dir.path().to_owned() }, false);
    (dir, result)
}

#[test]
fn an_unknown_kind_is_not_supported_and_never_passed() {
    let case = r#"{"name": "a", "kind": "tdx-quote", "files": {}, "expect": "valid", "reason": ""}"#;
    let (_dir, result) = one_case(&[], case, "");
    let (code, out) = result.unwrap();
    assert_eq!(code, 1);
    assert!(out.contains("nothing was verified"), "{out}");
    assert!(out.contains("0 agree, 0 differ, 1 not supported"), "{out}");
}

#[test]
fn a_verdict_that_differs_makes_the_exit_code_1() {
    let case = r#"{"name": "a", "kind": "snp-parse", "files": {"report": "r"}, "expect": "valid"}"#;
    let (_dir, result) = one_case(&[("r", &[0; 1184])], case, "");
    let (code, out) = result.unwrap();
    assert_eq!(code, 1);
    assert!(out.contains("DIFFERS") && out.contains("unknown version 0"), "{out}");
}

#[test]
fn a_refusal_by_another_rule_makes_the_exit_code_1() {
    let case = |code: &str| {
        format!(
            r#"{{"name": "a", "kind": "snp-parse", "files": {{"report": "r"}}, "expect": "invalid", "code": "{code}"}}"#
        )
    };
    let (_dir, result) = one_case(&[("r", &[0; 1184])], &case("snp.report.length"), "");
    let (code, out) = result.unwrap();
    assert_eq!(code, 1);
    assert!(out.contains("(expected invalid: snp.report.length)"), "{out}");
    let (_dir, result) = one_case(&[("r", &[0; 1184])], &case("snp.report.version"), "");
    assert_eq!(result.unwrap().0, 0);
}

#[test]
fn a_policy_with_an_unknown_key_is_not_ignored() {
    let case = r#"{"name": "a", "kind": "snp-report", "files": {}, "expect": "invalid",
        "at": "2025-01-01T00:00:00Z", "policy": {"allow_everything": true}}"#;
    let (_dir, result) = one_case(&[], case, "");
    assert!(result.unwrap().1.contains("0 agree, 0 differ, 1 not supported"));
}

#[test]
fn a_file_outside_the_directory_is_refused() {
    let case = r#"{"name": "a", "kind": "snp-parse", "files": {"report": "../r"}, "expect": "invalid"}"#;
    let (_dir, result) = one_case(&[], case, "");
    assert!(result.unwrap_err().to_string().contains("outside"));
}

#[test]
fn a_mutation_that_does_not_apply_is_an_error() {
    let case = r#"{"name": "a", "kind": "snp-parse", "files": {"report": "r"}, "expect": "invalid"}"#;
    let mutation = r#"{"name": "m", "base": "a", "file": "report", "op": "xor", "offset": 9, "value": "01",
        "expect": "invalid"}"#;
    let (_dir, result) = one_case(&[("r", b"short")], case, mutation);
    assert!(format!("{:#}", result.unwrap_err()).contains("behind the end"));
}

#[test]
fn verify_accepts_a_good_bundle_and_names_the_rule_of_a_bad_one() {
    let suite = corpus::generate(1).unwrap();
    let good = bundle_of(&suite, "t10-good-ecdsa-p256");
    let root = good.path().join("root.der");
    let anchors = suite.document.tpm_anchors.as_ref().unwrap();
    std::fs::write(&root, &suite.files[&anchors["maker"].certificates[0]]).unwrap();
    let anchor = format!("maker={},hardware", root.display());
    let at = Bundle::read(good.path()).unwrap().case.at.unwrap();
    let args = verify_args_with(good.path().to_owned(), &["--anchor", &anchor, "--at", &at]);
    let (code, out) = run(EvidenceCommand::Verify(args), true).unwrap();
    let said: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &said["accepted"]), (0, &true.into()), "{said}");
    assert_eq!(said["claims"]["clock"]["reset_count"], 5);
    // Without the flag nobody vouches for the TPM.
    let (code, out) = run(EvidenceCommand::Verify(verify_args(good.path().to_owned())), true).unwrap();
    let said: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &said["rule"]), (1, &"tpm.ek.chain".into()), "{said}");
    let bad = bundle_of(&suite, "s6-debug-by-default");
    let (code, out) = run(EvidenceCommand::Verify(verify_args(bad.path().to_owned())), true).unwrap();
    let said: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &said["accepted"], &said["rule"]), (1, &false.into(), &"snp.policy.debug".into()));
}

#[test]
fn s2_verify_never_takes_roots_from_a_bundle() {
    let suite = corpus::generate(1).unwrap();
    let case = suite.document.cases.iter().find(|case| case.name == "s15-good-genoa-version-5").unwrap();
    let mut alone = suite.clone();
    alone.document.cases = vec![case.clone()];
    let dir = tempfile::tempdir().unwrap();
    alone.write(dir.path()).unwrap();
    // As a suite, whose reader chose it, the document's roots hold; as a bundle they do not.
    assert_eq!(run(EvidenceCommand::Check { cases: dir.path().to_owned() }, false).unwrap().0, 0);
    let (code, out) = run(EvidenceCommand::Verify(verify_args(dir.path().to_owned())), true).unwrap();
    let said: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &said["rule"]), (1, &"snp.chain.unknown-issuer".into()), "{said}");
}

#[test]
fn verify_of_what_cannot_be_read_is_wrong_usage() {
    for path in ["/nonexistent", "/dev/null"] {
        let error = run(EvidenceCommand::Verify(verify_args(PathBuf::from(path))), false).unwrap_err();
        assert_eq!(crate::failure::Failure::of(&error).exit, 2, "{error:#}");
    }
}

#[test]
fn verify_judges_real_evidence_by_a_role() {
    let Some(dir) = evidence() else { return };
    let suite = Suite::read(&dir).unwrap();
    let bundle = bundle_of(&suite, "genoa-v5-oak");
    let case: &Case = suite.document.cases.iter().find(|case| case.name == "genoa-v5-oak").unwrap();
    let measurement = case.facts.as_ref().unwrap()["measurement"].as_str().unwrap().to_owned();
    let policy = |digest: &str| {
        format!(
            "[role.r]\nspiffe_path = '/r'\nevidence_max_age = '1h'\nidentity_ttl = '1h'\n[[role.r.accept]]\n\
             kind = 'snp'\nproducts = ['genoa']\nmeasurement = {{ digests = ['{digest}'] }}\ntcb_floor = 'low'\n\
             chip = 'any-chip'\nrevocation = 'unchecked'\nplatform_info = {{ alias_check_complete = 'any' }}\n\
             [tcb_floor.low]\ndate = '2024-01-01'\nbulletin = ['none']\n\
             genoa = {{ boot_loader = 0, tee = 0, snp = 0, microcode = 0 }}\n"
        )
    };
    let verify = |digest: &str| {
        let file = bundle.path().join("role.toml");
        std::fs::write(&file, policy(digest)).unwrap();
        let flags = ["--policy", file.to_str().unwrap(), "--role", "r"];
        let args = verify_args_with(bundle.path().to_owned(), &flags);
        run(EvidenceCommand::Verify(args), true)
            .map(|(code, out)| (code, serde_json::from_str::<Value>(&out).unwrap()))
    };
    let (code, said) = verify(&measurement).unwrap();
    assert_eq!((code, &said["rule"]), (0, &"r.accept[0]".into()), "{said}");
    let (code, said) = verify(&"00".repeat(48)).unwrap();
    assert_eq!((code, &said["rule"]), (1, &"snp.measurement".into()), "{said}");
}

#[test]
fn a_launch_is_measured_and_its_id_block_printed() {
    let Some(dir) = evidence() else { return };
    // The suffix alone is a volume of one page: enough to see that every argument arrives.
    let args = |append: &str| SnpArgs {
        ovmf: dir.join("launch/ovmf-amdsev-suffix.bin"),
        kernel: Some("/dev/null".into()),
        initrd: None,
        append: Some(append.to_owned()),
        vcpus: 1,
        vcpu_type: "EPYC-v4".to_owned(),
        guest_features: 0x21,
        vmm: "qemu".to_owned(),
        id_block: true,
        family_id: Some("01".repeat(16)),
        image_id: None,
        guest_svn: 3,
        policy: 0x3_0000,
        id_key: None,
        author_key: None,
    };
    let measure = |args| run(EvidenceCommand::Measure(MeasureCommand::Snp(args)), true);
    let said = |append: &str| serde_json::from_str::<Value>(&measure(args(append)).unwrap().1).unwrap();
    // The vector 'snp_default', whose firmware is this file.
    let digest = said("console=ttyS0 loglevel=7")["launch_digest"].clone();
    assert_eq!(
        digest,
        "803f691094946e42068aaa3a8f9e26a5c89f36f7b73ecfb28c653360fe4b3aba7e534442e7e1e17895dfe778d0228977"
    );
    assert_ne!(said("quiet")["launch_digest"], digest);
    use base64::Engine;
    let block = said("quiet")["id_block"]
        .as_str()
        .map(|text| base64::prelude::BASE64_STANDARD.decode(text))
        .unwrap()
        .unwrap();
    assert_eq!(block.len(), 96);
    assert_eq!(block[48..64], [1; 16]);
    assert_eq!(block[84..88], [3, 0, 0, 0]);
    let mut wrong = args("");
    wrong.vcpu_type = "Pentium".to_owned();
    assert_eq!(crate::failure::Failure::of(&measure(wrong).unwrap_err()).exit, 2);
}

/// What people see, line by line. To take a new form: read it, then write the file anew with UPDATE_SNAPSHOTS set.
fn snapshot(name: &str, text: &str) {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/evidence/snapshots")).join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(&path).unwrap(), "{}", path.display());
}

#[test]
fn inspect_fails_with_1_for_what_it_cannot_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    let failure = |path: PathBuf| {
        let error = run(EvidenceCommand::Inspect { path, at: None }, false).unwrap_err();
        let Failure { code, exit, .. } = Failure::of(&error);
        (exit, code)
    };
    // A directory without a bundle, a file that is not there, one that is nothing known, a broken quote.
    assert_eq!(failure(dir.path().to_owned()), (1, "unreadable".to_owned()));
    assert_eq!(failure(file.clone()), (1, "unreadable".to_owned()));
    for bytes in [&b"nothing"[..], b"\xffTCG"] {
        std::fs::write(&file, bytes).unwrap();
        assert_eq!(failure(file.clone()), (1, "unreadable".to_owned()));
    }
}

#[test]
fn what_people_see_of_bundles() {
    let suite = corpus::generate(1).unwrap();
    for (case, file) in [
        ("s15-good-genoa-version-3", "genoa-version-3.txt"),
        ("s12-turin-masked-chip", "turin-masked-chip.txt"),
        ("s6-debug-by-default", "debug-guest.txt"),
        ("t10-good-ecdsa-p256", "tpm-quote.txt"),
    ] {
        let dir = bundle_of(&suite, case);
        snapshot(file, &inspect_text(dir.path().to_owned()));
    }
}

#[test]
fn a_certificate_near_its_end_is_old() {
    let dir = bundle("s11-vcek-expiring-now");
    let text = inspect_text(dir.path().to_owned());
    assert!(text.contains("certificate SEV-VCEK ends on 2026-01-01"), "{text}");
    let dir = bundle("s11-vcek-expired-a-second-ago");
    assert!(inspect_text(dir.path().to_owned()).contains("certificate SEV-VCEK ended on 2025-12-31"));
}

#[test]
fn expectations_of_a_case_do_not_sway_verify() {
    let dir = bundle("s6-debug-by-default");
    let mut bundle = Bundle::read(dir.path()).unwrap();
    bundle.case.expect = Expect::Valid;
    bundle.case.code = None;
    bundle.write(dir.path()).unwrap();
    assert_eq!(run(EvidenceCommand::Verify(verify_args(dir.path().to_owned())), false).unwrap().0, 1);
}

fn verified(path: PathBuf, flags: &[&str]) -> (u8, Value) {
    let (code, out) = run(EvidenceCommand::Verify(verify_args_with(path, flags)), true).unwrap();
    (code, serde_json::from_str(&out).unwrap())
}

#[test]
fn t1_verify_never_takes_a_chains_root_from_a_bundle() {
    let Some(dir) = evidence() else { return };
    let suite = Suite::read(&dir).unwrap();
    for (kind, code) in [("ek-chain", "tpm.ek"), ("ak-chain", "tpm.ak-cert")] {
        let good = |case: &&Case| case.kind == kind && case.expect == Expect::Valid;
        let case = suite.document.cases.iter().find(good).unwrap();
        let bundle = bundle_of(&suite, &case.name);
        let at = ["--at", case.at.as_deref().unwrap()];
        let (exit, said) = verified(bundle.path().to_owned(), &at);
        assert_eq!((exit, &said["rule"]), (1, &format!("{code}.chain").into()), "{said}");
        // Somebody else's root.
        let other = corpus::generate(1).unwrap();
        let set = &other.document.tpm_anchors.as_ref().unwrap()["maker"];
        let file = bundle.path().join("other.der");
        std::fs::write(&file, &other.files[&set.certificates[0]]).unwrap();
        let anchor = format!("maker={},hardware", file.display());
        let (exit, said) = verified(bundle.path().to_owned(), &[&at[..], &["--anchor", &anchor]].concat());
        assert_eq!((exit, &said["rule"]), (1, &format!("{code}.unknown-issuer").into()), "{said}");
        // The same root, believed by the one who verifies.
        let root = bundle.path().join(&Bundle::read(bundle.path()).unwrap().case.files["root"]);
        let anchor = format!("maker={},hardware", root.display());
        let (exit, said) = verified(bundle.path().to_owned(), &[&at[..], &["--anchor", &anchor]].concat());
        assert_eq!(exit, 0, "{said}");
    }
}

#[test]
fn t1_verify_refuses_a_quote_that_no_tpm_is_shown_for() {
    let Some(dir) = evidence() else { return };
    let suite = Suite::read(&dir).unwrap();
    let good = |case: &&Case| {
        case.kind == "tpm-quote" && case.expect == Expect::Valid && !case.files.contains_key("akcert")
    };
    let case = suite.document.cases.iter().find(good).unwrap();
    let bundle = bundle_of(&suite, &case.name);
    let (exit, said) = verified(bundle.path().to_owned(), &[]);
    assert_eq!((exit, &said["rule"]), (1, &"tpm.ak.not-resident".into()), "{said}");
    assert_eq!(run(EvidenceCommand::Check { cases: bundle.path().to_owned() }, false).unwrap().0, 0);
}

#[test]
fn s6_verify_takes_neither_policy_nor_time_from_a_bundle() {
    let dir = bundle("s6-debug-by-default");
    let mut bundle = Bundle::read(dir.path()).unwrap();
    bundle.case.policy = Some(serde_json::json!({ "allow_debug": true, "max_vmpl": 3 }));
    bundle.case.at = Some("2001-01-01T00:00:00Z".to_owned());
    bundle.write(dir.path()).unwrap();
    let (exit, said) = verified(dir.path().to_owned(), &[]);
    assert_eq!((exit, &said["rule"]), (1, &"snp.policy.debug".into()), "{said}");
    assert!(said["freshness"].as_str().unwrap().contains("the bundle states"), "{said}");
}

#[test]
fn s1_a_single_piece_that_nobody_signed_is_not_accepted() {
    let Some(dir) = evidence() else { return };
    for name in ["tpm/gce-cos-85-nonce9009-sha256-quote.msg", "ima/ima-ng-sha256.txt"] {
        let (exit, said) = verified(dir.join(name), &[]);
        assert_eq!((exit, &said["accepted"], &said["rule"]), (1, &false.into(), &"evidence.unsigned".into()));
    }
    let (exit, said) = verified(dir.join("amd/genoa.crl"), &["--at", "2026-01-01T00:00:00Z"]);
    assert!(exit == 0 || said["rule"].as_str().unwrap().starts_with("snp.crl."), "{said}");
}

#[test]
fn s16_malformed_evidence_is_refused_with_its_code() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("evidence");
    let mut short = vec![0; 1000];
    short[0] = 3;
    for (bytes, kind, code) in [
        (vec![0; 1184], None, "snp.report.version"),
        (short, None, "snp.report.length"),
        (vec![9; 10], Some("report"), "snp.report.length"),
    ] {
        std::fs::write(&file, bytes).unwrap();
        let flags: Vec<&str> = kind.iter().flat_map(|kind| ["--kind", kind]).collect();
        let (exit, said) = verified(file.clone(), &flags);
        assert_eq!((exit, &said["rule"]), (1, &code.into()), "{said}");
    }
}

const ROLE: &str =
    "[role.r]\nspiffe_path = '/r'\nevidence_max_age = '1h'\nidentity_ttl = '1h'\n[[role.r.accept]]\n";

fn pcrs_of(claims: &Value) -> String {
    let pcrs = claims["pcrs"]["sha256"].as_object().unwrap();
    let line = |(pcr, value): (&String, &Value)| {
        format!("{pcr} = {{ values = ['{}'], all_zero = 'allowed' }}", value.as_str().unwrap())
    };
    // Software can reset the others, and no role may name them.
    let fixed = pcrs.iter().filter(|(pcr, _)| pcr.parse::<u8>().is_ok_and(|pcr| pcr < 16));
    format!("pcrs = {{ {} }}\n", fixed.map(line).collect::<Vec<_>>().join(", "))
}

#[test]
fn verify_judges_a_quote_by_a_role_whatever_its_protocol() {
    let suite = corpus::generate(1).unwrap();
    let dir = bundle_of(&suite, "t10-good-ecdsa-p256");
    let root = dir.path().join("root.der");
    let anchors = suite.document.tpm_anchors.as_ref().unwrap();
    std::fs::write(&root, &suite.files[&anchors["maker"].certificates[0]]).unwrap();
    let anchor = format!("maker={},hardware", root.display());
    let mut bundle = Bundle::read(dir.path()).unwrap();
    let at = bundle.case.at.clone().unwrap();
    let (_, said) = verified(dir.path().to_owned(), &["--anchor", &anchor, "--at", &at]);
    let role = dir.path().join("role.toml");
    let rule =
        format!("{ROLE}kind = 'tpm'\nanchors = ['maker']\nek = 'any-tpm'\n{}", pcrs_of(&said["claims"]));
    std::fs::write(&role, rule).unwrap();
    let flags = ["--anchor", &anchor, "--at", &at, "--policy", role.to_str().unwrap(), "--role", "r"];
    let nonce = said["claims"]["extra_data"].as_str().unwrap().to_owned();
    bundle.case.introduction = None;
    bundle.case.nonce = Some(nonce.clone());
    bundle.write(dir.path()).unwrap();
    let (exit, said) = verified(dir.path().to_owned(), &flags);
    assert_eq!((exit, &said["rule"]), (0, &"r.accept[0]".into()), "{said}");
    assert_eq!(said["claims"].get("not_tried"), None);
    assert_eq!(said["waived"], serde_json::json!([]));
    // Nobody has asked the TPM to open a credential: refused, unless that is waived by name.
    bundle.case.credential = None;
    bundle.write(dir.path()).unwrap();
    let (exit, said) = verified(dir.path().to_owned(), &flags);
    assert_eq!((exit, &said["rule"]), (1, &"tpm.ak.not-resident".into()), "{said}");
    assert!(said["hint"].as_str().unwrap().contains("--assume-resident"), "{said}");
    let flags = [&flags[..], &["--assume-resident"]].concat();
    let (exit, said) = verified(dir.path().to_owned(), &flags);
    assert_eq!((exit, &said["claims"]["not_tried"][0]), (0, &"credential".into()), "{said}");
    assert_eq!(said["waived"], serde_json::json!(["assume-resident"]));
    bundle.case.nonce = Some("00".repeat(32));
    bundle.write(dir.path()).unwrap();
    let (exit, said) = verified(dir.path().to_owned(), &flags);
    assert_eq!((exit, &said["rule"]), (1, &"tpm.quote.extra-data".into()), "{said}");
}

#[test]
fn verify_judges_a_paravisor_by_a_role() {
    let Some(dir) = evidence() else { return };
    let suite = Suite::read(&dir).unwrap();
    let good = |case: &&Case| case.kind == "azure-snp" && case.expect == Expect::Valid;
    let case = suite.document.cases.iter().find(good).unwrap();
    let dir = bundle_of(&suite, &case.name);
    let at = ["--at", case.at.as_deref().unwrap()];
    let (exit, said) = verified(dir.path().to_owned(), &at);
    assert_eq!(exit, 0, "{said}");
    let product = said["claims"]["report"]["product"].as_str().unwrap().to_lowercase();
    let rule = format!(
        "{ROLE}kind = 'snp-vtpm'\nproducts = ['{product}']\nmeasurement = {{ digests = ['{}'] }}\ntcb_floor = 'low'\n\
         chip = 'any-chip'\nrevocation = 'unchecked'\nuser_data = 'not-required'\n\
         platform_info = {{ alias_check_complete = 'any' }}\nprovisional_firmware = 'allowed'\n\
         unknown_platform_bits = 'allowed'\nmigration_agent = 'any'\nmin_report_version = 2\n{}\
         [tcb_floor.low]\ndate = '2024-01-01'\nbulletin = ['none']\n\
         {product} = {{ boot_loader = 0, tee = 0, snp = 0, microcode = 0 }}\n",
        said["claims"]["report"]["measurement"].as_str().unwrap(),
        pcrs_of(&said["claims"]),
    );
    let role = dir.path().join("role.toml");
    std::fs::write(&role, rule).unwrap();
    let flags = ["--policy", role.to_str().unwrap(), "--role", "r"];
    // Everything holds but the selection, which includes PCRs that no role may name.
    let (exit, said) = verified(dir.path().to_owned(), &[&at[..], &flags].concat());
    assert_eq!((exit, &said["rule"]), (1, &"tpm.pcr.selection".into()), "{said}");
}
