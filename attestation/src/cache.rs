//! Verified VEK chains, kept so that the next report of the same machine costs one signature, not three.

use std::collections::{HashMap, VecDeque};

use crate::snp::vek::VekClaims;
use crate::x509::Validity;

/// Chains kept; one per machine and TCB. An entry is under 1 KiB.
const CHAINS: usize = 4096;

/// A bounded set of chains that were verified, by the hash of everything that went into verifying them: VEK,
/// intermediate and roots. Dates are checked again at every use. The oldest entry makes room for a new one.
#[derive(Debug, Default)]
pub struct ChainCache {
    chains: HashMap<[u8; 32], VerifiedVek>,
    order: VecDeque<[u8; 32]>,
}

/// The claims of a VEK whose chain holds, and the dates it holds for.
#[derive(Clone, Debug)]
pub(crate) struct VerifiedVek {
    pub(crate) claims: VekClaims,
    pub(crate) validity: Validity,
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
        self.chains.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chains.is_empty()
    }

    pub(crate) fn get(&self, key: &[u8; 32]) -> Option<&VerifiedVek> {
        self.chains.get(key)
    }

    pub(crate) fn insert(&mut self, key: [u8; 32], chain: VerifiedVek) {
        if self.chains.insert(key, chain).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > CHAINS
            && let Some(oldest) = self.order.pop_front()
        {
            self.chains.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snp::report::SigningKey;
    use crate::snp::tcb::RawTcb;
    use vouchsafe_protocol::policy::Product;

    #[test]
    fn the_cache_is_bounded_and_drops_the_oldest() {
        let chain = VerifiedVek {
            claims: VekClaims {
                kind: SigningKey::Vcek,
                product: Product::Genoa,
                tcb: RawTcb([0; 8]),
                chip_id: [0; 64],
                point: Vec::new(),
            },
            validity: Validity { not_before: 0, not_after: 1 },
        };
        let mut cache = ChainCache::new();
        let key = |n: usize| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&n.to_be_bytes());
            key
        };
        for n in 0..CHAINS + 10 {
            cache.insert(key(n), chain.clone());
            cache.insert(key(n), chain.clone());
        }
        assert_eq!(cache.len(), CHAINS);
        assert_eq!(cache.order.len(), CHAINS);
        assert!(cache.get(&key(9)).is_none());
        assert!(cache.get(&key(10)).is_some());
    }
}
