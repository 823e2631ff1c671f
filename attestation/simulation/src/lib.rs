//! A test PKI in AMD's formats, and reports signed by its chips, for a vault that is initialised as simulated.
//!
//! Trusted for nothing: whoever holds these keys can say anything. The formats are the real ones (RSASSA-PSS
//! chain, AMD's extension OIDs, 1,184-byte reports with little-endian signatures), so that simulated evidence
//! goes through the same parser and verifier as real evidence; only the anchor differs. Written without a line of
//! `vouchsafe-attestation`, so that a mistake there does not hide here.

mod authority;
mod certificate;
mod chip;
mod crl;
pub mod hcl;
mod random;
mod report;
pub mod tpm;

pub use authority::{ARK_SERIAL, ASK_SERIAL, ASVK_SERIAL, IntermediateSpec, PkiFiles, SimulatedPki};
pub use certificate::{AmdExtensionValue, Validity, VekSpec};
pub use chip::{ChipFiles, SimulatedChip};
pub use crl::{Critical, CrlSigner, CrlSpec, NamedAlgorithm};
pub use report::{REPORT_LEN, ReportBuilder, field};

/// Why a simulated key, certificate or report could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SimulationError {
    /// A certificate could not be encoded or read.
    #[error("simulated certificate cannot be encoded or read")]
    Certificate,
    /// A key could not be made, read or used.
    #[error("simulated key cannot be made or read")]
    Key,
    /// The system has no randomness.
    #[error("no randomness")]
    Random,
}

/// Which kind of endorsement key signs reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VekKind {
    /// Of one chip.
    Vcek,
    /// Of a cloud provider.
    Vlek,
}

#[cfg(test)]
mod tests {
    use vouchsafe_protocol::policy::{LaunchDigest, Product, Tcb};

    use super::*;

    fn evidence(seed: u8) -> Vec<Vec<u8>> {
        let pki = SimulatedPki::from_seed(Product::Genoa, [seed; 32]).unwrap();
        let chip = pki.chip(&VekSpec::vcek(Product::Genoa, Tcb::ZERO, [7; 64])).unwrap();
        let evidence = chip.attest(LaunchDigest([1; 48]), &[2; 64]).unwrap();
        let root = pki.root();
        vec![root.ark, root.ask, pki.asvk().to_vec(), chip.vek().to_vec(), evidence.report]
    }

    #[test]
    fn one_seed_gives_the_same_bytes_and_another_seed_others() {
        let one = evidence(1);
        assert_eq!(one, evidence(1));
        assert!(one.iter().zip(evidence(2)).all(|(one, other)| *one != other));
    }
}
