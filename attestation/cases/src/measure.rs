//! Launch digests of SEV-SNP guests, computed offline: what MEASUREMENT will be for a firmware, a kernel and a
//! number of processors (AMD 56860, section 8.17.2; PAGE_INFO of table 67), and the ID block that pins it.
//!
//! The state of a processor at launch (VMSA) and the processors' signatures are those of the `sev` crate. Its own
//! calculator is not called: it reads files by path, panics on firmware that is cut short, and does not know Google's
//! machine monitor. The tests compare with it, and with vectors of `sev-snp-measure`.
//!
//! Firmware is untrusted input: every offset in it is checked, and what it can make this compute is bounded.

mod firmware;
mod id_block;
mod vcpu;

use vouchsafe_crypto::digest::{sha256, sha384};
use vouchsafe_protocol::policy::LaunchDigest;

pub use firmware::{Firmware, FirmwareError};
pub use id_block::{IdAuth, IdBlock, IdKeyError, key_digest};
pub use vcpu::{CpuModel, UnknownCpuModel, UnknownVmm, Vmm};

use firmware::{Section, SectionKind};

/// Bytes of a page.
const PAGE: usize = 4096;
/// [`PAGE`], as sizes in firmware are written.
const PAGE_LEN: u64 = 4096;
/// Guest physical address under which a VMSA is measured: -1, cut to a page and 52 bits.
const VMSA_ADDRESS: u64 = 0xffff_ffff_f000;
/// Most virtual processors, as QEMU's limit for this machine type.
pub const VCPUS: u32 = 4096;

/// What a guest is launched with.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// The firmware (OVMF), from its first byte or, with `firmware_digest`, from anywhere before its tables.
    pub firmware: &'a Firmware,
    /// Digest of the launch after the firmware's pages, where the firmware's first part is not at hand.
    pub firmware_digest: Option<LaunchDigest>,
    /// What is booted directly, if anything is.
    pub kernel: Option<Kernel<'a>>,
    /// Virtual processors, 1 to [`VCPUS`].
    pub vcpus: u32,
    /// Their model; Google's and Amazon's machine monitors do not measure it.
    pub cpu: CpuModel,
    /// SEV_FEATURES of the VMSA; bit 0 (SNP) is set in every SNP guest.
    pub features: u64,
    /// Machine monitor.
    pub vmm: Vmm,
}

/// A kernel that the machine monitor boots directly, whose hash it puts into the firmware's memory.
#[derive(Clone, Copy, Debug)]
pub struct Kernel<'a> {
    /// Kernel image.
    pub image: &'a [u8],
    /// Initial RAM disk; an absent one counts as empty.
    pub initrd: &'a [u8],
    /// Command line, without the final NUL; spaces around it are dropped, as QEMU does.
    pub command_line: &'a str,
}

/// Why a launch cannot be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MeasureError {
    /// The firmware has no room for the hashes of a kernel.
    #[error("a kernel is given, but the firmware's metadata has no SNP_KERNEL_HASHES section")]
    NoKernelHashes,
    /// More processors, and no reset vector for the second.
    #[error("the firmware names no reset vector for further processors")]
    NoResetVector,
    /// The length is not a whole number of pages.
    #[error("firmware of {len} bytes is not a whole number of 4096-byte pages")]
    Pages {
        /// Length in bytes.
        len: usize,
    },
    /// No processor, or too many.
    #[error("{vcpus} processors are not between 1 and {VCPUS}")]
    Vcpus {
        /// How many.
        vcpus: u32,
    },
    /// The state of a processor cannot be laid out.
    #[error("state of a processor cannot be laid out")]
    Vmsa,
}

impl Launch<'_> {
    /// Computes the launch digest.
    ///
    /// In the order of the machine monitors: 1. the firmware's pages; 2. the sections of its metadata, with the
    /// hashes of the kernel in theirs; 3. the state of each processor.
    ///
    /// # Errors
    /// [`MeasureError`].
    pub fn digest(&self) -> Result<LaunchDigest, MeasureError> {
        let Self { firmware, firmware_digest, kernel, vcpus, cpu, features, vmm } = *self;
        if !(1..=VCPUS).contains(&vcpus) {
            return Err(MeasureError::Vcpus { vcpus });
        }
        // 1
        let mut running = match firmware_digest {
            Some(digest) => Running(digest.0),
            None => {
                let mut running = Running([0; 48]);
                running.firmware(firmware)?;
                running
            }
        };
        // 2
        if kernel.is_some() && !firmware.sections().iter().any(|at| at.kind == SectionKind::KernelHashes) {
            return Err(MeasureError::NoKernelHashes);
        }
        let late = |section: &&Section| vmm == Vmm::Ec2 && section.kind == SectionKind::Cpuid;
        // EC2 measures the CPUID pages last.
        let (last, first): (Vec<_>, Vec<_>) = firmware.sections().iter().partition(late);
        for section in first.into_iter().chain(last) {
            running.section(section, firmware, kernel.as_ref(), vmm);
        }
        // 3
        if vcpus > 1 && firmware.reset_vector().is_none() {
            return Err(MeasureError::NoResetVector);
        }
        for page in vcpu::save_areas(firmware.reset_vector(), cpu, vmm, vcpus, features)? {
            running.page(PageType::Vmsa, VMSA_ADDRESS, &sha384(&[&page]));
        }
        Ok(LaunchDigest(running.0))
    }
}

