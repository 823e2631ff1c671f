//! HCL reports, as paravisors write them (OpenVMM, `openhcl_attestation_protocol`, `igvm_attest/get.rs`).

use sha2::{Digest, Sha256};

use crate::tpm::TpmKey;

/// Bytes of the NV index that a report is read from.
pub const HCL_NV_LEN: usize = 2600;

/// Offsets of fields in an HCL report whose description has version 1; all are 4 bytes, little-endian.
#[expect(missing_docs, reason = "named as in get.rs")]
pub mod hcl_field {
    pub const SIGNATURE: usize = 0;
    pub const VERSION: usize = 4;
    pub const REPORT_SIZE: usize = 8;
    pub const REQUEST_TYPE: usize = 12;
    pub const STATUS: usize = 16;
    pub const RESERVED: usize = 20;
    pub const REPORT: usize = 32;
    pub const DATA_SIZE: usize = 1216;
    pub const DATA_VERSION: usize = 1220;
    pub const REPORT_TYPE: usize = 1224;
    pub const HASH_TYPE: usize = 1228;
    pub const CLAIMS_SIZE: usize = 1232;
    pub const CLAIMS: usize = 1236;
}

/// An HCL report before it is encoded. Starts right; every field can be changed, and the lengths follow unless the
/// bytes are changed afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HclBuilder {
    /// Version of the header: 1, or 2 by OpenHCL.
    pub version: u32,
    /// Type of the request: 2.
    pub request_type: u32,
    /// Version of the description of the claims: 1, or 2 with a word of flags.
    pub data_version: u32,
    /// Type of the hardware report: 2 for SNP.
    pub report_type: u32,
    /// Type of the hash: 1 for SHA-256.
    pub hash_type: u32,
    /// Flags, from version 2 of the description.
    pub capabilities: u32,
    /// SNP report, 1,184 bytes, whose REPORT_DATA is [`report_data`] of the claims.
    pub report: Vec<u8>,
    /// Runtime claims.
    pub claims: Vec<u8>,
    /// Length to which zeros are appended; shorter ones are left as they are.
    pub padded_len: usize,
}

impl HclBuilder {
    /// A right one of layout 1.
    #[must_use]
    pub fn new(report: &[u8], claims: &[u8]) -> Self {
        Self {
            version: 1,
            request_type: 2,
            data_version: 1,
            report_type: 2,
            hash_type: 1,
            capabilities: 0,
            report: report.to_vec(),
            claims: claims.to_vec(),
            padded_len: HCL_NV_LEN,
        }
    }

    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let capabilities =
            if self.data_version == 2 { self.capabilities.to_le_bytes().to_vec() } else { vec![] };
        let data_len = 20 + capabilities.len() + self.claims.len();
        let len = |len: usize| u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
        let mut bytes = b"HCLA".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(len(32 + self.report.len() + data_len));
        bytes.extend(self.request_type.to_le_bytes());
        // Status, and three reserved words.
        bytes.extend([0; 16]);
        bytes.extend(&self.report);
        bytes.extend(len(data_len));
        bytes.extend(self.data_version.to_le_bytes());
        bytes.extend(self.report_type.to_le_bytes());
        bytes.extend(self.hash_type.to_le_bytes());
        bytes.extend(len(self.claims.len()));
        bytes.extend(capabilities);
        bytes.extend(&self.claims);
        bytes.resize(bytes.len().max(self.padded_len), 0);
        bytes
    }
}

/// REPORT_DATA of the SNP report for these claims.
#[must_use]
pub fn report_data(claims: &[u8]) -> [u8; 64] {
    let mut data = [0; 64];
    data.iter_mut().zip(Sha256::digest(claims)).for_each(|(to, from)| *to = from);
    data
}

/// Runtime claims as a paravisor writes them. `ak` and `ek` are RSA keys.
#[must_use]
pub fn runtime_claims(ak: &TpmKey, ek: &TpmKey, user_data: &[u8; 64]) -> Vec<u8> {
    let user_data: String = user_data.iter().map(|byte| format!("{byte:02x}")).collect();
    let keys = format!("{},{}", ak.jwk("HCLAkPub", "sign"), ek.jwk("HCLEkPub", "encrypt"));
    let machine = concat!(
        r#"{"console-enabled":true,"secure-boot":true,"tpm-enabled":true,"#,
        r#""vmUniqueId":"00000000-0000-0000-0000-000000000000"}"#
    );
    format!(r#"{{"keys":[{keys}],"vm-configuration":{machine},"user-data":"{user_data}"}}"#).into_bytes()
}
