//! Secrets: versions, check-and-set, deletion and what is known about them.

use std::fmt;

use vouchsafe_protocol::kv::{Cas, KvMetadata, KvReply, KvRequest, SecretValue};
use vouchsafe_protocol::limits::KV_VALUE_LEN;
use vouchsafe_protocol::log::KvOperation;
use vouchsafe_protocol::path::Path;
use vouchsafe_protocol::session::{Reply, Request};

use super::Session;
use super::error::RequestError;
use super::mode::{Mode, Plain, Subject};

/// The kv engine. Paths are whole and canonical, its mount included: `kv/billing/db`.
pub struct Kv<'a, M: Mode>(&'a Session<M>);

/// A version of a secret.
pub struct KvSecret {
    /// Version.
    pub version: u64,
    /// When it was written, seconds since 1970.
    pub created_secs: u64,
    /// The value; wiped on drop.
    pub value: SecretValue,
}

impl fmt::Debug for KvSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, created_secs, value: _ } = self;
        write!(f, "KvSecret {{ version: {version}, created_secs: {created_secs}, .. }}")
    }
}

/// A page of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvPage {
    /// Names directly below the prefix, in order; `/` ends those that have more below.
    pub names: Vec<String>,
    /// Whether there are more after the last one.
    pub more: bool,
}

impl<M: Mode> Session<M> {
    /// The kv engine.
    #[must_use]
    pub fn kv(&self) -> Kv<'_, M> {
        Kv(self)
    }
}

impl<M: Mode> Kv<'_, M> {
    /// Reads the current version.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn get(&self, path: &str) -> Result<M::Out<KvSecret>, RequestError> {
        self.read(path, None).await
    }

    /// Reads a version.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn get_version(&self, path: &str, version: u64) -> Result<M::Out<KvSecret>, RequestError> {
        self.read(path, Some(version)).await
    }

    /// Writes a new version and returns its number. With [`Cas::Version`] it is written only if that is the
    /// current one; 0 means that there is none yet.
    ///
    /// # Errors
    /// [`RequestError`]; after [`RequestError::Ended`] or [`RequestError::Timeout`] it may have been written.
    pub async fn put(&self, path: &str, value: SecretValue, cas: Cas) -> Result<M::Out<u64>, RequestError> {
        let len = value.expose_secret().len();
        if len > KV_VALUE_LEN {
            return Err(RequestError::TooLarge { len, limit: KV_VALUE_LEN });
        }
        let at = parse(path)?;
        let request = KvRequest::Put { path: at.clone(), value, cas };
        self.call(request, KvOperation::Put, &at, |reply| match reply {
            KvReply::Written { version } => Some(version),
            _ => None,
        })
        .await
    }

    /// Names directly below a prefix, at most [`vouchsafe_protocol::limits::LIST_PAGE`], after a name.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn list_page(
        &self,
        prefix: &str,
        after: Option<String>,
    ) -> Result<M::Out<KvPage>, RequestError> {
        let at = parse(prefix)?;
        let request = KvRequest::List { prefix: at.clone(), after };
        self.call(request, KvOperation::List, &at, |reply| match reply {
            KvReply::Names { names, more } => Some(KvPage { names, more }),
            _ => None,
        })
        .await
    }

    /// Marks versions as deleted; they can be undeleted. None named: the current version.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn delete(&self, path: &str, versions: &[u64]) -> Result<M::Out<()>, RequestError> {
        let at = parse(path)?;
        let request = KvRequest::Delete { path: at.clone(), versions: versions.to_vec() };
        self.call(request, KvOperation::Delete, &at, changed).await
    }

    /// Takes deletions back.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn undelete(&self, path: &str, versions: &[u64]) -> Result<M::Out<()>, RequestError> {
        let at = parse(path)?;
        let request = KvRequest::Undelete { path: at.clone(), versions: versions.to_vec() };
        self.call(request, KvOperation::Undelete, &at, changed).await
    }

    /// Wipes versions for good.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn destroy(&self, path: &str, versions: &[u64]) -> Result<M::Out<()>, RequestError> {
        let at = parse(path)?;
        let request = KvRequest::Destroy { path: at.clone(), versions: versions.to_vec() };
        self.call(request, KvOperation::Destroy, &at, changed).await
    }

    /// What is known about a secret, without its values.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn metadata(&self, path: &str) -> Result<M::Out<KvMetadata>, RequestError> {
        let at = parse(path)?;
        let request = KvRequest::Metadata { path: at.clone() };
        self.call(request, KvOperation::Metadata, &at, |reply| match reply {
            KvReply::Metadata(metadata) => Some(metadata),
            _ => None,
        })
        .await
    }

    async fn read(&self, path: &str, version: Option<u64>) -> Result<M::Out<KvSecret>, RequestError> {
        let at = parse(path)?;
        let request = KvRequest::Get { path: at.clone(), version };
        self.call(request, KvOperation::Get, &at, |reply| match reply {
            KvReply::Value { version, created_secs, value } => {
                Some(KvSecret { version, created_secs, value })
            }
            _ => None,
        })
        .await
    }

    async fn call<T>(
        &self,
        request: KvRequest,
        operation: KvOperation,
        at: &Path,
        take: impl FnOnce(KvReply) -> Option<T>,
    ) -> Result<M::Out<T>, RequestError> {
        self.0
            .request(&Request::Kv(request), Subject::Kv(operation, at), |reply| match reply {
                Reply::Kv(reply) => take(reply),
                _ => None,
            })
            .await
    }
}

impl Kv<'_, Plain> {
    /// All names directly below a prefix, in order.
    ///
    /// # Errors
    /// [`RequestError`]; [`RequestError::Unexpected`] if a page does not go on after the one before.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>, RequestError> {
        let mut all: Vec<String> = Vec::new();
        loop {
            let after = all.last().cloned();
            let page = self.list_page(prefix, after.clone()).await?;
            let goes_on = page.names.first() > after.as_ref() && page.names.is_sorted_by(|a, b| a < b);
            if !page.names.is_empty() && !goes_on || page.names.is_empty() && page.more {
                return Err(RequestError::Unexpected);
            }
            all.extend(page.names);
            if !page.more {
                return Ok(all);
            }
        }
    }
}

fn parse(path: &str) -> Result<Path, RequestError> {
    path.parse().map_err(|source| RequestError::Path { path: path.to_owned(), source })
}

fn changed(reply: KvReply) -> Option<()> {
    matches!(reply, KvReply::Changed).then_some(())
}
