//! Making connections, and noticing which of them are broken.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bb8_redis::bb8::ManageConnection;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, PushInfo, PushKind, RedisError,
    RedisFuture, RedisResult, ServerErrorKind, Value,
};
use tokio::sync::watch;
use tokio::time::Instant;

use super::address::Address;
use super::replicas::{Replicas, Replication};
use super::{Failure, Options};

/// The last failed attempt to connect, for callers that wait for a connection.
#[derive(Clone, Debug)]
pub(super) struct FailedAttempt {
    pub(super) began: Instant,
    pub(super) failure: Failure,
}

/// The role that a server must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Any role: the URL names the server.
    Any,
    /// A master, by its own answer too: sentinels may name an old one.
    Master,
}

/// Durability of a command: the servers that must have it before it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// Only the server itself.
    PrimaryOnly,
    /// A replica too, unless none can be expected.
    Replicated,
}

/// Makes connections for the pool and tells it which to drop.
#[derive(Debug)]
pub(super) struct Connector {
    address: Address,
    role: Role,
    /// The replicas to wait for, where commands must survive a failover.
    replicas: Option<Arc<Replicas>>,
    /// Set once and for ever: the server is not used any more.
    retired: Arc<AtomicBool>,
    connect_timeout: Duration,
    response_timeout: Duration,
    /// Learned at the first connection and kept: a server's protocol seldom changes, and a restart
    /// of ours asks again.
    speaks_resp2_only: AtomicBool,
    report: watch::Sender<Option<FailedAttempt>>,
}

impl Connector {
    pub(super) fn new(
        address: Address,
        role: Role,
        durability: Durability,
        options: &Options,
        retired: Arc<AtomicBool>,
        report: watch::Sender<Option<FailedAttempt>>,
    ) -> Self {
        Self {
            replicas: (durability == Durability::Replicated)
                .then(|| Arc::new(Replicas::new(&address.name))),
            address,
            role,
            retired,
            connect_timeout: options.connect_timeout,
            response_timeout: options.response_timeout,
            speaks_resp2_only: AtomicBool::new(false),
            report,
        }
    }

    async fn dial(&self) -> RedisResult<Link> {
        let mut link = self.dial_either().await?;
        if self.role == Role::Master {
            link.check_master().await?;
        }
        Ok(link)
    }

    async fn dial_either(&self) -> RedisResult<Link> {
        if !self.speaks_resp2_only.load(Ordering::Relaxed) {
            match self.dial_with(&self.address.preferred).await {
                Err(error) if refuses_resp3(&error) => {
                    self.speaks_resp2_only.store(true, Ordering::Relaxed);
                }
                done => return done,
            }
        }
        self.dial_with(&self.address.plain).await
    }

    async fn dial_with(&self, client: &Client) -> RedisResult<Link> {
        let broken = Arc::new(AtomicBool::new(false));
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(self.response_timeout))
            .set_pipeline_buffer_size(256);
        if client.get_connection_info().redis_settings().protocol().supports_resp3() {
            let broken = broken.clone();
            config = config.set_push_sender(move |push: PushInfo| {
                if push.kind == PushKind::Disconnection {
                    broken.store(true, Ordering::Relaxed);
                }
                Ok::<(), redis::aio::SendError>(())
            });
        }
        let inner = client.get_multiplexed_async_connection_with_config(&config).await?;
        let replication =
            self.replicas.clone().map(|replicas| Arc::new(Replication::new(replicas)));
        Ok(Link { inner, broken, retired: Arc::clone(&self.retired), replication })
    }
}

impl ManageConnection for Connector {
    type Connection = Link;
    type Error = RedisError;

    async fn connect(&self) -> RedisResult<Link> {
        let began = Instant::now();
        let connected = match is_in_use(&self.retired) {
            Ok(()) => self.dial().await,
            Err(error) => Err(error),
        };
        if let Err(error) = &connected {
            let failure = Failure::of(error);
            self.report.send_replace(Some(FailedAttempt { began, failure }));
        }
        connected
    }

    async fn is_valid(&self, link: &mut Link) -> RedisResult<()> {
        if link.is_broken() {
            Err((ErrorKind::Io, "the connection is broken").into())
        } else {
            Ok(())
        }
    }

