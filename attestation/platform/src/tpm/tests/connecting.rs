use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

fn open_error(config: TpmConfig) -> TpmError {
    TpmPlatform::open(config).err().unwrap()
}

#[test]
fn a_missing_device_says_what_to_do() {
    let tcti = Tcti::Device(PathBuf::from("/dev/vouchsafe-no-such-tpm"));
    let error = open_error(TpmConfig::new(tcti));
    assert!(matches!(error, TpmError::Connect(ConnectError::NoDevice { .. })));
    assert!(error.to_string().contains("enable the machine's TPM"), "{error}");
}

#[test]
fn a_tpm_that_does_not_run_says_what_to_do() {
    let config = {
        let tpm = Swtpm::create().unwrap();
        config(&tpm)
    };
    let error = open_error(config);
    assert!(matches!(error, TpmError::Connect(ConnectError::Unreachable { .. })), "{error:?}");
    assert!(error.to_string().contains("start it"), "{error}");
}

#[test]
fn an_owner_password_says_what_to_do() {
    let tpm = Swtpm::create().unwrap();
    // TPM2_HierarchyChangeAuth of the owner hierarchy to "x".
    let command =
        hex("8002 00000021 00000129 40000001 00000009 40000009 0000 00 0000 0001 78".replace(' ', ""));
    tpm.command(&with_length(command)).unwrap().success("TPM2_HierarchyChangeAuth").unwrap();
    let error = open_error(config(&tpm));
    assert!(matches!(error, TpmError::Connect(ConnectError::OwnerPassword)), "{error:?}");
}

#[test]
fn what_a_killed_process_left_behind_is_cleaned_up() {
    let tpm = Swtpm::create().unwrap();
    // TPM2_StartAuthSession, unsalted and unbound: HMAC (00) and policy (01).
    let start = |kind: &str| {
        let nonce = "00".repeat(16);
        let text = format!("8001 00000000 00000176 40000007 40000007 0010 {nonce} 0000 {kind} 0010 000B");
        tpm.command(&with_length(hex(text.replace(' ', "")))).unwrap()
    };
    let mut started = 0;
    while start(if started % 2 == 0 { "00" } else { "01" }).code.0 == 0 {
        started += 1;
        assert!(started < 64, "sessions without end");
    }
    let root = random::key().unwrap();
    let sealed = platform(&tpm).seal(&root).unwrap();
    platform(&tpm).unseal(&sealed).unwrap();
    assert_eq!(start("00").code.0, 0);
}

#[test]
fn a_selection_of_pcrs_that_cannot_be_is_refused() {
    let tpm = Swtpm::create().unwrap();
    for seal_pcrs in [vec![], vec![7, 4], vec![4, 4], vec![24]] {
        let config = TpmConfig { seal_pcrs, ..config(&tpm) };
        assert!(matches!(open_error(config), TpmError::PcrSelection));
    }
}

#[test]
fn the_attestation_key_file_is_private_and_checked() {
    use std::os::unix::fs::PermissionsExt;
    let (tpm, other) = (Swtpm::create().unwrap(), Swtpm::create().unwrap());
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("ak");
    let with_file = |tpm| TpmConfig { ak_file: Some(path.clone()), ..config(tpm) };

    let keys = TpmPlatform::open(with_file(&tpm)).unwrap().tpm_keys().unwrap().unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let again = TpmPlatform::open(with_file(&tpm)).unwrap().tpm_keys().unwrap().unwrap();
    assert_eq!(again, keys, "the attestation key is the same after a restart");

    assert!(matches!(open_error(with_file(&other)), TpmError::Keys(KeysError::AkOfOtherTpm)));

    let good = std::fs::read(&path).unwrap();
    for damaged in [&good[..good.len() - 1], &[], &[good.as_slice(), &[0]].concat(), &[0xFF; 20_000]] {
        std::fs::write(&path, damaged).unwrap();
        let error = open_error(with_file(&tpm));
        assert!(
            matches!(error, TpmError::Keys(KeysError::AkFileDamaged { .. } | KeysError::AkFile { .. })),
            "{error:?}"
        );
    }
}

fn hex(text: String) -> Vec<u8> {
    let byte = |pair: &[u8]| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap();
    text.as_bytes().chunks_exact(2).map(byte).collect()
}

fn with_length(mut command: Vec<u8>) -> Vec<u8> {
    let len = u32::try_from(command.len()).unwrap();
    command[2..6].copy_from_slice(&len.to_be_bytes());
    command
}
