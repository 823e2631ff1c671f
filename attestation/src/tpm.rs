//! TPM 2.0 quotes and keys, in pure Rust: structures (TPM 2.0 Library, Part 2, revision 1.59), residency of the
//! attestation key, and the quote itself. No TPM stack is linked.

pub mod ak;
pub mod ak_certificate;
pub mod attest;
pub mod clock;
pub mod ek;
pub mod event_rules;
pub mod logs;
pub mod public;
pub mod quote;
pub mod residency;
pub mod rules;
pub mod signature;

use vouchsafe_crypto::verify::HashAlgorithm;

/// A hash by its TPM_ALG_ID (Part 2, table 9); `None` for one that this version does not know.
#[must_use]
pub fn hash_algorithm(id: u16) -> Option<HashAlgorithm> {
    match id {
        0x0004 => Some(HashAlgorithm::DangerousSha1),
        0x000b => Some(HashAlgorithm::Sha256),
        0x000c => Some(HashAlgorithm::Sha384),
        0x000d => Some(HashAlgorithm::Sha512),
        _ => None,
    }
}
