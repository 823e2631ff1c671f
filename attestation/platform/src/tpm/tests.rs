//! Everything against real software TPMs; nothing is faked but the host in between.

mod attesting;
mod bus;
mod connecting;
mod counting;
mod paravisor;
mod provided;
mod sealing;

use vouchsafe_attestation::statement::{StatementPreimage, introduction};
use vouchsafe_crypto::random;
use vouchsafe_protocol::id::{AnchorClass, VaultId};
use vouchsafe_swtpm::Swtpm;

use super::*;

fn config(tpm: &Swtpm) -> TpmConfig {
    TpmConfig::new(tpm.tcti().parse().unwrap())
}

fn platform(tpm: &Swtpm) -> TpmPlatform {
    TpmPlatform::open(config(tpm)).unwrap()
}

fn statement(challenge: &[u8]) -> StatementPreimage {
    let vault = VaultId { class: AnchorClass::Simulated, digest: [7; 32] };
    introduction(challenge, &[1; 32], b"identity", &"role".parse().unwrap(), &vault)
}

/// A machine with a vault: its root key and what the host stores of it.
fn vault() -> (Swtpm, Key32, Vec<u8>) {
    let tpm = Swtpm::create().unwrap();
    let root = random::key().unwrap();
    let sealed = platform(&tpm).seal(&root).unwrap();
    (tpm, root, sealed)
}

fn unseal_error(tpm: &Swtpm, sealed: &[u8]) -> UnsealError {
    match platform(tpm).unseal(sealed) {
        Err(PlatformError::Tpm(TpmError::Unseal(error))) => error,
        Err(error) => panic!("another error: {error:?}"),
        Ok(_) => panic!("the root key came back"),
    }
}
