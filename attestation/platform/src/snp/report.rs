//! The few fields of an own report that sealing needs (AMD 56860, revision 1.58, table 23). Judging reports is
//! the verifier's.

use vouchsafe_crypto::digest;

use super::SnpError;
use crate::sealed::SnpBinding;

/// Length of a report in bytes.
pub(super) const REPORT_LEN: usize = 1184;

/// Which key signed a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SigningKey {
    Vcek,
    Vlek,
}

/// A report of the right length.
pub(super) struct RawReport(Box<[u8; REPORT_LEN]>);

impl RawReport {
    pub(super) fn new(bytes: Vec<u8>) -> Result<Self, SnpError> {
        let len = bytes.len();
        bytes.try_into().map(Self).map_err(|_| SnpError::ReportLength { len })
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0.to_vec()
    }

    /// SIGNING_KEY: bits 2 to 4 at 0x48. Anything but VLEK is looked up as a VCEK and judged by the verifier.
    pub(super) fn signing_key(&self) -> SigningKey {
        match u32::from_le_bytes(self.field(0x48)) >> 2 & 0b111 {
            1 => SigningKey::Vlek,
            _ => SigningKey::Vcek,
        }
    }

    pub(super) fn binding(&self) -> SnpBinding {
        SnpBinding {
            chip: digest::sha256(&[&self.field::<64>(0x1A0)]),
            measurement: digest::sha256(&[&self.field::<48>(0x90)]),
            guest_svn: u32::from_le_bytes(self.field(0x04)),
            // COMMITTED_TCB: the highest that MSG_KEY_REQ accepts, and one that firmware cannot go below again.
            tcb_version: u64::from_le_bytes(self.field(0x1E0)),
            vmpl: u32::from_le_bytes(self.field(0x30)),
        }
    }

    /// Every offset above lies within the report; one beyond it would read as zeros.
    fn field<const N: usize>(&self, offset: usize) -> [u8; N] {
        let mut field = [0; N];
        for (to, from) in field.iter_mut().zip(self.0.iter().skip(offset)) {
            *to = *from;
        }
        field
    }
}
