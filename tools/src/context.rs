//! What commands have in common: the directory, the vault's address, and sessions as somebody.

use std::path::Path;

use anyhow::{Context as _, Result};
use vouchsafe_client::{
    ConnectError, Endpoint, Expect, Identity, Introduced, Pin, RequestError, Session, introduce_operator,
    load_key,
};
use vouchsafe_protocol::id::{OperatorName, RoleName};
use vouchsafe_protocol::refusal::RefusalCode;

use crate::failure::Problem;
use crate::home::{Connection, DEFAULT_ADDRESS, Home, IdentityNotes};
use crate::progress::during;

/// An operator's identity that ends this soon is renewed first, in seconds.
const RENEW_BEFORE_SECS: u64 = 60;

/// Options that every command has.
pub(crate) struct Context {
    /// `--dir`.
    pub(crate) home: Home,
    /// `--address`, or as remembered, or the default.
    pub(crate) connection: Connection,
}

/// Who asks.
pub(crate) enum Speaker {
    /// An agent, by the role of its identity.
    Agent(RoleName),
    /// An operator.
    Operator(OperatorName),
}

/// An open session, and the pin that it has learnt from.
pub(crate) struct Conversation {
    pub(crate) session: Session,
    pub(crate) pin: Pin,
}

impl Context {
    /// Finds the directory and the address.
    pub(crate) fn new(dir: Option<&Path>, address: Option<String>) -> Result<Self> {
        let home = Home::locate(dir)?;
        let remembered = home.connection()?;
        let connection = match address {
            Some(address) => Connection { address, admin: None },
            None => {
                remembered.unwrap_or_else(|| Connection { address: DEFAULT_ADDRESS.to_owned(), admin: None })
            }
        };
        Ok(Self { home, connection })
    }

