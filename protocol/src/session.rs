//! The inner session: requests with a hash chain, replies bound to their request.
//!
//! A frame of the agent is a byte that tells its kind, then: `1`, the request number (8 bytes, big-endian,
//! from 1), the chain link (32 bytes), a byte that asks for a receipt (0 or 1), the encoded [`Request`];
//! or `2`, the number of the last request covered (8 bytes) and the signature over the chain there.
//! A frame of the vault is the request number (8 bytes), the request's chain link (32 bytes) and the encoded
//! [`Response`]; or, with number and link zero, an encoded notice to a session that watches.
//!
//! `link(0)` is the TLS exporter value of the inner session for [`CHAIN_EXPORTER`];
//! `link(n) = SHA-256("vouchsafe/1/chain" || link(n-1) || number || receipt byte || encoded request)`.
//! The signature is the identity key's over `"vouchsafe/1/chain-head" || LV(number) || LV(link(number))`.

use serde::{Deserialize, Serialize};

use crate::codec::CodecError;
use crate::collateral::{CollateralEntry, CollateralItem};
use crate::derive::{DeriveReply, DeriveRequest};
use crate::id::{RoleName, VaultId};
use crate::kv::{KvReply, KvRequest};
use crate::lease::{Lease, LeaseReply, LeaseRequest};
use crate::link::StreamId;
use crate::log::Receipt;
use crate::policy::Role;
use crate::refusal::Refusal;
use crate::seen::SeenPage;
use crate::transit::{TransitReply, TransitRequest};

/// Label of the TLS exporter (RFC 8446, section 7.5) that starts the chain; 32 bytes, no context.
pub const CHAIN_EXPORTER: &[u8] = b"EXPORTER-vouchsafe/1/chain";

/// Kind byte of a request.
const KIND_REQUEST: u8 = 1;
/// The request number of a frame that answers none: requests count from 1.
pub const NOTICE: u64 = 0;
/// Kind byte of a signature.
const KIND_SIGNATURE: u8 = 2;

/// A frame of the agent, its parts not yet believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentFrame<'a> {
    /// A request.
    Request {
        /// Number, from 1.
        number: u64,
        /// Chain link.
        link: [u8; 32],
        /// Whether a receipt is asked for.
        receipt: bool,
        /// Encoded [`Request`].
        body: &'a [u8],
    },
    /// Signs the chain.
    Signature {
        /// Number of the last request covered.
        upto: u64,
        /// ASN.1 ECDSA signature.
        signature: &'a [u8],
    },
}

impl<'a> AgentFrame<'a> {
    /// Encodes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Request { number, link, receipt, body } => {
                let mut out = Vec::with_capacity(42 + body.len());
                out.push(KIND_REQUEST);
                out.extend_from_slice(&number.to_be_bytes());
                out.extend_from_slice(link);
                out.push(u8::from(*receipt));
                out.extend_from_slice(body);
                out
            }
            Self::Signature { upto, signature } => {
                let mut out = vec![KIND_SIGNATURE];
                out.extend_from_slice(&upto.to_be_bytes());
                out.extend_from_slice(signature);
                out
            }
        }
    }

    /// Decodes; every byte is accounted for.
    ///
    /// # Errors
    /// [`CodecError::Malformed`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let malformed = CodecError::Malformed;
        let (kind, rest) = bytes.split_first().ok_or(malformed)?;
        let (number, rest) = rest.split_first_chunk::<8>().ok_or(malformed)?;
        let number = u64::from_be_bytes(*number);
        match *kind {
            KIND_REQUEST => {
                let (link, rest) = rest.split_first_chunk::<32>().ok_or(malformed)?;
                let (receipt, body) = rest.split_first().ok_or(malformed)?;
                let receipt = match receipt {
                    0 => false,
                    1 => true,
                    _ => return Err(malformed),
                };
                Ok(Self::Request { number, link: *link, receipt, body })
            }
            KIND_SIGNATURE => Ok(Self::Signature { upto: number, signature: rest }),
            _ => Err(malformed),
        }
    }
}

/// Splits a frame of the vault into request number, the request's link and the encoded [`Response`].
///
/// # Errors
/// [`CodecError::Malformed`].
pub fn parse_vault_frame(bytes: &[u8]) -> Result<(u64, [u8; 32], &[u8]), CodecError> {
    let (number, rest) = bytes.split_first_chunk::<8>().ok_or(CodecError::Malformed)?;
    let (link, body) = rest.split_first_chunk::<32>().ok_or(CodecError::Malformed)?;
    Ok((u64::from_be_bytes(*number), *link, body))
}

/// Puts a frame of the vault together that answers no request: number and link are zero, and what follows is an
/// encoded [`crate::kv::KvNotice`].
#[must_use]
pub fn notice_frame(notice: &[u8]) -> Vec<u8> {
    vault_frame(NOTICE, &[0; 32], notice)
}

