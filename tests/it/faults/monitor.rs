//! Clients that ask all the time, and the checks of their answers.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::fixture::{Fixture, OpenSession};
use crate::support::{
    PATIENCE, poll,
    prober::{Answer, Prober},
    say,
};

/// Clients of every gate: some ask with a session that will end, one with a session that lives on.
pub(super) struct Monitor<'s> {
    fixture: &'s Fixture,
    name: &'static str,
    started: Instant,
    pub(super) victims: Vec<OpenSession>,
    pub(super) living: OpenSession,
    /// Of each victim when its end was acknowledged.
    ended: Vec<Option<Instant>>,
    /// Of each victim its probers, one a gate; those of the living session come last.
    probers: Vec<Vec<Prober>>,
}

/// All answers.
pub(super) struct Observations {
    name: &'static str,
    bound: Duration,
    victims: Vec<(Option<Instant>, Vec<Vec<Answer>>)>,
    /// Of each gate.
    pub(super) living: Vec<Vec<Answer>>,
}

impl<'s> Monitor<'s> {
    /// Opens so many sessions that will end and one that will not, and asks with all of them until each has its yes from
    /// every gate.
    pub(super) fn start(name: &'static str, fixture: &'s Fixture, victims: usize) -> Self {
        Self::over(name, fixture, (0..victims).map(|_| fixture.open()).collect())
    }

    /// The same with sessions that were opened before.
    pub(super) fn over(
        name: &'static str,
        fixture: &'s Fixture,
        victims: Vec<OpenSession>,
    ) -> Self {
        let living = fixture.open();
        let ask = |session: &OpenSession| -> Vec<Prober> {
            let gates = fixture.gates.iter();
            gates.map(|gate| Prober::start(gate.address, &session.token)).collect()
        };
        let probers: Vec<_> = victims.iter().chain([&living]).map(ask).collect();
        poll("a yes for everybody", PATIENCE, || {
            let all = probers.iter().flatten();
            all.map(Prober::last).all(|last| last.is_some_and(|a| a.status == 200)).then_some(())
        });
        let (ended, started) = (vec![None; victims.len()], Instant::now());
        Self { fixture, name, started, victims, living, ended, probers }
    }

    /// The next of the victims' sessions ends by `how`, which says when that was acknowledged.
    pub(super) fn end_next(&mut self, how: impl FnOnce(&OpenSession) -> Instant) -> Instant {
        let next =
            self.ended.iter().position(Option::is_none).expect("a session that has not ended");
        let acknowledged = how(&self.victims[next]);
        self.ended[next] = Some(acknowledged);
        acknowledged
    }

    /// The next of the victims' sessions is ended through the issuer.
    pub(super) fn revoke_next(&mut self) -> Instant {
        let fixture = self.fixture;
        self.end_next(|session| fixture.revoke(session))
    }

    /// Waits until every client has sent a question later than `moment` that was answered.
    pub(super) fn wait_until(&self, moment: Instant) {
        poll("later questions", PATIENCE, || {
            self.probers.iter().flatten().all(|prober| prober.last_sent() > moment).then_some(())
        });
    }

    /// Waits well beyond the bound after the last end, so that a yes that comes too late is observed.
    pub(super) fn wait_beyond_the_bound(&self) {
        let last = self.ended.iter().flatten().max().copied().unwrap_or_else(Instant::now);
        self.wait_until(last + self.fixture.bound * 3 / 2);
    }

    /// Waits until the living session is let pass and the ended ones are refused, by all gates; prints how long that took
    /// since the fault was over.
    pub(super) fn wait_until_recovered(&self, over: Instant) {
        self.fixture.wait_until_recovered(&self.living);
        let mut by: Vec<&[Prober]> = Vec::new();
        for (session, probers) in self.ended.iter().zip(&self.probers) {
            if session.is_some() {
                by.push(probers);
            }
        }
        poll("a no for who was revoked", PATIENCE, || {
            let mut last = by.iter().flat_map(|probers| probers.iter()).map(Prober::last);
            last.all(|last| last.is_some_and(|a| a.status == 401)).then_some(())
        });
        say(&format!("{}: all is well {} ms after", self.name, over.elapsed().as_millis()));
    }

    /// Stops asking.
    pub(super) fn stop(self) -> Observations {
        let seconds = self.started.elapsed().as_secs_f64();
        let mut answers: Vec<Vec<Vec<Answer>>> = self
            .probers
            .into_iter()
            .map(|probers| probers.into_iter().map(Prober::stop).collect())
            .collect();
        let living = answers.pop().expect("those of the living session");
        let victims = self.ended.into_iter().zip(answers).collect();
        let observed = Observations { name: self.name, bound: self.fixture.bound, victims, living };
        observed.print(seconds);
        observed
    }
}

