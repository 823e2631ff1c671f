//! Kill -9 under writers, 60 times; `scripts/crash N` runs any number.

use vouchsafe_tests::crash;

/// Kills. `VOUCHSAFE_CRASH_CYCLES` sets another number.
const CYCLES: u64 = 60;

/// H4: no acknowledged write is lost or torn, and the tree still verifies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h4_no_acknowledged_write_is_lost_to_kills() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let cycles = std::env::var("VOUCHSAFE_CRASH_CYCLES").ok().and_then(|text| text.parse().ok());
    let cycles = cycles.unwrap_or(CYCLES);
    let seed = rand::random();
    println!("{cycles} kills, seed {seed}");
    let tally = crash::run(dir.path(), cycles, seed, |_, _| {}).await;
    let tally = match tally {
        Ok(tally) => tally,
        Err(error) => {
            let kept = dir.keep();
            return Err(error.context(format!("seed {seed}; state and logs are in {}", kept.display())));
        }
    };
    assert_eq!(tally.cycles, cycles);
    assert!(tally.acknowledged >= cycles && tally.leaves >= tally.acknowledged, "{tally:?}");
    Ok(())
}
