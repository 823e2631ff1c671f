//! Where the proofs of strangers are verified.
//!
//! Who controls the input: anybody who reaches the host. What must stay true: verification occupies no thread
//! that serves sessions and at most [`verifications`] others, however many ask; the rest wait, within the time
//! of their own connections, and leave no work behind when they give up.

use std::num::NonZero;
use std::sync::Arc;
use std::thread;

use tokio::sync::Semaphore;

/// Verifications at once for each processor: one that works, one that is ready when it ends.
const PER_PROCESSOR: usize = 2;

/// How many verifications run at once; the process needs a blocking thread for each.
#[must_use]
pub fn verifications() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get) * PER_PROCESSOR
}

/// Verifies. Clones share the limit.
#[derive(Clone)]
pub(crate) struct Verifiers(Arc<Semaphore>);

impl Verifiers {
    pub(crate) fn new() -> Self {
        Self::at_most(verifications())
    }

    fn at_most(limit: usize) -> Self {
        Self(Arc::new(Semaphore::new(limit)))
    }

    /// Runs it once it is its turn, first come first served. `None` if it died.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let place = Arc::clone(&self.0).acquire_owned().await.ok()?;
        // The place goes along: work that is under way keeps it, though its asker may have left.
        let worked = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(place);
            result
        });
        worked.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn v10_beyond_the_limit_nothing_is_begun_and_who_gives_up_leaves_nothing_behind() {
        let verifiers = Verifiers::at_most(1);
        let (open, gate) = mpsc::channel::<()>();
        let (begun, mut begins) = tokio::sync::mpsc::channel(1);
        let first = tokio::spawn({
            let verifiers = verifiers.clone();
            async move {
                let work = move || {
                    begun.blocking_send(()).unwrap();
                    gate.recv().unwrap();
                };
                verifiers.run(work).await
            }
        });
        begins.recv().await.unwrap();
        // Its asker leaves; the work goes on, and so it keeps its place.
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());

        let ran = Arc::new(AtomicBool::new(false));
        let second = {
            let ran = Arc::clone(&ran);
            verifiers.run(move || ran.store(true, Ordering::SeqCst))
        };
        tokio::time::timeout(Duration::ZERO, second).await.unwrap_err();
        assert_eq!(Arc::strong_count(&ran), 1, "it waits nowhere any more");
        assert!(!ran.load(Ordering::SeqCst));

        open.send(()).unwrap();
        assert_eq!(verifiers.run(|| 7).await, Some(7));
    }

    #[tokio::test]
    async fn v10_work_that_dies_gives_its_place_back() {
        let verifiers = Verifiers::at_most(1);
        assert_eq!(verifiers.run(|| panic!("as it may")).await, None::<()>);
        assert_eq!(verifiers.run(|| 7).await, Some(7));
    }
}
