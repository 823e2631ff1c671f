//! Lets the core do what is due, when it is due.

use std::time::Duration;

use crate::clock::Clock;
use crate::vault::{Gone, Vault};

/// Longest time between two looks: the clock may have been set forward meanwhile.
const RECHECK: Duration = Duration::from_secs(30);
/// Pause after a step that could not be done.
const RETRY: Duration = Duration::from_secs(1);

/// Ticks for as long as it is polled. Returns never: whoever commits decides when a vault ends.
pub(crate) async fn run(vault: &Vault, clock: &Clock) -> std::convert::Infallible {
    loop {
        let now = clock.now();
        let ticked = vault.with(|core, ports| {
            let due = core.next_tick() <= now;
            let done = if due { core.tick(now, ports) } else { Ok(()) };
            (due, done, core.next_tick())
        });
        let pause = match ticked {
            Err(Gone) => return std::future::pending().await,
            Ok((_, Err(code), _)) => {
                tracing::warn!(reason = %code, "what is due could not be done");
                RETRY
            }
            Ok((true, Ok(()), next)) => {
                vault.wake();
                clock.until(next).min(RECHECK)
            }
            Ok((false, Ok(()), next)) => clock.until(next).min(RECHECK),
        };
        if pause.is_zero() {
            // Requests come between two steps.
            tokio::task::yield_now().await;
        } else {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = vault.earlier() => {}
            }
        }
    }
}
