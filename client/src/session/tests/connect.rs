//! Whom a session is with, and what its journal must be.

use std::sync::Arc;

use rcgen::{ExtendedKeyUsagePurpose, SanType};
use vouchsafe_crypto::signature::P256Key;
use vouchsafe_crypto::tls;
use vouchsafe_protocol::log::{Action, Actor};
use vouchsafe_protocol::refusal::RefusalCode;
use vouchsafe_protocol::session::{Outcome, Reply, Request};

use super::server::{Settings, connect};
use crate::certificate::CertificateError;
use crate::clock::now_secs;
use crate::identity::Identity;
use crate::pin::Remembered;
use crate::session::{ConnectError, check_identity};
use crate::vault::fake::FakeVault;

/// Connects to a server that shows this checkpoint and proof; returns what the pin then remembers.
async fn shown(
    vault: &FakeVault,
    remembered: Option<Remembered>,
    note: Vec<u8>,
    proof: Vec<[u8; 32]>,
) -> Result<Option<Remembered>, ConnectError> {
    let mut pin = vault.pin();
    pin.checkpoint = remembered;
    let from = remembered.map_or(0, |remembered| remembered.size);
    let settings = Settings::right(vault);
    let (session, _) = connect(vault, &mut pin, settings, move |asked| {
        assert!(matches!(asked.request, Request::Checkpoint { from_size } if from_size == from));
        vec![asked.reply(Reply::Checkpoint { note: note.clone(), proof: proof.clone() })]
    })
    .await;
    session.map(|_| pin.checkpoint)
}

fn grown(vault: &mut FakeVault) {
    for _ in 0..5 {
        vault.append(Actor::Vault, Action::Look);
    }
}

#[tokio::test]
async fn h3_a_journal_that_extends_the_remembered_one_is_remembered() {
    let mut vault = FakeVault::new();
    let old = vault.remembered();
    assert_eq!(shown(&vault, Some(old), vault.checkpoint(), vec![]).await.unwrap(), Some(old));
    grown(&mut vault);
    let proof = vault.tree.consistency_proof(old.size).unwrap();
    let new = Some(vault.remembered());
    assert_eq!(shown(&vault, Some(old), vault.checkpoint(), proof).await.unwrap(), new);
    assert_eq!(shown(&vault, None, vault.checkpoint(), vec![]).await.unwrap(), new);
}

#[tokio::test]
async fn h3_a_rolled_back_journal_is_refused() {
    let mut vault = FakeVault::new();
    let old = vault.checkpoint();
    grown(&mut vault);
    let error = shown(&vault, Some(vault.remembered()), old, vec![]).await.unwrap_err();
    assert!(matches!(error, ConnectError::RolledBack { size: 2, remembered: 7 }), "{error:?}");
}

#[tokio::test]
async fn h3_a_vault_that_has_no_tree_of_the_remembered_size_is_rolled_back() {
    let vault = FakeVault::new();
    let mut pin = vault.pin();
    pin.checkpoint = Some(Remembered { size: 9, root: [1; 32] });
    let note = vault.checkpoint();
    let (session, _) = connect(&vault, &mut pin, Settings::right(&vault), move |asked| {
        vec![match asked.request {
            Request::Checkpoint { from_size: 0 } => {
                asked.reply(Reply::Checkpoint { note: note.clone(), proof: vec![] })
            }
            _ => asked.respond(Outcome::Refused(RefusalCode::NotFound.into()), None),
        }]
    })
    .await;
    let error = session.err().unwrap();
    assert!(matches!(error, ConnectError::RolledBack { size: 2, remembered: 9 }), "{error:?}");
    assert_eq!(pin.checkpoint.unwrap().size, 9, "the pin does not forget");
}

#[tokio::test]
async fn h3_a_forked_journal_is_refused() {
    let mut vault = FakeVault::new();
    let fork = Remembered { size: 2, root: [1; 32] };
    let error = shown(&vault, Some(fork), vault.checkpoint(), vec![]).await.unwrap_err();
    assert!(matches!(error, ConnectError::Forked { size: 2, source: None, .. }), "{error:?}");
    let proof = |vault: &FakeVault| vault.tree.consistency_proof(2).unwrap();
    grown(&mut vault);
    let error = shown(&vault, Some(fork), vault.checkpoint(), proof(&vault)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Forked { size: 7, remembered: 2, source: Some(_) }), "{error:?}");
}

