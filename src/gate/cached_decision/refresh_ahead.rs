//! Sessions in use, read again before their reading is too old: many at a time, and no request waits for them.
//!
//! A hit in the last part of a reading's age goes on with it as of a later moment, where the store said since what had
//! changed, and nothing of this session. Otherwise, and once its use is to be noted, it puts the decision into a queue. A
//! task reads the sessions of all that came within a moment. It changes no bound: where it comes too late or fails, the next
//! request that needs the session waits for the store, as it would without this.

use std::iter::{from_fn, once};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::basis::Basis;
use super::decision::StoreRead;
use super::validity::Validity;
use super::{CachedDecision, DecisionCache};
use crate::clock::Moment;
use crate::session::{NotLive, Session};
use crate::store::EpochStatus;

/// The last part of a reading's age in which a hit has it renewed: one in so many.
const LEAD: u32 = 4;
/// The time for which decisions are gathered, before their sessions are read together.
const GATHERING: Duration = Duration::from_millis(10);
/// The sessions that are read at once: while an answer about them is taken in, requests wait.
const AT_ONCE: usize = 16;
/// At most this many decisions wait. Those that find no room are read when a request needs them.
const MAX_WAITING: usize = 4_096;

/// The decisions whose sessions are to be read again.
#[derive(Debug)]
pub(super) struct RefreshAhead(Sender<CachedDecision>);

impl RefreshAhead {
    /// Has the session of a decision read again, unless it waits for that already.
    fn add(&self, decision: &CachedDecision) {
        let is_refreshing = &decision.is_refreshing;
        if is_refreshing.begin() && self.0.try_send(decision.clone()).is_err() {
            is_refreshing.end();
        }
    }
}

impl StoreRead {
    /// The same as of a later moment, before which every change in the store was told of, and none of this session. `None`
    /// once the store is to be asked for the session itself again.
    fn confirmed(self, until: Moment) -> Option<Self> {
        let due = until.at.saturating_add(self.due.saturating_sub(self.at));
        let end = self.confirmable_until?;
        // By both clocks: a host that slept must not find alive what nobody used meanwhile.
        let is_in_time = until.at < end.at && until.wall < end.wall;
        (self.at < until.at && is_in_time).then_some(Self {
            at: until.at,
            wall: until.wall,
            due,
            ..self
        })
    }
}

impl DecisionCache {
    /// The same reading of a session, which a hit in the last part of its age has confirmed or read again; unless it would
    /// be too old before it was gathered.
    pub(super) fn refreshed_ahead(&self, read: StoreRead) -> StoreRead {
        let StoreRead { at, wall, max_age, .. } = read;
        let lead = max_age / LEAD;
        if lead < 2 * GATHERING {
            return read;
        }
        // Not before its use is to be noted, or the reading would note nothing; and up to a quarter later, by what makes
        // `max_age` less than the bound, so that sessions that were read together are not for ever.
        let spread = 2.0 - max_age.div_duration_f64(self.config.staleness);
        let unread = self.sessions.touch_interval().mul_f64(spread);
        let confirmable_until = Some(Moment { at: at + unread, wall: wall.after(unread) });
        StoreRead { due: at + max_age.saturating_sub(lead), confirmable_until, ..read }
    }

    /// The last reading that a decision depends on. Where it is due, and the store said what changed since, that is a
    /// reading of all sessions of which it said nothing, and the decision goes on with it: nobody has to ask for each.
    pub(super) fn confirm_if_due(
        &self,
        decision: &CachedDecision,
        at: Duration,
    ) -> Option<StoreRead> {
        let read = decision.reading()?;
        if at < read.due {
            return Some(read);
        }
        // Before the epoch is looked at: all that was told of until then has moved it.
        let confirmed = self.sessions.complete_until().and_then(|until| read.confirmed(until));
        let is_current = || self.epoch_status_of(decision, Some(&read)) == EpochStatus::Current;
        let Some(confirmed) = confirmed.filter(|_| is_current()) else { return Some(read) };
        decision.renew(confirmed);
        if at < confirmed.due {
            self.metrics.confirmations.inc();
        }
        Some(confirmed)
    }

    /// The same, which reads sessions in use again before their reading is too old, until it is dropped. To be called
    /// within a runtime.
    pub fn refreshing_ahead(self) -> Arc<Self> {
        let (add, due) = channel(MAX_WAITING);
        let shared = Arc::new(Self { refresh_ahead: Some(RefreshAhead(add)), ..self });
        tokio::spawn(run(Arc::downgrade(&shared), due));
        shared
    }

    /// Has the session of a valid decision read again, where this reading of it is soon too old.
    pub(super) fn refresh_if_due(
        &self,
        decision: &CachedDecision,
        read: Option<&StoreRead>,
        at: Duration,
    ) {
        if read.is_some_and(|read| at >= read.due)
            && let Some(refresh_ahead) = &self.refresh_ahead
        {
            refresh_ahead.add(decision);
        }
    }

    /// Reads the session of a decision again, if no request has done so meanwhile, or must do so now.
    async fn refresh(&self, decision: &CachedDecision) {
        let started = self.moment();
        let read = self.confirm_if_due(decision, started.at);
        let (Some(kept), Some(read)) = (&decision.session, read) else { return };
        if started.at < read.due || self.validity(decision, started) != Validity::Valid {
            return;
        }
        let epoch = self.sessions.epoch(&kept.user, &kept.id);
        match self.sessions.live(&kept.user, &kept.id).await {
            Ok(session) if self.is_answer_the_same(decision, &session) => {
                let read = StoreRead::new(started, Some(epoch), read.max_age);
                decision.renew(self.refreshed_ahead(read.of(&session)));
                self.metrics.refreshes.inc();
            }
            // From now on it is known that it changed: the next request reads it, and is told what it says.
            Ok(_) | Err(NotLive::Unknown | NotLive::Ended(_)) => {
                self.sessions.note_change(&kept.id);
            }
            Err(NotLive::Store(_)) => {}
        }
    }

    /// Returns whether a decision about a token can go on with a new reading of its session: whether all that its answer
    /// was made from is the same.
    pub(super) fn is_answer_the_same(&self, decision: &CachedDecision, session: &Session) -> bool {
        matches!(decision.basis, Basis::Token)
            && decision.session.as_ref().is_some_and(|before| before.says_the_same(session))
            && self.signature_status(decision) == EpochStatus::Current
    }
}

/// Renews what comes, as long as there is a cache.
async fn run(cache: Weak<DecisionCache>, mut due: Receiver<CachedDecision>) {
    while let Some(first) = due.recv().await {
        tokio::time::sleep(GATHERING).await;
        let Some(cache) = cache.upgrade() else { return };
        let cache = &*cache;
        let decisions = once(first).chain(from_fn(|| due.try_recv().ok()));
        let refresh = |decision: CachedDecision| async move { cache.refresh(&decision).await };
        stream::iter(decisions).for_each_concurrent(AT_ONCE, refresh).await;
    }
}
