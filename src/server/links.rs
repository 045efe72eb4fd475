//! What is known of every open connection: how far it may still go, and whether it moves.
//!
//! A connection counts its requests in its own [`Link`]; the sweep reads the counts now and then.
//! So silence is noticed without a timer a request or even a connection, and the drain reaches
//! every connection through the same few bytes.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::TaskTracker;

use super::heads::{HeadBudget, HeadShare};

/// How many looks of the sweep make up a timeout: the last quarter is its error.
const LOOKS: u32 = 4;

/// What an HTTP/2 connection reads at once, before the requests in it are looked at.
const READ_AT_ONCE: usize = 32 << 10;

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
    /// What is held of the budget of unfinished heads.
    share: HeadShare,
    /// The memory of the heads in flight, and how many of them bring a body; HTTP/2's alone.
    heads: AtomicUsize,
    bodies: AtomicU32,
    /// What may still be read before the connection's task is polled again; for HTTP/2 alone.
    readable: AtomicUsize,
}

impl Link {
    fn new(phase: Phase, heads: &Arc<HeadBudget>) -> Self {
        Self {
            share: HeadShare::new(heads),
            phase: AtomicU8::new(phase as u8),
            waker: Mutex::new(None),
            started: AtomicU32::new(0),
            ended: AtomicU32::new(0),
            unread: AtomicBool::new(false),
            heads: AtomicUsize::new(0),
            bodies: AtomicU32::new(0),
            readable: AtomicUsize::new(READ_AT_ONCE),
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
    pub(super) fn start_http1(self: &Arc<Self>) -> InFlight {
        self.started.fetch_add(1, Ordering::Relaxed);
        InFlight { link: Arc::clone(self), stream: None }
    }

    /// The same, with the memory of its head, and whether it brings a body.
    pub(super) fn start_http2(self: &Arc<Self>, head: usize, has_body: bool) -> InFlight {
        self.started.fetch_add(1, Ordering::Relaxed);
        let bodies = u32::from(has_body);
        self.heads.fetch_add(head, Ordering::Relaxed);
        self.bodies.fetch_add(bodies, Ordering::Relaxed);
        InFlight { link: Arc::clone(self), stream: Some((head, bodies)) }
    }

    /// What is held of the budget of unfinished heads.
    pub(super) fn share(&self) -> &HeadShare {
        &self.share
    }

    /// Requests that have started, and that have ended.
    pub(super) fn requests(&self) -> (u32, u32) {
        (self.started.load(Ordering::Relaxed), self.ended.load(Ordering::Relaxed))
    }

    /// The memory of the heads in flight, and how many of them bring a body.
    pub(super) fn in_flight(&self) -> (usize, u32) {
        (self.heads.load(Ordering::Relaxed), self.bodies.load(Ordering::Relaxed))
    }

    /// Whether more may be read before the requests that came are looked at.
    pub(super) fn is_readable(&self) -> bool {
        self.readable.load(Ordering::Relaxed) > 0
    }

    /// So much was read.
    pub(super) fn has_read(&self, bytes: usize) {
        // The connection's own task alone comes here.
        let left = self.readable.load(Ordering::Relaxed).saturating_sub(bytes);
        self.readable.store(left, Ordering::Relaxed);
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
            self.readable.store(READ_AT_ONCE, Ordering::Relaxed);
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
pub(super) struct InFlight {
    link: Arc<Link>,
    /// In HTTP/2: the memory of its head, and how many bodies it brings.
    stream: Option<(usize, u32)>,
}

impl InFlight {
    pub(super) fn link(&self) -> &Link {
        &self.link
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.link.ended.fetch_add(1, Ordering::Relaxed);
        match self.stream {
            None => {
                // Giving back cannot fail.
                let _ = self.link.share.hold(0);
            }
            Some((head, bodies)) => {
                self.link.heads.fetch_sub(head, Ordering::Relaxed);
                self.link.bodies.fetch_sub(bodies, Ordering::Relaxed);
            }
        }
        if std::thread::panicking() {
            tracing::error!("the service panicked; this request goes unanswered");
        }
    }
}

/// All open connections.
#[derive(Debug)]
pub(super) struct Links {
    heads: Arc<HeadBudget>,
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
    /// None yet; their unfinished heads share `heads`.
    pub(super) fn new(heads: Arc<HeadBudget>) -> Arc<Self> {
        let table = Table { phase: Phase::Serve, next: 0, entries: HashMap::new() };
        Arc::new(Self { heads, table: Mutex::new(table), tasks: TaskTracker::new() })
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
        let (id, link) = (table.next, Arc::new(Link::new(table.phase, &self.heads)));
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
        let now = self.link.requests();
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
