//! The rules, and the checks of an answer against them.

use std::time::Duration;

use portcullis::clock::UnixTime;

use super::{Credential, Lifetime, State};
use crate::simulation::time::Timestamp;

/// The time for which all must have been well before a gate owes the answer of a gate that is well: longer than a circuit
/// breaker stays open, and than a request may take that was sent before.
const WELL: Duration = Duration::from_millis(1_200);
/// The greatest age of a no: a request that joins one under way gets its answer. Nobody is shown what was not opened or
/// renewed before, so it does no harm that a no is older than its request.
const PATIENCE: Duration = Duration::from_millis(200);
/// The number of reads in a row without an answer at which the store counts as down: then half of the last sixteen failed.
pub const DOWN: u32 = 8;

/// The bounds on how long a gate may answer yes after an end.
#[derive(Clone, Copy, Debug)]
pub struct StalenessBounds {
    /// The greatest delay of a yes.
    pub staleness: Duration,
    /// The greatest delay while the store is down.
    pub stale_if_error: Duration,
    /// The greatest delay of an invalidation, where none is ever lost and no process ever stands still.
    pub push: Option<Duration>,
}

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// No yes later than the bound after an acknowledged revocation.
    Bound,
    /// No yes at the end or after.
    Expiry,
    /// No yes once the gate was notified of the end, or made it.
    KnownEnd,
    /// No yes without asking, once the gate was told that invalidations may have been lost.
    AfterLoss,
    /// No yes later than an invalidation takes.
    PushDelay,
    /// No yes while the store is down, beyond the bound for that.
    StoreDown,
    /// A credential that has not ended is answered yes.
    Liveness,
    /// The end of all sessions of a user is not acknowledged too early.
    Acknowledged,
    /// Of all refreshes of a token one wins.
    SingleWinner,
    /// A refresh token that is used twice ends its family.
    Reuse,
    /// With a grace all who refresh at the same time get one answer.
    SameAnswer,
    /// A refresh that came to nothing costs nothing.
    NothingLost,
    /// Work that was begun ends, also where its caller went away.
    Finished,
    /// No other errors than those that say that the store failed, or that another is about it.
    Errors,
}

/// A violation of a rule.
#[derive(Clone, Debug)]
pub struct Violation {
    pub rule: Rule,
    pub what: String,
}

/// One answer of a gate.
#[derive(Clone, Debug)]
pub struct Answer {
    pub process: usize,
    pub asked: Timestamp,
    pub asked_wall: UnixTime,
    pub answered_wall: UnixTime,
    /// The code of a denial.
    pub denied: Option<&'static str>,
    /// Since when nothing was wrong between the gate and its store; `None`: something is.
    pub healthy_since: Option<Timestamp>,
    /// Since when the store has given no answer at all, where it counts as down and no read was answered meanwhile.
    pub down_since: Option<Timestamp>,
    /// Tells whether the gate's circuit breakers are known to let requests through.
    pub is_open: bool,
    /// Tells whether all faults are over and everybody had time to recover.
    pub is_settled: bool,
}

impl Answer {
    /// Tells whether nothing was wrong between the gate and its store, for long enough before the request.
    fn is_well(&self) -> bool {
        self.healthy_since.is_some_and(|since| since.is_zero() || since + WELL <= self.asked)
    }
}

impl State {
    /// Checks a yes against the true state.
    pub(super) fn check_yes(&mut self, credential: &Credential, answer: &Answer) {
        let bounds = self.bounds;
        let (process, asked) = (answer.process, answer.asked);
        let mut broken = Vec::new();
        if answer.asked_wall >= credential.expires {
            broken.push((Rule::Expiry, "the token was over".to_owned()));
        }
        if let Some(since) = answer.down_since
            && bounds.stale_if_error < bounds.staleness
            && asked >= since + bounds.stale_if_error
        {
            broken.push((Rule::StoreDown, format!("no answer from the store since {since:?}")));
        }
        for lifetime in self.lifetimes(credential) {
            let name = &lifetime.name;
            if answer.asked_wall >= lifetime.expires {
                broken.push((Rule::Expiry, format!("{name} ended at {}", lifetime.expires)));
            }
            if let Some(notified) = lifetime.notified[process].filter(|notified| *notified <= asked)
            {
                broken.push((
                    Rule::KnownEnd,
                    format!("it knew at {notified:?} that {name} had ended"),
                ));
            }
            if let Some(acknowledged) =
                lifetime.acknowledged.filter(|acknowledged| *acknowledged <= asked)
            {
                let bound = match answer.is_well() {
                    true => bounds.staleness,
                    false => bounds.staleness.max(bounds.stale_if_error),
                };
                self.tally.late(asked - acknowledged, bound);
                if asked >= acknowledged + bound {
                    let what =
                        format!("{name} had ended at {acknowledged:?}, the bound is {bound:?}");
                    broken.push((Rule::Bound, what));
                }
            }
            let Some(ended) = lifetime.ended else { continue };
            let warned = self.losses[process].iter().find(|loss| ended <= **loss);
            if let Some(loss) = warned.filter(|loss| **loss <= asked)
                && answer.is_well()
            {
                let what = format!("{name} ended at {ended:?}, and it was warned at {loss:?}");
                broken.push((Rule::AfterLoss, what));
            }
            if let Some(push) = bounds.push
                && asked > ended + push
            {
                broken.push((Rule::PushDelay, format!("{name} had ended at {ended:?}")));
            }
        }
        for (rule, why) in broken {
            let what = format!("gate {process}, asked at {asked:?}, said yes: {why}");
            self.violations.push(Violation { rule, what });
        }
    }

    /// Checks a no against the true state.
    pub(super) fn check_no(&mut self, credential: &Credential, answer: &Answer, code: &str) {
        let is_sure = |lifetime: &Lifetime| {
            let is_old = |at: Timestamp| at + PATIENCE < answer.asked;
            let is_alone = lifetime.last_change[answer.process].is_none_or(is_old);
            lifetime.opened.is_some_and(is_old)
                && lifetime.ended.is_none()
                && (answer.is_settled || (!lifetime.is_ending && is_alone))
                && answer.answered_wall < lifetime.expires
        };
        let is_owed = answer.is_settled || (answer.is_well() && answer.is_open);
        let in_time = answer.answered_wall < credential.expires;
        if is_owed && in_time && self.lifetimes(credential).iter().all(is_sure) {
            let (process, asked) = (answer.process, answer.asked);
            let name = &self.sessions[credential.session].name;
            let what = format!("gate {process}, asked at {asked:?}, said {code}: {name} lives");
            self.violations.push(Violation { rule: Rule::Liveness, what });
        }
    }
}
