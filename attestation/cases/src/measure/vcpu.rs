//! Processors at launch: models with their CPUID signature, machine monitors, and the save areas (VMSA) that are
//! measured. Register values are those of the `sev` crate; Google's differ from QEMU's in four registers
//! (google/gce-tcb-verifier, sev/ld_from_ovmf.go).

use core::fmt;
use core::str::FromStr;

use sev::measurement::vcpu_types::CpuType;
use sev::measurement::vmsa::{GuestFeatures, VMMType, VMSA};
use sev::parser::ByteParser;

use super::MeasureError;

/// A model of processor, as QEMU names it (`EPYC-v4`, `EPYC-Milan`, ...).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CpuModel(CpuType);

/// No such model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no such processor; known are EPYC, EPYC-v1 to -v4, EPYC-IBPB, EPYC-Rome, -Milan, -Genoa, -Turin and their versions"
)]
pub struct UnknownCpuModel;

impl FromStr for CpuModel {
    type Err = UnknownCpuModel;

    fn from_str(name: &str) -> Result<Self, UnknownCpuModel> {
        CpuType::try_from(name).map(Self).map_err(|_| UnknownCpuModel)
    }
}

impl fmt::Display for CpuModel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl Default for CpuModel {
    /// `EPYC-v4`, QEMU's usual one for confidential guests.
    fn default() -> Self {
        Self(CpuType::EpycV4)
    }
}

/// Machine monitors, which differ in what they measure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Vmm {
    /// Amazon EC2.
    Ec2,
    /// Google Compute Engine.
    Gce,
    /// libkrun.
    Krun,
    /// QEMU with KVM.
    #[default]
    Qemu,
}

/// No such machine monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such machine monitor; known are qemu, ec2, gce and krun")]
pub struct UnknownVmm;

impl FromStr for Vmm {
    type Err = UnknownVmm;

    fn from_str(name: &str) -> Result<Self, UnknownVmm> {
        match name.to_ascii_lowercase().as_str() {
            "ec2" => Ok(Self::Ec2),
            "gce" => Ok(Self::Gce),
            "krun" => Ok(Self::Krun),
            "qemu" => Ok(Self::Qemu),
            _ => Err(UnknownVmm),
        }
    }
}

/// Offsets in a save area (AMD64 Architecture Programmer's Manual, volume 2, table B-4), and what Google sets there:
/// G_PAT, RDX, MXCSR, x87 control word.
const GCE: [(usize, &[u8]); 4] = [
    (0x268, &0x0007_0106u64.to_le_bytes()),
    (0x310, &0x600u64.to_le_bytes()),
    (0x408, &[0; 4]),
    (0x410, &[0; 2]),
];

/// The pages of the processors' save areas, in their order.
pub(super) fn save_areas(
    reset_vector: Option<u32>,
    CpuModel(cpu): CpuModel,
    vmm: Vmm,
    vcpus: u32,
    features: u64,
) -> Result<Vec<Vec<u8>>, MeasureError> {
    let kind = match vmm {
        Vmm::Ec2 => VMMType::EC2,
        Vmm::Krun => VMMType::KRUN,
        Vmm::Gce | Vmm::Qemu => VMMType::QEMU,
    };
    let features = GuestFeatures::from_bytes(&features.to_le_bytes()).map_err(|_| MeasureError::Vmsa)?;
    // A reset vector of zero would leave the second processor out.
    let vector = u64::from(reset_vector.unwrap_or(0));
    let vmsa = VMSA::new(vector, cpu, kind, Some(u64::from(vcpus)), features);
    let count = usize::try_from(vcpus).map_err(|_| MeasureError::Vmsa)?;
    let mut pages = vmsa.pages(count).map_err(|_| MeasureError::Vmsa)?;
    if pages.len() != count {
        return Err(MeasureError::NoResetVector);
    }
    if vmm == Vmm::Gce {
        for page in &mut pages {
            for (offset, value) in GCE {
                page.iter_mut().skip(offset).zip(value).for_each(|(to, from)| *to = *from);
            }
        }
    }
    Ok(pages)
}
