//! Each test starts from a vault that passes and breaks one step of its verification.

use rcgen::IsCa;
use vouchsafe_attestation::snp::rules::SnpRuleError;
use vouchsafe_crypto::signature::P256Key;
use vouchsafe_protocol::anchors::AmdAnchors;
use vouchsafe_protocol::evidence::Evidence;
use vouchsafe_protocol::introduction::VaultStatement;
use vouchsafe_protocol::policy::{LaunchDigest, VaultPlatformPin};

use super::fake::{CHIP, FakeVault, self_signed};
use super::*;
use crate::clock::now_secs;
use crate::pin::Pin;

fn check(vault: &FakeVault, statement: &VaultStatement, pin: &Pin) -> Result<VerifiedVault, VaultError> {
    let expected = Expected {
        vault_id: Some(pin.vault_id),
        platform: Platform::Expected(&pin.platform),
        anchors: &pin.anchors,
        log_key: pin.log_key(),
        checkpoint: pin.checkpoint,
    };
    let signing_key = P256PublicKey::from_spki(&vault.signing.spki()).unwrap();
    verify(statement, &signing_key, &expected, now_secs())
}

/// What is found after one change to the statement.
fn broken(change: impl FnOnce(&FakeVault, &mut VaultStatement)) -> VaultError {
    let vault = FakeVault::new();
    let mut statement = vault.statement();
    change(&vault, &mut statement);
    check(&vault, &statement, &vault.pin()).unwrap_err()
}

/// What is found after one change to the pin.
fn otherwise(change: impl FnOnce(&mut Pin)) -> VaultError {
    let vault = FakeVault::new();
    let mut pin = vault.pin();
    change(&mut pin);
    check(&vault, &vault.statement(), &pin).unwrap_err()
}

#[test]
fn a_right_vault_passes() {
    let vault = FakeVault::new();
    let verified = check(&vault, &vault.statement(), &vault.pin()).unwrap();
    assert_eq!(*verified.vault_id(), vault.vault_id);
    assert_eq!(verified.remembered(), vault.remembered());
}

#[test]
fn step_1_an_authority_is_a_self_signed_p256_authority() {
    assert!(matches!(
        broken(|_, statement| statement.authority.push(0)),
        VaultError::Authority(CertificateError::Malformed)
    ));
    assert!(matches!(
        broken(|_, statement| statement.authority = vec![0x30; 10_000]),
        VaultError::Authority(CertificateError::Malformed)
    ));
    assert!(matches!(
        broken(|vault, statement| statement.authority = self_signed(&vault.authority_key, IsCa::NoCa)),
        VaultError::Authority(CertificateError::NotAuthority)
    ));
    assert!(matches!(
        broken(|_, statement| statement.authority = CHIP.root().ark),
        VaultError::Authority(CertificateError::AuthorityKey)
    ));
    assert!(matches!(
        broken(|_, statement| *statement.authority.last_mut().unwrap() ^= 1),
        VaultError::Authority(CertificateError::SelfSignature)
    ));
}

#[test]
fn s1_step_2_and_3_anchors_are_the_pinned_ones_and_usable() {
    let none = |pin: &mut Pin| pin.anchors.amd = AmdAnchors::Simulated(vec![]);
    assert!(matches!(otherwise(none), VaultError::Anchors(_)));
    let built_in = |pin: &mut Pin| pin.anchors.amd = AmdAnchors::BuiltIn;
    assert!(matches!(otherwise(built_in), VaultError::AnchorsDiffer));
    assert!(matches!(broken(|_, statement| statement.anchors_digest[0] ^= 1), VaultError::AnchorsDiffer));
}

#[test]
fn step_4_a_simulated_vault_cannot_say_that_it_is_not() {
    let error = broken(|_, statement| statement.vault_id.class = AnchorClass::Hardware);
    assert!(matches!(
        error,
        VaultError::Class { said: AnchorClass::Hardware, actual: AnchorClass::Simulated }
    ));
}

#[test]
fn b5_step_5_the_id_is_recomputed_from_what_is_used() {
    let mut digest = [0; 32];
    let error = broken(|vault, statement| {
        digest = vault.vault_id.digest;
        statement.vault_id.digest[0] ^= 1;
    });
    assert!(matches!(error, VaultError::IdDigest));
    // Another authority under the pinned id.
    let error = broken(|_, statement| statement.authority = FakeVault::new().authority);
    assert!(matches!(error, VaultError::IdDigest));
}

#[test]
fn b10_step_6_a_genuine_vault_with_another_id_is_refused() {
    let (ours, theirs) = (FakeVault::new(), FakeVault::new());
    let pin = Pin { log_key: None, checkpoint: None, ..ours.pin() };
    let error = check(&theirs, &theirs.statement(), &pin).unwrap_err();
    let VaultError::WrongVault { expected, found } = error else { panic!("{error}") };
    assert_eq!((expected, found), (ours.vault_id, theirs.vault_id));
}

#[test]
fn step_7_the_signing_key_is_endorsed_for_this_vault() {
    assert!(matches!(broken(|_, statement| statement.endorsement[9] ^= 1), VaultError::Endorsement));
    let other = FakeVault::new();
    let error = broken(|vault, statement| {
        let preimage = transcript::signing_key_preimage(&other.vault_id.to_bytes(), &vault.signing.spki());
        statement.endorsement = vault.authority_key.sign(&preimage).unwrap();
    });
    assert!(matches!(error, VaultError::Endorsement));
}

