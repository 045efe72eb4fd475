//! The session store goes away and comes back.

use std::time::{Duration, Instant};

use crate::support::{
    PATIENCE, http, poll,
    prober::{Answer, Prober},
    realm::Realm,
    redis::{RedisServer, Transport},
};

/// `SESSION_STALENESS`: how long an answer of the store may be believed.
const BOUND: Duration = Duration::from_secs(1);

#[test]
fn without_its_store_the_gate_says_503_and_never_yes_until_it_is_back() {
    let Some(mut server) = RedisServer::start_with(Transport::Tcp, &[]) else { return };
    let realm = Realm::new()
        .with("SESSION_STALENESS", &BOUND.as_secs().to_string())
        .with("DB_URL", &server.url());
    let gate = realm.gate();
    let (good, ended) = (realm.mint("alice", &[]), realm.mint("bob", &[]));
    realm.revoke(&ended);
    for _ in 0..2 {
        // A busy machine may have the first answers come later than the store is allowed to take.
        poll("a yes", PATIENCE, || (gate.check(&good).status == 200).then_some(()));
        poll("a no", PATIENCE, || (gate.check(&ended).status == 401).then_some(()));
        let probers = [&good, &ended].map(|token| Prober::start(gate.address, token));
        poll("answers", PATIENCE, || probers.iter().all(|a| a.answered() > 5).then_some(()));
        server.kill();
        let killed = Instant::now();
        poll("questions after the bound", PATIENCE, || {
            probers.iter().all(|prober| prober.last_sent() > killed + 2 * BOUND).then_some(())
        });
        assert_eq!(http::get(gate.metrics, "/health", &[]).status, 200, "the process lives");
        assert_eq!(gate.ready().status, 503);
        assert!(gate.counter("portcullis_store_failures_total", &[("operation", "get")]) > 0.0);
        let [good_answers, ended_answers] = probers.map(Prober::stop);
        fails_closed(killed, &good_answers);
        assert!(ended_answers.iter().all(|answer| matches!(answer.status, 401 | 503)));
        let last = ended_answers.last().expect("an answer");
        assert_eq!(last.status, 503, "what cannot be known is not judged");

        server.restart();
        poll("a yes again", PATIENCE, || (gate.check(&good).status == 200).then_some(()));
        poll("a no again", PATIENCE, || match gate.check(&ended).status {
            401 => Some(()),
            503 => None,
            other => panic!("{other} for a session that was revoked"),
        });
        poll("ready again", PATIENCE, || (gate.ready().status == 200).then_some(()));
    }
}

#[test]
fn a_store_that_is_down_at_the_start_is_said_at_the_start() {
    let Some(mut server) = RedisServer::start_with(Transport::Tcp, &[]) else { return };
    server.kill();
    let realm = Realm::new().with("DB_URL", &server.url());
    let gate = realm.gate();
    poll("a word for it", PATIENCE, || {
        gate.log().contains("started without the store").then_some(())
    });
    server.restart();
    let token = realm.mint("alice", &[]);
    poll("a yes", PATIENCE, || (gate.check(&token).status == 200).then_some(()));
}

/// No question that was sent later than the bound after the kill got anything but 503.
fn fails_closed(killed: Instant, answers: &[Answer]) {
    let late: Vec<&Answer> = answers.iter().filter(|a| a.sent >= killed + BOUND).collect();
    assert!(!late.is_empty(), "nothing was put to the test");
    let odd = late.iter().find(|answer| answer.status != 503);
    assert!(odd.is_none(), "{odd:?}, killed {killed:?}");
    assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 503)));
}
