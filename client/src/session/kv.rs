//! Secrets: versions, fields, settings, generators, and what is known about them.

use std::fmt;
use std::sync::Arc;

use vouchsafe_protocol::kv::{
    Cas, KvEdits, KvFields, KvGenerator, KvMetadata, KvName, KvReply, KvRequest, KvScope, KvSelect,
    KvSettings, KvValue,
};
use vouchsafe_protocol::lease::Lease;
use vouchsafe_protocol::limits::KV_VALUE_LEN;
use vouchsafe_protocol::log::KvOperation;
use vouchsafe_protocol::path::Path;
use vouchsafe_protocol::session::{Reply, Request};

use super::Session;
use super::error::RequestError;
use super::mode::{Mode, Plain, Subject};
use super::watch::KvWatch;

/// The kv engine. Paths are whole and canonical, its mount included: `kv/billing/db`.
pub struct Kv<'a, M: Mode>(&'a Session<M>);

/// A version of a secret.
pub struct KvSecret {
    /// Version.
    pub version: u64,
    /// When it was written, seconds since 1970.
    pub created_secs: u64,
    /// When it ends, seconds since 1970.
    pub until_secs: Option<u64>,
    /// For how long it may be kept, where the rule that allows the read says so. The lease ends then, or when it is
    /// revoked; see [`super::Leases`].
    pub lease: Option<Lease>,
    /// The value; wiped on drop.
    pub value: KvValue,
}

impl fmt::Debug for KvSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, created_secs, until_secs: _, lease: _, value: _ } = self;
        write!(f, "KvSecret {{ version: {version}, created_secs: {created_secs}, .. }}")
    }
}

/// What is written.
#[derive(Debug)]
pub struct KvWrite {
    /// The value, at most [`KV_VALUE_LEN`] bytes.
    pub value: KvValue,
    /// What must be there now.
    pub cas: Cas,
    /// Life of the version in seconds; as the secret's settings say if none.
    pub ttl_secs: Option<u64>,
}

