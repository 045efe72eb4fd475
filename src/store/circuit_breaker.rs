//! A circuit breaker with a concurrency limit, one in front of each store.
//!
//! A store that is slow or gone must not make requests queue. A bounded number of calls is in
//! flight, a bounded number waits for a permit, and all others are rejected at once. Where half of
//! the last sixteen calls failed, the breaker opens: every call is rejected for a moment. Then it
//! is half-open: one call is let through as a trial. When the trial succeeds, the breaker closes
//! with a low limit, which every success raises by one. So a store that comes back is not met by
//! all callers at once.
//!
//! A caller whose credential was never seen here may have made it up. So a share of the permits is
//! reserved for known callers, and no unknown caller gets a permit while a known one waits. The trial
//! is theirs too, unless none of them comes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::StoreError;
use crate::clock::Clock;

/// The highest concurrency limit.
const MAX_LIMIT: usize = 256;
/// The concurrency limit after the breaker was open; each success raises it by one.
const LIMIT_AFTER_OPEN: usize = 8;
/// At most this many known callers wait for a permit.
const MAX_WAITING: usize = 2_048;
/// At most this many unknown callers wait for one.
const MAX_UNKNOWN_WAITING: usize = 1_024;
/// One permit of so many is reserved for known callers.
const RESERVED_FOR_KNOWN: usize = 8;
/// The number of the last calls that count.
const WINDOW: u32 = 16;
/// The number of failures among them that opens the breaker.
const FAILURE_THRESHOLD: u32 = 8;
/// The time for which the breaker is open at first; it doubles after each failed trial.
const MIN_OPEN: Duration = Duration::from_millis(100);
/// The longest time for which it is open: the longest delay until a store that is back is noticed.
const MAX_OPEN: Duration = Duration::from_millis(800);
/// The time for which the trial is kept for known callers: what anybody could have made up may be what
/// gets no answer.
const HEAD_START: Duration = Duration::from_millis(100);

/// The circuit breaker of one store.
#[derive(Debug)]
pub(crate) struct CircuitBreaker {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// A permit may be free; one for each priority.
    available: [Notify; 2],
}

/// The priority of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Priority {
    /// The credential was good before, or is signed.
    Known,
    /// The credential is one that anybody could have made up.
    Unknown,
}

#[derive(Debug)]
struct State {
    /// The most calls in flight.
    limit: usize,
    /// The calls in flight, by priority.
    in_flight: [usize; 2],
    waiting: [usize; 2],
    /// The last outcomes, one bit each, set for a failure; the newest is the lowest.
    failures: u32,
    open: Option<OpenPeriod>,
    /// The number of times that it opened.
    times_opened: u64,
}

#[derive(Clone, Copy, Debug)]
struct OpenPeriod {
    until: Duration,
    length: Duration,
}

impl OpenPeriod {
    /// The time from which a caller may make the trial.
    fn trial_from(&self, priority: Priority) -> Duration {
        match priority {
            Priority::Known => self.until,
            Priority::Unknown => self.until.saturating_add(HEAD_START),
        }
    }
}

/// The reason why a call was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// The breaker is open: too many calls failed.
    Open,
    /// Too many callers wait already.
    Saturated,
}

impl From<Rejected> for StoreError {
    fn from(why: Rejected) -> Self {
        Self::Unavailable(match why {
            Rejected::Open => "it was not asked, since it failed just now".to_owned(),
            Rejected::Saturated => "it was not asked, since too many ask already".to_owned(),
        })
    }
}

