//! The machine below: produce evidence, seal a root key, count epochs.
//!
//! Trusted for: handing keys to the boundary's own hardware and nothing else.
//! Not trusted for: judging evidence; that is the verifier's, in `vouchsafe-attestation`.
//! Left to the caller: what is sealed, and comparing the counter with the journal. Every call here blocks;
//! asynchronous callers use a thread that may.

pub mod collect;
mod config;
mod entropy;
mod error;
mod files;
mod logs;
mod machine_seal;
pub mod sealed;
pub mod sim;
pub mod snp;
pub mod tpm;

use vouchsafe_attestation::statement::StatementPreimage;
use vouchsafe_crypto::secret::Key32;
use vouchsafe_protocol::evidence::{CredentialBlob, Evidence, EvidenceKind, TpmKeys};
use vouchsafe_protocol::introduction::LogsWanted;

pub use config::{PlatformConfig, open, open_attester};
pub use entropy::{EntropyError, EntropyWatch};
pub use error::PlatformError;
pub use logs::{Log, LogError, LogFault, LogPaths};

/// Produces evidence about the machine it runs on (the Attester of RFC 9334).
pub trait Attester: Send {
    /// What this machine is.
    fn kind(&self) -> PlatformKind;

    /// What this machine shows.
    fn evidence_kind(&self) -> EvidenceKind {
        match self.kind() {
            PlatformKind::Sim | PlatformKind::Snp => EvidenceKind::Snp,
            PlatformKind::Tpm => EvidenceKind::Tpm,
        }
    }

    /// The public keys a verifier needs to make a challenge for this machine's TPM; `None` where there is none.
    ///
    /// # Errors
    /// [`PlatformError`] when the TPM cannot be reached or has no endorsement certificate.
    fn tpm_keys(&mut self) -> Result<Option<TpmKeys>, PlatformError> {
        Ok(None)
    }

    /// Opens the verifier's credential with the TPM (`TPM2_ActivateCredential`); 32 bytes.
    ///
    /// # Errors
    /// [`PlatformError::NoTpm`], or why the TPM does not open it.
    fn activate(&mut self, _blob: &CredentialBlob) -> Result<Key32, PlatformError> {
        Err(PlatformError::NoTpm)
    }

    /// Evidence over a statement. `pcrs` is the selection of the SHA-256 bank to quote, `logs` are those that
    /// the verifier looks at; without a TPM neither is used.
    ///
    /// # Errors
    /// [`PlatformError`] when the machine does not give any, or not a log that is wanted.
    fn evidence(
        &mut self,
        statement: &StatementPreimage,
        pcrs: &[u8],
        logs: LogsWanted,
    ) -> Result<Evidence, PlatformError>;
}

/// A machine that can hold a vault.
pub trait Platform: Attester {
    /// Seals the root key to this machine and what it runs, and sets up its counter where there is one.
    /// Sealing again keeps the counter.
    ///
    /// # Errors
    /// [`PlatformError`] by what failed; nothing was sealed then.
    fn seal(&mut self, root: &Key32) -> Result<Vec<u8>, PlatformError>;

    /// Gives the root key back to the same machine running the same code.
    ///
    /// # Errors
    /// [`PlatformError`], one variant each for another machine, other code, and damaged or foreign bytes.
    fn unseal(&mut self, sealed: &[u8]) -> Result<Key32, PlatformError>;

    /// The counter that belongs to the sealed root; `None` where the machine has none (rung R0).
    /// Only after `seal` or `unseal`.
    ///
    /// # Errors
    /// [`PlatformError`] when it cannot be read or is no longer the one that was sealed.
    fn counter(&mut self) -> Result<Option<u64>, PlatformError>;

    /// Increments that counter by one and returns its new value.
    ///
    /// # Errors
    /// As for [`Platform::counter`], and [`PlatformError::NoCounter`].
    fn increment(&mut self) -> Result<u64, PlatformError>;

    /// Fills `out` from the machine's own generator, to be mixed with the kernel's.
    ///
    /// # Errors
    /// [`PlatformError::Entropy`] for output that no generator makes; the caller stops (H8).
    fn entropy(&mut self, out: &mut [u8]) -> Result<(), PlatformError>;
}

/// Kinds of platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlatformKind {
    /// Simulated SEV-SNP.
    Sim,
    /// SEV-SNP.
    Snp,
    /// TPM 2.0.
    Tpm,
}
