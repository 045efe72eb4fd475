//! Tests of Redis beyond the contract: damage, databases, outages, passwords, TLS.

use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::session::{Filter, RedisStore, SessionStore as _};
use portcullis::store::StoreError;
use portcullis::store::redis::Options;

use super::{at, id, names, of, redis_store, session, user};
use crate::support::redis::{RedisServer, Transport, connect};
use crate::support::stores::{ANSWER_TIMEOUT, redis_options, redis_with};

/// The database of the sessions.
const DATABASE: u32 = 9;

/// A connection that stays open while all others are closed.
struct Admin(redis::aio::MultiplexedConnection);

impl Admin {
    async fn of(server: &RedisServer) -> Self {
        let client = redis::Client::open(server.url()).expect("client");
        Self(connect(&client).await.expect("connection"))
    }

    async fn run<T: redis::FromRedisValue>(&mut self, command: &[&str]) -> T {
        let mut cmd = redis::cmd(command[0]);
        cmd.arg(&command[1..]).query_async(&mut self.0).await.expect("answer")
    }

    /// Returns when the server has closed every other connection, and its clients in this process
    /// have had their turn to read so.
    async fn is_alone(&mut self) {
        let deadline = Instant::now() + crate::support::PATIENCE;
        let mut others = true;
        while others {
            assert!(Instant::now() < deadline, "the other connections stay open");
            let clients: String = self.run(&["CLIENT", "LIST"]).await;
            others = clients.lines().count() > 1;
        }
        // The test's only thread cannot get this answer without having run every task that was
        // woken before, those of the closed connections among them.
        let _: String = self.run(&["CLIENT", "LIST"]).await;
    }
}

#[tokio::test]
async fn a_damaged_redis_record_is_never_a_live_session() {
    let Some(server) = RedisServer::start() else { return };
    let store = redis_store(&server.url());
    store.put(&session("fine", "bob", 1)).await.expect("put");
    let key = "portcullis:session:s1";
    for damage in [
        vec!["HSET", key, "claims", "no json"],
        vec!["HSET", key, "claims", "[]"],
        vec!["HSET", key, "address", "here"],
        vec!["HSET", key, "created", "soon"],
        vec!["HSET", key, "expires", "-1"],
        vec!["HSET", key, "last_seen", "1e3"],
        vec!["HDEL", key, "claims"],
        vec!["HDEL", key, "expires"],
        vec!["HDEL", key, "created"],
        vec!["SET", "portcullis:not-before:alice", "never"],
        vec!["SADD", "portcullis:not-before:alice", "never"],
    ] {
        store.put(&session("s1", "alice", 1)).await.expect("put");
        let _: redis::Value = server.ask(DATABASE, &damage).await;
        let found = store.get(&user("alice"), &id("s1")).await;
        assert!(
            matches!(&found, Err(StoreError::Corrupt { id, .. }) if id == "s1"),
            "{damage:?}: {found:?}"
        );
        assert_eq!(names(&store.list(&Filter::default(), 9).await.expect("list")), ["fine"]);
        store.touch(&[(id("s1"), at(5))]).await.expect("touch");
        assert_eq!(store.revoke(&id("s1")).await, Ok(Some(user("alice"))), "{damage:?}");
        let _: i64 = server.ask(DATABASE, &["DEL", "portcullis:not-before:alice"]).await;
    }
    // Without an owner, or of another kind altogether, it can still be removed.
    for damage in [["HDEL", key, "user"], ["SET", key, "text"]] {
        store.put(&session("s1", "alice", 1)).await.expect("put");
        let _: redis::Value = server.ask(DATABASE, &damage).await;
        let found = store.get(&user("alice"), &id("s1")).await;
        assert!(matches!(found, Err(StoreError::Corrupt { .. })), "{damage:?}: {found:?}");
        assert_eq!(names(&store.list(&Filter::default(), 9).await.expect("list")), ["fine"]);
        store.purge(at(1)).await.expect("purge");
        assert!(matches!(store.revoke(&id("s1")).await, Err(StoreError::Corrupt { .. })));
        assert_eq!(store.revoke(&id("s1")).await, Ok(None));
    }
}

