//! A real cluster of three primaries, with or without a replica of each.

use std::path::Path;
use std::time::{Duration, Instant};

use super::redis::{RedisServer, Transport};
use super::{PATIENCE, free_address};

/// The first slots of the three primaries, and the end.
const BOUNDS: [u16; 4] = [0, 5_461, 10_923, 16_384];

/// A running cluster. Dropping it ends all of it.
pub(crate) struct RedisCluster {
    /// The first three are primaries at the start.
    pub(crate) servers: Vec<RedisServer>,
    transport: Transport,
}

impl RedisCluster {
    /// Three primaries; `None` where the machine has no redis-server.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with(Transport::Tcp, 0).await
    }

    /// The same over TLS, or with replicas; the n-th follows the n-th primary.
    pub(crate) async fn start_with(transport: Transport, replicas: usize) -> Option<Self> {
        let mut servers: Vec<RedisServer> = Vec::new();
        for _ in 0..3 + replicas {
            let bus = free_address().port().to_string();
            let mut extra = vec!["--cluster-enabled", "yes", "--cluster-port", &bus];
            extra.extend(["--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0"]);
            // All of them have the certificates of the first.
            let ca = servers.first().map(RedisServer::ca_file).unwrap_or_default();
            let folder = ca.parent().unwrap_or(Path::new(".")).to_owned();
            let file = |name: &str| folder.join(name).display().to_string();
            let (ca, cert, key) = (file("ca.pem"), file("server.pem"), file("server.key"));
            if transport == Transport::Tls {
                extra.extend(["--tls-cluster", "yes", "--tls-replication", "yes"]);
                if !servers.is_empty() {
                    extra.extend(["--tls-ca-cert-file", &ca]);
                    extra.extend(["--tls-cert-file", &cert, "--tls-key-file", &key]);
                }
            }
            servers.push(RedisServer::start_with(transport, &extra)?);
        }
        let cluster = Self { servers, transport };
        cluster.join(replicas).await;
        Some(cluster)
    }

    /// Its URL, as `DB_URL` has it.
    pub(crate) fn url(&self) -> String {
        self.url_with("")
    }

    /// With credentials as in `user:password@`.
    pub(crate) fn url_with(&self, credentials: &str) -> String {
        let scheme = if self.transport == Transport::Tls { "rediss" } else { "redis" };
        let hosts: Vec<String> =
            self.servers.iter().map(|it| format!("127.0.0.1:{}", it.port())).collect();
        format!("{scheme}+cluster://{credentials}{}", hosts.join(","))
    }

    /// The primary that keeps a key at the start, and the slot of the key.
    pub(crate) async fn primary_of(&self, key: &str) -> (usize, u16) {
        let slot: u16 = self.servers[0].ask(0, &["CLUSTER", "KEYSLOT", key]).await;
        let index = BOUNDS.iter().rposition(|first| *first <= slot).expect("0 is the first");
        (index, slot)
    }

    /// Begins to move a slot: what is not there any more is asked for at its new place.
    pub(crate) async fn begin_migration(&self, slot: u16, from: usize, to: usize) {
        let slot = slot.to_string();
        let (source, target) = (self.id(from).await, self.id(to).await);
        let importing = ["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source];
        let _: String = self.servers[to].ask(0, &importing).await;
        let migrating = ["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target];
        let _: String = self.servers[from].ask(0, &migrating).await;
    }

    /// Moves a key.
    pub(crate) async fn migrate_key(&self, key: &str, from: usize, to: usize) {
        let port = self.servers[to].port().to_string();
        let migrate = ["MIGRATE", "127.0.0.1", &port, key, "0", "5000"];
        let _: String = self.servers[from].ask(0, &migrate).await;
    }

    /// Moves what is still there, and ends the move.
    pub(crate) async fn end_migration(&self, slot: u16, from: usize, to: usize) {
        let slot = slot.to_string();
        let keys: Vec<String> =
            self.servers[from].ask(0, &["CLUSTER", "GETKEYSINSLOT", &slot, "1000"]).await;
        for key in keys {
            self.migrate_key(&key, from, to).await;
        }
        let target = self.id(to).await;
        for index in [to, from] {
            let node = ["CLUSTER", "SETSLOT", &slot, "NODE", &target];
            let _: String = self.servers[index].ask(0, &node).await;
        }
    }

    /// Waits until every server that answers takes the cluster for sound.
    pub(crate) async fn wait_until_sound(&self) {
        let deadline = Instant::now() + PATIENCE;
        for server in &self.servers {
            loop {
                let info: redis::RedisResult<String> =
                    server.try_ask(0, &["CLUSTER", "INFO"]).await;
                let Ok(info) = info else { break };
                if info.contains("cluster_state:ok") {
                    break;
                }
                assert!(Instant::now() < deadline, "{info}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    async fn id(&self, index: usize) -> String {
        self.servers[index].ask(0, &["CLUSTER", "MYID"]).await
    }

    async fn join(&self, replicas: usize) {
        for (index, server) in self.servers.iter().enumerate() {
            let epoch = (index + 1).to_string();
            let _: String = server.ask(0, &["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await;
            if let Some([first, end]) = BOUNDS.windows(2).nth(index) {
                let (first, last) = (first.to_string(), (end - 1).to_string());
                let _: String = server.ask(0, &["CLUSTER", "ADDSLOTSRANGE", &first, &last]).await;
            }
        }
        for server in &self.servers[1..] {
            let port = self.servers[0].port().to_string();
            let bus: Vec<String> = self.servers[0].ask(0, &["CONFIG", "GET", "cluster-port"]).await;
            let meet = ["CLUSTER", "MEET", "127.0.0.1", &port, &bus[1]];
            let _: String = server.ask(0, &meet).await;
        }
        let all = format!("cluster_known_nodes:{}\r", self.servers.len());
        self.wait_for_all(&["CLUSTER", "INFO"], &all).await;
        for index in 0..replicas {
            let primary = self.id(index).await;
            let replicate = ["CLUSTER", "REPLICATE", &primary];
            let _: String = self.servers[3 + index].ask(0, &replicate).await;
        }
        self.wait_for_all(&["CLUSTER", "INFO"], "cluster_state:ok").await;
        for replica in &self.servers[3..] {
            replica.wait_for(&["INFO", "replication"], "master_link_status:up").await;
        }
    }

    async fn wait_for_all(&self, command: &[&str], text: &str) {
        for server in &self.servers {
            server.wait_for(command, text).await;
        }
    }
}
