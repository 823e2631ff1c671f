//! Requests about leases: agents look at, renew and give back their own; operators look at all, and end what they decide.

use vouchsafe_protocol::derive::DeriveRequest;
use vouchsafe_protocol::kv::KvRequest;
use vouchsafe_protocol::lease::{LeaseReply, LeaseRequest, Selector};
use vouchsafe_protocol::log::Action;
use vouchsafe_protocol::path::Path;
use vouchsafe_protocol::policy::grants::{Ruling, Wanted};
use vouchsafe_protocol::policy::{Capability, LeaseTerms};
use vouchsafe_protocol::refusal::{Refusal, RefusalCode};
use vouchsafe_protocol::session::{Reply, Request};
use vouchsafe_protocol::transit::TransitRequest;

use crate::change::{Change, Identity, IdentitySubject};
use crate::core::Core;
use crate::lease::NewLease;
use crate::requests::Decided;
use crate::session::SessionId;

/// What a request hands out, if it is something that can have a lease.
pub(crate) fn handed_out(request: &Request) -> Option<(Path, Capability)> {
    let (path, can) = match request {
        Request::Derive(DeriveRequest::Key { label, .. }) => (label, Capability::Derive),
        Request::Kv(KvRequest::Get { path, .. }) => (path, Capability::Read),
        Request::Transit(TransitRequest::DataKey { key, .. }) => (key, Capability::DataKey),
        Request::Transit(TransitRequest::Export { key, .. }) => (key, Capability::Export),
        _ => return None,
    };
    Some((path.clone(), can))
}

/// The lease that a change is about.
pub(crate) fn named_lease(change: &Option<Change>) -> Option<u64> {
    match change {
        Some(Change::LeaseRenewed(renewed)) => Some(renewed.lease.number),
        Some(Change::LeaseRevoked { number }) => Some(*number),
        _ => None,
    }
}

/// What the log calls a request, if it is refused.
pub(crate) fn named(request: &LeaseRequest) -> Action {
    match request {
        LeaseRequest::List { .. } => Action::LeaseList,
        LeaseRequest::Renew { .. } => Action::LeaseRenew { path: String::new() },
        LeaseRequest::Revoke(selector) => Action::LeaseRevoke(selector.clone()),
    }
}

impl Core {
    pub(crate) fn decide_lease(
        &self,
        id: SessionId,
        subject: &IdentitySubject,
        request: LeaseRequest,
        now: u64,
    ) -> Result<Decided, Refusal> {
        let state = self.state();
        let newest = self.newest_of(id).ok_or(RefusalCode::Identity)?;
        let own = match subject {
            IdentitySubject::Agent { .. } => Some(newest),
            IdentitySubject::Operator(_) => None,
        };
        match (request, own) {
            (LeaseRequest::List { after }, own) => {
                let (leases, next) = state.list_leases(after, own, now);
                let reply = Reply::Lease(LeaseReply::Leases { leases, next });
                Ok(Decided { action: Action::LeaseList, change: None, reply })
            }
            (LeaseRequest::Renew { number }, Some(_)) => self.decide_renewal(number, newest, now),
            (LeaseRequest::Revoke(Selector::Lease(number)), own) => {
                match own {
                    Some(own) => state.leased(number, own, now).map(drop)?,
                    None if state.leases.knows(number) => {}
                    None => return Err(RefusalCode::NotFound.into()),
                }
                Ok(revoked(Selector::Lease(number), Change::LeaseRevoked { number }))
            }
            (LeaseRequest::Revoke(selector), None) => {
                let decision = state.plan_revocation(selector.clone())?;
                Ok(revoked(selector, Change::Decision(decision)))
            }
            (LeaseRequest::Renew { .. }, None) | (LeaseRequest::Revoke(_), Some(_)) => {
                Err(RefusalCode::Denied.into())
            }
        }
    }

    /// Steps:
    /// 1. the key and the role of the session hold the lease (V7);
    /// 2. the newest evidence of that key satisfies the policy in force, at this time;
    /// 3. the role still allows what was handed out, with a lease;
    /// 4. [`crate::state::State::plan_renewal`].
    fn decide_renewal(&self, number: u64, newest: &Identity, now: u64) -> Result<Decided, Refusal> {
        let state = self.state();
        // 1
        let (path, can) = state.leased(number, newest, now)?;
        // 2
        state
            .judge_again(newest, now)
            .map_err(|rule| Refusal { code: RefusalCode::EvidenceExpired, rule: Some(rule.to_owned()) })?;
        // 3
        let asking = newest.asking(now).ok_or(RefusalCode::Denied)?;
        let role = state.roles.get(asking.role).ok_or(RefusalCode::Denied)?;
        let wanted = Wanted { capability: can, path: &path, below: false };
        let terms = match role.grants.ruling(wanted, asking) {
            Ruling::Allowed { lease, .. } => lease,
            Ruling::Denied(_) => return Err(RefusalCode::Denied.into()),
        };
        // 4
        let renewed = state.plan_renewal(number, newest, terms, now)?;
        let reply = Reply::Lease(LeaseReply::Renewed(renewed.lease));
        let action = Action::LeaseRenew { path: path.to_string() };
        Ok(Decided { action, change: Some(Change::LeaseRenewed(renewed)), reply })
    }

    /// The lease that goes with what is handed out, by the terms of the rule that allowed it.
    pub(crate) fn lease(
        &self,
        id: SessionId,
        what: (&Path, Capability),
        terms: LeaseTerms,
        now: u64,
    ) -> Result<Option<NewLease>, RefusalCode> {
        let identity = self.newest_of(id).ok_or(RefusalCode::Identity)?;
        let IdentitySubject::Agent { role, .. } = &identity.subject else { return Ok(None) };
        let role = &self.state().roles.get(role).ok_or(RefusalCode::Denied)?.role;
        self.state().plan_lease(identity, role, what, terms, now)
    }
}

fn revoked(selector: Selector, change: Change) -> Decided {
    let reply = Reply::Lease(LeaseReply::Revoked);
    Decided { action: Action::LeaseRevoke(selector), change: Some(change), reply }
}
