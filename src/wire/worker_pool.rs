//! Threads for work that takes the processor for long: a fixed number, at a low priority, behind a queue that is bounded
//! and fair.
//!
//! They are not tokio's blocking pool, which others need and which grows. The system gives them little time while
//! something else wants it, so that what is answered from memory goes on under any flood of such work.

use std::hash::Hash;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::fair_queue::FairQueue;

/// The time for which an idle thread keeps its memory for the next piece of work.
const KEEP_MEMORY: Duration = Duration::from_secs(10);

/// The nice value of the threads: while other tasks want the whole core, about a tenth of it is left for them. A lower
/// priority would keep new clients and logins out for as long as old clients are busy.
pub(crate) const NICE: i32 = 10;

/// The threads of a pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Threads {
    /// The name of each, before its number.
    pub(crate) name: &'static str,
    /// Their number, at least one.
    pub(crate) count: usize,
}

/// The threads, and their queue. Each piece of work has an owner, who has his turn; each thread has a memory `M`, which
/// one piece of work leaves to the next. Dropping the pool ends its threads, after the work under way.
pub(crate) struct WorkerPool<O, M> {
    queue: Arc<Queue<O, M>>,
}

/// The reason why a piece of work was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotDone {
    /// Too much waits; some of others, of whom less waits, may have taken its place.
    #[error("too much work waits")]
    Busy,
    /// It panicked.
    #[error("the work stopped")]
    Stopped,
}

struct Queue<O, M> {
    state: Mutex<State<O, M>>,
    changed: Condvar,
}

struct State<O, M> {
    waiting: FairQueue<O, Box<dyn Job<M>>>,
    is_closed: bool,
}

/// A piece of work, and the caller that waits for it.
trait Job<M>: Send {
    fn run(self: Box<Self>, memory: &mut M);
    fn refuse(self: Box<Self>);
    /// Returns whether the caller went away.
    fn is_abandoned(&self) -> bool;
}

struct Call<W, T> {
    work: W,
    answer: oneshot::Sender<Result<T, NotDone>>,
}

impl<M, T: Send, W: FnOnce(&mut M) -> T + Send> Job<M> for Call<W, T> {
    fn run(self: Box<Self>, memory: &mut M) {
        let done = (self.work)(memory);
        let _nobody_waits = self.answer.send(Ok(done));
    }

    fn refuse(self: Box<Self>) {
        let _nobody_waits = self.answer.send(Err(NotDone::Busy));
    }

    fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }
}

impl<O, M> WorkerPool<O, M>
where
    O: Copy + Eq + Hash + Send + 'static,
    M: Default + 'static,
{
    /// Starts the threads, with room for `capacity` waiting pieces of work.
    pub(crate) fn start(threads: Threads, capacity: usize) -> io::Result<Self> {
        let state = State { waiting: FairQueue::new(capacity), is_closed: false };
        let queue = Arc::new(Queue { state: Mutex::new(state), changed: Condvar::new() });
        // Where a thread cannot be started, the others end.
        let pool = Self { queue };
        for number in 0..threads.count.max(1) {
            let queue = Arc::clone(&pool.queue);
            let thread = std::thread::Builder::new().name(format!("{}-{number}", threads.name));
            thread.spawn(move || serve(&queue, threads))?;
        }
        Ok(pool)
    }

    /// Runs `work` of `owner` on one of the threads. Where the caller goes away before it begins, it never does.
    ///
    /// # Errors
    /// [`NotDone`].
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        owner: O,
        work: impl FnOnce(&mut M) -> T + Send + 'static,
    ) -> Result<T, NotDone> {
        let (answer, awaited) = oneshot::channel();
        self.queue.push(owner, Box::new(Call { work, answer }))?;
        awaited.await.unwrap_or(Err(NotDone::Stopped))
    }
}

impl<O: Copy + Eq + Hash, M> WorkerPool<O, M> {
    /// The number of pieces of work that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.state.lock().waiting.len()
    }

    /// Returns whether no more may wait now.
    pub(crate) fn is_full(&self) -> bool {
        let mut state = self.queue.state.lock();
        state.make_room();
        state.waiting.is_full()
    }
}

impl<O, M> Drop for WorkerPool<O, M> {
    fn drop(&mut self) {
        self.queue.state.lock().is_closed = true;
        self.queue.changed.notify_all();
    }
}

impl<O: Copy + Eq + Hash, M> Queue<O, M> {
    fn push(&self, owner: O, job: Box<dyn Job<M>>) -> Result<(), NotDone> {
        let mut state = self.state.lock();
        state.make_room();
        let dropped = state.waiting.push(owner, job).map_err(|_| NotDone::Busy)?;
        drop(state);
        self.changed.notify_one();
        if let Some(job) = dropped {
            job.refuse();
        }
        Ok(())
    }

    /// The next job, or none within `timeout`; `Err` once the queue is closed.
    fn next(&self, timeout: Option<Duration>) -> Result<Option<Box<dyn Job<M>>>, Closed> {
        let mut state = self.state.lock();
        let is_idle = |state: &mut State<O, M>| state.waiting.len() == 0 && !state.is_closed;
        if let Some(timeout) = timeout {
            self.changed.wait_while_for(&mut state, is_idle, timeout);
        } else {
            self.changed.wait_while(&mut state, is_idle);
        }
        if state.is_closed { Err(Closed) } else { Ok(state.waiting.pop()) }
    }
}

struct Closed;

impl<O: Copy + Eq + Hash, M> State<O, M> {
    /// Drops the jobs of callers that went away, where there is no room otherwise.
    fn make_room(&mut self) {
        if self.waiting.is_full() {
            self.waiting.retain(|job| !job.is_abandoned());
        }
    }
}

/// The loop of a thread.
fn serve<O: Copy + Eq + Hash, M: Default>(queue: &Queue<O, M>, threads: Threads) {
    lower_priority(threads.name);
    let (mut memory, mut is_used) = (M::default(), false);
    loop {
        match queue.next(is_used.then_some(KEEP_MEMORY)) {
            Err(Closed) => return,
            Ok(None) => (memory, is_used) = (M::default(), false),
            Ok(Some(job)) if job.is_abandoned() => {}
            Ok(Some(job)) => {
                is_used = true;
                // Losing a thread for ever would be worse. The caller gets an error.
                if catch_unwind(AssertUnwindSafe(|| job.run(&mut memory))).is_err() {
                    tracing::error!(pool = threads.name, "a piece of work panicked");
                }
                // On one core nothing else waits longer than for one piece of work.
                std::thread::yield_now();
            }
        }
    }
}

/// On Linux a priority belongs to a thread; elsewhere it would be the whole process's.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn lower_priority(pool: &str) {
    let this = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(this), NICE) {
        tracing::warn!(%error, pool, "a thread runs at the priority of everything else");
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn lower_priority(_: &str) {}

#[cfg(test)]
mod tests;
