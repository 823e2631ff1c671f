//! Evidence as it travels: bytes that an Attester made and nobody has verified (RFC 9334).

use serde::{Deserialize, Serialize};

/// The kinds of evidence that version 1 knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EvidenceKind {
    /// An AMD SEV-SNP attestation report.
    Snp,
    /// The report of an SNP paravisor and a quote of the virtual TPM inside the same boundary.
    SnpVtpm,
    /// A TPM 2.0 quote by a restricted attestation key.
    Tpm,
}

/// Evidence over a 64-byte statement, unverified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Evidence {
    /// AMD SEV-SNP.
    Snp(SnpEvidence),
    /// AMD SEV-SNP with a paravisor's virtual TPM (Azure).
    SnpVtpm(Box<SnpVtpmEvidence>),
    /// TPM 2.0.
    Tpm(TpmEvidence),
}

impl Evidence {
    /// The kind.
    #[must_use]
    pub fn kind(&self) -> EvidenceKind {
        match self {
            Self::Snp(_) => EvidenceKind::Snp,
            Self::SnpVtpm(_) => EvidenceKind::SnpVtpm,
            Self::Tpm(_) => EvidenceKind::Tpm,
        }
    }
}

/// An SNP report with the certificates that endorse it. `REPORT_DATA` is the 64-byte statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnpEvidence {
    /// The report: exactly 1,184 bytes (AMD 56860, table 23).
    pub report: Vec<u8>,
    /// Certificates that came with it.
    pub endorsements: SnpEndorsements,
}

/// What endorses a report. Each part that is absent is looked up in the verifier's collateral; none is fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnpEndorsements {
    /// DER of the VCEK or VLEK.
    pub vek: Option<Vec<u8>>,
    /// DER of the ASK or ASVK when the Attester has it; a root is never taken from evidence.
    pub intermediate: Option<Vec<u8>>,
    /// DER of a revocation list of the product's root.
    pub crl: Option<Vec<u8>>,
}

/// The report of a paravisor (Azure's HCL) and a quote of the virtual TPM that it runs. `REPORT_DATA` is the hash of
/// the paravisor's claims, which name the attestation key; the quote is over the statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnpVtpmEvidence {
    /// The HCL report: header, SNP report, runtime claims; at most [`crate::limits::HCL_REPORT_LEN`] bytes.
    pub hcl_report: Vec<u8>,
    /// Certificates that came with it.
    pub endorsements: SnpEndorsements,
    /// `TPMS_ATTEST`, big-endian, as the virtual TPM returned it.
    pub quote: Vec<u8>,
    /// `TPMT_SIGNATURE` over it.
    pub signature: Vec<u8>,
    /// SHA-256 PCR values, by index, ascending.
    pub pcrs: Vec<PcrValue>,
    /// Logs that explain the PCRs.
    pub logs: Logs,
}

/// Logs that explain PCRs. Believed only as far as they replay to quoted values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logs {
    /// The boot event log, as the firmware and the boot loader wrote it.
    pub boot: Option<Vec<u8>>,
    /// `binary_runtime_measurements` or `ascii_runtime_measurements` of Linux's IMA.
    pub ima: Option<Vec<u8>>,
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
    /// Logs that explain the PCRs.
    pub logs: Logs,
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
    /// `TPMT_PUBLIC` of the attestation key.
    pub ak_public: Vec<u8>,
    /// What shows that it is a TPM's.
    pub proof: AkProof,
}

/// What shows that an attestation key is a TPM's. Roots come from anchors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AkProof {
    /// A certificate of the key itself.
    Certificate {
        /// DER of the certificate, and then of any intermediates.
        ak_chain: Vec<Vec<u8>>,
    },
    /// An endorsement key of the same TPM, for which a credential can be made.
    Credential {
        /// DER of the endorsement key's certificate, and then of any intermediates.
        ek_chain: Vec<Vec<u8>>,
        /// `TPMT_PUBLIC` of the endorsement key (its name algorithm and scheme are needed for MakeCredential).
        ek_public: Vec<u8>,
    },
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
