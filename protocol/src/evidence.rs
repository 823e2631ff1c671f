//! Evidence as it travels: bytes that an Attester made and nobody has verified (RFC 9334).

use serde::{Deserialize, Serialize};

/// The kinds of evidence that version 1 knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EvidenceKind {
    /// An AMD SEV-SNP attestation report.
    Snp,
    /// A TPM 2.0 quote by a restricted attestation key.
    Tpm,
}

/// Evidence over a 64-byte statement, unverified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Evidence {
    /// AMD SEV-SNP.
    Snp(SnpEvidence),
    /// TPM 2.0.
    Tpm(TpmEvidence),
}

impl Evidence {
    /// The kind.
    #[must_use]
    pub fn kind(&self) -> EvidenceKind {
        match self {
            Self::Snp(_) => EvidenceKind::Snp,
            Self::Tpm(_) => EvidenceKind::Tpm,
        }
    }
}

/// An SNP report with the certificates that endorse it. `REPORT_DATA` is the 64-byte statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnpEvidence {
    /// The report: exactly 1,184 bytes (AMD 56860, table 23).
    pub report: Vec<u8>,
    /// DER of the VCEK or VLEK.
    pub vek: Vec<u8>,
    /// DER of the ASK or ASVK when the Attester has it; a root is never taken from evidence.
    pub intermediate: Option<Vec<u8>>,
}

/// A quote with what is needed to check it.
///
/// `qualifyingData` is the first 32 bytes of the 64-byte statement; builders put SHA-256 of the bound
/// pre-image there (see `statement` in `vouchsafe-attestation`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TpmEvidence {
    /// `TPMS_ATTEST`, big-endian, as the TPM returned it.
    pub quote: Vec<u8>,
    /// `TPMT_SIGNATURE` over it.
    pub signature: Vec<u8>,
    /// `TPMT_PUBLIC` of the attestation key.
    pub ak_public: Vec<u8>,
    /// SHA-256 PCR values, by index, ascending. Believed only as far as the quote's digest covers them.
    pub pcrs: Vec<PcrValue>,
    /// The boot event log, as the firmware wrote it. Not interpreted in this version.
    pub event_log: Option<Vec<u8>>,
}

/// One PCR of the SHA-256 bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PcrValue {
    /// Index, 0 to 23.
    pub index: u8,
    /// Value.
    pub value: [u8; 32],
}

/// What a TPM says of its keys before a challenge can be made for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TpmKeys {
    /// DER of the endorsement key's certificate, and then of any intermediates. Roots come from anchors.
    pub ek_chain: Vec<Vec<u8>>,
    /// `TPMT_PUBLIC` of the endorsement key (its name algorithm and scheme are needed for MakeCredential).
    pub ek_public: Vec<u8>,
    /// `TPMT_PUBLIC` of the attestation key.
    pub ak_public: Vec<u8>,
}

/// The answer of MakeCredential (TPM 2.0 Part 1, section 24): only the TPM that holds the EK and an object
/// with the AK's name can open it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialBlob {
    /// `TPM2B_ID_OBJECT`, with its size field.
    pub id_object: Vec<u8>,
    /// `TPM2B_ENCRYPTED_SECRET`, with its size field.
    pub encrypted_secret: Vec<u8>,
}