#[tokio::test]
async fn h3_a_checkpoint_of_another_vault_is_refused() {
    let vault = FakeVault::new();
    let other = FakeVault::new().checkpoint();
    let error = shown(&vault, Some(vault.remembered()), other, vec![]).await.unwrap_err();
    assert!(matches!(error, ConnectError::Checkpoint(_)), "{error:?}");
}

async fn refused(vault: &FakeVault, settings: Settings) -> ConnectError {
    let (session, _) = connect(vault, &mut vault.pin(), settings, |_| panic!("a request was sent")).await;
    session.err().unwrap()
}

#[tokio::test]
async fn b8_b10_the_inner_tls_ends_in_the_pinned_vault_or_nowhere() {
    let vault = FakeVault::new();
    let inner = tls::inner_provider;
    let other_authority = Settings::with(&vault, &FakeVault::new(), inner());
    let key = P256Key::generate().unwrap();
    let name = SanType::DnsName(FakeVault::new().vault_id.server_name().try_into().unwrap());
    let named = vault.certificate(&key.spki(), vec![name], ExtendedKeyUsagePurpose::ServerAuth, 3600);
    let other_name = Settings::certified(&vault, vec![named], &key, inner());
    let name = SanType::DnsName(vault.vault_id.server_name().try_into().unwrap());
    let expired = vault.certificate(&key.spki(), vec![name], ExtendedKeyUsagePurpose::ServerAuth, -60);
    let expired = Settings::certified(&vault, vec![expired], &key, inner());
    // Another agent of the same vault, which has a right certificate, but not a server's.
    let agent = vault.identity_certificate(&key.spki(), &vault.spiffe("/other"), 3600);
    let agent = Settings::certified(&vault, vec![agent], &key, inner());
    for settings in [other_authority, other_name, expired, agent] {
        let error = refused(&vault, settings).await;
        assert!(matches!(error, ConnectError::Inner(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_without_the_hybrid_key_exchange_is_refused() {
    let vault = FakeVault::new();
    let classical = rustls::crypto::ring::default_provider();
    let error = refused(&vault, Settings::with(&vault, &vault, Arc::new(classical))).await;
    assert!(matches!(error, ConnectError::Inner(_)), "{error:?}");
}

#[tokio::test]
async fn a_server_of_another_protocol_is_refused() {
    let vault = FakeVault::new();
    let mut none = Settings::right(&vault);
    none.config.alpn_protocols = vec![];
    assert!(matches!(refused(&vault, none).await, ConnectError::Alpn));
}

#[tokio::test]
async fn a_pin_that_never_saw_its_vault_is_not_used() {
    let vault = FakeVault::new();
    let mut pin = vault.pin();
    pin.log_key = None;
    let settings = Settings::right(&vault);
    let (session, _) = connect(&vault, &mut pin, settings, |_| vec![]).await;
    assert!(matches!(session.err().unwrap(), ConnectError::LogKeyUnknown));
}

#[test]
fn b8_an_identity_of_another_vault_or_expired_is_not_shown() {
    let vault = FakeVault::new();
    check_identity(&vault.identity(), &vault.pin(), now_secs()).unwrap();
    let other = FakeVault::new();
    let error = check_identity(&other.identity(), &vault.pin(), now_secs()).unwrap_err();
    assert!(matches!(error, ConnectError::AnotherVault { expected } if expected == vault.vault_id));
    let error = check_identity(&vault.identity(), &vault.pin(), now_secs() + 7200).unwrap_err();
    assert!(matches!(error, ConnectError::Identity(CertificateError::Chain(_))));
    let mixed = vault.identity();
    let key = P256Key::generate().unwrap();
    let mixed = Identity::new(key, mixed.certificate().to_vec(), mixed.authority().clone());
    let error = check_identity(&mixed, &vault.pin(), now_secs()).unwrap_err();
    assert!(matches!(error, ConnectError::Identity(CertificateError::AnotherKey)));
}
