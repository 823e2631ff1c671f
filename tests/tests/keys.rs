//! The transit and derive engines through the built programs and the SDK: every command of both once, a real session
//! with receipts, and a LUKS volume that a derived key opens.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test, helpers included"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use vouchsafe_client::{Endpoint, Identity, Pin, Session};
use vouchsafe_protocol::kv::SecretValue;
use vouchsafe_protocol::log::Action;
use vouchsafe_protocol::transit::{Binding, EncryptItem, Item, TransitOperation};
use vouchsafe_tests::stack::binary;

/// Not text: what goes in comes out byte for byte.
const PLAIN: &[u8] = b"\x00not text\xff\n";

/// A running `vouchsafe dev`, with an agent of its role.
struct Dev {
    child: Child,
    _stdout: BufReader<ChildStdout>,
    home: PathBuf,
    address: String,
    _dir: TempDir,
}

impl Dev {
    fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let home = dir.path().join("vault");
        let mut child = Command::new(binary("vouchsafe").unwrap())
            .args(["--output", "json", "dev", "--dir", home.to_str().unwrap()])
            .env_remove("VOUCHSAFE_DIR")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        let said = loop {
            if stdout.read_line(&mut text).unwrap() == 0 {
                let mut errors = String::new();
                child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
                panic!("dev ended: {text}{errors}");
            }
            if let Ok(said) = serde_json::from_str::<Value>(&text) {
                break said;
            }
        };
        let address = said["address"].as_str().unwrap().to_owned();
        let dev = Self { child, _stdout: stdout, home, address, _dir: dir };
        dev.done(&["introduce", "--role", "demo", "--platform", "sim"], b"");
        dev
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = Command::new(binary("vouchsafe").unwrap())
            .args(["--dir", self.home.to_str().unwrap()])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Exit code 0; what it says, byte for byte.
    fn done(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let Output { status, stdout, stderr } = self.run(arguments, input);
        assert_eq!(status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
        stdout
    }

    fn text(&self, arguments: &[&str], input: &[u8]) -> String {
        String::from_utf8(self.done(arguments, input)).unwrap().trim_end().to_owned()
    }

    fn json(&self, arguments: &[&str], input: &[u8]) -> Value {
        let all = [&["--output", "json"], arguments].concat();
        serde_json::from_slice(&self.done(&all, input)).unwrap()
    }

    /// Exit code 1 and this code, and a hint.
    fn refused(&self, arguments: &[&str], code: &str) {
        let Output { status, stdout, stderr } = self.run(&[&["--output", "json"], arguments].concat(), b"");
        assert_eq!((status.code(), stdout.len()), (Some(1), 0), "{arguments:?}");
        let error: Value = serde_json::from_slice(&stderr).unwrap();
        assert_eq!(error["error"]["code"], code, "{arguments:?}: {error}");
        assert!(error["error"]["hint"].is_string(), "{arguments:?}: {error}");
    }
}

/// A test that fails leaves nothing running.
impl Drop for Dev {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let id = self.child.id().to_string();
            assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
            self.child.wait().unwrap();
        }
    }
}

#[test]
fn every_command_of_the_key_engines_works_and_a_disk_opens() {
    let dev = Dev::start();
    encrypts(&dev);
    signs(&dev);
    manages(&dev);
    derives(&dev);
    opens_a_luks_volume(&dev);
    has_receipts(&dev);
}

