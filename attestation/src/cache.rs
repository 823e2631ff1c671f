//! What was verified before, kept so that the next report of the same machine costs one signature, not three or four.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::snp::crl::RevocationList;
use crate::snp::vek::VekClaims;
use crate::x509::Validity;

/// Chains kept; one per machine and TCB. An entry is under 1 KiB.
const CHAINS: usize = 4096;
/// Revocation lists kept: some per product. Only what a root signed gets in; an entry is at most 256 KiB.
const LISTS: usize = 8;

/// A bounded set of chains and revocation lists that were verified, by the hash of everything that went into verifying
/// them. Dates and revocation are checked again at every use. The oldest entry makes room for a new one.
#[derive(Debug, Default)]
pub struct ChainCache {
    chains: Bounded<VerifiedVek>,
    lists: Bounded<RevocationList>,
}

/// The claims of a VEK whose chain holds, the dates it holds for, and what a revocation list would name.
#[derive(Debug)]
pub(crate) struct VerifiedVek {
    pub(crate) claims: VekClaims,
    pub(crate) validity: Validity,
    pub(crate) serial: Vec<u8>,
    pub(crate) issuer_serial: Vec<u8>,
}

impl ChainCache {
    /// An empty cache.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of chains.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chains.by_key.len()
    }

    /// Whether there is no chain.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chains.by_key.is_empty()
    }

    pub(crate) fn chain(&self, key: &[u8; 32]) -> Option<Arc<VerifiedVek>> {
        self.chains.by_key.get(key).cloned()
    }

    pub(crate) fn insert_chain(&mut self, key: [u8; 32], chain: Arc<VerifiedVek>) {
        self.chains.insert(key, chain, CHAINS);
    }

    pub(crate) fn list(&self, key: &[u8; 32]) -> Option<Arc<RevocationList>> {
        self.lists.by_key.get(key).cloned()
    }

    pub(crate) fn insert_list(&mut self, key: [u8; 32], list: Arc<RevocationList>) {
        self.lists.insert(key, list, LISTS);
    }
}

#[derive(Debug)]
struct Bounded<T> {
    by_key: HashMap<[u8; 32], Arc<T>>,
    order: VecDeque<[u8; 32]>,
}

impl<T> Default for Bounded<T> {
    fn default() -> Self {
        Self { by_key: HashMap::new(), order: VecDeque::new() }
    }
}

impl<T> Bounded<T> {
    fn insert(&mut self, key: [u8; 32], value: Arc<T>, most: usize) {
        if self.by_key.insert(key, value).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > most
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_key.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_drops_the_oldest() {
        let mut kept = Bounded::default();
        let key = |n: usize| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&n.to_be_bytes());
            key
        };
        for n in 0..CHAINS + 10 {
            kept.insert(key(n), Arc::new(n), CHAINS);
            // Some once more: they are not counted twice.
            if n % 2 == 0 {
                kept.insert(key(n), Arc::new(n), CHAINS);
            }
        }
        assert_eq!(kept.by_key.len(), CHAINS);
        assert_eq!(kept.order.len(), CHAINS);
        assert!(!kept.by_key.contains_key(&key(9)));
        assert!(kept.by_key.contains_key(&key(10)));
    }
}
