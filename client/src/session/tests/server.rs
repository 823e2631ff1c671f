//! The enclave's end for tests: real inner TLS, the chain verified, replies from a closure.

use std::sync::{Arc, Mutex};

use rustls::server::WebPkiClientVerifier;
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use vouchsafe_crypto::signature::{P256Key, P256PublicKey};
use vouchsafe_crypto::tls;
use vouchsafe_crypto::transcript::{chain_head_preimage, chain_link};
use vouchsafe_protocol::codec;
use vouchsafe_protocol::frame::enclose;
use vouchsafe_protocol::lease::Lease;
use vouchsafe_protocol::limits::{PIPELINE_DEPTH, SESSION_FRAME_LEN, UNSIGNED_REQUESTS};
use vouchsafe_protocol::link::ALPN_SESSION;
use vouchsafe_protocol::log::Receipt;
use vouchsafe_protocol::session::{
    AgentFrame, CHAIN_EXPORTER, Outcome, Reply, Request, Response, vault_frame,
};
use webpki::EndEntityCert;

use crate::endpoint::Endpoint;
use crate::frames::read_frame;
use crate::pin::Pin;
use crate::session::{ConnectError, Session};
use crate::vault::fake::FakeVault;

/// A request as it arrived, its link verified.
pub(super) struct Asked {
    pub(super) number: u64,
    pub(super) link: [u8; 32],
    pub(super) receipt: bool,
    pub(super) request: Request,
}

impl Asked {
    /// The right frame for a reply.
    pub(super) fn reply(&self, reply: Reply) -> Vec<u8> {
        self.respond(Outcome::Done(reply), None)
    }

    pub(super) fn respond(&self, outcome: Outcome, receipt: Option<Receipt>) -> Vec<u8> {
        self.respond_leased(outcome, receipt, None)
    }

    pub(super) fn respond_leased(
        &self,
        outcome: Outcome,
        receipt: Option<Receipt>,
        lease: Option<Lease>,
    ) -> Vec<u8> {
        vault_frame(self.number, &self.link, &codec::encode(&Response { outcome, receipt, lease }).unwrap())
    }
}

/// What the server saw: signatures with the time since the session's beginning.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) signed: Vec<(u64, tokio::time::Duration)>,
    pub(super) ended: bool,
}

/// How the server's end differs from a right one.
pub(super) struct Settings {
    pub(super) config: ServerConfig,
}

impl Settings {
    pub(super) fn right(vault: &FakeVault) -> Self {
        Self::with(vault, vault, tls::inner_provider())
    }

    /// A server certified by `certifier`, which lets identities of `vault` in.
    pub(super) fn with(
        vault: &FakeVault,
        certifier: &FakeVault,
        provider: Arc<rustls::crypto::CryptoProvider>,
    ) -> Self {
        let key = P256Key::generate().unwrap();
        let chain = vec![certifier.server_certificate(&key.spki())];
        Self::certified(vault, chain, &key, provider)
    }

    pub(super) fn certified(
        vault: &FakeVault,
        chain: Vec<Vec<u8>>,
        key: &P256Key,
        provider: Arc<rustls::crypto::CryptoProvider>,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(vault.authority.clone().into()).unwrap();
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
        let certified = tls::certified_key(chain, key).unwrap();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_client_cert_verifier(clients.unwrap())
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![ALPN_SESSION.to_vec()];
        Self { config }
    }
}

/// Runs a server and connects a session with a fresh identity of `vault`.
pub(super) async fn connect(
    vault: &FakeVault,
    pin: &mut Pin,
    settings: Settings,
    answer: impl FnMut(Asked) -> Vec<Vec<u8>> + Send + 'static,
) -> (Result<Session, ConnectError>, Arc<Mutex<Seen>>) {
    let (near, far) = duplex(64 * 1024);
    let seen = Arc::new(Mutex::new(Seen::default()));
    let watching = Arc::clone(&seen);
    tokio::spawn(serve(far, settings, watching, answer));
    let identity = vault.identity();
    let session = Session::over(near, &Endpoint::new("unused"), &identity, pin).await;
    (session, seen)
}

/// A session with a server that answers checkpoints rightly and hands the rest to `answer`.
pub(super) async fn session(
    vault: &FakeVault,
    mut answer: impl FnMut(Asked) -> Vec<Vec<u8>> + Send + 'static,
) -> (Session, Arc<Mutex<Seen>>) {
    let note = vault.checkpoint();
    let (session, seen) =
        connect(vault, &mut vault.pin(), Settings::right(vault), move |asked| match asked.request {
            Request::Checkpoint { .. } => {
                vec![asked.reply(Reply::Checkpoint { note: note.clone(), proof: vec![] })]
            }
            _ => answer(asked),
        })
        .await;
    (session.unwrap(), seen)
}

async fn serve(
    io: DuplexStream,
    settings: Settings,
    seen: Arc<Mutex<Seen>>,
    mut answer: impl FnMut(Asked) -> Vec<Vec<u8>>,
) {
    let Ok(mut stream) = TlsAcceptor::from(Arc::new(settings.config)).accept(io).await else { return };
    let (_, tls) = stream.get_ref();
    let mut link = tls.export_keying_material([0u8; 32], CHAIN_EXPORTER, None).unwrap();
    let certificate = tls.peer_certificates().unwrap()[0].clone();
    let spki = EndEntityCert::try_from(&certificate).unwrap().subject_public_key_info();
    let identity = P256PublicKey::from_spki(&spki).unwrap();
    let (mut number, mut signed, mut replied) = (0, 0, 0);
    let mut links = vec![link];
    let start = Instant::now();
    while let Ok(frame) = read_frame(&mut stream, SESSION_FRAME_LEN).await {
        match AgentFrame::parse(&frame).unwrap() {
            AgentFrame::Request { number: next, link: claimed, receipt, body } => {
                number += 1;
                link = chain_link(&link, number, receipt, body);
                links.push(link);
                assert_eq!((next, claimed), (number, link), "the chain continues");
                assert!(number - signed <= UNSIGNED_REQUESTS, "no more than that is unsigned");
                assert!(number - replied <= PIPELINE_DEPTH as u64, "no more than that is in flight");
                let request = codec::decode(body, SESSION_FRAME_LEN).unwrap();
                for frame in answer(Asked { number, link, receipt, request }) {
                    // A notice answers nothing.
                    replied += u64::from(!frame.starts_with(&[0; 40]));
                    // Sent as it is, right or wrong; empty means: hang up.
                    if frame.is_empty() {
                        return;
                    }
                    let bytes = enclose(&frame, usize::MAX).unwrap();
                    stream.write_all(&bytes).await.unwrap();
                    stream.flush().await.unwrap();
                }
            }
            AgentFrame::Signature { upto, signature } => {
                let head = links[usize::try_from(upto).unwrap()];
                identity.verify(&chain_head_preimage(upto, &head), signature).unwrap();
                signed = upto;
                seen.lock().unwrap().signed.push((upto, start.elapsed()));
            }
        }
    }
    // A session that was closed in order ends with close_notify, which reads as the end of the stream.
    seen.lock().unwrap().ended = matches!(stream.read(&mut [0]).await, Ok(0));
}
