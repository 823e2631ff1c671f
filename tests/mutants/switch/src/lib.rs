//! Which planted defect is in force.
//!
//! Linked only into the copy of the verifier that `vouchsafe-mutants` writes below `target/mutants`: the source
//! that is shipped has no switch. Every place where a check could be missing asks [`on`] with its own number.

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// Most places.
pub const PLACES: usize = 1 << 16;
/// Number of the defect in force at the start of a process, for tests that know nothing of this crate; 0 for none. A
/// process that has it ends at the first panic.
pub const ACTIVE_VAR: &str = "VOUCHSAFE_MUTANT";
/// File to which a process appends the number of every place it comes to, once each.
pub const RECORD_VAR: &str = "VOUCHSAFE_MUTANT_RECORD";

/// No defect is in force: places are numbered from 1.
const NONE: usize = 0;
/// [`ACTIVE`] before the first question.
const UNREAD: usize = usize::MAX;
/// Nothing is in force, and every place that is come to is marked.
const RECORD: usize = usize::MAX - 1;

static ACTIVE: AtomicUsize = AtomicUsize::new(UNREAD);
static TOUCHED: [AtomicU8; PLACES] = [const { AtomicU8::new(0) }; PLACES];
static RECORD_FILE: OnceLock<String> = OnceLock::new();

/// Whether the defect of this place is in force.
#[inline]
#[must_use]
pub fn on(place: usize) -> bool {
    match ACTIVE.load(Ordering::Relaxed) {
        UNREAD => first_question(place),
        RECORD => touch(place),
        active => active == place,
    }
}

#[cold]
fn first_question(place: usize) -> bool {
    let from_environment = std::env::var(ACTIVE_VAR).ok().and_then(|number| number.parse().ok());
    if from_environment.is_some() {
        // The first test that fails answers for all of its process.
        std::panic::set_hook(Box::new(|_| std::process::exit(1)));
    }
    let mut active = from_environment.unwrap_or(NONE);
    if let Ok(file) = std::env::var(RECORD_VAR) {
        RECORD_FILE.get_or_init(|| file);
        active = RECORD;
    }
    ACTIVE.store(active, Ordering::SeqCst);
    on(place)
}

fn touch(place: usize) -> bool {
    let first = TOUCHED.get(place).is_some_and(|mark| mark.swap(1, Ordering::Relaxed) == 0);
    if first && let Some(file) = RECORD_FILE.get() {
        let written = OpenOptions::new()
            .append(true)
            .create(true)
            .open(file)
            .and_then(|mut file| file.write_all(format!("{place}\n").as_bytes()));
        // A mark that is lost would count a defect as out of reach of a test.
        if written.is_err() {
            std::process::abort();
        }
    }
    false
}

/// Puts one defect in force, in every thread.
pub fn activate(place: usize) {
    ACTIVE.store(place, Ordering::SeqCst);
}

/// Puts none in force.
pub fn deactivate() {
    ACTIVE.store(NONE, Ordering::SeqCst);
}

/// Runs something and returns the places it came to, in ascending order.
pub fn record(work: impl FnOnce()) -> Vec<usize> {
    for mark in &TOUCHED {
        mark.store(0, Ordering::Relaxed);
    }
    ACTIVE.store(RECORD, Ordering::SeqCst);
    work();
    deactivate();
    (0..)
        .zip(&TOUCHED)
        .filter(|(_, mark)| mark.load(Ordering::Relaxed) != 0)
        .map(|(place, _)| place)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_at_a_time_and_marks_of_all() {
        activate(7);
        assert!(on(7) && !on(8));
        deactivate();
        assert!(!on(7));
        assert_eq!(record(|| assert!(!on(3) && !on(9) && !on(3))), [3, 9]);
    }
}
