//! Behind sentinels.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use portcullis::session::redis::RedisStore;
use portcullis::session::{SessionStore as _, StoreError};

use super::{id, redis, session, store, until_it_answers, user, why_not};
use crate::support::PATIENCE;
use crate::support::redis_sentinel::Watched;

/// Revokes one session after the other until told to stop; says which revocations were acknowledged.
async fn revoke_all(store: Arc<RedisStore>, from: usize, stop: Arc<AtomicBool>) -> Vec<usize> {
    let mut acknowledged = Vec::new();
    for n in from.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let name = format!("s{n}");
        if store.put(&session(&name, &format!("u{n}"))).await.is_ok()
            && matches!(store.revoke(&id(&name)).await, Ok(Some(_)))
        {
            acknowledged.push(n);
        }
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    acknowledged
}

/// How many of the revoked sessions are back.
async fn are_back(store: &RedisStore, revoked: &[usize]) -> usize {
    let mut back = 0;
    for n in revoked {
        let deadline = Instant::now() + PATIENCE;
        // The moment may be the one in which the old master is given up.
        let found = loop {
            match store.get(&user(&format!("u{n}")), &id(&format!("s{n}"))).await {
                Ok(found) => break found,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        };
        back += usize::from(found.is_some());
    }
    back
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fail_over_by_hand_is_followed_while_sessions_are_revoked() {
    let Some(watched) = Watched::start(&[]).await else { return };
    let (stop, asked) = (Arc::<AtomicBool>::default(), Arc::new(store(&watched.url())));
    asked.ping().await.expect("ping");
    let first = redis(&watched.url()).primaries().await.expect("primaries");
    let revoking = tokio::spawn(revoke_all(asked.clone(), 0, stop.clone()));
    tokio::time::sleep(Duration::from_millis(200)).await;
    watched.fail_over(1).await;
    let took = until_it_answers(&asked).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    stop.store(true, Ordering::Relaxed);
    let acknowledged = revoking.await.expect("task");
    assert!(acknowledged.len() > 50, "{}", acknowledged.len());
    let back = are_back(&asked, &acknowledged).await;
    eprintln!("by hand: {} revoked, {back} back, {took:?} to answer", acknowledged.len());
    assert_eq!(back, 0);
    let second = redis(&watched.url()).primaries().await.expect("primaries");
    assert_ne!(first, second);
    assert_eq!(second.len(), 1);
    assert!(second[0].name().contains(&watched.servers[1].port().to_string()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_master_is_replaced_and_revocations_hold() {
    let Some(mut watched) = Watched::start(&[]).await else { return };
    let (stop, asked) = (Arc::<AtomicBool>::default(), Arc::new(store(&watched.url())));
    asked.ping().await.expect("ping");
    let revoking = tokio::spawn(revoke_all(asked.clone(), 0, stop.clone()));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let started = Instant::now();
    watched.kill_master(0).await;
    let elected = started.elapsed();
    until_it_answers(&asked).await;
    let answered = started.elapsed();
    tokio::time::sleep(Duration::from_millis(100)).await;
    stop.store(true, Ordering::Relaxed);
    let acknowledged = revoking.await.expect("task");
    let back = are_back(&asked, &acknowledged).await;
    eprintln!(
        "killed: {} revoked, {back} back; a new master after {elected:?}, answers after {answered:?}",
        acknowledged.len()
    );
    assert!(acknowledged.len() > 50, "{}", acknowledged.len());
    assert_eq!(back, 0, "of {}", acknowledged.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_is_acknowledged_when_a_replica_has_it_and_does_not_wait_for_none() {
    let Some(watched) = Watched::start(&[]).await else { return };
    let asked = store(&watched.url());
    let there = async |watched: &Watched, key: &str| -> i64 {
        watched.servers[1].ask(9, &["EXISTS", key]).await
    };
    for n in 0..50 {
        let (name, owner) = (format!("s{n}"), format!("u{n}"));
        asked.put(&session(&name, &owner)).await.expect("put");
        assert_eq!(asked.revoke(&id(&name)).await, Ok(Some(user(&owner))));
        assert_eq!(there(&watched, &format!("portcullis:session:{name}")).await, 0);
        assert_eq!(asked.revoke_user(&user(&owner), super::at(5)).await, Ok(0));
        assert_eq!(there(&watched, &format!("portcullis:not-before:{owner}")).await, 1);
    }
    watched.servers[1].pause();
    let started = Instant::now();
    let mut first = None;
    for n in 0..50 {
        let (name, owner) = (format!("r{n}"), format!("u{n}"));
        asked.put(&session(&name, &owner)).await.expect("put");
        let revoking = Instant::now();
        assert_eq!(asked.revoke(&id(&name)).await, Ok(Some(user(&owner))));
        first.get_or_insert(revoking.elapsed());
    }
    assert!(first.is_some_and(|first| first >= Duration::from_millis(45)), "{first:?}");
    assert!(started.elapsed() < Duration::from_millis(1_500), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_no_majority_names_is_not_asked() {
    let Some(mut watched) = Watched::start(&[]).await else { return };
    let asked = store(&watched.url());
    asked.put(&session("s", "alice")).await.expect("put");
    watched.kill_sentinel(0);
    for _ in 0..150 {
        let found = asked.get(&user("alice"), &id("s")).await;
        assert!(matches!(found, Ok(Some(_))), "two of three are a majority: {found:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    watched.kill_sentinel(1);
    let started = Instant::now();
    while asked.get(&user("alice"), &id("s")).await.is_ok() {
        assert!(started.elapsed() < Duration::from_millis(1_500), "{:?}", started.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let why = why_not(&watched.url()).await;
    assert!(why.contains("no majority of the sentinels"), "{why}");
    assert!(redis(&watched.url()).primaries().await.is_err());
    watched.restart_sentinel(1);
    until_it_answers(&asked).await;
    assert!(matches!(asked.get(&user("alice"), &id("s")).await, Ok(Some(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_master_that_comes_back_is_not_believed() {
    let Some(watched) = Watched::start(&[]).await else { return };
    let asked = store(&watched.url());
    asked.put(&session("s", "alice")).await.expect("put");
    watched.servers[0].pause();
    watched.is_master(1).await;
    let revoked = {
        let started = Instant::now();
        loop {
            let revoked = store(&watched.url()).revoke(&id("s")).await;
            if revoked.is_ok() || started.elapsed() > PATIENCE {
                break revoked;
            }
        }
    };
    assert_eq!(revoked, Ok(Some(user("alice"))));
    watched.servers[0].resume();
    for _ in 0..200 {
        let found = asked.get(&user("alice"), &id("s")).await;
        assert!(!matches!(found, Ok(Some(_))), "the old master was believed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_is_wrong_with_sentinels_is_said_and_no_password_shown() {
    let acl = ["ACL", "SETUSER", "gate", "on", ">p@ss,word", "~*", "&*", "+@all"];
    let commands: [&[&str]; 1] = [&acl];
    let lines = "requirepass watch\n";
    let Some(watched) = Watched::start_with(&[], &commands, lines).await else { return };
    let right = "gate:p%40ss%2Cword@";
    let sentinels = "?sentinel_password=watch";
    let url = watched.url_with(right, sentinels);
    assert_eq!(store(&url).ping().await, Ok(()));
    for (url, expected) in [
        (watched.url_with(right, ""), "sentinel_password"),
        (watched.url_with(right, "?sentinel_password=hunter2"), "sentinel_password"),
        (watched.url_with("gate:hunter2@", sentinels), "the user or the password"),
        (watched.url_with("joe:hunter2@", sentinels), "the user or the password"),
        (url.replace("/mymaster", "/other"), "knows no master of that name"),
        ("redis+sentinel://127.0.0.1:1,127.0.0.1:2/mymaster".to_owned(), "refused"),
    ] {
        let why = why_not(&url).await;
        assert!(why.contains(expected), "{expected}: {why}");
        for secret in ["hunter2", "p@ss", "watch", "joe"] {
            assert!(!why.contains(secret) && !format!("{:?}", redis(&url)).contains(secret));
        }
    }
}

#[tokio::test]
async fn a_server_that_is_no_master_is_not_taken_for_one() {
    let Some(watched) = Watched::start(&[]).await else { return };
    let asked = store(&watched.url());
    asked.ping().await.expect("ping");
    // Behind the sentinels' back: they still name it.
    let port = watched.servers[1].port().to_string();
    let _: String = watched.servers[0].ask(0, &["REPLICAOF", "127.0.0.1", &port]).await;
    let put = asked.put(&session("s", "alice")).await;
    assert!(matches!(put, Err(StoreError::Unavailable(_))), "{put:?}");
    let why = why_not(&watched.url()).await;
    assert!(why.contains("not a master"), "{why}");
}