/// PAGE_TYPE of SNP_LAUNCH_UPDATE (AMD 56860, table 65).
#[derive(Clone, Copy)]
enum PageType {
    Normal = 1,
    Vmsa = 2,
    Zero = 3,
    Unmeasured = 4,
    Secrets = 5,
    Cpuid = 6,
}

/// The digest so far.
struct Running([u8; 48]);

impl Running {
    /// PAGE_INFO: the digest so far, the hash of the page, 0x70, its type, no permissions, its address.
    fn page(&mut self, kind: PageType, address: u64, contents: &[u8; 48]) {
        let tail = [0x70, 0, kind as u8, 0, 0, 0, 0, 0];
        self.0 = sha384(&[&self.0, contents, &tail, &address.to_le_bytes()]);
    }

    fn firmware(&mut self, firmware: &Firmware) -> Result<(), MeasureError> {
        let bytes = firmware.bytes();
        if !bytes.len().is_multiple_of(PAGE) {
            return Err(MeasureError::Pages { len: bytes.len() });
        }
        let addresses = (firmware.address()..).step_by(PAGE);
        for (page, address) in bytes.chunks_exact(PAGE).zip(addresses) {
            self.page(PageType::Normal, address, &sha384(&[page]));
        }
        Ok(())
    }

    fn section(&mut self, section: &Section, firmware: &Firmware, kernel: Option<&Kernel<'_>>, vmm: Vmm) {
        let &Section { address, len, kind } = section;
        let address = u64::from(address);
        let mut empty = |kind: PageType| {
            for at in (address..address.saturating_add(u64::from(len))).step_by(PAGE) {
                self.page(kind, at, &[0; 48]);
            }
        };
        match kind {
            SectionKind::Memory if vmm == Vmm::Gce => empty(PageType::Unmeasured),
            SectionKind::Memory | SectionKind::SvsmCaa => empty(PageType::Zero),
            SectionKind::Secrets => self.page(PageType::Secrets, address, &[0; 48]),
            SectionKind::Cpuid => self.page(PageType::Cpuid, address, &[0; 48]),
            SectionKind::KernelHashes => match kernel {
                None => empty(PageType::Zero),
                Some(kernel) => {
                    let page = kernel.hashes_page(firmware.hashes_address());
                    self.page(PageType::Normal, address, &sha384(&[&page]));
                }
            },
        }
    }
}

/// GUIDs of QEMU's table of hashes (target/i386/sev.c), as they lie in memory.
const TABLE: [u8; 16] =
    [0x06, 0xd6, 0x38, 0x94, 0x22, 0x4f, 0xc9, 0x4c, 0xb4, 0x79, 0xa7, 0x93, 0xd4, 0x11, 0xfd, 0x21];
const COMMAND_LINE: [u8; 16] =
    [0xd8, 0x2d, 0xd0, 0x97, 0x20, 0xbd, 0x94, 0x4c, 0xaa, 0x78, 0xe7, 0x71, 0x4d, 0x36, 0xab, 0x2a];
const INITRD: [u8; 16] =
    [0x31, 0xf7, 0xba, 0x44, 0x2f, 0x3a, 0xd7, 0x4b, 0x9a, 0xf1, 0x41, 0xe2, 0x91, 0x69, 0x78, 0x1d];
const KERNEL: [u8; 16] =
    [0x37, 0x94, 0xe7, 0x4d, 0xd2, 0xab, 0x7f, 0x42, 0xb8, 0x35, 0xd5, 0xb1, 0x72, 0xd2, 0x04, 0x5b];

impl Kernel<'_> {
    /// The page with the hashes, at the place in it that the firmware names (an address; its low 12 bits count).
    fn hashes_page(&self, address: u32) -> Vec<u8> {
        let entry = |guid: &[u8; 16], hash: [u8; 32]| [guid.as_slice(), &50u16.to_le_bytes(), &hash].concat();
        let table = [
            TABLE.to_vec(),
            168u16.to_le_bytes().to_vec(),
            entry(&COMMAND_LINE, sha256(&[self.command_line.trim().as_bytes(), &[0]])),
            entry(&INITRD, sha256(&[self.initrd])),
            entry(&KERNEL, sha256(&[self.image])),
        ]
        .concat();
        let offset = usize::try_from(u64::from(address) % PAGE_LEN).unwrap_or(0);
        let mut page = vec![0; offset];
        page.extend(table);
        page.resize(PAGE, 0);
        page
    }
}

#[cfg(test)]
mod tests;
