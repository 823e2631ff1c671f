//! Leases: for how long what the vault handed out may be kept.

use vouchsafe_protocol::lease::{Lease, LeaseEntry, LeaseReply, LeaseRequest, Selector};
use vouchsafe_protocol::session::{Reply, Request};

use super::Session;
use super::error::RequestError;
use super::mode::{Mode, Plain, Subject};

/// Leases. Agents see and touch their own only, operators all; operators cannot renew.
///
/// A lease belongs to the key and the role that it was handed out to. It lives on whatever becomes of the session, and
/// rests on the evidence behind the identity: to keep it beyond that, introduce again with the same key
/// ([`crate::renew_identity`]) and renew.
pub struct Leases<'a, M: Mode>(&'a Session<M>);

/// A page of leases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeasePage {
    /// Leases that hold, in the order of numbers.
    pub leases: Vec<LeaseEntry>,
    /// After which number to ask again, if there are more to look at; a page may be empty all the same.
    pub next: Option<u64>,
}

impl<M: Mode> Session<M> {
    /// Leases.
    #[must_use]
    pub fn leases(&self) -> Leases<'_, M> {
        Leases(self)
    }
}

impl<M: Mode> Leases<'_, M> {
    /// Leases that hold, after the one with this number; 0 for the first page.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn list_page(&self, after: u64) -> Result<M::Out<LeasePage>, RequestError> {
        self.call(LeaseRequest::List { after }, Subject::Leases, |reply| match reply {
            LeaseReply::Leases { leases, next } => Some(LeasePage { leases, next }),
            _ => None,
        })
        .await
    }

    /// Makes a lease hold for another period, and returns until when; agents only.
    ///
    /// # Errors
    /// [`RequestError`]; refused with `EvidenceExpired` when the lease's rule or the policy in force asks for newer
    /// evidence ([`crate::renew_identity`]), and with `LeaseEnd` when there is no more time in it.
    pub async fn renew(&self, number: u64) -> Result<M::Out<Lease>, RequestError> {
        self.call(LeaseRequest::Renew { number }, Subject::Renewal(number), |reply| match reply {
            LeaseReply::Renewed(lease) if lease.number == number => Some(lease),
            _ => None,
        })
        .await
    }

    /// Ends leases, and identities with all that rests on them, at once. Agents may give back a lease of their own.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn revoke(&self, selector: &Selector) -> Result<M::Out<()>, RequestError> {
        let request = LeaseRequest::Revoke(selector.clone());
        let revoked = |reply| matches!(reply, LeaseReply::Revoked).then_some(());
        self.call(request, Subject::Revocation(selector), revoked).await
    }

    async fn call<T>(
        &self,
        request: LeaseRequest,
        subject: Subject<'_>,
        take: impl FnOnce(LeaseReply) -> Option<T>,
    ) -> Result<M::Out<T>, RequestError> {
        self.0
            .request(&Request::Lease(request), subject, |reply| match reply {
                Reply::Lease(reply) => take(reply),
                _ => None,
            })
            .await
    }
}

impl Leases<'_, Plain> {
    /// All leases that hold, in the order of numbers, however many pages they take.
    ///
    /// # Errors
    /// [`RequestError`]; [`RequestError::Unexpected`] if a page does not go on after the one before.
    pub async fn list(&self) -> Result<Vec<LeaseEntry>, RequestError> {
        let mut all: Vec<LeaseEntry> = Vec::new();
        let mut after = 0;
        loop {
            let LeasePage { leases, next } = self.list_page(after).await?;
            let numbers = || leases.iter().map(|entry| entry.lease.number);
            let in_order = numbers().is_sorted_by(|one, other| one < other);
            if !in_order || numbers().next().is_some_and(|first| first <= after) {
                return Err(RequestError::Unexpected);
            }
            let last = numbers().next_back();
            all.extend(leases);
            match next {
                None => return Ok(all),
                Some(next) if next > after && last.is_none_or(|last| last <= next) => after = next,
                Some(_) => return Err(RequestError::Unexpected),
            }
        }
    }
}
