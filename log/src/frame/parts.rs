//! The plaintexts of a frame's two sealed parts. Lengths are 4 bytes, big-endian.
//!
//! They are written by hand, not by the codec, so that secrets are copied exactly once, into a buffer that
//! never grows and that sealing overwrites.

use vouchsafe_crypto::aead::TAG_LEN;
use vouchsafe_crypto::digest::push_lv;
use vouchsafe_crypto::secret::SecretBytes;

use super::Entry;
use crate::Hash;

/// `state hash || (LV(entry) || state digest)*`, with room for the tag.
pub(super) fn audit_part(state_hash: &Hash, entries: &[Entry], digests: &[Hash]) -> Vec<u8> {
    let len: usize = entries.iter().map(|entry| entry.audit.len() + 4 + size_of::<Hash>()).sum();
    let mut part = Vec::with_capacity(state_hash.len() + len + TAG_LEN);
    part.extend_from_slice(state_hash);
    for (entry, digest) in entries.iter().zip(digests) {
        push_lv(&mut part, &entry.audit);
        part.extend_from_slice(digest);
    }
    part
}

/// `LV(state)*`, with room for the tag; nothing if every state is empty.
pub(super) fn state_part(entries: &[Entry]) -> Vec<u8> {
    if entries.iter().all(|entry| entry.state.is_empty()) {
        return Vec::new();
    }
    let len: usize = entries.iter().map(|entry| entry.state.len() + 4).sum();
    let mut part = Vec::with_capacity(len + TAG_LEN);
    entries.iter().for_each(|entry| push_lv(&mut part, entry.state.expose_secret()));
    part
}

/// An audit part taken apart: the state hash, and each encoded entry with its state digest.
pub(super) type AuditPart<'a> = (Hash, Vec<(&'a [u8], Hash)>);

/// `None` if the part does not end exactly with its last entry.
pub(super) fn split_audit(part: &[u8]) -> Option<AuditPart<'_>> {
    let (state_hash, mut rest) = part.split_first_chunk::<32>()?;
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let (entry, after) = split_lv(rest)?;
        let (digest, after) = after.split_first_chunk::<32>()?;
        entries.push((entry, *digest));
        rest = after;
    }
    Some((*state_hash, entries))
}

/// The states of `count` entries. `None` if the part does not hold exactly that many, or is there although all
/// of them are empty.
pub(super) fn split_state(part: &[u8], count: usize) -> Option<Vec<SecretBytes>> {
    if part.is_empty() {
        return Some((0..count).map(|_| SecretBytes::new(Vec::new())).collect());
    }
    let mut rest = part;
    let mut states = Vec::new();
    while !rest.is_empty() {
        let (state, after) = split_lv(rest)?;
        states.push(SecretBytes::new(state.to_vec()));
        rest = after;
    }
    let canonical = states.len() == count && states.iter().any(|state| !state.is_empty());
    canonical.then_some(states)
}

fn split_lv(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)
}
