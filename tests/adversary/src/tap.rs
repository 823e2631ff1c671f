//! A wire tap between host and enclave: everything that the host relays and stores passes here.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::Outcome;

type Record = Arc<Mutex<std::fs::File>>;

/// Records until it is ended. Says `listening {}` once it listens.
#[expect(clippy::print_stdout, reason = "the line that whoever starts it waits for")]
pub(crate) async fn tap(listen: &Path, connect: &Path, record: &Path) -> Result<Outcome> {
    let listener =
        UnixListener::bind(listen).with_context(|| format!("cannot listen on {}", listen.display()))?;
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(record)
        .with_context(|| format!("cannot write {}", record.display()))?;
    let record: Record = Arc::new(Mutex::new(file));
    println!("listening {{}}");
    loop {
        let (host, _) = listener.accept().await.context("cannot accept")?;
        // No enclave, no connection: the host tries again.
        if let Ok(enclave) = UnixStream::connect(connect).await {
            let (from_host, to_host) = host.into_split();
            let (from_enclave, to_enclave) = enclave.into_split();
            tokio::spawn(copy(from_host, to_enclave, Arc::clone(&record)));
            tokio::spawn(copy(from_enclave, to_host, Arc::clone(&record)));
        }
    }
}

/// One direction. Each piece is recorded before it is passed on.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    record: Record,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let len = from.read(&mut buffer).await?;
        let Some(piece) = buffer.get(..len).filter(|piece| !piece.is_empty()) else {
            return to.shutdown().await;
        };
        record.lock().unwrap_or_else(PoisonError::into_inner).write_all(piece)?;
        to.write_all(piece).await?;
    }
}
