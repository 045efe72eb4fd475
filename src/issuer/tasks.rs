//! Tasks in which requests run to their end, also where whoever asked goes away: a connection that
//! closes, or a deadline that passes, drops the answer and nothing else. So no change of state
//! stops midway, and what was begun is audited and counted.
//!
//! There are only so many at once. Whoever finds no permit is told to come again, before anything
//! was begun.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::error::{Cause, IssueError};

/// Number of requests that are under way at once.
const MAX_TASKS: usize = 1024;
/// Time that a request may wait for a permit.
const PATIENCE: Duration = Duration::from_millis(500);

/// The requests under way.
#[derive(Debug)]
pub struct Tasks {
    tracker: TaskTracker,
    permits: Arc<Semaphore>,
}

impl Tasks {
    pub(super) fn new() -> Self {
        Self::with_permits(MAX_TASKS)
    }

    fn with_permits(most: usize) -> Self {
        Self { tracker: TaskTracker::new(), permits: Arc::new(Semaphore::new(most)) }
    }

    /// Runs `work` to its end. Dropping this future drops what it would have answered.
    ///
    /// # Errors
    /// [`IssueError::Busy`] where too many are under way; then nothing was begun.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, IssueError> {
        let permit = Arc::clone(&self.permits).acquire_owned();
        match tokio::time::timeout(PATIENCE, permit).await {
            Ok(Ok(permit)) => self.spawn(permit, work).await,
            Ok(Err(_)) | Err(_) => Err(IssueError::Busy),
        }
    }

    /// Runs `work` that changes nothing: it never waits for a permit, so that a probe is answered
    /// while everybody else is told to come again.
    ///
    /// # Errors
    /// [`IssueError::Unavailable`] where the process ends.
    pub async fn run_safe<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, IssueError> {
        match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => self.spawn(permit, work).await,
            Err(_) => Ok(work.await),
        }
    }

    async fn spawn<T: Send + 'static>(
        &self,
        permit: OwnedSemaphorePermit,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, IssueError> {
        let work = async move {
            let _permit = permit;
            work.await
        };
        match self.tracker.spawn(work.in_current_span()).await {
            Ok(answer) => Ok(answer),
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            Err(_) => Err(Cause::Stopping.into()),
        }
    }

    /// Number of requests under way.
    pub fn len(&self) -> usize {
        self.tracker.len()
    }

    /// True if none is under way.
    pub fn is_empty(&self) -> bool {
        self.tracker.is_empty()
    }

    /// Waits until none is under way; to be called when nobody asks any more.
    pub async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    /// Work that says when it has begun, and goes on when it is told to.
    fn work() -> (impl Future<Output = u8> + Send, oneshot::Receiver<()>, oneshot::Sender<()>) {
        let (begins, begun) = oneshot::channel();
        let (go_on, told) = oneshot::channel();
        let work = async move {
            begins.send(()).expect("somebody waits");
            told.await.expect("it is told");
            7
        };
        (work, begun, go_on)
    }

    #[tokio::test]
    async fn what_was_begun_ends_though_who_asked_is_gone() {
        let tasks = Tasks::new();
        let (work, begun, go_on) = work();
        let (done, was_done) = oneshot::channel();
        let asked = tasks.run(async move { done.send(work.await) });
        tokio::select! {
            biased;
            _ = asked => panic!("nobody told it to go on"),
            begun = begun => begun.expect("it has begun"),
        }
        go_on.send(()).expect("it is still there");
        assert_eq!(was_done.await, Ok(7));
        tasks.ended().await;
        assert!(tasks.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_place_is_told_so_and_nothing_was_begun() {
        let tasks = Tasks::with_permits(1);
        let (first, begun, go_on) = work();
        let (outcome, ()) = tokio::join!(tasks.run(first), async {
            begun.await.expect("it has begun");
            let refused = tasks.run(async { panic!("it was begun") }).await;
            assert_eq!(refused, Err::<(), _>(IssueError::Busy));
            assert_eq!(tasks.run_safe(async { 8 }).await, Ok(8), "what changes nothing goes on");
            go_on.send(()).expect("it is still there");
        });
        assert_eq!(outcome, Ok(7));
        assert_eq!(tasks.run(async { 9 }).await, Ok(9), "the permit is free again");
    }
}
