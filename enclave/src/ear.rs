//! Attestation results for agents: who may ask, and about whom. What is in one is [`vouchsafe_results::ear`]'s.
//!
//! Who calls it: an agent, about itself alone. What is signed begins with the base64url of `{"`, and every other
//! pre-image of the vault's signing key with the text `vouchsafe/1/`, so that neither can pass for the other.

use vouchsafe_protocol::limits::RESULT_NONCE_LEN;
use vouchsafe_protocol::log::Action;
use vouchsafe_protocol::refusal::{Refusal, RefusalCode};
use vouchsafe_results::ear::{Stated, result};

use crate::core::Core;
use crate::session::SessionId;

impl Core {
    /// A signed result for the agent of a session.
    ///
    /// # Errors
    /// [`RefusalCode::TooLarge`] for a nonce of another length than EAT allows; [`RefusalCode::Identity`] if what the
    /// evidence showed was forgotten for want of room.
    pub(crate) fn attestation_result(
        &self,
        id: SessionId,
        nonce: Vec<u8>,
        now: u64,
    ) -> Result<(String, Action), Refusal> {
        if !RESULT_NONCE_LEN.contains(&nonce.len()) {
            return Err(RefusalCode::TooLarge.into());
        }
        let forgotten =
            || Refusal { code: RefusalCode::Identity, rule: Some("evidence.forgotten".to_owned()) };
        let (number, key) = self.session_identity(id).ok_or(RefusalCode::Identity)?;
        let seen = self.state().seen.of(number).ok_or_else(forgotten)?;
        let (version, platform) = (env!("CARGO_PKG_VERSION"), self.platform.as_str());
        let verifier = format!("vouchsafe {version} on {platform}, measurement {}", self.measurement);
        let vault_id = self.state().vault_id;
        let stated = Stated { seen: &seen, key, nonce: &nonce, vault_id, verifier: &verifier, now };
        let (signing_key, certificate) = self.result_signer();
        let jwt = result(&stated, signing_key, &[certificate, self.authority()]);
        let jwt = jwt.map_err(|_| RefusalCode::Busy)?.ok_or_else(forgotten)?;
        Ok((jwt, Action::AttestationResult { nonce }))
    }
}
