//! Collecting: everything that a machine can show, gathered for somebody else to judge.
//!
//! Trusted for: nothing; what is gathered is believed as far as hardware signed it, which its verifier finds out. What
//! one part lacks does not keep the others from being gathered: each [`Missing`] part says why, and what to do.
//! INVARIANT: nothing secret is gathered. What is, names the machine: chip id, certificates of its keys, what it booted.

mod detect;
mod missing;

use vouchsafe_attestation::statement::StatementPreimage;
use vouchsafe_protocol::anchors::SimulatedRoot;
use vouchsafe_protocol::evidence::{Evidence, Logs, PcrValue, SnpEndorsements, TpmKeys};
use vouchsafe_protocol::introduction::LogsWanted;

use crate::logs::{Log, LogError, LogPaths};
use crate::sim::SimPlatform;
use crate::snp::SnpPlatform;
use crate::snp::device::GuestDevice;
use crate::snp::tsm::ReportDirectory;
use crate::tpm::paravisor::SnpVtpmAttester;
use crate::tpm::{Bank, KeysError, TpmError, TpmPlatform};
use crate::{Attester, PlatformError};

pub use detect::{Candidates, Machine, NothingFound, detect};
pub use missing::{Missing, Part, Weight};

/// What to gather.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What the evidence is over: [`vouchsafe_attestation::statement::collection`] of a nonce.
    pub statement: &'a StatementPreimage,
    /// PCRs to quote, of the SHA-256 bank, ascending.
    pub pcrs: &'a [u8],
    /// Whether IMA's log is wanted.
    pub ima: bool,
}

/// What was gathered.
#[derive(Debug)]
pub struct Collected {
    /// The evidence, with the logs that there are.
    pub evidence: Evidence,
    /// For a TPM, its keys and their certificates.
    pub keys: Option<TpmKeys>,
    /// For a TPM, what it says that its banks hold. Nothing vouches for it.
    pub banks: Vec<Bank>,
    /// For a simulated machine, the root that vouches for it.
    pub simulated_root: Option<SimulatedRoot>,
    /// What could not be gathered.
    pub missing: Vec<Missing>,
}

/// Gathers from a machine with a TPM.
///
/// # Errors
/// [`PlatformError`] when there is no quote; everything else is [`Missing`] then.
pub fn from_tpm(machine: &mut TpmPlatform, request: Request<'_>) -> Result<Collected, PlatformError> {
    let Request { statement, pcrs, ima } = request;
    let mut missing = Vec::new();
    let mut evidence = machine.quote(statement, pcrs)?;
    let paths = machine.log_paths();
    // After quoting: see `LogPaths::read_ima`.
    evidence.logs = logs(paths, &evidence.pcrs, ima, &mut missing);
    let keys = match machine.tpm_keys() {
        Ok(keys) => keys,
        Err(PlatformError::Tpm(error @ TpmError::Keys(KeysError::NoEkCertificate))) => {
            missing.push(Missing::ek_certificate(error.into()));
            None
        }
        Err(error) => {
            missing.push(Missing::keys(error));
            None
        }
    };
    let banks = match machine.banks(pcrs) {
        Ok(banks) => banks,
        Err(error) => {
            missing.push(Missing::banks(error.into()));
            Vec::new()
        }
    };
    Ok(Collected { evidence: Evidence::Tpm(evidence), keys, banks, simulated_root: None, missing })
}

/// Gathers from an SEV-SNP guest.
///
/// # Errors
/// [`PlatformError`] when there is no report.
pub fn from_snp<Device: GuestDevice, Directory: ReportDirectory>(
    machine: &mut SnpPlatform<Device, Directory>,
    request: Request<'_>,
) -> Result<Collected, PlatformError> {
    let evidence = machine.found(&request.statement.snp_report_data())?;
    let missing = missing_endorsements(&evidence.endorsements);
    let evidence = Evidence::Snp(evidence);
    Ok(Collected { evidence, keys: None, banks: Vec::new(), simulated_root: None, missing })
}

/// Gathers from an SEV-SNP guest with a paravisor, whose virtual TPM keeps these logs.
///
/// # Errors
/// [`PlatformError`] when there is no report or no quote.
pub fn from_snp_vtpm(
    machine: &mut SnpVtpmAttester,
    paths: Option<&LogPaths>,
    request: Request<'_>,
) -> Result<Collected, PlatformError> {
    let Request { statement, pcrs, ima } = request;
    let mut evidence = machine.evidence(statement, pcrs, LogsWanted::default())?;
    let mut missing = Vec::new();
    if let Evidence::SnpVtpm(evidence) = &mut evidence {
        missing = missing_endorsements(&evidence.endorsements);
        evidence.logs = logs(paths, &evidence.pcrs, ima, &mut missing);
    }
    Ok(Collected { evidence, keys: None, banks: Vec::new(), simulated_root: None, missing })
}

/// Gathers from a simulated machine.
///
/// # Errors
/// [`PlatformError`] when there is no report.
pub fn from_sim(machine: &mut SimPlatform, request: Request<'_>) -> Result<Collected, PlatformError> {
    let evidence = machine.evidence(request.statement, &[], LogsWanted::default())?;
    let simulated_root = Some(machine.root());
    Ok(Collected { evidence, keys: None, banks: Vec::new(), simulated_root, missing: Vec::new() })
}

fn missing_endorsements(endorsements: &SnpEndorsements) -> Vec<Missing> {
    let SnpEndorsements { vek, intermediate, crl } = endorsements;
    let parts = [
        (vek.is_none(), Part::Vek),
        (intermediate.is_none(), Part::Intermediate),
        (crl.is_none(), Part::RevocationList),
    ];
    parts.into_iter().filter(|(missing, _)| *missing).map(|(_, part)| Missing::not_given(part)).collect()
}

/// The logs that there are. A boot event log that does not lead to the quoted values is kept, and said to be so.
fn logs(paths: Option<&LogPaths>, pcrs: &[PcrValue], ima: bool, missing: &mut Vec<Missing>) -> Logs {
    let Some(paths) = paths else {
        let wanted = [(true, Log::Boot), (ima, Log::Ima)].into_iter().filter(|(wanted, _)| *wanted);
        missing.extend(wanted.map(|(_, log)| Missing::log(LogError::other_tpm(log))));
        return Logs::default();
    };
    let boot = paths.read_boot().map_err(|error| missing.push(Missing::log(error))).ok();
    if let Some(Err(error)) = boot.as_ref().map(|log| paths.check_boot(log, pcrs)) {
        missing.push(Missing::replay(error));
    }
    let ima = ima.then(|| paths.read_ima(pcrs).map_err(|error| missing.push(Missing::log(error))).ok());
    Logs { boot, ima: ima.flatten() }
}

#[cfg(test)]
mod tests;
