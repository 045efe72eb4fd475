//! The end of a server: what has reached it is answered, what has not goes elsewhere.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::connection_registry::{ConnectionRegistry, Phase};
use super::listener::Listeners;
use super::shutdown::Shutdown;
use super::stream::Socket;

/// The time that an idle connection stays open for a request that was sent before the client could
/// know; longer than a request needs to cross any network that a gateway is on.
const LINGER: Duration = Duration::from_secs(1);
/// The time that aborted connections get to end.
const ABORT_TIMEOUT: Duration = Duration::from_millis(100);

/// The end of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainReport {
    /// Connections that were open at its start and ended by themselves.
    pub finished: usize,
    /// Connections that were aborted at the deadline, or by [`Shutdown::abort`].
    pub aborted: usize,
}

/// Accepts the backlog, closes the listeners, and sees every connection to its end.
pub(super) async fn drain(
    listeners: Listeners,
    registry: &Arc<ConnectionRegistry>,
    spawn: impl Fn(Socket),
    shutdown: &Shutdown,
) -> DrainReport {
    let (started, grace) = (Instant::now(), shutdown.grace());
    // First, so that every answer from here on is its connection's last.
    registry.advance(Phase::Draining);
    listeners.accept_backlog(spawn).await;
    let open = registry.len();
    tracing::info!(
        connections = open,
        seconds = grace.as_secs_f64(),
        "draining, for this many seconds at most"
    );
    tokio::select! {
        biased;
        () = finish(registry, grace.min(LINGER)) => {}
        () = tokio::time::sleep_until(started + grace) => {}
        () = shutdown.aborted() => {}
    }
    let aborted = registry.len();
    registry.advance(Phase::Aborted);
    let _ = timeout(ABORT_TIMEOUT, registry.ended()).await;
    let report = DrainReport { finished: open.saturating_sub(aborted), aborted };
    let DrainReport { finished, aborted } = report;
    tracing::info!(finished, aborted, seconds = started.elapsed().as_secs_f64(), "drained");
    report
}

async fn finish(registry: &ConnectionRegistry, linger: Duration) {
    if timeout(linger, registry.ended()).await.is_err() {
        registry.advance(Phase::Finishing);
        registry.ended().await;
    }
}
