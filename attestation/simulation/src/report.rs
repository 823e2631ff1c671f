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
            .set(field::CPUID, &cpuid(chip.product))
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

    /// VERSION, 2 to 5: with the CPUID of the product from 3 on, with mitigation vectors from 5 on (bit 0 of both).
    #[must_use]
    pub fn version(self, version: u32) -> Self {
        let cpuid = if version >= 3 { cpuid(self.product) } else { [0; 3] };
        let mitigations = u64::from(version >= 5);
        self.set(field::VERSION, &version.to_le_bytes())
            .set(field::CPUID, &cpuid)
            .mitigations(mitigations, mitigations)
    }

    /// GUEST_SVN.
    #[must_use]
    pub fn guest_svn(self, svn: u32) -> Self {
        self.set(field::GUEST_SVN, &svn.to_le_bytes())
    }

    /// POLICY.
    #[must_use]
    pub fn policy(self, bits: u64) -> Self {
        self.set(field::POLICY, &bits.to_le_bytes())
    }

    /// PLATFORM_INFO.
    #[must_use]
    pub fn platform_info(self, bits: u64) -> Self {
        self.set(field::PLATFORM_INFO, &bits.to_le_bytes())
    }

    /// VMPL.
    #[must_use]
    pub fn vmpl(self, vmpl: u32) -> Self {
        self.set(field::VMPL, &vmpl.to_le_bytes())
    }

    /// FAMILY_ID.
    #[must_use]
    pub fn family_id(self, id: &[u8; 16]) -> Self {
        self.set(field::FAMILY_ID, id)
    }

    /// IMAGE_ID.
    #[must_use]
    pub fn image_id(self, id: &[u8; 16]) -> Self {
        self.set(field::IMAGE_ID, id)
    }

    /// ID_KEY_DIGEST; and AUTHOR_KEY_DIGEST with AUTHOR_KEY_EN, if there is one.
    #[must_use]
    pub fn id_block(self, id_key: &[u8; 48], author_key: Option<&[u8; 48]>) -> Self {
        let author = author_key.unwrap_or(&[0; 48]);
        let flags = self.flags() & !1 | u32::from(author_key.is_some());
        self.set(field::ID_KEY_DIGEST, id_key)
            .set(field::AUTHOR_KEY_DIGEST, author)
            .set(field::FLAGS, &flags.to_le_bytes())
    }

    /// REPORT_ID.
    #[must_use]
    pub fn report_id(self, id: &[u8; 32]) -> Self {
        self.set(field::REPORT_ID, id)
    }

    /// REPORT_ID_MA; all ones without a migration agent.
    #[must_use]
    pub fn report_id_ma(self, id: &[u8; 32]) -> Self {
        self.set(field::REPORT_ID_MA, id)
    }

    /// CHIP_ID.
    #[must_use]
    pub fn chip_id(self, id: &[u8; 64]) -> Self {
        self.set(field::CHIP_ID, id)
    }

    /// MASK_CHIP_KEY: the VCEK signs nothing.
    #[must_use]
    pub fn mask_chip_key(self) -> Self {
        let flags = self.flags() | 2;
        self.set(field::FLAGS, &flags.to_le_bytes())
    }

    /// SIGNING_KEY: 0 for a VCEK, 1 for a VLEK, 7 for none.
    #[must_use]
    pub fn signing_key(self, key: u8) -> Self {
        let flags = self.flags() & !(7 << 2) | u32::from(key & 7) << 2;
        self.set(field::FLAGS, &flags.to_le_bytes())
    }

    /// Family, model and stepping.
    #[must_use]
    pub fn cpuid(self, cpuid: [u8; 3]) -> Self {
        self.set(field::CPUID, &cpuid)
    }

    /// LAUNCH_MIT_VECTOR and CURRENT_MIT_VECTOR.
    #[must_use]
    pub fn mitigations(self, launch: u64, current: u64) -> Self {
        self.set(field::LAUNCH_MIT_VECTOR, &launch.to_le_bytes())
            .set(field::CURRENT_MIT_VECTOR, &current.to_le_bytes())
    }

    fn flags(&self) -> u32 {
        let mut flags = [0; 4];
        flags.iter_mut().zip(self.bytes.iter().skip(field::FLAGS)).for_each(|(to, from)| *to = *from);
        u32::from_le_bytes(flags)
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

/// Family, model and stepping of an ordinary processor of a product.
fn cpuid(product: Product) -> [u8; 3] {
    match product {
        Product::Milan => [0x19, 0x01, 0x01],
        Product::Genoa => [0x19, 0x11, 0x01],
        Product::Turin => [0x1a, 0x02, 0x01],
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
