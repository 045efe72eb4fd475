//! A real redis-server of one's own: in a temporary folder, ended by its process id.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::stores::ANSWER_TIMEOUT;
use super::{PATIENCE, certificates::Authority};

/// The transport by which clients reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Unix,
    Tcp,
    Tls,
}

/// A connection that waits for answers of a busy machine: the library's half a second is for others.
pub(crate) async fn connect(
    client: &redis::Client,
) -> redis::RedisResult<redis::aio::MultiplexedConnection> {
    let timeout = Some(ANSWER_TIMEOUT);
    let config = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(timeout)
        .set_response_timeout(timeout);
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// A running server. What it acknowledged is in its append-only file, so that it survives
/// [`RedisServer::kill`] and [`RedisServer::restart`].
pub(crate) struct RedisServer {
    program: PathBuf,
    folder: tempfile::TempDir,
    transport: Transport,
    port: u16,
    extra: Vec<String>,
    child: Child,
}

impl RedisServer {
    /// On a unix socket; `None` where the machine has no redis-server.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(Transport::Unix, &[])
    }

    /// With more of the server's options, as in `["--requirepass", "secret"]`.
    pub(crate) fn start_with(transport: Transport, extra: &[&str]) -> Option<Self> {
        let program = super::require("redis-server")?;
        let folder = tempfile::tempdir().expect("temporary folder");
        if transport == Transport::Tls {
            write_certificates(folder.path());
        }
        let extra: Vec<String> = extra.iter().map(|option| (*option).to_owned()).collect();
        // Another process may take the free port before the server binds it.
        for _ in 0..5 {
            let port = if transport == Transport::Unix { 0 } else { super::free_address().port() };
            let mut child = spawn(&program, folder.path(), transport, port, &extra);
            if wait_until_ready(&mut child, folder.path(), port) {
                return Some(Self { program, folder, transport, port, extra, child });
            }
        }
        panic!("redis-server does not start: {}", log(folder.path()));
    }

    /// The server's address, as `DB_URL` has it.
    pub(crate) fn url(&self) -> String {
        match self.transport {
            Transport::Unix => format!("redis+unix://{}", self.socket().display()),
            Transport::Tcp => format!("redis://127.0.0.1:{}", self.port),
            Transport::Tls => format!("rediss://127.0.0.1:{}", self.port),
        }
    }

    /// The address on which it listens; not on a unix socket.
    pub(crate) fn address(&self) -> SocketAddr {
        assert_ne!(self.transport, Transport::Unix, "a server on a unix socket has no address");
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The answer to a command as an administrator types it, in one of the databases.
    pub(crate) async fn ask<T: redis::FromRedisValue>(&self, database: u32, words: &[&str]) -> T {
        self.try_ask(database, words).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// The same of a command that may be refused, or of a server that may be gone.
    pub(crate) async fn try_ask<T: redis::FromRedisValue>(
        &self,
        database: u32,
        words: &[&str],
    ) -> redis::RedisResult<T> {
        let url = format!("redis+unix://{}?db={database}", self.socket().display());
        let mut connection = connect(&redis::Client::open(url)?).await?;
        redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await
    }

    /// Asks this again and again until the answer holds a text. A server whose part changes cuts all clients off.
    pub(crate) async fn wait_for(&self, words: &[&str], text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.try_ask::<String>(0, words).await;
            let answer = answer.unwrap_or_else(|error| error.to_string());
            if answer.contains(text) {
                return;
            }
            assert!(Instant::now() < deadline, "{words:?}: no {text} in {answer}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// The address on which it listens, if not on a unix socket alone.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The file of the CA that signed the certificate of a [`Transport::Tls`] server.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Kills it as `kill -9` does, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// Starts it again where it was, with what it had on its disk.
    pub(crate) fn restart(&mut self) {
        self.child =
            spawn(&self.program, self.folder.path(), self.transport, self.port, &self.extra);
        let ready = wait_until_ready(&mut self.child, self.folder.path(), self.port);
        assert!(ready, "redis-server does not start again: {}", log(self.folder.path()));
    }

    /// Stops it as SIGSTOP does: it keeps its connections and answers nothing.
    pub(crate) fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets a paused server go on.
    pub(crate) fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &command]).status().expect("sh");
        assert!(status.success(), "{command}");
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _already_dead = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn spawn(
    program: &Path,
    folder: &Path,
    transport: Transport,
    port: u16,
    extra: &[String],
) -> Child {
    let port = port.to_string();
    let mut command = Command::new(program);
    command.current_dir(folder).args(["--bind", "127.0.0.1", "--unixsocket", "redis.sock"]);
    command.args(["--dir", ".", "--save", "", "--logfile", "redis.log", "--daemonize", "no"]);
    command.args(["--appendonly", "yes", "--appendfsync", "always"]);
    if transport == Transport::Tls {
        command.args(["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no"]);
        command.args(["--tls-cert-file", "server.pem", "--tls-key-file", "server.key"]);
        command.args(["--tls-ca-cert-file", "ca.pem"]);
    } else {
        command.args(["--port", &port]);
    }
    command.args(extra).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("redis-server starts")
}

/// True once it accepts connections everywhere it should; false where it ended instead.
fn wait_until_ready(child: &mut Child, folder: &Path, port: u16) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        if child.try_wait().expect("status").is_some() {
            return false;
        }
        let listens = port == 0 || TcpStream::connect(("127.0.0.1", port)).is_ok();
        if listens && UnixStream::connect(folder.join("redis.sock")).is_ok() {
            // Read after it listens: before, the log may end with the start of a server that was killed.
            let log = log(folder);
            let started = log.rsplit("oO0OoO0OoO0Oo Redis is starting").next().unwrap_or_default();
            if started.to_ascii_lowercase().contains("ready to accept connections") {
                return true;
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("redis.log")).unwrap_or_default()
}

/// `ca.pem`, and `server.pem` with `server.key` that it signed for 127.0.0.1.
fn write_certificates(folder: &Path) {
    let authority = Authority::new();
    let (certificate, key) = authority.issue();
    for (name, content) in
        [("ca.pem", authority.pem()), ("server.pem", certificate), ("server.key", key)]
    {
        std::fs::write(folder.join(name), content).expect(name);
    }
}
