//! T11, T16: clock and counters against what was seen of the same TPM before. The quotes say: clock 77 ms, reset 5,
//! restart 6.

use super::super::add::{Added, Cases};
use crate::schema::PreviousClock;

pub(super) fn add(cases: &mut Cases<'_>) -> Added {
    let seen = |reset_count, restart_count, clock_millis| PreviousClock {
        clock_millis,
        reset_count,
        restart_count,
        safe: true,
    };
    let all = [
        ("the-same", "T11", seen(5, 6, 77), None),
        ("earlier-in-this-boot", "T11", seen(5, 6, 1), None),
        ("an-earlier-restart", "T11", seen(5, 5, 1_000_000), None),
        ("an-earlier-reset", "T11", seen(4, 9, 1_000_000), None),
        ("a-little-later-in-this-boot", "T11", seen(5, 6, 60_077), None),
        ("later-in-this-boot", "T11", seen(5, 6, 60_078), Some("tpm.clock.back")),
        ("a-later-restart", "T11", seen(5, 7, 1), Some("tpm.clock.back")),
        ("a-later-reset", "T11", seen(6, 0, 1), Some("tpm.clock.back")),
        ("a-much-later-reset", "T11", seen(1000, 0, 1), Some("tpm.clock.back")),
    ];
    for (label, id, previous, code) in all {
        let case = cases.tpm(id, &format!("seen-before-{label}"))?.seen(previous);
        match code {
            Some(code) => case.refused(code)?,
            None => case.accepted()?,
        }
    }
    cases
        .tpm("T16", "cleared-since-it-was-seen")?
        .quote(|quote| (quote.reset_count, quote.restart_count, quote.clock) = (0, 0, 10))
        .seen(seen(5, 6, 77))
        .refused("tpm.clock.cleared")?;
    cases
        .tpm("T16", "first-boot-after-a-clear-nothing-seen")?
        .quote(|quote| (quote.reset_count, quote.restart_count, quote.clock) = (0, 0, 10))
        .accepted()?;
    cases
        .tpm("T11", "clock-that-is-not-safe")?
        .quote(|quote| quote.safe = 0)
        .seen(seen(5, 6, 77))
        .accepted()?;
    cases
        .tpm("T11", "clock-that-is-not-safe-goes-back-all-the-same")?
        .quote(|quote| quote.safe = 0)
        .seen(seen(5, 6, 70_000))
        .refused("tpm.clock.back")
}
