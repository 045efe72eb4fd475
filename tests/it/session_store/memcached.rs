//! Tests of memcached beyond the contract: whatever it forgets only refuses, and what it
//! cannot say is no answer.

use std::sync::Arc;
use std::time::Duration;

use portcullis::session::{Session, SessionStore};
use portcullis::store::StoreError;
use serde_json::json;

use super::{Fixture, at, id, memcached_store, memcached_store_within, session, user};
use crate::support::canned_response;
use crate::support::memcached::MemcachedServer;
use crate::support::stores::ANSWER_TIMEOUT;

/// The key of alice's generation; by `printf alice | sha256sum`, in base64url.
const ALICE: &str = "portcullis:user:K9gGyX8OAK8aH8Myj6djqSaXI8jbj6xPk69x2xhtbpA";

async fn is_there(store: &dyn SessionStore, owner: &str, name: &str) -> bool {
    store.get(&user(owner), &id(name)).await.expect("get").is_some()
}

fn is_unavailable<T>(outcome: &Result<T, StoreError>) -> bool {
    matches!(outcome, Err(StoreError::Unavailable(_)))
}

#[tokio::test]
async fn what_is_flushed_is_over_for_everybody_and_stays_so() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = memcached_store(&server.url());
    for (name, owner) in [("a1", "alice"), ("a2", "alice"), ("b1", "bob")] {
        store.put(&session(name, owner, 1)).await.expect("put");
        assert!(is_there(&store, owner, name).await);
    }
    server.flush();
    store.put(&session("a3", "alice", 2)).await.expect("put");
    for (name, owner) in [("a1", "alice"), ("a2", "alice"), ("b1", "bob")] {
        assert!(!is_there(&store, owner, name).await, "{name}");
        assert_eq!(store.renew(&id(name), at(99_999)).await, Ok(false), "{name}");
        assert_eq!(store.revoke(&id(name)).await, Ok(None), "{name}");
    }
    assert!(is_there(&store, "alice", "a3").await, "she may come back");
}

#[tokio::test]
async fn each_record_that_is_forgotten_only_refuses() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = memcached_store(&server.url());
    for name in ["gone", "other"] {
        store.put(&session(name, "alice", 1)).await.expect("put");
        store.touch(&[(id(name), at(30))]).await.expect("touch");
    }
    // The note of use: the session seems to have rested since it was opened.
    server.forget("portcullis:seen:other");
    let other = store.get(&user("alice"), &id("other")).await.expect("get").expect("other");
    assert_eq!(other.last_seen, at(1));
    // The session: it is over, alone.
    server.forget("portcullis:session:gone");
    assert!(!is_there(&store, "alice", "gone").await);
    assert!(is_there(&store, "alice", "other").await);
    // The user: all are over, and none comes back with the user's next record.
    server.forget(ALICE);
    assert!(!is_there(&store, "alice", "other").await);
    store.put(&session("new", "alice", 2)).await.expect("put");
    assert!(is_there(&store, "alice", "new").await);
    assert!(!is_there(&store, "alice", "other").await);
    assert_eq!(store.renew(&id("other"), at(99_999)).await, Ok(false));
    assert_eq!(store.revoke(&id("other")).await, Ok(None), "it was over");
}

#[tokio::test]
async fn no_session_that_was_ended_comes_back_when_that_is_forgotten() {
    // So little memory that the server has to forget.
    let Some(server) = MemcachedServer::start_with(&["-m", "4", "-o", "no_modern"]) else { return };
    let store = memcached_store(&server.url());
    store.put(&session("ended", "alice", 1)).await.expect("put");
    assert_eq!(store.revoke_user(&user("alice"), at(5)).await, Ok(1));
    server.crowd_out(ALICE);
    assert!(server.value("portcullis:session:ended").is_some(), "else nothing is tested");
    assert!(!is_there(&store, "alice", "ended").await);
    store.put(&session("new", "alice", 9)).await.expect("put");
    assert!(is_there(&store, "alice", "new").await);
    assert!(!is_there(&store, "alice", "ended").await);
    // And one that lives, of whom the server forgets everything.
    server.crowd_out(ALICE);
    server.crowd_out("portcullis:session:new");
    assert!(!is_there(&store, "alice", "new").await);
}

