//! All changes are told of, by the time at which a source says so: of SQLite, and of Redis however its keys are spread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use portcullis::session::{RedisStore, SessionId, SessionStore as _, UserId};
use portcullis::store::invalidation::{
    DeliveryMode, InvalidationEvent, InvalidationListener, InvalidationSource, InvalidationState,
};
use portcullis::store::redis::{Redis, RedisInvalidation};
use portcullis::store::sqlite::SqliteInvalidation;
use tokio::time::timeout;

use super::{DATABASE, redis_at, session, sqlite};
use crate::support::redis::{RedisServer, Transport};
use crate::support::redis_cluster::RedisCluster;
use crate::support::redis_sentinel::RedisSentinel;
use crate::support::{PATIENCE, poll};

/// A listener that counts what it is told of, and what it is not told of although it should have been.
#[derive(Debug, Default)]
struct CompletenessListener {
    /// The changes that may be in the store, and those that are.
    begun: AtomicU64,
    committed: AtomicU64,
    /// Those of them that were, when the store was asked last.
    asked_for: AtomicU64,
    told: AtomicU64,
    answers: AtomicU64,
    untold: AtomicU64,
}

impl InvalidationListener for CompletenessListener {
    fn on_invalidation(&self, event: InvalidationEvent<'_>) {
        let get = |of: &AtomicU64| of.load(Ordering::SeqCst);
        match event {
            // All is read again: that is as good as being told of all that may be there.
            InvalidationEvent::Lost => _ = self.told.fetch_max(get(&self.begun), Ordering::SeqCst),
            InvalidationEvent::Changed(_) => _ = self.told.fetch_add(1, Ordering::SeqCst),
            InvalidationEvent::Asked => {
                self.asked_for.store(get(&self.committed), Ordering::SeqCst);
            }
            InvalidationEvent::Complete => {
                if get(&self.told) < get(&self.asked_for) {
                    self.untold.fetch_add(1, Ordering::SeqCst);
                }
                self.answers.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

/// The rounds through which a source is followed.
const ROUNDS: u64 = 5;

/// Makes one change after the other while the source is followed, each of which it has to tell of, and holds them against
/// what it says.
async fn follow_through_changes(
    source: impl InvalidationSource + 'static,
    change: impl AsyncFn(u64),
) {
    let listener = Arc::new(CompletenessListener::default());
    let following = tokio::spawn({
        let listener = Arc::clone(&listener);
        let state = InvalidationState::new(DeliveryMode::Bound);
        async move { source.follow(&*listener, &state).await }
    });
    let answers = || listener.answers.load(Ordering::SeqCst);
    // What was lost before the first answer counts for nothing.
    poll("an answer", PATIENCE, || (answers() > 0).then_some(()));
    let (first, mut changes) = (answers(), 0);
    let changing = async {
        while changes < 60 || answers() < first + ROUNDS {
            listener.begun.fetch_add(1, Ordering::SeqCst);
            change(changes).await;
            changes = listener.committed.fetch_add(1, Ordering::SeqCst) + 1;
        }
    };
    timeout(PATIENCE, changing).await.expect("answers while it changes");
    // The answer to a question that was sent after all of them.
    let before = answers();
    poll("the last answer", PATIENCE, || (answers() > before + 1).then_some(()));
    following.abort();
    assert_eq!(listener.untold.load(Ordering::SeqCst), 0, "{listener:?}");
    assert!(listener.told.load(Ordering::SeqCst) >= changes, "{listener:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_sqlite_was_asked_for_is_told_with_the_answer() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("portcullis.db");
    let (source, other) =
        (SqliteInvalidation::new(sqlite::open(&path).await), sqlite::open(&path).await);
    let change = async |_| {
        let change = sqlx::query("INSERT OR REPLACE INTO user_not_before VALUES ('alice', 1)");
        other.execute(change).await.expect("a change");
    };
    follow_through_changes(source, change).await;
}

fn source(url: &str) -> RedisInvalidation {
    RedisInvalidation::new(redis_at(url), ["portcullis:".to_owned()])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_redis_was_asked_for_is_told_with_the_answer() {
    let Some(server) = RedisServer::start_with(Transport::Tcp, &[]) else { return };
    let change = async |number| {
        let _: () = server.ask(DATABASE, &["SET", &format!("portcullis:{number}"), "7"]).await;
    };
    follow_through_changes(source(&server.url()), change).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_master_of_sentinels_was_asked_for_is_told_with_the_answer() {
    let Some(sentinel) = RedisSentinel::start(&[]).await else { return };
    let change = async |number| {
        let set = ["SET", &format!("portcullis:{number}"), "7"];
        let _: () = sentinel.servers[0].ask(DATABASE, &set).await;
    };
    follow_through_changes(source(&sentinel.url()), change).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_all_servers_of_a_cluster_were_asked_for_is_told_with_the_answer() {
    let Some(cluster) = RedisCluster::start().await else { return };
    let change = async |number| {
        let key = format!("portcullis:{number}");
        let (primary, _) = cluster.primary_of(&key).await;
        let _: () = cluster.servers[primary].ask(0, &["SET", &key, "7"]).await;
    };
    follow_through_changes(source(&cluster.url()), change).await;
}

/// A server that was cut off from most others goes on to answer, and may not know what they agreed on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_not_sound_does_not_confirm_its_servers() {
    let Some(cluster) = RedisCluster::start().await else { return };
    let redis = redis_at(&cluster.url());
    let is_confirmed = async || redis.primaries().await.expect("primaries").is_confirmed;
    assert!(is_confirmed().await);
    for server in &cluster.servers {
        let _: () = server.ask(0, &["CLUSTER", "DELSLOTS", "0"]).await;
        server.wait_for(&["CLUSTER", "INFO"], "cluster_state:fail").await;
    }
    assert!(!is_confirmed().await);
}

/// A key may be at a server that is not followed yet, and one that gives up a slot need not tell of its keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_whose_slots_move_does_not_confirm_its_servers_for_a_while() {
    let Some(cluster) = RedisCluster::start().await else { return };
    let (reads, looks_on) = (redis_at(&cluster.url()), redis_at(&cluster.url()));
    let is_confirmed =
        async |redis: &Redis| redis.primaries().await.expect("primaries").is_confirmed;
    let store = RedisStore::new(reads.clone());
    store.put(&session("s", "alice")).await.expect("put");
    assert!(is_confirmed(&reads).await && is_confirmed(&looks_on).await);
    let key = "portcullis:9:session:{s}";
    let (from, slot) = cluster.primary_of(key).await;
    let to = (from + 1) % 3;
    cluster.begin_migration(slot, from, to).await;
    cluster.migrate_key(key, from, to).await;
    let (user, id) = (UserId::parse("alice").expect("user"), SessionId::parse("s").expect("id"));
    assert!(store.get(&user, &id).await.expect("get").is_some());
    assert!(!is_confirmed(&reads).await, "it was sent to another server");
    cluster.end_migration(slot, from, to).await;
    let until_it_changed = async { while is_confirmed(&looks_on).await {} };
    timeout(PATIENCE, until_it_changed).await.expect("another map");
}
