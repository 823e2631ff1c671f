//! Verification of Merkle proofs. Everything here comes from outside: no key, no state; whatever the length of a
//! proof, at most 64 of its nodes are looked at.

use super::{empty_root, node_hash};
use crate::Hash;

/// Why a proof is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The leaf lies outside the tree.
    #[error("leaf {index} is outside a tree of {size} leaves")]
    Index {
        /// Index of the leaf.
        index: u64,
        /// Size of the tree.
        size: u64,
    },
    /// The proof has fewer or more nodes than the sizes ask for.
    #[error("the proof has the wrong length")]
    Length,
    /// The proof does not lead to the new (or only) root.
    #[error("the proof does not lead to the root")]
    Root,
    /// The newer tree is smaller: the log went back.
    #[error("the newer tree has {new} leaves, the older one {old}")]
    Shrunk {
        /// Size of the older tree.
        old: u64,
        /// Size of the newer tree.
        new: u64,
    },
    /// The proof does not begin with the old root: the log was rewritten.
    #[error("the newer tree does not extend the older one")]
    Rewritten,
}

/// Verifies that `leaf` is the leaf number `index` of the tree with `size` leaves and this `root`.
/// RFC 9162 section 2.1.3.2; the caller knows that root from a checkpoint it verified.
///
/// # Errors
/// [`ProofError`], by the first rule that fails.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    // 1. The leaf is in the tree.
    if index >= size {
        return Err(ProofError::Index { index, size });
    }
    // 2. The path ends exactly at the root.
    let (mut position, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if position % 2 == 1 || position == last {
            hash = node_hash(sibling, &hash);
            // On the right edge a node without sibling moves up unchanged.
            let up = if position % 2 == 1 { 0 } else { position.trailing_zeros() };
            position = position.checked_shr(up).unwrap_or(0);
            last = last.checked_shr(up).unwrap_or(0);
        } else {
            hash = node_hash(&hash, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    // 3. It is that root.
    if hash == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// Verifies that the tree of `new_size` begins with the tree of `old_size`. RFC 9162 section 2.1.4.2.
///
/// An empty old tree is the beginning of every tree; equal sizes need equal roots. Both take an empty proof.
///
/// # Errors
/// [`ProofError`], by the first rule that fails.
pub fn verify_consistency(
    old_size: u64,
    old_root: &Hash,
    new_size: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    // 1. The log did not shrink.
    if new_size < old_size {
        return Err(ProofError::Shrunk { old: old_size, new: new_size });
    }
    // 2. Where nothing is to be proved, nothing is given.
    if old_size == 0 || old_size == new_size {
        let expected = if old_size == 0 { empty_root() } else { *new_root };
        return match (proof, *old_root == expected) {
            ([_, ..], _) => Err(ProofError::Length),
            ([], false) => Err(ProofError::Rewritten),
            ([], true) => Ok(()),
        };
    }
    // 3. The path, walked for both trees, ends exactly at their roots.
    let (mut position, mut last) = (old_size - 1, new_size - 1);
    let up = position.trailing_ones();
    position = position.checked_shr(up).unwrap_or(0);
    last = last.checked_shr(up).unwrap_or(0);
    // A complete old tree is itself the first node.
    let (first, rest) = match proof.split_first() {
        _ if old_size.is_power_of_two() => (old_root, proof),
        Some(found) => found,
        None => return Err(ProofError::Length),
    };
    let (mut old, mut new) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if position % 2 == 1 || position == last {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
            let up = if position % 2 == 1 { 0 } else { position.trailing_zeros() };
            position = position.checked_shr(up).unwrap_or(0);
            last = last.checked_shr(up).unwrap_or(0);
        } else {
            new = node_hash(&new, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    // 4. They are those roots.
    if old != *old_root {
        return Err(ProofError::Rewritten);
    }
    if new == *new_root { Ok(()) } else { Err(ProofError::Root) }
}
