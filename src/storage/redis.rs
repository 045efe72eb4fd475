//! Redis and what speaks like it (Valkey, Dragonfly), over TCP, TLS or a unix socket.
//!
//! A connection carries the commands of many callers at once, so a caller clones it out of the
//! pool and lets go of its place at once. A broken connection is noticed when it breaks (RESP3
//! pushes a disconnection) or at the first command that fails or gets no answer in time, and is
//! replaced at the next checkout; no command is ever sent twice. There is no background work
//! while nobody asks.

mod address;
mod connector;
mod node;
mod scan;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bb8_redis::bb8::{self, QueueStrategy};
use redis::{ErrorKind, RedisError};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::UnixTime;
use crate::secret::Secret;
use address::Address;
pub use address::InvalidAddress;
pub use connector::Connection;
use connector::{Connector, FailedAttempt};
pub use node::Node;
pub use scan::{BATCH, Scan};

/// How long a record is kept after its end, in milliseconds: one hour.
const MARGIN: u64 = 3_600_000;
/// The longest time to live that is asked for, in milliseconds: one century.
pub const LONGEST: u64 = 3_155_760_000_000;

/// For how long a record that is of use from then until then should be kept, in milliseconds,
/// counted from when it is written, so that no two clocks are compared.
pub fn time_to_live(from: UnixTime, until: UnixTime) -> u64 {
    let length = until.as_millis().saturating_sub(from.as_millis());
    length.saturating_add(MARGIN).min(LONGEST)
}

/// How a Redis is reached.
#[derive(Clone, Debug)]
pub struct Options {
    /// The number of the database, whatever the URL says.
    pub database: u32,
    /// The certificates of the CAs that may have signed the server's, in PEM; without it the
    /// system's.
    pub ca_pem: Option<Vec<u8>>,
    /// From the first packet until the server has accepted name, password and database.
    pub connect_timeout: Duration,
    /// For the answer to one command or one pipeline. A caller with a deadline of its own sets
    /// this a little shorter, so that a dead connection is noticed rather than abandoned.
    pub response_timeout: Duration,
    /// At most this many connections, which is not the number of commands under way.
    pub max_connections: u32,
}

impl Default for Options {
    /// Database 0, the system's CAs, 1 s to connect, 500 ms to answer, 4 connections.
    fn default() -> Self {
        Self {
            database: 0,
            ca_pem: None,
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_millis(500),
            max_connections: 4,
        }
    }
}

/// A Redis, by its pool of connections. A clone is the same pool.
#[derive(Clone)]
pub struct Redis {
    pool: bb8::Pool<Connector>,
    failures: watch::Receiver<Option<FailedAttempt>>,
    connect_timeout: Duration,
    name: Arc<str>,
    /// The one server of this pool.
    node: Node,
}

/// Whether such a Redis could be asked for, without asking.
///
/// # Errors
/// [`InvalidAddress`] where the URL or the CA cannot be used.
pub fn check(url: &Secret, options: &Options) -> Result<(), InvalidAddress> {
    Address::parse(url, options.database, options.ca_pem.as_deref()).map(|_| ())
}

impl Redis {
    /// Prepares the pool; nothing is connected before the first use.
    ///
    /// # Errors
    /// [`InvalidAddress`] where the URL or the CA cannot be used.
    pub fn new(url: &Secret, options: &Options) -> Result<Self, InvalidAddress> {
        let address = Address::parse(url, options.database, options.ca_pem.as_deref())?;
        let node = Node::new(&address, options.connect_timeout);
        let name = Arc::clone(node.name());
        let (report, failures) = watch::channel(None);
        let connector = Connector::new(address, options, report);
        let pool = bb8::Pool::builder()
            .max_size(options.max_connections)
            .queue_strategy(QueueStrategy::Fifo)
            // Ours, in `connection`, comes first.
            .connection_timeout(options.connect_timeout.saturating_mul(2))
            .retry_connection(false)
            .max_lifetime(None)
            .idle_timeout(None)
            .test_on_check_out(true)
            .build_unchecked(connector);
        Ok(Self { pool, failures, connect_timeout: options.connect_timeout, name, node })
    }

    /// A connection that others use at the same time. Cheap where one is there.
    ///
    /// # Errors
    /// [`Failure`] as soon as an attempt to connect failed, or none came in time.
    pub async fn connection(&self) -> Result<Connection, Failure> {
        let connecting = tokio::time::timeout(self.connect_timeout, self.connect());
        connecting.await.unwrap_or(Err(Failure::TimedOut))
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let began = Instant::now();
        let mut failures = self.failures.clone();
        loop {
            failures.mark_unchanged();
            tokio::select! {
                biased;
                checkout = self.pool.get() => return match checkout {
                    Ok(connection) => Ok(connection.clone()),
                    Err(bb8::RunError::TimedOut) => Err(Failure::TimedOut),
                    Err(bb8::RunError::User(error)) => Err(Failure::of(&error)),
                },
                // The pool would let us wait for the timeout although the server has refused.
                failed = next_failure(&mut failures) => match failed {
                    // One that began before us says nothing of how the server is now.
                    Some(attempt) if attempt.began < began => {}
                    Some(attempt) => return Err(attempt.failure),
                    None => return Err(Failure::TimedOut),
                },
            }
        }
    }

    /// The servers that hold the keys now, for who listens to each of them. They may be others in
    /// a moment: ask again about every second, and whenever one of them is lost.
    ///
    /// # Errors
    /// [`Failure`] where nobody says which they are.
    #[expect(clippy::unused_async, reason = "of more than one server, others must be asked")]
    pub async fn primaries(&self) -> Result<Vec<Node>, Failure> {
        Ok(vec![self.node.clone()])
    }

    /// Where it is, for logs: address and database number, no credentials.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis({})", self.name)
    }
}

async fn next_failure(
    failures: &mut watch::Receiver<Option<FailedAttempt>>,
) -> Option<FailedAttempt> {
    // The sender lives in the pool, which lives as long as we do.
    failures.changed().await.ok()?;
    failures.borrow().clone()
}

/// Why a command was not answered as it should. Holds nothing of the URL: a server that does
/// not know a command repeats its arguments, which for a login are the password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// Not reached, not let in, or not served.
    #[error("{0}")]
    Unavailable(String),
    /// What is kept under the key is not of the kind that was asked for.
    #[error("the record is of another kind")]
    WrongKind,
}

impl Failure {
    /// What an error of the `redis` crate means.
    pub fn of(error: &RedisError) -> Self {
        if error.is_timeout() {
            return Self::TimedOut;
        }
        match error.kind() {
            // The system's or the TLS library's words, which know nothing of the URL.
            ErrorKind::Io => Self::Unavailable(error.to_string()),
            ErrorKind::UnexpectedReturnType => Self::WrongKind,
            _ if error.code() == Some("WRONGTYPE") => Self::WrongKind,
            _ => Self::Unavailable(match error.code() {
                Some("WRONGPASS" | "NOAUTH" | "NOPERM") => {
                    "it refuses the user or the password of DB_URL".to_owned()
                }
                Some(code) => format!("{} ({code})", error.category()),
                None => error.category().to_owned(),
            }),
        }
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        Self::of(&error)
    }
}
