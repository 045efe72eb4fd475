//! Publishing our changes to our other processes, for servers that do not track keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::{Cmd, FromRedisValue, RedisResult, Value};

use super::script::is_unknown;
use super::{Call, Connection, Failure, Redis, Topology};

/// The time that a change waits until it is published, where that is another call. A process that
/// gets no message finds the change at the bound.
const PUBLISH_TIMEOUT: Duration = Duration::from_millis(50);

/// The channel on which changes are published.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) name: Arc<str>,
    was_refused: AtomicBool,
}

impl Channel {
    /// The channel of one database's records: channels have no database number.
    pub(super) fn of(database: u32) -> Self {
        let name = format!("portcullis:changes:{database}").into();
        Self { name, was_refused: AtomicBool::new(false) }
    }
}

impl Redis {
    /// Runs a script that changes the record under its first key, and publishes the change.
    ///
    /// A single server gets both commands at once and runs one after the other, but not in one
    /// step. A user without the right to publish may change all the same. The change is made,
    /// whoever is told.
    ///
    /// # Errors
    /// The error of the server or the connection, about the change.
    pub async fn change<T: FromRedisValue>(
        &self,
        call: &Call<'_>,
        connection: &mut Connection,
    ) -> RedisResult<T> {
        let key = call.first_key();
        match self.publish_after(call.by_hash(), key, connection).await {
            Err(error) if is_unknown(&error) => {
                self.publish_after(call.in_full(), key, connection).await
            }
            done => done,
        }
    }

    /// The same, to delete a record. Returns whether it was there.
    ///
    /// # Errors
    /// As of [`Self::change`].
    pub async fn remove(&self, key: &str, connection: &mut Connection) -> RedisResult<bool> {
        let mut command = redis::cmd("DEL");
        command.arg(key);
        self.publish_after(command, key.as_bytes(), connection).await
    }

    async fn publish_after<T: FromRedisValue>(
        &self,
        change: Cmd,
        key: &[u8],
        connection: &mut Connection,
    ) -> RedisResult<T> {
        let mut message = redis::cmd("PUBLISH");
        message.arg(&*self.channel.name).arg(key);
        if !matches!(self.topology, Topology::Server(_)) {
            // Two servers may run them, or a replica must have the change first: nobody may be told
            // before.
            let done = change.query_async(connection).await?;
            // The server that passes the message on may be another one, and slow.
            let publishing = tokio::time::timeout(PUBLISH_TIMEOUT, self.publish(&message)).await;
            if let Ok(published) = publishing {
                self.log_refusal(&published);
            }
            return Ok(done);
        }
        let mut both = redis::pipe();
        both.ignore_errors().add_command(change).add_command(message);
        let (done, published): (RedisResult<T>, RedisResult<Value>) =
            both.query_async(connection).await?;
        self.log_refusal(&published);
        done
    }

    async fn publish(&self, message: &Cmd) -> RedisResult<Value> {
        message.query_async(&mut self.connection().await?).await
    }

    fn log_refusal(&self, published: &RedisResult<Value>) {
        if let Err(error) = published
            && !self.channel.was_refused.swap(true, Ordering::Relaxed)
        {
            let (server, why) = (self.name(), Failure::of(error));
            tracing::info!(server, %why, "our other processes are not told what this one changes");
        }
    }
}
