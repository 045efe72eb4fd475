//! The threads that verify tokens which are not in the cache.
//!
//! A check of a signature takes the processor for some hundred times as long as an answer from memory. Done by the tasks
//! that answer, a flood of new or bad tokens would make all others wait. Here it has threads of a lower priority and a
//! bounded queue, in which every client has his turn, so that a new client waits for no more than one token of each other.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use zeroize::Zeroizing;

use super::denial::DenialCode;
use super::metrics::{GateMetrics, VerificationOutcome};
use super::requester::{Origin, Requester};
use crate::token::{Verified, Verifier};
use crate::wire::worker_pool::{Threads, WorkerPool};

/// The most tokens that wait; their copies take MAX_TOKEN_BYTES each, at most.
const CAPACITY: usize = 1_024;
/// The longest time from the request to the end of the check: also where other processes leave next to no time to these
/// threads, a new client had rather wait than be refused.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The threads, and what waits for them.
pub struct VerificationPool {
    workers: WorkerPool<Requester, ()>,
    longest_wait: Duration,
    metrics: GateMetrics,
}

impl std::fmt::Debug for VerificationPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerificationPool").finish_non_exhaustive()
    }
}

impl VerificationPool {
    /// Starts as many threads as there are cores.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(metrics: GateMetrics) -> io::Result<Self> {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_threads(count, CAPACITY, LONGEST_WAIT, metrics)
    }

    /// Starts so many threads, with room for so many tokens that wait for so long.
    pub(super) fn with_threads(
        count: usize,
        capacity: usize,
        longest_wait: Duration,
        metrics: GateMetrics,
    ) -> io::Result<Self> {
        let threads = Threads { name: "verify", count };
        Ok(Self { workers: WorkerPool::start(threads, capacity)?, longest_wait, metrics })
    }

    /// Verifies a token that `origin` asks about, in his turn. Nothing is done for those who go away before it.
    ///
    /// # Errors
    /// The reason why it is not good; [`DenialCode::VerificationBusy`] where too many wait, or it takes too long.
    pub(super) async fn verify(
        &self,
        verifier: &Arc<Verifier>,
        token: &str,
        origin: &Origin<'_>,
    ) -> Result<Verified, DenialCode> {
        let (verifier, token) = (Arc::clone(verifier), Zeroizing::new(token.to_owned()));
        let checked = self.workers.run(origin.requester(), move |()| verifier.verify(&token));
        let (outcome, answer) = match timeout(self.longest_wait, checked).await {
            Ok(Ok(answer)) => (VerificationOutcome::Done, answer.map_err(DenialCode::from)),
            Ok(Err(_)) => (VerificationOutcome::Refused, Err(DenialCode::VerificationBusy)),
            Err(_) => (VerificationOutcome::Late, Err(DenialCode::VerificationBusy)),
        };
        self.metrics.verified(outcome);
        answer
    }

    /// The longest wait for an answer.
    pub(super) fn longest_wait(&self) -> Duration {
        self.longest_wait
    }

    /// The number of tokens that wait now.
    pub(super) fn waiting(&self) -> usize {
        self.workers.waiting()
    }
}

#[cfg(test)]
impl VerificationPool {
    /// Holds the only thread up until the sender goes.
    pub(super) fn hold_up(&self) -> std::sync::mpsc::Sender<()> {
        use futures_util::FutureExt as _;

        let (go, gone) = std::sync::mpsc::channel();
        let (started, has_started) = std::sync::mpsc::channel();
        let work = self.workers.run(Requester::Connection(u64::MAX), move |()| {
            let _ = started.send(());
            let _ = gone.recv();
        });
        let mut work = Box::pin(work);
        assert!((&mut work).now_or_never().is_none());
        has_started.recv().expect("the thread took it");
        go
    }
}
