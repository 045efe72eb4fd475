//! Whether a replica has what was just written.
//!
//! A server answers before its replicas have heard; if it dies in between, the one that takes its
//! place does not know. So who writes what must not be forgotten waits until one of them has it
//! (`WAIT`). It narrows that window and does not close it: a server that is cut off from its
//! replicas answers all the same, and so do we, with a word in the log. Who wants such writes to
//! fail sets `min-replicas-to-write`.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::{Cmd, RedisResult, Value};
use tokio::time::Instant;

/// How long a replica may take, in milliseconds. The connection is blocked for so long.
const PATIENCE: u32 = 50;
/// For how long nobody waits after there was no replica, or a slow one.
const RESIGNED: Duration = Duration::from_secs(1);
/// How often it is said.
const SAID: Duration = Duration::from_secs(60);

/// The replicas of a server.
#[derive(Debug)]
pub(super) struct Replicas {
    server: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    missed: Option<Instant>,
    said: Option<Instant>,
}

impl Replicas {
    /// Those of the server of that name.
    pub(super) fn new(server: &str) -> Self {
        Self { server: server.to_owned(), state: Mutex::default() }
    }

    /// Sends a command; the answer comes when a replica has carried it out too, or was too slow.
    pub(super) async fn send(
        &self,
        connection: &mut MultiplexedConnection,
        command: &Cmd,
    ) -> RedisResult<Value> {
        if self.are_missing(Instant::now()) {
            return connection.req_packed_command(command).await;
        }
        let mut pipeline = redis::pipe();
        pipeline.add_command(command.clone()).cmd("WAIT").arg(1).arg(PATIENCE);
        let mut answers = connection.req_packed_commands(&pipeline, 0, 2).await?.into_iter();
        let answer = answers.next().unwrap_or(Value::Nil);
        let was_carried_out = !matches!(answer, Value::ServerError(_));
        let is_copied = matches!(answers.next(), Some(Value::Int(1..)));
        if was_carried_out && !is_copied && self.missed(Instant::now()) {
            let server = &self.server;
            tracing::warn!(server, "no replica has what was written, which is lost if it dies");
        }
        Ok(answer)
    }

    fn are_missing(&self, now: Instant) -> bool {
        let missed = self.state.lock().unwrap_or_else(PoisonError::into_inner).missed;
        missed.is_some_and(|missed| now.saturating_duration_since(missed) < RESIGNED)
    }

    /// Notes that there was none in time. Says whether to tell.
    fn missed(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.missed = Some(now);
        let is_said = state.said.is_some_and(|said| now.saturating_duration_since(said) < SAID);
        if !is_said {
            state.said = Some(now);
        }
        !is_said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_replica_one_waits_once_a_second_and_it_is_said_once_a_minute() {
        let replicas = Replicas::new("server");
        let start = Instant::now();
        assert!(!replicas.are_missing(start));
        assert!(replicas.missed(start));
        assert!(replicas.are_missing(start + RESIGNED / 2));
        assert!(!replicas.are_missing(start + RESIGNED));
        assert!(!replicas.missed(start + RESIGNED));
        assert!(replicas.missed(start + SAID));
    }
}
