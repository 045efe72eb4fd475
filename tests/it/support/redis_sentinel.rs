//! A real master with a replica, and three real sentinels that watch over them.

use std::fmt::Write as _;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::process::Running;
use super::redis::{RedisServer, Transport, connect};
use super::{PATIENCE, free_address};

/// The sentinels' name of the master.
pub(crate) const MASTER: &str = "mymaster";
/// The silence after which they give a server up, in milliseconds.
const DOWN_AFTER: u32 = 500;

/// Servers that sentinels look after. Dropping it ends all of them.
pub(crate) struct RedisSentinel {
    /// The first one was the master at the start.
    pub(crate) servers: Vec<RedisServer>,
    sentinels: Vec<SentinelProcess>,
}

struct SentinelProcess {
    program: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    running: Running,
}

impl RedisSentinel {
    /// With more of the servers' options and of the sentinels' lines; `None` where the machine has
    /// no redis-server. Returns when all know each other.
    pub(crate) async fn start(extra: &[&str]) -> Option<Self> {
        Self::start_with(extra, &[], "").await
    }

    /// The same, with an ACL or other commands for each server and lines for each sentinel.
    pub(crate) async fn start_with(
        extra: &[&str],
        commands: &[&[&str]],
        sentinel_lines: &str,
    ) -> Option<Self> {
        let program = super::require("redis-server")?;
        let common = [
            ["--databases", "64"].as_slice(),
            &["--repl-diskless-sync-delay", "0", "--repl-timeout", "5"],
            extra,
        ]
        .concat();
        let master = RedisServer::start_with(Transport::Tcp, &common)?;
        let port = master.port().to_string();
        let of = ["--replicaof", "127.0.0.1", &port];
        let replica = RedisServer::start_with(Transport::Tcp, &[&common, of.as_slice()].concat())?;
        let servers = vec![master, replica];
        for command in commands {
            for server in &servers {
                let _: redis::Value = server.ask(0, command).await;
            }
        }
        let sentinels = (0..3)
            .map(|_| SentinelProcess::start(program.clone(), servers[0].port(), sentinel_lines))
            .collect();
        let sentinel = Self { servers, sentinels };
        sentinel.wait_for_discovery().await;
        Some(sentinel)
    }

    /// Their URL, as `DB_URL` has it.
    pub(crate) fn url(&self) -> String {
        self.url_with("", "")
    }

    /// With credentials as in `user:password@` and parameters as in `?sentinel_password=x`.
    pub(crate) fn url_with(&self, credentials: &str, parameters: &str) -> String {
        let hosts: Vec<String> =
            self.sentinels.iter().map(|it| format!("127.0.0.1:{}", it.port)).collect();
        format!("redis+sentinel://{credentials}{}/{MASTER}{parameters}", hosts.join(","))
    }

    /// Kills a server and waits until most sentinels name another one.
    pub(crate) async fn kill_master(&mut self, index: usize) -> Duration {
        let started = Instant::now();
        self.servers[index].kill();
        self.wait_for_master(1 - index).await;
        started.elapsed()
    }

    /// Has the sentinels make the other server the master, and waits until most name it.
    pub(crate) async fn fail_over(&self, to: usize) {
        self.begin_fail_over().await;
        self.wait_for_master(to).await;
    }

    /// Has them begin, as soon as the last time is over and the other server follows this one.
    pub(crate) async fn begin_fail_over(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let begun = self.sentinels[0].try_ask(&["SENTINEL", "FAILOVER", MASTER]).await;
            let Err::<String, _>(error) = begun else { return };
            assert!(Instant::now() < deadline, "{error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until most sentinels name this server.
    pub(crate) async fn wait_for_master(&self, index: usize) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut votes = 0;
            for sentinel in &self.sentinels {
                votes += usize::from(sentinel.master().await == Some(self.servers[index].port()));
            }
            if votes >= 2 {
                return;
            }
            assert!(Instant::now() < deadline, "no fail-over");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until this server is a master by its own word, which is before anybody names it.
    pub(crate) async fn wait_for_promotion(&self, index: usize) {
        self.servers[index].wait_for(&["INFO", "replication"], "role:master").await;
    }

    /// Kills a sentinel.
    pub(crate) fn kill_sentinel(&mut self, index: usize) {
        self.sentinels[index].running.kill();
    }

    /// Starts a killed sentinel again, with what it knew.
    pub(crate) fn restart_sentinel(&mut self, index: usize) {
        let SentinelProcess { program, folder, port, running } = &mut self.sentinels[index];
        *running = run(program, folder, *port);
    }

    async fn wait_for_discovery(&self) {
        let deadline = Instant::now() + PATIENCE;
        for sentinel in &self.sentinels {
            loop {
                let info = sentinel.master_info().await;
                let number = |name: &str| {
                    let at = info.iter().position(|word| word == name)?;
                    info.get(at + 1)?.parse::<u32>().ok()
                };
                if number("num-slaves") == Some(1) && number("num-other-sentinels") == Some(2) {
                    break;
                }
                assert!(Instant::now() < deadline, "sentinels do not find each other: {info:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        self.wait_for_replica(1).await;
    }

    /// Waits until this server has all that the other one has: before, it is not promoted.
    pub(crate) async fn wait_for_replica(&self, index: usize) {
        self.servers[index].wait_for(&["INFO", "replication"], "master_link_status:up").await;
    }
}

impl SentinelProcess {
    fn start(program: PathBuf, master: u16, lines: &str) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let port = free_address().port();
        let mut config = format!("port {port}\nbind 127.0.0.1\ndir {}\n", folder.path().display());
        let monitored = [
            format!("monitor {MASTER} 127.0.0.1 {master} 2"),
            format!("down-after-milliseconds {MASTER} {DOWN_AFTER}"),
            format!("failover-timeout {MASTER} 3000"),
            format!("parallel-syncs {MASTER} 1"),
        ];
        for line in monitored {
            writeln!(config, "sentinel {line}").expect("text");
        }
        config.push_str(lines);
        std::fs::write(folder.path().join("sentinel.conf"), config).expect("sentinel.conf");
        let running = run(&program, &folder, port);
        Self { program, folder, port, running }
    }

    async fn master_info(&self) -> Vec<String> {
        let info: redis::Value = self.ask(&["SENTINEL", "MASTER", MASTER]).await;
        let info = redis::from_redis_value::<Vec<String>>(info);
        info.unwrap_or_default()
    }

    async fn master(&self) -> Option<u16> {
        let mut connection = connect(&self.client()).await.ok()?;
        let (_, port): (String, u16) = redis::cmd("SENTINEL")
            .arg(&["get-master-addr-by-name", MASTER])
            .query_async(&mut connection)
            .await
            .ok()?;
        Some(port)
    }

    async fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_ask(words).await.expect("answer")
    }

    async fn try_ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let mut connection = connect(&self.client()).await?;
        redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await
    }

    /// The password of those that have one is `watch`.
    fn client(&self) -> redis::Client {
        let config = std::fs::read_to_string(self.folder.path().join("sentinel.conf"));
        let has_password = config.expect("sentinel.conf").contains("requirepass");
        let credentials = if has_password { ":watch@" } else { "" };
        redis::Client::open(format!("redis://{credentials}127.0.0.1:{}", self.port))
            .expect("client")
    }
}

fn run(program: &PathBuf, folder: &tempfile::TempDir, port: u16) -> Running {
    let mut command = Command::new(program);
    command.arg(folder.path().join("sentinel.conf")).arg("--sentinel");
    let mut running = Running::start(&mut command, &folder.path().join("sentinel.log"));
    running.wait_until("a sentinel", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    running
}
