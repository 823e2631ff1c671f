//! The HCL report: 32 bytes of header, an SNP report in 1,184, 20 or 24 bytes that describe the runtime claims, the
//! claims, and zeros up to the size of the NV index it was read from. Little-endian. (OpenVMM,
//! `openhcl_attestation_protocol`, `igvm_attest/get.rs`: IgvmAttestRequestBase.)
//!
//! Nothing in header and description is signed. So every field of them has one accepted value, or follows from the
//! length of the claims, and none chooses how something is checked.

use vouchsafe_crypto::digest;
use vouchsafe_protocol::limits::HCL_REPORT_LEN;

use super::claims::BoundClaims;
use crate::bytes::{Reader, WrongLength};
use crate::snp::report::REPORT_LEN;
use crate::snp::verify::VerifiedReport;

/// "HCLA".
const MAGIC: [u8; 4] = *b"HCLA";
/// Bytes of the header.
const HEADER_LEN: usize = 32;
/// Versions of the header: 1 by the paravisors before OpenHCL, 2 by OpenHCL. They do not differ.
const HEADER_VERSIONS: [u32; 2] = [1, 2];
/// AK_CERT_REQUEST: the report is the one that the paravisor shows for its attestation key.
const REQUEST_TYPE: u32 = 2;
/// SNP_VM_REPORT; 1 is VBS, 3 a machine without a TEE, 4 TDX.
const REPORT_TYPE_SNP: u32 = 2;
/// SHA_256. 2 (SHA-384) and 3 (SHA-512) are defined; no paravisor writes them.
const HASH_TYPE_SHA256: u32 = 1;

/// Why bytes are not an HCL report, or not one for this SNP report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HclError {
    /// There are no claims, or more than there are bytes.
    #[error("HCL report says that its runtime claims have {len} bytes")]
    ClaimsLength {
        /// Length in bytes.
        len: u32,
    },
    /// The two lengths of the description disagree.
    #[error(
        "HCL report says that its runtime data have {len} bytes, which its runtime claims do not add up to"
    )]
    DataLength {
        /// Length in bytes.
        len: u32,
    },
    /// The version of the description is neither 1 nor 2.
    #[error("runtime data of the HCL report have the unknown version {version}")]
    DataVersion {
        /// Version.
        version: u32,
    },
    /// The claims are not hashed with SHA-256.
    #[error("runtime claims are hashed with the algorithm {hash_type}, not with SHA-256")]
    HashType {
        /// IgvmAttestHashType.
        hash_type: u32,
    },
    /// Shorter than its fixed part, or longer than an NV index can be.
    #[error("HCL report has {len} bytes")]
    Length {
        /// Length in bytes.
        len: usize,
    },
    /// It does not begin with "HCLA".
    #[error("HCL report does not begin with its magic number")]
    Magic,
    /// SHA-256 of the claims is not what REPORT_DATA begins with.
    #[error("runtime claims are not those of the SNP report")]
    ReportData,
    /// REPORT_DATA does not end with 32 zeros.
    #[error("second half of the report data is not zero")]
    ReportDataTail,
    /// The length in the header is not that of the report.
    #[error("HCL report says that it has {len} bytes, which its parts do not add up to")]
    ReportLength {
        /// Length in bytes.
        len: u32,
    },
    /// The hardware report is not an SNP report.
    #[error("HCL report holds a hardware report of type {report_type}, not an SNP report")]
    ReportType {
        /// IgvmAttestReportType.
        report_type: u32,
    },
    /// It was made for another request.
    #[error("HCL report was made for a request of type {request_type}")]
    RequestType {
        /// IgvmAttestRequestType.
        request_type: u32,
    },
    /// Reserved fields, or the status, are not zero.
    #[error("reserved fields of the HCL report are not zero")]
    Reserved,
    /// What follows the claims is not zeros.
    #[error("bytes behind the runtime claims are not zero")]
    Trailing,
    /// The version of the header is neither 1 nor 2.
    #[error("HCL report has the unknown version {version}")]
    Version {
        /// Version.
        version: u32,
    },
}

impl HclError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::ClaimsLength { .. } => "azure.hcl.claims-length",
            Self::DataLength { .. } => "azure.hcl.data-length",
            Self::DataVersion { .. } => "azure.hcl.data-version",
            Self::HashType { .. } => "azure.hcl.hash-type",
            Self::Length { .. } => "azure.hcl.length",
            Self::Magic => "azure.hcl.magic",
            Self::ReportData => "azure.hcl.report-data",
            Self::ReportDataTail => "azure.hcl.report-data-tail",
            Self::ReportLength { .. } => "azure.hcl.report-length",
            Self::ReportType { .. } => "azure.hcl.report-type",
            Self::RequestType { .. } => "azure.hcl.request-type",
            Self::Reserved => "azure.hcl.reserved",
            Self::Trailing => "azure.hcl.trailing",
            Self::Version { .. } => "azure.hcl.version",
        }
    }
}

/// An HCL report, taken apart. Nothing of it is verified, and its claims have not been looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HclReport<'a> {
    version: u32,
    data_version: u32,
    snp_report: &'a [u8],
    claims: &'a [u8],
}

