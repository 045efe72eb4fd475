//! The statements about audit events.

use std::fmt::Debug;

use async_trait::async_trait;
use serde_json::Value;

use super::engine::{BadColumn, Engine, Row, Statement};
use super::rows::{record, time, to_millis};
use super::{Done, Several, SqlAccounts, read, readable, written};
use crate::account::AccountError;
use crate::account::audit_event::{AuditEvent, AuditStore, EventCursor, EventFilter, EventSummary};
use crate::clock::UnixTime;
use crate::wire::json;

/// The events behind a place. `$1` is for the column by whose index they are found; the others are
/// compared with what was found.
macro_rules! select_events {
    ($indexed:literal) => {
        concat!(
            "SELECT id, time, kind, user_id, login, address, session, client, reason, error, \
             left_out, rest FROM audit_events WHERE ",
            $indexed,
            " AND time >= $2 AND time < $3 AND (time, id) < ($4, $5) \
             AND (CAST($6 AS TEXT) IS NULL OR user_id = $6) \
             AND (CAST($7 AS TEXT) IS NULL OR login = $7) \
             AND (CAST($8 AS TEXT) IS NULL OR address = $8) \
             AND (CAST($9 AS TEXT) IS NULL OR kind = $9) \
             ORDER BY time DESC, id DESC LIMIT $10"
        )
    };
}

/// Refused logins by a column.
macro_rules! count_refused {
    ($column:literal) => {
        concat!(
            "SELECT ",
            $column,
            " AS name, COUNT(*) AS events FROM audit_events \
             WHERE kind = 'login_refused' AND time >= $1 AND time < $2 AND ",
            $column,
            " IS NOT NULL GROUP BY ",
            $column,
            " ORDER BY events DESC, name LIMIT $3"
        )
    };
}

#[async_trait]
impl<D: Debug + Send + Sync> AuditStore for SqlAccounts<D>
where
    Self: Engine,
{
    async fn add_events(&self, events: &[AuditEvent]) -> Done {
        written(self.run(events.iter().map(insert).collect()).await, |_| "event").map(drop)
    }

    async fn events(
        &self,
        filter: &EventFilter,
        behind: Option<&EventCursor>,
        limit: usize,
    ) -> Several<AuditEvent> {
        readable(self, select(filter, behind, limit), event).await
    }

    async fn summary(
        &self,
        from: Option<UnixTime>,
        to: Option<UnixTime>,
        limit: usize,
    ) -> Result<EventSummary, AccountError> {
        let within = |sql| {
            let (from, to) = bounds(from, to);
            Statement::new(sql).number(from).number(to)
        };
        let kinds = within(
            "SELECT kind, COUNT(*) AS events, CAST(SUM(left_out) AS BIGINT) AS left_out \
             FROM audit_events WHERE time >= $1 AND time < $2 \
             GROUP BY kind ORDER BY events DESC, kind",
        );
        let top = |sql| within(sql).number(to_limit(limit));
        Ok(EventSummary {
            kinds: counted(self, kinds, |row| {
                Ok((row.text("kind")?, count(row, "events")?, count(row, "left_out")?))
            })
            .await?,
            refused_logins: counted(self, top(count_refused!("login")), name_and_count).await?,
            refused_addresses: counted(self, top(count_refused!("address")), name_and_count)
                .await?,
        })
    }

    async fn purge_events(&self, before: UnixTime, limit: usize) -> Result<u64, AccountError> {
        let statement = Statement::new(
            "DELETE FROM audit_events WHERE (time, id) IN \
             (SELECT time, id FROM audit_events WHERE time < $1 ORDER BY time, id LIMIT $2)",
        );
        let statement = statement.number(to_millis(before)).number(to_limit(limit));
        let counts = written(self.run(vec![statement]).await, |_| "event")?;
        Ok(counts.first().copied().unwrap_or_default())
    }
}

fn insert(event: &AuditEvent) -> Statement {
    let rest = (!event.rest.is_empty()).then(|| Value::Object(event.rest.clone()).to_string());
    Statement::new(
        "INSERT INTO audit_events (time, id, kind, user_id, login, address, session, client, \
         reason, error, left_out, rest) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING",
    )
    .number(to_millis(event.time))
    .text(&event.id)
    .text(&event.kind)
    .optional_text(event.user.as_deref())
    .optional_text(event.login.as_deref())
    .optional_text(event.address.as_deref())
    .optional_text(event.session.as_deref())
    .optional_text(event.client.as_deref())
    .optional_text(event.reason.as_deref())
    .optional_text(event.error.as_deref())
    .number(i64::try_from(event.left_out).unwrap_or(i64::MAX))
    .optional_text(rest.as_deref())
}

fn select(filter: &EventFilter, behind: Option<&EventCursor>, limit: usize) -> Statement {
    let EventFilter { user, login, address, kind, from, to } = filter;
    // What most likely finds the fewest stands first.
    let (sql, indexed) = match (user, login, address, kind) {
        (Some(user), ..) => (select_events!("user_id = $1"), Some(user)),
        (_, Some(login), ..) => (select_events!("login = $1"), Some(login)),
        (_, _, Some(address), _) => (select_events!("address = $1"), Some(address)),
        (.., Some(kind)) => (select_events!("kind = $1"), Some(kind)),
        (None, None, None, None) => (select_events!("CAST($1 AS TEXT) IS NULL"), None),
    };
    let (from, to) = bounds(*from, *to);
    let (time, id) = behind.map_or((i64::MAX, ""), |behind| {
        let (time, id) = behind.parts();
        (to_millis(time), id)
    });
    Statement::new(sql)
        .optional_text(indexed.map(String::as_str))
        .number(from)
        .number(to)
        .number(time)
        .text(id)
        .optional_text(user.as_deref())
        .optional_text(login.as_deref())
        .optional_text(address.as_deref())
        .optional_text(kind.as_deref())
        .number(to_limit(limit))
}

fn bounds(from: Option<UnixTime>, to: Option<UnixTime>) -> (i64, i64) {
    (from.map_or(0, to_millis), to.map_or(i64::MAX, to_millis))
}

fn to_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Reads an event; the error names the record.
fn event<R: Row>(row: &R) -> Result<AuditEvent, AccountError> {
    record(row, "audit event", |row| {
        let rest = row.optional_text("rest")?;
        let rest = rest.map(|text| json::from_str(&text)).transpose();
        Ok(AuditEvent {
            id: row.text("id")?,
            time: time(row, "time")?,
            kind: row.text("kind")?,
            user: row.optional_text("user_id")?,
            login: row.optional_text("login")?,
            address: row.optional_text("address")?,
            session: row.optional_text("session")?,
            client: row.optional_text("client")?,
            reason: row.optional_text("reason")?,
            error: row.optional_text("error")?,
            left_out: count(row, "left_out")?,
            rest: rest.map_err(|_| BadColumn("rest"))?.unwrap_or_default(),
        })
    })
}

fn name_and_count<R: Row>(row: &R) -> Result<(String, u64), BadColumn> {
    Ok((row.text("name")?, count(row, "events")?))
}

fn count<R: Row>(row: &R, column: &'static str) -> Result<u64, BadColumn> {
    u64::try_from(row.number(column)?).map_err(|_| BadColumn(column))
}

/// All rows of a statement that counts.
async fn counted<E: Engine, T>(
    engine: &E,
    statement: Statement,
    line: fn(&E::Row) -> Result<T, BadColumn>,
) -> Several<T> {
    let rows = read(engine, statement).await?;
    rows.iter().map(|row| record(row, "number of audit events", line)).collect()
}
