//! ATTESTATION_REPORT: 1,184 bytes, little-endian (AMD 56860, revision 1.58, table 23).

use vouchsafe_crypto::verify::in_p384_range;
use vouchsafe_protocol::policy::{ChipId, LaunchDigest, Product};

use super::tcb::RawTcb;
use crate::bytes::{Reader, WrongLength};

/// Length of a report in bytes.
pub const REPORT_LEN: usize = 0x4a0;
/// Bytes under the signature.
pub const SIGNED_LEN: usize = 0x2a0;
/// Versions this parser reads.
pub const VERSIONS: core::ops::RangeInclusive<u32> = 2..=5;
/// SIGNATURE_ALGO of ECDSA P-384 with SHA-384 (chapter 10, table 139).
const ALGORITHM_ECDSA_P384: u32 = 1;

/// Why bytes are not a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// SIGNATURE_ALGO is not ECDSA P-384 with SHA-384.
    #[error("report names the unknown signature algorithm {algorithm}")]
    Algorithm {
        /// SIGNATURE_ALGO.
        algorithm: u32,
    },
    /// Not exactly 1,184 bytes.
    #[error("report has {len} bytes instead of 1184")]
    Length {
        /// Length in bytes.
        len: usize,
    },
    /// MASK_CHIP_KEY says that the VCEK signs nothing, and SIGNING_KEY that it signed this.
    #[error("report is said to be signed by a key that is masked")]
    MaskedKey,
    /// r or s is zero, not below the order of P-384, or longer than 48 bytes.
    #[error("signature of the report is out of range")]
    SignatureRange,
    /// The bytes behind the signature are not zero.
    #[error("reserved bytes behind the signature are not zero")]
    SignatureReserved,
    /// SIGNING_KEY is neither VCEK nor VLEK.
    #[error("report names the unknown signing key {key}")]
    SigningKey {
        /// SIGNING_KEY.
        key: u8,
    },
    /// VERSION is not one of [`VERSIONS`].
    #[error("report has the unknown version {version}")]
    Version {
        /// VERSION.
        version: u32,
    },
}

impl ReportError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Length { .. } => "snp.report.length",
            Self::Version { .. } => "snp.report.version",
            Self::Algorithm { .. } => "snp.report.algorithm",
            Self::SigningKey { .. } => "snp.report.signing-key",
            Self::MaskedKey => "snp.report.masked-key",
            Self::SignatureRange => "snp.report.signature-range",
            Self::SignatureReserved => "snp.report.signature-reserved",
        }
    }
}

impl From<WrongLength> for ReportError {
    /// Only reached if the fields did not add up to [`REPORT_LEN`], which is checked first.
    fn from(WrongLength: WrongLength) -> Self {
        Self::Length { len: 0 }
    }
}

/// Which key signed (SIGNING_KEY, bits 4 to 2 of the word at 0x48).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningKey {
    /// Of one chip at one TCB.
    Vcek,
    /// Loaded by a cloud provider; the same on many chips.
    Vlek,
}

/// A report, parsed and unverified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// VERSION, 2 to 5.
    pub version: u32,
    /// GUEST_SVN.
    pub guest_svn: u32,
    /// POLICY.
    pub policy: u64,
    /// FAMILY_ID.
    pub family_id: [u8; 16],
    /// IMAGE_ID.
    pub image_id: [u8; 16],
    /// VMPL that asked; 0xFFFFFFFF when the host asked.
    pub vmpl: u32,
    /// CURRENT_TCB.
    pub current_tcb: RawTcb,
    /// PLATFORM_INFO.
    pub platform_info: u64,
    /// AUTHOR_KEY_EN.
    pub author_key_enabled: bool,
    /// MASK_CHIP_KEY: the VCEK signs no reports and makes no keys. Only beside a VLEK.
    pub mask_chip_key: bool,
    /// SIGNING_KEY.
    pub signing_key: SigningKey,
    /// REPORT_DATA.
    pub report_data: [u8; 64],
    /// MEASUREMENT.
    pub measurement: LaunchDigest,
    /// HOST_DATA.
    pub host_data: [u8; 32],
    /// ID_KEY_DIGEST.
    pub id_key_digest: [u8; 48],
    /// AUTHOR_KEY_DIGEST.
    pub author_key_digest: [u8; 48],
    /// REPORT_ID.
    pub report_id: [u8; 32],
    /// REPORT_ID_MA.
    pub report_id_ma: [u8; 32],
    /// REPORTED_TCB.
    pub reported_tcb: RawTcb,
    /// CPUID, from version 3.
    pub cpuid: Option<Cpuid>,
    /// CHIP_ID.
    pub chip_id: ChipId,
    /// COMMITTED_TCB.
    pub committed_tcb: RawTcb,
    /// CURRENT_MAJOR, CURRENT_MINOR, CURRENT_BUILD.
    pub current_version: [u8; 3],
    /// COMMITTED_MAJOR, COMMITTED_MINOR, COMMITTED_BUILD.
    pub committed_version: [u8; 3],
    /// LAUNCH_TCB.
    pub launch_tcb: RawTcb,
    /// LAUNCH_MIT_VECTOR and CURRENT_MIT_VECTOR, from version 5.
    pub mitigations: Option<Mitigations>,
    /// Whether every reserved field of the signed part is zero (reserved bytes of TCBs are checked with the
    /// product).
    pub reserved_is_zero: bool,
    /// r of the signature, big-endian, 0 < r < n.
    pub r: [u8; 48],
    /// s of the signature, big-endian, 0 < s < n.
    pub s: [u8; 48],
}

