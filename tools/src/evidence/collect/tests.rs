mod real;

use std::fs;

use clap::{CommandFactory, FromArgMatches, Parser};
use tempfile::TempDir;
use vouchsafe_attestation::snp::report::Report;
use vouchsafe_evidence::{Agreement, Verdict, check};
use vouchsafe_platform::sim::{Creation, SimConfig, SimPlatform};

use super::*;
use crate::failure::Failure;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: CollectArgs,
}

fn parsed(arguments: &[&str]) -> Result<CollectArgs, clap::Error> {
    let matches = Cli::command().try_get_matches_from([&["collect"], arguments].concat())?;
    Ok(Cli::from_arg_matches(&matches)?.args)
}

/// A simulated machine and where its bundle goes.
fn simulated() -> (TempDir, String, String) {
    let dir = TempDir::new().unwrap();
    let fleet = dir.path().join("fleet");
    let config = SimConfig { creation: Creation::IfMissing, ..SimConfig::new(fleet.clone(), "agent") };
    SimPlatform::open(&config).unwrap();
    let (fleet, bundle) = (fleet.display().to_string(), dir.path().join("bundle").display().to_string());
    (dir, fleet, bundle)
}

fn collect(fleet: &str, bundle: &str, more: &[&str]) -> Result<super::Report> {
    let arguments = [&["--platform", "sim", "--sim-dir", fleet, bundle], more].concat();
    parsed(&arguments).unwrap().collect()
}

#[test]
fn a_bundle_of_a_simulated_machine_is_checked_and_says_what_it_is() {
    let (_dir, fleet, bundle) = simulated();
    let report = collect(&fleet, &bundle, &["--nonce", "00112233445566778899"]).unwrap();
    assert_eq!((report.kind.as_str(), report.simulated, report.exit_code()), ("snp-report", true, 0));

    let suite = Suite::read(Path::new(&bundle)).unwrap();
    let outcome = check(&suite).unwrap();
    assert_eq!(outcome.results[0].result, Agreement::Agrees, "{:?}", outcome.results[0].verdict);
    // Under AMD's own roots it is nothing.
    let mut real = suite.clone();
    real.document.anchors = None;
    assert!(!vouchsafe_evidence::run(&real, &real.document.cases[0]).is_valid());
    // Fresh for this nonce and no other.
    let mut other = suite.clone();
    let expected = collection(&[0; 10]).snp_report_data();
    other.document.cases[0].policy = Some(json!({ "report_data": hex::encode(expected) }));
    let Verdict::Invalid(refusal) = vouchsafe_evidence::run(&other, &other.document.cases[0]) else {
        panic!("an old report passed")
    };
    assert_eq!(refusal.code, "evidence.statement");

    let json = report.to_json();
    assert_eq!(json["nonce"], "00112233445566778899");
    assert_eq!(json["simulated"], true);
    let mut text = Vec::new();
    report.write(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("SIMULATED") && text.contains("report"), "{text}");
}

#[test]
fn each_random_nonce_is_another() {
    let (dir, fleet, bundle) = simulated();
    let second = dir.path().join("second").display().to_string();
    let nonce = |bundle: &str| collect(&fleet, bundle, &[]).unwrap().nonce;
    let (one, two) = (nonce(&bundle), nonce(&second));
    assert_eq!((one.len(), two.len()), (32, 32));
    assert_ne!(one, two);
}

#[test]
fn a_bundle_is_never_written_over() {
    let (_dir, fleet, bundle) = simulated();
    collect(&fleet, &bundle, &[]).unwrap();
    let before = fs::read(Path::new(&bundle).join("cases.json")).unwrap();
    let failure = Failure::of(&collect(&fleet, &bundle, &[]).err().unwrap());
    assert_eq!((failure.code.as_str(), failure.exit), ("exists", 2));
    assert_eq!(fs::read(Path::new(&bundle).join("cases.json")).unwrap(), before);
    // Nor through a link that leads nowhere.
    let link = format!("{bundle}-link");
    std::os::unix::fs::symlink("/nowhere", &link).unwrap();
    assert_eq!(Failure::of(&collect(&fleet, &link, &[]).err().unwrap()).code, "exists");
}

