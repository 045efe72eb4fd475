//! The threads that hash: a fixed number, at the lowest priority, behind a bounded queue.
//!
//! They are not tokio's blocking pool, which others need and which grows. The system gives them
//! only time that nothing else needs, so that the gate goes on answering under a flood of logins.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::PasswordError;
use super::hash::Memory;

/// The time for which an idle thread keeps its memory for the next hash.
const KEEP_MEMORY: Duration = Duration::from_secs(10);

/// The lowest priority that a thread can have.
#[cfg(any(target_os = "linux", target_os = "android"))]
const LOWEST_PRIORITY: i32 = 19;

/// The threads, and their queue.
pub(super) struct Workers {
    pub(super) queue: Arc<Queue>,
}

/// A piece of work, and the caller that waits for it.
struct Job {
    work: Box<dyn FnOnce(&mut Memory) + Send>,
    is_abandoned: Box<dyn Fn() -> bool + Send>,
}

pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// The most jobs that may wait.
    capacity: usize,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    is_closed: bool,
}

impl Workers {
    /// Starts `threads` threads, at least one, with room for `capacity` waiting jobs, at least one.
    pub(super) fn start(threads: usize, capacity: usize) -> io::Result<Self> {
        let (state, changed) = (Mutex::default(), Condvar::new());
        let workers = Self { queue: Arc::new(Queue { state, changed, capacity: capacity.max(1) }) };
        for number in 0..threads.max(1) {
            let queue = Arc::clone(&workers.queue);
            let thread = std::thread::Builder::new().name(format!("hash-{number}"));
            thread.spawn(move || work(&queue))?;
        }
        Ok(workers)
    }

    /// Runs `work` on one of the threads. Where the caller goes away before it begins, it never
    /// does.
    ///
    /// # Errors
    /// [`PasswordError::Busy`] where too many wait.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let (answer, awaited) = oneshot::channel();
        let answer = Arc::new(Mutex::new(Some(answer)));
        let watched = Arc::clone(&answer);
        self.queue.push(Job {
            work: Box::new(move |memory| {
                let done = work(memory);
                if let Some(answer) = lock(&answer).take() {
                    let _nobody_waits = answer.send(done);
                }
            }),
            is_abandoned: Box::new(move || {
                lock(&watched).as_ref().is_none_or(oneshot::Sender::is_closed)
            }),
        })?;
        // A panic in `work` drops the sender.
        awaited.await.map_err(|_| PasswordError::Failed("the hashing stopped"))
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let mut state = lock(&self.queue.state);
        state.is_closed = true;
        state.waiting.clear();
        drop(state);
        self.queue.changed.notify_all();
    }
}

impl Queue {
    /// The number of waiting jobs.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        lock(&self.state).waiting.len()
    }

    /// Returns whether no more jobs may wait now.
    pub(super) fn is_full(&self) -> bool {
        self.has_no_room(&mut lock(&self.state))
    }

    fn has_no_room(&self, state: &mut State) -> bool {
        if state.waiting.len() >= self.capacity {
            // Jobs of callers that went away make room at once.
            state.waiting.retain(|job| !(job.is_abandoned)());
        }
        state.waiting.len() >= self.capacity
    }

    fn push(&self, job: Job) -> Result<(), PasswordError> {
        let mut state = lock(&self.state);
        if self.has_no_room(&mut state) {
            return Err(PasswordError::Busy);
        }
        state.waiting.push_back(job);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// The next job, or none within `timeout`; `Err` once the queue is closed.
    fn next(&self, timeout: Option<Duration>) -> Result<Option<Job>, Closed> {
        let state = lock(&self.state);
        let is_idle = |state: &mut State| state.waiting.is_empty() && !state.is_closed;
        let mut state = if let Some(timeout) = timeout {
            let waited = self.changed.wait_timeout_while(state, timeout, is_idle);
            waited.unwrap_or_else(PoisonError::into_inner).0
        } else {
            let waited = self.changed.wait_while(state, is_idle);
            waited.unwrap_or_else(PoisonError::into_inner)
        };
        if state.is_closed { Err(Closed) } else { Ok(state.waiting.pop_front()) }
    }
}

struct Closed;

/// The loop of a thread.
fn work(queue: &Queue) {
    lower_priority();
    let mut memory = Memory::new();
    loop {
        let timeout = (!memory.is_empty()).then_some(KEEP_MEMORY);
        match queue.next(timeout) {
            Err(Closed) => return,
            Ok(None) => memory = Memory::new(),
            Ok(Some(job)) if (job.is_abandoned)() => {}
            Ok(Some(job)) => {
                let work = std::panic::AssertUnwindSafe(|| (job.work)(&mut memory));
                // Losing a thread for ever would be worse. The caller gets an error.
                if std::panic::catch_unwind(work).is_err() {
                    tracing::error!("hashing a password panicked");
                }
            }
        }
    }
}

/// On Linux a priority belongs to a thread; elsewhere it would be the whole process's.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn lower_priority() {
    let lowered =
        rustix::process::setpriority_process(Some(rustix::thread::gettid()), LOWEST_PRIORITY);
    if let Err(error) = lowered {
        tracing::warn!(%error, "passwords are hashed at the priority of everything else");
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn lower_priority() {}

/// Locks a mutex; code that holds one of these cannot panic.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
