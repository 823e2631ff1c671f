//! The agent's end of the request chain: every request is a link, and the identity signs the head.

use vouchsafe_crypto::signature::{P256Key, SignatureError};
use vouchsafe_crypto::transcript::{chain_head_preimage, chain_link};
use vouchsafe_protocol::session::AgentFrame;
use zeroize::Zeroizing;

/// The chain of one session.
pub(super) struct Chain {
    key: P256Key,
    number: u64,
    link: [u8; 32],
    unsigned: u64,
}

impl Chain {
    /// Starts with the TLS exporter's value.
    pub(super) fn new(start: &[u8; 32], key: P256Key) -> Self {
        Self { key, number: 0, link: *start, unsigned: 0 }
    }

    /// The next request: its number, its link, and its frame's body.
    pub(super) fn push(&mut self, receipt: bool, body: &[u8]) -> (u64, [u8; 32], Zeroizing<Vec<u8>>) {
        self.number += 1;
        self.link = chain_link(&self.link, self.number, receipt, body);
        self.unsigned += 1;
        let frame = AgentFrame::Request { number: self.number, link: self.link, receipt, body };
        (self.number, self.link, Zeroizing::new(frame.to_bytes()))
    }

    /// Requests since the last signature.
    pub(super) fn unsigned(&self) -> u64 {
        self.unsigned
    }

    /// Signs the head: a frame's body.
    pub(super) fn sign(&mut self) -> Result<Vec<u8>, SignatureError> {
        let signature = self.key.sign(&chain_head_preimage(self.number, &self.link))?;
        self.unsigned = 0;
        Ok(AgentFrame::Signature { upto: self.number, signature: &signature }.to_bytes())
    }
}
