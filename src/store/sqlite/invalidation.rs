//! Invalidation by an SQLite file that others have open too. Triggers write a log of changes, so
//! that a change by another process or by hand is found there.
//!
//! SQLite tells nobody. But whether anything was written at all is one comparison in memory that
//! all its users share (`PRAGMA data_version`); only where something was is the log read on.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::pool::PoolConnection;
use sqlx::{Row as _, Sqlite, SqliteConnection};
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{info, warn};

use super::{Database, Failure};
use crate::store::invalidation::{
    DeliveryMode, InvalidationEvent, InvalidationListener, InvalidationSource, InvalidationState,
};

/// The interval at which the file is asked whether anything was written.
const POLL_INTERVAL: Duration = Duration::from_millis(25);
/// A poll that comes so late after the one before makes all that is cached suspect: the process
/// was stopped, or starved.
const LATE: Duration = Duration::from_millis(250);
/// More changes than these at once are not looked at one by one.
const MAX_CHANGES: usize = 5_000;
/// The time after a failure until the next attempt.
const RETRY: Duration = Duration::from_secs(1);
/// The triggers that write the log: what says of sessions what an answer depends on.
const TRIGGERS: [&str; 6] = [
    "sessions_deleted",
    "sessions_replaced",
    "sessions_updated",
    "sessions_set_back",
    "user_not_before_inserted",
    "user_not_before_updated",
];
/// The time that one poll may take.
const POLL_TIMEOUT: Duration = Duration::from_secs(2);

/// A source of invalidation events for the records in a file.
#[derive(Debug)]
pub struct SqliteInvalidation {
    database: Database,
}

impl SqliteInvalidation {
    /// Of what changes in this file. A change is named as its kind (`session`, `user`, `token`), a
    /// colon, and the id of the session or user, or the digest of the token in hexadecimal.
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Passes events on until something goes wrong.
    async fn listen(
        &self,
        listener: &dyn InvalidationListener,
        state: &InvalidationState,
    ) -> Result<(), Failure> {
        let mut log = in_time(Log::open(&self.database)).await?;
        listener.on_invalidation(InvalidationEvent::Lost);
        state.set_mode(DeliveryMode::ChangeLog);
        info!(file = %self.database.path().display(), "changes by others are read from the file's log");
        let mut interval = tokio::time::interval(POLL_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut polled = Instant::now();
        loop {
            interval.tick().await;
            if std::mem::replace(&mut polled, Instant::now()).elapsed() > LATE {
                listener.on_invalidation(InvalidationEvent::Lost);
            }
            listener.on_invalidation(InvalidationEvent::Asked);
            self.database.check_same_file()?;
            in_time(log.poll(listener)).await?;
            listener.on_invalidation(InvalidationEvent::Complete);
        }
    }
}

#[async_trait]
impl InvalidationSource for SqliteInvalidation {
    async fn follow(&self, listener: &dyn InvalidationListener, state: &InvalidationState) {
        let mut was_logged = false;
        loop {
            let began = Instant::now();
            let Err(failure) = self.listen(listener, state).await else { continue };
            state.set_mode(DeliveryMode::Bound);
            listener.on_invalidation(InvalidationEvent::Lost);
            let was_well = began.elapsed() > RETRY;
            if was_well || !was_logged {
                let file = self.database.path().display();
                warn!(%file, why = %failure, "no invalidation events; SESSION_STALENESS bounds how late changes are seen");
            }
            was_logged = true;
            tokio::time::sleep(RETRY).await;
        }
    }
}

async fn in_time<T, E>(asking: impl Future<Output = Result<T, E>>) -> Result<T, Failure>
where
    Failure: From<E>,
{
    Ok(tokio::time::timeout(POLL_TIMEOUT, asking).await.map_err(|_| Failure::TimedOut)??)
}

/// The log, as far as it was read, over a connection that nobody else uses: what it calls the
/// version of the data is of use only to itself.
struct Log {
    connection: PoolConnection<Sqlite>,
    version: i64,
    /// Another one after a change of tables or triggers, and after a backup was put in the place of what was there.
    schema: i64,
    /// The highest number that was seen; 0 where there was none yet.
    last: i64,
}

impl Log {
    async fn open(database: &Database) -> Result<Self, Failure> {
        let mut connection = database.change_reader().await?;
        // Whoever comes next begins anew.
        connection.close_on_drop();
        // In this order: what is written between the two is looked at twice rather than never.
        let version = pragma(&mut connection, "PRAGMA data_version").await?;
        let schema = pragma(&mut connection, "PRAGMA schema_version").await?;
        let last = highest(&mut connection).await?;
        check_triggers(&mut connection).await?;
        Ok(Self { connection, version, schema, last })
    }

