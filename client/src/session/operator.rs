//! What operators may ask: roles, status, sealing, the log.

use vouchsafe_crypto::secret::Key32;
use vouchsafe_protocol::id::RoleName;
use vouchsafe_protocol::link::StreamId;
use vouchsafe_protocol::policy::Role;
use vouchsafe_protocol::session::{Reply, Request, Status};

use super::Session;
use super::error::RequestError;
use super::mode::{Mode, Subject};

/// Roles.
pub struct Roles<'a, M: Mode>(&'a Session<M>);

/// The log, for auditors.
pub struct Audit<'a, M: Mode>(&'a Session<M>);

impl<M: Mode> Session<M> {
    /// Roles; operators only.
    #[must_use]
    pub fn roles(&self) -> Roles<'_, M> {
        Roles(self)
    }

    /// The log; operators only.
    #[must_use]
    pub fn audit(&self) -> Audit<'_, M> {
        Audit(self)
    }

    /// What the vault is and does; operators only.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn status(&self) -> Result<M::Out<Status>, RequestError> {
        self.request(&Request::Status, Subject::Operator, |reply| match reply {
            Reply::Status(status) => Some(status),
            _ => None,
        })
        .await
    }

    /// Makes the vault forget every key until its enclave is started again; operators only.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn seal(&self) -> Result<M::Out<()>, RequestError> {
        self.request(&Request::Seal, Subject::Operator, done).await
    }
}

impl<M: Mode> Roles<'_, M> {
    /// Applies roles, all or none: each replaces the one of its name. See [`crate::policy::compile`].
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn apply(&self, roles: Vec<Role>) -> Result<M::Out<()>, RequestError> {
        self.0.request(&Request::RoleApply(roles), Subject::Operator, done).await
    }

    /// Names of all roles.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn list(&self) -> Result<M::Out<Vec<RoleName>>, RequestError> {
        self.0
            .request(&Request::RoleList, Subject::Operator, |reply| match reply {
                Reply::Roles(names) => Some(names),
                _ => None,
            })
            .await
    }

    /// One role, as it is decided on.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn show(&self, name: &RoleName) -> Result<M::Out<Role>, RequestError> {
        self.0
            .request(&Request::RoleShow(name.clone()), Subject::Operator, |reply| match reply {
                Reply::Role(role) => Some(role),
                _ => None,
            })
            .await
    }
}

impl<M: Mode> Audit<'_, M> {
    /// The key that opens audit entries; the vault logs that it was handed out.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn key(&self) -> Result<M::Out<Key32>, RequestError> {
        self.0
            .request(&Request::AuditKey, Subject::Operator, |reply| match reply {
                Reply::AuditKey(key) => {
                    let bytes: &[u8; 32] = key.expose_secret().try_into().ok()?;
                    Key32::fill_with(|out| {
                        out.copy_from_slice(bytes);
                        Ok::<(), core::convert::Infallible>(())
                    })
                    .ok()
                }
                _ => None,
            })
            .await
    }

    /// Streams and their number of frames.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn streams(&self) -> Result<M::Out<Vec<(StreamId, u64)>>, RequestError> {
        self.0
            .request(&Request::AuditStreams, Subject::Operator, |reply| match reply {
                Reply::AuditStreams(streams) => Some(streams),
                _ => None,
            })
            .await
    }

    /// Frames of a stream from an index on, as the host stores them; empty at the end. Nothing about them is
    /// verified here: see `FrameReader` in `vouchsafe-log`.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn frames(&self, stream: StreamId, from: u64) -> Result<M::Out<Vec<Vec<u8>>>, RequestError> {
        self.0
            .request(&Request::AuditFrames { stream, from }, Subject::Operator, |reply| match reply {
                Reply::AuditFrames(frames) => Some(frames),
                _ => None,
            })
            .await
    }
}

fn done(reply: Reply) -> Option<()> {
    matches!(reply, Reply::Done).then_some(())
}
