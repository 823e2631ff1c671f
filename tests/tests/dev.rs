//! `vouchsafe dev` and the commands it says to try, with the built programs; and what an auditor notices.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test, helpers included")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use vouchsafe_tests::stack::binary;

const VALUE: &str = "what nobody else may know";

/// A running `vouchsafe dev`.
struct Dev {
    child: Child,
    stdout: BufReader<ChildStdout>,
    said: Value,
}

impl Dev {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(binary("vouchsafe").unwrap())
            .args(["--output", "json", "dev"])
            .args(arguments)
            .env_remove("VOUCHSAFE_DIR")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        while !text.ends_with("}\n") || serde_json::from_str::<Value>(&text).is_err() {
            if stdout.read_line(&mut text).unwrap() == 0 {
                let mut errors = String::new();
                child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
                panic!("dev ended: {text}{errors}");
            }
        }
        Self { child, stdout, said: serde_json::from_str(&text).unwrap() }
    }

    fn said(&self, name: &str) -> String {
        self.said[name].as_str().unwrap().to_owned()
    }

    /// Process ids of its children, as the kernel tells.
    fn children(&self) -> Vec<u32> {
        let id = self.child.id();
        let mut found = Vec::new();
        for thread in fs::read_dir(format!("/proc/{id}/task")).unwrap() {
            let children = fs::read_to_string(thread.unwrap().path().join("children")).unwrap();
            found.extend(children.split_whitespace().map(|id| id.parse::<u32>().unwrap()));
        }
        found
    }

    fn stop(mut self, signal: &str) -> ExitStatus {
        let children = self.children();
        assert_eq!(children.len(), 2, "enclave and host");
        kill(signal, self.child.id());
        let status = self.end();
        for child in children {
            assert!(!Path::new(&format!("/proc/{child}")).exists(), "process {child} is left");
        }
        status
    }

    fn end(&mut self) -> ExitStatus {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "one object is all it says");
        self.child.wait().unwrap()
    }
}

/// A test that fails leaves nothing running.
impl Drop for Dev {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            kill("-TERM", self.child.id());
            self.child.wait().unwrap();
        }
    }
}

fn kill(signal: &str, id: u32) {
    assert!(Command::new("kill").args([signal, &id.to_string()]).status().unwrap().success());
}

fn run(dir: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(binary("vouchsafe").unwrap())
        .args(["--dir", dir.to_str().unwrap()])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn done(dir: &Path, arguments: &[&str], input: &[u8]) -> String {
    let output = run(dir, arguments, input);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(errors.contains("SIMULATED") || text.contains("\"simulated\": true"), "{arguments:?}");
    text
}

/// Exit code 1, nothing on standard output, and this code.
fn refused(dir: &Path, arguments: &[&str], code: &str) -> String {
    let output = run(dir, &[arguments, &["--output", "json"]].concat(), b"");
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["error"]["code"], code, "{arguments:?}: {error}");
    error["error"]["message"].as_str().unwrap().to_owned()
}

