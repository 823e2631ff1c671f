use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;
use vouchsafe_attestation::log::ima::Entry;
use vouchsafe_swtpm::KernelLogs;

use super::*;

fn below(dir: &TempDir) -> LogPaths {
    LogPaths::below(dir.path(), "tpm0")
}

/// What the kernel shows: a boot of which nothing was extended, and two files.
fn shown() -> (TempDir, KernelLogs) {
    let mut logs = KernelLogs::default();
    logs.note_file("/init", b"init");
    logs.note_file("/sbin/agent", b"agent");
    let dir = TempDir::new().unwrap();
    logs.write(dir.path()).unwrap();
    (dir, logs)
}

/// PCR 10 after these entries.
fn pcr10(digests: &[[u8; 32]]) -> PcrValue {
    let extend = |value: [u8; 32], digest: &[u8; 32]| vouchsafe_crypto::digest::sha256(&[&value, digest]);
    PcrValue { index: 10, value: digests.iter().fold([0; 32], extend) }
}

fn digests() -> Vec<[u8; 32]> {
    let mut logs = KernelLogs::default();
    vec![logs.note_file("/init", b"init"), logs.note_file("/sbin/agent", b"agent")]
}

#[test]
fn logs_are_read_where_the_kernel_shows_them() {
    let (dir, logs) = shown();
    assert_eq!(below(&dir).read_boot().unwrap(), logs.boot);
    assert_eq!(below(&dir).read_ima(&[pcr10(&digests())]).unwrap(), logs.ima);
    let both = below(&dir).read_wanted(LogsWanted { boot: true, ima: true }, &[pcr10(&digests())]).unwrap();
    assert_eq!(both, Logs { boot: Some(logs.boot), ima: Some(logs.ima) });
    let none = LogPaths::below(Path::new("/nowhere"), "tpm0").read_wanted(LogsWanted::default(), &[]);
    assert_eq!(none.unwrap(), Logs::default());
}

#[test]
fn paths_follow_the_number_of_the_device() {
    let boot = |device: &str| LogPaths::of_device(Path::new(device)).boot.display().to_string();
    assert_eq!(boot("/dev/tpmrm0"), "/sys/kernel/security/tpm0/binary_bios_measurements");
    assert_eq!(boot("/dev/tpm1"), "/sys/kernel/security/tpm1/binary_bios_measurements");
    assert_eq!(boot("/dev/mytpm"), "/sys/kernel/security/tpm0/binary_bios_measurements");
}

#[test]
fn t7_an_ima_log_that_grew_after_the_quote_is_cut_to_it() {
    let (dir, logs) = shown();
    let cut = below(&dir).read_ima(&[pcr10(&digests()[..1])]).unwrap();
    assert!(logs.ima.starts_with(&cut) && cut.len() < logs.ima.len());
    ImaLog::parse(&cut).unwrap().confirm(HashAlgorithm::Sha256, &pcr10(&digests()[..1]).value).unwrap();
}

#[test]
fn t7_an_ima_log_of_another_boot_is_not_handed_out() {
    let (dir, _) = shown();
    let other = PcrValue { index: 10, value: [7; 32] };
    let fault = below(&dir).read_ima(&[other]).unwrap_err().fault;
    assert!(matches!(fault, LogFault::Replay), "{fault:?}");
    let fault = below(&dir).read_ima(&[PcrValue { index: 7, value: [7; 32] }]).unwrap_err().fault;
    assert!(matches!(fault, LogFault::NotQuoted), "{fault:?}");
}

#[test]
fn the_text_form_is_read_where_there_is_no_binary_one() {
    let (dir, logs) = shown();
    let paths = below(&dir);
    fs::remove_file(&paths.ima).unwrap();
    let text: String =
        ImaLog::parse(&logs.ima).unwrap().entries().map(|entry| line(&entry.unwrap())).collect();
    fs::write(&paths.ima_text, &text).unwrap();
    assert_eq!(paths.read_ima(&[pcr10(&digests())]).unwrap(), text.as_bytes());
}

/// An entry as `ascii_runtime_measurements` has it.
fn line(entry: &Entry<'_>) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let file = entry.file.as_ref().unwrap();
    let (algorithm, name) = (text(file.algorithm), text(file.name));
    let (hash, digest) = (hex(entry.template_hash.as_ref()), hex(file.digest.as_ref()));
    format!("{} {hash} ima-ng {algorithm}:{digest} {name}\n", entry.pcr)
}

#[test]
fn every_way_to_have_no_log_has_its_own_reason() {
    let (dir, logs) = shown();
    let paths = below(&dir);
    let fault = |paths: &LogPaths| paths.read_boot().unwrap_err().fault;
    let boot = |bytes: &[u8]| {
        fs::write(&paths.boot, bytes).unwrap();
        fault(&paths)
    };
    assert!(matches!(boot(&logs.boot[..logs.boot.len() - 1]), LogFault::Boot(_)), "cut");
    assert!(matches!(boot(b"no log"), LogFault::Boot(_)), "something else");
    assert!(matches!(boot(b""), LogFault::Empty));
    let long = vec![0; EVENT_LOG_LEN + 1];
    assert!(matches!(boot(&long), LogFault::TooLong { limit: EVENT_LOG_LEN }));
    fs::remove_file(&paths.boot).unwrap();
    assert!(matches!(fault(&paths), LogFault::Absent));
    fs::create_dir(&paths.boot).unwrap();
    assert!(matches!(fault(&paths), LogFault::Io(_)), "a directory");

    let ima = |bytes: &[u8]| {
        fs::write(&paths.ima, bytes).unwrap();
        paths.read_ima(&[pcr10(&digests())]).unwrap_err()
    };
    assert!(matches!(ima(&logs.ima[..logs.ima.len() - 1]).fault, LogFault::Ima(_)), "cut");
    assert!(matches!(ima(&vec![0; IMA_LOG_LEN + 1]).fault, LogFault::TooLong { limit: IMA_LOG_LEN }));
    let error = ima(b"");
    assert!(matches!(error.fault, LogFault::Empty));
    assert_eq!(error.to_string(), format!("the IMA log {} cannot be used", paths.ima.display()));
    fs::remove_file(&paths.ima).unwrap();
    let error = paths.read_ima(&[pcr10(&digests())]).unwrap_err();
    assert!(matches!(error.fault, LogFault::Absent), "{error:?}");
}

#[test]
fn a_log_that_only_root_may_read_says_so() {
    let (dir, _) = shown();
    let paths = below(&dir);
    fs::set_permissions(&paths.boot, fs::Permissions::from_mode(0o000)).unwrap();
    match paths.read_boot() {
        Err(error) => {
            assert!(matches!(error.fault, LogFault::Denied(_)), "{error:?}");
            assert!(error.fault.hint().contains("run as root"));
        }
        Ok(_) => eprintln!("skipped: this user may read everything"),
    }
}
