//! What an enclave cannot do without, and nothing else: it speaks the link, ends the inner TLS, makes a record of
//! each request durable in a group commit, and echoes. `scripts/bench` holds the enclave against it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use vouchsafe_crypto::tls::inner_provider;
use vouchsafe_protocol::codec;
use vouchsafe_protocol::frame::{HEADER_LEN, body_len, enclose};
use vouchsafe_protocol::limits::{LINK_FRAME_LEN, PIPELINE_DEPTH, SESSION_FRAME_LEN};
use vouchsafe_protocol::link::{
    ALPN_SESSION, Append, EnclaveState, LinkHello, StorageReply, StorageRequest, StreamId,
};

/// Length of an echo in bytes: a reply to a read of 256 bytes has about as many.
const ECHO_LEN: usize = 320;
/// Replies that are ready go out together up to this many bytes, as the enclave does it.
const BATCH_LEN: usize = 32 * 1024;

/// Echoes behind a host.
#[derive(Parser)]
struct Options {
    /// Socket to listen on.
    #[arg(long)]
    listen: PathBuf,
    /// Directory with authority.der, server.der and server-key.der.
    #[arg(long)]
    certificates: PathBuf,
}

/// Records that wait for the next append.
#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// Records so far.
    count: u64,
}

/// What all connections share.
struct Echo {
    tls: TlsAcceptor,
    authority: Vec<u8>,
    waiting: Mutex<Waiting>,
    work: Notify,
    /// Records that are durable.
    durable: watch::Sender<u64>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Options { listen, certificates } = Options::parse();
    let read = |name: &str| std::fs::read(certificates.join(name)).with_context(|| name.to_owned());
    let authority = read("authority.der")?;
    let tls = acceptor(&authority, read("server.der")?, read("server-key.der")?)?;
    let echo = Arc::new(Echo {
        tls,
        authority,
        waiting: Mutex::default(),
        work: Notify::new(),
        durable: watch::Sender::new(0),
    });
    let listener = UnixListener::bind(&listen).context("cannot listen")?;
    announce(&listen)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let echo = Arc::clone(&echo);
        tokio::spawn(async move {
            if let Err(error) = echo.serve(stream).await {
                complain(&error);
            }
        });
    }
}

fn acceptor(authority: &[u8], server: Vec<u8>, key: Vec<u8>) -> anyhow::Result<TlsAcceptor> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.to_vec()))?;
    let provider = inner_provider();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
    let key = PrivateKeyDer::try_from(key).map_err(anyhow::Error::msg)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![CertificateDer::from(server)], key)?;
    config.alpn_protocols = vec![ALPN_SESSION.to_vec()];
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

impl Echo {
    async fn serve(&self, mut stream: UnixStream) -> anyhow::Result<()> {
        match codec::decode(&read_frame(&mut stream, 8).await?, 8)? {
            LinkHello::Introduce => bail!("there is nobody to introduce oneself to"),
            LinkHello::Session => self.session(stream).await,
            LinkHello::Storage => self.commit(stream).await,
        }
    }

    /// One append in flight; what comes in the meantime goes in the next.
    async fn commit(&self, mut stream: UnixStream) -> anyhow::Result<()> {
        let state = EnclaveState::Serving { authority: self.authority.clone(), vault_id: "echo".to_owned() };
        ask(&mut stream, &StorageRequest::Announce(state)).await?;
        for index in 0.. {
            let (frame, count) = loop {
                let (bytes, count) = {
                    let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                    (std::mem::take(&mut waiting.bytes), waiting.count)
                };
                if !bytes.is_empty() {
                    break (bytes, count);
                }
                self.work.notified().await;
            };
            let append = Append { stream: StreamId::Access { epoch: 1 }, index, frame };
            ask(&mut stream, &StorageRequest::Append(vec![append])).await?;
            self.durable.send_replace(count);
        }
        Ok(())
    }

    async fn session(&self, stream: UnixStream) -> anyhow::Result<()> {
        let (reader, writer) = tokio::io::split(self.tls.accept(stream).await?);
        let (outbox, inbox) = mpsc::channel(PIPELINE_DEPTH);
        tokio::select! {
            end = self.read(reader, outbox) => end,
            end = self.write(writer, inbox) => end,
        }
    }

    /// The first two bytes of a request say how long its record is.
    async fn read(&self, mut from: impl AsyncRead + Unpin, outbox: mpsc::Sender<u64>) -> anyhow::Result<()> {
        loop {
            let mut header = [0; HEADER_LEN];
            if from.read_exact(&mut header).await.is_err() {
                return Ok(());
            }
            let mut request = vec![0; body_len(header, SESSION_FRAME_LEN)?];
            from.read_exact(&mut request).await?;
            let len = request.first_chunk::<2>().copied().map(u16::from_be_bytes).context("no length")?;
            let number = {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                let end = waiting.bytes.len() + usize::from(len);
                waiting.bytes.resize(end, 0x5a);
                waiting.count += 1;
                waiting.count
            };
            self.work.notify_one();
            outbox.send(number).await?;
        }
    }

    async fn write(
        &self,
        mut to: impl AsyncWrite + Unpin,
        mut inbox: mpsc::Receiver<u64>,
    ) -> anyhow::Result<()> {
        let mut durable = self.durable.subscribe();
        let echo = enclose(&[0x5a; ECHO_LEN], SESSION_FRAME_LEN)?;
        let mut held = None;
        while let Some(number) = match held.take() {
            Some(number) => Some(number),
            None => inbox.recv().await,
        } {
            let reached = *durable.wait_for(|reached| *reached >= number).await?;
            let mut batch = echo.clone();
            while batch.len() < BATCH_LEN
                && let Ok(next) = inbox.try_recv()
            {
                if next > reached {
                    held = Some(next);
                    break;
                }
                batch.extend_from_slice(&echo);
            }
            to.write_all(&batch).await?;
            to.flush().await?;
        }
        Ok(())
    }
}

async fn ask(stream: &mut UnixStream, request: &StorageRequest) -> anyhow::Result<()> {
    stream.write_all(&enclose(&codec::encode(request)?, LINK_FRAME_LEN)?).await?;
    let reply: StorageReply = codec::decode(&read_frame(stream, LINK_FRAME_LEN).await?, LINK_FRAME_LEN)?;
    ensure!(matches!(reply, StorageReply::Done), "the host did not store it");
    Ok(())
}

async fn read_frame(stream: &mut UnixStream, limit: usize) -> anyhow::Result<Vec<u8>> {
    let mut header = [0; HEADER_LEN];
    stream.read_exact(&mut header).await?;
    let mut body = vec![0; body_len(header, limit)?];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

fn announce(listen: &Path) -> anyhow::Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout();
    writeln!(out, "listening {}", listen.display())?;
    Ok(out.flush()?)
}

fn complain(error: &anyhow::Error) {
    use std::io::Write;
    // Nobody to tell if standard error is gone.
    writeln!(std::io::stderr(), "echo: {error:#}").unwrap_or_default();
}
