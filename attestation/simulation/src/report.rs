//! Reports: 1,184 bytes, little-endian (AMD 56860, revision 1.58, table 23).

use vouchsafe_protocol::policy::{LaunchDigest, Product, Tcb};

use crate::chip::SimulatedChip;
use crate::{SimulationError, VekKind};

/// Length of a report in bytes.
pub const REPORT_LEN: usize = 0x4a0;
/// Bytes under the signature.
const SIGNED_LEN: usize = 0x2a0;

/// Offsets of fields, for [`ReportBuilder::set`].
#[expect(missing_docs, reason = "named as in AMD 56860, table 23")]
pub mod field {
    pub const VERSION: usize = 0x000;
    pub const GUEST_SVN: usize = 0x004;
    pub const POLICY: usize = 0x008;
    pub const FAMILY_ID: usize = 0x010;
    pub const IMAGE_ID: usize = 0x020;
    pub const VMPL: usize = 0x030;
    pub const SIGNATURE_ALGO: usize = 0x034;
    pub const CURRENT_TCB: usize = 0x038;
    pub const PLATFORM_INFO: usize = 0x040;
    pub const FLAGS: usize = 0x048;
    pub const REPORT_DATA: usize = 0x050;
    pub const MEASUREMENT: usize = 0x090;
    pub const HOST_DATA: usize = 0x0c0;
    pub const ID_KEY_DIGEST: usize = 0x0e0;
    pub const AUTHOR_KEY_DIGEST: usize = 0x110;
    pub const REPORT_ID: usize = 0x140;
    pub const REPORT_ID_MA: usize = 0x160;
    pub const REPORTED_TCB: usize = 0x180;
    pub const CPUID: usize = 0x188;
    pub const CHIP_ID: usize = 0x1a0;
    pub const COMMITTED_TCB: usize = 0x1e0;
    pub const CURRENT_VERSION: usize = 0x1e8;
    pub const COMMITTED_VERSION: usize = 0x1ec;
    pub const LAUNCH_TCB: usize = 0x1f0;
    pub const LAUNCH_MIT_VECTOR: usize = 0x1f8;
    pub const CURRENT_MIT_VECTOR: usize = 0x200;
}

/// A report before it is signed. Starts right for its chip; every field can be changed.
#[derive(Clone)]
pub struct ReportBuilder {
    bytes: [u8; SIGNED_LEN],
    product: Product,
}

impl ReportBuilder {
    pub(crate) fn new(chip: &SimulatedChip) -> Self {
        let tcb = tcb_bytes(chip.product, chip.tcb);
        let cpuid: [u8; 3] = match chip.product {
            Product::Milan => [0x19, 0x01, 0x01],
            Product::Genoa => [0x19, 0x11, 0x01],
            Product::Turin => [0x1a, 0x02, 0x01],
        };
        let signing_key: u32 = match chip.kind {
            VekKind::Vcek => 0,
            VekKind::Vlek => 1,
        };
        Self { bytes: [0; SIGNED_LEN], product: chip.product }
            .set(field::VERSION, &3u32.to_le_bytes())
            // SMT allowed, and the bit that must be one.
            .set(field::POLICY, &0x3_0000u64.to_le_bytes())
            .set(field::SIGNATURE_ALGO, &1u32.to_le_bytes())
            // SMT, ECC, alias check complete.
            .set(field::PLATFORM_INFO, &0x25u64.to_le_bytes())
            .set(field::FLAGS, &(signing_key << 2).to_le_bytes())
            .set(field::CURRENT_TCB, &tcb)
            .set(field::REPORTED_TCB, &tcb)
            .set(field::COMMITTED_TCB, &tcb)
            .set(field::LAUNCH_TCB, &tcb)
            // Of a guest without a migration agent.
            .set(field::REPORT_ID_MA, &[0xff; 32])
            .set(field::CPUID, &cpuid)
            .set(field::CHIP_ID, &chip.chip_id)
            .set(field::CURRENT_VERSION, &[29, 55, 1])
            .set(field::COMMITTED_VERSION, &[29, 55, 1])
    }

    /// REPORT_DATA.
    #[must_use]
    pub fn report_data(self, bytes: &[u8; 64]) -> Self {
        self.set(field::REPORT_DATA, bytes)
    }

    /// MEASUREMENT.
    #[must_use]
    pub fn measurement(self, digest: LaunchDigest) -> Self {
        self.set(field::MEASUREMENT, &digest.0)
    }

    /// HOST_DATA.
    #[must_use]
    pub fn host_data(self, bytes: &[u8; 32]) -> Self {
        self.set(field::HOST_DATA, bytes)
    }

    /// A TCB field, at one of the offsets in [`field`], in the layout of the product.
    #[must_use]
    pub fn tcb(self, offset: usize, tcb: Tcb) -> Self {
        let bytes = tcb_bytes(self.product, tcb);
        self.set(offset, &bytes)
    }

    /// Any bytes at any offset below the signature; what does not fit is left out.
    #[must_use]
    pub fn set(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.bytes.iter_mut().skip(offset).zip(bytes).for_each(|(to, from)| *to = *from);
        self
    }

    /// The signed report.
    ///
    /// # Errors
    /// [`SimulationError`].
    pub fn sign(self, chip: &SimulatedChip) -> Result<Vec<u8>, SimulationError> {
        let mut report = self.bytes.to_vec();
        for scalar in chip.sign(&self.bytes)?.chunks_exact(48) {
            // 72 bytes, little-endian.
            report.extend(scalar.iter().rev());
            report.extend([0; 24]);
        }
        report.resize(REPORT_LEN, 0);
        Ok(report)
    }
}

/// Milan and Genoa: boot loader 0, TEE 1, SNP 6, microcode 7. Turin: FMC 0, boot loader 1, TEE 2, SNP 3, microcode 7.
fn tcb_bytes(product: Product, tcb: Tcb) -> [u8; 8] {
    let Tcb { fmc, boot_loader, tee, snp, microcode } = tcb;
    match product {
        Product::Milan | Product::Genoa => [boot_loader, tee, 0, 0, 0, 0, snp, microcode],
        Product::Turin => [fmc, boot_loader, tee, snp, 0, 0, 0, microcode],
    }
}
