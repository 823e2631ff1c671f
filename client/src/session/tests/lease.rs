//! Leases: pages, renewals, and receipts that name them.

use vouchsafe_protocol::kv::{KvReply, SecretValue};
use vouchsafe_protocol::lease::{Lease, LeaseEntry, LeaseReply, LeaseRequest, Selector};
use vouchsafe_protocol::log::{Action, Actor, KvOperation};
use vouchsafe_protocol::session::{Outcome, Reply, Request};

use super::server::{Asked, session};
use crate::session::RequestError;
use crate::vault::fake::FakeVault;

fn lease(number: u64) -> Lease {
    Lease { number, until_secs: 100, end_secs: 200 }
}

fn entry(number: u64) -> LeaseEntry {
    let (path, role) = ("kv/a".parse().unwrap(), "web".parse().unwrap());
    LeaseEntry { lease: lease(number), path, identity: 1, role }
}

fn page(numbers: &[u64], next: Option<u64>) -> Reply {
    Reply::Lease(LeaseReply::Leases { leases: numbers.iter().copied().map(entry).collect(), next })
}

#[tokio::test]
async fn leases_are_listed_page_by_page_and_never_in_circles() {
    let vault = FakeVault::new();
    let (session, _) = session(&vault, |asked| {
        let Request::Lease(LeaseRequest::List { after }) = &asked.request else { panic!() };
        let page = match (asked.number, after) {
            (2, 0) => page(&[1, 4], Some(4)),
            // A page may be empty: others have leases, too.
            (3, 4) => page(&[], Some(5000)),
            (4, 5000) => page(&[5001], None),
            (5, 0) => page(&[3, 2], None),
            (6, 0) => page(&[1], Some(1)),
            (7, 1) => page(&[1], None),
            (8, 0) => page(&[1], Some(0)),
            (9, 0) => page(&[9], Some(7)),
            other => panic!("{other:?}"),
        };
        vec![asked.reply(page)]
    })
    .await;
    let numbers: Vec<u64> =
        session.leases().list().await.unwrap().iter().map(|entry| entry.lease.number).collect();
    assert_eq!(numbers, [1, 4, 5001]);
    for _ in 0..4 {
        assert!(matches!(session.leases().list().await, Err(RequestError::Unexpected)));
    }
}

#[tokio::test]
async fn a_renewal_of_another_lease_is_not_believed() {
    let vault = FakeVault::new();
    let (session, _) = session(&vault, |asked| {
        let Request::Lease(LeaseRequest::Renew { number: 7 }) = &asked.request else { panic!() };
        let number = if asked.number == 2 { 7 } else { 8 };
        vec![asked.reply(Reply::Lease(LeaseReply::Renewed(lease(number))))]
    })
    .await;
    assert_eq!(session.leases().renew(7).await.unwrap(), lease(7));
    assert!(matches!(session.leases().renew(7).await, Err(RequestError::Unexpected)));
}

#[tokio::test]
async fn b7_a_receipt_names_the_lease_that_was_handed_out() {
    let vault = FakeVault::new();
    let mut journal = vault.same_log();
    let (session, _) = session(&vault, move |asked: Asked| {
        let mut receipt = |action: Action, lease| {
            Some(journal.append_leased(Actor::Operator("alice".parse().unwrap()), action, lease))
        };
        let read = || Action::Kv { operation: KvOperation::Get, path: "kv/x".to_owned(), versions: vec![1] };
        let value = || {
            let value = SecretValue::new(b"x".to_vec()).into();
            Outcome::Done(Reply::Kv(KvReply::Value { version: 1, created_secs: 1, until_secs: None, value }))
        };
        let renewed = || Outcome::Done(Reply::Lease(LeaseReply::Renewed(lease(7))));
        let revoked = || Outcome::Done(Reply::Lease(LeaseReply::Revoked));
        let renew = || Action::LeaseRenew { path: "kv/x".to_owned() };
        let (outcome, receipt, told) = match asked.number {
            2 => (value(), receipt(read(), Some(7)), Some(lease(7))),
            3 => (value(), receipt(read(), Some(8)), Some(lease(7))),
            4 => (value(), receipt(read(), None), Some(lease(7))),
            5 => (value(), receipt(read(), Some(7)), None),
            6 => (renewed(), receipt(renew(), Some(7)), None),
            7 => (renewed(), receipt(renew(), Some(8)), None),
            8 => (renewed(), receipt(read(), Some(7)), None),
            9 => (revoked(), receipt(Action::LeaseRevoke(Selector::Lease(7)), Some(7)), None),
            10 => (revoked(), receipt(Action::LeaseRevoke(Selector::Lease(8)), Some(8)), None),
            11 => (revoked(), receipt(Action::LeaseRevoke(Selector::Identity(7)), None), None),
            12 => (Outcome::Done(page(&[7], None)), receipt(Action::LeaseList, None), None),
            _ => (Outcome::Done(page(&[7], None)), receipt(Action::Look, None), None),
        };
        vec![asked.respond_leased(outcome, receipt, told)]
    })
    .await;
    let session = session.with_receipts();
    let (secret, proven) = session.kv().get("kv/x").await.unwrap();
    assert_eq!((secret.lease, proven.entry.lease), (Some(lease(7)), Some(7)));
    for _ in 3..=5 {
        assert!(matches!(session.kv().get("kv/x").await, Err(RequestError::ReceiptEntry)));
    }
    assert_eq!(session.leases().renew(7).await.unwrap().0, lease(7));
    for _ in 7..=8 {
        assert!(matches!(session.leases().renew(7).await, Err(RequestError::ReceiptEntry)));
    }
    let selector = Selector::Lease(7);
    assert!(session.leases().revoke(&selector).await.is_ok());
    for _ in 10..=11 {
        assert!(matches!(session.leases().revoke(&selector).await, Err(RequestError::ReceiptEntry)));
    }
    assert_eq!(session.leases().list_page(0).await.unwrap().0.leases, [entry(7)]);
    assert!(matches!(session.leases().list_page(0).await, Err(RequestError::ReceiptEntry)));
}
