//! Verification of a copy of the log. It needs the pin's log key, and nobody's word.
//!
//! 1. Every frame opens with the audit key and continues its stream: vault, stream, index, hash of the frame
//!    before, epoch, number of leaves.
//! 2. Every leaf is the hash of its entry and state digest.
//! 3. The journal's tree is the one that the vault signed in its checkpoint; so is the running epoch's access
//!    log.
//! 4. The journal extends what the pin remembers.
//! 5. The access log of every epoch that ended in order has the size and root that the journal says.
//! 6. Every signed head of a request chain is over the requests in this log, by the key that was introduced:
//!    see [`super::chains`].
//! 7. Every checkpoint that was kept from before is of a tree of this log, so that between any two of one stream no entry
//!    is missing, added or changed.
//! 8. Every receipt is of this log: its checkpoint is signed over a tree of this stream, and its entry is in it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use vouchsafe_crypto::signature::LogPublicKey;
use vouchsafe_log::{AuditReader, Checkpoint, Frontier, Hash, origin, verify_receipt};
use vouchsafe_protocol::link::StreamId;
use vouchsafe_protocol::log::{Action, Receipt};

use super::archive::{Archive, Stream, stream_name};
use super::chains::{self, Chains};
use super::entry::Placed;

/// What was verified.
pub(crate) struct Report {
    streams: BTreeMap<StreamId, Verified>,
    /// Epochs that began, did not end, and have no access log here.
    missing: Vec<u64>,
    chains: Chains,
    receipts: usize,
    kept: Vec<Kept>,
}

/// A checkpoint that was kept from before.
struct Kept {
    stream: StreamId,
    checkpoint: Checkpoint,
}

/// What was kept beside the log, to be held against it.
#[derive(Default)]
pub(crate) struct Beside {
    /// Signed notes.
    pub(crate) checkpoints: Vec<Vec<u8>>,
    pub(crate) receipts: Vec<Receipt>,
}

/// One stream that was verified.
struct Verified {
    entries: Vec<Placed>,
    frames: usize,
    /// Root of the tree of each size that something refers to.
    roots: BTreeMap<u64, Hash>,
    leaves: Vec<Hash>,
    end: End,
}

/// How it is known that nothing is missing at the end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// A signed checkpoint of this many leaves.
    Checkpoint(u64),
    /// The journal says how long it is.
    Journal,
    /// Nothing says it: the enclave did not stop in order.
    Open,
}

/// Verifies all of it.
pub(crate) fn verify(archive: &Archive, beside: &Beside) -> Result<Report> {
    let log_key = LogPublicKey(archive.pin.log_key.context("the pin does not know the vault's log key")?);
    let Beside { checkpoints, receipts } = beside;
    let kept = checkpoints.iter().map(|note| kept(archive, note, &log_key)).collect::<Result<Vec<_>>>()?;
    let mut streams = BTreeMap::new();
    for (id, stream) in &archive.streams {
        let verified = verify_stream(archive, *id, stream, &log_key, (receipts, &kept))
            .with_context(|| format!("{} is refused", stream_name(*id)))?;
        streams.insert(*id, verified);
    }
    let mut report =
        Report { streams, missing: Vec::new(), chains: Chains::default(), receipts: receipts.len(), kept };
    report.check_epochs()?;
    report.check_kept()?;
    report.chains = chains::verify(report.entries(), |stream| report.is_closed(stream))
        .context("a signed chain of requests is refused")?;
    for receipt in receipts {
        report.check_receipt(archive, receipt, &log_key).with_context(|| {
            format!(
                "the receipt for entry {} of {} is refused",
                receipt.leaf_index,
                stream_name(receipt.stream)
            )
        })?;
    }
    Ok(report)
}

/// A checkpoint says itself which log it is of.
fn kept(archive: &Archive, note: &[u8], log_key: &LogPublicKey) -> Result<Kept> {
    let of = |stream: StreamId| {
        let checkpoint = Checkpoint::verify(note, &origin(&archive.pin.vault_id, stream), log_key).ok()?;
        Some(Kept { stream, checkpoint })
    };
    archive
        .streams
        .keys()
        .find_map(|stream| of(*stream))
        .context("a checkpoint is not one that this vault has signed over one of these logs")
}