#[tokio::test]
async fn redis_keeps_its_records_in_the_database_that_was_asked_for_and_reclaims_them() {
    let Some(server) = RedisServer::start() else { return };
    // The URL names another database, which does not count.
    let store = redis_store(&format!("{}?db=3", server.url()));
    store.put(&session("s1", "alice", 1)).await.expect("put");
    assert_eq!(server.ask::<i64>(DATABASE, &["DBSIZE"]).await, 2);
    for key in ["portcullis:session:s1", "portcullis:user:alice"] {
        let millis: i64 = server.ask(DATABASE, &["PTTL", key]).await;
        assert!((3_600_000..=3_660_000).contains(&millis), "{key}: {millis}");
    }
    assert!(store.describe().ends_with("redis.sock database 9"), "{}", store.describe());
}

#[tokio::test]
async fn redis_keeps_a_renewed_session_and_its_users_index_as_much_longer() {
    let Some(server) = RedisServer::start() else { return };
    let store = redis_store(&server.url());
    store.put(&session("s1", "alice", 0)).await.expect("put");
    for (renewed, least) in [(10_060_000, 13_600_000), (1, 13_600_000), (20_060_000, 23_600_000)] {
        assert_eq!(store.renew(&id("s1"), at(renewed)).await, Ok(true));
        for key in ["portcullis:session:s1", "portcullis:user:alice"] {
            let millis: i64 = server.ask(DATABASE, &["PTTL", key]).await;
            assert!((least..=least + 60_000).contains(&millis), "{key} {renewed}: {millis}");
        }
    }
    let endless = portcullis::clock::UnixTime::from_millis(u64::MAX);
    assert_eq!(store.renew(&id("s1"), endless).await, Ok(true));
    let found = store.get(&user("alice"), &id("s1")).await.expect("get").expect("s1");
    assert_eq!(found.expires, endless);
    for damage in [["expires", "soon"], ["expires", "-1"], ["user", ""]] {
        store.put(&session("s2", "alice", 0)).await.expect("put");
        let [field, value] = damage;
        let _: i64 = server.ask(DATABASE, &["HSET", "portcullis:session:s2", field, value]).await;
        let renewed = store.renew(&id("s2"), at(99_999)).await;
        assert!(matches!(renewed, Err(StoreError::Corrupt { .. })), "{damage:?}: {renewed:?}");
        let _: i64 = server.ask(DATABASE, &["DEL", "portcullis:session:s2"]).await;
    }
}

#[tokio::test]
async fn a_session_that_redis_forgot_is_gone_and_leaves_no_trace() {
    let Some(server) = RedisServer::start() else { return };
    let store = redis_store(&server.url());
    for name in ["s1", "s2"] {
        store.put(&session(name, "alice", 1)).await.expect("put");
    }
    let _: i64 = server.ask(DATABASE, &["DEL", "portcullis:session:s1"]).await;
    assert_eq!(store.get(&user("alice"), &id("s1")).await, Ok(None));
    assert_eq!(names(&store.list(&of("alice"), 9).await.expect("list")), ["s2"]);
    store.touch(&[(id("s1"), at(9))]).await.expect("touch");
    assert_eq!(server.ask::<i64>(DATABASE, &["EXISTS", "portcullis:session:s1"]).await, 0);
    assert_eq!(store.purge(at(1)).await, Ok(0));
    let left: Vec<String> =
        server.ask(DATABASE, &["ZRANGE", "portcullis:user:alice", "0", "-1"]).await;
    assert_eq!(left, ["s2"]);
}

#[tokio::test]
async fn redis_may_forget_our_scripts() {
    let Some(server) = RedisServer::start() else { return };
    let store = redis_store(&server.url());
    for n in 0..2 {
        let name = format!("s{n}");
        store.put(&session(&name, "alice", 1)).await.expect("put");
        store.touch(&[(id(&name), at(5))]).await.expect("touch");
        assert_eq!(store.revoke_user(&user("alice"), at(1)).await, Ok(1));
        let _: () = server.ask(DATABASE, &["SCRIPT", "FLUSH"]).await;
    }
}

#[tokio::test]
async fn a_killed_redis_is_reported_at_once_and_used_again_when_it_is_back() {
    for transport in [Transport::Unix, Transport::Tcp] {
        let Some(mut server) = RedisServer::start_with(transport, &[]) else { return };
        let store = redis_store(&server.url());
        let kept = session("s1", "alice", 1);
        store.put(&kept).await.expect("put");
        for _ in 0..2 {
            server.kill();
            for _ in 0..10 {
                // Nobody waited for an answer: that is `TimedOut`.
                let found = store.get(&user("alice"), &id("s1")).await;
                assert!(matches!(found, Err(StoreError::Unavailable(_))), "{found:?}");
            }
            assert!(store.ping().await.is_err());
            server.restart();
            assert_eq!(store.get(&user("alice"), &id("s1")).await, Ok(Some(kept.clone())));
            store.touch(&[(id("s1"), at(1))]).await.expect("touch");
        }
    }
}

