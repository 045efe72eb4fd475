//! One server, by its connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bb8_redis::bb8::{self, QueueStrategy};
use tokio::sync::watch;
use tokio::time::Instant;

use super::address::Address;
use super::connector::{Connector, Durability, FailedAttempt, Link, Role};
use super::{Failure, Node, Options};

/// Time for the answer to a command that must be replicated: less than a change may take.
const REPLICATION_TIMEOUT: Duration = Duration::from_millis(1_600);

/// A server.
pub(super) struct Server {
    pool: Pool,
    /// The connections for commands that wait for replicas, so that no other command waits behind
    /// them.
    durable: Pool,
    connect_timeout: Duration,
    node: Node,
    retired: Arc<AtomicBool>,
}

impl Server {
    /// Prepares the connections; nothing is connected before the first use.
    pub(super) fn new(address: &Address, role: Role, options: &Options) -> Self {
        let node = Node::new(address, options.connect_timeout);
        let retired = Arc::new(AtomicBool::new(false));
        let pool = |durability| {
            let (report, failures) = watch::channel(None);
            let retired = Arc::clone(&retired);
            let patience = match durability {
                Durability::PrimaryOnly => options.response_timeout,
                // Commands before it may each wait for a replica.
                Durability::Replicated => options.response_timeout.max(REPLICATION_TIMEOUT),
            };
            let options = Options { response_timeout: patience, ..options.clone() };
            let connector =
                Connector::new(address.clone(), role, durability, &options, retired, report);
            let connections = bb8::Pool::builder()
                .max_size(options.max_connections)
                .queue_strategy(QueueStrategy::Fifo)
                // Our own timeout, in `link_for`, comes first.
                .connection_timeout(options.connect_timeout.saturating_mul(2))
                .retry_connection(false)
                .max_lifetime(None)
                .idle_timeout(None)
                .test_on_check_out(true)
                .build_unchecked(connector);
            Pool { connections, failures }
        };
        let (pool, durable) = (pool(Durability::PrimaryOnly), pool(Durability::Replicated));
        Self { pool, durable, connect_timeout: options.connect_timeout, node, retired }
    }

    /// A connection that others use at the same time. Cheap where one is there.
    ///
    /// # Errors
    /// [`Failure`] as soon as an attempt to connect failed, or none came in time.
    pub(super) async fn link(&self) -> Result<Link, Failure> {
        self.link_for(Durability::PrimaryOnly).await
    }

    /// The same, for the durability that is needed.
    pub(super) async fn link_for(&self, durability: Durability) -> Result<Link, Failure> {
        let pool = match durability {
            Durability::PrimaryOnly => &self.pool,
            Durability::Replicated => &self.durable,
        };
        let connecting = tokio::time::timeout(self.connect_timeout, pool.connect());
        connecting.await.unwrap_or(Err(Failure::TimedOut))
    }

    /// Stops its use: no command is sent to it any more, not even on connections that are still
    /// held.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Returns whether it is not used any more.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// The server, for a subscription.
    pub(super) fn node(&self) -> &Node {
        &self.node
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({})", self.node.name())
    }
}

/// Connections of one kind.
struct Pool {
    connections: bb8::Pool<Connector>,
    failures: watch::Receiver<Option<FailedAttempt>>,
}

impl Pool {
    async fn connect(&self) -> Result<Link, Failure> {
        let began = Instant::now();
        let mut failures = self.failures.clone();
        loop {
            failures.mark_unchanged();
            tokio::select! {
                biased;
                checkout = self.connections.get() => return match checkout {
                    Ok(link) => Ok(link.clone()),
                    Err(bb8::RunError::TimedOut) => Err(Failure::TimedOut),
                    Err(bb8::RunError::User(error)) => Err(Failure::of(&error)),
                },
                // The pool would make us wait for the timeout although the server has refused.
                failed = next_failure(&mut failures) => match failed {
                    // An attempt that began before this call says nothing about the server now.
                    Some(attempt) if attempt.began < began => {}
                    Some(attempt) => return Err(attempt.failure),
                    None => return Err(Failure::TimedOut),
                },
            }
        }
    }
}

async fn next_failure(
    failures: &mut watch::Receiver<Option<FailedAttempt>>,
) -> Option<FailedAttempt> {
    // The sender lives in the pool, which outlives this call.
    failures.changed().await.ok()?;
    failures.borrow().clone()
}
