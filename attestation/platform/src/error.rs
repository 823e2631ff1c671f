//! Why the machine could not do it.

use crate::entropy::EntropyError;
use crate::logs::LogError;
use crate::sealed::SealedError;
use crate::sim::SimError;
use crate::snp::SnpError;
use crate::tpm::TpmError;
use crate::tpm::paravisor::ParavisorError;

/// Why the machine could not do it.
#[derive(Debug, thiserror::Error)]
pub enum PlatformError {
    /// The machine's generator is stuck (H8).
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// A log that explains PCRs.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The machine has no monotonic counter.
    #[error("this machine has no monotonic counter")]
    NoCounter,
    /// The kernel's generator failed.
    #[error("the kernel's random generator failed")]
    NoRandomness,
    /// The machine has no TPM.
    #[error("this machine has no TPM, so it cannot open a TPM credential")]
    NoTpm,
    /// The machine shows evidence, and no vault can be sealed to it in this way.
    #[error(
        "a vault cannot be sealed to a paravisor's report; use the platform 'tpm' for a vault on this machine"
    )]
    NotForVaults,
    /// A counter was asked for before a root key was sealed or unsealed.
    #[error("the counter belongs to a sealed root key; seal or unseal one first")]
    NotUnsealed,
    /// The paravisor of this machine.
    #[error(transparent)]
    Paravisor(#[from] ParavisorError),
    /// The sealed bytes are damaged or of another kind of platform.
    #[error(transparent)]
    Sealed(#[from] SealedError),
    /// The simulated machine.
    #[error(transparent)]
    Sim(#[from] SimError),
    /// The SEV-SNP guest.
    #[error(transparent)]
    Snp(#[from] SnpError),
    /// The TPM.
    #[error(transparent)]
    Tpm(#[from] TpmError),
}
