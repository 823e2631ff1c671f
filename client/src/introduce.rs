//! Introduction: Hello, Offer, Prove, Grant. The only way to an [`Identity`].

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use vouchsafe_attestation::statement;
use vouchsafe_crypto::random::{self, RandomError};
use vouchsafe_crypto::signature::{P256Key, SignatureError};
use vouchsafe_crypto::transcript;
use vouchsafe_protocol::anchors::Anchors;
use vouchsafe_protocol::codec::{self, CodecError};
use vouchsafe_protocol::evidence::EvidenceKind;
use vouchsafe_protocol::id::{OperatorName, RoleName};
use vouchsafe_protocol::introduction::{
    Activated, Grant, Hello, IntroductionReply, IntroductionRequest, Proof, Prove, ProveBody, Subject,
    VERSION,
};
use vouchsafe_protocol::limits::INTRODUCTION_FRAME_LEN;
use vouchsafe_protocol::link::ALPN_INTRODUCE;
use vouchsafe_protocol::log::Receipt;
use vouchsafe_protocol::refusal::Refusal;
use zeroize::Zeroizing;

use crate::clock;
use crate::endpoint::Endpoint;
use crate::frames::{FrameError, read_frame, write_frame};
use crate::grant::{self, GrantError};
use crate::identity::{Identity, copy_key};
use crate::machine::{Machine, MachineError};
use crate::offer::{self, OfferError, Quoting, VerifiedOffer};
use crate::pin::Pin;
use crate::transport::{self, TransportError};
use crate::vault::{Expected, Platform, VerifiedVault};

/// Which vault is expected.
#[derive(Clone, Copy, Debug)]
pub enum Expect<'a> {
    /// The pinned one, and no other.
    Pinned(&'a Pin),
    /// Whichever answers first becomes the pin. Its evidence is verified against these anchors, but whose
    /// vault it is, and what runs in it, is taken from it: keep the pin, and compare it over another channel.
    DangerousTrustOnFirstUse {
        /// Anchors that the vault must have been initialised with.
        anchors: &'a Anchors,
    },
}

/// What an introduction gives.
#[derive(Debug)]
pub struct Introduced {
    /// The identity, to be used and kept by this machine alone.
    pub identity: Identity,
    /// The pin, with what was learnt; save it.
    pub pin: Pin,
    /// SPIFFE id of the identity.
    pub spiffe_id: String,
    /// When the identity ends, seconds since 1970.
    pub not_after_secs: u64,
    /// When sessions end unless newer evidence is shown, seconds since 1970.
    pub evidence_until_secs: u64,
    /// What the appraisal found, in words fit for people.
    pub appraisal: String,
    /// Proof that the vault's log has it; verified.
    pub receipt: Receipt,
}

