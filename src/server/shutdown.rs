//! The handle that ends a server, and the signals that use it.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// Ends every server that was given a clone of it, first politely, then at once.
#[derive(Clone, Debug)]
pub struct Shutdown {
    begun: CancellationToken,
    aborted: CancellationToken,
    grace: Duration,
}

impl Shutdown {
    /// A handle whose drain takes at most `grace`.
    pub fn new(grace: Duration) -> Self {
        Self { begun: CancellationToken::new(), aborted: CancellationToken::new(), grace }
    }

    /// Starts the drain: no new connections, the open ones are answered and closed. Idempotent.
    pub fn begin(&self) {
        self.begun.cancel();
    }

    /// Ends at once: what is still open is aborted. Idempotent.
    pub fn abort(&self) {
        self.aborted.cancel();
        self.begun.cancel();
    }

    /// The longest time of the drain.
    pub fn grace(&self) -> Duration {
        self.grace
    }

    /// True once the drain has begun; readiness answers "no" from then on.
    pub fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Waits for [`Shutdown::begin`] or [`Shutdown::abort`].
    pub fn begun(&self) -> WaitForCancellationFuture<'_> {
        self.begun.cancelled()
    }

    /// Waits for [`Shutdown::abort`].
    pub fn aborted(&self) -> WaitForCancellationFuture<'_> {
        self.aborted.cancelled()
    }
}

/// Turns SIGTERM and SIGINT into a drain, and a second one of them into the end.
///
/// Returns after the second. An error means that the handlers could not be installed.
pub async fn signals(shutdown: Shutdown) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut next = async || {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    };
    let name = next().await;
    tracing::info!(signal = name, "shutting down; the same again ends at once");
    shutdown.begin();
    let name = next().await;
    tracing::warn!(signal = name, "ending at once");
    shutdown.abort();
    Ok(())
}
