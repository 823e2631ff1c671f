//! The boot record: what an enclave needs before it can read anything sealed. The host keeps it and may
//! change it; whatever it says is confirmed by the journal it leads to.

use serde::{Deserialize, Serialize};
use vouchsafe_protocol::codec::{self, CodecError};
use vouchsafe_protocol::id::VaultId;

/// Largest boot record in bytes: a TPM's sealed object and its policy stay under 8 KiB.
const BOOT_RECORD_LEN: usize = 64 * 1024;

/// Kinds of platform, as recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlatformName {
    /// Simulated SEV-SNP.
    Sim,
    /// SEV-SNP.
    Snp,
    /// TPM 2.0.
    Tpm,
}

impl PlatformName {
    /// As shown to people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sim => "sim",
            Self::Snp => "snp",
            Self::Tpm => "tpm",
        }
    }
}

/// The boot record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootRecord {
    /// Format version; 1.
    pub version: u8,
    /// The platform that sealed the root.
    pub platform: PlatformName,
    /// The root key as that platform sealed it.
    pub sealed_root: Vec<u8>,
    /// The vault.
    pub vault_id: VaultId,
}

impl BootRecord {
    /// Encodes.
    ///
    /// # Errors
    /// [`CodecError`]; not for any record made here.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode(self)
    }

    /// Decodes; any version but 1 is malformed.
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let record: Self = codec::decode(bytes, BOOT_RECORD_LEN)?;
        if record.version == 1 { Ok(record) } else { Err(CodecError::Malformed) }
    }
}
