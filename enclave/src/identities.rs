//! Identities that were issued and have not ended.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use vouchsafe_protocol::codec;

use crate::change::Identity;

/// By number and by certificate.
#[derive(Default)]
pub(crate) struct Identities {
    by_number: BTreeMap<u64, Identity>,
    by_certificate: HashMap<[u8; 32], u64>,
    /// When each can do nothing any more, soonest first.
    ends: BTreeSet<(u64, u64)>,
    last: u64,
}

impl Identities {
    /// The number that the next identity will get.
    pub fn next(&self) -> u64 {
        self.last + 1
    }

    pub fn len(&self) -> usize {
        self.by_number.len()
    }

    pub fn get(&self, number: u64) -> Option<&Identity> {
        self.by_number.get(&number)
    }

    /// By the SHA-256 of its certificate.
    pub fn of_certificate(&self, digest: &[u8; 32]) -> Option<&Identity> {
        self.get(*self.by_certificate.get(digest)?)
    }

    /// In the order of numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Identity> {
        self.by_number.values()
    }

    /// From a number on, in order.
    pub fn from(&self, number: u64) -> impl Iterator<Item = &Identity> {
        self.by_number.range(number..).map(|(_, identity)| identity)
    }

    pub fn insert(&mut self, identity: Identity) {
        self.last = self.last.max(identity.number);
        self.by_certificate.insert(identity.certificate, identity.number);
        self.ends.insert((end(&identity), identity.number));
        self.by_number.insert(identity.number, identity);
    }

    pub fn remove(&mut self, number: u64) {
        if let Some(identity) = self.by_number.remove(&number) {
            self.by_certificate.remove(&identity.certificate);
            self.ends.remove(&(end(&identity), number));
        }
    }

    /// Forgets those that can do nothing any more, and gives their numbers.
    pub fn forget_ended(&mut self, now: u64) -> Vec<u64> {
        let mut ended = Vec::new();
        while let Some((_, number)) = self.ends.first().copied().filter(|(secs, _)| *secs <= now) {
            self.remove(number);
            ended.push(number);
        }
        ended
    }

    /// Feeds everything to a digest of the state, each part framed.
    pub fn digest_into(&self, part: &mut dyn FnMut(&[u8])) {
        part(&self.last.to_be_bytes());
        for identity in self.iter() {
            part(&codec::encode(identity).unwrap_or_default());
        }
    }
}

/// Leases may rest on evidence whose certificate has ended, and the other way round.
fn end(identity: &Identity) -> u64 {
    identity.not_after_secs.max(identity.evidence_until_secs)
}
