//! Whether replies come with receipts: the same calls, two result types.

use vouchsafe_log::verify_receipt;
use vouchsafe_protocol::derive::DeriveOperation;
use vouchsafe_protocol::lease::{Lease, Selector};
use vouchsafe_protocol::log::{Action, AuditEntry, Decision, KvOperation, Receipt};
use vouchsafe_protocol::path::Path;
use vouchsafe_protocol::transit::TransitOperation;

use super::Shared;
use super::error::RequestError;

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Plain {}
    impl Sealed for super::Receipted {}
}

/// How a session answers: [`Plain`] or [`Receipted`].
pub trait Mode: sealed::Sealed + Send + Sync + 'static {
    /// What a call returns.
    type Out<T>;

    /// Whether a receipt is asked for.
    #[doc(hidden)]
    const RECEIPT: bool;

    /// Checks the receipt, if one is asked for, and wraps the value.
    #[doc(hidden)]
    fn wrap<T>(value: T, receipt: Option<Receipt>, about: &About<'_>) -> Result<Self::Out<T>, RequestError>;
}

/// Replies without receipts.
#[derive(Clone, Copy, Debug)]
pub enum Plain {}

/// Replies with receipts.
#[derive(Clone, Copy, Debug)]
pub enum Receipted {}

/// A receipt that was verified, and what it proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// To be kept and shown to anybody.
    pub receipt: Receipt,
    /// The log's entry.
    pub entry: AuditEntry,
}

/// What a receipt must be about.
#[doc(hidden)]
pub struct About<'a> {
    pub(super) shared: &'a Shared,
    pub(super) subject: Subject<'a>,
    /// What came with the reply.
    pub(super) lease: Option<Lease>,
}

/// What the entry must say.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'a> {
    /// An attestation result over this nonce.
    AttestationResult(&'a [u8]),
    /// A kv request.
    Kv(KvOperation, &'a Path),
    /// A list of leases.
    Leases,
    /// The renewal of this lease.
    Renewal(u64),
    /// A decision to end what this selects.
    Revocation(&'a Selector),
    /// An operator's request, which the log may split or name in its own way.
    Operator,
    /// A request about a label.
    Derive(DeriveOperation, &'a Path),
    /// A request about a key; the path is empty for random bytes.
    Transit(TransitOperation, &'a str),
}

impl Mode for Plain {
    type Out<T> = T;
    const RECEIPT: bool = false;

    fn wrap<T>(value: T, _receipt: Option<Receipt>, _about: &About<'_>) -> Result<T, RequestError> {
        Ok(value)
    }
}

impl Mode for Receipted {
    type Out<T> = (T, Proven);
    const RECEIPT: bool = true;

    fn wrap<T>(value: T, receipt: Option<Receipt>, about: &About<'_>) -> Result<(T, Proven), RequestError> {
        let receipt = receipt.ok_or(RequestError::ReceiptMissing)?;
        let Shared { vault_id, log_key, driver: _, request_timeout: _ } = about.shared;
        let entry = verify_receipt(&receipt, vault_id, log_key).map_err(RequestError::Receipt)?;
        let told = named_lease(about.subject).or(about.lease.map(|lease| lease.number));
        let allowed = entry.decision == Decision::Allowed;
        if !allowed || entry.lease != told || !is_about(&entry.action, about.subject) {
            return Err(RequestError::ReceiptEntry);
        }
        Ok((value, Proven { receipt, entry }))
    }
}

fn is_about(action: &Action, subject: Subject<'_>) -> bool {
    match (action, subject) {
        (Action::Kv { operation, path, versions: _ }, Subject::Kv(asked, at)) => {
            *operation == asked && path == at.as_str()
        }
        (Action::AttestationResult { nonce }, Subject::AttestationResult(asked)) => nonce == asked,
        (Action::LeaseList, Subject::Leases) | (Action::LeaseRenew { .. }, Subject::Renewal(_)) => true,
        (Action::LeaseRevoke(selector), Subject::Revocation(asked)) => selector == asked,
        (Action::Derive { operation, label, version: _ }, Subject::Derive(asked, at)) => {
            *operation == asked && label == at.as_str()
        }
        (
            Action::Transit { operation, path, versions: _, items: _, failed: _ },
            Subject::Transit(asked, at),
        ) => *operation == asked && path == at,
        (Action::Derive { .. } | Action::Kv { .. } | Action::Transit { .. }, Subject::Operator)
        | (
            _,
            Subject::AttestationResult(_)
            | Subject::Derive(..)
            | Subject::Kv(..)
            | Subject::Leases
            | Subject::Renewal(_)
            | Subject::Revocation(_)
            | Subject::Transit(..),
        ) => false,
        (_, Subject::Operator) => true,
    }
}

/// The lease that a request is about; what is handed out tells its own.
fn named_lease(subject: Subject<'_>) -> Option<u64> {
    match subject {
        Subject::Renewal(number) => Some(number),
        Subject::Revocation(Selector::Lease(number)) => Some(*number),
        _ => None,
    }
}