fn encrypts(dev: &Dev) {
    let key = "transit/demo/card";
    assert_eq!(dev.text(&["transit", "create", key], b""), "made transit/demo/card, version 1");
    let sealed = dev.text(&["transit", "encrypt", key, "-", "--aad", "invoice-7"], PLAIN);
    assert!(sealed.starts_with("vouchsafe:v1:"), "{sealed}");
    assert_eq!(dev.done(&["transit", "decrypt", key, &sealed, "--aad", "invoice-7"], b""), PLAIN);
    dev.refused(&["transit", "decrypt", key, &sealed, "--aad", "invoice-8"], "refused.ciphertext");
    dev.refused(&["transit", "decrypt", key, &sealed], "refused.ciphertext");
    dev.refused(&["transit", "decrypt", key, "vault:v1:AAAA"], "malformed-text");

    // In bytes, through a file.
    let file = dev.home.join("sealed");
    fs::write(&file, dev.done(&["transit", "encrypt", key, "-", "--binary"], PLAIN)).unwrap();
    let at_file = format!("@{}", file.display());
    assert_eq!(dev.done(&["transit", "decrypt", key, &at_file], b""), PLAIN);

    // Several in one request, one of which is refused.
    let both = dev.json(&["transit", "encrypt", key, "one", "two"], b"");
    let [one, two] = [0, 1].map(|index| both["items"][index]["ciphertext"].as_str().unwrap().to_owned());
    let plain = dev.json(&["transit", "decrypt", key, &one, &two], b"");
    assert_eq!(plain["items"][1]["value"], "two");
    let mixed = dev.run(&["transit", "decrypt", key, &one, &sealed], b"");
    assert_eq!(mixed.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&mixed.stdout).starts_with("b25l\nrefused: "));

    // The next version, and what is sealed again under it.
    assert_eq!(dev.text(&["transit", "rotate", key], b""), "rotated transit/demo/card, version 2");
    let report = dev.json(&["transit", "rewrap", key, &one], b"");
    assert_eq!(
        (&report["items"][0]["from_version"], &report["items"][0]["changed"]),
        (&1.into(), &true.into())
    );
    let again = report["items"][0]["ciphertext"].as_str().unwrap();
    assert!(again.starts_with("vouchsafe:v2:"));
    assert_eq!(dev.text(&["transit", "decrypt", key, again], b""), "one");

    // Data keys.
    let made = dev.json(&["transit", "data-key", key, "--length", "16"], b"");
    let wrapped = made["items"][0]["wrapped"].as_str().unwrap();
    assert_eq!(dev.done(&["transit", "decrypt", key, wrapped], b"").len(), 16);
    assert!(dev.text(&["transit", "data-key", key, "--wrapped"], b"").starts_with("vouchsafe:v2:"));

    // Derived and convergent.
    dev.done(&["transit", "create", "transit/demo/mail", "--convergent"], b"");
    let seal = || dev.text(&["transit", "encrypt", "transit/demo/mail", "a@b", "--context", "t"], b"");
    assert_eq!(seal(), seal());
    dev.refused(&["transit", "encrypt", "transit/demo/mail", "a@b"], "refused.context");

    assert_eq!(dev.text(&["transit", "random", "8", "--hex"], b"").len(), 16);
    assert_eq!(dev.done(&["transit", "random", "100"], b"").len(), 100);
}

fn signs(dev: &Dev) {
    for (key, kind) in [("transit/demo/sign", "ed25519"), ("transit/demo/p384", "ecdsa-p384")] {
        dev.done(&["transit", "create", key, "--kind", kind], b"");
        let signature = dev.text(&["transit", "sign", key, "-"], PLAIN);
        assert_eq!(
            dev.text(&["transit", "verify", key, "-", &signature], PLAIN),
            format!("a signature of {key}")
        );
        let wrong = dev.run(&["transit", "verify", key, "other", &signature], b"");
        assert_eq!(wrong.status.code(), Some(1));
        assert!(
            dev.text(&["transit", "show", key, "--public"], b"").starts_with("-----BEGIN PUBLIC KEY-----")
        );
    }
    dev.done(&["transit", "create", "transit/demo/mac", "--kind", "hmac"], b"");
    let mac = dev.text(&["transit", "hmac", "transit/demo/mac", "body"], b"");
    assert!(
        dev.text(&["transit", "verify", "transit/demo/mac", "body", &mac], b"").starts_with("a signature")
    );
    dev.refused(&["transit", "create", "transit/demo/rsa", "--kind", "rsa-pss"], "refused.not-supported");
    verified_elsewhere(dev);
}