#[test]
fn dev_runs_a_whole_vault_and_its_commands_work() {
    let dir = TempDir::new().unwrap();
    let home = dir.path().join("vault");
    let dev = Dev::start(&["--dir", home.to_str().unwrap()]);
    let vault = dev.said("vault_id");
    assert!(vault.starts_with("sim-vault-") && dev.said["simulated"] == true);
    assert_eq!(dev.said["commands"].as_array().unwrap().len(), 3);

    // The three commands, as they are told.
    assert!(done(&home, &["kv", "put", "kv/demo/hello", "-"], VALUE.as_bytes()).contains("version 1"));
    assert!(done(&home, &["introduce", "--role", "demo", "--platform", "sim"], b"").contains("/demo/agent"));
    assert_eq!(done(&home, &["kv", "get", "kv/demo/hello"], b""), VALUE);

    // The rest of kv.
    done(&home, &["kv", "put", "kv/demo/hello", "two", "--cas", "1"], b"");
    assert!(
        refused(&home, &["kv", "put", "kv/demo/hello", "x", "--cas", "1"], "refused.cas-mismatch")
            .contains("hello")
    );
    assert_eq!(done(&home, &["kv", "get", "kv/demo/hello", "--version", "1"], b""), VALUE);
    assert_eq!(done(&home, &["kv", "list", "kv/demo"], b""), "hello\n");
    done(&home, &["kv", "delete", "kv/demo/hello"], b"");
    refused(&home, &["kv", "get", "kv/demo/hello"], "refused.deleted");
    done(&home, &["kv", "undelete", "kv/demo/hello", "--version", "2"], b"");
    assert_eq!(done(&home, &["kv", "get", "kv/demo/hello"], b""), "two");
    done(&home, &["kv", "destroy", "kv/demo/hello", "--version", "1"], b"");
    assert!(done(&home, &["kv", "metadata", "kv/demo/hello"], b"").contains("destroyed"));
    done(&home, &["kv", "put", "kv/demo/binary", "-"], &[0xff, 0x00]);
    let json: Value =
        serde_json::from_str(&done(&home, &["--output", "json", "kv", "get", "kv/demo/binary"], b""))
            .unwrap();
    assert_eq!((json["encoding"].as_str(), json["value"].as_str()), (Some("base64"), Some("/wA=")));

    // Operators do not read values, and agents nothing beyond their role.
    refused(&home, &["kv", "get", "kv/demo/hello", "--as", "operator"], "refused.denied");
    refused(&home, &["kv", "get", "kv/other/hello"], "refused.denied");
    refused(&home, &["kv", "put", "kv/demo/hello", "x", "--as", "demo"], "refused.denied");
    refused(
        &home,
        &["introduce", "--role", "demo", "--platform", "sim", "--sim-image", "other"],
        "refused.evidence",
    );
    refused(&home, &["init", "--trust-shown-platform"], "exists");

    assert!(done(&home, &["status"], b"").contains(&vault));
    assert_eq!(done(&home, &["role", "list"], b""), "demo\n");
    assert!(done(&home, &["role", "show", "demo"], b"").contains("kv/demo/*"));
    assert!(done(&home, &["audit", "tail"], b"").contains("operator operator"));

    // It goes on where it stopped.
    assert_eq!(dev.stop("-INT").code(), Some(0));
    refused(&home, &["status"], "connect");
    let dev = Dev::start(&["--dir", home.to_str().unwrap()]);
    assert_eq!(dev.said("vault_id"), vault);
    assert_eq!(done(&home, &["kv", "get", "kv/demo/hello"], b""), "two");

    // Sealed means sealed, and the host says so.
    done(&home, &["seal"], b"");
    // The enclave replaces itself; until it is back, the host does not reach it.
    let sealed = (0..1000).map(|_| run(&home, &["status"], b"")).find(|output| {
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stdout).contains(": sealed: ")
    });
    assert!(sealed.is_some(), "the host never says that the vault is sealed");
    refused(&home, &["kv", "get", "kv/demo/hello"], "not-serving");
    assert_eq!(dev.stop("-TERM").code(), Some(0));
}

#[test]
fn without_a_directory_nothing_is_left() {
    let dev = Dev::start(&[]);
    let (dir, address) = (PathBuf::from(dev.said("directory")), dev.said("address"));
    assert!(dir.is_dir() && TcpStream::connect(&address).is_ok());
    assert_eq!(dev.stop("-TERM").code(), Some(0));
    assert!(!dir.exists() && TcpStream::connect(&address).is_err());
}

#[test]
fn a_child_that_dies_ends_it_with_a_reason() {
    for victim in ["vouchsafe-enclave", "vouchsafe-host"] {
        let mut dev = Dev::start(&[]);
        let name = |id: u32| fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap();
        let id =
            dev.children().into_iter().find(|id| name(*id).split('\0').next().unwrap().ends_with(victim));
        kill("-KILL", id.unwrap());
        assert_eq!(dev.end().code(), Some(1));
        let mut errors = String::new();
        dev.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        let error: Value = serde_json::from_str(errors.lines().last().unwrap()).unwrap();
        assert_eq!(error["error"]["code"], "child-died");
        assert!(error["error"]["message"].as_str().unwrap().starts_with(victim), "{error}");
    }
}

#[test]
fn a_busy_port_is_said_so() {
    let dir = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let message = refused(&dir.path().join("vault"), &["dev", "--listen", &address], "child-died");
    assert!(message.contains("in use"), "{message}");
}

