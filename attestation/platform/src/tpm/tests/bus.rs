use std::sync::Arc;

use tss_esapi::structures::Digest;
use vouchsafe_crypto::make_credential::{EndorsementKey, make_credential};
use vouchsafe_swtpm::Relay;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::*;
use crate::sealed::TpmSealed;

const CC_NV_READ: u32 = 0x14E;
const CC_PCR_READ: u32 = 0x17E;
const CC_GET_RANDOM: u32 = 0x17B;
const CC_CREATE_PRIMARY: u32 = 0x131;
/// Bytes of an answer before its parameters: tag, length, code, parameter length.
const ANSWER_HEADER: usize = 14;

fn behind(relay: &Relay) -> TpmPlatform {
    TpmPlatform::open(TpmConfig::new(relay.tcti().parse().unwrap())).unwrap()
}

fn code(command: &[u8]) -> u32 {
    u32::from_be_bytes(command[6..10].try_into().unwrap())
}

/// A host that changes one bit at `offset` in every answer to one command.
fn flipping(tpm: &Swtpm, command_code: u32, offset: usize) -> Relay {
    let tamper = move |command: &[u8], answer: &mut [u8]| {
        if code(command) == command_code
            && let Some(byte) = answer.get_mut(offset)
        {
            *byte ^= 1;
        }
    };
    Relay::tampering(tpm.port(), Arc::new(tamper)).unwrap()
}

fn holds(recording: &[u8], secret: &[u8]) -> bool {
    recording.windows(secret.len()).any(|window| window == secret)
}

fn sealed_object(sealed: &[u8]) -> TpmSealed {
    match sealed::decode(sealed).unwrap().body {
        SealedBody::Tpm(sealed) => sealed,
        SealedBody::Sim(_) | SealedBody::Snp(_) => panic!("not a TPM's"),
    }
}

#[test]
fn t14_the_bus_never_carries_the_root_key_or_what_guards_the_counter() {
    let tpm = Swtpm::create().unwrap();
    let relay = Relay::recording(tpm.port()).unwrap();
    let root = random::key().unwrap();
    let mut machine = behind(&relay);
    let sealed = machine.seal(&root).unwrap();
    let mut again = behind(&relay);
    again.unseal(&sealed).unwrap();
    again.increment().unwrap();
    let mut random = [0; 64];
    again.entropy(&mut random).unwrap();

    let recorded = relay.recorded();
    let counter = again.counter.as_ref().unwrap();
    assert!(recorded.len() > 4096, "the recording has everything");
    assert!(!holds(&recorded, root.expose_secret()));
    assert!(!holds(&recorded, counter.auth.expose_secret()));
    assert!(!holds(&recorded, &random[..32]) && !holds(&recorded, &random[32..]));
}

#[test]
fn t14_the_search_finds_the_root_key_when_the_session_does_not_encrypt() {
    let (tpm, root, sealed) = vault();
    let sealed = sealed_object(&sealed);
    let relay = Relay::recording(tpm.port()).unwrap();
    let mut connection = Connection::open(&relay.tcti().parse().unwrap()).unwrap();
    let object = key::load(&mut connection, &sealed.object).unwrap();
    let session = connection.policy_session(Encrypt::NoneButAuthorize).unwrap();
    let selection = Selection::new(&SEAL_PCRS).unwrap();
    connection
        .bare("TPM2_PolicyPCR", |context| context.policy_pcr(session, Digest::default(), selection.list()?))
        .unwrap();
    connection
        .bare("TPM2_Unseal", |context| {
            context.execute_with_session(Some(session.into()), |context| context.unseal(object.into()))
        })
        .unwrap();
    assert!(holds(&relay.recorded(), root.expose_secret()));
}

#[test]
fn t14_the_bus_never_carries_the_answer_to_a_credential() {
    let tpm = Swtpm::create().unwrap();
    let relay = Relay::recording(tpm.port()).unwrap();
    let mut machine = behind(&relay);
    let keys = machine.tpm_keys().unwrap().unwrap();
    let ak = vouchsafe_attestation::parse_ak(&keys.ak_public).unwrap();
    let AkProof::Credential { ek_chain, .. } = &keys.proof else { panic!("not by an endorsement key") };
    let (_, leaf) = X509Certificate::from_der(&ek_chain[0]).unwrap();
    let Ok(PublicKey::RSA(rsa)) = leaf.public_key().parsed() else { panic!("not an RSA key") };
    let modulus = rsa.modulus.strip_prefix(&[0]).unwrap_or(rsa.modulus).to_vec();
    let ek = EndorsementKey::Rsa2048 { modulus, exponent: 65_537 };
    let secret = random::key().unwrap();
    let made = make_credential(&ek, ak.name(), secret.expose_secret()).unwrap();
    let blob = CredentialBlob { id_object: made.id_object, encrypted_secret: made.encrypted_secret };
    assert!(machine.activate(&blob).unwrap().ct_eq(secret.expose_secret()));
    assert!(holds(&relay.recorded(), &blob.encrypted_secret), "the recording has the question");
    assert!(!holds(&relay.recorded(), secret.expose_secret()));
}

#[test]
fn t17_a_forged_counter_is_not_believed() {
    let (tpm, _, sealed) = vault();
    let relay = flipping(&tpm, CC_NV_READ, ANSWER_HEADER + 9);
    let mut machine = behind(&relay);
    machine.unseal(&sealed).unwrap();
    let error = machine.counter().unwrap_err();
    assert!(
        matches!(&error, PlatformError::Tpm(TpmError::Command { command: "TPM2_NV_Read", .. })),
        "{error:?}"
    );
}

#[test]
fn t17_forged_pcr_values_are_not_sealed_to() {
    let tpm = Swtpm::create().unwrap();
    let relay = flipping(&tpm, CC_PCR_READ, ANSWER_HEADER + 30);
    let error = behind(&relay).seal(&random::key().unwrap()).unwrap_err();
    assert!(
        matches!(&error, PlatformError::Tpm(TpmError::Command { command: "TPM2_PCR_Read", .. })),
        "{error:?}"
    );
}

#[test]
fn t17_forged_randomness_is_not_believed() {
    let tpm = Swtpm::create().unwrap();
    let relay = flipping(&tpm, CC_GET_RANDOM, ANSWER_HEADER + 4);
    let error = behind(&relay).entropy(&mut [0; 32]).unwrap_err();
    assert!(
        matches!(&error, PlatformError::Tpm(TpmError::Command { command: "TPM2_GetRandom", .. })),
        "{error:?}"
    );
}

#[test]
fn t17_a_storage_root_with_another_public_key_is_refused() {
    let (tpm, _, sealed) = vault();
    // Inside the x coordinate: handle, parameter length, TPM2B_PUBLIC size, type, name algorithm, attributes,
    // policy, symmetric, scheme, curve and KDF come before it.
    let relay = flipping(&tpm, CC_CREATE_PRIMARY, 60);
    let config = TpmConfig::new(relay.tcti().parse().unwrap());
    assert!(TpmPlatform::open(config).is_err());
    // The same machine without the host in between.
    platform(&tpm).unseal(&sealed).unwrap();
}
