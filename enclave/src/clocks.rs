//! What the vault remembers of TPMs: for each attestation key the furthest clock that it has shown (T11).
//!
//! Who calls it: admission, with clocks of quotes that were verified; and sessions, with the clock that their identity
//! was issued for. INVARIANT: what is remembered of a key never goes back, but by an operator's word.

use core::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use vouchsafe_attestation::tpm::attest::ClockInfo;
use vouchsafe_attestation::tpm::clock::{ClockError, Progress, check_clock, compare_boots};
use vouchsafe_protocol::limits::TPM_CLOCKS;
use vouchsafe_protocol::seen::SeenClock;

/// Furthest clocks by attestation key; those seen longest ago make room for new ones.
#[derive(Default)]
pub(crate) struct Clocks {
    by_key: HashMap<[u8; 32], Remembered>,
    /// Keys by the number of the identity they were last seen with.
    by_number: BTreeMap<u64, [u8; 32]>,
}

struct Remembered {
    clock: SeenClock,
    number: u64,
}

impl Clocks {
    /// Holds a clock against what its key showed before. A key that was never seen may show anything.
    pub fn check(&self, now: &SeenClock) -> Result<Progress, ClockError> {
        match self.by_key.get(&now.key) {
            None => Ok(Progress::NewBoot),
            Some(seen) => check_clock(&info(&seen.clock), &info(now)),
        }
    }

    /// Whether a later boot of the same TPM was seen than the one of this clock.
    pub fn was_left_behind(&self, clock: &SeenClock) -> bool {
        let seen = self.by_key.get(&clock.key);
        seen.is_some_and(|seen| compare_boots(&info(clock), &info(&seen.clock)) == Ordering::Less)
    }

    /// Remembers a clock that passed [`Self::check`], shown for the identity with this number.
    pub fn remember(&mut self, clock: SeenClock, number: u64) {
        let furthest = match self.by_key.get(&clock.key) {
            Some(seen) if self.check(&clock) == Ok(Progress::SameBoot) => {
                SeenClock { clock_millis: seen.clock.clock_millis.max(clock.clock_millis), ..clock }
            }
            Some(_) | None => clock,
        };
        if let Some(before) = self.by_key.insert(clock.key, Remembered { clock: furthest, number }) {
            self.by_number.remove(&before.number);
        }
        self.by_number.insert(number, clock.key);
        if self.by_key.len() > TPM_CLOCKS
            && let Some((_, oldest)) = self.by_number.pop_first()
        {
            self.by_key.remove(&oldest);
        }
    }

    /// Forgets a key; whether it was known.
    pub fn forget(&mut self, key: &[u8; 32]) -> bool {
        let Some(seen) = self.by_key.remove(key) else { return false };
        self.by_number.remove(&seen.number);
        true
    }

    pub fn knows(&self, key: &[u8; 32]) -> bool {
        self.by_key.contains_key(key)
    }

    /// All that is remembered, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &SeenClock)> {
        self.by_number.iter().filter_map(|(number, key)| Some((*number, &self.by_key.get(key)?.clock)))
    }
}

fn info(clock: &SeenClock) -> ClockInfo {
    let SeenClock { key: _, clock_millis, reset_count, restart_count, safe } = *clock;
    ClockInfo { clock_millis, reset_count, restart_count, safe }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(key: usize, reset_count: u32, clock_millis: u64) -> SeenClock {
        let mut name = [0; 32];
        name.first_chunk_mut::<8>().unwrap().copy_from_slice(&key.to_be_bytes());
        SeenClock { key: name, clock_millis, reset_count, restart_count: 0, safe: true }
    }

    #[test]
    fn t11_what_is_remembered_never_goes_back() {
        let mut clocks = Clocks::default();
        clocks.remember(clock(1, 5, 100_000), 1);
        // Overtaken on the way: accepted, and not what counts from now on.
        clocks.remember(clock(1, 5, 50_000), 2);
        assert_eq!(clocks.check(&clock(1, 5, 40_000)), Ok(Progress::SameBoot));
        assert_eq!(clocks.check(&clock(1, 5, 39_999)), Err(ClockError::Back { behind_millis: 60_001 }));
        clocks.remember(clock(1, 6, 10), 3);
        assert_eq!(clocks.check(&clock(1, 5, 200_000)), Err(ClockError::OlderBoot));
        assert!(clocks.was_left_behind(&clock(1, 5, 200_000)) && !clocks.was_left_behind(&clock(1, 6, 0)));
        assert!(!clocks.was_left_behind(&clock(2, 0, 0)));
    }

    #[test]
    fn t11_memory_is_bounded_and_forgets_what_was_seen_longest_ago() {
        let mut clocks = Clocks::default();
        for key in 0..TPM_CLOCKS {
            clocks.remember(clock(key, 1, 1), key as u64);
        }
        clocks.remember(clock(0, 1, 2), TPM_CLOCKS as u64);
        clocks.remember(clock(TPM_CLOCKS, 1, 1), TPM_CLOCKS as u64 + 1);
        assert_eq!((clocks.by_key.len(), clocks.by_number.len()), (TPM_CLOCKS, TPM_CLOCKS));
        assert!(clocks.knows(&clock(0, 0, 0).key) && !clocks.knows(&clock(1, 0, 0).key));
        assert!(clocks.forget(&clock(0, 0, 0).key) && !clocks.forget(&clock(0, 0, 0).key));
        assert_eq!((clocks.by_key.len(), clocks.by_number.len()), (TPM_CLOCKS - 1, TPM_CLOCKS - 1));
    }
}
