//! Who gets into the inner TLS (B8): nobody without a certificate that this vault issued, over exactly this
//! protocol.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test binary, helpers included"
)]

mod support;

use std::sync::Arc;

use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};
use support::Bench;
use support::front::Front;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use vouchsafe_client::{Expect, Identity, introduce_operator};
use vouchsafe_crypto::signature::P256Key;
use vouchsafe_crypto::tls::{certified_key, inner_provider};
use vouchsafe_protocol::id::VaultId;
use vouchsafe_protocol::link::{ALPN_SESSION, EnclaveState, LinkHello};

struct Vault {
    bench: Bench,
    _running: support::Running,
    authority: Vec<u8>,
    id: VaultId,
    identity: Identity,
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
enum Met {
    /// There was a session: what is no frame ended it, in order.
    Session,
    /// There was none.
    Refused,
}

impl Vault {
    async fn new() -> Self {
        let bench = Bench::new();
        let (running, id) = bench.start_vault().await;
        let state = running.host.wait(|state| matches!(state, EnclaveState::Serving { .. })).await;
        let EnclaveState::Serving { authority, .. } = state else { unreachable!() };
        let front = Front::start(bench.socket()).await;
        let id: VaultId = id.parse().unwrap();
        let name = "root".parse().unwrap();
        let anchors = bench.anchors();
        let expect = Expect::DangerousTrustOnFirstUse { anchors: &anchors };
        let introduced = introduce_operator(front.endpoint(), expect, &name, &bench.operator).await.unwrap();
        Self { bench, _running: running, authority, id, identity: introduced.identity }
    }

    fn config(
        &self,
        provider: Arc<CryptoProvider>,
        client: Option<Arc<dyn ResolvesClientCert>>,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.authority.clone())).unwrap();
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match client {
            Some(client) => builder.with_client_cert_resolver(client),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![ALPN_SESSION.to_vec()];
        config.resumption = Resumption::in_memory_sessions(8);
        config
    }

    fn identity(&self) -> Option<Arc<dyn ResolvesClientCert>> {
        shown(self.identity.certificate().to_vec(), self.identity.key())
    }

    async fn meet(&self, config: ClientConfig) -> Met {
        let stream = self.bench.open(LinkHello::Session).await;
        let name = ServerName::try_from(self.id.server_name()).unwrap();
        let Ok(mut tls) = TlsConnector::from(Arc::new(config)).connect(name, stream).await else {
            return Met::Refused;
        };
        if tls.write_all(&[0, 0, 0, 1, 9]).await.is_err() || tls.flush().await.is_err() {
            return Met::Refused;
        }
        // A session says goodbye in TLS; a refused handshake is an alert or a cut.
        match tls.read(&mut [0; 64]).await {
            Ok(0) => Met::Session,
            Ok(read) => panic!("{read} bytes for no request"),
            Err(_) => Met::Refused,
        }
    }
}

fn shown(certificate: Vec<u8>, key: &P256Key) -> Option<Arc<dyn ResolvesClientCert>> {
    Some(Arc::new(SingleCertAndKey::from(certified_key(vec![certificate], key).unwrap())))
}

fn rcgen_key(key: &P256Key) -> rcgen::KeyPair {
    let der = rustls::pki_types::PrivatePkcs8KeyDer::from(key.expose_pkcs8().expose_secret().to_vec());
    rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_ECDSA_P256_SHA256).unwrap()
}

#[tokio::test]
async fn b8_only_certificates_of_this_vault_over_exactly_this_protocol() {
    let vault = Vault::new().await;
    let good = || vault.config(inner_provider(), vault.identity());
    assert_eq!(vault.meet(good()).await, Met::Session, "the control");

    // No certificate.
    assert_eq!(vault.meet(vault.config(inner_provider(), None)).await, Met::Refused);
    // A self-signed one.
    let key = P256Key::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["agent".to_owned()]).unwrap();
    let own = params.self_signed(&rcgen_key(&key)).unwrap();
    assert_eq!(
        vault.meet(vault.config(inner_provider(), shown(own.der().to_vec(), &key))).await,
        Met::Refused
    );
    // One of another vault.
    let other = Vault::new().await;
    assert_eq!(vault.meet(vault.config(inner_provider(), other.identity())).await, Met::Refused);
    // Somebody's genuine certificate without its key.
    let stolen = shown(vault.identity.certificate().to_vec(), &key);
    assert_eq!(vault.meet(vault.config(inner_provider(), stolen)).await, Met::Refused);
    // The authority's own certificate, which is public, too.
    let authority = shown(vault.authority.clone(), &key);
    assert_eq!(vault.meet(vault.config(inner_provider(), authority)).await, Met::Refused);
    // No ALPN, another ALPN.
    for alpn in [vec![], vec![b"h2".to_vec()]] {
        let mut config = good();
        config.alpn_protocols = alpn;
        assert_eq!(vault.meet(config).await, Met::Refused);
    }
    // A key exchange without the post-quantum half.
    let classical = Arc::new(rustls::crypto::ring::default_provider());
    assert_eq!(vault.meet(vault.config(classical, vault.identity())).await, Met::Refused);

    assert_eq!(vault.meet(good()).await, Met::Session, "and nothing of that hurt anybody");
}

#[tokio::test]
async fn b8_nothing_is_resumed() {
    let vault = Vault::new().await;
    let config = Arc::new(vault.config(inner_provider(), vault.identity()));
    for _ in 0..3 {
        let stream = vault.bench.open(LinkHello::Session).await;
        let name = ServerName::try_from(vault.id.server_name()).unwrap();
        let mut tls = TlsConnector::from(Arc::clone(&config)).connect(name, stream).await.unwrap();
        assert_eq!(tls.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
        tls.write_all(&[0, 0, 0, 1, 9]).await.unwrap();
        // Tickets, if there were any, have arrived by the end.
        assert_eq!(tls.read(&mut [0; 8]).await.unwrap(), 0);
    }
}
