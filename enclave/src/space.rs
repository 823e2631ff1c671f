//! What is served while the host has little space left: what operators decide to end, and nothing that fills it (H10).
//!
//! The host says so, and may lie: then it denies service, which it can at any time.

use vouchsafe_protocol::codec;
use vouchsafe_protocol::limits::SESSION_FRAME_LEN;
use vouchsafe_protocol::link::StorageReply;
use vouchsafe_protocol::log::{Action, Actor, Decision};
use vouchsafe_protocol::refusal::RefusalCode;
use vouchsafe_protocol::session::Request;

use crate::change::IdentitySubject;
use crate::core::Core;
use crate::ports::Ports;

/// While space is scarce an entry is written this often, in seconds: the answer tells whether it still is.
const ASK_AGAIN_SECS: u64 = 30;

/// How much space the host has left, by its last answer to an append.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Space {
    /// Enough.
    #[default]
    Ample,
    /// For decisions of operators only.
    Scarce,
}

impl Space {
    /// What an answer says of it.
    #[must_use]
    pub fn of(reply: &StorageReply) -> Self {
        match reply {
            StorageReply::Scarce => Self::Scarce,
            StorageReply::Boot(_)
            | StorageReply::Done
            | StorageReply::Failed(_)
            | StorageReply::Frames(_)
            | StorageReply::Heads(_) => Self::Ample,
        }
    }
}

impl Core {
    /// Takes notice of what the host said with its last append.
    pub fn notice_space(&mut self, space: Space) {
        if space != self.space {
            self.ask_space_at = self.clock().saturating_add(ASK_AGAIN_SECS);
        }
        self.space = space;
    }

    /// Whether somebody is served now.
    ///
    /// # Errors
    /// [`RefusalCode::Scarce`]. It is in no log: that is what there is no space for.
    pub(crate) fn check_space(&self, subject: &IdentitySubject) -> Result<(), RefusalCode> {
        match (self.space, subject) {
            (Space::Ample, _) | (Space::Scarce, IdentitySubject::Operator(_)) => Ok(()),
            (Space::Scarce, IdentitySubject::Agent { .. }) => Err(RefusalCode::Scarce),
        }
    }

    /// Whether a request is served now.
    ///
    /// # Errors
    /// As [`Self::check_space`].
    pub(crate) fn check_space_for(&self, subject: &IdentitySubject, body: &[u8]) -> Result<(), RefusalCode> {
        if self.space == Space::Ample {
            return Ok(());
        }
        self.check_space(subject)?;
        match codec::decode::<Request>(body, SESSION_FRAME_LEN) {
            Ok(
                Request::Checkpoint { .. }
                | Request::Lease(_)
                | Request::RoleApply(_)
                | Request::RoleList
                | Request::RoleShow(_)
                | Request::Seal
                | Request::Status,
            ) => Ok(()),
            Ok(_) | Err(_) => Err(RefusalCode::Scarce),
        }
    }

    /// When to ask the host again, in seconds since 1970.
    pub(crate) fn ask_space_at(&self) -> Option<u64> {
        (self.space == Space::Scarce).then_some(self.ask_space_at)
    }

    /// Writes an entry, whose answer says how much space there is.
    pub(crate) fn ask_space(&mut self, now: u64, ports: &mut dyn Ports) -> Result<(), RefusalCode> {
        let entry = self.entry((Actor::Vault, None, Action::Look, Decision::Allowed), now, ports)?;
        self.log_access(&entry, None);
        self.ask_space_at = now.saturating_add(ASK_AGAIN_SECS);
        Ok(())
    }
}
