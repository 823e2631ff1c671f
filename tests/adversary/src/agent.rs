//! The honest part: a machine with a TPM, and an introduction through the client library.

use anyhow::{Context as _, Result};
use vouchsafe_client::{Endpoint, Expect, IntroduceError, Introduced, Machine, Pin, introduce};
use vouchsafe_platform::Attester;
use vouchsafe_platform::tpm::{TpmConfig, TpmPlatform};
use vouchsafe_protocol::refusal::Refusal;

use crate::Victim;

/// The machine's TPM.
pub(crate) fn tpm(victim: &Victim) -> Result<TpmPlatform> {
    let config = TpmConfig { ak_file: Some(victim.ak_file.clone()), ..TpmConfig::new(victim.tcti.clone()) };
    TpmPlatform::open(config).context("no TPM")
}

/// Introduces `machine`, through `address`. The inner error is the vault's refusal.
pub(crate) async fn introduce_through(
    victim: &Victim,
    address: &str,
    machine: impl Attester + 'static,
) -> Result<Result<Introduced, Refusal>> {
    let pin = Pin::load(&victim.pin)?;
    let machine = Machine::new(machine);
    match introduce(&Endpoint::new(address), Expect::Pinned(&pin), &victim.role, &machine).await {
        Ok(introduced) => Ok(Ok(introduced)),
        Err(IntroduceError::Refused(refusal)) => Ok(Err(refusal)),
        Err(error) => Err(error.into()),
    }
}
