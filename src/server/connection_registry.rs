//! The registry of open connections: the phase of each, and whether it is idle.
//!
//! A connection counts its requests in its own [`ConnectionState`]; the sweep reads the counts now
//! and then. So an idle connection is noticed without a timer a request or even a connection, and
//! the drain reaches every connection through the same few bytes.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::TaskTracker;

use crate::wire::budget::{Budget, Reservation};

/// The number of sweeps in one timeout: the last quarter is its error.
const SWEEPS_PER_TIMEOUT: u32 = 4;

/// The bytes that an HTTP/2 connection reads before the requests in them are looked at.
const READ_AT_ONCE: usize = 32 << 10;

/// The phase of a connection: how long it may go on. It only ever grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Phase {
    /// As long as it likes.
    Serving,
    /// To the next answer, which says so.
    Draining,
    /// To the end of the request in flight.
    Finishing,
    /// Not at all: it is closed at once.
    Aborted,
}

/// The state of a connection that others see.
#[derive(Debug)]
pub(super) struct ConnectionState {
    phase: AtomicU8,
    waker: Mutex<Option<Waker>>,
    started: AtomicU32,
    ended: AtomicU32,
    unread: AtomicBool,
    /// The bytes reserved from the budget of unfinished heads.
    reservation: Reservation,
    /// The memory of the heads in flight, and how many of them bring a body; HTTP/2's alone.
    heads: AtomicUsize,
    bodies: AtomicU32,
    /// The bytes that may still be read before the connection's task is polled again; for HTTP/2 alone.
    readable: AtomicUsize,
    /// True where its own pings find out that nobody is there any more.
    pinged: AtomicBool,
}

impl ConnectionState {
    fn new(phase: Phase, reservation: Reservation) -> Self {
        Self {
            reservation,
            phase: AtomicU8::new(phase as u8),
            waker: Mutex::new(None),
            started: AtomicU32::new(0),
            ended: AtomicU32::new(0),
            unread: AtomicBool::new(false),
            heads: AtomicUsize::new(0),
            bodies: AtomicU32::new(0),
            readable: AtomicUsize::new(READ_AT_ONCE),
            pinged: AtomicBool::new(false),
        }
    }

    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Serving,
            1 => Phase::Draining,
            2 => Phase::Finishing,
            _ => Phase::Aborted,
        }
    }

    fn advance(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::Release);
        // Taken after the store: a task that registers later sees the phase by itself.
        if let Some(waker) = lock(&self.waker).as_ref() {
            waker.wake_by_ref();
        }
    }

    /// True where the next answer should be the last.
    pub(super) fn is_draining(&self) -> bool {
        self.phase.load(Ordering::Relaxed) != Phase::Serving as u8
    }

    /// Marks that a request's body was left in the socket.
    pub(super) fn mark_body_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    /// True where bytes of an unread body may still come.
    pub(super) fn has_unread_body(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    /// Leaves it to the connection's pings to find silence; the sweep passes it by.
    pub(super) fn leave_to_pings(&self) {
        self.pinged.store(true, Ordering::Relaxed);
    }

    /// Counts a request from here until the guard falls.
    pub(super) fn start_http1(self: &Arc<Self>) -> InFlight {
        self.started.fetch_add(1, Ordering::Relaxed);
        InFlight { state: Arc::clone(self), stream: None }
    }

    /// The same for a request without a body, whose guard stays with the connection.
    pub(super) fn start_head(&self) -> HeadInFlight<'_> {
        count(&self.started);
        HeadInFlight(self)
    }

    /// The same, with the memory of its head, and whether it brings a body.
    pub(super) fn start_http2(self: &Arc<Self>, head: usize, has_body: bool) -> InFlight {
        self.started.fetch_add(1, Ordering::Relaxed);
        let bodies = u32::from(has_body);
        self.heads.fetch_add(head, Ordering::Relaxed);
        self.bodies.fetch_add(bodies, Ordering::Relaxed);
        InFlight { state: Arc::clone(self), stream: Some((head, bodies)) }
    }

    /// Gives back what a request took that has ended: the memory of its head; in HTTP/2 of so much, with so many bodies.
    fn give_back(&self, stream: Option<(usize, u32)>) {
        match stream {
            None => {
                // Giving back cannot fail.
                let _ = self.reservation.resize(0);
            }
            Some((head, bodies)) => {
                self.heads.fetch_sub(head, Ordering::Relaxed);
                self.bodies.fetch_sub(bodies, Ordering::Relaxed);
            }
        }
        if std::thread::panicking() {
            tracing::error!("the service panicked; this request goes unanswered");
        }
    }

    /// The bytes reserved from the budget of unfinished heads.
    pub(super) fn reservation(&self) -> &Reservation {
        &self.reservation
    }

    /// Requests that have started, and that have ended.
    pub(super) fn requests(&self) -> (u32, u32) {
        (self.started.load(Ordering::Relaxed), self.ended.load(Ordering::Relaxed))
    }

    /// The memory of the heads in flight, and how many of them bring a body.
    pub(super) fn in_flight(&self) -> (usize, u32) {
        (self.heads.load(Ordering::Relaxed), self.bodies.load(Ordering::Relaxed))
    }

    /// True while more may be read before the requests that came are looked at.
    pub(super) fn is_readable(&self) -> bool {
        self.readable.load(Ordering::Relaxed) > 0
    }

    /// So much was read.
    pub(super) fn has_read(&self, bytes: usize) {
        // The connection's own task alone comes here.
        let left = self.readable.load(Ordering::Relaxed).saturating_sub(bytes);
        self.readable.store(left, Ordering::Relaxed);
    }

    /// Drives `future`, which is notified of every new phase before it is polled again. `None` once
    /// the phase reaches `until`, where the future is dropped.
    pub(super) async fn drive<F: Future>(
        &self,
        mut future: Pin<&mut F>,
        until: Phase,
        mut notify: impl FnMut(Pin<&mut F>, Phase),
    ) -> Option<F::Output> {
        let mut notified = Phase::Serving;
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
            if phase > notified {
                notified = phase;
                notify(future.as_mut(), phase);
            }
            future.as_mut().poll(cx).map(Some)
        })
        .await
    }
}