/// What is changed in the fields of a secret.
#[derive(Debug)]
pub struct KvPatch {
    /// Fields that are set.
    pub set: KvFields,
    /// Fields that go.
    pub remove: Vec<KvName>,
    /// What must be there now.
    pub cas: Cas,
    /// Life of the version in seconds; as the secret's settings say if none.
    pub ttl_secs: Option<u64>,
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
        self.select(path, KvSelect::Current).await
    }

    /// Reads a version.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn get_version(&self, path: &str, version: u64) -> Result<M::Out<KvSecret>, RequestError> {
        self.select(path, KvSelect::Version(version)).await
    }

    /// Reads the version before the current one: after a rotation, what it replaced, while its grace lasts.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn get_previous(&self, path: &str) -> Result<M::Out<KvSecret>, RequestError> {
        self.select(path, KvSelect::Previous).await
    }

    /// Reads a version.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn select(&self, path: &str, select: KvSelect) -> Result<M::Out<KvSecret>, RequestError> {
        let at = parse(path)?;
        let request = Request::Kv(KvRequest::Get { path: at.clone(), select });
        self.0
            .request_leased(&request, Subject::Kv(KvOperation::Get, &at), |reply, lease| match reply {
                Reply::Kv(KvReply::Value { version, created_secs, until_secs, value }) => {
                    Some(KvSecret { version, created_secs, until_secs, lease, value })
                }
                _ => None,
            })
            .await
    }

    /// Writes a new version and returns its number. With [`Cas::Version`] it is written only if that is the
    /// current one; 0 means that there is none yet.
    ///
    /// # Errors
    /// [`RequestError`]; after [`RequestError::Ended`] or [`RequestError::Timeout`] it may have been written.
    pub async fn put(
        &self,
        path: &str,
        value: impl Into<KvValue>,
        cas: Cas,
    ) -> Result<M::Out<u64>, RequestError> {
        self.write(path, KvWrite { value: value.into(), cas, ttl_secs: None }).await
    }

    /// Writes a new version and returns its number.
    ///
    /// # Errors
    /// As of [`Kv::put`].
    pub async fn write(&self, path: &str, write: KvWrite) -> Result<M::Out<u64>, RequestError> {
        let KvWrite { value, cas, ttl_secs } = write;
        let len = value.expose_secret().len();
        if len > KV_VALUE_LEN {
            return Err(RequestError::TooLarge { len, limit: KV_VALUE_LEN });
        }
        let at = parse(path)?;
        let request = KvRequest::Put { path: at.clone(), value, cas, ttl_secs };
        self.call(request, KvOperation::Put, &at, written).await
    }

    /// Writes a new version with the fields of the current one, some of them changed, and returns its number. The
    /// vault merges them: whoever may write need not read.
    ///
    /// # Errors
    /// As of [`Kv::put`].
    pub async fn patch(&self, path: &str, patch: KvPatch) -> Result<M::Out<u64>, RequestError> {
        let KvPatch { set, remove, cas, ttl_secs } = patch;
        let at = parse(path)?;
        let request = KvRequest::Patch { path: at.clone(), set, remove, cas, ttl_secs };
        self.call(request, KvOperation::Patch, &at, written).await
    }

    /// Sets what makes the secret's versions, and has it make the next one.
    ///
    /// # Errors
    /// As of [`Kv::put`].
    pub async fn generate(
        &self,
        path: &str,
        generator: KvGenerator,
        cas: Cas,
    ) -> Result<M::Out<u64>, RequestError> {
        let at = parse(path)?;
        let request = KvRequest::Generate { path: at.clone(), generator, cas };
        self.call(request, KvOperation::Generate, &at, written).await
    }

    /// Has the secret's generator make the next version, now.
    ///
    /// # Errors
    /// As of [`Kv::put`].
    pub async fn rotate(&self, path: &str) -> Result<M::Out<u64>, RequestError> {
        let at = parse(path)?;
        self.call(KvRequest::Rotate { path: at.clone() }, KvOperation::Rotate, &at, written).await
    }

    /// Names directly below a prefix after a name, at most `limit` and
    /// [`vouchsafe_protocol::limits::LIST_PAGE`]; 0 for as many as that.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn list_page(
        &self,
        prefix: &str,
        after: Option<String>,
        limit: u16,
    ) -> Result<M::Out<KvPage>, RequestError> {
        let at = parse(prefix)?;
        let request = KvRequest::List { prefix: at.clone(), after, limit };
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

    /// Wipes a secret with all its versions and settings; its versions then count from 1 again.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn forget(&self, path: &str) -> Result<M::Out<()>, RequestError> {
        let at = parse(path)?;
        self.call(KvRequest::Forget { path: at.clone() }, KvOperation::Forget, &at, changed).await
    }

    /// What is known about a secret, without its values.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn metadata(&self, path: &str) -> Result<M::Out<KvMetadata>, RequestError> {
        let at = parse(path)?;
        let request = KvRequest::Metadata { path: at.clone() };
        self.call(request, KvOperation::Metadata, &at, |reply| match reply {
            KvReply::Metadata(metadata) => Some(*metadata),
            _ => None,
        })
        .await
    }

    /// Changes settings of a secret, or of everything below a prefix.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn configure(&self, scope: KvScope, edits: KvEdits) -> Result<M::Out<()>, RequestError> {
        let at = scope.path().clone();
        let request = KvRequest::Configure { scope, edits: Box::new(edits) };
        self.call(request, KvOperation::Configure, &at, changed).await
    }

    /// The settings of a prefix itself; empty if it has none.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn settings(&self, prefix: &str) -> Result<M::Out<KvSettings>, RequestError> {
        let at = parse(prefix)?;
        let request = KvRequest::Settings { prefix: at.clone() };
        self.call(request, KvOperation::Settings, &at, |reply| match reply {
            KvReply::Settings(settings) => Some(*settings),
            _ => None,
        })
        .await
    }

    /// From now on tells of new versions on this session; at once if the current one is later than `after`. At most
    /// [`vouchsafe_protocol::limits::KV_WATCHES`] secrets at a time.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn watch(&self, path: &str, after: u64) -> Result<M::Out<KvWatch>, RequestError> {
        let at = parse(path)?;
        let registration = self.0.shared.driver.watched().register(&at);
        let shared = Arc::clone(&self.0.shared);
        let request = KvRequest::Watch { path: at.clone(), after };
        self.call(request, KvOperation::Watch, &at, |reply| match reply {
            KvReply::Watching { current } => Some(KvWatch::new(current, registration, shared)),
            _ => None,
        })
        .await
    }

    /// Ends the watches of a secret on this session.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn unwatch(&self, path: &str) -> Result<M::Out<()>, RequestError> {
        let at = parse(path)?;
        self.call(KvRequest::Unwatch { path: at.clone() }, KvOperation::Unwatch, &at, changed).await
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
        self.list_from(prefix, None, usize::MAX).await.map(|page| page.names)
    }

    /// At most so many names directly below a prefix, in order, after a name, however many pages they take.
    ///
    /// # Errors
    /// As of [`Kv::list`].
    pub async fn list_from(
        &self,
        prefix: &str,
        after: Option<String>,
        most: usize,
    ) -> Result<KvPage, RequestError> {
        let mut all: Vec<String> = Vec::new();
        loop {
            let after = all.last().or(after.as_ref()).cloned();
            let left = most.saturating_sub(all.len());
            let limit = u16::try_from(left).unwrap_or(0);
            let page = self.list_page(prefix, after.clone(), limit).await?;
            let goes_on = page.names.first() > after.as_ref() && page.names.is_sorted_by(|a, b| a < b);
            let beyond = page.names.len() > left;
            if !page.names.is_empty() && !goes_on || page.names.is_empty() && page.more || beyond {
                return Err(RequestError::Unexpected);
            }
            all.extend(page.names);
            if !page.more || all.len() == most {
                return Ok(KvPage { names: all, more: page.more });
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

fn written(reply: KvReply) -> Option<u64> {
    match reply {
        KvReply::Written { version } => Some(version),
        _ => None,
    }
}
