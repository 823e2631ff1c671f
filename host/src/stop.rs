//! Telling a task to end.

use tokio::sync::watch;

/// Returns once the value is true, or once nobody can set it any more.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        tracing::debug!("the host is gone; stopping");
    }
}
