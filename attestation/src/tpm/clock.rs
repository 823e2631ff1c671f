//! The clock of a TPM against the one seen before (TPM 2.0 Part 1, section 36; Part 2, section 10.11.1): counters and
//! clock only go forward, so a step back means that the TPM was cleared, that its state was put back, or that there
//! are two of it.
//!
//! Who calls it: verifiers that remember, on a quote whose signature they have verified, with what the same
//! attestation key showed before. What must stay true for the caller: of all that a key has shown, it remembers what
//! is furthest.

use core::cmp::Ordering;

use super::attest::ClockInfo;

/// Quotes of one boot may be judged in another order than they were made in, as far apart as a challenge lives: this
/// many milliseconds.
pub const OUT_OF_ORDER_MILLIS: u64 = 60_000;

/// What a quote says of the boot that was seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The same boot.
    SameBoot,
    /// A later one: whatever was shown before is of a machine that runs no more.
    NewBoot,
}

/// Why a clock is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    /// Counters and clock began anew: the TPM was cleared, or put back to what it was when it was made.
    #[error("TPM was cleared since it was last seen")]
    Cleared,
    /// The quote is of an earlier boot than one that was seen: the TPM's state was put back, or two have the key.
    #[error("TPM is in an earlier boot than it was seen in")]
    OlderBoot,
    /// In the same boot the clock is behind: the TPM's state was put back, or two have the key.
    #[error("clock of the TPM is {behind_millis} ms behind what was seen in this boot")]
    Back {
        /// How far.
        behind_millis: u64,
    },
}

impl ClockError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Back { .. } | Self::OlderBoot => "tpm.clock.back",
            Self::Cleared => "tpm.clock.cleared",
        }
    }
}

/// Compares the clock of a verified quote with what the same key showed before.
///
/// Steps: 1. counters and clock have not begun anew (T16); 2. the boot is no earlier one; 3. in the same boot the
/// clock is not behind, but for quotes that overtook each other. A clock that is not `safe` may repeat values of an
/// earlier boot and never ones of its own, so that the flag excuses nothing here.
///
/// # Errors
/// [`ClockError`], one variant per step.
pub fn check_clock(previous: &ClockInfo, now: &ClockInfo) -> Result<Progress, ClockError> {
    // Step 1.
    let anew = now.reset_count == 0 && now.restart_count == 0 && now.clock_millis < previous.clock_millis;
    if anew && previous.reset_count != 0 {
        return Err(ClockError::Cleared);
    }
    match compare_boots(previous, now) {
        Ordering::Less => Ok(Progress::NewBoot),
        // Step 2.
        Ordering::Greater => Err(ClockError::OlderBoot),
        // Step 3.
        Ordering::Equal => match previous.clock_millis.saturating_sub(now.clock_millis) {
            behind_millis if behind_millis > OUT_OF_ORDER_MILLIS => Err(ClockError::Back { behind_millis }),
            _ => Ok(Progress::SameBoot),
        },
    }
}

/// The order of two boots of one TPM, by its counters.
///
/// For a key that is not in the endorsement or platform hierarchy a TPM adds a constant of the key to both counters,
/// modulo 2^32 (Part 1, section 36.7), so that they may wrap: what is less than half the range ahead is later.
#[must_use]
pub fn compare_boots(one: &ClockInfo, other: &ClockInfo) -> Ordering {
    let serial = |one: u32, other: u32| match other.wrapping_sub(one) {
        0 => Ordering::Equal,
        ahead if ahead < 1 << 31 => Ordering::Less,
        _ => Ordering::Greater,
    };
    serial(one.reset_count, other.reset_count).then(serial(one.restart_count, other.restart_count))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: ClockInfo =
        ClockInfo { clock_millis: 1_000_000, reset_count: 7, restart_count: 3, safe: true };

    fn at(reset_count: u32, restart_count: u32, clock_millis: u64) -> ClockInfo {
        ClockInfo { clock_millis, reset_count, restart_count, safe: false }
    }

    #[test]
    fn t11_counters_and_clock_that_go_forward_are_accepted() {
        assert_eq!(check_clock(&SEEN, &SEEN), Ok(Progress::SameBoot));
        assert_eq!(check_clock(&SEEN, &at(7, 3, 1_000_001)), Ok(Progress::SameBoot));
        // The clock may go back with a reset: it is stored now and then only.
        assert_eq!(check_clock(&SEEN, &at(8, 0, 0)), Ok(Progress::NewBoot));
        assert_eq!(check_clock(&SEEN, &at(7, 4, 0)), Ok(Progress::NewBoot));
        assert_eq!(check_clock(&SEEN, &at(9, 2, 5)), Ok(Progress::NewBoot));
    }

    #[test]
    fn t11_a_clock_that_goes_back_within_a_boot_is_refused() {
        let least = SEEN.clock_millis - OUT_OF_ORDER_MILLIS;
        assert_eq!(check_clock(&SEEN, &at(7, 3, least)), Ok(Progress::SameBoot));
        let behind_millis = OUT_OF_ORDER_MILLIS + 1;
        let error = check_clock(&SEEN, &at(7, 3, least - 1)).unwrap_err();
        assert_eq!((error, error.code()), (ClockError::Back { behind_millis }, "tpm.clock.back"));
    }

    #[test]
    fn t11_an_earlier_boot_is_refused_whatever_its_clock_says() {
        for older in [at(6, 9, u64::MAX), at(7, 2, u64::MAX), at(6, 3, 0), at(0, 1, 0)] {
            let error = check_clock(&SEEN, &older).unwrap_err();
            assert_eq!((error, error.code()), (ClockError::OlderBoot, "tpm.clock.back"));
        }
    }

    #[test]
    fn t16_a_cleared_tpm_is_named_as_such() {
        let error = check_clock(&SEEN, &at(0, 0, 999_999)).unwrap_err();
        assert_eq!((error, error.code()), (ClockError::Cleared, "tpm.clock.cleared"));
        // A clock that did not begin anew is no sign of a clear.
        assert_eq!(check_clock(&SEEN, &at(0, 0, 1_000_000)), Err(ClockError::OlderBoot));
        // In its very first boot a TPM begins at nothing.
        assert_eq!(
            check_clock(&at(0, 0, 900_000), &at(0, 0, 1)),
            Err(ClockError::Back { behind_millis: 899_999 })
        );
    }

    #[test]
    fn t11_shifted_counters_may_wrap() {
        let last = at(u32::MAX, u32::MAX, 500);
        assert_eq!(check_clock(&last, &at(u32::MAX, 0, 0)), Ok(Progress::NewBoot));
        assert_eq!(check_clock(&last, &at(1, 5, 0)), Ok(Progress::NewBoot));
        assert_eq!(check_clock(&at(1, 5, 0), &last), Err(ClockError::OlderBoot));
        assert_eq!(check_clock(&at(0, 0, 0), &at((1 << 31) - 1, 0, 0)), Ok(Progress::NewBoot));
        assert_eq!(check_clock(&at(0, 0, 0), &at(1 << 31, 0, 0)), Err(ClockError::OlderBoot));
    }
}
