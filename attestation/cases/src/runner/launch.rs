//! Kind launch-digest: vectors of launches with the digests that must come out.

use serde::Deserialize;
use serde_json::json;
use vouchsafe_protocol::policy::LaunchDigest;

use super::Running;
use crate::measure::{CpuModel, Firmware, FirmwareError, Kernel, Launch, MeasureError, Vmm};
use crate::policy::Hex;
use crate::schema::Files;
use crate::verdict::{Run, Stop};

#[derive(Deserialize)]
struct Vectors {
    vectors: Vec<Vector>,
}

/// One launch, as `sev-snp-measure` describes it.
#[derive(Deserialize)]
struct Vector {
    name: String,
    mode: String,
    vcpus: u32,
    vcpu_sig: Option<String>,
    ovmf_file: String,
    kernel: Option<String>,
    initrd: Option<String>,
    append: Option<String>,
    guest_features: u64,
    vmm_type: Option<String>,
    snp_ovmf_hash: Option<Hex<48>>,
    expected_digest: Option<Hex<48>>,
}

/// Why a vector does not come out.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VectorError {
    #[error("vector '{name}' gives another digest than the expected one")]
    Digest { name: String },
    #[error("vector '{name}' gives a digest, and must give none")]
    Accepted { name: String },
    #[error("firmware of vector '{name}' cannot be measured")]
    Firmware {
        name: String,
        #[source]
        source: FirmwareError,
    },
    #[error("vector '{name}' cannot be measured")]
    Measure {
        name: String,
        #[source]
        source: MeasureError,
    },
    #[error("vectors cannot be read")]
    Vectors,
    #[error("vector '{name}' asks for something that is not known: {what}")]
    Unknown { name: String, what: &'static str },
}

pub(super) fn check(running: &Running<'_>) -> Run {
    match check_vectors(running.files) {
        Ok(count) => Ok(json!({ "vectors": count })),
        Err(error @ VectorError::Unknown { .. }) => Err(Stop::not_supported(error.to_string())),
        Err(error) => {
            let code = match &error {
                VectorError::Digest { .. } | VectorError::Accepted { .. } => "launch.digest",
                VectorError::Firmware { .. } => "launch.firmware",
                VectorError::Measure { .. } => "launch.measure",
                VectorError::Vectors | VectorError::Unknown { .. } => "case.malformed",
            };
            Err(Stop::refused(code, &error))
        }
    }
}

/// Measures every vector; says how many there are.
pub(crate) fn check_vectors(files: &Files) -> Result<usize, VectorError> {
    let vectors = files.get("vectors").ok_or(VectorError::Vectors)?;
    let Vectors { vectors } = serde_json::from_slice(vectors).map_err(|_| VectorError::Vectors)?;
    for vector in &vectors {
        check_vector(vector, files)?;
    }
    if vectors.is_empty() { Err(VectorError::Vectors) } else { Ok(vectors.len()) }
}

fn check_vector(vector: &Vector, files: &Files) -> Result<(), VectorError> {
    let name = || vector.name.clone();
    let unknown = |what| VectorError::Unknown { name: name(), what };
    if vector.mode != "SEV_SNP" {
        return Err(unknown("mode"));
    }
    // "ovmf-amdsev-suffix.bin" is the part "ovmf_amdsev".
    let part = match vector.ovmf_file.as_str() {
        "ovmf-amdsev-suffix.bin" => "ovmf_amdsev",
        "ovmf-ovmfx64-suffix.bin" => "ovmf_x64",
        other => other,
    };
    let bytes = files.get(part).ok_or(unknown("ovmf_file"))?.clone();
    let firmware = Firmware::parse(bytes).map_err(|source| VectorError::Firmware { name: name(), source })?;
    let input = |file: &Option<String>| match file.as_deref() {
        None => Ok(None),
        Some("empty") => Ok(Some(Vec::new())),
        Some(part) => files.get(part).cloned().map(Some).ok_or(unknown("kernel or initrd")),
    };
    let (kernel, initrd) = (input(&vector.kernel)?, input(&vector.initrd)?.unwrap_or_default());
    let kernel = kernel.as_deref().map(|image| Kernel {
        image,
        initrd: &initrd,
        command_line: vector.append.as_deref().unwrap_or_default(),
    });
    let cpu = match vector.vcpu_sig.as_deref() {
        None => CpuModel::default(),
        Some(model) => model.parse().map_err(|_| unknown("vcpu_sig"))?,
    };
    let vmm = match vector.vmm_type.as_deref() {
        None => Vmm::Qemu,
        Some(vmm) => vmm.parse().map_err(|_| unknown("vmm_type"))?,
    };
    let launch = Launch {
        firmware: &firmware,
        firmware_digest: vector.snp_ovmf_hash.map(|Hex(digest)| LaunchDigest(digest)),
        kernel,
        vcpus: vector.vcpus,
        cpu,
        features: vector.guest_features,
        vmm,
    };
    match (launch.digest(), vector.expected_digest) {
        (Ok(digest), Some(Hex(expected))) if digest.0 == expected => Ok(()),
        (Ok(_), Some(_)) => Err(VectorError::Digest { name: name() }),
        (Ok(_), None) => Err(VectorError::Accepted { name: name() }),
        (Err(_), None) => Ok(()),
        (Err(source), Some(_)) => Err(VectorError::Measure { name: name(), source }),
    }
}
