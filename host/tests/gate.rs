//! The gate: who passes, and that nothing moves before.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests")]

mod support;

use rcgen::{ExtendedKeyUsagePurpose, date_time_ymd};
use rustls::HandshakeKind;
use support::{Authority, Identity, Rig, client, connect, connect_as, refusal, self_signed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vouchsafe_protocol::link::{ALPN_INTRODUCE, ALPN_RELAY, ALPN_SESSION, EnclaveState, LinkHello};

/// One client that must not pass, and the next connection that the enclave sees is a valid one.
async fn assert_refused(identity: Option<Identity>, authority: &Authority, reason: &str) {
    let (mut rig, _storage) = Rig::serving(authority, &[]).await;
    let refused = refusal(rig.addresses.agents, &[ALPN_RELAY], identity.as_ref()).await;
    assert!(refused.contains(reason), "{refused}");
    assert_passes(&mut rig, authority).await;
}

/// A valid client's bytes are the first that the enclave sees.
async fn assert_passes(rig: &mut Rig, authority: &Authority) {
    let identity = authority.issue(|_| {});
    let mut agent = connect(rig.addresses.agents, &[ALPN_RELAY], Some(&identity)).await.unwrap();
    agent.write_all(b"question").await.unwrap();
    let (hello, mut enclave) = rig.agents.recv().await.unwrap();
    assert_eq!(hello, LinkHello::Session);
    let mut heard = [0; 8];
    enclave.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"question");
    enclave.write_all(b"answer").await.unwrap();
    let mut heard = [0; 6];
    agent.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"answer");
    assert!(rig.agents.try_recv().is_err(), "the host connected for somebody else");
}

#[tokio::test]
async fn b8_a_valid_identity_passes() {
    let authority = Authority::new();
    let (mut rig, _storage) = Rig::serving(&authority, &[]).await;
    assert_passes(&mut rig, &authority).await;
}

#[tokio::test]
async fn b8_no_certificate_is_refused() {
    assert_refused(None, &Authority::new(), "CertificateRequired").await;
}

#[tokio::test]
async fn b8_a_certificate_of_another_authority_is_refused() {
    let other = Authority::new().issue(|_| {});
    assert_refused(Some(other), &Authority::new(), "DecryptError").await;
}

#[tokio::test]
async fn b8_an_expired_certificate_is_refused() {
    let authority = Authority::new();
    let expired = authority.issue(|params| params.not_after = date_time_ymd(2021, 1, 1));
    assert_refused(Some(expired), &authority, "CertificateExpired").await;
}

#[tokio::test]
async fn b8_a_certificate_of_the_future_is_refused() {
    let authority = Authority::new();
    let early = authority.issue(|params| params.not_before = date_time_ymd(4000, 1, 1));
    assert_refused(Some(early), &authority, "CertificateExpired").await;
}

#[tokio::test]
async fn b8_a_self_signed_certificate_is_refused() {
    assert_refused(Some(self_signed()), &Authority::new(), "UnknownCA").await;
}

