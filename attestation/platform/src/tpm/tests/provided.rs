//! Attestation keys that a cloud left in its virtual TPM.

use tss_esapi::handles::PersistentTpmHandle;
use tss_esapi::interface_types::dynamic_handles::Persistent;
use tss_esapi::interface_types::resource_handles::{Hierarchy, Provision};
use vouchsafe_attestation::parse_ak;
use vouchsafe_attestation::tpm::attest::Quote;
use vouchsafe_attestation::tpm::quote::{Expected, PcrValues, verify_quote};
use vouchsafe_attestation::tpm::signature::QuoteSignature;
use vouchsafe_crypto::verify::HashAlgorithm;
use vouchsafe_protocol::policy::Permission;

use super::*;

const CERTIFICATE: [u8; 5] = [0x30, 3, 1, 1, 0xFF];

fn provided(tpm: &Swtpm) -> TpmPlatform {
    TpmPlatform::open(TpmConfig { ak: AkSource::Provided, ..config(tpm) }).unwrap()
}

/// The key that is shown is the one that quotes, and its certificate comes with it.
fn quotes_with_its_key(tpm: &Swtpm) -> TpmKeys {
    let mut machine = provided(tpm);
    assert!(machine.has_provided_key().unwrap());
    let keys = machine.tpm_keys().unwrap().unwrap();
    assert_eq!(keys.proof, AkProof::Certificate { ak_chain: vec![CERTIFICATE.to_vec()] });
    let Evidence::Tpm(evidence) = machine.evidence(&statement(b"c"), &[0, 7], LogsWanted::default()).unwrap()
    else {
        panic!("a TPM gave no quote")
    };
    assert_eq!(evidence.ak_public, keys.ak_public);
    let quote = Quote::parse(&evidence.quote).unwrap();
    let signature = QuoteSignature::parse(&evidence.signature).unwrap();
    let values: PcrValues =
        evidence.pcrs.iter().map(|pcr| ((HashAlgorithm::Sha256, pcr.index), pcr.value.to_vec())).collect();
    let ak = parse_ak(&keys.ak_public).unwrap();
    let extra_data = statement(b"c").tpm_qualifying_data();
    let expected =
        Expected { key: ak.key(), scheme: None, extra_data: &extra_data, sha1: Permission::Forbidden };
    verify_quote(&evidence.quote, &quote, &signature, &values, expected).unwrap();
    keys
}

#[test]
fn a_key_is_made_again_from_the_template_that_the_cloud_left() {
    let tpm = Swtpm::create().unwrap();
    let template = key::marshal(&key::attestation_key().unwrap()).unwrap();
    tpm.provision(0x01C1_0003, &template).unwrap();
    // Longer than the certificate, as clouds provision it.
    tpm.provision(0x01C1_0002, &[&CERTIFICATE[..], &[0; 700]].concat()).unwrap();
    let keys = quotes_with_its_key(&tpm);
    assert_eq!(quotes_with_its_key(&tpm), keys, "the same key each time");
    let if_any = TpmConfig { ak: AkSource::ProvidedIfAny, ..config(&tpm) };
    assert_eq!(TpmPlatform::open(if_any).unwrap().tpm_keys().unwrap().unwrap(), keys);
    // A key of its own is another one.
    assert_ne!(platform(&tpm).tpm_keys().unwrap().unwrap().ak_public, keys.ak_public);
}

#[test]
fn a_persistent_key_is_used_where_it_is() {
    let tpm = Swtpm::create().unwrap();
    tpm.provision(0x01C1_01D0, &CERTIFICATE).unwrap();
    let public = {
        let mut connection = Connection::open(&config(&tpm).tcti).unwrap();
        let (handle, public) = connection.create_primary(Hierarchy::Owner, key::attestation_key()).unwrap();
        let persistent = PersistentTpmHandle::new(0x8100_0003).unwrap();
        connection
            .command("TPM2_EvictControl", Encrypt::NoneButAuthorize, |context| {
                context.evict_control(Provision::Owner, handle.into(), Persistent::Persistent(persistent))
            })
            .unwrap();
        key::marshal(&public).unwrap()
    };
    assert_eq!(quotes_with_its_key(&tpm).ak_public, public);
}

#[test]
fn without_a_certified_key_nothing_is_made_up() {
    let tpm = Swtpm::create().unwrap();
    let mut machine = provided(&tpm);
    assert!(!machine.has_provided_key().unwrap());
    let error = machine.tpm_keys().unwrap_err();
    assert!(matches!(error, PlatformError::Tpm(TpmError::Keys(KeysError::NoProvidedKey))), "{error:?}");
    let if_any = TpmConfig { ak: AkSource::ProvidedIfAny, ..config(&tpm) };
    let keys = TpmPlatform::open(if_any).unwrap().tpm_keys().unwrap().unwrap();
    assert!(matches!(keys.proof, AkProof::Credential { .. }), "one of its own, then");
    // A certificate alone is of no key.
    tpm.provision(0x01C1_0002, &CERTIFICATE).unwrap();
    let error = machine.tpm_keys().unwrap_err();
    assert!(matches!(error, PlatformError::Tpm(TpmError::Keys(KeysError::NoProvidedKey))), "{error:?}");
}
