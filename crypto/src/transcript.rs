//! Every pre-image and digest of the introduction and the session, built in one place by both sides.
//!
//! Who calls it: the enclave, the client and auditors, on bytes that an adversary may have chosen. What must
//! stay true: each function has its own tag, every part of varying length is framed, and no part can move
//! across a boundary without changing the result (B2). The binding statement of evidence is not here; it is
//! `statement` in `vouchsafe-attestation`.

use crate::digest::{preimage, sha256};

const CHAIN: &str = "vouchsafe/1/chain";
const CHAIN_HEAD: &str = "vouchsafe/1/chain-head";
const HELLO: &str = "vouchsafe/1/hello";
const INIT_DONE: &str = "vouchsafe/1/init-done";
const OFFER: &str = "vouchsafe/1/offer";
const OFFER_DIGEST: &str = "vouchsafe/1/offer-digest";
const PROVE: &str = "vouchsafe/1/prove";
const SIGNING_KEY: &str = "vouchsafe/1/signing-key";
const VAULT_ID: &str = "vouchsafe/1/vault-id";

/// Digest of an encoded `Hello`: `SHA-256("vouchsafe/1/hello" || LV(hello))`.
#[must_use]
pub fn hello_digest(hello: &[u8]) -> [u8; 32] {
    sha256(&[&preimage(HELLO, &[hello])])
}

/// What the vault's signing key signs in an offer: `"vouchsafe/1/offer" || LV(hello digest) || LV(offer body)`.
#[must_use]
pub fn offer_preimage(hello: &[u8], offer_body: &[u8]) -> Vec<u8> {
    preimage(OFFER, &[&hello_digest(hello), offer_body])
}

/// What evidence binds of the conversation so far:
/// `SHA-256("vouchsafe/1/offer-digest" || LV(hello digest) || LV(offer))`, over the encoded `Offer`, its
/// signature included.
#[must_use]
pub fn offer_digest(hello: &[u8], offer: &[u8]) -> [u8; 32] {
    sha256(&[&preimage(OFFER_DIGEST, &[&hello_digest(hello), offer])])
}

/// What the identity key signs in a proof: `"vouchsafe/1/prove" || LV(prove body)`.
#[must_use]
pub fn prove_preimage(prove_body: &[u8]) -> Vec<u8> {
    preimage(PROVE, &[prove_body])
}

/// Digest inside a vault id: `SHA-256("vouchsafe/1/vault-id" || LV(class byte) || LV(authority SPKI) ||
/// LV(anchors digest))`.
#[must_use]
pub fn vault_id_digest(class_byte: u8, authority_spki: &[u8], anchors_digest: &[u8; 32]) -> [u8; 32] {
    sha256(&[&preimage(VAULT_ID, &[&[class_byte], authority_spki, anchors_digest])])
}

/// What the authority signs to endorse an enclave's signing key:
/// `"vouchsafe/1/signing-key" || LV(vault id, 33 bytes) || LV(signing SPKI)`.
#[must_use]
pub fn signing_key_preimage(vault_id: &[u8; 33], signing_spki: &[u8]) -> Vec<u8> {
    preimage(SIGNING_KEY, &[vault_id, signing_spki])
}

/// What the signing key signs in answer to `Init`: `"vouchsafe/1/init-done" || LV(encoded statement)`.
#[must_use]
pub fn init_done_preimage(vault_statement: &[u8]) -> Vec<u8> {
    preimage(INIT_DONE, &[vault_statement])
}

/// The next link of a session's request chain:
/// `SHA-256("vouchsafe/1/chain" || previous || number || receipt || SHA-256(encoded request))`; number is 8
/// bytes big-endian, receipt one byte (0 or 1). All parts have a fixed length, so nothing can move.
#[must_use]
pub fn chain_link(previous: &[u8; 32], number: u64, receipt: bool, request: &[u8]) -> [u8; 32] {
    chain_link_of_digest(previous, number, receipt, &sha256(&[request]))
}

/// [`chain_link`] from the digest of the encoded request: what an auditor has, who does not see requests.
#[must_use]
pub fn chain_link_of_digest(previous: &[u8; 32], number: u64, receipt: bool, request: &[u8; 32]) -> [u8; 32] {
    sha256(&[CHAIN.as_bytes(), previous, &number.to_be_bytes(), &[u8::from(receipt)], request])
}

/// What the identity key signs of the chain: `"vouchsafe/1/chain-head" || LV(number) || LV(link)`; number is
/// 8 bytes big-endian.
#[must_use]
pub fn chain_head_preimage(number: u64, link: &[u8; 32]) -> Vec<u8> {
    preimage(CHAIN_HEAD, &[&number.to_be_bytes(), link])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b2_moving_a_byte_across_a_field_changes_every_digest() {
        assert_ne!(offer_preimage(b"ab", b"c"), offer_preimage(b"a", b"bc"));
        assert_ne!(offer_digest(b"ab", b"c"), offer_digest(b"a", b"bc"));
        assert_ne!(vault_id_digest(0, b"k", &[1; 32]), vault_id_digest(1, b"k", &[1; 32]));
        assert_ne!(vault_id_digest(0, b"k\x01", &[1; 32]), vault_id_digest(0, b"k", &[1; 32]));
        let mut shifted = [7; 33];
        shifted[32] = b'k';
        assert_ne!(signing_key_preimage(&[7; 33], b"k"), signing_key_preimage(&shifted, b""));
        assert_ne!(chain_head_preimage(1, &[0; 32]), chain_head_preimage(256, &[0; 32]));
    }

    #[test]
    fn b2_every_purpose_has_its_own_tag() {
        let tags = [CHAIN, CHAIN_HEAD, HELLO, INIT_DONE, OFFER, OFFER_DIGEST, PROVE, SIGNING_KEY, VAULT_ID];
        let unique: std::collections::BTreeSet<_> = tags.iter().collect();
        assert_eq!(unique.len(), tags.len());
        // The byte after a tag is a length or, in the chain, a link; no tag plus a length is another tag,
        // because lengths begin with a zero byte (parts are far below 16 MiB) and tags are text.
        assert!(tags.iter().all(|tag| tag.bytes().all(|byte| byte.is_ascii_graphic())));
        assert_ne!(prove_preimage(b"x"), init_done_preimage(b"x"));
    }

    #[test]
    fn b7_every_part_of_a_request_is_in_its_link() {
        let link = chain_link(&[0; 32], 1, false, b"request");
        assert_ne!(link, chain_link(&[1; 32], 1, false, b"request"));
        assert_ne!(link, chain_link(&[0; 32], 2, false, b"request"));
        assert_ne!(link, chain_link(&[0; 32], 1, true, b"request"));
        assert_ne!(link, chain_link(&[0; 32], 1, false, b"requests"));
    }

    #[test]
    fn b2_the_layout_is_the_documented_one() {
        let mut expected = b"vouchsafe/1/chain-head".to_vec();
        expected.extend_from_slice(&[0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 32]);
        expected.extend_from_slice(&[9; 32]);
        assert_eq!(chain_head_preimage(258, &[9; 32]), expected);
        let chain =
            [b"vouchsafe/1/chain".as_slice(), &[5; 32], &[0, 0, 0, 0, 0, 0, 0, 3], &[1], &sha256(&[b"body"])];
        assert_eq!(chain_link(&[5; 32], 3, true, b"body"), sha256(&chain));
        assert_eq!(hello_digest(b"hi"), sha256(&[b"vouchsafe/1/hello", &[0, 0, 0, 2], b"hi"]));
    }
}