#[test]
fn h2_an_auditor_notices_every_change_of_an_exported_log() {
    let dir = TempDir::new().unwrap();
    let home = dir.path().join("vault");
    let dev = Dev::start(&["--dir", home.to_str().unwrap()]);
    done(&home, &["kv", "put", "kv/demo/hello", VALUE], b"");
    done(&home, &["introduce", "--role", "demo", "--platform", "sim"], b"");
    let receipt = dir.path().join("receipt");
    let receipt = receipt.to_str().unwrap();
    done(&home, &["kv", "get", "kv/demo/hello", "--receipt", receipt], b"");
    let log = dir.path().join("log");
    done(&home, &["audit", "export", log.to_str().unwrap()], b"");
    done(&home, &["audit", "verify", "--live", "--receipt", receipt], b"");
    assert_eq!(dev.stop("-TERM").code(), Some(0));

    // Offline, with nothing but the export.
    let nobody = dir.path().join("nobody");
    let verify = ["audit", "verify", log.to_str().unwrap(), "--receipt", receipt];
    assert!(done(&nobody, &verify, b"").contains("1 receipts verified"));

    let change = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let path = log.join(name);
        let whole = fs::read(&path).unwrap();
        let mut changed = whole.clone();
        change(&mut changed);
        fs::write(&path, changed).unwrap();
        let message = refused(&nobody, &verify, "log-refused");
        fs::write(&path, whole).unwrap();
        message
    };
    // Edited: any bit of a frame (the first bytes are its length).
    for (name, at) in [("journal.frames", 40), ("journal.frames", 200), ("access-1.frames", 60)] {
        change(name, &|bytes| bytes[at] ^= 1);
    }
    // Cut off: the checkpoint says how long it was.
    let first = |bytes: &[u8]| 4 + u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
    for name in ["journal.frames", "access-1.frames"] {
        let message = change(name, &|bytes| bytes.truncate(first(bytes)));
        assert!(message.contains("it has only"), "{message}");
    }
    // Dropped at the start, and repeated.
    for name in ["journal.frames", "access-1.frames"] {
        change(name, &|bytes| drop(bytes.drain(..first(bytes))));
        change(name, &|bytes| bytes.extend_from_within(..first(bytes)));
    }
    // A checkpoint that another key signed, and none.
    change("journal.checkpoint", &|bytes| *bytes.iter_mut().rev().nth(8).unwrap() ^= 1);
    let checkpoint = fs::read(log.join("journal.checkpoint")).unwrap();
    fs::remove_file(log.join("journal.checkpoint")).unwrap();
    refused(&nobody, &verify, "log-refused");
    fs::write(log.join("journal.checkpoint"), checkpoint).unwrap();
    done(&nobody, &verify, b"");
}

#[test]
fn h3_an_auditor_proves_that_nothing_is_missing_between_two_checkpoints() {
    let dir = TempDir::new().unwrap();
    let home = dir.path().join("vault");
    let dev = Dev::start(&["--dir", home.to_str().unwrap()]);
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    done(&home, &["audit", "export", first.to_str().unwrap()], b"");
    done(&home, &["kv", "put", "kv/demo/hello", VALUE], b"");
    done(&home, &["introduce", "--role", "demo", "--platform", "sim"], b"");
    done(&home, &["kv", "get", "kv/demo/hello"], b"");
    done(&home, &["audit", "export", second.to_str().unwrap()], b"");
    assert_eq!(dev.stop("-TERM").code(), Some(0));

    let nobody = dir.path().join("nobody");
    let note = |export: &Path| export.join("journal.checkpoint").to_str().unwrap().to_owned();
    let (before, after) = (note(&first), note(&second));
    let both = ["audit", "verify", second.to_str().unwrap(), "--checkpoint", &before, "--checkpoint", &after];
    let report = done(&nobody, &both, b"");
    assert!(report.contains("2 kept checkpoints agree") && report.contains("complete: "), "{report}");
    // The older copy does not reach the newer checkpoint: what came between is missing there.
    let older = ["audit", "verify", first.to_str().unwrap(), "--checkpoint", &after];
    let message = refused(&nobody, &older, "log-refused");
    assert!(message.contains("it has only"), "{message}");

    let query = |more: &[&str]| {
        let arguments = [&["audit", "query", second.to_str().unwrap()], more].concat();
        done(&nobody, &arguments, b"")
    };
    let reads = query(&["--role", "demo", "--path", "kv/demo/*"]);
    assert!(reads.lines().count() == 1 && reads.contains("kv get kv/demo/hello version 1"), "{reads}");
    let rows = query(&["--path", "kv/demo/*", "--format", "csv"]);
    assert!(rows.starts_with("time,stream,leaf_index,"), "{rows}");
    assert_eq!(rows.lines().count(), 3, "{rows}");
    let objects = query(&["--path", "kv/demo/*", "--format", "jsonl"]);
    for object in objects.lines() {
        let entry: Value = serde_json::from_str(object).unwrap();
        assert_eq!(entry["path"], "kv/demo/hello", "{entry}");
    }
    assert!(!rows.contains(VALUE) && !objects.contains(VALUE), "never a secret");
}

