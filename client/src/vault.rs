//! Whether a vault is the pinned one, before anything is proved to it.
//!
//! Who calls it: introduction and initialisation, on a statement that a hostile host may have made up. What
//! must stay true: a [`VerifiedVault`] exists only for a statement that passed every step.

use vouchsafe_attestation::{
    AnchorError, AppraisalError, ChainCache, Collateral, Context, TrustAnchors, appraise_vault, statement,
};
use vouchsafe_crypto::signature::{LogPublicKey, P256PublicKey};
use vouchsafe_crypto::transcript;
use vouchsafe_log::{Checkpoint, CheckpointError, origin};
use vouchsafe_protocol::anchors::Anchors;
use vouchsafe_protocol::id::{AnchorClass, VaultId, class_byte};
use vouchsafe_protocol::introduction::VaultStatement;
use vouchsafe_protocol::link::StreamId;
use vouchsafe_protocol::policy::VaultPlatformPin;

use crate::certificate::{Authority, CertificateError};
use crate::first_use::{self, FirstUseError};
use crate::pin::{Remembered, anchors_digest};

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

/// Why a vault's statement is refused. One variant per step of the verification, in its order.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Step 1.
    #[error("the vault's authority is refused")]
    Authority(#[source] CertificateError),
    /// Step 2.
    #[error("the pinned trust anchors cannot be used")]
    Anchors(#[source] AnchorError),
    /// Step 3.
    #[error("the vault was initialised with other trust anchors than the pinned ones")]
    AnchorsDiffer,
    /// Step 4.
    #[error("the vault says that it is {said:?}, but its trust anchors are {actual:?}")]
    Class {
        /// What its id says.
        said: AnchorClass,
        /// What its anchors are.
        actual: AnchorClass,
    },
    /// Step 5.
    #[error("the vault's id does not belong to its authority and trust anchors")]
    IdDigest,
    /// Step 6.
    #[error("this is {found}, not the pinned {expected}; do not go on unless you know why")]
    WrongVault {
        /// Pinned.
        expected: VaultId,
        /// Shown.
        found: VaultId,
    },
    /// Step 7.
    #[error("the vault's authority did not endorse its signing key")]
    Endorsement,
    /// Step 8, on first use.
    #[error("the vault's evidence shows nothing that could be pinned")]
    FirstUse(#[source] FirstUseError),
    /// Step 8.
    #[error("the vault's evidence is refused ({})", .0.code())]
    Evidence(#[source] AppraisalError),
    /// Step 9.
    #[error("the vault's log has another key than the remembered one")]
    LogKey,
    /// Step 10.
    #[error("the vault's checkpoint is refused")]
    Checkpoint(#[source] CheckpointError),
    /// Step 11.
    #[error(
        "the vault was rolled back: its journal has {size} entries, and it had {remembered} before; \
         its host has put an older state in its place"
    )]
    RolledBack {
        /// Size shown.
        size: u64,
        /// Size remembered.
        remembered: u64,
    },
    /// Step 12.
    #[error("the vault was forked: its journal of {size} entries is another one than before")]
    Forked {
        /// Size of both.
        size: u64,
    },
}

/// What the platform's evidence is held against.
pub(crate) enum Platform<'a> {
    /// A pin.
    Expected(&'a VaultPlatformPin),
    /// Whatever it shows becomes the pin; it is verified all the same.
    Shown,
}

/// What a vault is held against.
pub(crate) struct Expected<'a> {
    /// `None` only on first use.
    pub vault_id: Option<VaultId>,
    pub platform: Platform<'a>,
    pub anchors: &'a Anchors,
    pub log_key: Option<LogPublicKey>,
    pub checkpoint: Option<Remembered>,
}

/// A vault that is the expected one. Made only by [`verify`].
#[derive(Debug)]
pub(crate) struct VerifiedVault {
    vault_id: VaultId,
    authority: Authority,
    log_key: LogPublicKey,
    checkpoint: Checkpoint,
    platform: VaultPlatformPin,
}

impl VerifiedVault {
    pub(crate) fn vault_id(&self) -> &VaultId {
        &self.vault_id
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    pub(crate) fn log_key(&self) -> &LogPublicKey {
        &self.log_key
    }

    pub(crate) fn remembered(&self) -> Remembered {
        Remembered { size: self.checkpoint.size, root: self.checkpoint.root }
    }

    pub(crate) fn platform(&self) -> &VaultPlatformPin {
        &self.platform
    }
}

/// Verifies a vault's statement, whose signature by `signing_key` the caller has verified.
///
/// 1. the authority is a self-signed P-256 authority;
/// 2. the expected anchors can be used;
/// 3. the vault was initialised with exactly them;
/// 4. its id says the class that they have;
/// 5. its id commits to its authority and to them;
/// 6. its id is the expected one (B10);
/// 7. the authority endorsed the signing key for this vault;
/// 8. its platform's evidence is over these very keys and passes the pin;
/// 9. its log key is the remembered one;
/// 10. its checkpoint is signed by that key for its journal;
/// 11. the journal is no shorter than remembered (rung R0);
/// 12. and of the same length only if it is the same.
pub(crate) fn verify(
    vault: &VaultStatement,
    signing_key: &P256PublicKey,
    expected: &Expected<'_>,
    now_secs: u64,
) -> Result<VerifiedVault, VaultError> {
    let VaultStatement {
        vault_id,
        authority,
        anchors_digest: digest,
        signing_key: _, // the caller parsed it into `signing_key`, and verified the statement with it
        endorsement,
        log_key,
        init_digest,
        evidence,
        checkpoint,
    } = vault;
    // 1
    let authority = Authority::parse(authority).map_err(VaultError::Authority)?;
    // 2
    let anchors = TrustAnchors::new(expected.anchors).map_err(VaultError::Anchors)?;
    // 3
    if anchors_digest(expected.anchors) != Some(*digest) {
        return Err(VaultError::AnchorsDiffer);
    }
    // 4
    if vault_id.class != anchors.class() {
        return Err(VaultError::Class { said: vault_id.class, actual: anchors.class() });
    }
    // 5
    let spki = authority.key().spki();
    if vault_id.digest != transcript::vault_id_digest(class_byte(vault_id.class), spki, digest) {
        return Err(VaultError::IdDigest);
    }
    // 6
    if let Some(expected) = expected.vault_id
        && expected != *vault_id
    {
        return Err(VaultError::WrongVault { expected, found: *vault_id });
    }
    // 7
    let endorsed = transcript::signing_key_preimage(&vault_id.to_bytes(), signing_key.spki());
    authority.key().verify(&endorsed, endorsement).map_err(|_| VaultError::Endorsement)?;
    // 8
    let shown;
    let pin = match expected.platform {
        Platform::Expected(pin) => pin,
        Platform::Shown => {
            shown = first_use::pin_of(evidence).map_err(VaultError::FirstUse)?;
            &shown
        }
    };
    let statement = statement::vault(vault_id, spki, signing_key.spki(), log_key, init_digest);
    // What endorses a vault's evidence comes with it: a client that meets its vault holds nothing else.
    let context = Context { anchors: &anchors, collateral: &Collateral::new(), now_unix_secs: now_secs };
    appraise_vault(evidence, &statement, pin, context, &mut ChainCache::new())
        .map_err(VaultError::Evidence)?;
    // 9
    let log_key = LogPublicKey(*log_key);
    if expected.log_key.is_some_and(|remembered| remembered != log_key) {
        return Err(VaultError::LogKey);
    }
    // 10
    let checkpoint = Checkpoint::verify(checkpoint, &origin(vault_id, StreamId::Journal), &log_key)
        .map_err(VaultError::Checkpoint)?;
    // 11, 12
    check_not_older(&checkpoint, expected.checkpoint)?;
    Ok(VerifiedVault { vault_id: *vault_id, authority, log_key, checkpoint, platform: pin.clone() })
}

/// Steps 11 and 12 of [`verify`].
fn check_not_older(checkpoint: &Checkpoint, remembered: Option<Remembered>) -> Result<(), VaultError> {
    let size = checkpoint.size;
    match remembered {
        Some(remembered) if size < remembered.size => {
            Err(VaultError::RolledBack { size, remembered: remembered.size })
        }
        Some(remembered) if size == remembered.size && checkpoint.root != remembered.root => {
            Err(VaultError::Forked { size })
        }
        Some(_) | None => Ok(()),
    }
}
