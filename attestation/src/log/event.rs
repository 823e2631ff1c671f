//! One event: a PCR, a claimed type, digests, and data that the digests may or may not cover.

use vouchsafe_crypto::verify::HashAlgorithm;

use super::header::{algorithm_id, digest_len};
use super::kind::EventKind;
use super::meaning::Meaning;

/// An event. Borrows from the log.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Place in the log, from 1; a crypto-agile header is event 1.
    pub number: u32,
    /// PCR, 0 to 23; `u32::MAX` only for an EV_NO_ACTION event that belongs to none. In the log of a confidential
    /// computing platform this is the index of a measurement register.
    pub pcr: u32,
    /// What the sender says it is.
    pub kind: EventKind,
    /// Digests, one for each bank.
    pub digests: Digests<'a>,
    /// Data, as logged.
    pub data: &'a [u8],
}

impl<'a> Event<'a> {
    /// Whether the event was extended into its PCR, by its type (section 10.4.5: EV_NO_ACTION is not).
    #[must_use]
    pub fn is_extended(&self) -> bool {
        self.kind != EventKind::NO_ACTION
    }

    /// The digest for one bank.
    #[must_use]
    pub fn digest(&self, bank: HashAlgorithm) -> Option<&'a [u8]> {
        let wanted = algorithm_id(bank);
        self.digests.iter().find(|(id, _)| *id == wanted).map(|(_, digest)| digest)
    }

    /// The data, if the bank's digest is the hash of it: then somebody extended exactly this. Costs a hash.
    #[must_use]
    pub fn covered_data(&self, bank: HashAlgorithm) -> Option<&'a [u8]> {
        let digest = self.digest(bank)?;
        (bank.hash(&[self.data]).as_ref() == digest).then_some(self.data)
    }

    /// What the event says, as far as its digest covers it. Costs at most three hashes of the data.
    #[must_use]
    pub fn meaning(&self, bank: HashAlgorithm) -> Meaning<'a> {
        Meaning::of(self, bank)
    }
}

/// The digests of one event, as they stand in the log.
#[derive(Clone, Copy, Debug)]
pub enum Digests<'a> {
    /// TPML_DIGEST_VALUES without its count: for each a TPM_ALG_ID, little-endian, and the digest. All known.
    Agile(&'a [u8]),
    /// The one digest of the old format.
    Sha1(&'a [u8; 20]),
}

impl<'a> Digests<'a> {
    /// TPM_ALG_ID and digest of each, in the order of the log.
    pub fn iter(self) -> impl Iterator<Item = (u16, &'a [u8])> {
        let (mut list, mut single) = match self {
            Self::Agile(list) => (list, None),
            Self::Sha1(digest) => (&[][..], Some((algorithm_id(HashAlgorithm::DangerousSha1), &digest[..]))),
        };
        std::iter::from_fn(move || {
            if let Some(single) = single.take() {
                return Some(single);
            }
            let (id, rest) = list.split_first_chunk::<2>()?;
            let id = u16::from_le_bytes(*id);
            let (digest, rest) = rest.split_at_checked(digest_len(id)?)?;
            list = rest;
            Some((id, digest))
        })
    }
}