impl<'a> HclReport<'a> {
    /// Takes an HCL report apart without copying it.
    ///
    /// Steps: 1. the length is possible; 2. magic; 3. version of the header; 4. type of the request; 5. status and
    /// reserved fields; 6. version of the description; 7. type of the hardware report; 8. type of the hash; 9. there
    /// are claims, and all of them; 10. the length of the description, 11. and of the whole, follow from theirs;
    /// 12. nothing but zeros follows.
    ///
    /// # Errors
    /// [`HclError`], one variant per step.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, HclError> {
        let too_short = |WrongLength| HclError::Length { len: bytes.len() };
        // Step 1.
        if bytes.len() > HCL_REPORT_LEN {
            return Err(HclError::Length { len: bytes.len() });
        }
        let mut at = Reader(bytes);
        let mut header = Reader(at.take(HEADER_LEN).map_err(too_short)?);
        let snp_report = at.take(REPORT_LEN).map_err(too_short)?;
        let mut field = || at.u32_le().map_err(too_short);
        let (data_len, data_version, report_type) = (field()?, field()?, field()?);
        let (hash_type, claims_len) = (field()?, field()?);
        // Step 2.
        if header.array::<4>().map_err(too_short)? != MAGIC {
            return Err(HclError::Magic);
        }
        // Step 3.
        let version = header.u32_le().map_err(too_short)?;
        if !HEADER_VERSIONS.contains(&version) {
            return Err(HclError::Version { version });
        }
        // Step 4.
        let report_len = header.u32_le().map_err(too_short)?;
        let request_type = header.u32_le().map_err(too_short)?;
        if request_type != REQUEST_TYPE {
            return Err(HclError::RequestType { request_type });
        }
        // Step 5. The rest of the header: status and three reserved words.
        if header.0.iter().any(|byte| *byte != 0) {
            return Err(HclError::Reserved);
        }
        // Step 6. From version 2, a word of flags for the host follows, which says nothing of the guest.
        let description_len: u32 = match data_version {
            1 => 20,
            2 => {
                at.u32_le().map_err(too_short)?;
                24
            }
            version => return Err(HclError::DataVersion { version }),
        };
        // Step 7.
        if report_type != REPORT_TYPE_SNP {
            return Err(HclError::ReportType { report_type });
        }
        // Step 8.
        if hash_type != HASH_TYPE_SHA256 {
            return Err(HclError::HashType { hash_type });
        }
        // Step 9.
        let no_claims = HclError::ClaimsLength { len: claims_len };
        let claims = usize::try_from(claims_len).map_err(|_| no_claims)?;
        let claims = at.take(claims).map_err(|WrongLength| no_claims)?;
        if claims.is_empty() {
            return Err(no_claims);
        }
        // Step 10. Neither sum overflows: the claims were found to be inside `bytes`.
        let expected = description_len.saturating_add(claims_len);
        if data_len != expected {
            return Err(HclError::DataLength { len: data_len });
        }
        // Step 11.
        let fixed_len = u32::try_from(HEADER_LEN + REPORT_LEN).unwrap_or(u32::MAX);
        if report_len != fixed_len.saturating_add(expected) {
            return Err(HclError::ReportLength { len: report_len });
        }
        // Step 12.
        if at.0.iter().any(|byte| *byte != 0) {
            return Err(HclError::Trailing);
        }
        Ok(Self { version, data_version, snp_report, claims })
    }

    /// Version of the header, 1 or 2.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Version of the description of the claims, 1 or 2.
    #[must_use]
    pub fn data_version(&self) -> u32 {
        self.data_version
    }

    /// The SNP report: exactly [`REPORT_LEN`] bytes.
    #[must_use]
    pub fn snp_report(&self) -> &'a [u8] {
        self.snp_report
    }

    /// The runtime claims as they were hashed: JSON, if they are a paravisor's.
    #[must_use]
    pub fn claims(&self) -> &'a [u8] {
        self.claims
    }

    /// Compares the claims with REPORT_DATA. The caller must have verified the report it is from, or knows that the
    /// result says nothing about the platform.
    ///
    /// Steps: 1. SHA-256 of the claims is the first half, all 32 bytes; 2. the second half is zero.
    ///
    /// # Errors
    /// [`HclError::ReportData`], [`HclError::ReportDataTail`].
    pub fn check_report_data(&self, report_data: &[u8; 64]) -> Result<(), HclError> {
        let (first, second) = report_data.split_at(32);
        // Step 1.
        if first != digest::sha256(&[self.claims]) {
            return Err(HclError::ReportData);
        }
        // Step 2.
        if second != [0; 32] {
            return Err(HclError::ReportDataTail);
        }
        Ok(())
    }

    /// Binds the claims to a verified report.
    ///
    /// # Errors
    /// As [`Self::check_report_data`].
    pub fn bind(&self, verified: &VerifiedReport) -> Result<BoundClaims<'a>, HclError> {
        self.check_report_data(&verified.report().report_data)?;
        Ok(BoundClaims::new(self.claims))
    }
}
