//! Keys that never leave the vault: what they make and take, and how they are managed.

use vouchsafe_protocol::kv::SecretValue;
use vouchsafe_protocol::path::Path;
use vouchsafe_protocol::session::{Reply, Request};
use vouchsafe_protocol::transit::{
    Binding, Ciphertext, DataKey, DataKeyForm, DecryptItem, EncryptItem, Item, KeyConfig, KeyMetadata,
    KeyOptions, Rewrapped, SignItem, Signature, TransitOperation, TransitReply, TransitRequest, Verdict,
    VerifyItem,
};

use super::error::RequestError;
use super::mode::{Mode, Plain, Subject};
use super::{KvPage, Session, names};

mod text;

pub use text::{SealedText, SealedTextError};

/// The transit engine. Keys' paths are whole and canonical, its mount included: `transit/billing/invoices`. Batches
/// have 1 to [`vouchsafe_protocol::limits::TRANSIT_ITEMS`] items and are answered in order.
pub struct Transit<'a, M: Mode>(&'a Session<M>);

impl<M: Mode> Session<M> {
    /// The transit engine.
    #[must_use]
    pub fn transit(&self) -> Transit<'_, M> {
        Transit(self)
    }
}

impl<M: Mode> Transit<'_, M> {
    /// Encrypts a batch, under the current version unless one is named.
    ///
    /// # Errors
    /// [`RequestError`]; what is wrong with one item is in its own answer.
    pub async fn encrypt_batch(
        &self,
        key: &str,
        version: Option<u32>,
        items: Vec<EncryptItem>,
    ) -> Result<M::Out<Vec<Item<Ciphertext>>>, RequestError> {
        let (at, count) = (parse(key)?, items.len());
        let request = TransitRequest::Encrypt { key: at.clone(), version, items };
        self.call(request, TransitOperation::Encrypt, Some(&at), |reply| match reply {
            TransitReply::Encrypted(items) => exactly(count, items),
            _ => None,
        })
        .await
    }

    /// Decrypts a batch.
    ///
    /// # Errors
    /// As of [`Transit::encrypt_batch`].
    pub async fn decrypt_batch(
        &self,
        key: &str,
        items: Vec<DecryptItem>,
    ) -> Result<M::Out<Vec<Item<SecretValue>>>, RequestError> {
        let (at, count) = (parse(key)?, items.len());
        let request = TransitRequest::Decrypt { key: at.clone(), items };
        self.call(request, TransitOperation::Decrypt, Some(&at), |reply| match reply {
            TransitReply::Decrypted(items) => exactly(count, items),
            _ => None,
        })
        .await
    }

    /// Encrypts ciphertexts again under the current version, without showing what they hold.
    ///
    /// # Errors
    /// As of [`Transit::encrypt_batch`].
    pub async fn rewrap_batch(
        &self,
        key: &str,
        items: Vec<DecryptItem>,
    ) -> Result<M::Out<Vec<Item<Rewrapped>>>, RequestError> {
        let (at, count) = (parse(key)?, items.len());
        let request = TransitRequest::Rewrap { key: at.clone(), items };
        self.call(request, TransitOperation::Rewrap, Some(&at), |reply| match reply {
            TransitReply::Rewrapped(items) => exactly(count, items),
            _ => None,
        })
        .await
    }

    /// Signs a batch, or makes HMACs, with the current version unless one is named.
    ///
    /// # Errors
    /// As of [`Transit::encrypt_batch`].
    pub async fn sign_batch(
        &self,
        key: &str,
        version: Option<u32>,
        items: Vec<SignItem>,
    ) -> Result<M::Out<Vec<Item<Signature>>>, RequestError> {
        let (at, count) = (parse(key)?, items.len());
        let request = TransitRequest::Sign { key: at.clone(), version, items };
        self.call(request, TransitOperation::Sign, Some(&at), |reply| match reply {
            TransitReply::Signed(items) => exactly(count, items),
            _ => None,
        })
        .await
    }

    /// Verifies a batch of signatures or HMACs.
    ///
    /// # Errors
    /// As of [`Transit::encrypt_batch`].
    pub async fn verify_batch(
        &self,
        key: &str,
        items: Vec<VerifyItem>,
    ) -> Result<M::Out<Vec<Item<Verdict>>>, RequestError> {
        let (at, count) = (parse(key)?, items.len());
        let request = TransitRequest::Verify { key: at.clone(), items };
        self.call(request, TransitOperation::Verify, Some(&at), |reply| match reply {
            TransitReply::Verified(items) => exactly(count, items),
            _ => None,
        })
        .await
    }

    /// Makes new keys of this length in bytes, one for each binding, wrapped under this one.
    ///
    /// # Errors
    /// As of [`Transit::encrypt_batch`].
    pub async fn data_keys(
        &self,
        key: &str,
        form: DataKeyForm,
        len: u8,
        items: Vec<Binding>,
    ) -> Result<M::Out<Vec<Item<DataKey>>>, RequestError> {
        let (at, count) = (parse(key)?, items.len());
        let request = TransitRequest::DataKey { key: at.clone(), form, len, items };
        self.call(request, TransitOperation::DataKey, Some(&at), |reply| match reply {
            TransitReply::DataKeys(items) => exactly(count, items),
            _ => None,
        })
        .await
    }

    /// Random bytes of the vault.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn random(&self, len: u32) -> Result<M::Out<SecretValue>, RequestError> {
        self.call(TransitRequest::Random { len }, TransitOperation::Random, None, |reply| match reply {
            TransitReply::Random(bytes) if bytes.expose_secret().len() as u64 == u64::from(len) => {
                Some(bytes)
            }
            _ => None,
        })
        .await
    }

    /// Makes a key; gives its first version.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn create(&self, key: &str, options: KeyOptions) -> Result<M::Out<u32>, RequestError> {
        let at = parse(key)?;
        let request = TransitRequest::Create { key: at.clone(), options };
        self.call(request, TransitOperation::Create, Some(&at), version).await
    }

    /// Brings a key, or with no options a new version of one that is there; gives the version.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn import(
        &self,
        key: &str,
        options: Option<KeyOptions>,
        material: SecretValue,
    ) -> Result<M::Out<u32>, RequestError> {
        let at = parse(key)?;
        let request = TransitRequest::Import { key: at.clone(), options, material };
        self.call(request, TransitOperation::Import, Some(&at), version).await
    }

    /// Makes the next version; gives it.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn rotate(&self, key: &str) -> Result<M::Out<u32>, RequestError> {
        let at = parse(key)?;
        let request = TransitRequest::Rotate { key: at.clone() };
        self.call(request, TransitOperation::Rotate, Some(&at), version).await
    }

    /// Changes settings.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn configure(&self, key: &str, config: KeyConfig) -> Result<M::Out<()>, RequestError> {
        let at = parse(key)?;
        let request = TransitRequest::Configure { key: at.clone(), config };
        self.call(request, TransitOperation::Configure, Some(&at), changed).await
    }

    /// Wipes versions below one.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn trim(&self, key: &str, below: u32) -> Result<M::Out<()>, RequestError> {
        let at = parse(key)?;
        let request = TransitRequest::Trim { key: at.clone(), below };
        self.call(request, TransitOperation::Trim, Some(&at), changed).await
    }

    /// Wipes a key whole.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn delete(&self, key: &str) -> Result<M::Out<()>, RequestError> {
        let at = parse(key)?;
        let request = TransitRequest::Delete { key: at.clone() };
        self.call(request, TransitOperation::Delete, Some(&at), changed).await
    }

    /// What is known about a key, public keys included.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn metadata(&self, key: &str) -> Result<M::Out<KeyMetadata>, RequestError> {
        let at = parse(key)?;
        let request = TransitRequest::Metadata { key: at.clone() };
        self.call(request, TransitOperation::Metadata, Some(&at), |reply| match reply {
            TransitReply::Metadata(metadata) => Some(metadata),
            _ => None,
        })
        .await
    }

    /// A key that was made to be given out, and its version.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn export(
        &self,
        key: &str,
        version: Option<u32>,
    ) -> Result<M::Out<(u32, SecretValue)>, RequestError> {
        let at = parse(key)?;
        let request = TransitRequest::Export { key: at.clone(), version };
        self.call(request, TransitOperation::Export, Some(&at), |reply| match reply {
            TransitReply::Exported { version, material } => Some((version, material)),
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
        let request = TransitRequest::List { prefix: at.clone(), after };
        self.call(request, TransitOperation::List, Some(&at), |reply| match reply {
            TransitReply::Names { names, more } => Some(KvPage { names, more }),
            _ => None,
        })
        .await
    }

    async fn call<T>(
        &self,
        request: TransitRequest,
        operation: TransitOperation,
        at: Option<&Path>,
        take: impl FnOnce(TransitReply) -> Option<T>,
    ) -> Result<M::Out<T>, RequestError> {
        let subject = Subject::Transit(operation, at.map_or("", Path::as_str));
        self.0
            .request(&Request::Transit(request), subject, |reply| match reply {
                Reply::Transit(reply) => take(reply),
                _ => None,
            })
            .await
    }
}

impl Transit<'_, Plain> {
    /// Encrypts one plaintext.
    ///
    /// # Errors
    /// [`RequestError`]; [`RequestError::Item`] for the item itself.
    pub async fn encrypt(
        &self,
        key: &str,
        plaintext: SecretValue,
        binding: Binding,
    ) -> Result<Ciphertext, RequestError> {
        one(self.encrypt_batch(key, None, vec![EncryptItem { plaintext, binding }]).await?)
    }

    /// Decrypts one ciphertext.
    ///
    /// # Errors
    /// As of [`Transit::encrypt`].
    pub async fn decrypt(
        &self,
        key: &str,
        ciphertext: Ciphertext,
        binding: Binding,
    ) -> Result<SecretValue, RequestError> {
        one(self.decrypt_batch(key, vec![DecryptItem { ciphertext, binding }]).await?)
    }

    /// Signs one message.
    ///
    /// # Errors
    /// As of [`Transit::encrypt`].
    pub async fn sign(&self, key: &str, message: SecretValue) -> Result<Signature, RequestError> {
        one(self.sign_batch(key, None, vec![SignItem { message, context: Vec::new() }]).await?)
    }

    /// Verifies one signature.
    ///
    /// # Errors
    /// As of [`Transit::encrypt`].
    pub async fn verify(
        &self,
        key: &str,
        message: SecretValue,
        signature: Signature,
    ) -> Result<Verdict, RequestError> {
        one(self.verify_batch(key, vec![VerifyItem { message, context: Vec::new(), signature }]).await?)
    }

    /// All names directly below a prefix, in order.
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

/// The answer to the only item.
///
/// # Errors
/// [`RequestError::Item`].
fn one<T>(items: Vec<Item<T>>) -> Result<T, RequestError> {
    match items.into_iter().next() {
        Some(Item::Done(done)) => Ok(done),
        Some(Item::Refused(refusal)) => Err(RequestError::Item(refusal)),
        None => Err(RequestError::Unexpected),
    }
}

/// An answer for each item, and no more.
fn exactly<T>(count: usize, items: Vec<Item<T>>) -> Option<Vec<Item<T>>> {
    (items.len() == count).then_some(items)
}

fn parse(path: &str) -> Result<Path, RequestError> {
    path.parse().map_err(|source| RequestError::Path { path: path.to_owned(), source })
}

fn changed(reply: TransitReply) -> Option<()> {
    matches!(reply, TransitReply::Changed).then_some(())
}

fn version(reply: TransitReply) -> Option<u32> {
    match reply {
        TransitReply::Version(version) => Some(version),
        _ => None,
    }
}