fn verify_stream(
    archive: &Archive,
    id: StreamId,
    stream: &Stream,
    log_key: &LogPublicKey,
    (receipts, kept): (&[Receipt], &[Kept]),
) -> Result<Verified> {
    // 1. and 2.
    let mut reader = AuditReader::new(std::sync::Arc::clone(&archive.key), id);
    let (mut entries, mut leaves) = (Vec::new(), Vec::new());
    for bytes in &stream.frames {
        let frame = reader.open(bytes)?;
        for (entry, leaf) in frame.entries.into_iter().zip(frame.leaves) {
            entries.push(Placed { stream: id, leaf: leaves.len() as u64, entry });
            leaves.push(leaf);
        }
    }
    // 3.
    let name = origin(&archive.pin.vault_id, id);
    let signed = |note: &[u8]| Checkpoint::verify(note, &name, log_key).context("its checkpoint is refused");
    let checkpoint = stream.checkpoint.as_deref().map(signed).transpose()?;
    ensure!(id != StreamId::Journal || checkpoint.is_some(), "the journal's checkpoint is missing");
    let remembered = archive.pin.checkpoint.filter(|_| id == StreamId::Journal);
    let mut sizes: BTreeSet<u64> = [leaves.len() as u64].into();
    sizes.extend(checkpoint.as_ref().map(|checkpoint| checkpoint.size));
    sizes.extend(remembered.map(|remembered| remembered.size));
    for receipt in receipts.iter().filter(|receipt| receipt.stream == id) {
        sizes.insert(signed(&receipt.checkpoint).context("a receipt is of another log")?.size);
    }
    sizes.extend(kept.iter().filter(|kept| kept.stream == id).map(|kept| kept.checkpoint.size));
    let roots = roots_at(&leaves, &sizes)?;
    let mut end = End::Open;
    if let Some(checkpoint) = checkpoint {
        ensure!(
            roots.get(&checkpoint.size) == Some(&checkpoint.root),
            "it is not the tree of {} entries that the vault signed",
            checkpoint.size,
        );
        end = End::Checkpoint(checkpoint.size);
    }
    // 4.
    if let Some(remembered) = remembered {
        ensure!(
            roots.get(&remembered.size) == Some(&remembered.root),
            "it does not extend the {} entries that the pin remembers",
            remembered.size,
        );
    }
    Ok(Verified { entries, frames: stream.frames.len(), roots, leaves, end })
}

/// Roots of the trees of some sizes, in one pass.
fn roots_at(leaves: &[Hash], sizes: &BTreeSet<u64>) -> Result<BTreeMap<u64, Hash>> {
    let mut tree = Frontier::default();
    let mut roots = BTreeMap::new();
    let mut sizes = sizes.iter().copied().peekable();
    let mut rest = leaves.iter();
    loop {
        while sizes.next_if_eq(&tree.size()).is_some() {
            roots.insert(tree.size(), tree.root());
        }
        match rest.next() {
            Some(leaf) => tree.push(*leaf),
            None => break,
        }
    }
    if let Some(missing) = sizes.next() {
        bail!("it has only {} of the {missing} entries that the vault signed", leaves.len());
    }
    Ok(roots)
}

impl Report {
    /// Step 5.
    fn check_epochs(&mut self) -> Result<()> {
        let Some(journal) = self.streams.get(&StreamId::Journal) else { bail!("there is no journal") };
        let ends: Vec<_> =
            journal.entries.iter().filter_map(|placed| epoch_end(&placed.entry.action)).collect();
        let began: Vec<u64> = journal.entries.iter().filter_map(epoch_begin).collect();
        let ended: BTreeSet<u64> = ends.iter().map(|(epoch, _, _)| *epoch).collect();
        for (epoch, size, root) in ends {
            let id = StreamId::Access { epoch };
            let Some(access) = self.streams.get_mut(&id) else {
                ensure!(size == 0, "the access log of epoch {epoch} is missing; it has {size} entries");
                continue;
            };
            let agrees = access.leaves.len() as u64 == size && access.roots.get(&size) == Some(&root);
            ensure!(agrees, "{} is not the one that the journal closed, of {size} entries", stream_name(id));
            access.end = End::Journal;
        }
        self.missing = began;
        self.missing.retain(|epoch| {
            !ended.contains(epoch) && !self.streams.contains_key(&StreamId::Access { epoch: *epoch })
        });
        Ok(())
    }

    /// Whether it is certain that nothing is missing at the end of a log.
    fn is_closed(&self, id: StreamId) -> bool {
        self.streams.get(&id).is_some_and(|stream| stream.end == End::Journal)
    }

    /// Step 7. In the order of streams and sizes from here on.
    fn check_kept(&mut self) -> Result<()> {
        self.kept.sort_by_key(|kept| (kept.stream, kept.checkpoint.size));
        for Kept { stream, checkpoint } in &self.kept {
            let root = self.streams.get(stream).and_then(|verified| verified.roots.get(&checkpoint.size));
            ensure!(
                root == Some(&checkpoint.root),
                "{} is not the log that was signed when it had {} entries",
                stream_name(*stream),
                checkpoint.size,
            );
        }
        Ok(())
    }

