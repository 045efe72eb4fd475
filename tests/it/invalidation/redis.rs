//! Invalidations by Redis: by tracking, by messages of our own, or not at all; and servers that go and come.

use std::time::{Duration, Instant};

use portcullis::store::invalidation::DeliveryMode;

use super::{DATABASE, follow, print_percentiles};
use crate::support::redis::{RedisServer, Transport, connect};

/// The URL with a user's name and password in it.
fn as_user(server: &RedisServer, user: &str) -> String {
    server.url().replace("redis://", &format!("redis://{user}:secret@"))
}

async fn allow(server: &RedisServer, user: &str, rules: &[&str]) {
    let mut words = vec!["ACL", "SETUSER", user, "on", ">secret", "~*"];
    words.extend(rules);
    let _: () = server.ask(DATABASE, &words).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_changes_a_cached_key_is_reported_and_nothing_else() {
    let Some(server) = RedisServer::start_with(Transport::Tcp, &[]) else { return };
    let subscription = follow(&server.url()).after(DeliveryMode::Tracking);
    for command in [
        &["HSET", "portcullis:seen:a", "last_seen", "7"][..],
        &["SET", "portcullis:restrict:a", "7"],
        &["ZADD", "portcullis:user:alice", "7", "a"],
        &["DEL", "portcullis:session:never-there"],
        &["SET", "other:session:a", "7"],
        &["HSET", "portcullis:session:a", "user", "alice"],
        &["SET", "portcullis:not-before:alice", "7"],
        &["HSET", "portcullis:opaque:digest", "kind", "refresh"],
        &["DEL", "portcullis:session:a"],
        &["SET", "portcullis:session:last", "7"],
    ] {
        let _: redis::Value = server.ask(DATABASE, command).await;
    }
    subscription.time_of("portcullis:session:last");
    assert_eq!(
        subscription.keys(),
        [
            "portcullis:session:a",
            "portcullis:not-before:alice",
            "portcullis:opaque:digest",
            "portcullis:session:a",
            "portcullis:session:last",
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_key_of_ten_thousand_that_go_at_once_is_reported() {
    let Some(server) = RedisServer::start_with(Transport::Unix, &[]) else { return };
    let names: Vec<String> = (0..10_000).map(|n| format!("portcullis:session:{n}")).collect();
    let pairs: Vec<&str> = names.iter().flat_map(|name| [name.as_str(), "7"]).collect();
    let _: () = server.ask(DATABASE, &[&["MSET"], pairs.as_slice()].concat()).await;
    let subscription = follow(&server.url()).after(DeliveryMode::Tracking);
    let keys: Vec<&str> = names.iter().map(String::as_str).collect();
    let _: () = server.ask(DATABASE, &[&["DEL"], keys.as_slice()].concat()).await;
    let _: () = server.ask(DATABASE, &["SET", "portcullis:session:last", "7"]).await;
    subscription.time_of("portcullis:session:last");
    let mut events = subscription.keys();
    events.sort();
    events.dedup();
    assert_eq!(events.len(), 10_001);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_emptied_makes_everything_suspect() {
    let Some(server) = RedisServer::start_with(Transport::Tcp, &[]) else { return };
    let _: () = server.ask(DATABASE, &["SET", "portcullis:session:a", "7"]).await;
    let subscription = follow(&server.url()).after(DeliveryMode::Tracking);
    let _: () = server.ask(0, &["FLUSHALL"]).await;
    subscription.wait_for_loss(1);
    assert_eq!(subscription.state.mode(), DeliveryMode::Tracking);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_whose_connection_is_cut_reports_a_loss_at_once_and_again_when_it_is_back() {
    let Some(server) = RedisServer::start_with(Transport::Tcp, &[]) else { return };
    let subscription = follow(&server.url()).after(DeliveryMode::Tracking);
    for round in 1..=5 {
        let clients: String = server.ask(DATABASE, &["CLIENT", "LIST"]).await;
        let tracking = clients.lines().filter(|client| client.contains("flags=tB"));
        let ids: Vec<&str> = tracking.filter_map(|line| line.split(['=', ' ']).nth(1)).collect();
        let [id] = ids[..] else { panic!("{clients}") };
        let _: i64 = server.ask(DATABASE, &["CLIENT", "KILL", "ID", id]).await;
        // Somebody ends a session while nobody listens.
        let key = format!("portcullis:session:{round}");
        let _: () = server.ask(DATABASE, &["SET", &key, "7"]).await;
        let changed = Instant::now();
        subscription.wait_for_loss(2 * round - 1);
        let again = subscription.wait_for_loss(2 * round);
        assert!(
            again > changed || subscription.keys().contains(&key),
            "a change that nobody was message of"
        );
        subscription.wait_for_mode(DeliveryMode::Tracking);
    }
    let _: () = server.ask(DATABASE, &["SET", "portcullis:session:last", "7"]).await;
    subscription.time_of("portcullis:session:last");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_is_followed_again_when_it_is_back() {
    let Some(mut server) = RedisServer::start_with(Transport::Tcp, &[]) else { return };
    let _: () = server.ask(DATABASE, &["SET", "portcullis:session:a", "7"]).await;
    let subscription = follow(&server.url()).after(DeliveryMode::Tracking);
    server.kill();
    subscription.wait_for_mode(DeliveryMode::Bound);
    // While it is away, who prefers no answer to an old one is message again and again, but not drowned.
    let third = subscription.wait_for_loss(3);
    assert!(third - subscription.wait_for_loss(1) > Duration::from_millis(1_500));
    server.restart();
    let _: () = server.ask(DATABASE, &["DEL", "portcullis:session:a"]).await;
    let changed = Instant::now();
    subscription.wait_for_mode(DeliveryMode::Tracking);
    let last = *subscription.losses().last().expect("lost");
    assert!(
        last > changed || !subscription.keys().is_empty(),
        "a change that nobody was message of"
    );
    let _: () = server.ask(DATABASE, &["SET", "portcullis:session:b", "7"]).await;
    subscription.time_of("portcullis:session:b");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_noticed() {
    let Some(server) = RedisServer::start_with(Transport::Tcp, &[]) else { return };
    let subscription = follow(&server.url()).after(DeliveryMode::Tracking);
    server.pause();
    let frozen = Instant::now();
    let noticed = subscription.wait_for_loss(1) - frozen;
    println!("a frozen server was noticed after {noticed:?}");
    server.resume();
    subscription.wait_for_loss(2);
    subscription.wait_for_mode(DeliveryMode::Tracking);
    subscription.wait_for_another_answer();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_let_us_track_lets_our_processes_tell_each_other() {
    let Some(server) = RedisServer::start_with(Transport::Tcp, &[]) else { return };
    allow(&server, "gate", &["&*", "+@all", "-client|tracking"]).await;
    let resp2 = format!("{}?protocol=resp2", server.url());
    for url in [as_user(&server, "gate"), resp2] {
        let subscription = follow(&url).after(DeliveryMode::PubSub);
        let message = ["PUBLISH", "portcullis:changes:9", "portcullis:session:a"];
        let _: () = server.ask(0, &message).await;
        subscription.time_of("portcullis:session:a");
        let elsewhere = ["PUBLISH", "portcullis:changes:8", "portcullis:session:b"];
        let _: () = server.ask(0, &elsewhere).await;
        let _: i64 = server.ask(0, &["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        subscription.wait_for_loss(2);
        subscription.wait_for_mode(DeliveryMode::PubSub);
        let _: () = server.ask(0, &message).await;
        assert_eq!(subscription.keys(), ["portcullis:session:a"; 2][..subscription.keys().len()]);
        server.pause();
        subscription.wait_for_loss(3);
        subscription.wait_for_mode(DeliveryMode::Bound);
        server.resume();
        subscription.wait_for_mode(DeliveryMode::PubSub);
        assert_eq!(subscription.answers(), 0, "only what our processes change is told of");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_subscription_is_allowed_the_bound_holds_and_the_server_is_watched() {
    let Some(server) = RedisServer::start_with(Transport::Tcp, &[]) else { return };
    let rules = ["resetchannels", "+@all", "-client|tracking"];
    allow(&server, "gate", &rules).await;
    let subscription = follow(&as_user(&server, "gate"));
    // Its subscriber waits there, refused.
    crate::support::poll("a subscriber", crate::support::PATIENCE, || {
        let clients: String = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(server.ask(0, &["CLIENT", "LIST"]))
        });
        clients.contains("user=gate").then_some(())
    });
    assert_eq!(subscription.state.mode(), DeliveryMode::Bound);
    server.pause();
    let before = subscription.losses().len();
    subscription.wait_for_loss(before + 1);
    server.resume();
    assert_eq!(subscription.state.mode(), DeliveryMode::Bound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_deletion_is_reported() {
    const TIMES: usize = 500;
    let Some(server) = RedisServer::start_with(Transport::Tcp, &[]) else { return };
    let subscription = follow(&server.url()).after(DeliveryMode::Tracking);
    let client = redis::Client::open(format!("{}?db={DATABASE}", server.url())).expect("client");
    let mut connection = connect(&client).await.expect("connection");
    let mut times = Vec::with_capacity(TIMES);
    for n in 0..TIMES {
        let key = format!("portcullis:session:{n}");
        let _: () =
            redis::cmd("SET").arg(&key).arg(7).query_async(&mut connection).await.expect("set");
        subscription.time_of(&key);
        subscription.listener.events.lock().expect("listener").clear();
        let asked = Instant::now();
        let _: () = redis::cmd("DEL").arg(&key).query_async(&mut connection).await.expect("del");
        times.push(subscription.time_of(&key) - asked);
    }
    print_percentiles("DEL to event", times);
}
