//! A copy of the log: frames as the host stores them, the audit key, and checkpoints that the vault signed.
//!
//! ```text
//! DIR/pin.toml                the vault that it is of
//! DIR/audit.key               32 bytes; opens the audit part of every frame
//! DIR/journal.frames          each frame after its length, 4 bytes big-endian
//! DIR/journal.checkpoint      C2SP signed note
//! DIR/access-EPOCH.frames, and .checkpoint for the epoch that was running
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use vouchsafe_client::Pin;
use vouchsafe_crypto::secret::Key32;
use vouchsafe_protocol::codec;
use vouchsafe_protocol::limits::{INTRODUCTION_FRAME_LEN, JOURNAL_FRAME_LEN};
use vouchsafe_protocol::link::StreamId;
use vouchsafe_protocol::log::Receipt;
use zeroize::Zeroizing;

use crate::context::Conversation;
use crate::failure::Problem;
use crate::home::write_private;

/// A copy of the log. Nothing of it is believed before [`super::verify::verify`].
pub(crate) struct Archive {
    /// Which vault.
    pub(crate) pin: Pin,
    /// Opens audit parts.
    pub(crate) key: Arc<Key32>,
    /// Streams.
    pub(crate) streams: BTreeMap<StreamId, Stream>,
}

/// One stream.
#[derive(Default)]
pub(crate) struct Stream {
    /// As the host stores them.
    pub(crate) frames: Vec<Vec<u8>>,
    /// Signed note over a tree of this stream.
    pub(crate) checkpoint: Option<Vec<u8>>,
}

impl Archive {
    /// Asks the vault. Checkpoints are taken before frames, so that the frames reach at least that far.
    pub(crate) async fn fetch(conversation: &Conversation) -> Result<Self> {
        let session = &conversation.session;
        let key = session.audit().key().await?;
        let mut streams: BTreeMap<StreamId, Stream> = BTreeMap::new();
        // The receipt of any look is of the running epoch's access log: it brings that one's checkpoint.
        let (_, proven) = session.with_receipts().roles().list().await?;
        let access = proven.receipt;
        streams.entry(access.stream).or_default().checkpoint = Some(access.checkpoint);
        let journal = session.checkpoint(0).await?;
        streams.entry(StreamId::Journal).or_default().checkpoint = Some(journal.note);
        // Reading is logged, too: what comes after this moment is for the next reader.
        for (stream, count) in session.audit().streams().await? {
            let frames = &mut streams.entry(stream).or_default().frames;
            while (frames.len() as u64) < count {
                let more = session.audit().frames(stream, frames.len() as u64).await?;
                if more.is_empty() {
                    break;
                }
                frames.extend(more);
            }
        }
        Ok(Self { pin: conversation.pin.clone(), key: Arc::new(key), streams })
    }

    /// Reads a directory that [`Archive::save`] has written.
    pub(crate) fn load(dir: &Path) -> Result<Self> {
        let pin = Pin::load(dir.join("pin.toml"))
            .with_context(|| format!("{} is not a directory of 'vouchsafe audit export'", dir.display()))?;
        let mut key = Zeroizing::new(read(&dir.join("audit.key"))?);
        let key = Key32::take(&mut key).ok_or_else(|| damaged(&dir.join("audit.key")))?;
        let mut streams: BTreeMap<StreamId, Stream> = BTreeMap::new();
        for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
            let path = entry.with_context(|| format!("cannot read {}", dir.display()))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some(stream) = name.strip_suffix(".frames").and_then(parse_stream) {
                streams.entry(stream).or_default().frames =
                    split(&read(&path)?).ok_or_else(|| damaged(&path))?;
            } else if let Some(stream) = name.strip_suffix(".checkpoint").and_then(parse_stream) {
                streams.entry(stream).or_default().checkpoint = Some(read(&path)?);
            }
        }
        Ok(Self { pin, key: Arc::new(key), streams })
    }

    /// Writes it to a new directory.
    pub(crate) fn save(&self, dir: &Path) -> Result<()> {
        ensure!(!dir.exists(), "{} exists already; name a new directory", dir.display());
        crate::home::private_dir(dir)?;
        self.pin.save(dir.join("pin.toml"))?;
        write_private(&dir.join("audit.key"), self.key.expose_secret())?;
        for (id, Stream { frames, checkpoint }) in &self.streams {
            let name = stream_name(*id);
            write_private(&dir.join(format!("{name}.frames")), &join(frames)?)?;
            if let Some(checkpoint) = checkpoint {
                write_private(&dir.join(format!("{name}.checkpoint")), checkpoint)?;
            }
        }
        Ok(())
    }
}

/// Reads a receipt that `kv get --receipt` has kept.
pub(crate) fn receipt(path: &Path) -> Result<Receipt> {
    codec::decode(&read(path)?, INTRODUCTION_FRAME_LEN).map_err(|error| {
        anyhow::Error::new(error)
            .context(Problem::new("malformed-file", format!("{} is not a receipt", path.display())))
    })
}

/// Reads a checkpoint, or takes that of a receipt.
pub(crate) fn checkpoint(path: &Path) -> Result<Vec<u8>> {
    let bytes = read(path)?;
    Ok(codec::decode(&bytes, INTRODUCTION_FRAME_LEN).map_or(bytes, |receipt: Receipt| receipt.checkpoint))
}

/// Name of a stream in files and reports.
pub(crate) fn stream_name(stream: StreamId) -> String {
    match stream {
        StreamId::Access { epoch } => format!("access-{epoch}"),
        StreamId::Journal => "journal".to_owned(),
    }
}

fn parse_stream(name: &str) -> Option<StreamId> {
    match name.strip_prefix("access-") {
        Some(epoch) => epoch.parse().ok().map(|epoch| StreamId::Access { epoch }),
        None => (name == "journal").then_some(StreamId::Journal),
    }
}

fn join(frames: &[Vec<u8>]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for frame in frames {
        let len = u32::try_from(frame.len()).context("a frame is longer than its length field can say")?;
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.extend_from_slice(frame);
    }
    Ok(bytes)
}

fn split(mut bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (len, rest) = bytes.split_first_chunk::<4>()?;
        let len = usize::try_from(u32::from_be_bytes(*len)).ok().filter(|len| *len <= JOURNAL_FRAME_LEN)?;
        let (frame, rest) = rest.split_at_checked(len)?;
        frames.push(frame.to_vec());
        bytes = rest;
    }
    Some(frames)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn damaged(path: &Path) -> Problem {
    Problem::new("malformed-file", format!("{} is damaged", path.display()))
        .hint("take a new copy with 'vouchsafe audit export'")
}
