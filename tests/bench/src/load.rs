//! Closed-loop load: every session asks, waits for the answer, and asks again.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::clock::quantile;
use crate::report::Measured;

/// What one session, or many, saw in one round.
#[derive(Default)]
pub struct Round {
    /// Seconds of every request.
    pub latencies: Vec<f64>,
    pub took: Duration,
}

impl Round {
    /// Answers per second.
    pub fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.took.as_secs_f64()
    }
}

/// Runs all loops at once and puts together what they saw.
pub async fn together(
    loops: impl IntoIterator<Item = impl Future<Output = anyhow::Result<Vec<f64>>> + Send + 'static>,
) -> anyhow::Result<Round> {
    let started = Instant::now();
    let mut running: JoinSet<anyhow::Result<Vec<f64>>> = loops.into_iter().collect();
    let mut latencies = Vec::new();
    while let Some(done) = running.join_next().await {
        latencies.extend(done??);
    }
    Ok(Round { latencies, took: started.elapsed() })
}

/// Asks until `until`; gives the seconds that each answer took.
pub async fn ask_until<F>(until: Instant, mut ask: impl FnMut() -> F) -> anyhow::Result<Vec<f64>>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let mut latencies = Vec::new();
    let mut now = Instant::now();
    while now < until {
        ask().await?;
        let after = Instant::now();
        latencies.push((after - now).as_secs_f64());
        now = after;
    }
    Ok(latencies)
}

/// The median rate of some rounds, and the latencies of all of them.
pub fn summary(rounds: &[Round]) -> anyhow::Result<Measured> {
    let mut rates: Vec<f64> = rounds.iter().map(Round::rate).collect();
    let mut latencies: Vec<f64> = rounds.iter().flat_map(|round| round.latencies.iter().copied()).collect();
    Ok(Measured {
        value: quantile(&mut rates, 0.5)?,
        p50_secs: Some(quantile(&mut latencies, 0.5)?),
        p99_secs: Some(quantile(&mut latencies, 0.99)?),
    })
}

/// The median over rounds of figure to primitive.
pub fn ratio(figures: &[Round], primitives: &[Round]) -> anyhow::Result<f64> {
    let pairs = figures.iter().zip(primitives);
    let mut ratios: Vec<f64> = pairs.map(|(figure, primitive)| figure.rate() / primitive.rate()).collect();
    quantile(&mut ratios, 0.5)
}
