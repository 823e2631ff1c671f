use super::verify::{ProofError, verify_consistency, verify_inclusion};
use super::*;

/// The reference leaves of the Certificate Transparency project, and the roots of their trees.
const LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn leaf(i: u64) -> Hash {
    sha256(&[&[0], &i.to_be_bytes()])
}

fn tree(size: u64) -> Tree {
    let mut tree = Tree::default();
    (0..size).for_each(|i| tree.push(leaf(i)));
    tree
}

fn frontier(size: u64) -> Frontier {
    let mut frontier = Frontier::default();
    (0..size).for_each(|i| frontier.push(leaf(i)));
    frontier
}

#[test]
fn roots_are_those_of_rfc_6962_reference_trees() {
    let mut tree = Tree::default();
    let mut frontier = Frontier::default();
    assert_eq!(hex::encode(tree.root()), ROOTS[0]);
    assert_eq!(hex::encode(frontier.root()), ROOTS[0]);
    for (data, root) in LEAVES.iter().zip(&ROOTS[1..]) {
        let leaf = sha256(&[&[0], &hex::decode(data).unwrap()]);
        tree.push(leaf);
        frontier.push(leaf);
        assert_eq!(hex::encode(tree.root()), *root);
        assert_eq!(hex::encode(frontier.root()), *root);
    }
}

#[test]
fn proofs_equal_those_of_another_implementation() {
    type Other = ct_merkle::mem_backed_tree::MemoryBackedTree<sha2::Sha256, Vec<u8>>;
    let mut other = Other::new();
    let mut tree = Tree::default();
    for size in 1..=130u64 {
        other.push((size - 1).to_be_bytes().to_vec());
        tree.push(leaf(size - 1));
        assert_eq!(tree.root().as_slice(), other.root().as_bytes().as_slice());
        for index in 0..size {
            let theirs = other.prove_inclusion(usize::try_from(index).unwrap());
            assert_eq!(tree.inclusion_proof(index).unwrap().as_flattened(), theirs.as_bytes());
        }
        for old in 1..size {
            let theirs = other.prove_consistency(usize::try_from(size - old).unwrap());
            assert_eq!(tree.consistency_proof(old).unwrap().as_flattened(), theirs.as_bytes());
        }
    }
}

#[test]
fn every_proof_verifies_and_for_nothing_else() {
    for size in 0..=70 {
        let now = tree(size);
        for index in 0..size {
            let proof = now.inclusion_proof(index).unwrap();
            verify_inclusion(&leaf(index), index, size, &proof, &now.root()).unwrap();
            for other in (0..size).filter(|other| *other != index) {
                verify_inclusion(&leaf(index), other, size, &proof, &now.root()).unwrap_err();
            }
            check_inclusion_mutations(index, size, &proof, &now.root());
        }
        assert_eq!(now.inclusion_proof(size), None);
        for old in 0..=size {
            let proof = now.consistency_proof(old).unwrap();
            verify_consistency(old, &tree(old).root(), size, &now.root(), &proof).unwrap();
            check_consistency_mutations(old, size, &proof, &now.root());
        }
        assert_eq!(now.consistency_proof(size + 1), None);
    }
}

fn check_inclusion_mutations(index: u64, size: u64, proof: &[Hash], root: &Hash) {
    let refused = |leaf: &Hash, proof: &[Hash], root: &Hash, error| {
        assert_eq!(verify_inclusion(leaf, index, size, proof, root), Err(error));
    };
    refused(&leaf(size), proof, root, ProofError::Root);
    refused(&leaf(index), proof, &leaf(0xbad), ProofError::Root);
    refused(&leaf(index), &[proof, &[*root]].concat(), root, ProofError::Length);
    for changed in 0..proof.len() {
        let mut nodes = proof.to_vec();
        nodes[changed][31] ^= 1;
        refused(&leaf(index), &nodes, root, ProofError::Root);
        refused(&leaf(index), &proof[..changed], root, ProofError::Length);
    }
}

fn check_consistency_mutations(old: u64, new: u64, proof: &[Hash], root: &Hash) {
    let old_root = tree(old).root();
    let verdict =
        |old_root: &Hash, proof: &[Hash], root: &Hash| verify_consistency(old, old_root, new, root, proof);
    verdict(&leaf(0xbad), proof, root).unwrap_err();
    assert_eq!(verdict(&old_root, &[proof, &[*root]].concat(), root), Err(ProofError::Length));
    if old != 0 {
        verdict(&old_root, proof, &leaf(0xbad)).unwrap_err();
    }
    for changed in 0..proof.len() {
        let mut nodes = proof.to_vec();
        nodes[changed][0] ^= 0x80;
        verdict(&old_root, &nodes, root).unwrap_err();
        assert_eq!(verdict(&old_root, &proof[..changed], root), Err(ProofError::Length));
    }
}

#[test]
fn h3_a_shrunken_or_rewritten_log_is_refused_as_such() {
    let (old, new) = (tree(6), tree(9));
    let proof = new.consistency_proof(6).unwrap();
    assert_eq!(
        verify_consistency(9, &new.root(), 6, &old.root(), &proof),
        Err(ProofError::Shrunk { old: 9, new: 6 })
    );
    let mut forked = tree(5);
    (5..9).for_each(|i| forked.push(leaf(i + 100)));
    let proof = forked.consistency_proof(6).unwrap();
    assert_eq!(verify_consistency(6, &old.root(), 9, &forked.root(), &proof), Err(ProofError::Rewritten));
    assert_eq!(verify_consistency(6, &old.root(), 6, &new.root(), &[]), Err(ProofError::Rewritten));
    assert_eq!(verify_consistency(0, &old.root(), 6, &new.root(), &[]), Err(ProofError::Rewritten));
}

#[test]
fn a_leaf_outside_the_tree_is_refused_as_such() {
    let root = tree(1).root();
    for (index, size) in [(1, 1), (0, 0), (u64::MAX, u64::MAX)] {
        assert_eq!(
            verify_inclusion(&leaf(0), index, size, &[], &root),
            Err(ProofError::Index { index, size })
        );
    }
}

#[test]
fn sizes_and_proofs_out_of_all_bounds_end_in_an_error() {
    let endless = vec![[0; 32]; 10_000];
    for (a, b) in [(u64::MAX - 1, u64::MAX), (1 << 63, u64::MAX), (1, u64::MAX), (3, 1 << 63)] {
        verify_inclusion(&leaf(0), a, b, &endless, &leaf(0)).unwrap_err();
        verify_consistency(a, &leaf(0), b, &leaf(0), &endless).unwrap_err();
    }
}

#[test]
fn batch_proofs_equal_those_of_the_whole_tree() {
    for before in 0..40 {
        for batch in 0..20 {
            let leaves: Vec<Hash> = (before..before + batch).map(leaf).collect();
            let proofs = frontier(before).prove_batch(&leaves);
            let whole = tree(before + batch);
            assert_eq!(proofs.root(), whole.root());
            assert_eq!(proofs.size(), whole.size());
            for (i, index) in (before..before + batch).enumerate() {
                assert_eq!(Some(proofs.proof(i)), whole.inclusion_proof(index), "{before}+{batch}, {i}");
            }
            let mut after = frontier(before);
            leaves.iter().for_each(|leaf| after.push(*leaf));
            assert_eq!((after.root(), after.size()), (whole.root(), whole.size()));
            assert!(proofs.proof(leaves.len()).is_empty());
        }
    }
}