#[tokio::test]
async fn a_damaged_record_is_never_a_live_session() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = memcached_store(&server.url());
    let key = "portcullis:session:s1";
    store.put(&session("s1", "alice", 1)).await.expect("put");
    let (good, alice) = (server.value(key).expect("s1"), server.value(ALICE).expect("alice"));
    let seen = "portcullis:seen:s1";
    for (key, damage) in [
        (key, String::new()),
        (key, "no json".to_owned()),
        (key, "{}".to_owned()),
        (key, good.replace("\"claims\":{}", "\"claims\":[]")),
        (key, good.replace("\"address\":null", "\"address\":\"here\"")),
        (key, good.replace("\"expires\":", "\"expires\":-")),
        (key, good.replace("\"generation\":", "\"other\":")),
        (key, good[..good.len() - 1].to_owned()),
        (seen, "soon".to_owned()),
        (ALICE, "{}".to_owned()),
        (ALICE, alice.replace("alice", "bob")),
        (ALICE, alice.replace("\"not_before\":", "\"not_before\":-")),
    ] {
        assert!(damage != good && damage != alice, "{key}: no damage");
        server.set(key, &damage);
        let found = store.get(&user("alice"), &id("s1")).await;
        assert!(matches!(found, Err(StoreError::Corrupt { .. })), "{damage}: {found:?}");
        for (key, value) in [("portcullis:session:s1", &good), (ALICE, &alice)] {
            server.set(key, value);
        }
        server.set(seen, "{\"at\":1}");
        assert!(is_there(&store, "alice", "s1").await, "{damage}");
    }
    // What cannot be read can still be ended.
    server.set(key, "no json");
    assert!(matches!(store.revoke(&id("s1")).await, Err(StoreError::Corrupt { .. })));
    assert_eq!(server.value(key), None);
    assert_eq!(store.revoke(&id("s1")).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoking_a_user_ends_all_that_was_acknowledged_also_from_a_clock_ahead() {
    let Some(fixture) = Fixture::memcached().await else { return };
    for round in 0..20 {
        let owner = format!("user{round}");
        let name = |n: u64| format!("r{round}n{n}");
        let put = |n: u64, store: &Arc<dyn SessionStore>| {
            let (store, session) = (Arc::clone(store), session(&name(n), &owner, 1 + n * 1_000));
            tokio::spawn(async move { store.put(&session).await.expect("put") })
        };
        for n in 0..10 {
            put(n, &fixture.store).await.expect("task");
        }
        let racing: Vec<_> = (10..20).map(|n| put(n, &fixture.other)).collect();
        assert_eq!(fixture.store.revoke_user(&user(&owner), at(1)).await, Ok(1));
        for n in 0..10 {
            assert!(!is_there(&*fixture.other, &owner, &name(n)).await, "{owner}: {n}");
        }
        for task in racing {
            task.await.expect("task");
        }
        fixture.store.revoke_user(&user(&owner), at(1)).await.expect("revoke_user");
        for n in 0..20 {
            assert!(!is_there(&*fixture.other, &owner, &name(n)).await, "{owner}: {n}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uses_and_renewals_at_once_lose_nothing() {
    let Some(fixture) = Fixture::memcached().await else { return };
    fixture.put(&session("s1", "alice", 1)).await;
    let working: Vec<_> = (1..=100)
        .map(|n| {
            let store = if n % 2 == 0 { fixture.store.clone() } else { fixture.other.clone() };
            tokio::spawn(async move {
                store.touch(&[(id("s1"), at(n))]).await.expect("touch");
                assert_eq!(store.renew(&id("s1"), at(100_000 + n)).await, Ok(true));
            })
        })
        .collect();
    for task in working {
        task.await.expect("task");
    }
    let found = fixture.get("alice", "s1").await.expect("s1");
    assert_eq!((found.last_seen, found.expires), (at(100), at(100_100)));
}

#[tokio::test]
async fn a_server_that_is_gone_is_no_answer_and_comes_back_empty() {
    let Some(mut server) = MemcachedServer::start() else { return };
    let store = memcached_store(&server.url());
    store.put(&session("s1", "alice", 1)).await.expect("put");
    server.kill();
    for _ in 0..3 {
        assert!(is_unavailable(&store.get(&user("alice"), &id("s1")).await));
        assert!(is_unavailable(&store.put(&session("s2", "alice", 1)).await));
        assert!(is_unavailable(&store.revoke(&id("s1")).await));
        assert!(is_unavailable(&store.revoke_user(&user("alice"), at(2)).await));
        assert!(is_unavailable(&store.ping().await));
    }
    server.restart();
    assert_eq!(store.ping().await, Ok(()));
    assert!(!is_there(&store, "alice", "s1").await);
    store.put(&session("s2", "alice", 1)).await.expect("put");
    assert!(is_there(&store, "alice", "s2").await);
}

#[tokio::test]
async fn a_frozen_server_is_given_up_in_time_and_no_answer_is_mixed_up_afterwards() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = memcached_store_within(&server.url(), Duration::from_millis(200));
    let patient = memcached_store(&server.url());
    for n in 0..8 {
        patient.put(&session(&format!("s{n}"), "alice", n)).await.expect("put");
        assert!(is_there(&patient, "alice", &format!("s{n}")).await);
    }
    server.pause();
    for n in 0..8 {
        let found = store.get(&user("alice"), &id(&format!("s{n}"))).await;
        assert_eq!(found, Err(StoreError::TimedOut));
    }
    server.resume();
    for n in 0..8 {
        let name = format!("s{n}");
        let found = patient.get(&user("alice"), &id(&name)).await.expect("get");
        assert_eq!(found, Some(session(&name, "alice", n)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_who_give_up_leave_nothing_behind_that_others_could_read() {
    let Some(fixture) = Fixture::memcached().await else { return };
    for n in 0..20 {
        fixture.put(&session(&format!("s{n}"), "alice", n)).await;
    }
    let (mut asked, mut answered) = (Vec::new(), 0);
    for n in 0..2_000 {
        let store = Arc::clone(&fixture.store);
        asked.push(tokio::spawn(async move {
            let name = format!("s{}", n % 20);
            let (owner, id) = (user("alice"), id(&name));
            let get = store.get(&owner, &id);
            // At every point of a question, from before it is sent until after its answer.
            let patience = Duration::from_micros(n * 7 % 3_000);
            let found = tokio::time::timeout(patience, get).await.ok()?.expect("get");
            assert_eq!(found, Some(session(&name, "alice", n % 20)));
            Some(())
        }));
    }
    for task in asked {
        answered += task.await.expect("an answer to another question").map_or(0, |()| 1);
    }
    for n in 0..20 {
        let name = format!("s{n}");
        assert_eq!(fixture.get("alice", &name).await, Some(session(&name, "alice", n)));
    }
    assert!(answered < 2_000, "nobody gave up: nothing was tested");
}

#[tokio::test]
async fn of_several_servers_a_dead_one_fails_for_its_names_and_none_goes_to_another() {
    let (Some(one), Some(mut two)) = (MemcachedServer::start(), MemcachedServer::start()) else {
        return;
    };
    let store = memcached_store(&format!("memcached://{},{}", one.address(), two.address()));
    let again = memcached_store(&format!("memcached://{},{}", two.address(), one.address()));
    let put: Vec<Session> =
        (0..40).map(|n| session(&format!("s{n}"), &format!("user{n}"), n)).collect();
    for session in &put {
        store.put(session).await.expect("put");
        assert_eq!(again.get(&session.user, &session.id).await, Ok(Some(session.clone())));
    }
    two.kill();
    assert!(is_unavailable(&store.ping().await));
    let (mut live, mut unknown) = (0, 0);
    for session in &put {
        match store.get(&session.user, &session.id).await {
            Ok(Some(found)) => live += usize::from(found == *session),
            failed if is_unavailable(&failed) => unknown += 1,
            other => panic!("{}: {other:?}", session.id),
        }
    }
    assert_eq!(live + unknown, 40);
    assert!(live > 0 && unknown > 0, "{live} on the one that lives, {unknown} not");
    two.restart();
    let mut left = 0;
    for session in &put {
        left += usize::from(is_there(&store, session.user.as_str(), session.id.as_str()).await);
    }
    assert_eq!(left, live, "what it forgot is over");
}

#[tokio::test]
async fn rubbish_is_no_answer_and_is_not_repeated() {
    for (answer, timed_out) in [
        (&b""[..], false),
        (b"\r\n", false),
        (b"hunter2\r\n", false),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", false),
        (b"END\r\n", false),
        (b"ERROR\r\n", false),
        (b"CLIENT_ERROR hunter2\r\n", false),
        (b"SERVER_ERROR hunter2\r\n", false),
        (b"VA hunter2\r\n", false),
        (b"VA 99999999999999\r\n", false),
        (b"VA 2 c1 t1\r\n{}hunter2", false),
        // Another question's answer.
        (b"EN\r\nEN\r\n", false),
        (b"VA 2 t-1\r\n{}\r\n", false),
        // Half of one.
        (b"VA 100 c1 t-1 O0\r\n{", true),
        (b"E", true),
    ] {
        let url = format!("memcached://{}", canned_response::answering(answer));
        let patience = if timed_out { Duration::from_millis(300) } else { ANSWER_TIMEOUT };
        let store = memcached_store_within(&url, patience);
        let text = String::from_utf8_lossy(answer).into_owned();
        for outcome in [
            store.get(&user("alice"), &id("s")).await.map(|found| format!("{found:?}")),
            store.put(&session("s", "alice", 1)).await.map(|()| "put".to_owned()),
            store.revoke_user(&user("alice"), at(1)).await.map(|n| n.to_string()),
        ] {
            let error = outcome.expect_err(&text);
            assert!(!error.to_string().contains("hunter2"), "{text:?}: {error}");
            let is_expected = match error {
                StoreError::TimedOut => timed_out,
                StoreError::Unavailable(_) | StoreError::Corrupt { .. } => !timed_out,
                _ => false,
            };
            assert!(is_expected, "{text:?}: {error}");
        }
    }
}

#[tokio::test]
async fn long_and_odd_names_are_kept_apart() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = memcached_store(&server.url());
    let owners = [
        "é".repeat(128),
        format!("{}e", "é".repeat(127)),
        " ".to_owned(),
        "  ".to_owned(),
        "a b".to_owned(),
        "set x 0 0 1".to_owned(),
        "\u{200b}".to_owned(),
        "K9gGyX8OAK8aH8Myj6djqSaXI8jbj6xPk69x2xhtbpA".to_owned(),
        "alice".to_owned(),
    ];
    let names: Vec<String> = (0..owners.len()).map(|n| format!("{}{n}", "~".repeat(127))).collect();
    for (owner, name) in owners.iter().zip(&names) {
        let mut long = session(name, owner, 1);
        long.claims = json!({"text": "x".repeat(20_000)}).as_object().expect("claims").clone();
        store.put(&long).await.expect("put");
        assert_eq!(store.get(&user(owner), &id(name)).await, Ok(Some(long)));
    }
    for (n, owner) in owners.iter().enumerate() {
        assert_eq!(store.revoke_user(&user(owner), at(1)).await, Ok(1), "{owner}");
        for (m, (owner, name)) in owners.iter().zip(&names).enumerate() {
            assert_eq!(is_there(&store, owner, name).await, m > n, "{owner}");
        }
    }
    // Memcached's own limit is a megabyte; nothing is half stored.
    let mut huge = session("huge", "alice", 9);
    huge.claims = json!({"text": "x".repeat(2 << 20)}).as_object().expect("claims").clone();
    let refused = store.put(&huge).await;
    assert!(
        matches!(&refused, Err(StoreError::Unavailable(why)) if why.contains("too large")),
        "{refused:?}"
    );
    assert!(!is_there(&store, "alice", "huge").await);
}
