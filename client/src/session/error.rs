//! Why a session cannot be had, why it ended, and why a request failed.

use std::io;

use vouchsafe_crypto::signature::SignatureError;
use vouchsafe_log::{CheckpointError, ProofError, ReceiptError};
use vouchsafe_protocol::codec::CodecError;
use vouchsafe_protocol::id::VaultId;
use vouchsafe_protocol::path::PathError;
use vouchsafe_protocol::refusal::Refusal;
use vouchsafe_protocol::transit::ItemRefusal;

use crate::certificate::CertificateError;
use crate::transport::TransportError;

/// Why a session could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The inner TLS speaks another protocol.
    #[error("the vault does not speak this session protocol")]
    Alpn,
    /// The identity is another vault's.
    #[error("the identity is not of the pinned vault {expected}")]
    AnotherVault {
        /// The pinned one.
        expected: VaultId,
    },
    /// The first checkpoint is not acceptable.
    #[error("the vault's checkpoint is refused")]
    Checkpoint(#[source] CheckpointError),
    /// The inner handshake gave no exporter value.
    #[error("the inner TLS session has no exporter value")]
    Exporter(#[source] rustls::Error),
    /// The vault's journal does not extend the remembered one.
    #[error(
        "the vault was forked: its journal of {size} entries does not extend the {remembered} entries it had \
         before"
    )]
    Forked {
        /// Size shown.
        size: u64,
        /// Size remembered.
        remembered: u64,
        /// Why the proof is refused.
        source: Option<ProofError>,
    },
    /// The identity is not, or no longer, valid.
    #[error("the identity is not usable; introduce again")]
    Identity(#[source] CertificateError),
    /// The inner handshake failed: it does not end in the pinned vault, or the gate let nothing through.
    #[error("no session with the pinned vault behind this host")]
    Inner(#[source] io::Error),
    /// The inner TLS could not be set up.
    #[error("the inner TLS could not be set up")]
    InnerSetup(#[source] rustls::Error),
    /// The identity's key cannot be used.
    #[error("the identity's key cannot be used")]
    Key(#[source] SignatureError),
    /// The pin has never seen its vault.
    #[error("the pin does not know the vault's log key yet; introduce first")]
    LogKeyUnknown,
    /// The first request, for a checkpoint, failed.
    #[error("the vault did not accept the session")]
    Request(#[source] RequestError),
    /// The vault's journal is shorter than remembered.
    #[error(
        "the vault was rolled back: its journal has {size} entries, and it had {remembered} before; its host \
         has put an older state in its place"
    )]
    RolledBack {
        /// Size shown.
        size: u64,
        /// Size remembered.
        remembered: u64,
    },
    /// It took too long.
    #[error("the vault did not answer in time")]
    Timeout,
    /// No connection to the host.
    #[error(transparent)]
    Transport(TransportError),
}

/// Why a session is over. Open a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionEnd {
    /// By this side.
    #[error("the session was closed")]
    Closed,
    /// By the vault or its host.
    #[error("the vault or its host closed the connection")]
    HungUp,
    /// The connection failed.
    #[error("the connection failed ({0})")]
    Io(io::ErrorKind),
    /// What came is not a message of the protocol.
    #[error("the vault sent a malformed message")]
    Malformed,
    /// The request chain could not be signed.
    #[error("the request chain could not be signed: the random generator failed")]
    Signing,
    /// A reply to nothing that was asked.
    #[error("the vault answered request {number}, which waits for no answer")]
    UnknownReply {
        /// Number in the reply.
        number: u64,
    },
    /// A reply that was made for another request.
    #[error("the answer to request {number} was made for another request")]
    WrongLink {
        /// Number in the reply.
        number: u64,
    },
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// A checkpoint in the reply is not acceptable.
    #[error("the vault's checkpoint is refused")]
    Checkpoint(#[source] CheckpointError),
    /// The session is over; whether the request was carried out is not known.
    #[error("the session ended")]
    Ended(#[source] SessionEnd),
    /// The request cannot be encoded.
    #[error("the request cannot be encoded")]
    Encode(#[source] CodecError),
    /// The vault refused one item of a batch.
    #[error("the vault refused")]
    Item(#[source] ItemRefusal),
    /// The path is not canonical.
    #[error("the path '{path}' is refused")]
    Path {
        /// As given.
        path: String,
        /// Why.
        source: PathError,
    },
    /// The receipt does not prove an entry.
    #[error("the receipt is refused")]
    Receipt(#[source] ReceiptError),
    /// The receipt proves another entry.
    #[error("the receipt is for another request")]
    ReceiptEntry,
    /// There is no receipt.
    #[error("the vault gave no receipt")]
    ReceiptMissing,
    /// The vault refused.
    #[error("the vault refused")]
    Refused(#[source] Refusal),
    /// The vault did not answer in time; whether the request was carried out is not known.
    #[error("the vault did not answer in time")]
    Timeout,
    /// The request is longer than a frame.
    #[error("the request has {len} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Length in bytes.
        len: usize,
        /// Limit in bytes.
        limit: usize,
    },
    /// The reply is of another kind than the request.
    #[error("the vault answered another question")]
    Unexpected,
}
