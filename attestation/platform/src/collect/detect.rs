//! What kind of machine this is, by trying.

use std::io;

use super::{Collected, Request, from_sim, from_snp, from_snp_vtpm, from_tpm};
use crate::PlatformError;
use crate::logs::LogPaths;
use crate::sim::SimPlatform;
use crate::snp::{SnpConfig, SnpError, SnpPlatform};
use crate::tpm::paravisor::{ParavisorError, SnpVtpmAttester, SnpVtpmConfig};
use crate::tpm::{ConnectError, TpmConfig, TpmError, TpmPlatform};

/// A machine to collect from.
pub enum Machine {
    /// A simulated one.
    Sim(SimPlatform),
    /// An SEV-SNP guest.
    Snp(SnpPlatform),
    /// An SEV-SNP guest with a paravisor.
    SnpVtpm(SnpVtpmAttester, Option<LogPaths>),
    /// A machine with a TPM.
    Tpm(TpmPlatform),
}

impl Machine {
    /// Gathers all that it shows.
    ///
    /// # Errors
    /// [`PlatformError`] when there is not even a report or a quote.
    pub fn collect(&mut self, request: Request<'_>) -> Result<Collected, PlatformError> {
        match self {
            Self::Sim(machine) => from_sim(machine, request),
            Self::Snp(machine) => from_snp(machine, request),
            Self::SnpVtpm(machine, logs) => from_snp_vtpm(machine, logs.as_ref(), request),
            Self::Tpm(machine) => from_tpm(machine, request),
        }
    }
}

/// Why there is no machine to collect from.
#[derive(Debug, thiserror::Error)]
pub enum NothingFound {
    /// There is a paravisor that cannot be used, or a certificate file for it.
    #[error("this machine has a paravisor, but its virtual TPM cannot be used")]
    ParavisorUnusable(#[source] PlatformError),
    /// There is an SEV-SNP guest device that this user may not use. A TPM beside it says less, so it is not taken in its
    /// place unless asked for.
    #[error("this is an SEV-SNP guest, but its device cannot be used")]
    SnpUnusable(#[source] SnpError),
    /// Neither an SEV-SNP guest device nor a TPM.
    #[error("neither an SEV-SNP guest device ({snp}) nor a usable TPM")]
    Nothing {
        /// Why not SNP.
        snp: SnpError,
        /// Why not a TPM.
        #[source]
        tpm: TpmError,
    },
}

/// How each kind of machine would be used, if it is one.
#[derive(Clone, Debug)]
pub struct Candidates {
    /// As an SEV-SNP guest.
    pub snp: SnpConfig,
    /// As one with a paravisor.
    pub snp_vtpm: SnpVtpmConfig,
    /// As a machine with a TPM.
    pub tpm: TpmConfig,
}

/// The machine that says most: a paravisor's report with the quote of its TPM, then an SEV-SNP guest's own report, then a
/// TPM's quote.
///
/// # Errors
/// [`NothingFound`].
pub fn detect(candidates: Candidates) -> Result<Machine, NothingFound> {
    let Candidates { snp, snp_vtpm, tpm } = candidates;
    let logs = snp_vtpm.logs.clone();
    match SnpVtpmAttester::open(snp_vtpm) {
        Ok(machine) => return Ok(Machine::SnpVtpm(machine, logs)),
        // No TPM, or an ordinary one.
        Err(PlatformError::Paravisor(ParavisorError::NoReport) | PlatformError::Tpm(_)) => {}
        Err(error) => return Err(NothingFound::ParavisorUnusable(error)),
    }
    let snp = match SnpPlatform::open(snp) {
        Ok(snp) => return Ok(Machine::Snp(snp)),
        Err(error @ SnpError::NoDevice { .. }) => error,
        Err(error) => return Err(NothingFound::SnpUnusable(error)),
    };
    match TpmPlatform::open(tpm) {
        Ok(tpm) => Ok(Machine::Tpm(tpm)),
        Err(tpm) => Err(NothingFound::Nothing { snp, tpm }),
    }
}

impl NothingFound {
    /// Whether this user lacks a permission.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        match self {
            Self::SnpUnusable(SnpError::Tsm { source, .. }) => {
                source.kind() == io::ErrorKind::PermissionDenied
            }
            Self::Nothing { tpm: TpmError::Connect(ConnectError::Denied { .. }), .. } => true,
            Self::ParavisorUnusable(_) | Self::SnpUnusable(_) | Self::Nothing { .. } => false,
        }
    }
}