/// A request in flight.
#[derive(Debug)]
pub(super) struct InFlight {
    state: Arc<ConnectionState>,
    /// In HTTP/2: the memory of its head, and how many bodies it brings.
    stream: Option<(usize, u32)>,
}

/// A request without a body in flight.
#[derive(Debug)]
pub(super) struct HeadInFlight<'s>(&'s ConnectionState);

/// Counts one more request, where the connection's own task alone counts.
fn count(requests: &AtomicU32) {
    requests.store(requests.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

impl Drop for HeadInFlight<'_> {
    fn drop(&mut self) {
        count(&self.0.ended);
        self.0.give_back(None);
    }
}

impl InFlight {
    pub(super) fn state(&self) -> &ConnectionState {
        &self.state
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.state.ended.fetch_add(1, Ordering::Relaxed);
        self.state.give_back(self.stream);
    }
}

/// All open connections.
#[derive(Debug)]
pub(super) struct ConnectionRegistry {
    heads: Arc<Budget>,
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
    state: Arc<ConnectionState>,
    /// Starts and ends of requests at the last sweep, and the number of sweeps since they changed.
    seen: (u32, u32),
    idle_sweeps: u32,
}

impl ConnectionRegistry {
    /// An empty registry; the unfinished heads of its connections share `heads`.
    pub(super) fn new(heads: Arc<Budget>) -> Arc<Self> {
        let table = Table { phase: Phase::Serving, next: 0, entries: HashMap::new() };
        Arc::new(Self { heads, table: Mutex::new(table), tasks: TaskTracker::new() })
    }

    /// Runs a connection from `peer` in a task of its own, registered until it ends.
    pub(super) fn spawn<F>(
        self: &Arc<Self>,
        permit: Option<OwnedSemaphorePermit>,
        peer: Option<IpAddr>,
        run: impl FnOnce(Arc<ConnectionState>) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let (state, registration) = self.register(permit, peer);
        let connection = run(state);
        self.tasks.spawn(async move {
            let _registration = registration;
            connection.await;
        });
    }

    fn register(
        self: &Arc<Self>,
        permit: Option<OwnedSemaphorePermit>,
        peer: Option<IpAddr>,
    ) -> (Arc<ConnectionState>, Registration) {
        let reservation = self.heads.reservation(peer);
        let mut table = lock(&self.table);
        let (id, state) = (table.next, Arc::new(ConnectionState::new(table.phase, reservation)));
        table.next += 1;
        table.entries.insert(id, Entry { state: Arc::clone(&state), seen: (0, 0), idle_sweeps: 0 });
        (state, Registration { registry: Arc::clone(self), id, _permit: permit })
    }

    /// The number of open connections.
    pub(super) fn len(&self) -> usize {
        lock(&self.table).entries.len()
    }

    /// Moves every connection, and each that comes later, to `phase`.
    pub(super) fn advance(&self, phase: Phase) {
        let mut table = lock(&self.table);
        table.phase = table.phase.max(phase);
        table.entries.values().for_each(|entry| entry.state.advance(phase));
    }

    /// Waits until every connection has ended. No new one may be spawned after.
    pub(super) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Aborts connections that are idle for `idle`, and requests unanswered for `request`, for as
    /// long as it is polled.
    pub(super) async fn sweep(&self, idle: Duration, request: Duration) {
        let period = (idle.min(request) / SWEEPS_PER_TIMEOUT).max(Duration::from_millis(1));
        let (idle, request) = (sweeps(idle, period), sweeps(request, period));
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let mut table = lock(&self.table);
            let idle_ones = table.entries.values_mut().filter_map(|entry| {
                let idle_sweeps = entry.observe();
                let allowed = if entry.is_busy() { request } else { idle };
                let is_over = idle_sweeps > allowed && !entry.state.pinged.load(Ordering::Relaxed);
                is_over.then_some(&entry.state)
            });
            let aborted = idle_ones.map(|state| state.advance(Phase::Aborted)).count();
            drop(table);
            if aborted > 0 {
                tracing::debug!(
                    connections = aborted,
                    "closed connections that were idle too long"
                );
            }
        }
    }
}

impl Entry {
    /// Counts the sweeps since the last one that saw a request start or end.
    fn observe(&mut self) -> u32 {
        let now = self.state.requests();
        self.idle_sweeps = if now == self.seen { self.idle_sweeps.saturating_add(1) } else { 0 };
        self.seen = now;
        self.idle_sweeps
    }

    fn is_busy(&self) -> bool {
        self.seen.0 != self.seen.1
    }
}

/// Removes a connection from the registry when its task ends, however it ends.
#[derive(Debug)]
struct Registration {
    registry: Arc<ConnectionRegistry>,
    id: u64,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock(&self.registry.table).entries.remove(&self.id);
    }
}

fn sweeps(timeout: Duration, period: Duration) -> u32 {
    u32::try_from(timeout.as_nanos() / period.as_nanos().max(1)).unwrap_or(u32::MAX)
}

/// Nothing panics while it holds one of these locks, so a poisoned one is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
