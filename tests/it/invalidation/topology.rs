//! Invalidations by a Redis whose keys move to other servers: a fail-over, servers of a cluster that go.

use std::time::Instant;

use portcullis::session::{RedisStore, SessionStore as _};
use portcullis::store::invalidation::DeliveryMode;

use super::{DATABASE, follow, redis_at, session};
use crate::support::redis::Transport;
use crate::support::redis_cluster::RedisCluster;
use crate::support::redis_sentinel::RedisSentinel;
use crate::support::{PATIENCE, poll};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_fail_over_the_new_master_is_followed() {
    let Some(mut sentinel) = RedisSentinel::start(&[]).await else { return };
    let subscription = follow(&sentinel.url()).after(DeliveryMode::Tracking);
    let (first, second) = ("portcullis:session:first", "portcullis:session:second");
    let _: () = sentinel.servers[0].ask(DATABASE, &["SET", first, "7"]).await;
    subscription.time_of(first);
    sentinel.kill_master(0).await;
    let changed = Instant::now();
    let _: () = sentinel.servers[1].ask(DATABASE, &["DEL", first]).await;
    // Not for the mode in between, which is over where the new master was found before anybody looked.
    subscription.wait_for_loss(1);
    subscription.wait_for_mode(DeliveryMode::Tracking);
    println!("tracking again {:?} after most sentinels named the new master", changed.elapsed());
    poll("somebody told of the change", PATIENCE, || {
        let is_suspect = subscription.losses().last().is_some_and(|last| *last > changed);
        (is_suspect || subscription.keys().len() > 1).then_some(())
    });
    let _: () = sentinel.servers[1].ask(DATABASE, &["SET", second, "7"]).await;
    subscription.time_of(second);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_sentinels_nobody_knows_whom_to_follow() {
    let Some(mut sentinel) = RedisSentinel::start(&[]).await else { return };
    let subscription = follow(&sentinel.url()).after(DeliveryMode::Tracking);
    sentinel.kill_sentinel(0);
    sentinel.kill_sentinel(1);
    subscription.wait_for_loss(1);
    subscription.wait_for_mode(DeliveryMode::Bound);
    let answers = subscription.answers();
    // Who prefers no answer to an old one goes on to suspect all.
    subscription.wait_for_loss(3);
    assert_eq!(subscription.answers(), answers);
    sentinel.restart_sentinel(0);
    subscription.wait_for_mode(DeliveryMode::Tracking);
    subscription.wait_for_another_answer();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_server_of_a_cluster_keeps_it_a_deletion_by_hand_is_reported() {
    let Some(cluster) = RedisCluster::start().await else { return };
    let store = RedisStore::new(redis_at(&cluster.url()));
    for n in 0..9 {
        store.put(&session(&format!("s{n}"), "alice")).await.expect("put");
    }
    let subscription = follow(&cluster.url()).after(DeliveryMode::Tracking);
    let mut primaries = std::collections::HashSet::new();
    for n in 0..9 {
        let key = format!("portcullis:9:session:{{s{n}}}");
        let (primary, slot) = cluster.primary_of(&key).await;
        if n % 3 == 2 {
            // It moves, and goes at its new place.
            let to = (primary + 1) % 3;
            cluster.begin_migration(slot, primary, to).await;
            cluster.end_migration(slot, primary, to).await;
            subscription.time_of(&key);
            subscription.listener.events.lock().expect("listener").clear();
            let _: () = cluster.servers[to].ask(0, &["DEL", &key]).await;
        } else {
            let _: () = cluster.servers[primary].ask(0, &["DEL", &key]).await;
        }
        subscription.time_of(&key);
        primaries.insert(primary);
    }
    assert_eq!(primaries.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_stands_in_for_its_primary_is_followed() {
    let Some(mut cluster) = RedisCluster::start_with(Transport::Tcp, 3).await else { return };
    let subscription = follow(&cluster.url()).after(DeliveryMode::Tracking);
    cluster.servers[0].kill();
    let noticed = subscription.wait_for_loss(1);
    subscription.wait_for_mode(DeliveryMode::Bound);
    subscription.wait_for_mode(DeliveryMode::Tracking);
    let again = *subscription.losses().last().expect("lost");
    assert!(again > noticed);
    println!("tracking again {:?} after the primary was lost", again - noticed);
    // Which keys were the first server's is asked of another one.
    cluster.servers.swap(0, 3);
    let mut is_reported = false;
    for n in 0..20 {
        let key = format!("portcullis:9:session:{{s{n}}}");
        if cluster.primary_of(&key).await.0 == 0 {
            let _: () = cluster.servers[0].ask(0, &["SET", &key, "7"]).await;
            subscription.time_of(&key);
            is_reported = true;
        }
    }
    assert!(is_reported, "no key is kept there: nothing was put to the test");
}