    /// Stream and sizes of checkpoints that follow each other: what is between is complete.
    fn stretches(&self) -> impl Iterator<Item = (StreamId, u64, u64)> {
        self.kept.windows(2).filter_map(|pair| match pair {
            [from, to] if from.stream == to.stream => {
                Some((from.stream, from.checkpoint.size, to.checkpoint.size))
            }
            _ => None,
        })
    }

    /// Step 8.
    fn check_receipt(&self, archive: &Archive, receipt: &Receipt, log_key: &LogPublicKey) -> Result<()> {
        let entry = verify_receipt(receipt, &archive.pin.vault_id, log_key)?;
        let stream = self.streams.get(&receipt.stream).context("this log does not have its stream")?;
        let checkpoint =
            Checkpoint::verify(&receipt.checkpoint, &origin(&archive.pin.vault_id, receipt.stream), log_key)?;
        ensure!(
            stream.roots.get(&checkpoint.size) == Some(&checkpoint.root),
            "its checkpoint is over another tree than this log's",
        );
        let index = usize::try_from(receipt.leaf_index).ok();
        let placed = index.and_then(|index| stream.entries.get(index));
        ensure!(
            placed.is_some_and(|placed| placed.entry == entry),
            "this log has another entry in its place"
        );
        Ok(())
    }

    /// Every entry, by stream.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Placed> {
        self.streams.values().flat_map(|stream| &stream.entries)
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut lines: Vec<String> = self
            .streams
            .iter()
            .map(|(id, stream)| {
                format!(
                    "{:<12} {} entries in {} frames verified; {}",
                    stream_name(*id),
                    stream.entries.len(),
                    stream.frames,
                    stream.end.text(),
                )
            })
            .collect();
        lines.extend(self.missing.iter().map(|epoch| {
            format!(
                "missing: no access log of epoch {epoch}; its enclave did not stop in order, so nothing says \
                 whether it had one"
            )
        }));
        let Chains { heads, signed, unsigned, beyond } = self.chains;
        lines.push(format!(
            "{signed} requests are signed by who made them, in {heads} verified signatures; {unsigned} are unsigned"
        ));
        if beyond > 0 {
            lines.push(format!("{beyond} signatures are over requests that this copy does not reach"));
        }
        if !self.kept.is_empty() {
            lines.push(format!("{} kept checkpoints agree with this log", self.kept.len()));
        }
        lines.extend(self.stretches().map(|(stream, from, to)| {
            let name = stream_name(stream);
            format!("complete: {} entries of {name} from {from} to {to}", to - from)
        }));
        if self.receipts > 0 {
            lines.push(format!("{} receipts verified", self.receipts));
        }
        lines.join("\n")
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let streams: Vec<Value> = self
            .streams
            .iter()
            .map(|(id, stream)| {
                json!({
                    "stream": stream_name(*id),
                    "entries": stream.entries.len(),
                    "frames": stream.frames,
                    "end": stream.end.name(),
                })
            })
            .collect();
        let Chains { heads, signed, unsigned, beyond } = self.chains;
        json!({
            "verified": true,
            "streams": streams,
            "missing_access_logs": self.missing,
            "chain_heads": heads,
            "signed_requests": signed,
            "unsigned_requests": unsigned,
            "heads_beyond_this_copy": beyond,
            "checkpoints": self.kept.len(),
            "complete": self.stretches().map(|(stream, from, to)| json!({
                "stream": stream_name(stream),
                "from": from,
                "to": to,
            })).collect::<Vec<_>>(),
            "receipts": self.receipts,
        })
    }
}

impl End {
    fn text(self) -> String {
        match self {
            Self::Checkpoint(size) => format!("the vault signed its {size} entries"),
            Self::Journal => "closed by the journal".to_owned(),
            Self::Open => {
                "open (crashed): its enclave did not stop in order, and no signature says where it ends"
                    .to_owned()
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Checkpoint(_) => "checkpoint",
            Self::Journal => "closed",
            Self::Open => "open",
        }
    }
}

fn epoch_begin(placed: &Placed) -> Option<u64> {
    match placed.entry.action {
        Action::EpochBegin { epoch } => Some(epoch),
        _ => None,
    }
}

fn epoch_end(action: &Action) -> Option<(u64, u64, Hash)> {
    match action {
        Action::EpochEnd { epoch, access_size, access_root } => Some((*epoch, *access_size, *access_root)),
        _ => None,
    }
}