/// Puts a frame of the vault together.
#[must_use]
pub fn vault_frame(number: u64, link: &[u8; 32], response: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(40 + response.len());
    out.extend_from_slice(&number.to_be_bytes());
    out.extend_from_slice(link);
    out.extend_from_slice(response);
    out
}

/// What an identity may ask.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// A signed result of the appraisal behind the agent's own identity, for others to rely on; agents only.
    AttestationResult {
        /// Chosen by whoever will rely on it; [`crate::limits::RESULT_NONCE_LEN`] bytes.
        nonce: Vec<u8>,
    },
    /// The key that opens audit entries; operators only, and logged.
    AuditKey,
    /// Frames of a stream from an index on, as stored; operators only.
    AuditFrames {
        /// Which.
        stream: StreamId,
        /// First index.
        from: u64,
    },
    /// Streams and their number of frames; operators only.
    AuditStreams,
    /// The newest journal checkpoint, and a proof that it extends an older tree.
    Checkpoint {
        /// Size of the older tree; 0 for none.
        from_size: u64,
    },
    /// Imports certificates and revocation lists, all or none; operators only.
    CollateralImport(Vec<CollateralItem>),
    /// What was imported and is kept; operators only.
    CollateralList {
        /// After the entry with this digest, in the order of digests; `None` for the first page.
        after: Option<[u8; 32]>,
    },
    /// The derive engine.
    Derive(DeriveRequest),
    /// What the evidence of live identities showed; operators only.
    EvidenceList {
        /// After the identity with this serial number; 0 for the first page.
        after: u64,
    },
    /// Forgets the clock of a TPM, so that one which was cleared on purpose is accepted again; operators only.
    ForgetTpm {
        /// Names the attestation key, as [`crate::seen::SeenClock`] does.
        key: [u8; 32],
    },
    /// The kv engine.
    Kv(KvRequest),
    /// Leases.
    Lease(LeaseRequest),
    /// Replaces roles, all or none; operators only.
    RoleApply(Vec<Role>),
    /// Names of all roles; operators only.
    RoleList,
    /// One role; operators only.
    RoleShow(RoleName),
    /// Forgets every key until the next start; operators only.
    Seal,
    /// What the vault is and does; operators only.
    Status,
    /// The transit engine.
    Transit(TransitRequest),
}

/// Answers.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// An attestation result: a JWT (RFC 7519) of draft-ietf-rats-ear-04.
    AttestationResult(String),
    /// The audit key, 32 bytes.
    AuditKey(crate::kv::SecretValue),
    /// Frames, in order; empty at the end.
    AuditFrames(Vec<Vec<u8>>),
    /// Streams.
    AuditStreams(Vec<(StreamId, u64)>),
    /// A checkpoint.
    Checkpoint {
        /// C2SP signed note.
        note: Vec<u8>,
        /// RFC 6962 consistency proof.
        proof: Vec<[u8; 32]>,
    },
    /// Imported collateral, in the order of digests; of an import: what it brought.
    Collateral {
        /// Entries; at most [`crate::limits::LIST_PAGE`].
        entries: Vec<CollateralEntry>,
        /// Whether there are more after the last one.
        more: bool,
    },
    /// Of the derive engine.
    Derive(DeriveReply),
    /// Done.
    Done,
    /// Seen evidence.
    Evidence(SeenPage),
    /// Of the kv engine.
    Kv(KvReply),
    /// Of leases.
    Lease(LeaseReply),
    /// One role.
    Role(Role),
    /// Names.
    Roles(Vec<RoleName>),
    /// Status.
    Status(Status),
    /// Of the transit engine.
    Transit(TransitReply),
}

/// A reply or a refusal, and a receipt where one was asked for.
#[derive(Debug, Serialize, Deserialize)]
pub struct Response {
    /// What came of it.
    pub outcome: Outcome,
    /// Proof that the log has it.
    pub receipt: Option<Receipt>,
    /// For how long it is handed out, where the rule that allowed it says so.
    pub lease: Option<Lease>,
}

/// What came of a request.
#[derive(Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// Done.
    Done(Reply),
    /// Refused.
    Refused(Refusal),
}

/// What a vault is and does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Id.
    pub vault_id: VaultId,
    /// Platform: `sim`, `snp` or `tpm`.
    pub platform: String,
    /// Measurement or PCRs, hexadecimal, as its evidence shows them.
    pub measurement: String,
    /// Rung of the freshness ladder in force: `R0` or `R1`.
    pub rung: String,
    /// Epoch.
    pub epoch: u64,
    /// Newest journal checkpoint, a signed note.
    pub checkpoint: Vec<u8>,
    /// Journal entries.
    pub journal_size: u64,
    /// Access log entries of this epoch.
    pub access_size: u64,
    /// Secrets.
    pub secrets: u64,
    /// Roles.
    pub roles: u64,
    /// Identities issued and still valid.
    pub identities: u64,
    /// Open sessions.
    pub sessions: u64,
}
