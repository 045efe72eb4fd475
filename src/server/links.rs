//! What is known of every open connection: how far it may still go, and whether it moves.
//!
//! A connection counts its requests in its own [`Link`]; the sweep reads the counts now and then.
//! So silence is noticed without a timer a request or even a connection, and the drain reaches
//! every connection through the same few bytes.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::TaskTracker;

/// How many looks of the sweep make up a timeout: the last quarter is its error.
const LOOKS: u32 = 4;

/// How far a connection may still go. It only ever grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Phase {
    /// As long as it likes.
    Serve,
    /// To the next answer, which says so.
    Drain,
    /// To the end of the request in flight.
    Finish,
    /// No further.
    Cut,
}

/// The part of a connection that others see.
#[derive(Debug)]
pub(super) struct Link {
    phase: AtomicU8,
    waker: Mutex<Option<Waker>>,
    started: AtomicU32,
    ended: AtomicU32,
    unread: AtomicBool,
}

impl Link {
    fn new(phase: Phase) -> Self {
        Self {
            phase: AtomicU8::new(phase as u8),
            waker: Mutex::new(None),
            started: AtomicU32::new(0),
            ended: AtomicU32::new(0),
            unread: AtomicBool::new(false),
        }
    }

    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Serve,
            1 => Phase::Drain,
            2 => Phase::Finish,
            _ => Phase::Cut,
        }
    }

    fn advance(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::Release);
        // Taken after the store: a task that registers later sees the phase by itself.
        if let Some(waker) = lock(&self.waker).as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Whether the next answer should be the last.
    pub(super) fn is_draining(&self) -> bool {
        self.phase.load(Ordering::Relaxed) != Phase::Serve as u8
    }

    /// Notes that a request's body was left in the socket.
    pub(super) fn leave_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    /// Whether bytes of an unread body may still come.
    pub(super) fn has_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    /// Counts a request from here until the guard falls.
    pub(super) fn start(self: &Arc<Self>) -> InFlight {
        self.started.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// Drives `future`, which is told of every new phase before it is polled on. `None` once the
    /// phase reaches `until`, where the future is dropped.
    pub(super) async fn drive<F: Future>(
        &self,
        mut future: Pin<&mut F>,
        until: Phase,
        mut tell: impl FnMut(Pin<&mut F>, Phase),
    ) -> Option<F::Output> {
        let mut told = Phase::Serve;
        let mut known: Option<Waker> = None;
        poll_fn(|cx| {
            if !known.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                known = Some(cx.waker().clone());
                lock(&self.waker).clone_from(&known);
            }
            let phase = self.phase();
            if phase >= until {
                return Poll::Ready(None);
            }
            if phase > told {
                told = phase;
                tell(future.as_mut(), phase);
            }
            future.as_mut().poll(cx).map(Some)
        })
        .await
    }
}

/// A request in flight.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Link>);

impl InFlight {
    pub(super) fn link(&self) -> &Link {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
        if std::thread::panicking() {
            tracing::error!("the service panicked; this request goes unanswered");
        }
    }
}

/// All open connections.
#[derive(Debug)]
pub(super) struct Links {
    table: Mutex<Table>,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct Table {
    phase: Phase,
    next: u64,
    entries: HashMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    link: Arc<Link>,
    /// Starts and ends of requests at the last look, and for how many looks they have not moved.
    seen: (u32, u32),
    quiet: u32,
}

impl Links {
    pub(super) fn new() -> Arc<Self> {
        let table = Table { phase: Phase::Serve, next: 0, entries: HashMap::new() };
        Arc::new(Self { table: Mutex::new(table), tasks: TaskTracker::new() })
    }

    /// Runs a connection in a task of its own, listed until it ends.
    pub(super) fn spawn<F>(
        self: &Arc<Self>,
        permit: Option<OwnedSemaphorePermit>,
        run: impl FnOnce(Arc<Link>) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let (link, listed) = self.list(permit);
        let connection = run(link);
        self.tasks.spawn(async move {
            let _listed = listed;
            connection.await;
        });
    }

    fn list(self: &Arc<Self>, permit: Option<OwnedSemaphorePermit>) -> (Arc<Link>, Listed) {
        let mut table = lock(&self.table);
        let (id, link) = (table.next, Arc::new(Link::new(table.phase)));
        table.next += 1;
        table.entries.insert(id, Entry { link: Arc::clone(&link), seen: (0, 0), quiet: 0 });
        (link, Listed { links: Arc::clone(self), id, _permit: permit })
    }

    /// How many connections are open.
    pub(super) fn len(&self) -> usize {
        lock(&self.table).entries.len()
    }

    /// Moves every connection, and each that comes later, to `phase`.
    pub(super) fn advance(&self, phase: Phase) {
        let mut table = lock(&self.table);
        table.phase = table.phase.max(phase);
        table.entries.values().for_each(|entry| entry.link.advance(phase));
    }

    /// Waits until every connection has ended. No new one may be spawned after.
    pub(super) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Cuts connections that are silent for `idle`, and requests unanswered for `request`, for
    /// as long as it is polled.
    pub(super) async fn sweep(&self, idle: Duration, request: Duration) {
        let period = (idle.min(request) / LOOKS).max(Duration::from_millis(1));
        let (idle, request) = (looks(idle, period), looks(request, period));
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let mut table = lock(&self.table);
            let silent = table.entries.values_mut().filter_map(|entry| {
                let quiet = entry.look();
                let allowed = if entry.is_busy() { request } else { idle };
                (quiet > allowed).then_some(&entry.link)
            });
            let cut = silent.map(|link| link.advance(Phase::Cut)).count();
            drop(table);
            if cut > 0 {
                tracing::debug!(connections = cut, "closed connections that were silent too long");
            }
        }
    }
}

impl Entry {
    /// Counts the looks since the last one that saw a request start or end.
    fn look(&mut self) -> u32 {
        let now =
            (self.link.started.load(Ordering::Relaxed), self.link.ended.load(Ordering::Relaxed));
        self.quiet = if now == self.seen { self.quiet.saturating_add(1) } else { 0 };
        self.seen = now;
        self.quiet
    }

    fn is_busy(&self) -> bool {
        self.seen.0 != self.seen.1
    }
}

/// Takes a connection off the list when its task ends, however it ends.
#[derive(Debug)]
struct Listed {
    links: Arc<Links>,
    id: u64,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        lock(&self.links.table).entries.remove(&self.id);
    }
}

fn looks(timeout: Duration, period: Duration) -> u32 {
    u32::try_from(timeout.as_nanos() / period.as_nanos().max(1)).unwrap_or(u32::MAX)
}

/// Nothing panics while it holds one of these locks, so a poisoned one is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
