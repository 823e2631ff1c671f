//! Time, and what follows from many of them.

use std::time::Duration;

use anyhow::Context;
use rustix::time::{ClockId, clock_gettime};

use crate::report::Measured;

/// Rounds in which a figure and its primitive take turns, so that both see the same neighbours.
const ROUNDS: u32 = 9;

/// Processor time of this thread: what a core does in it is not changed by who else runs on the machine.
pub fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let secs = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(now.tv_nsec).unwrap_or_default();
    Duration::new(secs, nanos)
}

/// A figure and its primitive, in seconds of processor time for one.
pub struct Paired {
    pub figure_secs: f64,
    pub primitive_secs: f64,
    /// Median over rounds of primitive to figure.
    pub ratio: f64,
}

/// Runs both in turns for about `budget` in all.
pub fn paired(
    budget: Duration,
    mut figure: impl FnMut() -> anyhow::Result<()>,
    mut primitive: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Paired> {
    let slice = budget / (2 * ROUNDS);
    let (mut figures, mut primitives, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    // Caches, tables and clock rates settle first.
    once(slice, &mut figure)?;
    once(slice, &mut primitive)?;
    for _ in 0..ROUNDS {
        let (figure, primitive) = (once(slice, &mut figure)?, once(slice, &mut primitive)?);
        figures.push(figure);
        primitives.push(primitive);
        ratios.push(primitive / figure);
    }
    Ok(Paired {
        figure_secs: quantile(&mut figures, 0.5)?,
        primitive_secs: quantile(&mut primitives, 0.5)?,
        ratio: quantile(&mut ratios, 0.5)?,
    })
}

/// Seconds for one call, over `slice`.
fn once(slice: Duration, call: &mut impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let started = cpu();
    let mut calls = 0u32;
    loop {
        for _ in 0..8 {
            call()?;
        }
        calls += 8;
        let taken = cpu() - started;
        if taken >= slice {
            return Ok(taken.as_secs_f64() / f64::from(calls));
        }
    }
}

/// The value below which a share of all lies.
pub fn quantile(values: &mut [f64], share: f64) -> anyhow::Result<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    let at = (last as f64 * share).round() as usize;
    values.get(at).copied().context("nothing was measured")
}

/// A distribution of seconds; its value is the median.
pub fn distribution(mut secs: Vec<f64>) -> anyhow::Result<Measured> {
    let (p50, p99) = (quantile(&mut secs, 0.5)?, quantile(&mut secs, 0.99)?);
    Ok(Measured { value: p50, p50_secs: Some(p50), p99_secs: Some(p99) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let mut values: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        assert_eq!(quantile(&mut values, 0.5).unwrap(), 50.0);
        assert_eq!(quantile(&mut values, 0.99).unwrap(), 99.0);
        assert!(quantile(&mut [], 0.5).is_err());
    }
}