    fn has_broken(&self, link: &mut Link) -> bool {
        link.is_broken()
    }
}

/// Returns whether the server answered that it does not know `HELLO 3`: Redis 5 and before,
/// proxies, or a command that an administrator renamed.
pub(super) fn refuses_resp3(error: &RedisError) -> bool {
    let unknown_command = || {
        error.detail().is_some_and(|detail| detail.to_ascii_lowercase().contains("unknown command"))
    };
    error.kind() == ErrorKind::RESP3NotSupported
        || error.code() == Some("NOPROTO")
        || unknown_command()
}

/// Refuses a command to a retired server, on any connection that is still held.
fn is_in_use(retired: &AtomicBool) -> RedisResult<()> {
    if retired.load(Ordering::Relaxed) {
        return Err((ErrorKind::Io, "another server is the master now").into());
    }
    Ok(())
}

/// A connection to one server; its clones share it.
#[derive(Clone)]
pub(super) struct Link {
    inner: MultiplexedConnection,
    broken: Arc<AtomicBool>,
    retired: Arc<AtomicBool>,
    /// The replicas to wait for, where commands must survive a failover.
    replication: Option<Arc<Replication>>,
}

impl Link {
    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed) || self.retired.load(Ordering::Relaxed)
    }

    /// Marks it as broken: no new command is sent on it.
    pub(super) fn break_off(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    /// Returns whether the server is not used any more.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// Sends a command. Returns also whether it is known to survive a failover, or has nothing to
    /// lose.
    pub(super) async fn send(&mut self, command: &Cmd) -> RedisResult<(Value, bool)> {
        is_in_use(&self.retired)?;
        let result = match &self.replication {
            Some(replication) => replication.send(&mut self.inner, command).await,
            None => self.inner.req_packed_command(command).await.map(|answer| (answer, true)),
        };
        match &result {
            Ok((value, _)) => self.break_on_value(value),
            Err(error) => self.break_on_error(error),
        }
        result
    }

    /// Returns whether a replica has by now what was sent on this connection.
    pub(super) async fn was_replicated(&mut self) -> bool {
        match &self.replication {
            Some(replication) if !self.is_broken() => replication.are_there(&mut self.inner).await,
            _ => false,
        }
    }

    /// Warns that a write was acknowledged which only this server has.
    pub(super) fn warn_unreplicated(&self) {
        if let Some(replication) = &self.replication {
            replication.replicas.warn();
        }
    }

    /// Checks that the server takes itself for a master.
    pub(super) async fn check_master(&mut self) -> RedisResult<()> {
        let answer: Vec<Value> = redis::cmd("ROLE").query_async(self).await?;
        let role = answer.into_iter().next().map(redis::from_redis_value::<String>);
        if matches!(role, Some(Ok(role)) if role == "master") {
            return Ok(());
        }
        self.break_off();
        Err((ErrorKind::Io, "the server that the sentinels name is not a master").into())
    }

    /// Breaks the connection after these errors: the peer is gone or silent, its answers make no
    /// sense, or it is no longer a master. Callers that wait for an answer on it may still get it.
    fn break_on_error(&self, error: &RedisError) {
        let is_demoted = error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly);
        if is_demoted
            || matches!(error.kind(), ErrorKind::Io | ErrorKind::Parse)
            || error.is_unrecoverable_error()
        {
            self.break_off();
        }
    }

    fn break_on_value(&self, value: &Value) {
        if let Value::ServerError(error) = value
            && error.kind() == Some(ServerErrorKind::ReadOnly)
        {
            self.break_off();
        }
    }
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let (answer, is_replicated) = self.send(cmd).await?;
            if !is_replicated {
                self.warn_unreplicated();
            }
            Ok(answer)
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            is_in_use(&self.retired)?;
            let result = self.inner.req_packed_commands(pipeline, offset, count).await;
            match &result {
                Ok(values) => values.iter().for_each(|value| self.break_on_value(value)),
                Err(error) => self.break_on_error(error),
            }
            result
        })
    }

    fn get_db(&self) -> i64 {
        self.inner.get_db()
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link {{ broken: {} }}", self.is_broken())
    }
}
