//! TPMS_ATTEST of a quote (Part 2, section 10.12).

use vouchsafe_protocol::evidence::PcrValue;

use super::{ALG_SHA256, TpmKeyKind, sized};

/// TPMS_ATTEST before it is encoded. Starts right; every field can be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuoteBuilder {
    /// magic.
    pub magic: u32,
    /// type.
    pub kind: u16,
    /// qualifiedSigner: a name.
    pub signer: Vec<u8>,
    /// extraData.
    pub extra_data: Vec<u8>,
    /// clock, in milliseconds.
    pub clock: u64,
    /// resetCount.
    pub reset_count: u32,
    /// restartCount.
    pub restart_count: u32,
    /// safe: 0 or 1.
    pub safe: u8,
    /// firmwareVersion.
    pub firmware_version: u64,
    /// Banks and their bitmaps.
    pub selection: Vec<(u16, Vec<u8>)>,
    /// pcrDigest.
    pub pcr_digest: Vec<u8>,
}

impl QuoteBuilder {
    /// A right one over the SHA-256 values of PCRs (0 to 23, ascending) by a key of this kind, whose hash makes the
    /// digest.
    #[must_use]
    pub fn over(kind: TpmKeyKind, pcrs: &[PcrValue], extra_data: &[u8]) -> Self {
        let mut bitmap = vec![0u8; 3];
        for pcr in pcrs {
            if let Some(byte) = bitmap.get_mut(usize::from(pcr.index / 8)) {
                *byte |= 1 << (pcr.index % 8);
            }
        }
        let values: Vec<&[u8]> = pcrs.iter().map(|pcr| pcr.value.as_slice()).collect();
        Self {
            magic: 0xff54_4347,
            kind: 0x8018,
            signer: vec![0x00, 0x0b, 1, 2, 3],
            extra_data: extra_data.to_vec(),
            clock: 77,
            reset_count: 5,
            restart_count: 6,
            safe: 1,
            firmware_version: 8,
            selection: vec![(ALG_SHA256, bitmap)],
            pcr_digest: kind.digest(&values),
        }
    }

    /// The bytes that a TPM signs.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Self { magic, kind, signer, extra_data, clock, reset_count, restart_count, .. } = self;
        let mut bytes = magic.to_be_bytes().to_vec();
        bytes.extend(kind.to_be_bytes());
        bytes.extend(sized(signer));
        bytes.extend(sized(extra_data));
        bytes.extend(clock.to_be_bytes());
        bytes.extend(reset_count.to_be_bytes());
        bytes.extend(restart_count.to_be_bytes());
        bytes.push(self.safe);
        bytes.extend(self.firmware_version.to_be_bytes());
        bytes.extend(u32::try_from(self.selection.len()).unwrap_or(u32::MAX).to_be_bytes());
        for (bank, bitmap) in &self.selection {
            bytes.extend(bank.to_be_bytes());
            bytes.push(u8::try_from(bitmap.len()).unwrap_or(u8::MAX));
            bytes.extend(bitmap);
        }
        bytes.extend(sized(&self.pcr_digest));
        bytes
    }
}
