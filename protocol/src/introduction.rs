//! Introduction: Hello, Offer, Prove, Grant or Refusal; and Init, which makes a vault.
//!
//! Each message is one frame of at most [`crate::limits::INTRODUCTION_FRAME_LEN`] bytes. The enclave keeps
//! nothing between Hello and Prove: `Prove` brings both earlier messages back, and the challenge inside the
//! offer proves that the enclave made it.

use core::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::anchors::Anchors;
use crate::evidence::{CredentialBlob, Evidence, EvidenceKind, TpmKeys};
use crate::id::{OperatorName, RoleName, VaultId};
use crate::log::Receipt;
use crate::refusal::Refusal;

/// The protocol version that this build speaks.
pub const VERSION: u16 = 1;

/// What somebody without an identity may ask.
#[derive(Debug, Serialize, Deserialize)]
pub enum IntroductionRequest {
    /// First message.
    Hello(Hello),
    /// Makes a vault where there is none.
    Init(InitRequest),
    /// Second message.
    Prove(Prove),
}

/// Answers.
#[derive(Debug, Serialize, Deserialize)]
pub enum IntroductionReply {
    /// To `Prove`.
    Grant(Grant),
    /// To `Init`.
    InitDone(SignedVault),
    /// To `Hello`.
    Offer(Offer),
    /// To any.
    Refusal(Refusal),
}

/// Who asks for what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Protocol version.
    pub version: u16,
    /// Random.
    pub nonce: [u8; 32],
    /// Who.
    pub subject: Subject,
    /// The vault expected; `None` only for an explicit trust on first use.
    pub vault_id: Option<VaultId>,
}

/// Who introduces itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// An agent, by evidence.
    Agent {
        /// The role it asks for.
        role: RoleName,
        /// The kind of evidence it will show.
        kind: EvidenceKind,
        /// For a TPM.
        tpm: Option<TpmKeys>,
    },
    /// An operator, by the key pinned at `init`.
    Operator(OperatorName),
}

/// What a vault says of itself, with evidence over it (see `statement::vault` in `vouchsafe-attestation`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultStatement {
    /// Its id, which commits to the next two fields.
    pub vault_id: VaultId,
    /// DER of the authority's self-signed certificate.
    pub authority: Vec<u8>,
    /// SHA-256 of the encoded [`Anchors`].
    pub anchors_digest: [u8; 32],
    /// SubjectPublicKeyInfo of this enclave's signing key, new at every start.
    pub signing_key: Vec<u8>,
    /// The authority's signature over `"vouchsafe/1/signing-key" || LV(vault id) || LV(signing key)`.
    pub endorsement: Vec<u8>,
    /// Ed25519 key that signs checkpoints.
    pub log_key: [u8; 32],
    /// SHA-256 of the encoded [`InitRequest`] that made the vault.
    pub init_digest: [u8; 32],
    /// Evidence of the enclave's platform over the above.
    pub evidence: Evidence,
    /// The newest checkpoint of the journal, a C2SP signed note.
    pub checkpoint: Vec<u8>,
}

/// A statement signed by the signing key it names: the answer to `Init`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedVault {
    /// The statement.
    pub vault: VaultStatement,
    /// Over `"vouchsafe/1/init-done" || LV(encoded statement)`.
    pub signature: Vec<u8>,
}

/// The vault's answer to a hello.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Encoded [`OfferBody`].
    pub body: Vec<u8>,
    /// By the signing key, over `"vouchsafe/1/offer" || LV(SHA-256(hello preimage)) || LV(body)`.
    pub signature: Vec<u8>,
}

/// What is offered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferBody {
    /// Protocol version chosen.
    pub version: u16,
    /// Single use, valid [`crate::limits::CHALLENGE_SECS`]; [`crate::limits::CHALLENGE_LEN`] bytes.
    pub challenge: Vec<u8>,
    /// The vault.
    pub vault: VaultStatement,
    /// For a quote, of a TPM or of a paravisor's.
    pub tpm: Option<TpmOffer>,
}

/// What an agent that quotes PCRs needs to answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TpmOffer {
    /// To be opened with `TPM2_ActivateCredential`; there is one exactly if the hello brought an endorsement key.
    pub credential: Option<CredentialBlob>,
    /// PCRs to quote, of the SHA-256 bank, ascending: the selection that the role asks for.
    pub pcrs: Vec<u8>,
    /// Logs that the role looks at. Others need not be sent.
    pub logs: LogsWanted,
}

/// Which logs explain the PCRs that a role asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogsWanted {
    /// The boot event log.
    pub boot: bool,
    /// The log of Linux's integrity measurement architecture.
    pub ima: bool,
}

/// The agent's proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prove {
    /// Encoded [`ProveBody`].
    pub body: Vec<u8>,
    /// By the identity key, over `"vouchsafe/1/prove" || LV(body)`.
    pub signature: Vec<u8>,
}

/// What is proved.
#[derive(Debug, Serialize, Deserialize)]
pub struct ProveBody {
    /// The encoded [`Hello`], as sent.
    pub hello: Vec<u8>,
    /// The encoded [`Offer`], as received.
    pub offer: Vec<u8>,
    /// SubjectPublicKeyInfo of the identity key (P-256).
    pub identity: Vec<u8>,
    /// Evidence or an operator's key.
    pub proof: Proof,
}

/// How the subject shows who it is.
#[derive(Debug, Serialize, Deserialize)]
pub enum Proof {
    /// Evidence over the binding statement; for a TPM also the recovered credential.
    Evidence {
        /// The evidence.
        evidence: Evidence,
        /// What `TPM2_ActivateCredential` gave.
        activated: Option<Activated>,
    },
    /// The identity key is the operator's pinned key, and the signature of `Prove` is the proof.
    OperatorKey,
}

/// The recovered credential. Not printed: it is a bearer proof until it is used.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct Activated(pub Zeroizing<Vec<u8>>);

impl fmt::Debug for Activated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Activated(..)")
    }
}

/// An identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// DER of the X.509 SVID for exactly the identity key.
    pub certificate: Vec<u8>,
    /// DER of the authority that issued it.
    pub authority: Vec<u8>,
    /// When the certificate ends, seconds since 1970.
    pub not_after_secs: u64,
    /// When sessions end unless newer evidence is shown, seconds since 1970.
    pub evidence_until_secs: u64,
    /// What the appraisal found, in words fit for people.
    pub appraisal: String,
    /// Proof that the log has it.
    pub receipt: Receipt,
}

/// Makes a vault. Its SHA-256 is in the vault's evidence, so nobody can put other operators in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitRequest {
    /// Protocol version.
    pub version: u16,
    /// Random.
    pub nonce: [u8; 32],
    /// Operators and their P-256 keys (SubjectPublicKeyInfo); 1 to [`crate::limits::OPERATORS`].
    pub operators: Vec<OperatorKey>,
    /// Roots the vault will believe.
    pub anchors: Anchors,
}

/// An operator's pinned key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorKey {
    /// Name.
    pub name: OperatorName,
    /// SubjectPublicKeyInfo, P-256.
    pub key: Vec<u8>,
}
