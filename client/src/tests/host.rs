//! A host for tests: real outer TLS, then introduction frames to a closure.

use std::sync::Arc;

use rcgen::IsCa;
use rustls::ServerConfig;
use rustls::version::TLS13;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use vouchsafe_crypto::signature::P256Key;
use vouchsafe_crypto::tls;
use vouchsafe_protocol::codec;
use vouchsafe_protocol::introduction::{IntroductionReply, IntroductionRequest};
use vouchsafe_protocol::limits::INTRODUCTION_FRAME_LEN;
use vouchsafe_protocol::link::ALPN_INTRODUCE;

use crate::Endpoint;
use crate::frames::{read_frame, write_frame};
use crate::vault::fake::self_signed;

/// Serves one connection: each request goes to `answer`, `None` hangs up.
pub(super) async fn serve(
    alpn: &[u8],
    answer: impl FnMut(IntroductionRequest) -> Option<IntroductionReply> + Send + 'static,
) -> Endpoint {
    let key = P256Key::generate().unwrap();
    serve_certified(alpn, self_signed(&key, IsCa::NoCa), &key, answer).await
}

/// As [`serve`], with this certificate.
pub(super) async fn serve_certified(
    alpn: &[u8],
    certificate: Vec<u8>,
    key: &P256Key,
    mut answer: impl FnMut(IntroductionRequest) -> Option<IntroductionReply> + Send + 'static,
) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let acceptor = TlsAcceptor::from(Arc::new(config(alpn, certificate, key)));
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = acceptor.accept(tcp).await else { return };
        while let Ok(frame) = read_frame(&mut stream, INTRODUCTION_FRAME_LEN).await {
            let Some(reply) = answer(codec::decode(&frame, INTRODUCTION_FRAME_LEN).unwrap()) else { return };
            let bytes = codec::encode(&reply).unwrap();
            write_frame(&mut stream, &bytes, INTRODUCTION_FRAME_LEN).await.unwrap();
        }
    });
    Endpoint::new(address)
}

pub(super) async fn serve_introductions(
    answer: impl FnMut(IntroductionRequest) -> Option<IntroductionReply> + Send + 'static,
) -> Endpoint {
    serve(ALPN_INTRODUCE, answer).await
}

fn config(alpn: &[u8], certificate: Vec<u8>, key: &P256Key) -> ServerConfig {
    let certified = tls::certified_key(vec![certificate], key).unwrap();
    let mut config = ServerConfig::builder_with_provider(tls::outer_provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![alpn.to_vec()];
    config
}
