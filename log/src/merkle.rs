//! Merkle trees of RFC 6962 section 2.1, built without any key.
//!
//! [`Tree`] keeps every node and proves anything; [`Frontier`] keeps a logarithmic edge and proves what was
//! just appended. Both produce the same roots and proofs, which anyone verifies with the functions of
//! [`crate::merkle::verify`].

use vouchsafe_crypto::digest::sha256;

use crate::Hash;

mod frontier;
#[cfg(test)]
mod tests;
pub mod verify;

pub use frontier::{BatchProofs, Frontier};

/// A full tree: all levels are kept, about 64 bytes per leaf.
#[derive(Clone, Debug, Default)]
pub struct Tree(Levels);

impl Tree {
    /// Appends a leaf, given as its leaf hash.
    pub fn push(&mut self, leaf: Hash) {
        self.0.push(leaf);
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.size
    }

    /// The Merkle tree hash of RFC 6962 section 2.1; SHA-256 of nothing for an empty tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.0.root()
    }

    /// The audit path of RFC 6962 section 2.1.1 for a leaf in the tree of the current size, from the leaf up;
    /// `None` if there is no such leaf.
    #[must_use]
    pub fn inclusion_proof(&self, index: u64) -> Option<Vec<Hash>> {
        self.0.inclusion_proof(index)
    }

    /// The consistency proof of RFC 6962 section 2.1.2 from an older size to the current one; `None` if the
    /// tree never was larger than it is. It is empty for the sizes 0 and current, where there is nothing to
    /// prove.
    #[must_use]
    pub fn consistency_proof(&self, old_size: u64) -> Option<Vec<Hash>> {
        self.0.consistency_proof(old_size)
    }
}

/// RFC 6962 section 2.1: an inner node.
pub(crate) fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[0x01], left, right])
}

/// RFC 6962 section 2.1: the hash of an empty tree.
pub(crate) fn empty_root() -> Hash {
    sha256(&[])
}

/// The complete subtrees of a tree, by level; those on the left may be missing.
#[derive(Clone, Debug, Default)]
struct Levels {
    size: u64,
    /// INVARIANT: level `k` holds the subtrees of `2^k` leaves from its `first` to the last complete one.
    levels: Vec<Level>,
}

#[derive(Clone, Debug, Default)]
struct Level {
    /// Index of the first node kept, counted in nodes of this level; even.
    first: u64,
    nodes: Vec<Hash>,
}

impl Levels {
    fn push(&mut self, leaf: Hash) {
        let mut carry = Some(leaf);
        let mut level = 0;
        while let Some(node) = carry.take() {
            if self.levels.len() == level {
                self.levels.push(Level::default());
            }
            if let Some(Level { nodes, .. }) = self.levels.get_mut(level) {
                nodes.push(node);
                // `first` is even, so an even count ends with a complete pair.
                if let (0, [.., left, right]) = (nodes.len() % 2, nodes.as_slice()) {
                    carry = Some(node_hash(left, right));
                }
            }
            level += 1;
        }
        self.size += 1;
    }

    fn root(&self) -> Hash {
        // INVARIANT of both owners: all nodes that make the root of the whole are kept.
        self.range_root(0, self.size).unwrap_or_else(empty_root)
    }

    /// Root of the leaves `from..to`, where `from` is a multiple of every power of two that fits below
    /// `to - from`. `None` if empty or not kept.
    fn range_root(&self, from: u64, to: u64) -> Option<Hash> {
        let mut edges = Vec::new();
        let mut start = from;
        while start < to {
            let left = largest_complete(to - start);
            edges.push(self.node(left.trailing_zeros(), start)?);
            start += left;
        }
        edges.into_iter().rev().reduce(|right, left| node_hash(&left, &right))
    }

    /// The complete subtree of `2^level` leaves that begins at leaf `start`.
    fn node(&self, level: u32, start: u64) -> Option<Hash> {
        let Level { first, nodes } = self.levels.get(usize::try_from(level).ok()?)?;
        nodes.get(usize::try_from((start >> level).checked_sub(*first)?).ok()?).copied()
    }

    fn inclusion_proof(&self, index: u64) -> Option<Vec<Hash>> {
        if index >= self.size {
            return None;
        }
        let (mut from, mut to) = (0, self.size);
        let mut proof = Vec::new();
        while to - from > 1 {
            let middle = from + split(to - from);
            if index < middle {
                proof.push(self.range_root(middle, to)?);
                to = middle;
            } else {
                proof.push(self.range_root(from, middle)?);
                from = middle;
            }
        }
        proof.reverse();
        Some(proof)
    }

    fn consistency_proof(&self, old_size: u64) -> Option<Vec<Hash>> {
        if old_size > self.size {
            return None;
        }
        if old_size == 0 || old_size == self.size {
            return Some(Vec::new());
        }
        let (mut from, mut to) = (0, self.size);
        let mut proof = Vec::new();
        // RFC 6962 SUBPROOF, from the top down: the old tree ends inside `from..to`.
        while old_size != to {
            let middle = from + split(to - from);
            if old_size <= middle {
                proof.push(self.range_root(middle, to)?);
                to = middle;
            } else {
                proof.push(self.range_root(from, middle)?);
                from = middle;
            }
        }
        // The verifier has the old root; only where that is not this very node is the node part of the proof.
        if from != 0 {
            proof.push(self.range_root(from, to)?);
        }
        proof.reverse();
        Some(proof)
    }
}

/// RFC 6962's `k`: the largest power of two smaller than `n`, for `n > 1`.
fn split(n: u64) -> u64 {
    largest_complete(n - 1)
}

/// The largest power of two that is at most `n`, for `n > 0`.
fn largest_complete(n: u64) -> u64 {
    1 << n.ilog2()
}
