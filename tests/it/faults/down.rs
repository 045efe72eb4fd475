//! `SESSION_STORE_DOWN` and a store that is gone: three gates side by side, and the answers of each over time.

use std::time::{Duration, Instant};

use super::fixture::{BOUND, ProxiedFixture};
use crate::support::{PATIENCE, poll, prober::Answer, prober::Prober, say};

/// `stale-for` so long: longer than the bound.
const STALE_FOR: Duration = Duration::from_secs(3);

#[test]
fn a_store_that_is_gone_is_lived_with_as_the_operator_says() {
    let [unset, deny, stale]: [&[(&str, &str)]; 3] =
        [&[], &[("SESSION_STORE_DOWN", "deny")], &[("SESSION_STORE_DOWN", "stale-for 3")]];
    let Some(fixture) = ProxiedFixture::with(&[], &[unset, deny, stale]) else { return };
    for gate in &fixture.gates[1..] {
        gate.wait_for_log("SESSION_STORE_DOWN");
    }
    let (living, ended) = (fixture.open(), fixture.open());
    fixture.wait_until_recovered(&ended);
    fixture.revoke(&ended);
    for gate in &fixture.gates {
        poll("a no", PATIENCE, || (gate.check(&ended.token).status == 401).then_some(()));
    }
    let ask = |token: &str| -> Vec<Prober> {
        fixture.gates.iter().map(|gate| Prober::start(gate.address, token)).collect()
    };
    let (probers, of_ended) = (ask(&living.token), ask(&ended.token));
    poll("a yes", PATIENCE, || {
        probers.iter().all(|prober| prober.last().is_some_and(|a| a.status == 200)).then_some(())
    });
    fixture.server().kill();
    let killed = Instant::now();
    poll("questions beyond every bound", PATIENCE, || {
        let is_late = |prober: &Prober| prober.last_sent() > killed + STALE_FOR + BOUND;
        probers.iter().chain(&of_ended).all(is_late).then_some(())
    });
    let answers: Vec<Vec<Answer>> = probers.into_iter().map(Prober::stop).collect();
    let [unset, deny, stale] = answers.as_slice() else { panic!("three gates") };
    for (name, limit, answers) in
        [("unset", BOUND, unset), ("deny", BOUND, deny), ("stale-for 3", STALE_FOR, stale)]
    {
        only_until(name, killed, limit, answers);
    }
    // The others have gone silent by then; this one was read at most the bound before the kill.
    let sure = |answer: &&Answer| {
        answer.sent > killed && answer.sent + answer.took < killed + STALE_FOR - BOUND
    };
    let odd = stale.iter().filter(sure).find(|answer| answer.status != 200);
    assert!(odd.is_none(), "stale-for 3 said no before its time: {odd:?}, killed {killed:?}");
    for answers in of_ended.into_iter().map(Prober::stop) {
        let odd = answers.iter().find(|answer| answer.status == 200);
        assert!(odd.is_none(), "what is known to have ended is no yes, however long: {odd:?}");
    }
}

/// Yes until then at most, and 503 from then on.
fn only_until(name: &str, killed: Instant, limit: Duration, answers: &[Answer]) {
    let yes = answers.iter().filter(|answer| answer.status == 200).map(|answer| answer.sent).max();
    let last = yes.expect("a yes before the kill");
    let no = answers.iter().find(|answer| answer.status == 503).expect("a 503 after it");
    let after = |moment: Instant| moment.saturating_duration_since(killed).as_millis();
    say(&format!(
        "SESSION_STORE_DOWN {name}: the first 503 {} ms, the last yes {} ms after the store was killed",
        after(no.sent),
        after(last)
    ));
    assert!(last < killed + limit, "{name}: a yes {} ms after the kill", after(last));
    let odd = answers.iter().find(|answer| !matches!(answer.status, 200 | 503));
    assert!(odd.is_none(), "{name}: {odd:?}");
}