impl Observations {
    /// Checks all that holds in every case where one server at a time takes writes.
    pub(super) fn holds_the_bound(&self) {
        self.holds_once_acknowledged();
        for (_, answers) in &self.victims {
            for (gate, answers) in answers.iter().enumerate() {
                self.check_no_yes_after_a_no(gate, answers);
            }
        }
    }

    /// Checks all that holds in every case. While there are two masters, an attempt to revoke that was answered 503 may
    /// show at a gate until that gate asks the other one; so a no counts from the acknowledgement on.
    pub(super) fn holds_once_acknowledged(&self) {
        for (ended, answers) in &self.victims {
            for (gate, answers) in answers.iter().enumerate() {
                self.check_no_late_yes(gate, *ended, answers);
                let acknowledged =
                    |answer: &Answer| ended.is_some_and(|ended| answer.sent >= ended);
                let from = answers.iter().position(acknowledged).unwrap_or(answers.len());
                self.check_no_yes_after_a_no(gate, &answers[from..]);
            }
        }
        for answers in &self.living {
            let odd = answers.iter().find(|answer| !matches!(answer.status, 200 | 503));
            assert!(odd.is_none(), "{}: a session that lives: {odd:?}", self.name);
        }
    }

    /// The same without the answers for the live session, where there is none.
    pub(super) fn without_the_live_session(self) -> Self {
        Self { living: Vec::new(), ..self }
    }

    /// No yes at all for the live session to a request that was sent in this time.
    pub(super) fn is_unavailable_between(&self, from: Instant, until: Instant) {
        for answers in &self.living {
            let mut meant = answers.iter().filter(|a| a.sent >= from && a.sent + a.took < until);
            let odd = meant.find(|answer| answer.status != 503);
            assert!(odd.is_none(), "{}: {odd:?} later than {from:?}", self.name);
        }
    }

    /// The number of answers of that status.
    pub(super) fn count(&self, status: u16) -> usize {
        self.all().filter(|answer| answer.status == status).count()
    }

    /// The time from an acknowledged end of a session to the last request that was still let in; the longest of all.
    pub(super) fn last_yes(&self) -> Duration {
        let late = self.victims.iter().flat_map(|(ended, answers)| {
            answers.iter().flatten().filter(|answer| answer.status == 200).map(|answer| {
                ended.map_or(Duration::ZERO, |ended| answer.sent.saturating_duration_since(ended))
            })
        });
        late.max().unwrap_or_default()
    }

    fn check_no_late_yes(&self, gate: usize, ended: Option<Instant>, answers: &[Answer]) {
        let odd = answers.iter().find(|answer| !matches!(answer.status, 200 | 401 | 503));
        assert!(odd.is_none(), "{}: {odd:?}", self.name);
        let Some(ended) = ended else { return };
        assert!(
            answers.last().is_some_and(|last| last.sent > ended + self.bound),
            "nothing was tested"
        );
        let late = answers.iter().find(|a| a.status == 200 && a.sent >= ended + self.bound);
        let by = late.map(|answer| answer.sent - ended);
        assert!(late.is_none(), "{}: gate {}: a yes {by:?} after the end", self.name, gate + 1);
    }

    fn check_no_yes_after_a_no(&self, gate: usize, answers: &[Answer]) {
        let first_no = answers.iter().position(|answer| answer.status == 401);
        let after = &answers[first_no.unwrap_or(answers.len())..];
        let odd = after.iter().find(|answer| answer.status == 200);
        assert!(odd.is_none(), "{}: gate {}: a yes after a no: {odd:?}", self.name, gate + 1);
    }

    fn all(&self) -> impl Iterator<Item = &Answer> {
        let of_victims = self.victims.iter().flat_map(|(_, answers)| answers.iter().flatten());
        of_victims.chain(self.living.iter().flatten())
    }

    fn print(&self, seconds: f64) {
        let mut took: Vec<Duration> = self.all().map(|answer| answer.took).collect();
        took.sort();
        let mut statuses = BTreeMap::<u16, usize>::new();
        self.all().for_each(|answer| *statuses.entry(answer.status).or_default() += 1);
        let statuses: Vec<String> = statuses.iter().map(|(s, n)| format!("{s}: {n}")).collect();
        say(&format!(
            "{}: {:.0} requests/s ({}); the last yes {} ms after an end; p99 {} ms, slowest {} ms",
            self.name,
            took.len() as f64 / seconds,
            statuses.join(", "),
            self.last_yes().as_millis(),
            took[took.len() * 99 / 100].as_millis(),
            took.last().expect("an answer").as_millis(),
        ));
    }
}