/// Which processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpuid {
    /// Combined extended and base family.
    pub family: u8,
    /// Combined extended and base model.
    pub model: u8,
    /// Stepping.
    pub stepping: u8,
}

/// Mitigations that were, and are, verified to be in force (AMD 56860, table 23, from version 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mitigations {
    /// At launch.
    pub launch: u64,
    /// Now.
    pub current: u64,
}

impl Cpuid {
    /// The product, by family and model; `None` for a processor this version does not know.
    #[must_use]
    pub fn product(self) -> Option<Product> {
        match (self.family, self.model) {
            (0x19, 0x00..=0x0f) => Some(Product::Milan),
            (0x19, 0x10..=0x1f | 0xa0..=0xaf) => Some(Product::Genoa),
            (0x1a, 0x00..=0x11) => Some(Product::Turin),
            _ => None,
        }
    }
}

impl Report {
    /// Parses a report. Believes nothing of it: whether its fields are acceptable is for `rules`, whether
    /// they are true for `verify`.
    ///
    /// Steps: 1. exactly 1,184 bytes; 2. a known version; 3. a known signature algorithm; 4. a known signing
    /// key, and one that signs (MASK_CHIP_KEY clear for a VCEK); 5. r and s are 72-byte little-endian numbers in range; 6. zeros behind the signature.
    ///
    /// # Errors
    /// [`ReportError`], one variant per step.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReportError> {
        // Step 1.
        if bytes.len() != REPORT_LEN {
            return Err(ReportError::Length { len: bytes.len() });
        }
        let mut at = Reader(bytes);
        // Step 2.
        let version = at.u32_le()?;
        if !VERSIONS.contains(&version) {
            return Err(ReportError::Version { version });
        }
        let (guest_svn, policy) = (at.u32_le()?, at.u64_le()?);
        let (family_id, image_id, vmpl) = (at.array()?, at.array()?, at.u32_le()?);
        // Step 3.
        let algorithm = at.u32_le()?;
        if algorithm != ALGORITHM_ECDSA_P384 {
            return Err(ReportError::Algorithm { algorithm });
        }
        let (current_tcb, platform_info) = (RawTcb(at.array()?), at.u64_le()?);
        // Step 4.
        let flags = at.u32_le()?;
        let signing_key = match (flags >> 2) & 0b111 {
            0 => SigningKey::Vcek,
            1 => SigningKey::Vlek,
            key => return Err(ReportError::SigningKey { key: u8::try_from(key).unwrap_or(u8::MAX) }),
        };
        let mask_chip_key = flags & 2 != 0;
        if mask_chip_key && signing_key == SigningKey::Vcek {
            return Err(ReportError::MaskedKey);
        }
        let mut reserved_is_zero = is_zero(at.take(4)?) && flags >> 5 == 0;
        let (report_data, measurement) = (at.array()?, LaunchDigest(at.array()?));
        let (host_data, id_key_digest, author_key_digest) = (at.array()?, at.array()?, at.array()?);
        let (report_id, report_id_ma) = (at.array()?, at.array()?);
        let reported_tcb = RawTcb(at.array()?);
        let cpuid = if version >= 3 {
            Some(Cpuid { family: at.u8()?, model: at.u8()?, stepping: at.u8()? })
        } else {
            reserved_is_zero &= is_zero(at.take(3)?);
            None
        };
        reserved_is_zero &= is_zero(at.take(21)?);
        let (chip_id, committed_tcb) = (ChipId(at.array()?), RawTcb(at.array()?));
        let [build, minor, major, reserved] = at.array()?;
        let current_version = [major, minor, build];
        let [build, minor, major, also_reserved] = at.array()?;
        let committed_version = [major, minor, build];
        reserved_is_zero &= reserved == 0 && also_reserved == 0;
        let launch_tcb = RawTcb(at.array()?);
        let mitigations = if version >= 5 {
            Some(Mitigations { launch: at.u64_le()?, current: at.u64_le()? })
        } else {
            reserved_is_zero &= is_zero(at.take(16)?);
            None
        };
        reserved_is_zero &= is_zero(at.take(152)?);
        // Step 5.
        let (r, s) = (scalar(at.array()?)?, scalar(at.array()?)?);
        // Step 6.
        if !is_zero(at.take(368)?) {
            return Err(ReportError::SignatureReserved);
        }
        at.end()?;
        Ok(Self {
            version,
            guest_svn,
            policy,
            family_id,
            image_id,
            vmpl,
            current_tcb,
            platform_info,
            author_key_enabled: flags & 1 != 0,
            mask_chip_key,
            signing_key,
            report_data,
            measurement,
            host_data,
            id_key_digest,
            author_key_digest,
            report_id,
            report_id_ma,
            reported_tcb,
            cpuid,
            chip_id,
            committed_tcb,
            current_version,
            committed_version,
            launch_tcb,
            mitigations,
            reserved_is_zero,
            r,
            s,
        })
    }
}

/// A 72-byte little-endian field (table 140) as 48 big-endian bytes, 0 < value < n.
fn scalar(field: [u8; 72]) -> Result<[u8; 48], ReportError> {
    let (value, padding) = field.split_first_chunk::<48>().ok_or(ReportError::SignatureRange)?;
    let mut value = *value;
    value.reverse();
    if is_zero(padding) && in_p384_range(&value) { Ok(value) } else { Err(ReportError::SignatureRange) }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}
