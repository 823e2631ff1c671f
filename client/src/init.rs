//! Initialisation: makes a vault where there is none, and the pin that everybody will know it by.

use vouchsafe_crypto::digest::sha256;
use vouchsafe_crypto::random::{self, RandomError};
use vouchsafe_crypto::signature::P256PublicKey;
use vouchsafe_crypto::transcript;
use vouchsafe_protocol::anchors::Anchors;
use vouchsafe_protocol::codec::{self, CodecError};
use vouchsafe_protocol::introduction::{
    InitRequest, IntroductionReply, IntroductionRequest, OperatorKey, SignedVault, VERSION,
};
use vouchsafe_protocol::link::ALPN_INTRODUCE;
use vouchsafe_protocol::policy::VaultPlatformPin;

use crate::clock;
use crate::endpoint::Endpoint;
use crate::introduce::{IntroduceError, close, receive, refused_or_unexpected, send};
use crate::pin::Pin;
use crate::transport;
use crate::vault::{self, Expected, Platform, VaultError};

/// What a vault is initialised with.
#[derive(Clone, Debug)]
pub struct InitParts {
    /// Operators and their P-256 keys; 1 to [`vouchsafe_protocol::limits::OPERATORS`].
    pub operators: Vec<OperatorKey>,
    /// Roots the vault will believe, for ever.
    pub anchors: Anchors,
}

/// What the new vault's platform must show.
#[expect(clippy::large_enum_variant, reason = "there is one")]
#[derive(Clone, Debug)]
pub enum VaultPlatform {
    /// Whatever it shows becomes the pin. Its evidence is verified against the anchors all the same; compare
    /// the measurement in the pin with the one you built.
    DangerousTrustWhatItShows,
    /// This, and nothing else.
    Expected(VaultPlatformPin),
}

/// A vault that was just made.
#[derive(Debug)]
pub struct Initialised {
    /// What to know it by; hand it to agents and operators.
    pub pin: Pin,
}

/// Why initialisation failed.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Connecting, sending or receiving, or the vault refused.
    #[error(transparent)]
    Exchange(#[from] IntroduceError),
    /// The request cannot be encoded.
    #[error("the initialisation request cannot be encoded")]
    Encode(#[source] CodecError),
    /// The vault was initialised with another request: somebody was faster, or the host changed it.
    #[error("the vault was initialised with another request than ours; do not use it")]
    InitDigest,
    /// No randomness.
    #[error("no randomness for the request")]
    Random(#[source] RandomError),
    /// The answer is not signed by the key it names.
    #[error("the vault's answer is not signed by its signing key")]
    Signature,
    /// The vault is not acceptable.
    #[error("the new vault is refused; do not use it")]
    Vault(#[source] VaultError),
}

/// Makes a vault and verifies it: its platform, its keys, and that it was made from exactly this request.
///
/// # Errors
/// [`InitError`].
pub async fn init(
    endpoint: &Endpoint,
    parts: &InitParts,
    platform: &VaultPlatform,
) -> Result<Initialised, InitError> {
    let request = InitRequest {
        version: VERSION,
        nonce: random::array().map_err(InitError::Random)?,
        operators: parts.operators.clone(),
        anchors: parts.anchors.clone(),
    };
    let digest = sha256(&[&codec::encode(&request).map_err(InitError::Encode)?]);
    let mut stream =
        transport::connect(endpoint, ALPN_INTRODUCE, None).await.map_err(IntroduceError::Transport)?;
    send(&mut stream, &IntroductionRequest::Init(request)).await?;
    let signed = match receive(&mut stream, endpoint).await? {
        IntroductionReply::InitDone(signed) => signed,
        other => return Err(refused_or_unexpected(other).into()),
    };
    close(&mut stream, endpoint).await;
    let pin = verify(&signed, &digest, &parts.anchors, platform, clock::now_secs())?;
    Ok(Initialised { pin })
}

/// Verifies the answer.
///
/// 1. its signing key is a P-256 key that signed it;
/// 2. it was made from our request: the evidence, checked next, covers the digest;
/// 3. the vault passes [`vault::verify`].
pub(crate) fn verify(
    signed: &SignedVault,
    init_digest: &[u8; 32],
    anchors: &Anchors,
    platform: &VaultPlatform,
    now_secs: u64,
) -> Result<Pin, InitError> {
    let SignedVault { vault, signature } = signed;
    // 1
    let signing_key = P256PublicKey::from_spki(&vault.signing_key).map_err(|_| InitError::Signature)?;
    let statement = codec::encode(vault).map_err(InitError::Encode)?;
    signing_key
        .verify(&transcript::init_done_preimage(&statement), signature)
        .map_err(|_| InitError::Signature)?;
    // 2
    if vault.init_digest != *init_digest {
        return Err(InitError::InitDigest);
    }
    // 3
    let platform = match platform {
        VaultPlatform::Expected(pin) => Platform::Expected(pin),
        VaultPlatform::DangerousTrustWhatItShows => Platform::Shown,
    };
    let expected = Expected { vault_id: None, platform, anchors, log_key: None, checkpoint: None };
    let verified = vault::verify(vault, &signing_key, &expected, now_secs).map_err(InitError::Vault)?;
    Ok(Pin {
        vault_id: *verified.vault_id(),
        platform: verified.platform().clone(),
        anchors: anchors.clone(),
        log_key: Some(verified.log_key().0),
        checkpoint: Some(verified.remembered()),
    })
}
