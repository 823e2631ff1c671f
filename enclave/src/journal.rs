//! The log as it is written: entries wait here, are sealed into frames together, and free their replies only
//! when the host has stored them.
//!
//! INVARIANT: a reply leaves a [`Pending`] only against a [`Durable`], and a [`Durable`] is made only by
//! [`Ticket::stored`] from the answer to the very append that carried the entries (H4).

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use vouchsafe_crypto::secret::SecretBytes;
use vouchsafe_crypto::signature::LogKey;
use vouchsafe_log::{
    Checkpoint, Entry, FrameError, FrameWriter, Frontier, Hash, Position, Rung, StreamKeys, Tree, leaf_hash,
    origin,
};
use vouchsafe_protocol::codec;
use vouchsafe_protocol::id::VaultId;
use vouchsafe_protocol::introduction::{Grant, IntroductionReply};
use vouchsafe_protocol::kv::KvNotice;
use vouchsafe_protocol::lease::Lease;
use vouchsafe_protocol::limits::JOURNAL_FRAME_LEN;
use vouchsafe_protocol::link::{Append, StorageFailure, StorageReply, StreamId};
use vouchsafe_protocol::log::{AuditEntry, Receipt};
use vouchsafe_protocol::refusal::RefusalCode;
use vouchsafe_protocol::session::{Outcome, Response, notice_frame, vault_frame};
use zeroize::Zeroizing;

use crate::change::Change;

/// Entries are cut into a frame until this many bytes; one entry of the largest secret still fits above it.
const CUT_LEN: usize = JOURNAL_FRAME_LEN / 2;

/// How much of both streams is durable, in leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durable {
    journal: u64,
    access: u64,
}

impl Durable {
    /// The further of two in each stream. Streams only grow.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { journal: self.journal.max(other.journal), access: self.access.max(other.access) }
    }

    fn covers(&self, need: &Self) -> bool {
        self.journal >= need.journal && self.access >= need.access
    }
}

/// Frames to store, and the ticket that turns the host's answer into a [`Durable`].
pub struct Cut {
    /// To be appended in one atomic, durable write.
    pub appends: Vec<Append>,
    /// Keep until the answer is there.
    pub ticket: Ticket,
}

/// Stands for entries that were handed out to be stored.
pub struct Ticket {
    reaches: Durable,
    checkpoint: Option<Vec<u8>>,
    latest: SharedCheckpoint,
}

impl Ticket {
    /// Takes the host's answer to the append of this cut.
    ///
    /// # Errors
    /// The host's failure; any answer but `Done` and `Scarce` counts as [`StorageFailure::Io`]. The core must then be
    /// dropped: what it holds in memory may be ahead of what is stored.
    pub fn stored(self, reply: &StorageReply) -> Result<Durable, StorageFailure> {
        match reply {
            StorageReply::Done | StorageReply::Scarce => {
                if let Some(note) = self.checkpoint {
                    self.latest.set(note);
                }
                Ok(self.reaches)
            }
            StorageReply::Failed(failure) => Err(*failure),
            StorageReply::Boot(_) | StorageReply::Frames(_) | StorageReply::Heads(_) => {
                Err(StorageFailure::Io)
            }
        }
    }
}

/// The newest checkpoint of the journal that covers only durable entries, shared with introductions.
#[derive(Clone, Default)]
pub(crate) struct SharedCheckpoint(Arc<Mutex<Vec<u8>>>);

impl SharedCheckpoint {
    pub fn get(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, note: Vec<u8>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = note;
    }
}

/// Where a receipt will be once its frame is cut.
pub(crate) type ReceiptSlot = Arc<OnceLock<Receipt>>;

/// A reply that waits for its log entry to be durable.
pub struct Pending {
    need: Durable,
    body: Box<PendingBody>,
}

/// What will be said.
pub(crate) enum PendingBody {
    /// A grant, completed by its receipt.
    Grant(Grant, ReceiptSlot),
    /// Any other answer to an introduction.
    Introduction(Box<IntroductionReply>),
    /// What a session that watches is told.
    Notice(KvNotice),
    /// An answer inside a session, with a receipt if one was asked for.
    Session { number: u64, link: Hash, outcome: Outcome, receipt: Option<ReceiptSlot>, lease: Option<Lease> },
}

impl Pending {
    pub(crate) fn new(need: Durable, body: PendingBody) -> Self {
        Self { need, body: Box::new(body) }
    }

    /// Whether what is durable suffices.
    #[must_use]
    pub fn is_covered(&self, durable: &Durable) -> bool {
        durable.covers(&self.need)
    }

