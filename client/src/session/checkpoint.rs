//! Whether the vault's journal extends the one that the pin remembers (H3, rung R0).

use vouchsafe_log::{Checkpoint, CheckpointError, origin, verify_consistency};
use vouchsafe_protocol::link::StreamId;
use vouchsafe_protocol::refusal::RefusalCode;
use vouchsafe_protocol::session::{Outcome, Reply, Request, Response};

use super::error::{ConnectError, RequestError};
use super::mode::Mode;
use super::{Session, Shared};
use crate::pin::{Pin, Remembered};

/// A checkpoint of the journal, its signature verified, and a proof that it extends an older tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointState {
    /// What the note says.
    pub checkpoint: Checkpoint,
    /// C2SP signed note, to be shown to anybody.
    pub note: Vec<u8>,
    /// RFC 6962 consistency proof from the size asked for; verify it against the older root.
    pub proof: Vec<[u8; 32]>,
}

impl<M: Mode> Session<M> {
    /// The newest checkpoint of the journal, with a proof that it extends the tree of `from_size` leaves (0
    /// for none). The note's signature is verified; the proof is for the caller, who has the older root.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn checkpoint(&self, from_size: u64) -> Result<CheckpointState, RequestError> {
        let Response { outcome, receipt: _, lease: _ } =
            self.shared.call(&Request::Checkpoint { from_size }, false).await?;
        match outcome {
            Outcome::Done(Reply::Checkpoint { note, proof }) => {
                let checkpoint = self.shared.verify_note(&note).map_err(RequestError::Checkpoint)?;
                Ok(CheckpointState { checkpoint, note, proof })
            }
            Outcome::Done(_) => Err(RequestError::Unexpected),
            Outcome::Refused(refusal) => Err(RequestError::Refused(refusal)),
        }
    }

    /// Asks for the newest checkpoint, verifies that it extends what the pin remembers, and remembers it.
    /// [`Session::connect`] has done so once; do it again before the pin is saved at the end of a long session.
    ///
    /// # Errors
    /// [`ConnectError::RolledBack`] and [`ConnectError::Forked`]; [`ConnectError::Request`] and
    /// [`ConnectError::Checkpoint`] if there is no usable checkpoint.
    pub async fn remember(&self, pin: &mut Pin) -> Result<(), ConnectError> {
        let from = pin.checkpoint.unwrap_or(Remembered { size: 0, root: [0; 32] });
        let state = match self.checkpoint(from.size).await {
            // It has no tree of that size: see which one it has.
            Err(RequestError::Refused(refusal)) if refusal.code == RefusalCode::NotFound && from.size > 0 => {
                self.checkpoint(0).await
            }
            other => other,
        };
        let state = state.map_err(|error| match error {
            RequestError::Checkpoint(error) => ConnectError::Checkpoint(error),
            error => ConnectError::Request(error),
        })?;
        pin.checkpoint = Some(extend(from, &state)?);
        Ok(())
    }
}

impl Shared {
    fn verify_note(&self, note: &[u8]) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::verify(note, &origin(&self.vault_id, StreamId::Journal), &self.log_key)
    }
}

/// 1. not shorter than remembered; 2. the same if as long; 3. an extension by proof if longer. An empty tree is
///    extended by every other.
fn extend(from: Remembered, state: &CheckpointState) -> Result<Remembered, ConnectError> {
    let Checkpoint { origin: _, size, root, rung: _ } = state.checkpoint;
    let (remembered, to) = (from.size, Remembered { size, root });
    // 1
    if size < remembered {
        return Err(ConnectError::RolledBack { size, remembered });
    }
    // 2
    if size == remembered && size > 0 {
        return if root == from.root {
            Ok(to)
        } else {
            Err(ConnectError::Forked { size, remembered, source: None })
        };
    }
    // 3
    if remembered > 0 {
        verify_consistency(remembered, &from.root, size, &root, &state.proof)
            .map_err(|error| ConnectError::Forked { size, remembered, source: Some(error) })?;
    }
    Ok(to)
}
