//! Evidence behind live identities, kept small: what an operator's `policy plan` tries other rules on, and what
//! attestation results are made from.
//!
//! INVARIANT: a record is made only from evidence that was appraised and accepted, and dies with its identity.

use std::collections::BTreeMap;

use vouchsafe_protocol::codec;
use vouchsafe_protocol::limits::{SEEN_PAGE, SEEN_PLATFORM_LEN, SEEN_TOTAL_LEN};
use vouchsafe_protocol::seen::{SeenEvidence, SeenPage};

/// Records, encoded, by the number of their identity.
#[derive(Default)]
pub(crate) struct Seen {
    records: BTreeMap<u64, Record>,
    len: usize,
    forgotten: u64,
}

struct Record {
    platform: Vec<u8>,
    encoded: Vec<u8>,
}

impl Seen {
    /// Keeps a record; the oldest of its own platform go beyond that one's share, and then the oldest of all if there is
    /// no room.
    pub fn insert(&mut self, record: &SeenEvidence) {
        let encoded = codec::encode(record).unwrap_or_default();
        self.len += encoded.len();
        let platform = record.platform.clone();
        let kept = Record { platform, encoded };
        if let Some(before) = self.records.insert(record.identity, kept) {
            self.len -= before.encoded.len();
        }
        self.hold_to_share(&record.platform);
        while self.len > SEEN_TOTAL_LEN {
            let Some((_, oldest)) = self.records.pop_first() else { break };
            self.len -= oldest.encoded.len();
            self.forgotten += 1;
        }
    }

    /// Forgets the oldest records of a platform beyond its share. Zeros name none: a chip that is masked or behind a VLEK.
    fn hold_to_share(&mut self, platform: &[u8]) {
        if platform.iter().all(|byte| *byte == 0) {
            return;
        }
        let of_platform = self.records.iter().filter(|(_, record)| record.platform == platform);
        let lens: Vec<(u64, usize)> =
            of_platform.map(|(number, record)| (*number, record.encoded.len())).collect();
        let mut share: usize = lens.iter().map(|(_, len)| len).sum();
        for (number, len) in lens {
            if share <= SEEN_PLATFORM_LEN {
                break;
            }
            share -= len;
            self.remove(number);
            self.forgotten += 1;
        }
    }

    /// Forgets the record of an identity.
    pub fn remove(&mut self, identity: u64) {
        if let Some(record) = self.records.remove(&identity) {
            self.len -= record.encoded.len();
        }
    }

    /// The record of one identity.
    pub fn of(&self, identity: u64) -> Option<SeenEvidence> {
        decode(self.records.get(&identity)?)
    }

    /// A page of records of identities with higher numbers.
    pub fn page(&self, after: u64) -> SeenPage {
        let mut later =
            self.records.range(after.saturating_add(1)..).filter_map(|(_, record)| decode(record));
        let records = later.by_ref().take(SEEN_PAGE).collect();
        SeenPage { records, more: later.next().is_some(), forgotten: self.forgotten }
    }

    /// Every record as it is kept, in the order of numbers.
    pub fn encoded(&self) -> impl Iterator<Item = &[u8]> {
        self.records.values().map(|record| record.encoded.as_slice())
    }
}

fn decode(record: &Record) -> Option<SeenEvidence> {
    codec::decode(&record.encoded, record.encoded.len()).ok()
}

#[cfg(test)]
mod tests {
    use vouchsafe_protocol::id::AnchorClass;
    use vouchsafe_protocol::policy::Product;
    use vouchsafe_protocol::seen::{SeenFacts, SeenReport};

    use super::*;

    /// A record of about 2 KiB, so that a share is some 500 of them.
    fn record(identity: u64, platform: Vec<u8>) -> SeenEvidence {
        let report = SeenReport { report: vec![0; 2048], product: Product::Genoa, provider: None };
        SeenEvidence {
            role: "web".parse().unwrap(),
            role_digest: [2; 32],
            identity,
            spiffe_id: "spiffe://v/web".to_owned(),
            at_unix_secs: 1,
            not_after_unix_secs: 2,
            evidence_until_unix_secs: 3,
            evidence_digest: [3; 32],
            platform,
            anchor_class: AnchorClass::Hardware,
            rule: 0,
            warnings: Vec::new(),
            clock: None,
            facts: SeenFacts::Snp(report),
        }
    }

    #[test]
    fn a_platform_beyond_its_share_loses_its_own_oldest_records() {
        let mut seen = Seen::default();
        seen.insert(&record(0, vec![1; 64]));
        let fits = SEEN_PLATFORM_LEN / seen.len;
        let fits = u64::try_from(fits).unwrap();
        seen.remove(0);
        seen.insert(&record(0, vec![9; 64]));
        for identity in 1..=fits + 3 {
            seen.insert(&record(identity, vec![1; 64]));
        }
        assert!(seen.of(0).is_some(), "of another platform, and oldest of all");
        let of_platform = seen.records.values().filter(|record| record.platform == [1; 64]);
        let len: usize = of_platform.map(|record| record.encoded.len()).sum();
        assert!(len <= SEEN_PLATFORM_LEN && len + 2 * 2048 > SEEN_PLATFORM_LEN, "{len}");
        assert!(seen.of(1).is_none() && seen.of(2).is_none() && seen.of(fits + 3).is_some());
        assert_eq!(seen.forgotten, fits + 4 - seen.records.len() as u64);
        assert_eq!(seen.len, seen.encoded().map(<[u8]>::len).sum::<usize>());
    }

    #[test]
    fn platforms_without_a_name_have_no_share() {
        let mut seen = Seen::default();
        for identity in 0..=(SEEN_PLATFORM_LEN / 2048) as u64 {
            seen.insert(&record(identity, vec![0; 64]));
        }
        assert_eq!(seen.forgotten, 0);
        assert!(seen.of(0).is_some());
    }
}
