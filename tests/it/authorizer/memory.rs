//! Answers that are remembered: for how long, by what, and one question for all who ask at once.

use std::sync::Arc;
use std::time::Duration;

use portcullis::clock::{ManualClock, UnixTime};
use portcullis::gate::authorizer::{Authorizer, AuthorizerConfig, AuthorizerFormat};
use portcullis::gate::denial::DenialCode;
use portcullis::gate::metrics::GateMetrics;
use portcullis::policy::DecisionRequest;
use serde_json::json;

use super::{ask, decided, realm};
use crate::support::{PATIENCE, scripted_server::ScriptedServer};

const BOUND: Duration = Duration::from_secs(5);

fn start() -> UnixTime {
    UnixTime::from_secs(1_800_000_000)
}

/// An authorizer of this memory, and the clock by which it remembers.
fn authorizer(server: &ScriptedServer, max_age: Duration) -> (Arc<Authorizer>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(start()));
    let config = AuthorizerConfig {
        url: server.url("/decide").parse().expect("a URL"),
        format: AuthorizerFormat::Simple,
        token: None,
        authorities: None,
        timeout: PATIENCE,
        max_age,
    };
    let authorizer = Authorizer::new(&config, clock.clone(), &GateMetrics::default());
    (Arc::new(authorizer.expect("the system's authorities")), clock)
}

fn request() -> DecisionRequest {
    DecisionRequest {
        subject: "alice".to_owned(),
        roles: vec!["clerk".to_owned()],
        scopes: vec!["read".to_owned()],
        action: "see".to_owned(),
        resource_type: "order".to_owned(),
        resource: "17".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_remembered_for_the_bound_and_not_a_moment_longer() {
    for (answer, is_allowed) in [(true, true), (false, false)] {
        let server = ScriptedServer::start();
        let (authorizer, clock) = authorizer(&server, BOUND);
        let decide = async || authorizer.decide(&request()).await;
        server.says(&json!({ "allow": answer }));
        assert_eq!(decide().await, Ok(is_allowed));
        server.answers("500 Internal Server Error", "", b"");
        clock.advance(BOUND - Duration::from_millis(1));
        assert_eq!(decide().await, Ok(is_allowed));
        clock.advance(Duration::from_millis(1));
        assert_eq!(decide().await, Err(DenialCode::AuthorizerUnavailable), "nothing outlasts it");
        server.says(&json!({ "allow": !answer }));
        assert_eq!(decide().await, Ok(!is_allowed), "a failure is not remembered");
        assert_eq!(server.take().len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_that_ran_further_counts() {
    let server = ScriptedServer::start();
    let (authorizer, clock) = authorizer(&server, BOUND);
    server.says(&json!({"allow": true}));
    assert_eq!(authorizer.decide(&request()).await, Ok(true));
    server.says(&json!({"allow": false}));
    // The host slept: its monotonic clock stood still.
    clock.set_wall(start().after(BOUND));
    assert_eq!(authorizer.decide(&request()).await, Ok(false));
    // Somebody set the clock back: the other one goes on.
    server.says(&json!({"allow": true}));
    clock.set_wall(start());
    clock.advance(BOUND);
    assert_eq!(authorizer.decide(&request()).await, Ok(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_for_all_that_was_sent_and_for_nothing_else() {
    let server = ScriptedServer::start();
    let (authorizer, _clock) = authorizer(&server, BOUND);
    server.says(&json!({"allow": true}));
    assert_eq!(authorizer.decide(&request()).await, Ok(true));
    server.says(&json!({"allow": false}));
    let text = || "other".to_owned();
    for other in [
        DecisionRequest { subject: text(), ..request() },
        DecisionRequest { roles: vec![], ..request() },
        DecisionRequest { roles: vec!["clerk".to_owned(), text()], ..request() },
        DecisionRequest { scopes: vec![], ..request() },
        DecisionRequest { action: text(), ..request() },
        DecisionRequest { resource_type: text(), ..request() },
        DecisionRequest { resource: text(), ..request() },
        // The same letters in other places.
        DecisionRequest {
            action: "seeorder".to_owned(),
            resource_type: String::new(),
            ..request()
        },
    ] {
        assert_eq!(authorizer.decide(&other).await, Ok(false), "{other:?}");
    }
    assert_eq!(authorizer.decide(&request()).await, Ok(true));
    assert_eq!(server.take().len(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_memory_no_answer_is_older_than_the_request() {
    let server = ScriptedServer::start();
    let (authorizer, clock) = authorizer(&server, Duration::ZERO);
    server.says(&json!({"allow": true}));
    server.hold();
    let decide = || {
        let authorizer = Arc::clone(&authorizer);
        tokio::spawn(async move { authorizer.decide(&request()).await })
    };
    let first = decide();
    tokio::task::spawn_blocking({
        let server = server.clone();
        move || server.wait_for_question()
    })
    .await
    .expect("no panic");
    // What is asked now may have changed since the question that is under way.
    clock.advance(Duration::from_millis(1));
    let second = decide();
    tokio::task::yield_now().await;
    server.release();
    assert_eq!(first.await.expect("no panic"), Ok(true));
    assert_eq!(second.await.expect("no panic"), Ok(true));
    assert_eq!(server.take().len(), 2, "the second had a question of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_ask_the_same_at_once_cost_one_question() {
    let server = ScriptedServer::start();
    let (authorizer, _clock) = authorizer(&server, BOUND);
    server.says(&json!({"allow": true}));
    server.hold();
    let asking: Vec<_> = (0..50)
        .map(|_| {
            let authorizer = Arc::clone(&authorizer);
            tokio::spawn(async move { authorizer.decide(&request()).await })
        })
        .collect();
    let held = server.clone();
    let asked = tokio::task::spawn_blocking(move || held.wait_for_question());
    asked.await.expect("no panic");
    server.release();
    for answer in asking {
        assert_eq!(answer.await.expect("no panic"), Ok(true));
    }
    assert_eq!(server.take().len(), 1);
}

#[test]
fn a_gate_remembers_for_session_staleness_unless_it_is_told_less() {
    for (cache, questions) in [(None, 1), (Some("3600"), 1), (Some("0"), 5)] {
        let server = ScriptedServer::start();
        let realm = realm(&server.url("/decide")).with("SESSION_STALENESS", "3600");
        let realm = match cache {
            Some(seconds) => realm.with("AUTHORIZER_CACHE", seconds),
            None => realm,
        };
        let alice = realm.mint("alice", &[]);
        let gate = realm.gate();
        server.says(&json!({"allow": true}));
        for _ in 0..5 {
            assert_eq!(ask(&gate, "GET", "/orders/1", &alice).status, 200, "{cache:?}");
        }
        assert_eq!(server.take().len(), questions, "{cache:?}");
        let remembered = f64::from(5 - u32::try_from(questions).expect("few"));
        assert_eq!(decided(&gate, "remembered"), remembered, "{cache:?}");
        // A session that ended is over, whatever is remembered of decisions.
        realm.revoke(&alice);
        crate::support::poll("the end", PATIENCE, || {
            (ask(&gate, "GET", "/orders/1", &alice).status == 401).then_some(())
        });
    }
}
