//! How many questions to a store may be under way, and when not to ask at all.
//!
//! A store that is slow or gone must not make requests queue: so many may ask at once, so many more
//! may wait for a place, and the rest are told at once. Where half of the last sixteen questions
//! failed, the lane *rests*: nobody asks for a moment, then one may try. When that one is answered
//! the lane starts narrow and widens with every answer, so that a store that comes back is not
//! met by everybody at once.
//!
//! Whoever shows a credential that was never seen here may be making it up, as often as he likes.
//! So some places are kept from strangers, and none of them enters while somebody waits who is known.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::StoreError;
use crate::clock::Clock;

/// How many may ask at once, at most.
const WIDEST: usize = 256;
/// How many may ask at once after a rest; each answer lets one more.
const AFTER_REST: usize = 8;
/// How many may wait for a place.
const MOST_WAITING: usize = 2_048;
/// How many of the unknown may.
const MOST_UNKNOWN_WAITING: usize = 1_024;
/// One place of so many is kept from the unknown.
const KEPT_FOR_KNOWN: usize = 8;
/// Of so many questions ...
const LAST: u32 = 16;
/// ... so many failures make the lane rest.
const FAILURES: u32 = 8;
/// How long the first rest is; each that follows on a failed trial is twice as long.
const SHORTEST_REST: Duration = Duration::from_millis(100);
/// How long a rest is at most: by so much later a store that is back is noticed.
const LONGEST_REST: Duration = Duration::from_millis(800);

/// The way to one store.
#[derive(Debug)]
pub(crate) struct Lane {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Somebody may enter; one for each priority.
    opened: [Notify; 2],
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Priority {
    /// For a credential that was good before, or that is signed.
    Known,
    /// For one that anybody could have made up.
    Unknown,
}

#[derive(Debug)]
struct State {
    /// How many may be under way.
    width: usize,
    /// By priority.
    under_way: [usize; 2],
    waiting: [usize; 2],
    /// The last outcomes, a bit each, set where it was a failure; the newest is the lowest.
    failures: u32,
    rest: Option<Rest>,
    /// How often it began to rest.
    rests: u64,
}

#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Duration,
    length: Duration,
}

/// Why nobody was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAsked {
    /// The store has failed too often just now.
    Resting,
    /// Too many ask already.
    Crowded,
}

impl From<NotAsked> for StoreError {
    fn from(why: NotAsked) -> Self {
        Self::Unavailable(match why {
            NotAsked::Resting => "it was not asked, since it failed just now".to_owned(),
            NotAsked::Crowded => "it was not asked, since too many ask already".to_owned(),
        })
    }
}

impl Lane {
    /// An open lane.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let state = State {
            width: WIDEST,
            under_way: [0; 2],
            waiting: [0; 2],
            failures: 0,
            rest: None,
            rests: 0,
        };
        Self { clock, state: Mutex::new(state), opened: [Notify::new(), Notify::new()] }
    }

    /// Waits for a place, which is left when it is dropped. To be cancelled by a deadline.
    ///
    /// # Errors
    /// [`NotAsked`], without waiting.
    pub(crate) async fn enter(&self, priority: Priority) -> Result<Place<'_>, NotAsked> {
        if let Some(place) = self.try_enter(priority)? {
            return Ok(place);
        }
        let _waiting = Waiting::join(self, priority)?;
        loop {
            let opened = self.opened[priority as usize].notified();
            tokio::pin!(opened);
            // From here on a place that becomes free is heard of.
            opened.as_mut().enable();
            if let Some(place) = self.try_enter(priority)? {
                return Ok(place);
            }
            opened.await;
        }
    }

    fn try_enter(&self, priority: Priority) -> Result<Option<Place<'_>>, NotAsked> {
        let mut state = self.lock();
        let all: usize = state.under_way.iter().sum();
        if let Some(rest) = state.rest
            && (self.clock.monotonic() < rest.until || all > 0)
        {
            return Err(NotAsked::Resting);
        }
        let has_share = match priority {
            Priority::Known => true,
            Priority::Unknown => {
                let [_, unknown] = state.under_way;
                let [waiting, _] = state.waiting;
                unknown < state.width - state.width / KEPT_FOR_KNOWN && waiting == 0
            }
        };
        if all >= state.width || !has_share {
            return Ok(None);
        }
        state.under_way[priority as usize] += 1;
        Ok(Some(Place { lane: self, priority }))
    }

    /// Wakes one of each priority: whoever finds no place after all waits on.
    fn wake(&self) {
        self.opened.iter().for_each(Notify::notify_one);
    }

    /// Takes note of an answer.
    pub(crate) fn answered(&self) {
        let now = self.clock.monotonic();
        let mut state = self.lock();
        match state.rest {
            // A late answer to somebody who asked before it began to rest.
            Some(rest) if now < rest.until => return,
            Some(_) => (state.rest, state.failures, state.width) = (None, 0, AFTER_REST),
            None => {
                state.failures <<= 1;
                state.width = (state.width + 1).min(WIDEST);
            }
        }
        drop(state);
        // One for the place that will be left, one for the place that is new.
        self.wake();
    }

    /// How often it began to rest.
    pub(crate) fn rests(&self) -> u64 {
        self.lock().rests
    }

    /// Takes note of a question that got no answer. Says whether the lane rests from now on, and
    /// did not before.
    pub(crate) fn failed(&self) -> bool {
        let now = self.clock.monotonic();
        let mut state = self.lock();
        state.failures = (state.failures << 1) | 1;
        let of_last = state.failures & ((1 << LAST) - 1);
        match state.rest {
            // Others that were under way when it began to rest.
            Some(rest) if now < rest.until => false,
            Some(rest) => {
                let length = (rest.length * 2).min(LONGEST_REST);
                state.rest = Some(Rest { until: now.saturating_add(length), length });
                false
            }
            None if of_last.count_ones() >= FAILURES => {
                let until = now.saturating_add(SHORTEST_REST);
                state.rest = Some(Rest { until, length: SHORTEST_REST });
                state.rests += 1;
                drop(state);
                // Whoever waits is told now, and not when his time is up.
                self.opened.iter().for_each(Notify::notify_waiters);
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

/// A place among those who ask.
#[derive(Debug)]
pub(crate) struct Place<'l> {
    lane: &'l Lane,
    priority: Priority,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.lane.lock().under_way[self.priority as usize] -= 1;
        self.lane.wake();
    }
}

/// A place in the queue.
struct Waiting<'l>(&'l Lane, Priority);

