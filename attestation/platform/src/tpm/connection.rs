//! One connection: a context, the storage root key, and a session salted to it.
//!
//! Who controls what is between us and the TPM: the host (T14, T17). So every command that reveals or decides
//! something runs in an HMAC session whose salt only the storage root key can open; its answers are
//! authenticated, and secret parameters are encrypted (AES-128-CFB).
//! INVARIANT: what the caller believes of this connection is worth what the name of its storage root key is
//! worth; whoever has that name on record compares it before using anything else.
//!
//! A connection lasts for one operation: the TPM restarts, a killed process and a second user then cost a
//! retry, not a restart. Keys are made again from their templates, in milliseconds.

use std::io;

use tss_esapi::Context;
use tss_esapi::attributes::SessionAttributesBuilder;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind;
use tss_esapi::constants::{CapabilityType, SessionType};
use tss_esapi::handles::{KeyHandle, ObjectHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::{CapabilityData, Public, SymmetricDefinition};

use super::error::{ConnectError, TpmError, kind};
use super::key::{self, Name};
use super::tcti::Tcti;

/// First handle of transient objects and of loaded and saved sessions (TPM 2.0 Part 2, section 7.2).
const LEFT_OVER: [u32; 3] = [0x8000_0000, 0x0200_0000, 0x0300_0000];
/// Handles asked for at once; a TPM without a resource manager holds a handful.
const MAX_HANDLES: u32 = 64;

/// Which parameters of a command the session encrypts. A parameter that is not a sized buffer cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encrypt {
    /// The first of the answer.
    Answer,
    /// The first of the command and the first of the answer.
    Both,
    /// The first of the command.
    Command,
    /// None, but the answer is authenticated; for commands that need no authorisation.
    NoneButAuthenticate,
    /// None; the session authorises, and the answer is authenticated.
    NoneButAuthorize,
}

pub(crate) struct Connection {
    context: Context,
    srk: KeyHandle,
    srk_name: Name,
    session: AuthSession,
}

impl Connection {
    pub(crate) fn open(tcti: &Tcti) -> Result<Self, TpmError> {
        check_device(tcti)?;
        let unreachable = |source| ConnectError::Unreachable { tcti: tcti.clone(), source };
        let mut context = tcti.name_conf().and_then(Context::new).map_err(unreachable)?;
        if tcti.is_exclusive() {
            flush_left_over(&mut context).map_err(unreachable)?;
        }
        let (srk, public) = create_primary(&mut context, Hierarchy::Owner, key::storage_root())?;
        let srk_name = key::name(&public)?;
        let session = salted_session(&mut context, srk, SessionType::Hmac)?;
        Ok(Self { context, srk, srk_name, session })
    }

    /// Name of the storage root key; see the invariant above.
    pub(crate) fn srk_name(&self) -> Name {
        self.srk_name
    }

    pub(crate) fn srk(&self) -> KeyHandle {
        self.srk
    }

    pub(crate) fn session(&self) -> AuthSession {
        self.session
    }

    /// Runs a command in the salted session.
    pub(crate) fn command<T>(
        &mut self,
        command: &'static str,
        encrypt: Encrypt,
        run: impl FnOnce(&mut Context) -> Result<T, tss_esapi::Error>,
    ) -> Result<T, TpmError> {
        let session = self.session;
        set_attributes(&mut self.context, session, encrypt)?;
        self.context
            .execute_with_session(Some(session), run)
            .map_err(|source| TpmError::Command { command, source })
    }

    /// Runs a command without a session, or in those that `run` chooses.
    pub(crate) fn bare<T>(
        &mut self,
        command: &'static str,
        run: impl FnOnce(&mut Context) -> Result<T, tss_esapi::Error>,
    ) -> Result<T, TpmError> {
        self.context.execute_without_session(run).map_err(|source| TpmError::Command { command, source })
    }

    /// A policy session salted like the other one.
    pub(crate) fn policy_session(&mut self, encrypt: Encrypt) -> Result<PolicySession, TpmError> {
        let session = salted_session(&mut self.context, self.srk, SessionType::Policy)?;
        set_attributes(&mut self.context, session, encrypt)?;
        let unexpected = |_| TpmError::UnexpectedAnswer { command: "TPM2_StartAuthSession" };
        PolicySession::try_from(session).map_err(unexpected)
    }

