//! `vouchsafe evidence collect` with the built program: what it writes is what `check`, `verify` and `inspect` read.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test, helpers included")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use vouchsafe_platform::sim::{Creation, SimConfig, SimPlatform};
use vouchsafe_swtpm::{KernelLogs, Swtpm};
use vouchsafe_tests::stack::binary;

/// Accepts machines of one maker that started one boot loader.
const ROLE: &str = r#"
[role.web]
spiffe_path = "/web"
evidence_max_age = "1h"
identity_ttl = "1h"

[[role.web.accept]]
kind = "tpm"
anchors = ["maker"]
pcrs = { 4 = { values = ["PCR_4"] } }
ek = "any-tpm"
"#;

/// A machine that booted and ran a program, with what its kernel shows of that.
struct Machine {
    tpm: Swtpm,
    logs: KernelLogs,
    dir: TempDir,
}

impl Machine {
    fn boot() -> Self {
        let dir = TempDir::new().unwrap();
        let tpm = Swtpm::open(&dir.path().join("tpm")).unwrap();
        let mut logs = KernelLogs::of_boot(&tpm).unwrap();
        logs.measure_file(&tpm, "/usr/bin/agent", b"agent").unwrap();
        logs.write(&dir.path().join("securityfs")).unwrap();
        Self { tpm, logs, dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Collects into a new directory; the exit code and what was said.
    fn collect(&self, bundle: &str, more: &[&str]) -> (i32, Value) {
        let (bundle, logs, tcti) =
            (text(&self.path(bundle)), text(&self.path("securityfs")), self.tpm.tcti());
        let arguments =
            ["evidence", "collect", &bundle, "--platform", "tpm", "--tcti", &tcti, "--logs", &logs];
        let output = run(&[&["--output", "json"], &arguments[..], more].concat());
        (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap())
    }

    /// The files of what endorses this TPM, as a flag takes them.
    fn anchors(&self) -> String {
        let write = |(number, der): (usize, &Vec<u8>)| {
            let path = self.path(&format!("anchor-{number}.der"));
            fs::write(&path, der).unwrap();
            text(&path)
        };
        self.tpm.ek_anchors().unwrap().iter().enumerate().map(write).collect::<Vec<_>>().join(",")
    }

    fn boot_log(&self) -> PathBuf {
        self.path("securityfs/tpm0/binary_bios_measurements")
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(binary("vouchsafe").unwrap());
    command.args(arguments).env_remove("VOUCHSAFE_DIR").env("TSS2_LOG", "all+NONE").output().unwrap()
}

/// The rule that a stored quote breaks: nobody vouches for its TPM, as no anchor is given.
const NO_ANCHOR: &str = "tpm.ek.chain";

/// The commands that read a bundle read it; `verify` believes nobody that a bundle brings along, so that without
/// anchors of the caller it refuses a TPM.
fn is_read_by_all(bundle: &Path, refused_by: &str) {
    for command in ["check", "inspect"] {
        let output = run(&["evidence", command, &text(bundle)]);
        let said = [output.stdout, output.stderr].concat();
        assert_eq!(output.status.code(), Some(0), "{command}: {}", String::from_utf8_lossy(&said));
    }
    let output = run(&["evidence", "verify", &text(bundle), "--output", "json"]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &said["accepted"]), (Some(1), &false.into()), "{said}");
    assert_eq!(said["rule"], refused_by, "{said}");
}

/// The value of a PCR in a bundle.
fn said_pcr(bundle: &Path, index: &str) -> String {
    let pcrs: Value = serde_json::from_slice(&fs::read(bundle.join("pcrs.json")).unwrap()).unwrap();
    pcrs["pcrs"][index].as_str().unwrap().to_owned()
}

/// Why a part is missing.
fn missing(said: &Value, part: &str) -> String {
    let missing = said["missing"].as_array().unwrap();
    let found = missing.iter().find(|missing| missing["part"] == part).unwrap();
    assert_eq!(found["needed"], true);
    assert!(!found["hint"].is_null());
    found["reason"].as_str().unwrap().to_owned()
}

#[test]
fn a_bundle_of_a_tpm_is_complete_and_read_by_all() {
    let machine = Machine::boot();
    let nonce = "0123456789abcdef0123456789abcdef";
    let (code, said) = machine.collect("bundle", &["--with-ima", "--nonce", nonce]);
    assert_eq!(code, 0, "{said:#}");
    assert_eq!((&said["kind"], &said["nonce"]), (&"tpm-quote".into(), &nonce.into()));
    let parts: Vec<&str> =
        said["found"].as_array().unwrap().iter().map(|part| part["part"].as_str().unwrap()).collect();
    for part in ["quote", "sig", "pcrs", "ak_public", "event_log", "ima_log", "ek_public", "ekcert"] {
        assert!(parts.contains(&part), "{part} is not in {parts:?}");
    }
    let bundle = machine.path("bundle");
    assert_eq!(fs::read(bundle.join("event-log.bin")).unwrap(), machine.logs.boot);
    assert_eq!(fs::read(bundle.join("ima-log.bin")).unwrap(), machine.logs.ima);
    is_read_by_all(&bundle, NO_ANCHOR);

    // A role is tried on one with the PCRs that the role names.
    assert_eq!(machine.collect("for-the-role", &["--pcrs", "4"]).0, 0);
    let bundle = machine.path("for-the-role");
    let (role, anchors) = (machine.path("role.toml"), machine.anchors());
    let anchor = format!("maker={anchors},hardware,simulated");
    for (pcr_4, accepted) in [(said_pcr(&bundle, "4"), 0), ("11".repeat(32), 1)] {
        fs::write(&role, ROLE.replace("PCR_4", &pcr_4)).unwrap();
        let (role, bundle) = (text(&role), text(&bundle));
        let test = ["policy", "test", &role, "--role", "web", "--evidence", &bundle, "--anchor", &anchor];
        let output = run(&test);
        let said = [output.stdout, output.stderr].concat();
        assert_eq!(output.status.code(), Some(accepted), "{}", String::from_utf8_lossy(&said));
    }

    // The log explains the quote, or it is refused.
    let bundle = machine.path("bundle");
    let mut another = machine.logs.clone();
    another.measure(&machine.tpm, 4, 0x8000_0003, b"another boot loader").unwrap();
    fs::write(bundle.join("event-log.bin"), &another.boot).unwrap();
    assert_eq!(run(&["evidence", "check", &text(&bundle)]).status.code(), Some(1));
    fs::write(bundle.join("event-log.bin"), &machine.logs.boot).unwrap();

    // A bundle is not written over.
    let again =
        run(&["evidence", "collect", &text(&bundle), "--platform", "tpm", "--tcti", &machine.tpm.tcti()]);
    assert_eq!(again.status.code(), Some(2));
    is_read_by_all(&bundle, NO_ANCHOR);
}

#[test]
fn what_is_missing_is_exit_code_3_and_the_rest_is_still_read() {
    let machine = Machine::boot();
    let log = machine.logs.boot.clone();
    let damaged: [(&str, &str, Option<Vec<u8>>); 4] = [
        ("cut", "it is not a boot event log", Some(log[..log.len() - 1].to_vec())),
        ("long", "it is longer than", Some(vec![0; 1024 * 1024 + 1])),
        ("empty", "it is empty", Some(Vec::new())),
        ("gone", "there is no such file", None),
    ];
    for (name, why, contents) in damaged {
        match contents {
            Some(contents) => fs::write(machine.boot_log(), contents).unwrap(),
            None => fs::remove_file(machine.boot_log()).unwrap(),
        }
        let (code, said) = machine.collect(name, &[]);
        assert_eq!((code, &said["complete"]), (3, &false.into()), "{name}");
        let reason = missing(&said, "boot event log");
        assert!(reason.contains(why) && reason.contains("binary_bios_measurements"), "{name}: {reason}");
        is_read_by_all(&machine.path(name), NO_ANCHOR);
    }
}

#[test]
fn a_bundle_of_a_simulated_machine_says_so_and_is_read_by_all() {
    let dir = TempDir::new().unwrap();
    let (fleet, bundle) = (dir.path().join("fleet"), dir.path().join("bundle"));
    let config = SimConfig { creation: Creation::IfMissing, ..SimConfig::new(fleet.clone(), "agent") };
    SimPlatform::open(&config).unwrap();
    let collect = ["evidence", "collect", &text(&bundle), "--platform", "sim", "--sim-dir", &text(&fleet)];
    let output = run(&collect);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("SIMULATED"), "{said}");
    for command in ["check", "inspect"] {
        let output = run(&["evidence", command, &text(&bundle)]);
        assert_eq!(output.status.code(), Some(0), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn without_a_tpm_nothing_is_written() {
    let dir = TempDir::new().unwrap();
    let bundle = text(&dir.path().join("bundle"));
    let nowhere = "device:/dev/vouchsafe-no-such-tpm";
    let output =
        run(&["--output", "json", "evidence", "collect", &bundle, "--platform", "tpm", "--tcti", nowhere]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty() && !Path::new(&bundle).exists());
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["error"]["code"], "platform");
    assert!(error["error"]["message"].as_str().unwrap().contains("no TPM device"), "{error}");
}
