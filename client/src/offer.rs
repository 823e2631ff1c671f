//! The vault's offer, verified before anything is proved to it.

use vouchsafe_crypto::signature::P256PublicKey;
use vouchsafe_crypto::transcript;
use vouchsafe_protocol::codec::{self, CodecError};
use vouchsafe_protocol::evidence::{AkProof, EvidenceKind};
use vouchsafe_protocol::introduction::{Offer, OfferBody, Subject, TpmOffer, VERSION};
use vouchsafe_protocol::limits::{CHALLENGE_LEN, INTRODUCTION_FRAME_LEN, PCRS};

use crate::vault::{self, Expected, VaultError, VerifiedVault};

/// Why an offer is refused. One variant per step of the verification, in its order.
#[derive(Debug, thiserror::Error)]
pub enum OfferError {
    /// Step 1.
    #[error("the vault's offer is malformed")]
    Malformed(#[source] CodecError),
    /// Step 2.
    #[error("the vault chose protocol version {version}, which was not offered")]
    Version {
        /// Its version.
        version: u16,
    },
    /// Step 3.
    #[error("the vault's signing key is not a P-256 key")]
    SigningKey,
    /// Step 4.
    #[error("the vault's offer is not signed by its signing key, or answers another hello")]
    Signature,
    /// Step 5.
    #[error("the vault is refused")]
    Vault(#[source] VaultError),
    /// Step 6.
    #[error("the vault's challenge has {len} bytes instead of {CHALLENGE_LEN}")]
    Challenge {
        /// Length in bytes.
        len: usize,
    },
    /// Step 7.
    #[error("the vault's offer does not fit this machine's kind of evidence and keys")]
    Kind,
    /// Step 8.
    #[error("the vault asks for a selection of PCRs that is empty, out of order or not of a TPM")]
    Pcrs,
}

/// What the subject of a hello lets an offer ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quoting {
    /// No quote: a report alone, or an operator.
    Nothing,
    /// A quote by a key that needs no credential: it has a certificate, or a report names it.
    Quote,
    /// A quote by a key of a TPM whose endorsement key was shown.
    QuoteWithCredential,
}

impl Quoting {
    /// Of a subject.
    pub(crate) fn of(subject: &Subject) -> Self {
        match subject {
            Subject::Agent { tpm: Some(keys), .. } => match keys.proof {
                AkProof::Certificate { .. } => Self::Quote,
                AkProof::Credential { .. } => Self::QuoteWithCredential,
            },
            Subject::Agent { kind: EvidenceKind::SnpVtpm | EvidenceKind::Tpm, tpm: None, .. } => Self::Quote,
            Subject::Agent { kind: EvidenceKind::Snp, tpm: None, .. } | Subject::Operator(_) => Self::Nothing,
        }
    }
}

/// An offer of the expected vault. Made only by [`verify`].
#[derive(Debug)]
pub(crate) struct VerifiedOffer {
    pub(crate) vault: VerifiedVault,
    pub(crate) challenge: Vec<u8>,
    pub(crate) tpm: Option<TpmOffer>,
    /// What evidence binds of the conversation.
    pub(crate) digest: [u8; 32],
    /// The encoded offer, to be sent back.
    pub(crate) encoded: Vec<u8>,
}

/// Verifies the answer to a hello.
///
/// 1. it is an offer in canonical form;
/// 2. of the one version that was offered;
/// 3. its signing key is a P-256 key;
/// 4. which signed it over this hello (F1: the hello has our nonce);
/// 5. the vault is the expected one: see [`vault::verify`];
/// 6. the challenge has its length;
/// 7. it asks for a quote exactly if the hello promised one, and has a credential exactly if it can be opened;
/// 8. the PCRs to quote are ascending and exist.
pub(crate) fn verify(
    offer: &Offer,
    hello: &[u8],
    quoting: Quoting,
    expected: &Expected<'_>,
    now_secs: u64,
) -> Result<VerifiedOffer, OfferError> {
    // 1
    let body: OfferBody =
        codec::decode(&offer.body, INTRODUCTION_FRAME_LEN).map_err(OfferError::Malformed)?;
    let encoded = codec::encode(offer).map_err(OfferError::Malformed)?;
    // 2
    if body.version != VERSION {
        return Err(OfferError::Version { version: body.version });
    }
    // 3
    let signing_key =
        P256PublicKey::from_spki(&body.vault.signing_key).map_err(|_| OfferError::SigningKey)?;
    // 4
    signing_key
        .verify(&transcript::offer_preimage(hello, &offer.body), &offer.signature)
        .map_err(|_| OfferError::Signature)?;
    // 5
    let vault = vault::verify(&body.vault, &signing_key, expected, now_secs).map_err(OfferError::Vault)?;
    // 6
    if body.challenge.len() != CHALLENGE_LEN {
        return Err(OfferError::Challenge { len: body.challenge.len() });
    }
    // 7
    let asked = match &body.tpm {
        None => Quoting::Nothing,
        Some(TpmOffer { credential: None, .. }) => Quoting::Quote,
        Some(TpmOffer { credential: Some(_), .. }) => Quoting::QuoteWithCredential,
    };
    if asked != quoting {
        return Err(OfferError::Kind);
    }
    // 8
    if body.tpm.as_ref().is_some_and(|tpm| !is_selection(&tpm.pcrs)) {
        return Err(OfferError::Pcrs);
    }
    let digest = transcript::offer_digest(hello, &encoded);
    Ok(VerifiedOffer { vault, challenge: body.challenge, tpm: body.tpm, digest, encoded })
}

/// Not empty, strictly ascending, and of a TPM.
fn is_selection(pcrs: &[u8]) -> bool {
    !pcrs.is_empty() && pcrs.is_sorted_by(|a, b| a < b) && pcrs.iter().all(|index| usize::from(*index) < PCRS)
}
