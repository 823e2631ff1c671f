//! A sign of life on standard error for what takes longer than a second; on terminals only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Nothing is shown for what is done by then.
const PATIENCE: Duration = Duration::from_secs(1);
const FRAME: Duration = Duration::from_millis(120);

/// Waits for `work`; after a second it shows what is being waited for.
pub(crate) async fn during<T>(what: &str, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        done = &mut work => return done,
        () = tokio::time::sleep(PATIENCE) => {}
    }
    // Draws on standard error, and only if that is a terminal.
    let bar = ProgressBar::new_spinner().with_message(what.to_owned());
    bar.set_style(ProgressStyle::default_spinner());
    bar.enable_steady_tick(FRAME);
    let done = work.await;
    bar.finish_and_clear();
    done
}