/// docs/guides/leases.md, as it is told there.
#[test]
fn lease_commands_do_what_their_guide_says() {
    let dir = TempDir::new().unwrap();
    let home = dir.path().join("vault");
    let dev = Dev::start(&["--dir", home.to_str().unwrap()]);
    let role = home.join("demo-role.toml");
    let text = fs::read_to_string(&role).unwrap();
    let leased = |terms: &str| {
        let lines = text.lines().map(|line| match line.starts_with("can ") {
            true => format!("{line}\n{terms}\n"),
            false => format!("{line}\n"),
        });
        let leased: String = lines.collect();
        assert_ne!(leased.trim(), text.trim());
        fs::write(&role, leased).unwrap();
        done(&home, &["role", "apply", role.to_str().unwrap()], b"");
    };
    leased("lease = \"10m\"\nmax_lease = \"1d\"");
    done(&home, &["kv", "put", "kv/demo/db", VALUE], b"");
    let introduce = ["introduce", "--role", "demo", "--platform", "sim"];
    done(&home, &introduce, b"");

    // A read says its lease, and not where the value goes.
    let read = run(&home, &["kv", "get", "kv/demo/db"], b"");
    assert_eq!(String::from_utf8(read.stdout).unwrap(), VALUE);
    let said = String::from_utf8(read.stderr).unwrap();
    assert!(said.contains("lease 1 holds until 2"), "{said}");
    let json = |arguments: &[&str]| -> Value {
        serde_json::from_str(&done(&home, &[arguments, &["--output", "json"]].concat(), b"")).unwrap()
    };
    assert_eq!(json(&["kv", "get", "kv/demo/db"])["lease"]["number"], 2);
    assert_eq!(json(&["lease", "list"])["leases"].as_array().unwrap().len(), 2);
    assert_eq!(json(&["lease", "list", "--as", "demo"])["leases"][1]["path"], "kv/demo/db");
    assert!(done(&home, &["lease", "renew", "1"], b"").starts_with("renewed: lease 1 holds until 2"));
    refused(&home, &["lease", "renew", "1", "--as", "operator"], "refused.denied");
    refused(&home, &["lease", "renew", "9"], "refused.not-found");
    refused(&home, &["lease", "revoke", "--role", "demo", "--as", "demo"], "refused.denied");
    assert_eq!(done(&home, &["lease", "revoke", "2", "--as", "demo"], b""), "ended lease 2\n");
    refused(&home, &["lease", "revoke", "2"], "refused.not-found");

    // Fresh evidence with the same key carries it on, and another key does not.
    leased("lease = \"10m\"\nmax_lease = \"1d\"\nrenew = \"fresh-evidence\"");
    refused(&home, &["lease", "renew", "1"], "refused.evidence-expired");
    let renewed = json(&[&introduce[..], &["--renew"]].concat());
    assert_eq!(renewed["renewed"], true);
    done(&home, &["lease", "renew", "1"], b"");
    done(&home, &introduce, b"");
    refused(&home, &["lease", "renew", "1"], "refused.not-found");
    let nobody = dir.path().join("nobody");
    let none = [&introduce[..], &["--renew", "--identity-dir", nobody.to_str().unwrap()]].concat();
    refused(&home, &none, "no-identity");

    // What a decision ends is refused at the next request, and what comes later is not.
    let decided = done(&home, &["lease", "revoke", "--prefix", "kv/demo"], b"");
    assert!(decided.starts_with("decided: leases of kv/demo"), "{decided}");
    assert_eq!(done(&home, &["lease", "list"], b""), "no lease is held\n");
    done(&home, &["kv", "get", "kv/demo/db"], b"");
    done(&home, &["lease", "revoke", "--role", "demo"], b"");
    let gone = run(&home, &["kv", "get", "kv/demo/db"], b"");
    assert_eq!(gone.status.code(), Some(1), "{}", String::from_utf8(gone.stderr).unwrap());
    assert_eq!(done(&home, &["lease", "list"], b""), "no lease is held\n");
    done(&home, &introduce, b"");
    assert_eq!(done(&home, &["kv", "get", "kv/demo/db"], b""), VALUE);
    assert_eq!(dev.stop("-TERM").code(), Some(0));
}