#[test]
fn b1_step_8_evidence_for_other_keys_is_refused() {
    // Genuine evidence of the same enclave, made for another signing key: a relay.
    let error = broken(|vault, statement| {
        let mut relayed = FakeVault::new();
        relayed.vault_id = vault.vault_id;
        statement.evidence = relayed.statement().evidence;
    });
    assert!(matches!(error, VaultError::Evidence(AppraisalError::Statement)));
    let error = broken(|_, statement| statement.log_key[0] ^= 1);
    assert!(matches!(error, VaultError::Evidence(AppraisalError::Statement)));
    let error = broken(|_, statement| statement.init_digest[0] ^= 1);
    assert!(matches!(error, VaultError::Evidence(AppraisalError::Statement)));
}

#[test]
fn s4_step_8_another_measurement_is_refused() {
    let error = otherwise(|pin| {
        let VaultPlatformPin::Snp(rules) = &mut pin.platform else { panic!() };
        rules.measurements = vec![LaunchDigest([1; 48]).into()];
    });
    assert!(matches!(error, VaultError::Evidence(AppraisalError::SnpRule(SnpRuleError::Measurement))));
}

#[test]
fn s2_step_8_evidence_that_is_not_signed_by_a_chip_is_refused() {
    let error = broken(|_, statement| {
        let Evidence::Snp(snp) = &mut statement.evidence else { panic!() };
        snp.report[0x2a0] ^= 1;
    });
    assert!(matches!(error, VaultError::Evidence(AppraisalError::Snp(_))));
}

#[test]
fn step_9_the_log_key_stays() {
    assert!(matches!(otherwise(|pin| pin.log_key = Some([7; 32])), VaultError::LogKey));
}

#[test]
fn step_10_a_checkpoint_is_signed_for_this_journal() {
    let error = broken(|_, statement| *statement.checkpoint.last_mut().unwrap() = b'x');
    assert!(matches!(error, VaultError::Checkpoint(_)));
    let error = broken(|_, statement| statement.checkpoint = FakeVault::new().checkpoint());
    assert!(matches!(error, VaultError::Checkpoint(_)));
}

#[test]
fn h3_step_11_a_rolled_back_vault_is_refused() {
    let error = otherwise(|pin| pin.checkpoint = Some(Remembered { size: 3, root: [1; 32] }));
    assert!(matches!(error, VaultError::RolledBack { size: 2, remembered: 3 }));
}

#[test]
fn h3_step_12_a_forked_vault_is_refused() {
    let error = otherwise(|pin| pin.checkpoint = Some(Remembered { size: 2, root: [1; 32] }));
    assert!(matches!(error, VaultError::Forked { size: 2 }));
}

#[test]
fn first_use_pins_exactly_what_is_shown_and_verifies_it() {
    let vault = FakeVault::new();
    let signing_key = P256PublicKey::from_spki(&vault.signing.spki()).unwrap();
    let expected = Expected {
        vault_id: None,
        platform: Platform::Shown,
        anchors: &vault.anchors,
        log_key: None,
        checkpoint: None,
    };
    let verified = verify(&vault.statement(), &signing_key, &expected, now_secs()).unwrap();
    let VaultPlatformPin::Snp(rules) = verified.platform() else { panic!() };
    assert_eq!(rules.measurements, [fake::MEASUREMENT.into()]);
    vouchsafe_protocol::policy_check::check_snp(rules).unwrap();
    // The chip's signature is verified all the same.
    let mut forged = vault.statement();
    let Evidence::Snp(snp) = &mut forged.evidence else { panic!() };
    snp.report[0x2a0] ^= 1;
    let error = verify(&forged, &signing_key, &expected, now_secs()).unwrap_err();
    assert!(matches!(error, VaultError::Evidence(AppraisalError::Snp(_))));
    // A guest that its host can debug is not pinned by looking at it.
    let policy = 0xb_0000u64.to_le_bytes();
    let report = CHIP.report().set(vouchsafe_simulation::field::POLICY, &policy).sign(&CHIP).unwrap();
    forged.evidence = Evidence::Snp(CHIP.evidence(report));
    let error = verify(&forged, &signing_key, &expected, now_secs()).unwrap_err();
    assert!(matches!(error, VaultError::FirstUse(FirstUseError::Debug)));
}

#[test]
fn f3_an_endorsed_key_is_needed_even_with_the_right_authority() {
    // A key that the vault never had signs an otherwise right statement.
    let vault = FakeVault::new();
    let stranger = P256Key::generate().unwrap();
    let pin = vault.pin();
    let expected = Expected {
        vault_id: Some(pin.vault_id),
        platform: Platform::Expected(&pin.platform),
        anchors: &pin.anchors,
        log_key: None,
        checkpoint: None,
    };
    let key = P256PublicKey::from_spki(&stranger.spki()).unwrap();
    let error = verify(&vault.statement(), &key, &expected, now_secs()).unwrap_err();
    assert!(matches!(error, VaultError::Endorsement));
}