#[tokio::test]
async fn a_silent_redis_times_out_and_is_used_again_when_it_speaks() {
    let Some(server) = RedisServer::start_with(Transport::Tcp, &[]) else { return };
    let patience = Duration::from_millis(500);
    let store = RedisStore::new(redis_with(&server.url(), &redis_options(patience)));
    let kept = session("s1", "alice", 1);
    store.put(&kept).await.expect("put");
    server.pause();
    // The first waits for an answer on an open connection, the second for a new connection.
    for _ in 0..2 {
        assert_eq!(store.get(&user("alice"), &id("s1")).await, Err(StoreError::TimedOut));
    }
    server.resume();
    assert_eq!(store.get(&user("alice"), &id("s1")).await, Ok(Some(kept)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_fails_at_once_while_redis_is_away_and_is_served_when_it_is_back() {
    let Some(mut server) = RedisServer::start() else { return };
    let store = Arc::new(redis_store(&server.url()));
    store.put(&session("s1", "alice", 1)).await.expect("put");
    let crowd = async || {
        let asking: Vec<_> = (0..300)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move { store.get(&user("alice"), &id("s1")).await })
            })
            .collect();
        let mut answers = Vec::new();
        for task in asking {
            answers.push(task.await.expect("task"));
        }
        answers
    };
    server.kill();
    for answer in crowd().await {
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    }
    server.restart();
    for answer in crowd().await {
        assert!(matches!(answer, Ok(Some(_))), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gives_up_does_not_disturb_those_who_wait() {
    let Some(server) = RedisServer::start() else { return };
    let store = Arc::new(redis_store(&server.url()));
    for n in 0..200 {
        store.put(&session(&format!("s{n}"), "alice", n)).await.expect("put");
    }
    let asking: Vec<_> = (0..200)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.get(&user("alice"), &id(&format!("s{n}"))).await })
        })
        .collect();
    for task in asking.iter().skip(1).step_by(2) {
        task.abort();
    }
    for (n, task) in asking.into_iter().enumerate().step_by(2) {
        let found = task.await.expect("task").expect("get").expect("session");
        assert_eq!(found.id.as_str(), format!("s{n}"));
    }
}