#[tokio::test]
async fn b8_the_vaults_own_server_certificate_is_refused() {
    let authority = Authority::new();
    let server =
        authority.issue(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    assert_refused(Some(server), &authority, "UnsupportedCertificate").await;
}

#[tokio::test]
async fn b8_an_earlier_authority_is_refused_after_a_new_announcement() {
    let (before, after) = (Authority::new(), Authority::new());
    let (mut rig, mut storage) = Rig::serving(&before, &[]).await;
    storage.announce(after.serving()).await;
    let identity = before.issue(|_| {});
    refusal(rig.addresses.agents, &[ALPN_RELAY], Some(&identity)).await;
    assert_passes(&mut rig, &after).await;
}

#[tokio::test]
async fn b8_a_second_connection_of_a_client_is_a_full_handshake() {
    let authority = Authority::new();
    let (mut rig, _storage) = Rig::serving(&authority, &[]).await;
    let client = client(&[ALPN_RELAY], Some(&authority.issue(|_| {})));
    for _ in 0..2 {
        let mut agent = connect_as(rig.addresses.agents, client.clone()).await.unwrap();
        agent.write_all(b".").await.unwrap();
        let (_, mut enclave) = rig.agents.recv().await.unwrap();
        // An answer, so that the client has read whatever tickets there are.
        enclave.write_all(b".").await.unwrap();
        agent.read_exact(&mut [0]).await.unwrap();
        assert_eq!(agent.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
    }
}

#[tokio::test]
async fn an_introduction_needs_no_certificate() {
    let (mut rig, _storage) = Rig::serving(&Authority::new(), &[]).await;
    let mut agent = connect(rig.addresses.agents, &[ALPN_INTRODUCE], None).await.unwrap();
    agent.write_all(b"hello").await.unwrap();
    let (hello, mut enclave) = rig.agents.recv().await.unwrap();
    assert_eq!(hello, LinkHello::Introduce);
    let mut heard = [0; 5];
    enclave.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"hello");
}

#[tokio::test]
async fn other_protocols_are_refused() {
    let authority = Authority::new();
    let (mut rig, _storage) = Rig::serving(&authority, &[]).await;
    let identity = authority.issue(|_| {});
    for alpn in [
        &[][..],
        &[ALPN_SESSION],
        &[b"h2"],
        // An introduction's rules must not open a session: one protocol, not a choice.
        &[ALPN_RELAY, ALPN_INTRODUCE],
        &[ALPN_INTRODUCE, ALPN_RELAY],
        &[ALPN_RELAY, b"h2"],
    ] {
        let refused = refusal(rig.addresses.agents, alpn, Some(&identity)).await;
        assert!(refused.contains("NoApplicationProtocol"), "{alpn:?}: {refused}");
    }
    assert_passes(&mut rig, &authority).await;
}

#[tokio::test]
async fn only_a_serving_enclave_gets_sessions_and_only_a_living_one_introductions() {
    let authority = Authority::new();
    let identity = authority.issue(|_| {});
    let (mut rig, mut storage) = Rig::serving(&authority, &[]).await;
    for (state, introductions) in [
        (EnclaveState::Uninitialised, true),
        (EnclaveState::Sealed, false),
        (EnclaveState::Failed { reason: "journal.tampered".into() }, false),
    ] {
        storage.announce(state).await;
        let refused = refusal(rig.addresses.agents, &[ALPN_RELAY], Some(&identity)).await;
        assert!(refused.contains("AccessDenied"), "{refused}");
        if introductions {
            connect(rig.addresses.agents, &[ALPN_INTRODUCE], None).await.unwrap();
            assert_eq!(rig.agents.recv().await.unwrap().0, LinkHello::Introduce);
        } else {
            let refused = refusal(rig.addresses.agents, &[ALPN_INTRODUCE], None).await;
            assert!(refused.contains("AccessDenied"), "{refused}");
        }
    }
    storage.announce(authority.serving()).await;
    assert_passes(&mut rig, &authority).await;
}

#[tokio::test]
async fn the_gate_closes_when_the_enclave_is_lost_and_opens_when_it_is_back() {
    let authority = Authority::new();
    let identity = authority.issue(|_| {});
    let (mut rig, storage) = Rig::serving(&authority, &[]).await;
    drop(storage);
    // The host has noticed when it connects anew.
    let mut storage = rig.links.recv().await.unwrap();
    let refused = refusal(rig.addresses.agents, &[ALPN_RELAY], Some(&identity)).await;
    assert!(refused.contains("AccessDenied"), "{refused}");
    storage.announce(authority.serving()).await;
    assert_passes(&mut rig, &authority).await;
}

#[tokio::test]
async fn an_unusable_authority_closes_the_link_and_the_gate() {
    let (mut rig, mut storage) = Rig::serving(&Authority::new(), &[]).await;
    let nonsense = EnclaveState::Serving { authority: vec![0x30; 64], vault_id: "sim-vault-02".into() };
    let body = vouchsafe_protocol::link::StorageRequest::Announce(nonsense);
    let body = vouchsafe_protocol::codec::encode(&body).unwrap();
    storage.0.write_all(&vouchsafe_protocol::frame::enclose(&body, 1024).unwrap()).await.unwrap();
    support::closed(&mut storage.0).await;
    rig.links.recv().await.unwrap();
    assert_eq!(rig.get("/readyz").await.0, 503);
}
