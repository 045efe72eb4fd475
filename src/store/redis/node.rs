//! The servers that hold keys, each reached by connections of its own.
//!
//! The pool is for commands that any of its connections may carry. A subscription needs a
//! connection that stays: its subscriptions are lost with it, and it must not go back to the pool.

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use redis::aio::{AsyncPushSender, MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Client, RedisResult};

use super::address::Address;

/// A server that holds keys. Two are equal where their names are.
#[derive(Clone)]
pub struct Node {
    name: Arc<str>,
    preferred: Client,
    plain: Client,
    connect_timeout: Duration,
}

impl Node {
    /// The server at that address.
    pub(super) fn new(address: &Address, connect_timeout: Duration) -> Self {
        Self {
            name: address.name.as_str().into(),
            preferred: address.preferred.clone(),
            plain: address.plain.clone(),
            connect_timeout,
        }
    }

    /// Its name for logs: address and database number, no credentials.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Returns whether RESP3 is to be tried; without it a server cannot push.
    pub fn may_push(&self) -> bool {
        let settings = self.preferred.get_connection_info().redis_settings();
        settings.protocol().supports_resp3()
    }

    /// A connection for one caller. It sends the server's pushes to `pushes`, and at once when it
    /// breaks ([`redis::PushKind::Disconnection`]). Only where [`Self::may_push`].
    pub async fn dial(
        &self,
        response_timeout: Duration,
        pushes: impl AsyncPushSender,
    ) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(response_timeout))
            .set_push_sender(pushes);
        self.preferred.get_multiplexed_async_connection_with_config(&config).await
    }

    /// A connection for publish and subscribe, which every server supports.
    pub async fn dial_subscriber(&self) -> RedisResult<PubSub> {
        let dialling = tokio::time::timeout(self.connect_timeout, self.plain.get_async_pubsub());
        dialling.await.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Node {}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({})", self.name)
    }
}
