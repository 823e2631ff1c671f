//! Pins and identities as files.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use vouchsafe_protocol::anchors::TpmAnchor;
use vouchsafe_protocol::evidence::PcrValue;
use vouchsafe_protocol::id::AnchorClass;
use vouchsafe_protocol::policy::{
    AuthorKeyRule, BitRule, ChipId, ChipRule, CspName, Expiry, IdBlockRule, LaunchDigest, MigrationAgentRule,
    RevocationRule, SnpAccept, Tcb, TpmKind, TpmPin, VaultPlatformPin,
};

use crate::files::FileError;
use crate::vault::fake::FakeVault;
use crate::*;

fn mode(path: &std::path::Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_pin_is_read_back_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pin.toml");
    let simulated = FakeVault::new().pin();
    let mut chips = simulated.clone();
    let VaultPlatformPin::Snp(rules) = &mut chips.platform else { panic!() };
    rules.chip = ChipRule::Allow(vec![ChipId([7; 64])]);
    let mut tpm = Pin { log_key: None, checkpoint: None, ..simulated.clone() };
    let pcr = |index| PcrValue { index, value: [index; 32] };
    tpm.platform =
        VaultPlatformPin::Tpm(TpmPin { ak_name: vec![3; 34], pcrs: vec![pcr(0), pcr(7), pcr(11)] });
    tpm.anchors.amd = vouchsafe_protocol::anchors::AmdAnchors::BuiltIn;
    tpm.anchors.tpm = vec![TpmAnchor {
        name: "cloud".parse().unwrap(),
        class: AnchorClass::Hardware,
        kind: TpmKind::HostVirtual,
        certificates: vec![vec![1, 2, 3]],
    }];
    let mut provider = simulated.clone();
    let VaultPlatformPin::Snp(rules) = &mut provider.platform else { panic!() };
    rules.chip = ChipRule::Providers(vec![CspName("cloud".into())]);
    rules.revocation = RevocationRule::Checked { max_age_secs: 90 };
    rules.guest_policy.debug = BitRule::Any;
    for pin in [simulated, chips, tpm, provider] {
        pin.save(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Pin::load(&path).unwrap(), pin);
    }
}

#[test]
fn b10_a_pin_whose_file_would_say_less_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pin.toml");
    let stricter: [fn(&mut SnpAccept); 9] = [
        |rules| rules.measurements[0].expiry = Expiry::At { expires_unix_secs: 1, grace_secs: 0 },
        |rules| rules.tcb_floors[0].floors.launch = Tcb { snp: 200, ..Tcb::ZERO },
        |rules| rules.guest_policy.debug = BitRule::Required,
        |rules| rules.guest_policy.smt = BitRule::Forbidden,
        |rules| rules.mitigations.launch = 1,
        |rules| rules.min_guest_svn = 1,
        |rules| rules.migration_agent = MigrationAgentRule::AnyMigrationAgent,
        |rules| {
            let id_keys = vec![LaunchDigest([1; 48])];
            rules.id_block = IdBlockRule::SignedBy { id_keys, author: AuthorKeyRule::AnyAuthor };
        },
        |rules| rules.image_id = vouchsafe_protocol::policy::IdRule::Exactly([1; 16]),
    ];
    for change in stricter {
        let mut pin = FakeVault::new().pin();
        let VaultPlatformPin::Snp(rules) = &mut pin.platform else { panic!() };
        change(rules);
        assert!(matches!(pin.save(&path), Err(PinError::Inexpressible)));
        assert!(!path.exists());
    }
}

#[test]
fn b10_a_pin_that_others_can_change_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pin.toml");
    FakeVault::new().pin().save(&path).unwrap();
    mode(&path, 0o644);
    Pin::load(&path).unwrap();
    mode(&path, 0o664);
    assert!(matches!(Pin::load(&path), Err(PinError::File(FileError::Writable { mode: 0o664, .. }))));
}

#[test]
fn a_pin_with_an_unknown_key_another_version_or_a_loose_platform_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pin.toml");
    let pin = FakeVault::new().pin();
    let text = pin.to_toml().unwrap();
    let load = |text: &str| {
        fs::write(&path, text).unwrap();
        mode(&path, 0o600);
        Pin::load(&path).unwrap_err()
    };
    assert!(matches!(load(&format!("skip_evidence = true\n{text}")), PinError::Malformed { .. }));
    assert!(matches!(load(&text.replace("debug =", "debugg =")), PinError::Malformed { .. }));
    assert!(matches!(load(&text.replace("vmpl = 0\n", "")), PinError::Malformed { .. }));
    assert!(matches!(
        load(&text.replace("version = 1", "version = 2")),
        PinError::Version { version: 2, .. }
    ));
    let mut loose = pin.clone();
    let VaultPlatformPin::Snp(rules) = &mut loose.platform else { panic!() };
    rules.measurements.clear();
    assert!(matches!(load(&loose.to_toml().unwrap()), PinError::Platform { .. }));
    let mut loose = pin;
    loose.platform = VaultPlatformPin::Tpm(TpmPin { ak_name: vec![3; 34], pcrs: vec![] });
    assert!(matches!(load(&loose.to_toml().unwrap()), PinError::PlatformTpm { .. }));
}

#[test]
fn v2_an_identity_is_private_or_not_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("identity");
    let identity = FakeVault::new().identity();
    identity.save(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    let loaded = Identity::load(&path).unwrap();
    assert_eq!(loaded.key().spki(), identity.key().spki());
    assert_eq!(loaded.certificate(), identity.certificate());
    assert_eq!(loaded.authority_certificate(), identity.authority_certificate());
    mode(&path, 0o750);
    assert!(matches!(
        Identity::load(&path),
        Err(IdentityError::File(FileError::Exposed { mode: 0o750, .. }))
    ));
    mode(&path, 0o700);
    mode(&path.join("key.der"), 0o640);
    assert!(matches!(
        Identity::load(&path),
        Err(IdentityError::File(FileError::Exposed { mode: 0o640, .. }))
    ));
    mode(&path.join("key.der"), 0o600);
    fs::write(path.join("authority.der"), b"junk").unwrap();
    assert!(matches!(Identity::load(&path), Err(IdentityError::Authority { .. })));
}
