//! The one clock of the process. The wall clock is the host's to set, so it is believed only forwards (H6).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time that never goes back and never stands still.
///
/// INVARIANT: `now = elapsed since start + the largest offset seen so far`, of the wall clock or of the core's
/// when it came back. A wall clock that is set back, or stands still, changes nothing; one that is set forward
/// shortens lives, once.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    offset_millis: AtomicU64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let clock = Self { started: Instant::now(), offset_millis: AtomicU64::new(0) };
        clock.observe(wall_millis());
        clock
    }

    /// Seconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        self.observe(wall_millis()) / 1000
    }

    /// How long until a time in seconds since 1970; zero if it has come.
    pub(crate) fn until(&self, at_secs: u64) -> Duration {
        let now = self.observe(wall_millis());
        Duration::from_millis(at_secs.saturating_mul(1000).saturating_sub(now))
    }

    /// Goes on from a time in seconds since 1970, if that is later than now: the core's, which its journal may
    /// put ahead of the wall clock. Never back.
    pub(crate) fn advance_to(&self, at_secs: u64) {
        self.observe(at_secs.saturating_mul(1000));
    }

    fn observe(&self, wall_millis: u64) -> u64 {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.at(wall_millis, elapsed)
    }

    fn at(&self, wall_millis: u64, elapsed_millis: u64) -> u64 {
        let seen = wall_millis.saturating_sub(elapsed_millis);
        let offset = self.offset_millis.fetch_max(seen, Ordering::Relaxed).max(seen);
        offset.saturating_add(elapsed_millis)
    }
}

impl rustls::time_provider::TimeProvider for Clock {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        Some(rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_secs(self.now())))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the edge of the process: the one place that reads the wall clock"
)]
fn wall_millis() -> u64 {
    // A clock before 1970 counts as 1970: it can only be behind, and being behind changes nothing.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> Clock {
        Clock { started: Instant::now(), offset_millis: AtomicU64::new(0) }
    }

    #[test]
    fn h6_a_clock_set_back_or_frozen_changes_nothing() {
        let clock = clock();
        assert_eq!(clock.at(1_000_000, 0), 1_000_000);
        assert_eq!(clock.at(500_000, 10), 1_000_010);
        assert_eq!(clock.at(1_000_000, 60_000), 1_060_000);
    }

    #[test]
    fn h6_a_clock_set_forward_and_back_goes_on_from_the_later_time() {
        let clock = clock();
        clock.at(1_000_000, 0);
        assert_eq!(clock.at(5_000_000, 10), 5_000_000);
        assert_eq!(clock.at(1_000_020, 20), 5_000_010);
        assert_eq!(clock.at(0, 1_000_010), 6_000_000);
    }

    #[test]
    fn h6_a_journal_ahead_of_the_wall_moves_the_clock_forward_and_never_back() {
        let clock = Clock::start();
        let later = clock.now() + 600;
        clock.advance_to(later);
        assert!(clock.now() >= later);
        clock.advance_to(later - 300);
        clock.advance_to(0);
        assert!(clock.now() >= later);
        assert!(clock.until(later + 60) <= Duration::from_secs(60));
        clock.advance_to(u64::MAX);
        assert!(clock.now() >= later);
    }

    #[test]
    fn h6_extreme_clocks_do_not_overflow() {
        let clock = clock();
        assert_eq!(clock.at(u64::MAX, 0), u64::MAX);
        assert_eq!(clock.at(0, 5), u64::MAX);
    }
}
