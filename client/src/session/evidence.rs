//! What the vault knows of evidence: collateral and seen evidence for operators, signed results for agents.

use vouchsafe_protocol::collateral::{CollateralEntry, CollateralItem};
use vouchsafe_protocol::seen::{SeenEvidence, SeenPage};
use vouchsafe_protocol::session::{Reply, Request};

use super::Session;
use super::error::RequestError;
use super::mode::{Mode, Plain, Subject};

/// Certificates and revocation lists that the vault verifies evidence with, and that need not come with it.
pub struct Collateral<'a, M: Mode>(&'a Session<M>);

/// What the vault has seen of evidence.
pub struct Seen<'a, M: Mode>(&'a Session<M>);

/// A page of collateral, in the order of digests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollateralPage {
    /// Entries.
    pub entries: Vec<CollateralEntry>,
    /// Whether there are more after the last one.
    pub more: bool,
}

impl<M: Mode> Session<M> {
    /// A signed result of the appraisal behind this agent's identity, as an EAR in a JWT: to be shown to whoever chose
    /// the nonce (8 to 64 bytes), who verifies it with [`crate::verify_attestation_result`] or any JWT library.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn attestation_result(&self, nonce: &[u8]) -> Result<M::Out<String>, RequestError> {
        let request = Request::AttestationResult { nonce: nonce.to_vec() };
        self.request(&request, Subject::AttestationResult(nonce), |reply| match reply {
            Reply::AttestationResult(jwt) => Some(jwt),
            _ => None,
        })
        .await
    }

    /// Collateral; operators only.
    #[must_use]
    pub fn collateral(&self) -> Collateral<'_, M> {
        Collateral(self)
    }

    /// What the evidence of live identities showed; operators only.
    #[must_use]
    pub fn seen_evidence(&self) -> Seen<'_, M> {
        Seen(self)
    }
}

impl<M: Mode> Collateral<'_, M> {
    /// Imports items, all or none; the vault verifies each against its anchors. Returns what it keeps of them: an item
    /// in whose place it has a younger one is not among them.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn import(
        &self,
        items: Vec<CollateralItem>,
    ) -> Result<M::Out<Vec<CollateralEntry>>, RequestError> {
        let request = Request::CollateralImport(items);
        self.0
            .request(&request, Subject::Operator, |reply| match reply {
                Reply::Collateral { entries, more: false } => Some(entries),
                _ => None,
            })
            .await
    }

    /// A page of what is kept, after the entry with a digest.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn page(&self, after: Option<[u8; 32]>) -> Result<M::Out<CollateralPage>, RequestError> {
        self.0
            .request(&Request::CollateralList { after }, Subject::Operator, |reply| match reply {
                Reply::Collateral { entries, more } => Some(CollateralPage { entries, more }),
                _ => None,
            })
            .await
    }
}

impl Collateral<'_, Plain> {
    /// All that is kept.
    ///
    /// # Errors
    /// [`RequestError`]; [`RequestError::Unexpected`] if a page does not go on after the one before.
    pub async fn list(&self) -> Result<Vec<CollateralEntry>, RequestError> {
        let mut all: Vec<CollateralEntry> = Vec::new();
        loop {
            let after = all.last().map(|entry| entry.digest);
            let CollateralPage { entries, more } = self.page(after).await?;
            let goes_on = entries.first().map(|entry| entry.digest) > after
                && entries.is_sorted_by(|a, b| a.digest < b.digest);
            if !entries.is_empty() && !goes_on || entries.is_empty() && more {
                return Err(RequestError::Unexpected);
            }
            all.extend(entries);
            if !more {
                return Ok(all);
            }
        }
    }
}

impl<M: Mode> Seen<'_, M> {
    /// A page of records, after the one of an identity; 0 for the first page.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn page(&self, after: u64) -> Result<M::Out<SeenPage>, RequestError> {
        self.0
            .request(&Request::EvidenceList { after }, Subject::Operator, |reply| match reply {
                Reply::Evidence(page) => Some(page),
                _ => None,
            })
            .await
    }

    /// Forgets the clock of a TPM, by the name of its attestation key: one that was cleared on purpose is accepted
    /// again.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn forget_tpm(&self, key: [u8; 32]) -> Result<M::Out<()>, RequestError> {
        self.0
            .request(&Request::ForgetTpm { key }, Subject::Operator, |reply| {
                matches!(reply, Reply::Done).then_some(())
            })
            .await
    }
}

impl Seen<'_, Plain> {
    /// All records, in the order of identities, and how many were forgotten for want of room.
    ///
    /// # Errors
    /// [`RequestError`]; [`RequestError::Unexpected`] if a page does not go on after the one before.
    pub async fn list(&self) -> Result<(Vec<SeenEvidence>, u64), RequestError> {
        let mut all: Vec<SeenEvidence> = Vec::new();
        loop {
            let after = all.last().map_or(0, |record| record.identity);
            let SeenPage { records, more, forgotten } = self.page(after).await?;
            let goes_on = records.first().is_none_or(|record| record.identity > after)
                && records.is_sorted_by(|a, b| a.identity < b.identity);
            if !goes_on || records.is_empty() && more {
                return Err(RequestError::Unexpected);
            }
            all.extend(records);
            if !more {
                return Ok((all, forgotten));
            }
        }
    }
}
