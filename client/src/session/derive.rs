//! Keys that the vault derives for this identity's role and a label.

use vouchsafe_protocol::derive::{DeriveOperation, DeriveReply, DeriveRequest, LabelMetadata};
use vouchsafe_protocol::kv::SecretValue;
use vouchsafe_protocol::path::Path;
use vouchsafe_protocol::session::{Reply, Request};

use super::error::RequestError;
use super::mode::{Mode, Plain, Subject};
use super::{KvPage, Session, names};

/// The derive engine. Labels are whole and canonical, its mount included: `derive/billing/disk`.
pub struct Derive<'a, M: Mode>(&'a Session<M>);

/// A derived key and its version.
pub struct DerivedKey {
    /// Version of the label.
    pub version: u32,
    /// The key; wiped on drop.
    pub key: SecretValue,
}

impl<M: Mode> Session<M> {
    /// The derive engine.
    #[must_use]
    pub fn derive(&self) -> Derive<'_, M> {
        Derive(self)
    }
}

impl<M: Mode> Derive<'_, M> {
    /// The key of this identity's role for a label: of the current version unless one is named, of this length in
    /// bytes ([`vouchsafe_protocol::limits::DERIVED_KEY_LEN`]). Another length gives another key.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn key(
        &self,
        label: &str,
        version: Option<u32>,
        len: u8,
    ) -> Result<M::Out<DerivedKey>, RequestError> {
        let at = parse(label)?;
        let request = DeriveRequest::Key { label: at.clone(), version, len };
        self.call(request, DeriveOperation::Key, &at, |reply| match reply {
            DeriveReply::Key { version: derived, key }
                if key.expose_secret().len() == usize::from(len)
                    && version.is_none_or(|version| version == derived) =>
            {
                Some(DerivedKey { version: derived, key })
            }
            _ => None,
        })
        .await
    }

    /// What is known about a label.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn metadata(&self, label: &str) -> Result<M::Out<LabelMetadata>, RequestError> {
        let at = parse(label)?;
        let request = DeriveRequest::Metadata { label: at.clone() };
        self.call(request, DeriveOperation::Metadata, &at, |reply| match reply {
            DeriveReply::Metadata(metadata) => Some(metadata),
            _ => None,
        })
        .await
    }

    /// Makes the next version the current one; gives it.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn rotate(&self, label: &str) -> Result<M::Out<u32>, RequestError> {
        let at = parse(label)?;
        let request = DeriveRequest::Rotate { label: at.clone() };
        self.call(request, DeriveOperation::Rotate, &at, |reply| match reply {
            DeriveReply::Version(version) => Some(version),
            _ => None,
        })
        .await
    }

    /// Raises the lowest version that is still derived.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn configure(&self, label: &str, min_version: u32) -> Result<M::Out<()>, RequestError> {
        let at = parse(label)?;
        let request = DeriveRequest::Configure { label: at.clone(), min_version };
        self.call(request, DeriveOperation::Configure, &at, |reply| {
            matches!(reply, DeriveReply::Changed).then_some(())
        })
        .await
    }

    /// Names directly below a prefix of labels that were rotated or configured, after a name.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn list_page(
        &self,
        prefix: &str,
        after: Option<String>,
    ) -> Result<M::Out<KvPage>, RequestError> {
        let at = parse(prefix)?;
        let request = DeriveRequest::List { prefix: at.clone(), after };
        self.call(request, DeriveOperation::List, &at, |reply| match reply {
            DeriveReply::Names { names, more } => Some(KvPage { names, more }),
            _ => None,
        })
        .await
    }

    async fn call<T>(
        &self,
        request: DeriveRequest,
        operation: DeriveOperation,
        at: &Path,
        take: impl FnOnce(DeriveReply) -> Option<T>,
    ) -> Result<M::Out<T>, RequestError> {
        self.0
            .request(&Request::Derive(request), Subject::Derive(operation, at), |reply| match reply {
                Reply::Derive(reply) => take(reply),
                _ => None,
            })
            .await
    }
}

impl Derive<'_, Plain> {
    /// All names directly below a prefix of labels that were rotated or configured, in order.
    ///
    /// # Errors
    /// [`RequestError`]; [`RequestError::Unexpected`] if a page does not go on after the one before.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>, RequestError> {
        let mut all: Vec<String> = Vec::new();
        loop {
            let page = self.list_page(prefix, all.last().cloned()).await?;
            if !names::next(&mut all, page)? {
                return Ok(all);
            }
        }
    }
}

fn parse(label: &str) -> Result<Path, RequestError> {
    label.parse().map_err(|source| RequestError::Path { path: label.to_owned(), source })
}