#[test]
fn what_cannot_be_collected_from_is_exit_code_2_with_a_hint() {
    let (dir, _, bundle) = simulated();
    let nowhere = dir.path().join("nowhere").display().to_string();
    let failure = Failure::of(&collect(&nowhere, &bundle, &[]).err().unwrap());
    assert_eq!((failure.code.as_str(), failure.exit), ("platform", 2));
    let tpm = ["--platform", "tpm", "--tcti", "device:/dev/vouchsafe-no-such-tpm", &bundle];
    let failure = Failure::of(&parsed(&tpm).unwrap().collect().err().unwrap());
    assert_eq!((failure.code.as_str(), failure.exit), ("platform", 2));
    assert!(
        failure.message.contains("/dev/vouchsafe-no-such-tpm") && failure.hint.is_some(),
        "{}",
        failure.message
    );
    if !Path::new("/dev/sev-guest").exists() && !Path::new("/sys/kernel/config/tsm/report").exists() {
        let auto = ["--tcti", "device:/dev/vouchsafe-no-such-tpm", &bundle];
        let failure = Failure::of(&parsed(&auto).unwrap().collect().err().unwrap());
        assert_eq!((failure.code.as_str(), failure.exit), ("nothing-found", 2));
        assert!(failure.message.contains("/dev/sev-guest"), "{}", failure.message);
    }
    assert!(!Path::new(&bundle).exists(), "nothing was written");
}

#[test]
fn b3_a_nonce_is_short_enough_to_be_no_statement() {
    for nonce in ["", "00", "00112233445566", "xyz", "0", &"00".repeat(65)] {
        assert!(parsed(&["--nonce", nonce, "bundle"]).is_err(), "{nonce}");
    }
    for nonce in ["random", "0011223344556677", &"ff".repeat(64)] {
        assert!(parsed(&["--nonce", nonce, "bundle"]).is_ok(), "{nonce}");
    }
}

#[test]
fn pcrs_are_listed_or_ranged() {
    let quoted = |more: &[&str]| parsed(&[more, &["bundle"]].concat()).map(|args| args.quoted()).ok();
    assert_eq!(quoted(&[]), Some((0..16).collect()));
    assert_eq!(quoted(&["--pcrs", "7,0,7"]), Some(vec![0, 7]));
    assert_eq!(quoted(&["--pcrs", "0-2,23"]), Some(vec![0, 1, 2, 23]));
    assert_eq!(quoted(&["--pcrs", "0", "--with-ima"]), Some(vec![0, 10]));
    for wrong in ["", "24", "-1", "0-24", "3-1", "a", "0,,1"] {
        assert_eq!(quoted(&[&format!("--pcrs={wrong}")]), None, "{wrong}");
    }
}

#[test]
fn the_key_server_s_address_is_that_of_the_report() {
    let (_dir, fleet, bundle) = simulated();
    collect(&fleet, &bundle, &[]).unwrap();
    let bytes = fs::read(Path::new(&bundle).join("report.bin")).unwrap();
    let mut report = Report::parse(&bytes).unwrap();
    let hints = kds::Hints::of_report(&report);
    let vek = hints.vek.as_deref().unwrap();
    let chip = hex::encode(report.chip_id.0);
    assert_eq!(
        vek,
        format!("https://kdsintf.amd.com/vcek/v1/Genoa/{chip}?blSPL=09&teeSPL=00&snpSPL=23&ucodeSPL=72")
    );
    assert_eq!(hints.list.as_deref(), Some("https://kdsintf.amd.com/vcek/v1/Genoa/crl"));
    // A Turin's id has 8 bytes, and its TCB begins with the FMC.
    let cpuid = report.cpuid.as_mut().unwrap();
    (cpuid.family, cpuid.model) = (0x1a, 2);
    report.reported_tcb.0 = [1, 2, 3, 4, 0, 0, 0, 5];
    let vek = kds::Hints::of_report(&report).vek.unwrap();
    let id = chip.get(..16).unwrap();
    assert_eq!(
        vek,
        format!(
            "https://kdsintf.amd.com/vcek/v1/Turin/{id}?fmcSPL=01&blSPL=02&teeSPL=03&snpSPL=04&ucodeSPL=05"
        )
    );
    report.signing_key = vouchsafe_attestation::snp::report::SigningKey::Vlek;
    let hints = kds::Hints::of_report(&report);
    assert_eq!((hints.vek, hints.list.as_deref()), (None, Some("https://kdsintf.amd.com/vlek/v1/Turin/crl")));
}

#[test]
fn the_directory_of_certificates_must_be_one() {
    let (dir, fleet, bundle) = simulated();
    let missing = dir.path().join("certificates").display().to_string();
    assert!(collect(&fleet, &bundle, &["--certificates", &missing]).is_err());
    assert!(!Path::new(&bundle).exists());
}