impl<'l> Waiting<'l> {
    fn join(lane: &'l Lane, priority: Priority) -> Result<Self, NotAsked> {
        let most = match priority {
            Priority::Known => MOST_WAITING,
            Priority::Unknown => MOST_UNKNOWN_WAITING,
        };
        let mut state = lane.lock();
        let waiting = &mut state.waiting[priority as usize];
        if *waiting >= most {
            return Err(NotAsked::Crowded);
        }
        *waiting += 1;
        Ok(Self(lane, priority))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting[self.1 as usize] -= 1;
        // Those who were held back by this one may go on.
        self.0.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::Priority::{Known, Unknown};
    use super::*;
    use crate::clock::{ManualClock, UnixTime};

    fn lane() -> (Arc<ManualClock>, Arc<Lane>) {
        let clock = Arc::new(ManualClock::at(UnixTime::from_secs(1)));
        (clock.clone(), Arc::new(Lane::new(clock)))
    }

    async fn enter(lane: &Lane) -> Result<(), NotAsked> {
        lane.enter(Known).await.map(drop)
    }

    fn fail(lane: &Lane, times: u32) -> u32 {
        (0..times).map(|_| u32::from(lane.failed())).sum()
    }

    #[tokio::test]
    async fn a_store_that_fails_half_of_the_time_is_left_alone_for_a_while() {
        let (clock, lane) = lane();
        for _ in 0..7 {
            lane.answered();
            assert!(!lane.failed());
        }
        assert_eq!(enter(&lane).await, Ok(()));
        assert_eq!(fail(&lane, 1), 1, "that it rests is said once");
        assert_eq!(enter(&lane).await, Err(NotAsked::Resting));
        assert_eq!(fail(&lane, 5), 0, "those under way change nothing");
        lane.answered();
        assert_eq!(
            enter(&lane).await,
            Err(NotAsked::Resting),
            "nor does one of them that is answered"
        );
        clock.advance(SHORTEST_REST);
        assert_eq!(enter(&lane).await, Ok(()));
    }

    #[tokio::test]
    async fn after_a_rest_one_tries_and_the_others_are_told_at_once() {
        let (clock, lane) = lane();
        fail(&lane, FAILURES);
        clock.advance(SHORTEST_REST);
        let trial = lane.enter(Known).await.expect("the trial");
        assert_eq!(enter(&lane).await, Err(NotAsked::Resting));
        lane.answered();
        drop(trial);
        assert!(lane.lock().rest.is_none());
        let mut inside = Vec::new();
        for _ in 0..AFTER_REST {
            inside.push(lane.enter(Known).await.expect("narrow"));
        }
        assert!(lane.try_enter(Known).expect("open").is_none(), "it starts narrow");
        lane.answered();
        assert!(lane.try_enter(Known).expect("open").is_some(), "every answer widens it");
    }

    #[tokio::test]
    async fn rests_grow_while_trials_fail_and_are_bounded() {
        let (clock, lane) = lane();
        fail(&lane, FAILURES);
        for expected in [100, 200, 400, 800, 800] {
            clock.advance(Duration::from_millis(expected - 1));
            assert_eq!(enter(&lane).await, Err(NotAsked::Resting), "{expected}");
            clock.advance(Duration::from_millis(1));
            let trial = lane.enter(Known).await.expect("a trial");
            lane.failed();
            drop(trial);
        }
    }

    #[tokio::test]
    async fn those_without_a_place_wait_in_a_bounded_queue_and_are_told_when_the_lane_rests() {
        let (_, lane) = lane();
        let mut inside = Vec::new();
        for _ in 0..WIDEST {
            inside.push(lane.enter(Known).await.expect("a place"));
        }
        let waiting: Vec<_> = (0..MOST_WAITING)
            .map(|_| {
                let lane = lane.clone();
                tokio::spawn(async move { enter(&lane).await })
            })
            .collect();
        while lane.lock().waiting[0] < MOST_WAITING {
            tokio::task::yield_now().await;
        }
        assert_eq!(enter(&lane).await, Err(NotAsked::Crowded));
        inside.pop();
        while lane.lock().waiting[0] > 0 {
            // Each that enters leaves at once, so all get their turn.
            tokio::task::yield_now().await;
        }
        for task in waiting {
            assert_eq!(task.await.expect("task"), Ok(()));
        }
        inside.push(lane.enter(Known).await.expect("a place"));
        let late = tokio::spawn({
            let lane = lane.clone();
            async move { enter(&lane).await }
        });
        while lane.lock().waiting[0] == 0 {
            tokio::task::yield_now().await;
        }
        fail(&lane, FAILURES);
        assert_eq!(late.await.expect("task"), Err(NotAsked::Resting));
    }

    #[tokio::test]
    async fn who_gives_up_leaves_the_queue_and_takes_no_place_along() {
        let (_, lane) = lane();
        let mut inside = Vec::new();
        for _ in 0..WIDEST {
            inside.push(lane.enter(Known).await.expect("a place"));
        }
        let impatient = tokio::time::timeout(Duration::ZERO, lane.enter(Known)).await;
        assert!(impatient.is_err());
        assert_eq!(lane.lock().waiting, [0; 2]);
        drop(inside);
        assert_eq!(lane.lock().under_way, [0; 2]);
        assert_eq!(enter(&lane).await, Ok(()));
    }

    #[tokio::test]
    async fn some_places_are_kept_from_the_unknown_who_queue_apart_and_enter_last() {
        let (_, lane) = lane();
        let mut strangers = Vec::new();
        for _ in 0..WIDEST - WIDEST / KEPT_FOR_KNOWN {
            strangers.push(lane.enter(Unknown).await.expect("a place"));
        }
        let waiting: Vec<_> = (0..MOST_UNKNOWN_WAITING)
            .map(|_| {
                let lane = lane.clone();
                tokio::spawn(async move { lane.enter(Unknown).await.map(drop) })
            })
            .collect();
        while lane.lock().waiting[1] < MOST_UNKNOWN_WAITING {
            tokio::task::yield_now().await;
        }
        assert_eq!(lane.enter(Unknown).await.map(drop), Err(NotAsked::Crowded));
        let mut known = Vec::new();
        for _ in 0..WIDEST / KEPT_FOR_KNOWN {
            known.push(lane.enter(Known).await.expect("a place of his own"));
        }
        let late = tokio::spawn({
            let lane = lane.clone();
            async move { enter(&lane).await }
        });
        while lane.lock().waiting[0] == 0 {
            tokio::task::yield_now().await;
        }
        known.pop();
        assert_eq!(late.await.expect("task"), Ok(()), "no stranger takes it");
        strangers.pop();
        for stranger in waiting {
            assert_eq!(stranger.await.expect("task"), Ok(()));
        }
        drop((known, strangers));
        assert_eq!(lane.lock().under_way, [0; 2]);
    }

    #[tokio::test]
    async fn a_narrow_lane_lets_one_of_the_unknown_in_at_least() {
        let (_, lane) = lane();
        lane.lock().width = 1;
        let stranger = lane.enter(Unknown).await.expect("a place");
        assert!(lane.try_enter(Known).expect("open").is_none());
        drop(stranger);
        assert_eq!(enter(&lane).await, Ok(()));
    }
}
