//! News of Redis: by tracking, by messages of our own, or not at all; and servers that go and come.

use std::time::{Duration, Instant};

use portcullis::storage::news::Means;

use super::{DATABASE, figures, follow};
use crate::support::redis::{Reach, RedisServer};

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
async fn whatever_changes_a_remembered_key_is_heard_and_nothing_else() {
    let Some(server) = RedisServer::start_with(Reach::Tcp, &[]) else { return };
    let listening = follow(&server.url()).by(Means::Tracking);
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
    listening.when("portcullis:session:last");
    assert_eq!(
        listening.keys(),
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
async fn every_key_of_ten_thousand_that_go_at_once_is_heard() {
    let Some(server) = RedisServer::start_with(Reach::Unix, &[]) else { return };
    let names: Vec<String> = (0..10_000).map(|n| format!("portcullis:session:{n}")).collect();
    let pairs: Vec<&str> = names.iter().flat_map(|name| [name.as_str(), "7"]).collect();
    let _: () = server.ask(DATABASE, &[&["MSET"], pairs.as_slice()].concat()).await;
    let listening = follow(&server.url()).by(Means::Tracking);
    let keys: Vec<&str> = names.iter().map(String::as_str).collect();
    let _: () = server.ask(DATABASE, &[&["DEL"], keys.as_slice()].concat()).await;
    let _: () = server.ask(DATABASE, &["SET", "portcullis:session:last", "7"]).await;
    listening.when("portcullis:session:last");
    let mut heard = listening.keys();
    heard.sort();
    heard.dedup();
    assert_eq!(heard.len(), 10_001);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_emptied_leaves_everything_in_doubt() {
    let Some(server) = RedisServer::start_with(Reach::Tcp, &[]) else { return };
    let _: () = server.ask(DATABASE, &["SET", "portcullis:session:a", "7"]).await;
    let listening = follow(&server.url()).by(Means::Tracking);
    let _: () = server.ask(0, &["FLUSHALL"]).await;
    listening.missed(1);
    assert_eq!(listening.state.means(), Means::Tracking);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tracker_whose_connection_is_cut_doubts_at_once_and_again_when_it_is_back() {
    let Some(server) = RedisServer::start_with(Reach::Tcp, &[]) else { return };
    let listening = follow(&server.url()).by(Means::Tracking);
    for round in 1..=5 {
        let clients: String = server.ask(DATABASE, &["CLIENT", "LIST"]).await;
        let trackers = clients.lines().filter(|client| client.contains("flags=tB"));
        let ids: Vec<&str> = trackers.filter_map(|line| line.split(['=', ' ']).nth(1)).collect();
        let [id] = ids[..] else { panic!("{clients}") };
        let _: i64 = server.ask(DATABASE, &["CLIENT", "KILL", "ID", id]).await;
        // Somebody ends a session while nobody listens.
        let key = format!("portcullis:session:{round}");
        let _: () = server.ask(DATABASE, &["SET", &key, "7"]).await;
        let changed = Instant::now();
        listening.missed(2 * round - 1);
        let again = listening.missed(2 * round);
        assert!(again > changed || listening.keys().contains(&key), "a change that nobody heard");
        listening.until(Means::Tracking);
    }
    let _: () = server.ask(DATABASE, &["SET", "portcullis:session:last", "7"]).await;
    listening.when("portcullis:session:last");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_is_followed_again_when_it_is_back() {
    let Some(mut server) = RedisServer::start_with(Reach::Tcp, &[]) else { return };
    let _: () = server.ask(DATABASE, &["SET", "portcullis:session:a", "7"]).await;
    let listening = follow(&server.url()).by(Means::Tracking);
    server.kill();
    listening.until(Means::Bound);
    // While it is away, who prefers no answer to an old one is kept in doubt, but not drowned.
    let third = listening.missed(3);
    assert!(third - listening.missed(1) > Duration::from_millis(1_500));
    server.restart();
    let _: () = server.ask(DATABASE, &["DEL", "portcullis:session:a"]).await;
    let changed = Instant::now();
    listening.until(Means::Tracking);
    let last = *listening.misses().last().expect("missed");
    assert!(last > changed || !listening.keys().is_empty(), "a change that nobody heard");
    let _: () = server.ask(DATABASE, &["SET", "portcullis:session:b", "7"]).await;
    listening.when("portcullis:session:b");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_noticed() {
    let Some(server) = RedisServer::start_with(Reach::Tcp, &[]) else { return };
    let listening = follow(&server.url()).by(Means::Tracking);
    server.pause();
    let frozen = Instant::now();
    let noticed = listening.missed(1) - frozen;
    server.resume();
    println!("a frozen server was noticed after {noticed:?}");
    listening.missed(2);
    listening.until(Means::Tracking);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_let_us_track_lets_our_processes_tell_each_other() {
    let Some(server) = RedisServer::start_with(Reach::Tcp, &[]) else { return };
    allow(&server, "gate", &["&*", "+@all", "-client|tracking"]).await;
    let resp2 = format!("{}?protocol=resp2", server.url());
    for url in [as_user(&server, "gate"), resp2] {
        let listening = follow(&url).by(Means::PubSub);
        let told = ["PUBLISH", "portcullis:changes:9", "portcullis:session:a"];
        let _: () = server.ask(0, &told).await;
        listening.when("portcullis:session:a");
        let elsewhere = ["PUBLISH", "portcullis:changes:8", "portcullis:session:b"];
        let _: () = server.ask(0, &elsewhere).await;
        let _: i64 = server.ask(0, &["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        listening.missed(2);
        listening.until(Means::PubSub);
        let _: () = server.ask(0, &told).await;
        assert_eq!(listening.keys(), ["portcullis:session:a"; 2][..listening.keys().len()]);
        server.pause();
        listening.missed(3);
        listening.until(Means::Bound);
        server.resume();
        listening.until(Means::PubSub);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_news_are_allowed_the_bound_holds_and_the_server_is_watched() {
    let Some(server) = RedisServer::start_with(Reach::Tcp, &[]) else { return };
    let rules = ["resetchannels", "+@all", "-client|tracking"];
    allow(&server, "gate", &rules).await;
    let listening = follow(&as_user(&server, "gate"));
    // Its subscriber waits there, refused.
    crate::support::poll("a subscriber", crate::support::PATIENCE, || {
        let clients: String = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(server.ask(0, &["CLIENT", "LIST"]))
        });
        clients.contains("user=gate").then_some(())
    });
    assert_eq!(listening.state.means(), Means::Bound);
    server.pause();
    let before = listening.misses().len();
    listening.missed(before + 1);
    server.resume();
    assert_eq!(listening.state.means(), Means::Bound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_deletion_is_heard() {
    const TIMES: usize = 500;
    let Some(server) = RedisServer::start_with(Reach::Tcp, &[]) else { return };
    let listening = follow(&server.url()).by(Means::Tracking);
    let client = redis::Client::open(format!("{}?db={DATABASE}", server.url())).expect("client");
    let mut connection = client.get_multiplexed_async_connection().await.expect("connection");
    let mut times = Vec::with_capacity(TIMES);
    for n in 0..TIMES {
        let key = format!("portcullis:session:{n}");
        let _: () =
            redis::cmd("SET").arg(&key).arg(7).query_async(&mut connection).await.expect("set");
        listening.when(&key);
        listening.ear.0.lock().expect("ear").clear();
        let asked = Instant::now();
        let _: () = redis::cmd("DEL").arg(&key).query_async(&mut connection).await.expect("del");
        times.push(listening.when(&key) - asked);
    }
    figures("DEL to heard", times);
}