    /// The bytes to send as one frame.
    ///
    /// # Errors
    /// Gives itself back if `durable` does not cover it.
    pub fn release(self, durable: &Durable) -> Result<Zeroizing<Vec<u8>>, Self> {
        if !self.is_covered(durable) {
            return Err(self);
        }
        Ok(Zeroizing::new(match *self.body {
            PendingBody::Grant(mut grant, slot) => {
                let reply = match slot.get() {
                    Some(receipt) => {
                        grant.receipt = receipt.clone();
                        IntroductionReply::Grant(grant)
                    }
                    None => IntroductionReply::Refusal(RefusalCode::Storage.into()),
                };
                codec::encode(&reply).unwrap_or_default()
            }
            PendingBody::Introduction(reply) => codec::encode(&*reply).unwrap_or_default(),
            PendingBody::Notice(notice) => notice_frame(&codec::encode(&notice).unwrap_or_default()),
            PendingBody::Session { number, link, outcome, receipt, lease } => {
                let receipt = receipt.and_then(|slot| slot.get().cloned());
                let response =
                    Zeroizing::new(codec::encode(&Response { outcome, receipt, lease }).unwrap_or_default());
                vault_frame(number, &link, &response)
            }
        }))
    }
}

/// Both streams of a running enclave.
pub(crate) struct Journal {
    vault_id: VaultId,
    rung: Rung,
    log_key: LogKey,
    journal: Stream,
    journal_tree: Tree,
    access: Stream,
    access_tree: Frontier,
    latest: SharedCheckpoint,
}

/// Entries of one stream that are not cut yet.
struct Stream {
    id: StreamId,
    writer: FrameWriter,
    waiting: Vec<Waiting>,
    /// Leaves handed out, waiting ones included.
    leaves: u64,
}

struct Waiting {
    entry: Entry,
    receipt: Option<ReceiptSlot>,
}

/// Where the journal stands and how this enclave writes.
pub(crate) struct JournalStart<'a> {
    pub vault_id: VaultId,
    pub rung: Rung,
    pub log_key: LogKey,
    pub keys: &'a StreamKeys,
    pub epoch: u64,
    /// Random, new for this enclave: no key and nonce pair repeats after a crash or a clone (H9).
    pub writer: [u8; 32],
    pub position: Position,
    pub tree: Tree,
}

impl Journal {
    pub fn start(start: JournalStart<'_>) -> Self {
        let access_id = StreamId::Access { epoch: start.epoch };
        let stream = |id, position: Position| Stream {
            id,
            leaves: position.leaves,
            writer: FrameWriter::new(start.keys, id, start.epoch, start.writer, position),
            waiting: Vec::new(),
        };
        let journal = Self {
            vault_id: start.vault_id,
            rung: start.rung,
            journal: stream(StreamId::Journal, start.position),
            access: stream(access_id, Position::default()),
            log_key: start.log_key,
            journal_tree: start.tree,
            access_tree: Frontier::default(),
            latest: SharedCheckpoint::default(),
        };
        journal.latest.set(journal.checkpoint());
        journal
    }

    /// Logs a change of state.
    pub fn change(&mut self, entry: &AuditEntry, change: &Change, receipt: Option<ReceiptSlot>) -> Durable {
        let state = SecretBytes::new(encoded(change));
        self.journal.push(entry, state, receipt);
        self.need()
    }

    /// Logs an access or a refusal, which changes nothing.
    pub fn access(&mut self, entry: &AuditEntry, receipt: Option<ReceiptSlot>) -> Durable {
        self.access.push(entry, SecretBytes::new(Vec::new()), receipt);
        self.need()
    }

    /// Everything said so far: a reply shows state that others wrote, so it waits for their records as well.
    pub fn need(&self) -> Durable {
        Durable { journal: self.journal.leaves, access: self.access.leaves }
    }

    /// Seals what waits into at most one frame per stream.
    pub fn cut(&mut self) -> Result<Option<Cut>, FrameError> {
        let mut appends = Vec::new();
        let journal = self.journal.cut()?;
        let mut checkpoint = None;
        if let Some((append, leaves, waiting)) = journal {
            appends.push(append);
            leaves.iter().for_each(|leaf| self.journal_tree.push(*leaf));
            let note = self.checkpoint();
            let first = self.journal_tree.size().saturating_sub(leaves.len() as u64);
            for (index, (waiting, digest)) in (first..).zip(waiting) {
                if let Some(slot) = waiting.receipt {
                    let proof = self.journal_tree.inclusion_proof(index).unwrap_or_default();
                    let receipt = Receipt {
                        stream: StreamId::Journal,
                        leaf_index: index,
                        entry: waiting.audit,
                        state_digest: digest,
                        proof,
                        checkpoint: note.clone(),
                    };
                    fill(&slot, receipt);
                }
            }
            checkpoint = Some(note);
        }
        if let Some((append, leaves, waiting)) = self.access.cut()? {
            appends.push(append);
            self.cut_access_receipts(&leaves, waiting);
        }
        if appends.is_empty() {
            return Ok(None);
        }
        let reaches = Durable { journal: self.journal.cut_leaves(), access: self.access.cut_leaves() };
        let ticket = Ticket { reaches, checkpoint, latest: self.latest.clone() };
        Ok(Some(Cut { appends, ticket }))
    }

