//! Commands of administrators to servers that take over from each other.

use std::time::{Duration, Instant};

use super::{PATIENCE, redis::RedisServer, redis_cluster::RedisCluster};

/// Has a server acknowledge nothing without a replica. Redis loses what an old master has acknowledged when that follows
/// the new one, so who asks for a fail-over under load needs this.
pub const SAFE: [&str; 4] = ["--min-replicas-to-write", "1", "--min-replicas-max-lag", "1"];

/// A runtime for what is asked of servers.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Moves the slot of a key that is there to the next server, with a moment between its steps.
pub async fn migrate_slot_of(cluster: &RedisCluster, key: &str) {
    let (from, slot) = cluster.primary_of(key).await;
    let to = (from + 1) % 3;
    let there: i64 = cluster.servers[from].ask(0, &["EXISTS", key]).await;
    assert_eq!(there, 1, "{key} is not where it was looked for");
    cluster.begin_migration(slot, from, to).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    cluster.migrate_key(key, from, to).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    cluster.end_migration(slot, from, to).await;
}

/// Waits until a replica has all that its server has acknowledged by now.
pub async fn wait_for_replication(server: &RedisServer, replica: &RedisServer) {
    let wanted = offset(server).await;
    let deadline = Instant::now() + PATIENCE;
    while offset(replica).await < wanted {
        assert!(Instant::now() < deadline, "the replica does not follow");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The key of a session in a cluster, where LOGIN_REDIS_DB is not set.
pub fn key_in_cluster(session: &str) -> String {
    format!("portcullis:9:session:{{{session}}}")
}

async fn offset(server: &RedisServer) -> u64 {
    let info: String = server.ask(0, &["INFO", "replication"]).await;
    let line = info.lines().find_map(|line| line.strip_prefix("master_repl_offset:"));
    line.expect("an offset").trim().parse().expect("a number")
}
