//! Sessions: an identity on a connection, and the signed chain of everything it asked for.

use std::collections::VecDeque;

use vouchsafe_crypto::signature::P256PublicKey;
use vouchsafe_crypto::transcript::{chain_head_preimage, chain_link};
use vouchsafe_protocol::limits::{UNSIGNED_GRACE_SECS, UNSIGNED_REQUESTS, UNSIGNED_SECS};
use vouchsafe_protocol::log::{Action, Actor};
use vouchsafe_protocol::refusal::RefusalCode;

use crate::change::{Identity, IdentitySubject};

/// Names a session of this enclave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(crate) u64);

/// One open session.
pub(crate) struct Session {
    /// The newest identity of the key and role that it was opened with: what it rests on.
    pub identity: Identity,
    /// Revision of the policy by which that identity was last judged; 0 for none.
    pub judged: u64,
    key: P256PublicKey,
    /// The chain's start: the TLS exporter's value.
    start: [u8; 32],
    head: [u8; 32],
    last: u64,
    /// Links of the requests that are not signed yet and when each came, oldest first; at most
    /// [`UNSIGNED_REQUESTS`].
    unsigned: VecDeque<([u8; 32], u64)>,
}

impl Session {
    /// Starts the chain at the TLS exporter's value, so a chain belongs to one connection.
    pub fn open(identity: Identity, exporter: [u8; 32]) -> Result<Self, RefusalCode> {
        let key = P256PublicKey::from_spki(&identity.key).map_err(|_| RefusalCode::Identity)?;
        let unsigned = VecDeque::new();
        Ok(Self { identity, judged: 0, key, start: exporter, head: exporter, last: 0, unsigned })
    }

    /// Goes on with an identity of the same key and role that was issued later.
    pub fn renew(&mut self, identity: &Identity) {
        if identity.number > self.identity.number && identity.is_of_holder_of(&self.identity) {
            (self.identity, self.judged) = (identity.clone(), 0);
        }
    }

    /// Number of the identity that the session rests on.
    pub fn newest(&self) -> u64 {
        self.identity.number
    }

    /// Takes the next request into the chain.
    ///
    /// 1. The identity is still valid.
    /// 2. Its evidence is young enough (F6).
    /// 3. The number is the next one.
    /// 4. The link continues the chain.
    /// 5. Not too many, and none too long, unsigned before it.
    pub fn advance(
        &mut self,
        number: u64,
        link: [u8; 32],
        receipt: bool,
        body: &[u8],
        now: u64,
    ) -> Result<(), RefusalCode> {
        self.check_alive(now)?;
        if self.last.checked_add(1) != Some(number) {
            return Err(RefusalCode::Chain);
        }
        if chain_link(&self.head, number, receipt, body) != link {
            return Err(RefusalCode::Chain);
        }
        if self.unsigned.len() as u64 >= UNSIGNED_REQUESTS || self.unsigned_too_long(now) {
            return Err(RefusalCode::Unsigned);
        }
        self.unsigned.push_back((link, now));
        self.head = link;
        self.last = number;
        Ok(())
    }

    /// Takes a signature over the chain up to a request and gives the entry that makes it undeniable.
    pub fn sign(&mut self, upto: u64, signature: &[u8]) -> Result<Action, RefusalCode> {
        let signed_before = self.last - self.unsigned.len() as u64;
        let covered = upto.checked_sub(signed_before).filter(|n| *n > 0).ok_or(RefusalCode::Chain)?;
        let index = usize::try_from(covered - 1).map_err(|_| RefusalCode::Chain)?;
        let (head, _) = *self.unsigned.get(index).ok_or(RefusalCode::Chain)?;
        self.key.verify(&chain_head_preimage(upto, &head), signature).map_err(|_| RefusalCode::Chain)?;
        self.unsigned.drain(..=index);
        Ok(Action::ChainHead { start: self.start, upto, head, signature: signature.to_vec() })
    }

    /// Whether the session may go on; evidence has its own clock, apart from the certificate's.
    pub fn check_alive(&self, now: u64) -> Result<(), RefusalCode> {
        if now >= self.identity.not_after_secs {
            return Err(RefusalCode::Identity);
        }
        if now >= self.identity.evidence_until_secs {
            return Err(RefusalCode::EvidenceExpired);
        }
        Ok(())
    }

    /// Ends that come on their own: identity, evidence, or a stretch left unsigned.
    pub fn check_deadline(&self, now: u64) -> Result<(), RefusalCode> {
        self.check_alive(now)?;
        if self.unsigned_too_long(now) { Err(RefusalCode::Unsigned) } else { Ok(()) }
    }

    /// When the next of them comes, in seconds since 1970.
    pub fn deadline(&self) -> u64 {
        let ends = self.identity.not_after_secs.min(self.identity.evidence_until_secs);
        self.sign_by().map_or(ends, |by| ends.min(by.saturating_add(1)))
    }

    /// The first 16 bytes of the chain's start: names the session in the log.
    pub fn name(&self) -> [u8; 16] {
        let mut name = [0; 16];
        name.iter_mut().zip(self.start).for_each(|(to, from)| *to = from);
        name
    }

    /// When the oldest unsigned request must be signed.
    fn sign_by(&self) -> Option<u64> {
        let (_, since) = self.unsigned.front()?;
        Some(since.saturating_add(UNSIGNED_SECS + UNSIGNED_GRACE_SECS))
    }

    fn unsigned_too_long(&self, now: u64) -> bool {
        self.sign_by().is_some_and(|by| now > by)
    }

    /// The identity's key.
    pub fn key(&self) -> &P256PublicKey {
        &self.key
    }

    /// Who this is, for the log.
    pub fn actor(&self) -> Actor {
        match &self.identity.subject {
            IdentitySubject::Agent { role, evidence, kind, .. } => Actor::Agent {
                role: role.clone(),
                identity: self.identity.number,
                evidence: *evidence,
                platform: *kind,
            },
            IdentitySubject::Operator(name) => Actor::Operator(name.clone()),
        }
    }
}

#[cfg(test)]
mod tests;
