//! Clients that ask all the time, and what their answers must not be.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::scene::{Opened, Scene};
use crate::support::{
    PATIENCE,
    asker::{Answer, Asker},
    poll, say,
};

/// Clients of every gate: some ask with a session that will end, one with a session that lives on.
pub(super) struct Watch<'s> {
    scene: &'s Scene,
    name: &'static str,
    started: Instant,
    pub(super) victims: Vec<Opened>,
    pub(super) living: Opened,
    /// Of each victim when its end was acknowledged.
    ended: Vec<Option<Instant>>,
    /// Of each victim its askers, one a gate; those of the living session come last.
    askers: Vec<Vec<Asker>>,
}

/// What was answered.
pub(super) struct Seen {
    name: &'static str,
    bound: Duration,
    victims: Vec<(Option<Instant>, Vec<Vec<Answer>>)>,
    /// Of each gate.
    pub(super) living: Vec<Vec<Answer>>,
}

impl<'s> Watch<'s> {
    /// Opens so many sessions that will end and one that will not, and asks with all of them until each has its yes from
    /// every gate.
    pub(super) fn start(name: &'static str, scene: &'s Scene, victims: usize) -> Self {
        Self::over(name, scene, (0..victims).map(|_| scene.open()).collect())
    }

    /// The same with sessions that were opened before.
    pub(super) fn over(name: &'static str, scene: &'s Scene, victims: Vec<Opened>) -> Self {
        let living = scene.open();
        let ask = |session: &Opened| -> Vec<Asker> {
            let gates = scene.gates.iter();
            gates.map(|gate| Asker::start(gate.address, &session.token)).collect()
        };
        let askers: Vec<_> = victims.iter().chain([&living]).map(ask).collect();
        poll("a yes for everybody", PATIENCE, || {
            let all = askers.iter().flatten();
            all.map(Asker::last).all(|last| last.is_some_and(|a| a.status == 200)).then_some(())
        });
        let (ended, started) = (vec![None; victims.len()], Instant::now());
        Self { scene, name, started, victims, living, ended, askers }
    }

    /// The next of the victims' sessions ends by `how`, which says when that was acknowledged.
    pub(super) fn end_next(&mut self, how: impl FnOnce(&Opened) -> Instant) -> Instant {
        let next =
            self.ended.iter().position(Option::is_none).expect("a session that has not ended");
        let acknowledged = how(&self.victims[next]);
        self.ended[next] = Some(acknowledged);
        acknowledged
    }

    /// The next of the victims' sessions is ended through the issuer.
    pub(super) fn revoke_next(&mut self) -> Instant {
        let scene = self.scene;
        self.end_next(|session| scene.revoke(session))
    }

    /// Waits until every client has sent a question later than `moment` that was answered.
    pub(super) fn wait_until(&self, moment: Instant) {
        poll("later questions", PATIENCE, || {
            self.askers.iter().flatten().all(|asker| asker.last_sent() > moment).then_some(())
        });
    }

    /// Waits well beyond the bound after the last end, so that a yes that comes too late is seen.
    pub(super) fn wait_beyond_the_bound(&self) {
        let last = self.ended.iter().flatten().max().copied().unwrap_or_else(Instant::now);
        self.wait_until(last + self.scene.bound * 3 / 2);
    }

    /// Waits until the living session is let pass and the ended ones are refused, by all gates; prints how long that took
    /// since the fault was over.
    pub(super) fn wait_until_well(&self, over: Instant) {
        self.scene.wait_until_well(&self.living);
        let mut by: Vec<&[Asker]> = Vec::new();
        for (session, askers) in self.ended.iter().zip(&self.askers) {
            if session.is_some() {
                by.push(askers);
            }
        }
        poll("a no for who was revoked", PATIENCE, || {
            let mut last = by.iter().flat_map(|askers| askers.iter()).map(Asker::last);
            last.all(|last| last.is_some_and(|a| a.status == 401)).then_some(())
        });
        say(&format!("{}: all is well {} ms after", self.name, over.elapsed().as_millis()));
    }

    /// Stops asking.
    pub(super) fn stop(self) -> Seen {
        let seconds = self.started.elapsed().as_secs_f64();
        let mut answers: Vec<Vec<Vec<Answer>>> = self
            .askers
            .into_iter()
            .map(|askers| askers.into_iter().map(Asker::stop).collect())
            .collect();
        let living = answers.pop().expect("those of the living session");
        let victims = self.ended.into_iter().zip(answers).collect();
        let seen = Seen { name: self.name, bound: self.scene.bound, victims, living };
        seen.print(seconds);
        seen
    }
}

impl Seen {
    /// All that holds in every case where one server at a time takes writes.
    pub(super) fn holds_the_promise(&self) {
        self.holds_once_acknowledged();
        for (_, answers) in &self.victims {
            for (gate, answers) in answers.iter().enumerate() {
                self.no_yes_after_a_no(gate, answers);
            }
        }
    }

    /// All that holds in every case. While there are two masters, an attempt to revoke that was answered 503 may show at a
    /// gate until that gate asks the other one; so a no counts from the acknowledgement on.
    pub(super) fn holds_once_acknowledged(&self) {
        for (ended, answers) in &self.victims {
            for (gate, answers) in answers.iter().enumerate() {
                self.no_late_yes(gate, *ended, answers);
                let acknowledged =
                    |answer: &Answer| ended.is_some_and(|ended| answer.sent >= ended);
                let from = answers.iter().position(acknowledged).unwrap_or(answers.len());
                self.no_yes_after_a_no(gate, &answers[from..]);
            }
        }
        for answers in &self.living {
            let odd = answers.iter().find(|answer| !matches!(answer.status, 200 | 503));
            assert!(odd.is_none(), "{}: a session that lives: {odd:?}", self.name);
        }
    }

    /// Where there is none that lives on.
    pub(super) fn without_the_living(self) -> Self {
        Self { living: Vec::new(), ..self }
    }

    /// No yes at all for the living session to a question that was sent in this time.
    pub(super) fn says_nothing(&self, from: Instant, until: Instant) {
        for answers in &self.living {
            let mut meant = answers.iter().filter(|a| a.sent >= from && a.sent + a.took < until);
            let odd = meant.find(|answer| answer.status != 503);
            assert!(odd.is_none(), "{}: {odd:?} later than {from:?}", self.name);
        }
    }

    /// How many answers there were of that status.
    pub(super) fn count(&self, status: u16) -> usize {
        self.all().filter(|answer| answer.status == status).count()
    }

    /// When the last yes for a session that had ended was asked for, after that was acknowledged; the latest of all.
    pub(super) fn last_yes(&self) -> Duration {
        let late = self.victims.iter().flat_map(|(ended, answers)| {
            answers.iter().flatten().filter(|answer| answer.status == 200).map(|answer| {
                ended.map_or(Duration::ZERO, |ended| answer.sent.saturating_duration_since(ended))
            })
        });
        late.max().unwrap_or_default()
    }

    fn no_late_yes(&self, gate: usize, ended: Option<Instant>, answers: &[Answer]) {
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

    fn no_yes_after_a_no(&self, gate: usize, answers: &[Answer]) {
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
