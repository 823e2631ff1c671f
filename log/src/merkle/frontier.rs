//! The right edge of a tree: all that appending needs.

use super::{Level, Levels, empty_root, node_hash};
use crate::Hash;

/// A tree of which only the roots of the largest complete subtrees are kept: at most 64 hashes.
#[derive(Clone, Debug, Default)]
pub struct Frontier {
    size: u64,
    /// INVARIANT: the root of each complete subtree, largest first: one for each bit set in `size`.
    peaks: Vec<Hash>,
}

impl Frontier {
    /// Appends a leaf, given as its leaf hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The Merkle tree hash of RFC 6962 section 2.1.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.peaks
            .iter()
            .rev()
            .copied()
            .reduce(|right, left| node_hash(&left, &right))
            .unwrap_or_else(empty_root)
    }

    /// What proves that `leaves` were appended to this tree: `self` is the tree before, and the proofs are for
    /// the tree that ends with the last of them. Costs one hash per leaf and one per level.
    #[must_use]
    pub fn prove_batch(&self, leaves: &[Hash]) -> BatchProofs {
        let mut peaks = self.peaks.iter().rev();
        let mut nodes = leaves.to_vec();
        let mut levels = Vec::new();
        // A proof of a new leaf needs, of the old tree, only its peaks: a complete subtree of old leaves that
        // is the sibling of one with a new leaf is not part of a larger complete one.
        let mut before = self.size;
        while before > 0 || !nodes.is_empty() {
            if before % 2 == 1 {
                nodes.splice(0..0, peaks.next().copied());
            }
            let parents =
                nodes.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(left, right)).collect();
            levels.push(Level { first: before - before % 2, nodes });
            nodes = parents;
            before /= 2;
        }
        BatchProofs { first: self.size, tree: Levels { size: self.size + leaves.len() as u64, levels } }
    }
}

/// Proofs for leaves that were appended together.
#[derive(Clone, Debug)]
pub struct BatchProofs {
    first: u64,
    tree: Levels,
}

impl BatchProofs {
    /// The inclusion proof of the `i`-th leaf of the batch; empty if there is no such leaf (which no verifier
    /// takes for a proof, but in a tree of one leaf).
    #[must_use]
    pub fn proof(&self, i: usize) -> Vec<Hash> {
        self.tree.inclusion_proof(self.first.saturating_add(i as u64)).unwrap_or_default()
    }

    /// Root of the tree that ends with the batch.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// Number of leaves of the tree that ends with the batch.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.tree.size
    }
}
