//! What was promised, and where an answer breaks it.

use std::time::Duration;

use portcullis::clock::UnixTime;

use super::{Credential, Life, State};
use crate::simulation::time::Stamp;

/// For how long all must have been well for a gate to owe the answer of a gate that is well: longer than a lane rests, and
/// than a question may take that was asked before.
const WELL: Duration = Duration::from_millis(1_200);
/// How old a no may be at most: who asks while others have asked already gets their answer. Nobody is shown what was not
/// opened or renewed before, so it does no harm that a no is older than its question.
const PATIENCE: Duration = Duration::from_millis(200);
/// After how many reads in a row that got no answer the store counts as down: then half of the last sixteen failed.
pub const DOWN: u32 = 8;

/// What was promised.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    /// How long a yes may be late.
    pub staleness: Duration,
    /// How long it may while the store is down.
    pub when_down: Duration,
    /// How long news take at most, where none is ever lost nor a process ever stands still.
    pub push: Option<Duration>,
}

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// No yes later than the bound after an acknowledged revocation.
    Bound,
    /// No yes at the end or after.
    Expiry,
    /// No yes once the gate heard of the end, or made it.
    Heard,
    /// No yes, without asking, once the gate heard that it may have missed the end.
    Missed,
    /// No yes later than news take.
    Push,
    /// No yes while the store is down, beyond what is believed then.
    Down,
    /// What has not ended is answered yes.
    Liveness,
    /// Who is told that all sessions of a user ended is not told so too early.
    Acknowledged,
    /// Of all refreshes of a token one wins.
    OneWins,
    /// Where a refresh token was used twice its family has ended.
    Reuse,
    /// With a grace all who refresh at the same time get one answer.
    SameAnswer,
    /// A refresh that came to nothing costs nothing.
    NothingLost,
    /// What was begun ends, also where the caller went away.
    Finished,
    /// No other errors than those that say that the store failed, or that another is about it.
    Errors,
}

/// What was broken, and how.
#[derive(Clone, Debug)]
pub struct Violation {
    pub rule: Rule,
    pub what: String,
}

/// One answer of a gate.
#[derive(Clone, Debug)]
pub struct Answer {
    pub process: usize,
    pub asked: Stamp,
    pub asked_wall: UnixTime,
    pub answered_wall: UnixTime,
    /// The code of a denial.
    pub denied: Option<&'static str>,
    /// Since when nothing was wrong between the gate and its store; `None`: something is.
    pub calm_since: Option<Stamp>,
    /// Since when the store has given no answer at all, where it counts as down and no read was answered meanwhile.
    pub down_since: Option<Stamp>,
    /// Whether the gate's lanes are known to be open.
    pub is_open: bool,
    /// Whether all is over and everybody had time to recover.
    pub is_settled: bool,
}

impl Answer {
    /// Whether nothing was wrong between the gate and its store, for long enough before it was asked.
    fn is_well(&self) -> bool {
        self.calm_since.is_some_and(|since| since.is_zero() || since + WELL <= self.asked)
    }
}

impl State {
    /// Holds a yes against what is true.
    pub(super) fn check_yes(&mut self, credential: &Credential, answer: &Answer) {
        let promise = self.promise;
        let (process, asked) = (answer.process, answer.asked);
        let mut broken = Vec::new();
        if answer.asked_wall >= credential.expires {
            broken.push((Rule::Expiry, "the token was over".to_owned()));
        }
        if let Some(since) = answer.down_since
            && promise.when_down < promise.staleness
            && asked >= since + promise.when_down
        {
            broken.push((Rule::Down, format!("no answer from the store since {since:?}")));
        }
        for life in self.lives(credential) {
            let name = &life.name;
            if answer.asked_wall >= life.expires {
                broken.push((Rule::Expiry, format!("{name} ended at {}", life.expires)));
            }
            if let Some(learnt) = life.learnt[process].filter(|learnt| *learnt <= asked) {
                broken.push((Rule::Heard, format!("it knew at {learnt:?} that {name} had ended")));
            }
            if let Some(over) = life.over.filter(|over| *over <= asked) {
                let bound = match answer.is_well() {
                    true => promise.staleness,
                    false => promise.staleness.max(promise.when_down),
                };
                self.tally.late(asked - over, bound);
                if asked >= over + bound {
                    let what = format!("{name} had ended at {over:?}, the bound is {bound:?}");
                    broken.push((Rule::Bound, what));
                }
            }
            let Some(gone) = life.gone else { continue };
            let warned = self.missed[process].iter().find(|missed| gone <= **missed);
            if let Some(missed) = warned.filter(|missed| **missed <= asked)
                && answer.is_well()
            {
                let what = format!("{name} ended at {gone:?}, and it was warned at {missed:?}");
                broken.push((Rule::Missed, what));
            }
            if let Some(push) = promise.push
                && asked > gone + push
            {
                broken.push((Rule::Push, format!("{name} had ended at {gone:?}")));
            }
        }
        for (rule, why) in broken {
            let what = format!("gate {process}, asked at {asked:?}, said yes: {why}");
            self.violations.push(Violation { rule, what });
        }
    }

    /// Holds a no against what is true.
    pub(super) fn check_no(&mut self, credential: &Credential, answer: &Answer, code: &str) {
        let is_sure = |life: &Life| {
            let is_old = |at: Stamp| at + PATIENCE < answer.asked;
            let is_alone = life.stirred[answer.process].is_none_or(is_old);
            life.opened.is_some_and(is_old)
                && life.gone.is_none()
                && (answer.is_settled || (!life.threatened && is_alone))
                && answer.answered_wall < life.expires
        };
        let is_owed = answer.is_settled || (answer.is_well() && answer.is_open);
        let in_time = answer.answered_wall < credential.expires;
        if is_owed && in_time && self.lives(credential).iter().all(is_sure) {
            let (process, asked) = (answer.process, answer.asked);
            let name = &self.sessions[credential.session].name;
            let what = format!("gate {process}, asked at {asked:?}, said {code}: {name} lives");
            self.violations.push(Violation { rule: Rule::Liveness, what });
        }
    }
}
