//! Making connections, and noticing which of them are broken.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bb8_redis::bb8::ManageConnection;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, PushInfo, PushKind, RedisError,
    RedisFuture, RedisResult, Value,
};
use tokio::sync::watch;
use tokio::time::Instant;

use super::address::Address;
use super::{Failure, Options};

/// The last attempt to connect that failed, for those who wait for a connection.
#[derive(Clone, Debug)]
pub(super) struct FailedAttempt {
    pub(super) began: Instant,
    pub(super) failure: Failure,
}

/// Makes connections for the pool and tells it which to drop.
#[derive(Debug)]
pub(super) struct Connector {
    address: Address,
    connect_timeout: Duration,
    response_timeout: Duration,
    /// Learned at the first connection and kept: a server does not change its mind often, and a
    /// restart of ours asks again.
    speaks_resp2_only: AtomicBool,
    report: watch::Sender<Option<FailedAttempt>>,
}

impl Connector {
    pub(super) fn new(
        address: Address,
        options: &Options,
        report: watch::Sender<Option<FailedAttempt>>,
    ) -> Self {
        Self {
            address,
            connect_timeout: options.connect_timeout,
            response_timeout: options.response_timeout,
            speaks_resp2_only: AtomicBool::new(false),
            report,
        }
    }

    async fn dial(&self) -> RedisResult<Connection> {
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

    async fn dial_with(&self, client: &Client) -> RedisResult<Connection> {
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
        Ok(Connection { inner, broken })
    }
}

impl ManageConnection for Connector {
    type Connection = Connection;
    type Error = RedisError;

    async fn connect(&self) -> RedisResult<Connection> {
        let began = Instant::now();
        let connected = self.dial().await;
        if let Err(error) = &connected {
            let failure = Failure::of(error);
            self.report.send_replace(Some(FailedAttempt { began, failure }));
        }
        connected
    }

    async fn is_valid(&self, connection: &mut Connection) -> RedisResult<()> {
        if connection.is_broken() {
            Err((ErrorKind::Io, "the connection is broken").into())
        } else {
            Ok(())
        }
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.is_broken()
    }
}

/// Whether the server said that it does not know `HELLO 3`: by Redis 5 and before, by proxies,
/// or where an administrator renamed the command.
fn refuses_resp3(error: &RedisError) -> bool {
    let unknown_command = || {
        error.detail().is_some_and(|detail| detail.to_ascii_lowercase().contains("unknown command"))
    };
    error.kind() == ErrorKind::RESP3NotSupported
        || error.code() == Some("NOPROTO")
        || unknown_command()
}

/// A connection; its clones share it.
#[derive(Clone)]
pub struct Connection {
    inner: MultiplexedConnection,
    broken: Arc<AtomicBool>,
}

impl Connection {
    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }
}

/// After these a connection is not used for new commands: the peer is gone or silent, or what it
/// says makes no sense. Whoever waits for an answer on it may still get it.
fn note<T>(broken: &AtomicBool, result: &RedisResult<T>) {
    if let Err(error) = result
        && (matches!(error.kind(), ErrorKind::Io | ErrorKind::Parse)
            || error.is_unrecoverable_error())
    {
        broken.store(true, Ordering::Relaxed);
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let result = self.inner.req_packed_command(cmd).await;
            note(&self.broken, &result);
            result
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let result = self.inner.req_packed_commands(pipeline, offset, count).await;
            note(&self.broken, &result);
            result
        })
    }

    fn get_db(&self) -> i64 {
        self.inner.get_db()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection {{ broken: {} }}", self.is_broken())
    }
}
