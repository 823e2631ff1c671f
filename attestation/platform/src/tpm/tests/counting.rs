use super::*;
use crate::sealed::CounterBinding;

fn counter_of(sealed: &[u8]) -> CounterBinding {
    match sealed::decode(sealed).unwrap().body {
        SealedBody::Tpm(sealed) => sealed.binding.counter,
        SealedBody::Sim(_) | SealedBody::Snp(_) => panic!("not a TPM's"),
    }
}

fn fault(result: Result<Option<u64>, PlatformError>) -> CounterFault {
    match result {
        Err(PlatformError::Tpm(TpmError::Counter { what, .. })) => what,
        other => panic!("{other:?}"),
    }
}

/// AUTHWRITE, COUNTER, AUTHREAD, NO_DA: as this crate defines its counters.
const ATTRIBUTES: u32 = 1 << 2 | 1 << 4 | 1 << 18 | 1 << 25;
/// OWNERREAD.
const OWNER_READ: u32 = 1 << 17;

#[test]
fn it_counts_by_one_across_restarts_and_reboots() {
    let (mut tpm, root, sealed) = vault();
    let mut machine = platform(&tpm);
    assert!(matches!(machine.counter(), Err(PlatformError::NotUnsealed)));
    assert!(matches!(machine.increment(), Err(PlatformError::NotUnsealed)));
    machine.unseal(&sealed).unwrap();
    let start = machine.counter().unwrap().unwrap();
    assert_eq!(machine.increment().unwrap(), start + 1);
    assert_eq!(machine.counter().unwrap(), Some(start + 1));

    tpm.power_cycle().unwrap();
    tpm.boot().unwrap();
    let mut machine = platform(&tpm);
    machine.unseal(&sealed).unwrap();
    assert_eq!(machine.counter().unwrap(), Some(start + 1));

    let again = machine.seal(&root).unwrap();
    assert_eq!(counter_of(&again), counter_of(&sealed), "sealing again keeps the counter");
    assert_eq!(machine.increment().unwrap(), start + 2);
}

#[test]
fn two_vaults_on_one_machine_count_apart() {
    let (tpm, _, first) = vault();
    let second = platform(&tpm).seal(&random::key().unwrap()).unwrap();
    assert_ne!(counter_of(&first).index, counter_of(&second).index);
    let (mut a, mut b) = (platform(&tpm), platform(&tpm));
    a.unseal(&first).unwrap();
    b.unseal(&second).unwrap();
    let before = a.counter().unwrap();
    b.increment().unwrap();
    assert_eq!(a.counter().unwrap(), before);
}

#[test]
fn t15_a_deleted_counter_is_refused() {
    let (tpm, _, sealed) = vault();
    let mut machine = platform(&tpm);
    machine.unseal(&sealed).unwrap();
    tpm.undefine(counter_of(&sealed).index).unwrap();
    assert_eq!(fault(machine.counter()), CounterFault::Missing);
    assert_eq!(fault(machine.increment().map(Some)), CounterFault::Missing);
}

#[test]
fn t15_a_counter_defined_anew_is_refused() {
    let (tpm, _, sealed) = vault();
    let index = counter_of(&sealed).index;
    let mut machine = platform(&tpm);
    machine.unseal(&sealed).unwrap();
    tpm.undefine(index).unwrap();
    tpm.define_counter(index, ATTRIBUTES).unwrap();
    assert_eq!(fault(machine.counter()), CounterFault::Authorization);
    assert_eq!(fault(machine.increment().map(Some)), CounterFault::Authorization);
}

#[test]
fn t15_changed_attributes_are_refused() {
    let (tpm, _, sealed) = vault();
    let index = counter_of(&sealed).index;
    let mut machine = platform(&tpm);
    machine.unseal(&sealed).unwrap();
    tpm.undefine(index).unwrap();
    tpm.define_counter(index, ATTRIBUTES | OWNER_READ).unwrap();
    assert_eq!(fault(machine.counter()), CounterFault::Attributes);
}