/// OpenSSL agrees: the signature is an ordinary one.
fn verified_elsewhere(dev: &Dev) {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("SKIPPED: no openssl to verify a signature with");
        return;
    }
    let [message, signature, public] =
        ["message", "message.sig", "public.pem"].map(|name| dev.home.join(name));
    fs::write(&message, PLAIN).unwrap();
    let key = "transit/demo/p384";
    fs::write(&signature, dev.done(&["transit", "sign", key, "-", "--raw"], PLAIN)).unwrap();
    fs::write(&public, dev.done(&["transit", "show", key, "--public"], b"")).unwrap();
    let verified = Command::new("openssl")
        .args(["dgst", "-sha384", "-verify"])
        .args([&public, Path::new("-signature"), &signature, &message])
        .output()
        .unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

fn manages(dev: &Dev) {
    let key = "transit/demo/card";
    dev.refused(&["transit", "export", key], "refused.key-use");
    dev.refused(&["transit", "create", key], "refused.exists");
    dev.refused(&["transit", "trim", key, "--below", "2"], "refused.settings");
    dev.done(&["transit", "configure", key, "--min-decrypt", "2", "--rotate-every", "30d"], b"");
    assert_eq!(dev.text(&["transit", "trim", key, "--below", "2"], b""), "trimmed transit/demo/card");
    let shown = dev.json(&["transit", "show", key], b"");
    assert_eq!((&shown["current"], &shown["rotate_every_secs"]), (&2.into(), &2_592_000.into()));
    dev.refused(&["transit", "delete", key], "refused.key-use");
    dev.done(&["transit", "configure", key, "--deletion", "allowed"], b"");
    assert_eq!(dev.text(&["transit", "delete", key], b""), "deleted transit/demo/card");
    dev.refused(&["transit", "show", key], "refused.not-found");
    assert_eq!(dev.text(&["transit", "list"], b""), "demo/");

    // A key from outside, and out again as it came.
    let material = [7; 32];
    let import = ["transit", "import", "transit/demo/shared", "-"];
    dev.done(&[import.as_slice(), &["--kind", "aes256-gcm", "--exportable"]].concat(), &material);
    assert_eq!(dev.done(&["transit", "export", "transit/demo/shared"], b""), material);
    assert_eq!(dev.text(&import, &[8; 32]), "imported transit/demo/shared, version 2");
    // Operators use no key.
    dev.refused(&["transit", "encrypt", "transit/demo/shared", "x", "--as", "operator"], "refused.denied");
    dev.refused(&["transit", "encrypt", "transit/other/key", "x"], "refused.denied");
}

fn derives(dev: &Dev) {
    let label = "derive/demo/disk";
    let first = dev.done(&["derive", "key", label], b"");
    assert_eq!(first.len(), 32);
    assert_eq!(dev.done(&["derive", "key", label], b""), first);
    assert_eq!(dev.done(&["derive", "key", label, "--length", "64"], b"").len(), 64);
    assert_eq!(dev.text(&["derive", "rotate", label], b""), "derive/demo/disk is at version 2");
    assert_ne!(dev.done(&["derive", "key", label], b""), first);
    assert_eq!(dev.done(&["derive", "key", label, "--key-version", "1"], b""), first);
    assert_eq!(dev.json(&["derive", "show", label], b"")["current"], 2);
    dev.done(&["derive", "configure", label, "--min-version", "2"], b"");
    dev.refused(&["derive", "key", label, "--key-version", "1"], "refused.not-found");
    assert_eq!(dev.text(&["derive", "list", "derive/demo"], b""), "disk");
    dev.refused(&["derive", "key", "derive/other/disk"], "refused.denied");
    dev.refused(&["derive", "key", label, "--as", "operator"], "refused.denied");
}