impl CircuitBreaker {
    /// A closed breaker, which lets calls through.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let state = State {
            limit: MAX_LIMIT,
            in_flight: [0; 2],
            waiting: [0; 2],
            failures: 0,
            open: None,
            times_opened: 0,
        };
        Self { clock, state: Mutex::new(state), available: [Notify::new(), Notify::new()] }
    }

    /// Waits for a permit, which is given back when it is dropped. The caller sets a deadline.
    ///
    /// # Errors
    /// [`Rejected`], without waiting.
    pub(crate) async fn acquire(&self, priority: Priority) -> Result<Permit<'_>, Rejected> {
        if let Some(permit) = self.try_acquire(priority)? {
            return Ok(permit);
        }
        let _entry = QueueEntry::enqueue(self, priority)?;
        loop {
            let available = self.available[priority as usize].notified();
            tokio::pin!(available);
            // From here on a permit that becomes free is noticed.
            available.as_mut().enable();
            if let Some(permit) = self.try_acquire(priority)? {
                return Ok(permit);
            }
            available.await;
        }
    }

    /// A permit, or `None` where there is none now. While the breaker is open, and half-open with
    /// the trial in flight, the call is rejected.
    fn try_acquire(&self, priority: Priority) -> Result<Option<Permit<'_>>, Rejected> {
        let mut state = self.lock();
        let all: usize = state.in_flight.iter().sum();
        if let Some(open) = state.open
            && (self.clock.monotonic() < open.trial_from(priority) || all > 0)
        {
            return Err(Rejected::Open);
        }
        let is_allowed = match priority {
            Priority::Known => true,
            Priority::Unknown => {
                let [_, unknown] = state.in_flight;
                let [waiting, _] = state.waiting;
                unknown < state.limit - state.limit / RESERVED_FOR_KNOWN && waiting == 0
            }
        };
        if all >= state.limit || !is_allowed {
            return Ok(None);
        }
        state.in_flight[priority as usize] += 1;
        Ok(Some(Permit { breaker: self, priority }))
    }

    /// Wakes one of each priority; one that finds no permit waits on.
    fn wake(&self) {
        self.available.iter().for_each(Notify::notify_one);
    }

    /// Counts a call that was answered.
    pub(crate) fn record_success(&self) {
        let now = self.clock.monotonic();
        let mut state = self.lock();
        match state.open {
            // A late answer to a call from before it opened.
            Some(open) if now < open.until => return,
            Some(_) => (state.open, state.failures, state.limit) = (None, 0, LIMIT_AFTER_OPEN),
            None => {
                state.failures <<= 1;
                state.limit = (state.limit + 1).min(MAX_LIMIT);
            }
        }
        drop(state);
        // One for the permit that will be given back, one for the permit that is new.
        self.wake();
    }

    /// The most calls in flight now; one while it is open.
    pub(crate) fn limit(&self) -> usize {
        let state = self.lock();
        if state.open.is_some() { 1 } else { state.limit }
    }

    /// The number of times that it opened.
    pub(crate) fn times_opened(&self) -> u64 {
        self.lock().times_opened
    }

    /// Counts a call that got no answer. Returns whether the breaker opens now, and was closed
    /// before.
    pub(crate) fn record_failure(&self) -> bool {
        let now = self.clock.monotonic();
        let mut state = self.lock();
        state.failures = (state.failures << 1) | 1;
        let of_window = state.failures & ((1 << WINDOW) - 1);
        match state.open {
            // Other calls that were in flight when it opened.
            Some(open) if now < open.until => false,
            Some(open) => {
                let length = (open.length * 2).min(MAX_OPEN);
                state.open = Some(OpenPeriod { until: now.saturating_add(length), length });
                false
            }
            None if of_window.count_ones() >= FAILURE_THRESHOLD => {
                let until = now.saturating_add(MIN_OPEN);
                state.open = Some(OpenPeriod { until, length: MIN_OPEN });
                state.times_opened += 1;
                drop(state);
                // Waiting callers are rejected now, not at the end of their time.
                self.available.iter().for_each(Notify::notify_waiters);
                true
            }
            None => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to make one call.
#[derive(Debug)]
pub(crate) struct Permit<'l> {
    breaker: &'l CircuitBreaker,
    priority: Priority,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.breaker.lock().in_flight[self.priority as usize] -= 1;
        self.breaker.wake();
    }
}

/// An entry of the queue.
struct QueueEntry<'l>(&'l CircuitBreaker, Priority);

impl<'l> QueueEntry<'l> {
    fn enqueue(breaker: &'l CircuitBreaker, priority: Priority) -> Result<Self, Rejected> {
        let most = match priority {
            Priority::Known => MAX_WAITING,
            Priority::Unknown => MAX_UNKNOWN_WAITING,
        };
        let mut state = breaker.lock();
        let waiting = &mut state.waiting[priority as usize];
        if *waiting >= most {
            return Err(Rejected::Saturated);
        }
        *waiting += 1;
        Ok(Self(breaker, priority))
    }
}

impl Drop for QueueEntry<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting[self.1 as usize] -= 1;
        // Callers that waited because of this one may go on.
        self.0.wake();
    }
}

#[cfg(test)]
mod tests;