/// Why an introduction failed.
#[derive(Debug, thiserror::Error)]
pub enum IntroduceError {
    /// The connection failed after it was made.
    #[error("the connection to the host failed")]
    Frame(#[source] FrameError),
    /// The grant is not acceptable.
    #[error("the vault's grant is refused")]
    Grant(#[source] GrantError),
    /// No key or signature.
    #[error("the identity key could not be made or used")]
    Key(#[source] SignatureError),
    /// This machine gave no evidence.
    #[error(transparent)]
    Machine(MachineError),
    /// The answer is not a message of the protocol, or our own message is beyond a limit.
    #[error("the message is malformed")]
    Malformed(#[source] CodecError),
    /// The offer is not acceptable: nothing was proved.
    #[error("the vault's offer is refused; nothing was shown to it")]
    Offer(#[source] OfferError),
    /// No randomness.
    #[error("no randomness for the introduction")]
    Random(#[source] RandomError),
    /// The vault refused.
    #[error("the vault refused")]
    Refused(#[source] Refusal),
    /// The host took too long.
    #[error("the vault did not answer in time")]
    Timeout,
    /// No connection.
    #[error(transparent)]
    Transport(TransportError),
    /// The answer is of another kind than the question.
    #[error("the vault answered another question")]
    Unexpected,
}

/// Introduces this machine to the vault as an agent of `role`: verifies the vault, then shows evidence for a
/// fresh key, and returns the identity that the vault issued for it.
///
/// # Errors
/// [`IntroduceError`]. Up to and including [`IntroduceError::Offer`] nothing was shown to anybody.
pub async fn introduce(
    endpoint: &Endpoint,
    expect: Expect<'_>,
    role: &RoleName,
    machine: &Machine,
) -> Result<Introduced, IntroduceError> {
    introduce_key(endpoint, expect, role, machine, P256Key::generate().map_err(IntroduceError::Key)?).await
}

/// Introduces this machine again, with the key that it has an identity for: new evidence, a new identity, and whatever
/// rests on the key and the role goes on. Open sessions do so by themselves; leases once they are renewed.
///
/// # Errors
/// As of [`introduce`].
pub async fn renew_identity(
    endpoint: &Endpoint,
    pin: &Pin,
    role: &RoleName,
    machine: &Machine,
    identity: &Identity,
) -> Result<Introduced, IntroduceError> {
    let key = copy_key(identity.key()).map_err(IntroduceError::Key)?;
    introduce_key(endpoint, Expect::Pinned(pin), role, machine, key).await
}

async fn introduce_key(
    endpoint: &Endpoint,
    expect: Expect<'_>,
    role: &RoleName,
    machine: &Machine,
    key: P256Key,
) -> Result<Introduced, IntroduceError> {
    let kind = machine.kind().await.map_err(IntroduceError::Machine)?;
    let tpm = match kind {
        EvidenceKind::Tpm => machine.tpm_keys().await.map_err(IntroduceError::Machine)?,
        EvidenceKind::Snp | EvidenceKind::SnpVtpm => None,
    };
    let subject = Subject::Agent { role: role.clone(), kind, tpm };
    let mut conversation = Conversation::open(endpoint, expect, subject).await?;
    let offer = conversation.offer().await?;
    let proof = evidence(machine, &offer, role, &key).await?;
    let grant = conversation.prove(&offer, &key, proof).await?;
    conversation.close().await;
    conversation.finish(offer.vault, key, grant)
}

/// Introduces an operator by the key pinned when the vault was made. The vault is verified just the same.
///
/// # Errors
/// [`IntroduceError`].
pub async fn introduce_operator(
    endpoint: &Endpoint,
    expect: Expect<'_>,
    operator: &OperatorName,
    key: &P256Key,
) -> Result<Introduced, IntroduceError> {
    let subject = Subject::Operator(operator.clone());
    let mut conversation = Conversation::open(endpoint, expect, subject).await?;
    let offer = conversation.offer().await?;
    let key = copy_key(key).map_err(IntroduceError::Key)?;
    let grant = conversation.prove(&offer, &key, Proof::OperatorKey).await?;
    conversation.close().await;
    conversation.finish(offer.vault, key, grant)
}

/// The binding statement is built here, from our own key, and from nothing the host says but the challenge and
/// the offer that was verified (B3).
async fn evidence(
    machine: &Machine,
    offer: &VerifiedOffer,
    role: &RoleName,
    key: &P256Key,
) -> Result<Proof, IntroduceError> {
    let vault_id = offer.vault.vault_id();
    let statement = statement::introduction(&offer.challenge, &offer.digest, &key.spki(), role, vault_id);
    let credential = offer.tpm.as_ref().and_then(|tpm| tpm.credential.clone());
    let activated = match credential {
        Some(credential) => {
            let secret = machine.activate(credential).await.map_err(IntroduceError::Machine)?;
            Some(Activated(Zeroizing::new(secret.expose_secret().to_vec())))
        }
        None => None,
    };
    let (pcrs, logs) = offer.tpm.as_ref().map(|tpm| (tpm.pcrs.clone(), tpm.logs)).unwrap_or_default();
    let evidence = machine.evidence(statement, pcrs, logs).await.map_err(IntroduceError::Machine)?;
    Ok(Proof::Evidence { evidence, activated })
}

/// One introduction in progress.
struct Conversation<'a> {
    endpoint: &'a Endpoint,
    expect: Expect<'a>,
    stream: TlsStream<TcpStream>,
    /// The encoded hello, as sent.
    hello: Vec<u8>,
    /// What it lets the offer ask for.
    quoting: Quoting,
}

impl<'a> Conversation<'a> {
    /// Connects and says hello.
    async fn open(
        endpoint: &'a Endpoint,
        expect: Expect<'a>,
        subject: Subject,
    ) -> Result<Self, IntroduceError> {
        let vault_id = match expect {
            Expect::Pinned(pin) => Some(pin.vault_id),
            Expect::DangerousTrustOnFirstUse { .. } => None,
        };
        let nonce = random::array().map_err(IntroduceError::Random)?;
        let quoting = Quoting::of(&subject);
        let hello = Hello { version: VERSION, nonce, subject, vault_id };
        let encoded = codec::encode(&hello).map_err(IntroduceError::Malformed)?;
        let mut stream =
            transport::connect(endpoint, ALPN_INTRODUCE, None).await.map_err(IntroduceError::Transport)?;
        send(&mut stream, &IntroductionRequest::Hello(hello)).await?;
        Ok(Self { endpoint, expect, stream, hello: encoded, quoting })
    }

    /// Receives and verifies the offer.
    async fn offer(&mut self) -> Result<VerifiedOffer, IntroduceError> {
        let offer = match self.reply().await? {
            IntroductionReply::Offer(offer) => offer,
            other => return Err(refused_or_unexpected(other)),
        };
        offer::verify(&offer, &self.hello, self.quoting, &expected(self.expect), clock::now_secs())
            .map_err(IntroduceError::Offer)
    }

    /// Proves, signed by the identity key, and receives the grant.
    async fn prove(
        &mut self,
        offer: &VerifiedOffer,
        key: &P256Key,
        proof: Proof,
    ) -> Result<Grant, IntroduceError> {
        let body = ProveBody {
            hello: self.hello.clone(),
            offer: offer.encoded.clone(),
            identity: key.spki(),
            proof,
        };
        let body = codec::encode(&body).map_err(IntroduceError::Malformed)?;
        let signature = key.sign(&transcript::prove_preimage(&body)).map_err(IntroduceError::Key)?;
        send(&mut self.stream, &IntroductionRequest::Prove(Prove { body, signature })).await?;
        match self.reply().await? {
            IntroductionReply::Grant(grant) => Ok(grant),
            other => Err(refused_or_unexpected(other)),
        }
    }

    /// Verifies the grant and puts together what the caller keeps.
    fn finish(self, vault: VerifiedVault, key: P256Key, grant: Grant) -> Result<Introduced, IntroduceError> {
        let spiffe_id =
            grant::verify(&grant, &key.spki(), &vault, clock::now_secs()).map_err(IntroduceError::Grant)?;
        let pin = learnt(self.expect, &vault);
        let Grant { certificate, authority: _, not_after_secs, evidence_until_secs, appraisal, receipt } =
            grant;
        let identity = Identity::new(key, certificate, vault.authority().clone());
        Ok(Introduced { identity, pin, spiffe_id, not_after_secs, evidence_until_secs, appraisal, receipt })
    }

    /// What was asked for is here: the connection ends in order.
    async fn close(&mut self) {
        close(&mut self.stream, self.endpoint).await;
    }

    async fn reply(&mut self) -> Result<IntroductionReply, IntroduceError> {
        receive(&mut self.stream, self.endpoint).await
    }
}

/// What the vault is held against.
fn expected<'a>(expect: Expect<'a>) -> Expected<'a> {
    match expect {
        Expect::Pinned(pin) => Expected {
            vault_id: Some(pin.vault_id),
            platform: Platform::Expected(&pin.platform),
            anchors: &pin.anchors,
            log_key: pin.log_key(),
            checkpoint: pin.checkpoint,
        },
        Expect::DangerousTrustOnFirstUse { anchors } => {
            Expected { vault_id: None, platform: Platform::Shown, anchors, log_key: None, checkpoint: None }
        }
    }
}

/// The pin with what was learnt. A remembered checkpoint stays: a longer journal replaces it only when a
/// session has proved that it extends it, or else a fork would be forgotten here.
fn learnt(expect: Expect<'_>, vault: &VerifiedVault) -> Pin {
    let (anchors, checkpoint) = match expect {
        Expect::Pinned(pin) => (&pin.anchors, pin.checkpoint),
        Expect::DangerousTrustOnFirstUse { anchors } => (anchors, None),
    };
    Pin {
        vault_id: *vault.vault_id(),
        platform: vault.platform().clone(),
        anchors: anchors.clone(),
        log_key: Some(vault.log_key().0),
        checkpoint: checkpoint.or(Some(vault.remembered())),
    }
}

pub(crate) fn refused_or_unexpected(reply: IntroductionReply) -> IntroduceError {
    match reply {
        IntroductionReply::Refusal(refusal) => IntroduceError::Refused(refusal),
        IntroductionReply::Grant(_) | IntroductionReply::InitDone(_) | IntroductionReply::Offer(_) => {
            IntroduceError::Unexpected
        }
    }
}

/// Sends one message.
pub(crate) async fn send(
    stream: &mut TlsStream<TcpStream>,
    request: &IntroductionRequest,
) -> Result<(), IntroduceError> {
    // Wiped: a proof of a TPM holds the recovered credential.
    let bytes = Zeroizing::new(codec::encode(request).map_err(IntroduceError::Malformed)?);
    write_frame(stream, &bytes, INTRODUCTION_FRAME_LEN).await.map_err(IntroduceError::Frame)
}

/// Ends the connection in order, so that the host can tell it from one that broke. Nothing depends on it.
pub(crate) async fn close(stream: &mut TlsStream<TcpStream>, endpoint: &Endpoint) {
    match timeout(endpoint.handshake_timeout(), stream.shutdown()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "the connection did not end in order"),
        Err(_) => tracing::debug!("the connection did not end in time"),
    }
}

/// Receives one message.
pub(crate) async fn receive(
    stream: &mut TlsStream<TcpStream>,
    endpoint: &Endpoint,
) -> Result<IntroductionReply, IntroduceError> {
    let frame = timeout(endpoint.handshake_timeout(), read_frame(stream, INTRODUCTION_FRAME_LEN))
        .await
        .map_err(|_| IntroduceError::Timeout)?
        .map_err(IntroduceError::Frame)?;
    codec::decode(&frame, INTRODUCTION_FRAME_LEN).map_err(IntroduceError::Malformed)
}