/// What `docs/guides/derive.md` says: format, open, rotate. A file stands in for the disk, so no device is needed.
fn opens_a_luks_volume(dev: &Dev) {
    if Command::new("cryptsetup").arg("--version").output().is_err() {
        eprintln!("SKIPPED: no cryptsetup; 'apt-get install cryptsetup-bin' brings it");
        return;
    }
    let label = "derive/demo/luks";
    let volume = dev.home.join("volume");
    fs::File::create(&volume).unwrap().set_len(20 * 1024 * 1024).unwrap();
    let [old, new] = ["old.key", "new.key"].map(|name| dev.home.join(name));
    let cryptsetup = |arguments: &[&str], input: &[u8]| {
        let mut child = Command::new("cryptsetup")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap().status.success()
    };
    let at = volume.to_str().unwrap();
    let key = |arguments: &[&str]| dev.done(&[&["derive", "key", label], arguments].concat(), b"");
    let first = key(&[]);
    let quick = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
    let format =
        [&["luksFormat", "--batch-mode", "--type", "luks2"], quick.as_slice(), &["--key-file", "-", at]];
    assert!(cryptsetup(&format.concat(), &first));
    let opens = |key: &[u8]| cryptsetup(&["open", "--test-passphrase", "--key-file", "-", at], key);
    assert!(opens(&key(&[])), "after a boot the key is the same");
    assert!(!opens(&dev.done(&["derive", "key", "derive/demo/other"], b"")));
    // Rotation: the next key is added with the old one, then the old one's slot is ended.
    dev.done(&["derive", "rotate", label], b"");
    assert!(!opens(&key(&[])), "not yet");
    fs::write(&old, key(&["--key-version", "1"])).unwrap();
    fs::write(&new, key(&[])).unwrap();
    let (old, new) = (old.to_str().unwrap(), new.to_str().unwrap());
    assert!(cryptsetup(&[&["luksAddKey"], quick.as_slice(), &["--key-file", old, at, new]].concat(), b""));
    assert!(opens(&key(&[])) && opens(&first));
    assert!(cryptsetup(&["luksRemoveKey", "--batch-mode", at, old], b""));
    assert!(opens(&key(&[])) && !opens(&first));
}

/// The SDK over a real session, each answer with a receipt that is about this very request.
fn has_receipts(dev: &Dev) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut pin = Pin::load(dev.home.join("pin.toml")).unwrap();
        let identity = Identity::load(dev.home.join("agents/demo")).unwrap();
        let session = Session::connect(&Endpoint::new(&dev.address), &identity, &mut pin).await.unwrap();
        let receipted = session.with_receipts();
        let plaintext = SecretValue::new(PLAIN.to_vec());
        let items = vec![EncryptItem { plaintext, binding: Binding::default() }];
        let key = "transit/demo/shared";
        let (sealed, proven) = receipted.transit().encrypt_batch(key, None, items).await.unwrap();
        let expected = Action::Transit {
            operation: TransitOperation::Encrypt,
            path: key.to_owned(),
            versions: vec![2],
            items: 1,
            failed: 0,
        };
        assert_eq!(proven.entry.action, expected);
        let [Item::Done(sealed)] = sealed.as_slice() else { panic!("{sealed:?}") };
        let plain = session.transit().decrypt(key, sealed.clone(), Binding::default()).await.unwrap();
        assert_eq!(plain.expose_secret(), PLAIN);
        let (random, proven) = receipted.transit().random(32).await.unwrap();
        assert_eq!(random.expose_secret().len(), 32);
        assert!(matches!(proven.entry.action, Action::Transit { operation: TransitOperation::Random, .. }));
        let (derived, proven) = receipted.derive().key("derive/demo/disk", None, 32).await.unwrap();
        assert_eq!(derived.version, 2);
        assert!(matches!(proven.entry.action, Action::Derive { version: Some(2), .. }));
        session.close().await.unwrap();
    });
}
