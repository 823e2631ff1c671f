use super::*;
use crate::sealed::TpmSealed;

fn decode(sealed: &[u8]) -> TpmSealed {
    match sealed::decode(sealed).unwrap().body {
        SealedBody::Tpm(sealed) => sealed,
        SealedBody::Sim(_) | SealedBody::Snp(_) => panic!("not a TPM's"),
    }
}

/// The same sealed root with one thing changed.
fn changed(sealed: &[u8], change: impl FnOnce(&mut TpmSealed)) -> Vec<u8> {
    let mut sealed = decode(sealed);
    change(&mut sealed);
    sealed::encode(SealedBody::Tpm(sealed)).unwrap()
}

#[test]
fn the_root_key_comes_back_after_a_reboot() {
    let (mut tpm, root, sealed) = vault();
    assert!(platform(&tpm).unseal(&sealed).unwrap().ct_eq(root.expose_secret()));
    tpm.power_cycle().unwrap();
    tpm.boot().unwrap();
    assert!(platform(&tpm).unseal(&sealed).unwrap().ct_eq(root.expose_secret()));
}

#[test]
fn changed_pcrs_are_refused_and_named() {
    let (mut tpm, root, sealed) = vault();
    tpm.extend(7, [1; 32]).unwrap();
    let error = unseal_error(&tpm, &sealed);
    assert_eq!(error, UnsealError::PcrsChanged(ChangedPcrs(vec![7])));
    assert!(error.to_string().ends_with("PCR 7 changed"), "{error}");

    tpm.extend(2, [1; 32]).unwrap();
    let error = unseal_error(&tpm, &sealed);
    assert!(error.to_string().ends_with("PCR 2, 7 changed"), "{error}");

    tpm.extend(9, [1; 32]).unwrap();
    tpm.power_cycle().unwrap();
    assert_eq!(unseal_error(&tpm, &sealed), UnsealError::PcrsChanged(ChangedPcrs(vec![0, 2, 4, 7])));
    tpm.boot().unwrap();
    tpm.extend(9, [2; 32]).unwrap();
    assert!(platform(&tpm).unseal(&sealed).unwrap().ct_eq(root.expose_secret()), "PCR 9 is not selected");
}

#[test]
fn the_configured_pcrs_are_the_ones_that_count() {
    let tpm = Swtpm::create().unwrap();
    let config = TpmConfig { seal_pcrs: vec![9], ..config(&tpm) };
    let sealed = TpmPlatform::open(config).unwrap().seal(&random::key().unwrap()).unwrap();
    tpm.extend(7, [1; 32]).unwrap();
    platform(&tpm).unseal(&sealed).unwrap();
    tpm.extend(9, [1; 32]).unwrap();
    assert_eq!(unseal_error(&tpm, &sealed), UnsealError::PcrsChanged(ChangedPcrs(vec![9])));
}

#[test]
fn another_tpm_is_refused_as_such() {
    let (_tpm, _, sealed) = vault();
    let other = Swtpm::create().unwrap();
    assert_eq!(unseal_error(&other, &sealed), UnsealError::OtherTpm);
}

#[test]
fn t16_a_cleared_tpm_is_not_a_new_vault() {
    let (tpm, _, sealed) = vault();
    tpm.clear().unwrap();
    let error = unseal_error(&tpm, &sealed);
    assert_eq!(error, UnsealError::Cleared);
    assert!(error.to_string().contains("the vault is not new"), "{error}");
}

#[test]
fn t15_what_belongs_to_the_root_key_cannot_be_exchanged() {
    let (tpm, _, sealed) = vault();
    let other = decode(&platform(&tpm).seal(&random::key().unwrap()).unwrap());
    let changes: [(&str, Vec<u8>); 5] = [
        ("counter", changed(&sealed, |s| s.binding.counter = other.binding.counter)),
        ("attestation key", changed(&sealed, |s| s.binding.ak = other.binding.ak.clone())),
        ("PCR value", changed(&sealed, |s| s.binding.pcrs[0].value[0] ^= 1)),
        ("PCR selection", changed(&sealed, |s| s.binding.pcrs.truncate(1))),
        ("all of it", changed(&sealed, |s| s.binding = other.binding.clone())),
    ];
    for (what, sealed) in changes {
        assert_eq!(unseal_error(&tpm, &sealed), UnsealError::Altered, "{what}");
    }
    let unordered = changed(&sealed, |s| s.binding.pcrs.reverse());
    assert_eq!(unseal_error(&tpm, &unordered), UnsealError::Altered);
}

#[test]
fn t17_another_storage_root_is_refused() {
    let (tpm, _, sealed) = vault();
    let sealed = changed(&sealed, |s| s.binding.srk[0] ^= 1);
    assert_eq!(unseal_error(&tpm, &sealed), UnsealError::Cleared);
    let sealed = changed(&sealed, |s| s.binding.ek[0] ^= 1);
    assert_eq!(unseal_error(&tpm, &sealed), UnsealError::OtherTpm);
}

#[test]
fn a_damaged_object_is_refused() {
    let (tpm, _, sealed) = vault();
    let sealed = changed(&sealed, |s| *s.object.private.last_mut().unwrap() ^= 1);
    assert_eq!(unseal_error(&tpm, &sealed), UnsealError::Damaged);
}

#[test]
fn the_sealed_root_of_another_kind_of_platform_is_refused() {
    let (tpm, _, _) = vault();
    let sim = crate::sealed::MachineSealed {
        binding: crate::sealed::SimBinding { chip: [0; 32], measurement: [0; 32] },
        salt: [0; 32],
        ciphertext: vec![0; 48],
    };
    let sealed = sealed::encode(SealedBody::Sim(sim)).unwrap();
    let error = platform(&tpm).unseal(&sealed).err().unwrap();
    assert!(matches!(error, PlatformError::Sealed(SealedError::OtherKind)), "{error:?}");
}

#[test]
fn the_object_opens_by_its_policy_alone() {
    let (tpm, _, sealed) = vault();
    let mut connection = Connection::open(&config(&tpm).tcti).unwrap();
    let object = key::load(&mut connection, &decode(&sealed).object).unwrap();
    let by_auth = connection.command("TPM2_Unseal", Encrypt::Answer, |context| context.unseal(object.into()));
    assert!(by_auth.is_err(), "an empty authorisation value does not open it");
    let session = connection.policy_session(Encrypt::Answer).unwrap();
    let by_empty_policy = connection.bare("TPM2_Unseal", |context| {
        context.execute_with_session(Some(session.into()), |context| context.unseal(object.into()))
    });
    assert!(by_empty_policy.is_err(), "a policy without PCRs does not open it");
}
