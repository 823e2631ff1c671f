//! The built program, without a vault: help, exit codes, errors, files.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test, helpers included")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// Every command, as it is called.
const COMMANDS: [&str; 46] = [
    "",
    "attestation-result",
    "attestation-result verify",
    "audit",
    "audit export",
    "audit tail",
    "audit verify",
    "collateral",
    "collateral expiring",
    "collateral import",
    "collateral inspect",
    "collateral list",
    "completion",
    "dev",
    "evidence",
    "evidence check",
    "evidence collect",
    "evidence forget-tpm",
    "evidence inspect",
    "evidence measure",
    "evidence measure snp",
    "evidence seen",
    "init",
    "introduce",
    "kv",
    "kv delete",
    "kv destroy",
    "kv get",
    "kv list",
    "kv metadata",
    "kv put",
    "kv undelete",
    "lease",
    "lease list",
    "lease renew",
    "lease revoke",
    "operator",
    "operator keygen",
    "pin show",
    "policy explain",
    "policy lint",
    "policy test",
    "role apply",
    "role list",
    "seal",
    "status",
];

fn vouchsafe(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vouchsafe"))
        .args(arguments)
        .env("HOME", dir)
        .env_remove("VOUCHSAFE_DIR")
        .env_remove("VOUCHSAFE_ADDRESS")
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs with `--output json`, expects a failure, and returns its error object.
fn failure(dir: &Path, arguments: &[&str], exit: i32) -> Value {
    let output = vouchsafe(dir, &[&["--output", "json"], arguments].concat());
    assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {}", stderr(&output));
    assert!(output.stdout.is_empty(), "{arguments:?} wrote to standard output");
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    // What it is about is said as soon as a vault is known.
    let pinned = dir.join(".vouchsafe/pin.toml").exists() && error.get("simulated").is_some();
    assert_eq!(error.as_object().unwrap().len(), 1 + usize::from(pinned));
    let error = error["error"].clone();
    assert!(!error["message"].as_str().unwrap().is_empty());
    error
}

#[test]
fn help_of_every_command_has_examples() {
    let dir = TempDir::new().unwrap();
    for command in COMMANDS {
        let arguments: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let output = vouchsafe(dir.path(), &arguments);
        assert_eq!(output.status.code(), Some(0), "{command}");
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(help.contains("Example") && help.contains("Usage:"), "{command}: {help}");
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let dir = TempDir::new().unwrap();
    for arguments in [
        &["--no-such-flag"][..],
        &["no-such-command"],
        &["kv", "get"],
        &["kv", "get", "kv/../etc"],
        &["kv", "get", "kv//x"],
        &["kv", "put", "kv/x", "value", "--cas", "minus"],
        &["kv", "destroy", "kv/x"],
        &["init"],
        &["init", "--trust-shown-platform", "--platform-pin", "x"],
        &["init", "--trust-shown-platform", "--anchor", "nonsense"],
        &["introduce", "--role", "x"],
        &["introduce", "--role", "x", "--platform", "tpm", "--renew", "--trust-on-first-use"],
        &["lease", "revoke"],
        &["lease", "revoke", "1", "--role", "x"],
        &["lease", "renew"],
        &["introduce", "--role", "Not A Name", "--platform", "tpm"],
        &["introduce", "--role", "x", "--platform", "tpm", "--tcti", "nonsense"],
        &["--address", "nowhere", "status"],
        &["role", "apply"],
        &["audit", "verify"],
        &["audit", "verify", "dir", "--live"],
        &["dev", "--listen", "nowhere"],
    ] {
        assert_eq!(failure(dir.path(), arguments, 2)["code"], "usage", "{arguments:?}");
        let output = vouchsafe(dir.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains("error:"), "{arguments:?}");
    }
    assert_eq!(vouchsafe(dir.path(), &[]).status.code(), Some(2));
}

#[test]
fn a_refused_connection_says_what_to_do() {
    let dir = TempDir::new().unwrap();
    // Bound and let go: nobody listens there.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let arguments = ["--address", &address, "init", "--trust-shown-platform"];
    let error = failure(dir.path(), &arguments, 1);
    assert_eq!(error["code"], "connect");
    assert!(error["message"].as_str().unwrap().contains(&address));
    assert!(error["hint"].as_str().unwrap().contains("vouchsafe-host"));
    let text = stderr(&vouchsafe(dir.path(), &arguments));
    assert!(text.contains("error:") && text.contains("what to do:"), "{text}");
}

#[test]
fn without_a_vault_or_a_key_each_command_says_what_is_missing() {
    let dir = TempDir::new().unwrap();
    for (arguments, code) in [
        (&["status"][..], "no-operator"),
        (&["seal"], "no-operator"),
        (&["role", "list"], "no-operator"),
        (&["audit", "tail"], "no-operator"),
        (&["kv", "get", "kv/x"], "no-identity"),
        (&["kv", "get", "kv/x", "--as", "nobody"], "no-identity"),
        (&["pin", "show"], "no-pin"),
        (&["audit", "verify", "/no/such/dir"], "not-found"),
        (&["kv", "put", "kv/x", "@/no/such/file"], "not-found"),
        (&["status", "--admin", "127.0.0.1:1"], "connect"),
    ] {
        let error = failure(dir.path(), arguments, 1);
        assert_eq!(error["code"], code, "{arguments:?}: {error}");
        assert!(error["hint"].is_string(), "{arguments:?}");
    }
}

#[test]
fn a_path_outside_of_kv_says_where_secrets_are() {
    let dir = TempDir::new().unwrap();
    let error = failure(dir.path(), &["kv", "put", "demo/x", "value"], 2);
    assert!(
        error["message"].as_str().unwrap().contains("it must begin with kv/, as in kv/demo/x"),
        "{error}"
    );
}

#[test]
fn a_usage_message_is_whole_in_json() {
    let dir = TempDir::new().unwrap();
    let error = failure(dir.path(), &["kv", "put"], 2);
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("<PATH>") && message.contains("<VALUE|NAME=VALUE>"), "{message}");
}

#[test]
fn a_receipt_that_cannot_be_kept_is_told_before_anybody_is_asked() {
    let dir = TempDir::new().unwrap();
    for receipt in ["/no/such/directory/x.receipt", "/proc"] {
        let error = failure(dir.path(), &["kv", "put", "kv/x", "value", "--receipt", receipt], 1);
        assert!(error["message"].as_str().unwrap().contains("no receipt can be kept"), "{error}");
    }
}

#[test]
fn a_damaged_pin_says_whom_to_ask() {
    let dir = TempDir::new().unwrap();
    pin(dir.path());
    fs::write(dir.path().join(".vouchsafe/pin.toml"), "version = 1\n").unwrap();
    let error = failure(dir.path(), &["pin", "show"], 1);
    assert_eq!(error["code"], "malformed-pin");
    assert!(error["hint"].as_str().unwrap().contains("operator"), "{error}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let dir = TempDir::new().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_vouchsafe"))
        .args(["completion", "bash"])
        .env("HOME", dir.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(stderr(&output), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_malformed_policy_is_refused_with_file_line_and_reason() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("bad.toml");
    fs::write(&path, "[role.x]\nspiffe_path = \"/x\"\nevidence_max_age = \"1h\"\nidentity_ttl = \"soon\"\n")
        .unwrap();
    let error = failure(dir.path(), &["role", "apply", path.to_str().unwrap()], 1);
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("bad.toml:4:"), "{message}");
    assert_eq!(error["code"], "policy");
    assert!(error["hint"].is_string());

    let missing = dir.path().join("none.toml");
    let error = failure(dir.path(), &["role", "apply", missing.to_str().unwrap()], 1);
    assert!(error["message"].as_str().unwrap().contains("none.toml"));
}

#[test]
fn keys_are_private() {
    let dir = TempDir::new().unwrap();
    let output = vouchsafe(dir.path(), &["operator", "keygen", "--name", "ann"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("-----BEGIN PUBLIC KEY-----") && !text.contains("PRIVATE"), "{text}");
    let mode = |path: &str| fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(".vouchsafe"), 0o700);
    assert_eq!(mode(".vouchsafe/operators/ann"), 0o700);
    assert_eq!(mode(".vouchsafe/operators/ann/key.der"), 0o600);

    // It is not made twice, and it is shown again.
    assert_eq!(failure(dir.path(), &["operator", "keygen", "--name", "ann"], 1)["code"], "exists");
    let again = vouchsafe(dir.path(), &["operator", "show"]);
    assert_eq!(String::from_utf8(again.stdout).unwrap(), text);
}

#[test]
fn a_directory_that_others_may_enter_is_refused() {
    let dir = TempDir::new().unwrap();
    let open = dir.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
    let error = failure(dir.path(), &["--dir", open.to_str().unwrap(), "operator", "keygen"], 1);
    assert_eq!(error["code"], "exposed-directory");
    assert!(error["hint"].as_str().unwrap().starts_with("chmod 700"));
}

#[test]
fn a_missing_tpm_says_what_to_do() {
    let dir = TempDir::new().unwrap();
    pin(dir.path());
    let arguments = ["introduce", "--role", "x", "--platform", "tpm", "--tcti", "device:/dev/no-such-tpm"];
    let error = failure(dir.path(), &arguments, 1);
    assert_eq!(error["code"], "platform");
    let output = vouchsafe(dir.path(), &[&["--output", "json"], &arguments[..]].concat());
    let whole: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(whole["simulated"], false);
    assert!(error["message"].as_str().unwrap().contains("/dev/no-such-tpm"), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("--tcti"));
}

#[test]
fn a_secret_is_not_repeated_in_errors() {
    let dir = TempDir::new().unwrap();
    for format in ["text", "json"] {
        let arguments = ["--output", format, "kv", "put", "kv/x", "top-secret-value"];
        let output = vouchsafe(dir.path(), &arguments);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty() && !stderr(&output).contains("top-secret-value"));
    }
}

#[test]
fn completion_is_a_script() {
    let dir = TempDir::new().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let output = vouchsafe(dir.path(), &["completion", shell]);
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8(output.stdout).unwrap().contains("vouchsafe"), "{shell}");
    }
    assert_eq!(vouchsafe(dir.path(), &["completion", "nonsense"]).status.code(), Some(2));
}

#[test]
fn no_colour_without_a_terminal() {
    let dir = TempDir::new().unwrap();
    let output = vouchsafe(dir.path(), &["pin", "show"]);
    assert!(!stderr(&output).contains('\u{1b}'));
}

/// A pin of some vault that does not exist.
fn pin(home: &Path) {
    let dir = home.join(".vouchsafe");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    let text = format!(
        "version = 1\nvault_id = \"vault-{zeros}\"\n\n[platform.tpm]\nak_name = \"{name}\"\n\n[platform.tpm.pcrs]\n\
         7 = \"{zeros}\"\n\n[anchors]\namd = \"built-in\"\n",
        zeros = "0".repeat(64),
        name = "0".repeat(68),
    );
    let path = dir.join("pin.toml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}
