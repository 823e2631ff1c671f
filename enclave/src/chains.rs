//! Verified chains, shared by introductions that run at once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use vouchsafe_attestation::ChainCache;
use vouchsafe_protocol::evidence::Evidence;

/// Caches, each with its own lock, so that machines wait for others of their share alone. A power of two.
const SHARES: usize = 8;
/// Offset of CHIP_ID in a report (AMD 56860, table 23), and of the report in an HCL report.
const CHIP_ID: usize = 0x1A0;
const HCL_REPORT: usize = 32;

/// Chains of VEKs that were verified, by chip.
#[derive(Default)]
pub(crate) struct Chains([Mutex<ChainCache>; SHARES]);

impl Chains {
    /// The cache for some evidence; which one is only a matter of speed. Nobody waits for quotes of a TPM: they have no
    /// chain to remember.
    pub fn of(&self, evidence: &Evidence) -> Option<MutexGuard<'_, ChainCache>> {
        let first = match evidence {
            Evidence::Snp(snp) => snp.report.get(CHIP_ID),
            Evidence::SnpVtpm(vtpm) => vtpm.hcl_report.get(HCL_REPORT + CHIP_ID),
            Evidence::Tpm(_) => return None,
        };
        let share = usize::from(first.copied().unwrap_or_default()) % SHARES;
        Some(self.0.get(share)?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use vouchsafe_protocol::evidence::{SnpEndorsements, SnpEvidence};

    use super::*;

    fn report(chip: u8) -> Evidence {
        let mut report = vec![0; 1184];
        report[CHIP_ID] = chip;
        Evidence::Snp(SnpEvidence { report, endorsements: SnpEndorsements::default() })
    }

    #[test]
    fn v10_machines_wait_only_for_others_of_their_share() {
        let chains = Chains::default();
        let held = chains.of(&report(1)).unwrap();
        for chip in [0, 2, 255] {
            assert!(chains.of(&report(chip)).is_some(), "chip {chip}");
        }
        drop(held);
        assert!(chains.of(&report(1)).is_some() && chains.of(&report(9)).is_some());
    }
}
