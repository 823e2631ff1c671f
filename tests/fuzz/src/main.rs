//! Fuzz targets for every decoder of untrusted bytes, in one binary: linking twenty would take longer than
//! running them. `VOUCHSAFE_FUZZ_TARGET` names the one to run; `scripts/fuzz` runs them all.
//!
//! A target fails when it panics. What a decoder accepts is also encoded again or looked through, where the
//! decoder promises that this works.

#![no_main]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is what a fuzz target fails by")]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

mod attestation;
mod client;
mod log;
mod protocol;
mod storage;

/// A target and its name.
type Target = (&'static str, fn(&[u8]));

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

fn targets() -> impl Iterator<Item = &'static Target> {
    [protocol::TARGETS, log::TARGETS, attestation::TARGETS, storage::TARGETS, client::TARGETS]
        .into_iter()
        .flatten()
}

/// A defect to be found by `scripts/fuzz` before it believes that other targets have none. It takes feedback from
/// the code to get here: four bytes one by one are found at once, all of them together hardly ever.
fn planted(data: &[u8]) {
    let depth = data.iter().zip(b"deep").take_while(|(a, b)| a == b).count();
    if depth == 4 && data.len() == 5 {
        assert!(data[4] == 0, "planted");
    }
}

/// Any verdict will do; only a panic is a finding.
fn ignore<T>(_verdict: T) {}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's answer")]
fn choose() {
    let wanted = std::env::var("VOUCHSAFE_FUZZ_TARGET").unwrap_or_default();
    if wanted == "list" {
        targets().for_each(|(name, _)| println!("{name}"));
        std::process::exit(0);
    }
    if wanted == "planted" {
        TARGET.get_or_init(|| planted);
        return;
    }
    let Some((_, target)) = targets().find(|(name, _)| *name == wanted) else {
        eprintln!("no fuzz target '{wanted}'; VOUCHSAFE_FUZZ_TARGET=list lists them");
        std::process::exit(2);
    };
    TARGET.get_or_init(|| *target);
}

fuzz_target!(init: choose(), |data: &[u8]| {
    if let Some(target) = TARGET.get() {
        target(data);
    }
});