    fn cut_access_receipts(&mut self, leaves: &[Hash], waiting: Vec<(Sealed, Hash)>) {
        let first = self.access_tree.size();
        if waiting.iter().any(|(waiting, _)| waiting.receipt.is_some()) {
            let proofs = self.access_tree.prove_batch(leaves);
            let note = self.note(self.access.id, proofs.size(), proofs.root());
            for (offset, (waiting, digest)) in waiting.into_iter().enumerate() {
                if let Some(slot) = waiting.receipt {
                    let index = first + offset as u64;
                    let receipt = Receipt {
                        stream: self.access.id,
                        leaf_index: index,
                        entry: waiting.audit,
                        state_digest: digest,
                        proof: proofs.proof(offset),
                        checkpoint: note.clone(),
                    };
                    fill(&slot, receipt);
                }
            }
        }
        leaves.iter().for_each(|leaf| self.access_tree.push(*leaf));
    }

    /// The checkpoint of the journal as far as it is cut, and the proof that it extends an older tree. What is cut
    /// need not be durable yet: a reply that shows it waits for [`Self::need`].
    pub fn consistency(&self, from_size: u64) -> Option<(Vec<u8>, Vec<Hash>)> {
        let proof =
            if from_size == 0 { Vec::new() } else { self.journal_tree.consistency_proof(from_size)? };
        Some((self.checkpoint(), proof))
    }

    /// A checkpoint of the journal as far as it is cut.
    pub fn checkpoint(&self) -> Vec<u8> {
        self.note(StreamId::Journal, self.journal_tree.size(), self.journal_tree.root())
    }

    pub fn latest(&self) -> SharedCheckpoint {
        self.latest.clone()
    }

    pub fn rung(&self) -> Rung {
        self.rung
    }

    pub fn log_key(&self) -> &LogKey {
        &self.log_key
    }

    /// Leaves of the journal and of the access log, waiting ones included.
    pub fn sizes(&self) -> (u64, u64) {
        (self.journal.leaves, self.access.leaves)
    }

    /// Size and root that the access log will have once all that waits is cut.
    pub fn access_head(&self) -> (u64, Hash) {
        let mut tree = self.access_tree.clone();
        for waiting in &self.access.waiting {
            // Nothing in an access log changes the state.
            tree.push(leaf_hash(self.access.id, tree.size(), &waiting.entry.audit, &[0; 32]));
        }
        (tree.size(), tree.root())
    }

    fn note(&self, stream: StreamId, size: u64, root: Hash) -> Vec<u8> {
        let origin = origin(&self.vault_id, stream);
        Checkpoint { origin, size, root, rung: self.rung }.sign(&self.log_key)
    }
}

/// What is left of a waiting entry once its frame is sealed.
struct Sealed {
    audit: Vec<u8>,
    receipt: Option<ReceiptSlot>,
}

type CutStream = (Append, Vec<Hash>, Vec<(Sealed, Hash)>);

impl Stream {
    fn push(&mut self, entry: &AuditEntry, state: SecretBytes, receipt: Option<ReceiptSlot>) {
        let audit = encoded(entry);
        self.waiting.push(Waiting { entry: Entry { audit, state }, receipt });
        self.leaves += 1;
    }

    /// Leaves that have been cut into frames.
    fn cut_leaves(&self) -> u64 {
        self.writer.position().leaves
    }

    /// Seals waiting entries into one frame; the rest waits on if it would grow too large.
    fn cut(&mut self) -> Result<Option<CutStream>, FrameError> {
        if self.waiting.is_empty() {
            return Ok(None);
        }
        let mut len = 0;
        let fitting = self.waiting.iter().take_while(|waiting| {
            let before = len;
            len += waiting.entry.sealed_len();
            before < CUT_LEN
        });
        let count = fitting.count();
        let taken: Vec<Waiting> = self.waiting.drain(..count).collect();
        let mut entries = Vec::with_capacity(count);
        let mut kept = Vec::with_capacity(count);
        for Waiting { entry, receipt } in taken {
            // The caller's own entry, which it will see in its receipt.
            let audit = if receipt.is_some() { entry.audit.clone() } else { Vec::new() };
            kept.push(Sealed { audit, receipt });
            entries.push(entry);
        }
        let index = self.writer.position().index;
        let sealed = self.writer.seal(entries)?;
        let append = Append { stream: self.id, index, frame: sealed.bytes };
        Ok(Some((append, sealed.leaves, kept.into_iter().zip(sealed.state_digests).collect())))
    }
}

/// No entry and no change fails to encode; if one did, logging nothing in its place would be worse than an end.
fn encoded(message: &impl serde::Serialize) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "a broken invariant inside the core stops the enclave")]
    codec::encode(message).expect("every entry and change encodes")
}

fn fill(slot: &ReceiptSlot, receipt: Receipt) {
    // A slot belongs to one entry and an entry is cut once, so it is empty here.
    if slot.set(receipt).is_err() {
        debug_assert!(false, "an entry was cut twice");
    }
}
