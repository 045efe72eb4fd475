//! News of a Redis whose keys others hold in a moment: a fail-over, servers of a cluster that go.

use std::time::Instant;

use portcullis::session::{RedisStore, SessionStore as _};
use portcullis::storage::news::Means;

use super::{DATABASE, follow, redis_at, session};
use crate::support::redis::Reach;
use crate::support::redis_cluster::RedisCluster;
use crate::support::redis_sentinel::Watched;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_fail_over_the_new_master_is_followed() {
    let Some(mut watched) = Watched::start(&[]).await else { return };
    let listening = follow(&watched.url()).by(Means::Tracking);
    let (first, second) = ("portcullis:session:first", "portcullis:session:second");
    let _: () = watched.servers[0].ask(DATABASE, &["SET", first, "7"]).await;
    listening.when(first);
    watched.kill_master(0).await;
    let changed = Instant::now();
    let _: () = watched.servers[1].ask(DATABASE, &["DEL", first]).await;
    listening.until(Means::Bound);
    listening.until(Means::Tracking);
    println!("tracking again {:?} after most sentinels named the new master", changed.elapsed());
    let last = *listening.misses().last().expect("missed");
    assert!(last > changed || listening.keys().len() > 1, "a change that nobody heard");
    let _: () = watched.servers[1].ask(DATABASE, &["SET", second, "7"]).await;
    listening.when(second);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_sentinels_nobody_knows_whom_to_follow() {
    let Some(mut watched) = Watched::start(&[]).await else { return };
    let listening = follow(&watched.url()).by(Means::Tracking);
    watched.kill_sentinel(0);
    watched.kill_sentinel(1);
    listening.missed(1);
    listening.until(Means::Bound);
    // Who prefers no answer to an old one goes on to doubt.
    listening.missed(3);
    watched.restart_sentinel(0);
    listening.until(Means::Tracking);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_server_of_a_cluster_keeps_it_a_deletion_by_hand_is_heard() {
    let Some(cluster) = RedisCluster::start().await else { return };
    let store = RedisStore::new(redis_at(&cluster.url()));
    for n in 0..9 {
        store.put(&session(&format!("s{n}"), "alice")).await.expect("put");
    }
    let listening = follow(&cluster.url()).by(Means::Tracking);
    let mut places = std::collections::HashSet::new();
    for n in 0..9 {
        let key = format!("portcullis:9:session:{{s{n}}}");
        let (place, slot) = cluster.place_of(&key).await;
        if n % 3 == 2 {
            // It moves, and goes at its new place.
            let to = (place + 1) % 3;
            cluster.begin_to_move(slot, place, to).await;
            cluster.end_to_move(slot, place, to).await;
            listening.when(&key);
            listening.ear.0.lock().expect("ear").clear();
            let _: () = cluster.servers[to].ask(0, &["DEL", &key]).await;
        } else {
            let _: () = cluster.servers[place].ask(0, &["DEL", &key]).await;
        }
        listening.when(&key);
        places.insert(place);
    }
    assert_eq!(places.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_stands_in_for_its_primary_is_followed() {
    let Some(mut cluster) = RedisCluster::start_with(Reach::Tcp, 3).await else { return };
    let listening = follow(&cluster.url()).by(Means::Tracking);
    cluster.servers[0].kill();
    let noticed = listening.missed(1);
    listening.until(Means::Bound);
    listening.until(Means::Tracking);
    let again = *listening.misses().last().expect("missed");
    assert!(again > noticed);
    println!("tracking again {:?} after the primary was lost", again - noticed);
    // Which keys were the first server's is asked of another one.
    cluster.servers.swap(0, 3);
    let mut is_heard = false;
    for n in 0..20 {
        let key = format!("portcullis:9:session:{{s{n}}}");
        if cluster.place_of(&key).await.0 == 0 {
            let _: () = cluster.servers[0].ask(0, &["SET", &key, "7"]).await;
            listening.when(&key);
            is_heard = true;
        }
    }
    assert!(is_heard, "no key is kept there: nothing was put to the test");
}
