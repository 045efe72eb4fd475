//! Replication: it is known whether a replica has the last writes.
//!
//! A server answers before its replicas have the write. If it dies in between, the replica that
//! replaces it does not have it. So a write that must not be lost waits until a replica has it
//! (`WAIT`). If none has it, the caller decides: on a cluster the write is acknowledged all the
//! same, with a line in the log; behind sentinels the server may be a master no more, and they are
//! asked first (`sentinel.rs`). An administrator who wants such writes to fail sets
//! `min-replicas-to-write`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::{Cmd, RedisResult, Value};
use tokio::time::Instant;

use super::cached_topology::CachedTopology;

/// The timeout of `WAIT`, in milliseconds. The connection is blocked for so long.
const WAIT_TIMEOUT_MILLIS: u32 = 50;
/// The time without waiting after there was no replica, or a slow one.
const NO_REPLICA_PAUSE: Duration = Duration::from_secs(1);
/// The shortest time between two warnings.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// The replicas of a server.
#[derive(Debug)]
pub(super) struct Replicas {
    server: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    absent_since: Option<Instant>,
    warned: Option<Instant>,
}

impl Replicas {
    /// The replicas of the server with that name.
    pub(super) fn new(server: &str) -> Self {
        Self { server: server.to_owned(), state: Mutex::default() }
    }

    /// Warns that a write was acknowledged which none of them has, but not every time.
    pub(super) fn warn(&self) {
        if self.should_warn(Instant::now()) {
            let server = &self.server;
            tracing::warn!(server, "no replica has what was written, which is lost if it dies");
        }
    }

    fn are_missing(&self, now: Instant) -> bool {
        let absent_since = self.state.lock().unwrap_or_else(PoisonError::into_inner).absent_since;
        absent_since.is_some_and(|absent_since| {
            now.saturating_duration_since(absent_since) < NO_REPLICA_PAUSE
        })
    }

    /// Records whether a replica was in time.
    fn record(&self, was_there: bool, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.absent_since = (!was_there).then_some(now);
    }

    fn should_warn(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_warned = state
            .warned
            .is_some_and(|warned| now.saturating_duration_since(warned) < WARN_INTERVAL);
        if !is_warned {
            state.warned = Some(now);
        }
        !is_warned
    }
}

/// The replication of the commands of one connection. `WAIT` covers all of them, so one call serves
/// every command that was answered before.
#[derive(Debug)]
pub(super) struct Replication {
    pub(super) replicas: Arc<Replicas>,
    acknowledged: CachedTopology<bool>,
}

impl Replication {
    /// The replication of a new connection to the server with these replicas.
    pub(super) fn new(replicas: Arc<Replicas>) -> Self {
        Self { replicas, acknowledged: CachedTopology::new() }
    }

    /// Sends a command; the answer comes when a replica has carried it out too, or was too slow.
    /// Returns also whether the command is safe: a replica has it, or the server itself did not
    /// carry it out.
    pub(super) async fn send(
        &self,
        connection: &mut MultiplexedConnection,
        command: &Cmd,
    ) -> RedisResult<(Value, bool)> {
        let answer = connection.req_packed_command(command).await?;
        let is_replicated = matches!(answer, Value::ServerError(_))
            || (!self.replicas.are_missing(Instant::now()) && self.are_there(connection).await);
        Ok((answer, is_replicated))
    }

    /// Returns whether a replica has all that was answered on this connection, or soon will.
    pub(super) async fn are_there(&self, connection: &mut MultiplexedConnection) -> bool {
        let mut wait = redis::cmd("WAIT");
        wait.arg(1).arg(WAIT_TIMEOUT_MILLIS);
        let question = async {
            let answer = connection.req_packed_command(&wait).await;
            let are_there = matches!(answer, Ok(Value::Int(1..)));
            self.replicas.record(are_there, Instant::now());
            Ok(Arc::new(are_there))
        };
        self.acknowledged
            .refresh_since(Instant::now(), question)
            .await
            .is_ok_and(|are_there| *are_there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_replica_one_waits_once_a_second_and_it_is_logged_once_a_minute() {
        let replicas = Replicas::new("server");
        let start = Instant::now();
        assert!(!replicas.are_missing(start));
        replicas.record(false, start);
        assert!(replicas.are_missing(start + NO_REPLICA_PAUSE / 2));
        assert!(!replicas.are_missing(start + NO_REPLICA_PAUSE));
        replicas.record(true, start);
        assert!(!replicas.are_missing(start), "there is one again");
        assert!(replicas.should_warn(start));
        assert!(!replicas.should_warn(start + NO_REPLICA_PAUSE));
        assert!(replicas.should_warn(start + WARN_INTERVAL));
    }
}