#[tokio::test]
async fn a_connection_that_redis_closed_is_replaced() {
    // With RESP3 the breaking itself is noticed; with RESP2 the first command that fails.
    for (protocol, tolerated) in [("resp3", 0), ("resp2", 1)] {
        let Some(server) = RedisServer::start() else { return };
        let mut admin = Admin::of(&server).await;
        let store = redis_store(&format!("{}?protocol={protocol}", server.url()));
        store.put(&session("s1", "alice", 1)).await.expect("put");
        for _ in 0..5 {
            let _: i64 = admin.run(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
            admin.is_alone().await;
            let mut failed = 0;
            for _ in 0..10 {
                failed += u32::from(store.get(&user("alice"), &id("s1")).await.is_err());
            }
            assert!(failed <= tolerated, "{protocol}: {failed} of 10 failed");
        }
    }
}

#[tokio::test]
async fn a_redis_that_speaks_only_resp2_is_good_enough() {
    for extra in [
        vec!["--rename-command", "HELLO", ""],
        vec!["--rename-command", "HELLO", "", "--requirepass", "hunter2"],
    ] {
        let Some(server) = RedisServer::start_with(Transport::Unix, &extra) else { return };
        let store = redis_store(&format!("{}?pass=hunter2", server.url()));
        if extra.len() == 3 {
            // This one wants no password; what it says of ours must not repeat it.
            let refused = store.ping().await.expect_err("refused").to_string();
            assert!(!refused.contains("hunter2"), "{refused}");
            let store = redis_store(&server.url());
            store.put(&session("s1", "alice", 1)).await.expect("put");
            continue;
        }
        store.put(&session("s1", "alice", 1)).await.expect("put");
        assert!(store.get(&user("alice"), &id("s1")).await.expect("get").is_some());
    }
}

#[tokio::test]
async fn a_refused_password_is_said_and_not_shown() {
    let Some(server) = RedisServer::start_with(Transport::Tcp, &["--requirepass", "correct"])
    else {
        return;
    };
    let with =
        |credentials: &str| server.url().replace("redis://", &format!("redis://{credentials}"));
    assert_eq!(redis_store(&with(":correct@")).ping().await, Ok(()));
    for credentials in ["", ":hunter2@", "joe:hunter2@"] {
        let store = redis_store(&with(credentials));
        let refused = store.ping().await;
        assert!(matches!(&refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        let shown = format!("{refused:?} {store:?} {}", store.describe());
        assert!(!shown.contains("hunter2") && !shown.contains("joe"), "{shown}");
    }
}

#[tokio::test]
async fn redis_over_tls_is_trusted_by_its_ca_alone() {
    // Only the first test of the process installs it.
    let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let Some(server) = RedisServer::start_with(Transport::Tls, &[]) else { return };
    let Some(foreign) = RedisServer::start_with(Transport::Tls, &[]) else { return };
    let store = |ca: Option<&RedisServer>| {
        let ca_pem = ca.map(|of| std::fs::read(of.ca_file()).expect("CA"));
        let options = Options { ca_pem, ..redis_options(ANSWER_TIMEOUT) };
        RedisStore::new(redis_with(&server.url(), &options))
    };
    let trusted = store(Some(&server));
    trusted.put(&session("s1", "alice", 1)).await.expect("put");
    assert!(trusted.get(&user("alice"), &id("s1")).await.expect("get").is_some());
    for ca in [Some(&foreign), None] {
        let refused = store(ca).ping().await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn a_user_can_be_shut_out_while_redis_is_at_maxmemory() {
    let Some(server) = RedisServer::start() else { return };
    let store = redis_store(&server.url());
    for name in ["s1", "s2"] {
        store.put(&session(name, "alice", 1)).await.expect("put");
    }
    store.probe_write().await.expect("there is memory");
    let _: () = server.ask(DATABASE, &["CONFIG", "SET", "maxmemory", "1"]).await;
    let refused = store.put(&session("s3", "alice", 1)).await;
    let Err(StoreError::Unavailable(why)) = &refused else { panic!("{refused:?}") };
    assert!(why.contains("maxmemory"), "{why}");
    assert!(store.probe_write().await.is_err(), "a login cannot work");
    store.ping().await.expect("it answers");
    assert_eq!(store.revoke(&id("s1")).await, Ok(Some(user("alice"))));
    assert_eq!(store.revoke_user(&user("alice"), at(5)).await, Ok(1));
    assert_eq!(store.get(&user("alice"), &id("s2")).await, Ok(None));
    let _: () = server.ask(DATABASE, &["CONFIG", "SET", "maxmemory", "0"]).await;
    // One whose login was under way is over from its beginning.
    store.put(&session("late", "alice", 4)).await.expect("put");
    let late = store.get(&user("alice"), &id("late")).await.expect("get").expect("a record");
    assert!(late.ended(at(6), None).is_some());
}

#[tokio::test]
async fn what_redis_cannot_save_is_refused_with_the_words_for_it() {
    let Some(server) = RedisServer::start() else { return };
    let store = redis_store(&server.url());
    store.put(&session("s1", "alice", 1)).await.expect("put");
    let (_, folder): (String, String) = server.ask(DATABASE, &["CONFIG", "GET", "dir"]).await;
    std::fs::create_dir(std::path::Path::new(&folder).join("dump.rdb")).expect("in its way");
    let _: () = server.ask(DATABASE, &["CONFIG", "SET", "save", "3600 1"]).await;
    let _: String = server.ask(DATABASE, &["BGSAVE"]).await;
    server.wait_for(&["INFO", "persistence"], "rdb_last_bgsave_status:err").await;
    for refused in [
        store.revoke_user(&user("alice"), at(5)).await.map(drop),
        store.put(&session("s2", "alice", 1)).await,
        store.probe_write().await,
    ] {
        let Err(StoreError::Unavailable(why)) = &refused else { panic!("{refused:?}") };
        assert!(why.contains("MISCONF") && why.contains("disk"), "{why}");
    }
    store.ping().await.expect("it answers");
}

#[tokio::test]
async fn what_an_operator_has_to_do_about_redis_is_said() {
    let without_eval = ["--rename-command", "EVAL", "", "--rename-command", "EVALSHA", ""];
    for (options, cure) in
        [(&["--databases", "1"][..], "LOGIN_REDIS_DB"), (&without_eval, "rename-command")]
    {
        let Some(server) = RedisServer::start_with(Transport::Unix, options) else { return };
        let refused = redis_store(&server.url()).probe_write().await;
        let Err(StoreError::Unavailable(why)) = &refused else { panic!("{refused:?}") };
        assert!(why.contains(cure), "{why}");
    }
}
