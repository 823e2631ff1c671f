//! Which platform: one value from flags to a platform.

use crate::sim::{SimConfig, SimPlatform};
use crate::snp::{SnpConfig, SnpPlatform};
use crate::tpm::paravisor::{SnpVtpmAttester, SnpVtpmConfig};
use crate::tpm::{TpmConfig, TpmPlatform};
use crate::{Attester, Platform, PlatformError, PlatformKind};

/// Which platform, and how to use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlatformConfig {
    /// A simulated machine.
    Sim(SimConfig),
    /// An SEV-SNP guest.
    Snp(SnpConfig),
    /// An SEV-SNP guest with a paravisor that runs its virtual TPM (Azure). For agents.
    SnpVtpm(SnpVtpmConfig),
    /// A machine with a TPM.
    Tpm(TpmConfig),
}

impl PlatformConfig {
    /// The kind.
    #[must_use]
    pub fn kind(&self) -> PlatformKind {
        match self {
            Self::Sim(_) => PlatformKind::Sim,
            Self::Snp(_) => PlatformKind::Snp,
            Self::SnpVtpm(_) | Self::Tpm(_) => PlatformKind::Tpm,
        }
    }
}

/// Opens the machine for a vault.
///
/// # Errors
/// [`PlatformError`]; its message says what to do.
pub fn open(config: &PlatformConfig) -> Result<Box<dyn Platform>, PlatformError> {
    Ok(match config {
        PlatformConfig::Sim(config) => Box::new(SimPlatform::open(config)?),
        PlatformConfig::Snp(config) => Box::new(SnpPlatform::open(config.clone())?),
        PlatformConfig::SnpVtpm(_) => return Err(PlatformError::NotForVaults),
        PlatformConfig::Tpm(config) => Box::new(TpmPlatform::open(config.clone())?),
    })
}

/// Opens the machine for an agent, which only attests.
///
/// # Errors
/// As for [`open`].
pub fn open_attester(config: &PlatformConfig) -> Result<Box<dyn Attester>, PlatformError> {
    match config {
        PlatformConfig::SnpVtpm(config) => Ok(Box::new(SnpVtpmAttester::open(config.clone())?)),
        PlatformConfig::Sim(_) | PlatformConfig::Snp(_) | PlatformConfig::Tpm(_) => Ok(open(config)?),
    }
}