#[test]
fn policy_plan_asks_the_vault_whose_access_would_end() {
    let dir = TempDir::new().unwrap();
    let home = dir.path().join("vault");
    let dev = Dev::start(&["--dir", home.to_str().unwrap()]);
    done(&home, &["introduce", "--role", "demo", "--platform", "sim"], b"");
    let role = fs::read_to_string(home.join("demo-role.toml")).unwrap();
    let stricter = dir.path().join("stricter.toml");
    fs::write(&stricter, role.replace("vmpl        = 0", "platform_info = { smt = \"forbidden\" }")).unwrap();
    let (same, stricter) = (home.join("demo-role.toml"), stricter.to_str().unwrap());
    // What is in force ends nothing.
    let planned = done(&home, &["policy", "plan", same.to_str().unwrap()], b"");
    assert!(planned.contains("nobody would lose access"), "{planned}");
    let plan = |more: &[&str]| {
        let arguments = [&["policy", "plan", stricter, "--output", "json"], more].concat();
        let output = run(&home, &arguments, b"");
        assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let asked = plan(&[]);
    assert_eq!((&asked["lost"], &asked["simulated"]), (&1.into(), &true.into()));
    let lost = &asked["identities"][0];
    assert_eq!((&lost["role"], &lost["before"]["rule"]), (&"demo".into(), &1.into()));
    assert_eq!(
        (&lost["after"]["code"], &lost["expected"]),
        (&"snp.platform-info".into(), &"smt clear".into())
    );
    // The same from what was exported, without the vault.
    let seen = dir.path().join("seen.json");
    fs::write(&seen, done(&home, &["evidence", "seen", "--output", "json"], b"")).unwrap();
    dev.stop("-TERM");
    let offline = plan(&["--seen", seen.to_str().unwrap(), "--before", same.to_str().unwrap()]);
    assert_eq!(offline["identities"], asked["identities"]);
}

/// docs/guides/kv.md, as it is told there.
#[test]
fn kv_commands_do_what_their_guide_says() {
    let dir = TempDir::new().unwrap();
    let home = dir.path().join("vault");
    let dev = Dev::start(&["--dir", home.to_str().unwrap()]);
    done(&home, &["introduce", "--role", "demo", "--platform", "sim"], b"");
    let kv = |line: &str, input: &[u8]| {
        let arguments: Vec<&str> = std::iter::once("kv").chain(line.split_whitespace()).collect();
        done(&home, &arguments, input)
    };
    let object = |line: &str| -> Value {
        let arguments = ["--output", "json", "kv"].into_iter().chain(line.split_whitespace());
        serde_json::from_str(&done(&home, &arguments.collect::<Vec<_>>(), b"")).unwrap()
    };
    // Fields, and a patch by somebody who cannot read them.
    assert_eq!(kv("put kv/demo/db user=web password=-", b"first"), "wrote version 1 of kv/demo/db\n");
    assert_eq!(
        kv("patch kv/demo/db password=second port=5432 --cas 1", b""),
        "wrote version 2 of kv/demo/db\n"
    );
    kv("patch kv/demo/db --remove port", b"");
    assert_eq!(kv("get kv/demo/db --field password", b""), "second");
    assert_eq!(kv("get kv/demo/db", b""), "password=second\nuser=web\n");
    assert_eq!(object("get kv/demo/db --version 1")["fields"]["password"], "first");
    refused(&home, &["kv", "get", "kv/demo/db", "--field", "port"], "no-field");
    kv("put kv/demo/one --bytes a=b", b"");
    assert_eq!(kv("get kv/demo/one", b""), "a=b");
    refused(&home, &["kv", "patch", "kv/demo/one", "a=c"], "refused.no-fields");
    let large: Vec<u8> = (0..1024 * 1024).map(|at| (at % 253) as u8).collect();
    kv("put kv/demo/large -", &large);
    assert!(run(&home, &["kv", "get", "kv/demo/large"], b"").stdout == large, "1 MiB, byte for byte");

    // Settings of a prefix, of a secret, and what is in force.
    assert_eq!(kv("configure kv/demo/* --cas required --delete-after 90d", b""), "configured kv/demo/*\n");
    assert_eq!(kv("settings kv/demo/*", b""), "kv/demo/*\ncas required\ndelete-after 90d\n");
    refused(&home, &["kv", "put", "kv/demo/db", "x=y"], "refused.cas-required");
    kv("configure kv/demo/db --cas optional --max-versions 2 --custom owner=billing", b"");
    kv("put kv/demo/db user=new", b"");
    let known = object("metadata kv/demo/db");
    assert_eq!((&known["current"], known["versions"].as_array().unwrap().len()), (&4.into(), 2));
    assert_eq!(known["limits"]["delete_after_secs"], 90 * 86_400);
    assert_eq!(known["settings"]["custom"]["owner"], "billing");
    let text = kv("metadata kv/demo/db", b"");
    assert!(
        text.contains("check-and-set optional; versions live 90d") && text.contains("custom owner=billing")
    );
    kv("configure kv/demo/* --cas default --delete-after default", b"");
    assert!(kv("settings kv/demo", b"").contains("no settings of its own"));
    refused(&home, &["kv", "configure", "kv/demo/*", "--custom", "a=b"], "refused.settings");

    // What the vault makes, nobody has seen.
    assert_eq!(
        kv("generate kv/demo/key --hex 16 --rotate-every 30d --grace 1d", b""),
        "the vault made version 1 of kv/demo/key\n"
    );
    let first = kv("get kv/demo/key", b"");
    assert_eq!(first.len(), 32);
    kv("rotate kv/demo/key", b"");
    assert_ne!(kv("get kv/demo/key", b""), first);
    assert_eq!(kv("get kv/demo/key --previous", b""), first);
    let text = kv("metadata kv/demo/key", b"");
    assert!(text.contains("generated: 16 random bytes in hexadecimal digits; every 30d; grace 1d"), "{text}");
    kv("generate kv/demo/pass --password --length 12 --class lower:6 --class =-_:0", b"");
    let made = kv("get kv/demo/pass", b"");
    assert!(
        made.len() == 12 && made.bytes().all(|c| c.is_ascii_lowercase() || c == b'-' || c == b'_'),
        "{made}"
    );
    kv("generate kv/demo/pair --key ed25519", b"");
    assert_eq!(object("get kv/demo/pair")["base64"], serde_json::json!(["private", "public"]));
    refused(&home, &["kv", "get", "kv/demo/key", "--as", "operator"], "refused.denied");
    refused(&home, &["kv", "rotate", "kv/demo/one"], "refused.no-generator");

    // Names.
    kv("put kv/demo/a/b/c x", b"");
    assert_eq!(kv("list kv/demo --limit 2", b""), "a/\ndb\n");
    assert_eq!(kv("list kv/demo --limit 1 --after db", b""), "key\n");
    assert_eq!(kv("list kv --recursive --limit 2", b""), "demo/a/b/c\ndemo/db\n");
    assert_eq!(object("list kv --recursive")["more"], false);
    assert_eq!(kv("forget kv/demo/a/b/c", b""), "forgot kv/demo/a/b/c, with all its versions\n");
    refused(&home, &["kv", "metadata", "kv/demo/a/b/c"], "refused.not-found");

    // A version's own time, and a watch of what was written before and after it began.
    kv("put kv/demo/short x --ttl 1s", b"");
    while run(&home, &["kv", "get", "kv/demo/short"], b"").status.success() {}
    refused(&home, &["kv", "get", "kv/demo/short"], "refused.expired");
    assert_eq!(kv("watch kv/demo/db --after 3 --count 1", b""), "kv/demo/db version 4\n");
    let mut watch = Command::new(binary("vouchsafe").unwrap())
        .args([
            "--dir",
            home.to_str().unwrap(),
            "--output",
            "json",
            "kv",
            "watch",
            "kv/demo/db",
            "--after",
            "3",
        ])
        .args(["--count", "2"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!((&next()["version"], watch.try_wait().unwrap()), (&4.into(), None));
    kv("put kv/demo/db user=newer", b"");
    let line = next();
    assert_eq!(
        (&line["version"], &line["path"], &line["simulated"]),
        (&5.into(), &"kv/demo/db".into(), &true.into())
    );
    assert!(watch.wait().unwrap().success());
    assert_eq!(dev.stop("-TERM").code(), Some(0));
}