    /// The vault's host.
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::new(&self.connection.address)
    }

    /// The only operator of this directory, or the one named.
    pub(crate) fn operator(&self, name: Option<&OperatorName>) -> Result<OperatorName> {
        let all = self.home.operators()?;
        match (name, all.as_slice()) {
            (Some(name), all) if all.contains(name) => Ok(name.clone()),
            (Some(name), _) => {
                Err(Problem::new("no-operator", format!("there is no key of operator '{name}' here"))
                    .hint("'vouchsafe operator keygen' makes one; 'vouchsafe init' pins it")
                    .into())
            }
            (None, [one]) => Ok(one.clone()),
            (None, []) => {
                let message = format!("{} holds no operator's key", self.home.path().display());
                Err(Problem::new("no-operator", message)
                    .hint("this is for operators: name the directory with their key with --dir")
                    .into())
            }
            (None, _) => Err(Problem::usage("there are several operators here")
                .hint("say which with --as NAME")
                .into()),
        }
    }

    /// A session as an operator. The identity is kept, and renewed when it has ended.
    pub(crate) async fn as_operator(&self, name: Option<&OperatorName>) -> Result<Conversation> {
        let name = self.operator(name)?;
        let mut pin = self.home.pin()?;
        let dir = self.home.operator_dir(&name).join("identity");
        if let Some(identity) = kept_identity(&dir) {
            match self.connect(&identity, &mut pin).await {
                Ok(session) => return Ok(Conversation { session, pin }),
                // The vault does not know it any more, or it is another vault's: one attempt with a new one.
                Err(error) if is_about_identity(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let key = load_key(self.home.operator_key_path(&name))?;
        let endpoint = self.endpoint();
        let introducing = introduce_operator(&endpoint, Expect::Pinned(&pin), &name, &key);
        let introduced = during("introducing this operator", introducing).await;
        let introduced = introduced.context("the vault did not let this operator in")?;
        keep_identity(&introduced, &dir)?;
        self.home.save_pin(&introduced.pin)?;
        let Introduced { identity, mut pin, .. } = introduced;
        let session = self.connect(&identity, &mut pin).await?;
        Ok(Conversation { session, pin })
    }

    /// A session as an agent, with an identity that `vouchsafe introduce` has made.
    pub(crate) async fn as_agent(&self, identity_dir: &Path) -> Result<Conversation> {
        let mut pin = self.home.pin()?;
        let identity = Identity::load(identity_dir).with_context(|| {
            format!("no identity in {}; run 'vouchsafe introduce' first", identity_dir.display())
        })?;
        let session = self.connect(&identity, &mut pin).await?;
        Ok(Conversation { session, pin })
    }

    async fn connect(&self, identity: &Identity, pin: &mut Pin) -> Result<Session, ConnectError> {
        let endpoint = self.endpoint();
        during("opening a session with the vault", Session::connect(&endpoint, identity, pin)).await
    }
}

impl Conversation {
    /// Signs the request chain to its end, closes, and keeps what the pin has learnt: also after a refusal. What
    /// fails in doing so comes after the outcome, which the vault has already logged, has been shown.
    pub(crate) async fn conclude<T>(self, home: &Home, outcome: Result<T>) -> Result<(T, Concluded)> {
        let Self { session, pin } = self;
        let closed = session.close().await.context("the session did not close in order");
        let concluded = Concluded::new(home, pin, closed);
        Ok((outcome?, concluded))
    }
}

/// A conversation that is over.
pub(crate) struct Concluded {
    pub(crate) pin: Pin,
    /// What failed after the vault had done as it was asked.
    pub(crate) late: Result<()>,
}

impl Concluded {
    /// Keeps what the pin has learnt, whether or not the session closed in order.
    pub(crate) fn new(home: &Home, pin: Pin, closed: Result<()>) -> Self {
        let kept = home.save_pin(&pin).map_err(|error| {
            let message = "the vault has done this, but its newest checkpoint could not be kept";
            let hint = format!(
                "do not repeat the command; make {} writable, with space on its disk: a rollback of the vault to \
                 before this moment would not be noticed from here",
                home.path().display()
            );
            error.context(Problem::new("checkpoint-not-kept", message).hint(hint))
        });
        Self { pin, late: kept.and(closed) }
    }

    /// Does something more that comes after the outcome; the first failure is told.
    pub(crate) fn and(self, next: impl FnOnce() -> Result<()>) -> Self {
        let next = next();
        Self { pin: self.pin, late: self.late.and(next) }
    }

    /// For when there is nothing to be shown first.
    pub(crate) fn all(self) -> Result<Pin> {
        self.late.map(|()| self.pin)
    }
}

/// Keeps an identity and its notes.
pub(crate) fn keep_identity(introduced: &Introduced, dir: &Path) -> Result<()> {
    introduced.identity.save(dir)?;
    IdentityNotes {
        spiffe_id: introduced.spiffe_id.clone(),
        not_after_secs: introduced.not_after_secs,
        evidence_until_secs: introduced.evidence_until_secs,
    }
    .save(dir)
}

/// An operator's identity that is still good for a while.
fn kept_identity(dir: &Path) -> Option<Identity> {
    let notes = IdentityNotes::load(dir)?;
    if notes.ends_secs() < now_secs().saturating_add(RENEW_BEFORE_SECS) {
        return None;
    }
    Identity::load(dir).ok()
}

/// Whether a new introduction may help.
fn is_about_identity(error: &ConnectError) -> bool {
    match error {
        ConnectError::AnotherVault { .. } | ConnectError::Identity(_) => true,
        ConnectError::Request(RequestError::Refused(refusal)) => {
            matches!(refusal.code, RefusalCode::EvidenceExpired | RefusalCode::Identity)
        }
        _ => false,
    }
}

/// Seconds since 1970 by this machine's clock.
#[expect(clippy::disallowed_methods, reason = "the command line is the edge of its process")]
pub(crate) fn now_secs() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A time for people: RFC 3339, UTC.
pub(crate) fn rfc3339(secs: u64) -> String {
    let format = time::format_description::well_known::Rfc3339;
    i64::try_from(secs)
        .ok()
        .and_then(|secs| time::OffsetDateTime::from_unix_timestamp(secs).ok())
        .and_then(|at| at.format(&format).ok())
        .unwrap_or_else(|| format!("{secs} s after 1970"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::failure::Failure;

    fn pin(dir: &Path) -> Pin {
        let text = format!(
            "version = 1\nvault_id = \"vault-{zeros}\"\n\n[platform.tpm]\nak_name = \"{name}\"\n\n\
             [platform.tpm.pcrs]\n7 = \"{zeros}\"\n\n[anchors]\namd = \"built-in\"\n",
            zeros = "0".repeat(64),
            name = "0".repeat(68),
        );
        let path = dir.join("given.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        Pin::load(path).unwrap()
    }

    #[test]
    fn a_checkpoint_that_cannot_be_kept_is_told_after_the_outcome() {
        let dir = tempfile::tempdir().unwrap();
        let pin = pin(dir.path());
        // Where the directory should be there is a file.
        let home = Home::locate(Some(&dir.path().join("given.toml"))).unwrap();
        let closed = Err(anyhow::anyhow!("not told: the first failure is"));
        let failure = Failure::of(&Concluded::new(&home, pin, closed).late.unwrap_err());
        assert_eq!(failure.code, "checkpoint-not-kept");
        assert!(failure.message.starts_with("the vault has done this"), "{}", failure.message);
        assert!(failure.hint.unwrap().starts_with("do not repeat"));
    }

    #[test]
    fn a_pin_that_has_learnt_nothing_is_not_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(dir.path())).unwrap();
        let pin = pin(dir.path());
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        home.save_pin(&pin).unwrap();
        // A directory that a write would refuse.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(Concluded::new(&home, pin, Ok(())).late.is_ok());
    }
}