    /// Creates a primary key. Its public part is not authenticated: a salted session must stand on it, or
    /// its name must be known.
    pub(crate) fn create_primary(
        &mut self,
        hierarchy: Hierarchy,
        template: Result<Public, tss_esapi::Error>,
    ) -> Result<(KeyHandle, Public), TpmError> {
        create_primary(&mut self.context, hierarchy, template)
    }

    /// Flushes an object before the connection ends: a TPM holds only three.
    pub(crate) fn flush(&mut self, object: ObjectHandle) -> Result<(), TpmError> {
        self.bare("TPM2_FlushContext", |context| context.flush_context(object))
    }
}

fn check_device(tcti: &Tcti) -> Result<(), ConnectError> {
    let Some(path) = tcti.device() else { return Ok(()) };
    match std::fs::OpenOptions::new().read(true).write(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(ConnectError::NoDevice { path: path.to_owned() })
        }
        Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
            Err(ConnectError::Denied { path: path.to_owned(), source })
        }
        Err(source) => Err(ConnectError::Device { path: path.to_owned(), source }),
    }
}

/// Frees what a killed process left in a TPM that has no resource manager and that nobody else uses now.
fn flush_left_over(context: &mut Context) -> Result<(), tss_esapi::Error> {
    for first in LEFT_OVER {
        let (handles, _) = context.get_capability(CapabilityType::Handles, first, MAX_HANDLES)?;
        let CapabilityData::Handles(handles) = handles else { continue };
        for &handle in handles.iter() {
            let object = context.tr_from_tpm_public(handle)?;
            match context.flush_context(object) {
                // The wrapper's books say that policy sessions cannot be flushed, after the TPM flushed one.
                Ok(()) | Err(tss_esapi::Error::WrapperError(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

fn create_primary(
    context: &mut Context,
    hierarchy: Hierarchy,
    template: Result<Public, tss_esapi::Error>,
) -> Result<(KeyHandle, Public), TpmError> {
    let command = "TPM2_CreatePrimary";
    let template = template.map_err(|source| TpmError::Command { command, source })?;
    let created = context.execute_with_session(Some(AuthSession::Password), |context| {
        context.create_primary(hierarchy, template, None, None, None, None)
    });
    match created {
        Ok(created) => Ok((created.key_handle, created.out_public)),
        Err(source) => match kind(&source) {
            Some(Tss2ResponseCodeKind::BadAuth | Tss2ResponseCodeKind::AuthFail)
                if hierarchy == Hierarchy::Owner =>
            {
                Err(ConnectError::OwnerPassword.into())
            }
            _ => Err(TpmError::Command { command, source }),
        },
    }
}

fn salted_session(
    context: &mut Context,
    salt_key: KeyHandle,
    session_type: SessionType,
) -> Result<AuthSession, TpmError> {
    let command = "TPM2_StartAuthSession";
    context
        .execute_without_session(|context| {
            context.start_auth_session(
                Some(salt_key),
                None,
                None,
                session_type,
                SymmetricDefinition::AES_128_CFB,
                HashingAlgorithm::Sha256,
            )
        })
        .map_err(|source| TpmError::Command { command, source })?
        .ok_or(TpmError::UnexpectedAnswer { command })
}

fn set_attributes(context: &mut Context, session: AuthSession, encrypt: Encrypt) -> Result<(), TpmError> {
    let (attributes, mask) = SessionAttributesBuilder::new()
        .with_continue_session(true)
        .with_decrypt(matches!(encrypt, Encrypt::Both | Encrypt::Command))
        .with_encrypt(matches!(encrypt, Encrypt::Both | Encrypt::Answer))
        .with_audit(encrypt == Encrypt::NoneButAuthenticate)
        .build();
    context
        .tr_sess_set_attributes(session, attributes, mask)
        .map_err(|source| TpmError::Command { command: "Esys_TRSess_SetAttributes", source })
}