    /// Passes on all changes since the last poll.
    async fn poll(&mut self, listener: &dyn InvalidationListener) -> Result<(), Failure> {
        let version = pragma(&mut self.connection, "PRAGMA data_version").await?;
        if version == self.version {
            return Ok(());
        }
        if pragma(&mut self.connection, "PRAGMA schema_version").await? != self.schema {
            return Err(Failure::Unavailable("its tables or triggers were changed".to_owned()));
        }
        let changes = self.next().await?;
        if changes.len() > MAX_CHANGES
            || !is_contiguous(self.last, changes.iter().map(|(seq, _)| *seq))
        {
            self.last = highest(&mut self.connection).await?;
            listener.on_invalidation(InvalidationEvent::Lost);
        } else {
            let seen = self.last;
            for (seq, record) in changes.into_iter().filter(|(seq, _)| *seq > seen) {
                listener.on_invalidation(InvalidationEvent::Changed(record.as_bytes()));
                self.last = seq;
            }
        }
        self.version = version;
        Ok(())
    }

    /// The change that was seen last, and those after it; one more than [`MAX_CHANGES`], at most.
    async fn next(&mut self) -> Result<Vec<(i64, String)>, sqlx::Error> {
        sqlx::query_as(
            "SELECT seq, kind || ':' || name FROM changes WHERE seq >= ?1 ORDER BY seq LIMIT ?2",
        )
        .bind(self.last)
        .bind(i64::try_from(MAX_CHANGES + 1).unwrap_or(i64::MAX))
        .fetch_all(&mut *self.connection)
        .await
    }
}

/// Says whether none is missing between the one that was seen last and these. That one is there
/// too, unless it was not the highest any more and was forgotten.
fn is_contiguous(last: i64, seqs: impl Iterator<Item = i64>) -> bool {
    let mut seqs = seqs.peekable();
    let Some(first) = seqs.peek().copied() else { return last == 0 };
    (first == last || first == last + 1) && seqs.zip(first..).all(|(seq, expected)| seq == expected)
}

/// A number of the file: its `data_version` is another one than before where others wrote in between.
async fn pragma(
    connection: &mut SqliteConnection,
    statement: &'static str,
) -> Result<i64, sqlx::Error> {
    sqlx::query(statement).fetch_one(connection).await?.try_get(0)
}

/// Refuses a file whose log says less than all.
async fn check_triggers(connection: &mut SqliteConnection) -> Result<(), Failure> {
    let names = "SELECT name FROM sqlite_schema WHERE type = 'trigger'";
    let there: Vec<String> = sqlx::query_scalar(names).fetch_all(connection).await?;
    let missing = TRIGGERS.into_iter().find(|name| !there.iter().any(|it| it == name));
    missing.map_or(Ok(()), |name| {
        Err(Failure::Unavailable(format!(
            "the trigger {name}, which writes the log of changes, is missing: restore a backup"
        )))
    })
}

/// The highest number in the log; 0 where it is empty.
async fn highest(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query("SELECT coalesce(max(seq), 0) FROM changes").fetch_one(connection).await?.try_get(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_is_missing_is_missed() {
        for (last, seqs, is_whole) in [
            (0, &[][..], true),
            (0, &[1, 2, 3], true),
            (0, &[2, 3], false),
            (7, &[7], true),
            (7, &[7, 8, 9], true),
            (7, &[8, 9], true),
            (7, &[9], false),
            (7, &[7, 9], false),
            (7, &[], false),
        ] {
            assert_eq!(is_contiguous(last, seqs.iter().copied()), is_whole, "{last} {seqs:?}");
        }
    }
}
