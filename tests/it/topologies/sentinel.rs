//! Behind sentinels.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use portcullis::session::SessionStore as _;
use portcullis::session::redis::RedisStore;
use portcullis::store::StoreError;
use tokio::task::JoinHandle;

use super::{id, redis, session, store, until_it_answers, user, why_not};
use crate::support::PATIENCE;
use crate::support::redis_sentinel::RedisSentinel;
use crate::support::topology::wait_for_replication;

/// So long after a write that no replica has, none can have taken over before it.
const SETTLED: Duration = Duration::from_millis(1_500);

/// The state that all tasks which revoke share.
#[derive(Default)]
struct RevocationLoad {
    stop: AtomicBool,
    acknowledged: AtomicUsize,
}

impl RevocationLoad {
    /// Waits until so many more are acknowledged than there are now: by number, for nobody knows how quick a machine is.
    async fn wait_for_more(&self, more: usize) {
        let wanted = self.acknowledged.load(Ordering::Relaxed) + more;
        let started = Instant::now();
        while self.acknowledged.load(Ordering::Relaxed) < wanted {
            assert!(started.elapsed() < PATIENCE, "nothing is acknowledged");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Revokes one session after the other until told to stop; says which revocations were acknowledged.
async fn revoke_all(
    store: Arc<RedisStore>,
    from: usize,
    shared: Arc<RevocationLoad>,
) -> Vec<usize> {
    let mut acknowledged = Vec::new();
    for n in from.. {
        if shared.stop.load(Ordering::Relaxed) {
            break;
        }
        let name = format!("s{n}");
        if store.put(&session(&name, &format!("u{n}"))).await.is_ok()
            && matches!(store.revoke(&id(&name)).await, Ok(Some(_)))
        {
            acknowledged.push(n);
            shared.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    acknowledged
}

/// The number of revoked sessions that are back.
async fn count_revived(store: &RedisStore, revoked: &[usize]) -> usize {
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
async fn no_acknowledged_revocation_is_lost_in_fail_overs_by_hand() {
    let Some(sentinel) = RedisSentinel::start(&[]).await else { return };
    let asked = Arc::new(store(&sentinel.url()));
    let mut before = redis(&sentinel.url()).primaries().await.expect("primaries").nodes;
    for (round, to) in [1, 0, 1].into_iter().enumerate() {
        // Until then there is no replica, and a revocation takes its time.
        sentinel.wait_for_replica(to).await;
        asked.ping().await.expect("ping");
        let shared = Arc::<RevocationLoad>::default();
        let revoking: Vec<_> = (0..4)
            .map(|worker| (round * 4 + worker) * 1_000_000)
            .map(|from| tokio::spawn(revoke_all(asked.clone(), from, shared.clone())))
            .collect();
        shared.wait_for_more(20).await;
        sentinel.fail_over(to).await;
        // Nobody tells the old master for a while, and who believed in it still does.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let took = until_it_answers(&asked).await;
        // Without a replica each takes its 1.5 seconds.
        shared.wait_for_more(4).await;
        shared.stop.store(true, Ordering::Relaxed);
        let mut acknowledged = Vec::new();
        for revoking in revoking {
            acknowledged.extend(revoking.await.expect("task"));
        }
        let back = count_revived(&asked, &acknowledged).await;
        eprintln!("by hand: {} revoked, {back} back, {took:?} to answer", acknowledged.len());
        assert_eq!(back, 0);
        let after = redis(&sentinel.url()).primaries().await.expect("primaries").nodes;
        assert_ne!(before, after);
        assert!(after[0].name().contains(&sentinel.servers[to].port().to_string()));
        before = after;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_silent_replica_has_not_is_not_acknowledged_when_it_is_promoted() {
    let Some(sentinel) = RedisSentinel::start(&[]).await else { return };
    let asked = Arc::new(store(&sentinel.url()));
    for n in 0..40 {
        asked.put(&session(&format!("s{n}"), &format!("u{n}"))).await.expect("put");
    }
    wait_for_replication(&sentinel.servers[0], &sentinel.servers[1]).await;
    sentinel.servers[1].pause();
    let revoking: Vec<JoinHandle<bool>> = (0..40)
        .map(|n| {
            let asked = asked.clone();
            tokio::spawn(async move {
                let begun = Instant::now();
                let revoked = asked.revoke(&id(&format!("s{n}"))).await;
                // Later it is acknowledged without a replica, with a word in the log.
                revoked.is_ok() && begun.elapsed() < SETTLED
            })
        })
        .collect();
    let begun = Instant::now();
    tokio::time::sleep(Duration::from_millis(120)).await;
    let is_acknowledged = revoking.iter().any(JoinHandle::is_finished);
    assert!(!is_acknowledged || begun.elapsed() >= SETTLED, "no replica has it");
    sentinel.servers[1].resume();
    sentinel.fail_over(1).await;
    let mut acknowledged = Vec::new();
    for (n, revoking) in revoking.into_iter().enumerate() {
        acknowledged.extend(revoking.await.expect("task").then_some(n));
    }
    until_it_answers(&asked).await;
    let back = count_revived(&asked, &acknowledged).await;
    eprintln!("silent replica: {} of 40 acknowledged, {back} back", acknowledged.len());
    assert_eq!(back, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_master_is_replaced_and_revocations_hold() {
    let Some(mut sentinel) = RedisSentinel::start(&[]).await else { return };
    let (shared, asked) = (Arc::<RevocationLoad>::default(), Arc::new(store(&sentinel.url())));
    asked.ping().await.expect("ping");
    let revoking = tokio::spawn(revoke_all(asked.clone(), 0, shared.clone()));
    shared.wait_for_more(20).await;
    let started = Instant::now();
    sentinel.kill_master(0).await;
    let elected = started.elapsed();
    until_it_answers(&asked).await;
    let answered = started.elapsed();
    shared.wait_for_more(2).await;
    shared.stop.store(true, Ordering::Relaxed);
    let acknowledged = revoking.await.expect("task");
    let back = count_revived(&asked, &acknowledged).await;
    eprintln!(
        "killed: {} revoked, {back} back; a new master after {elected:?}, answers after {answered:?}",
        acknowledged.len()
    );
    assert_eq!(back, 0, "of {}", acknowledged.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_is_acknowledged_when_a_replica_has_it() {
    let Some(sentinel) = RedisSentinel::start(&[]).await else { return };
    let asked = store(&sentinel.url());
    let there = async |sentinel: &RedisSentinel, key: &str| -> i64 {
        sentinel.servers[1].ask(9, &["EXISTS", key]).await
    };
    for n in 0..50 {
        let (name, owner) = (format!("s{n}"), format!("u{n}"));
        asked.put(&session(&name, &owner)).await.expect("put");
        assert_eq!(asked.revoke(&id(&name)).await, Ok(Some(user(&owner))));
        assert_eq!(there(&sentinel, &format!("portcullis:session:{name}")).await, 0);
        assert_eq!(asked.revoke_user(&user(&owner), super::at(5)).await, Ok(0));
        assert_eq!(there(&sentinel, &format!("portcullis:not-before:{owner}")).await, 1);
    }
    // One that is late is waited for.
    asked.put(&session("late", "alice")).await.expect("put");
    sentinel.servers[1].pause();
    let begun = Instant::now();
    let late = tokio::spawn(async move { asked.revoke(&id("late")).await });
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert!(!late.is_finished() || begun.elapsed() >= SETTLED, "no replica has it");
    sentinel.servers[1].resume();
    assert_eq!(late.await.expect("task"), Ok(Some(user("alice"))));
    assert_eq!(there(&sentinel, "portcullis:session:late").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_replica_all_who_revoke_wait_together_until_none_can_have_taken_over() {
    let Some(mut sentinel) = RedisSentinel::start(&[]).await else { return };
    let asked = Arc::new(store(&sentinel.url()));
    sentinel.servers[1].kill();
    for n in 0..100 {
        asked.put(&session(&format!("s{n}"), &format!("u{n}"))).await.expect("put");
    }
    let started = Instant::now();
    let revoking: Vec<_> = (0..100)
        .map(|n| {
            let asked = asked.clone();
            tokio::spawn(async move { asked.revoke(&id(&format!("s{n}"))).await })
        })
        .collect();
    for (n, revoking) in revoking.into_iter().enumerate() {
        assert_eq!(revoking.await.expect("task"), Ok(Some(user(&format!("u{n}")))));
    }
    let took = started.elapsed();
    eprintln!("no replica: 100 revoked in {took:?}");
    assert!(took >= SETTLED, "one may have taken over: {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_no_majority_names_is_not_asked() {
    let Some(mut sentinel) = RedisSentinel::start(&[]).await else { return };
    let asked = store(&sentinel.url());
    asked.put(&session("s", "alice")).await.expect("put");
    sentinel.kill_sentinel(0);
    // Well beyond the second for which the last word of all three is believed.
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(1_500) {
        until_it_answers(&asked).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    until_it_answers(&asked).await;
    sentinel.kill_sentinel(1);
    let started = Instant::now();
    while asked.get(&user("alice"), &id("s")).await.is_ok() {
        assert!(started.elapsed() < PATIENCE, "still asked");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let why = why_not(&sentinel.url()).await;
    assert!(why.contains("no majority of the sentinels"), "{why}");
    assert!(redis(&sentinel.url()).primaries().await.is_err());
    sentinel.restart_sentinel(1);
    until_it_answers(&asked).await;
    assert!(matches!(asked.get(&user("alice"), &id("s")).await, Ok(Some(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_master_that_comes_back_is_not_believed() {
    let Some(sentinel) = RedisSentinel::start(&[]).await else { return };
    let asked = store(&sentinel.url());
    asked.put(&session("s", "alice")).await.expect("put");
    sentinel.servers[0].pause();
    sentinel.wait_for_master(1).await;
    let revoked = {
        let started = Instant::now();
        loop {
            let revoked = store(&sentinel.url()).revoke(&id("s")).await;
            if revoked.is_ok() || started.elapsed() > PATIENCE {
                break revoked;
            }
        }
    };
    assert_eq!(revoked, Ok(Some(user("alice"))));
    sentinel.servers[0].resume();
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
    let Some(sentinel) = RedisSentinel::start_with(&[], &commands, lines).await else { return };
    let right = "gate:p%40ss%2Cword@";
    let sentinels = "?sentinel_password=watch";
    let url = sentinel.url_with(right, sentinels);
    assert_eq!(store(&url).ping().await, Ok(()));
    for (url, expected) in [
        (sentinel.url_with(right, ""), "sentinel_password"),
        (sentinel.url_with(right, "?sentinel_password=hunter2"), "sentinel_password"),
        (sentinel.url_with("gate:hunter2@", sentinels), "the user or the password"),
        (sentinel.url_with("joe:hunter2@", sentinels), "the user or the password"),
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
    let Some(sentinel) = RedisSentinel::start(&[]).await else { return };
    let asked = store(&sentinel.url());
    asked.ping().await.expect("ping");
    // Behind the sentinels' back: they still name it.
    let port = sentinel.servers[1].port().to_string();
    let _: String = sentinel.servers[0].ask(0, &["REPLICAOF", "127.0.0.1", &port]).await;
    let put = asked.put(&session("s", "alice")).await;
    assert!(matches!(put, Err(StoreError::Unavailable(_))), "{put:?}");
    let why = why_not(&sentinel.url()).await;
    assert!(why.contains("not a master"), "{why}");
}
