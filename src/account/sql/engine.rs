//! The operations on a database, the same for SQLite and PostgreSQL: statements with `$1` for their
//! values, run alone or all together, and rows read strictly by the names of columns.

use std::fmt::Debug;
use std::time::Duration;

use sqlx::postgres::{PgRow, Postgres};
use sqlx::sqlite::{Sqlite, SqliteRow};
use sqlx::{Database, Row as _};

use super::{PostgresAccounts, SqliteAccounts};
use crate::account::AccountError;
use crate::store::{Failure, postgres, sqlite};

/// A value of a statement.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(Option<String>),
    Number(Option<i64>),
    Boolean(bool),
}

/// A statement and its values. They hold hashes of passwords, so it has no `Debug`.
pub(super) struct Statement {
    sql: &'static str,
    values: Vec<Value>,
    is_required: bool,
}

impl Statement {
    pub(super) fn new(sql: &'static str) -> Self {
        Self { sql, values: Vec::new(), is_required: false }
    }

    pub(super) fn text(self, text: impl Into<String>) -> Self {
        self.with(Value::Text(Some(text.into())))
    }

    pub(super) fn optional_text(self, text: Option<&str>) -> Self {
        self.with(Value::Text(text.map(str::to_owned)))
    }

    pub(super) fn number(self, number: i64) -> Self {
        self.with(Value::Number(Some(number)))
    }

    pub(super) fn optional_number(self, number: Option<i64>) -> Self {
        self.with(Value::Number(number))
    }

    pub(super) fn boolean(self, boolean: bool) -> Self {
        self.with(Value::Boolean(boolean))
    }

    /// Has those that follow depend on it: where it changes no row, nothing is changed at all.
    pub(super) fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    fn with(mut self, value: Value) -> Self {
        self.values.push(value);
        self
    }
}

/// Error of statements; none of them was carried out.
#[derive(Debug)]
pub(super) enum StatementError {
    /// A value that must be unique exists; the statement at this index brought it.
    UniqueViolation(usize),
    /// A row that it refers to does not exist.
    ForeignKeyViolation,
    /// Anything else.
    Failed(AccountError),
}

/// A column is missing, or holds nothing that can be used.
#[derive(Debug)]
pub(super) struct BadColumn(pub(super) &'static str);

/// A row of either database.
pub(super) trait Row: Send {
    fn text(&self, column: &'static str) -> Result<String, BadColumn>;
    fn optional_text(&self, column: &'static str) -> Result<Option<String>, BadColumn>;
    fn number(&self, column: &'static str) -> Result<i64, BadColumn>;
    fn optional_number(&self, column: &'static str) -> Result<Option<i64>, BadColumn>;
    fn boolean(&self, column: &'static str) -> Result<bool, BadColumn>;
}

/// A database that keeps accounts.
pub(super) trait Engine: Send + Sync + Debug {
    type Row: Row;

    /// The rows of a statement that only reads.
    fn rows(
        &self,
        statement: Statement,
    ) -> impl Future<Output = Result<Vec<Self::Row>, StatementError>> + Send;

    /// Runs statements that write, all or none, and says how many rows each touched; fewer where
    /// one that is required touched none.
    fn run(
        &self,
        statements: Vec<Statement>,
    ) -> impl Future<Output = Result<Vec<u64>, StatementError>> + Send;

    /// Runs the statements of many records as `run` does, each within the time of a call, and calls
    /// `done` after each record. An index is that of a record.
    fn run_all(
        &self,
        records: Vec<Vec<Statement>>,
        done: &mut (dyn FnMut() + Send),
    ) -> impl Future<Output = Result<(), StatementError>> + Send;

    /// Waits for calls under way and closes the database.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// A commit of many records writes them to the disk: it may take so many times as long as a call.
const COMMIT_FACTOR: u32 = 12;

/// Bounds the time of every call to the database.
async fn within<T>(
    limit: Duration,
    asked: impl Future<Output = Result<T, StatementError>>,
) -> Result<T, StatementError> {
    let answer = tokio::time::timeout(limit, asked).await;
    answer.unwrap_or(Err(StatementError::Failed(AccountError::TimedOut)))
}

/// The error of the statement at `index`.
fn statement_error(error: &sqlx::Error, index: usize, kind: &ErrorKinds) -> StatementError {
    let database = error.as_database_error();
    if database.is_some_and(sqlx::error::DatabaseError::is_unique_violation) {
        return StatementError::UniqueViolation(index);
    }
    if database.is_some_and(sqlx::error::DatabaseError::is_foreign_key_violation) {
        return StatementError::ForeignKeyViolation;
    }
    StatementError::Failed(if (kind.is_timeout)(error) {
        AccountError::TimedOut
    } else {
        AccountError::Unavailable(match (kind.cure)(error) {
            Some(cure) => format!("{error}; {cure}"),
            None => error.to_string(),
        })
    })
}

/// The meaning of a database's errors.
struct ErrorKinds {
    is_timeout: fn(&sqlx::Error) -> bool,
    /// Advice for the operator, where there is one.
    cure: fn(&sqlx::Error) -> Option<&'static str>,
}

const ON_SQLITE: ErrorKinds = ErrorKinds { is_timeout: is_sqlite_timeout, cure: |_| None };
const ON_POSTGRES: ErrorKinds =
    ErrorKinds { is_timeout: postgres::is_timeout, cure: postgres::cure };

/// Code that differs between the two only in its types.
macro_rules! engine {
    ($module:ident, $database:ty, $row:ty, $kinds:expr) => {
        impl Row for $row {
            fn text(&self, column: &'static str) -> Result<String, BadColumn> {
                self.try_get(column).map_err(|_| BadColumn(column))
            }

            fn optional_text(&self, column: &'static str) -> Result<Option<String>, BadColumn> {
                self.try_get(column).map_err(|_| BadColumn(column))
            }

            fn number(&self, column: &'static str) -> Result<i64, BadColumn> {
                self.try_get(column).map_err(|_| BadColumn(column))
            }

            fn optional_number(&self, column: &'static str) -> Result<Option<i64>, BadColumn> {
                self.try_get(column).map_err(|_| BadColumn(column))
            }

            fn boolean(&self, column: &'static str) -> Result<bool, BadColumn> {
                self.try_get(column).map_err(|_| BadColumn(column))
            }
        }

        mod $module {
            use super::*;

            /// The statement with its values, as the driver takes it; `prepared` where the connection
            /// may remember it.
            fn bound<'q>(
                statement: Statement,
                prepared: bool,
            ) -> sqlx::query::Query<'q, $database, <$database as Database>::Arguments> {
                let query = sqlx::query(statement.sql).persistent(prepared);
                statement.values.into_iter().fold(query, |query, value| match value {
                    Value::Text(text) => query.bind(text),
                    Value::Number(number) => query.bind(number),
                    Value::Boolean(boolean) => query.bind(boolean),
                })
            }

            pub(super) async fn rows(
                connection: &mut <$database as Database>::Connection,
                statement: Statement,
                prepared: bool,
            ) -> Result<Vec<$row>, StatementError> {
                let rows = bound(statement, prepared).fetch_all(connection).await;
                rows.map_err(|error| statement_error(&error, 0, &$kinds))
            }

            /// Runs them one after another and commits; dropped before that, they change nothing.
            pub(super) async fn run(
                mut transaction: sqlx::Transaction<'static, $database>,
                statements: Vec<Statement>,
                prepared: bool,
            ) -> Result<Vec<u64>, StatementError> {
                let mut touched = Vec::with_capacity(statements.len());
                for (index, statement) in statements.into_iter().enumerate() {
                    let is_required = statement.is_required;
                    let done = bound(statement, prepared).execute(&mut *transaction).await;
                    let done = done.map_err(|error| statement_error(&error, index, &$kinds))?;
                    touched.push(done.rows_affected());
                    if is_required && done.rows_affected() == 0 {
                        let undone = transaction.rollback().await;
                        undone.map_err(|error| statement_error(&error, index, &$kinds))?;
                        return Ok(touched);
                    }
                }
                let committed = transaction.commit().await;
                committed.map_err(|error| statement_error(&error, 0, &$kinds))?;
                Ok(touched)
            }

            /// Runs those of all records and commits; dropped before that, they change nothing.
            pub(super) async fn run_all(
                mut transaction: sqlx::Transaction<'static, $database>,
                records: Vec<Vec<Statement>>,
                prepared: bool,
                limit: Duration,
                done: &mut (dyn FnMut() + Send),
            ) -> Result<(), StatementError> {
                for (index, record) in records.into_iter().enumerate() {
                    for statement in record {
                        let run = bound(statement, prepared).execute(&mut *transaction);
                        let error = |error| statement_error(&error, index, &$kinds);
                        within(limit, async { run.await.map_err(error) }).await?;
                    }
                    done();
                }
                let error = |error| statement_error(&error, 0, &$kinds);
                let commit = async { transaction.commit().await.map_err(error) };
                within(limit.saturating_mul(COMMIT_FACTOR), commit).await
            }
        }
    };
}

engine!(on_sqlite, Sqlite, SqliteRow, ON_SQLITE);
engine!(on_postgres, Postgres, PgRow, ON_POSTGRES);

fn is_sqlite_timeout(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::PoolTimedOut) || sqlite::is_busy(error)
}

impl From<Failure> for StatementError {
    fn from(failure: Failure) -> Self {
        Self::Failed(match failure {
            Failure::TimedOut => AccountError::TimedOut,
            other => AccountError::Unavailable(other.to_string()),
        })
    }
}

impl Engine for SqliteAccounts {
    type Row = SqliteRow;

    async fn rows(&self, statement: Statement) -> Result<Vec<SqliteRow>, StatementError> {
        within(self.timeout, async {
            on_sqlite::rows(&mut *self.database.reader().await?, statement, true).await
        })
        .await
    }

    async fn run(&self, statements: Vec<Statement>) -> Result<Vec<u64>, StatementError> {
        within(self.timeout, async {
            on_sqlite::run(self.database.begin().await?, statements, true).await
        })
        .await
    }

    async fn run_all(
        &self,
        records: Vec<Vec<Statement>>,
        done: &mut (dyn FnMut() + Send),
    ) -> Result<(), StatementError> {
        let begun = within(self.timeout, async { Ok(self.database.begin().await?) }).await?;
        on_sqlite::run_all(begun, records, true, self.timeout, done).await
    }

    async fn close(&self) {
        self.database.close().await;
    }
}

impl PostgresAccounts {
    async fn begin(&self) -> Result<sqlx::Transaction<'static, Postgres>, StatementError> {
        known(self.database.pool().begin().await)
    }
}

fn known<T>(outcome: Result<T, sqlx::Error>) -> Result<T, StatementError> {
    outcome.map_err(|error| statement_error(&error, 0, &ON_POSTGRES))
}

impl Engine for PostgresAccounts {
    type Row = PgRow;

    async fn rows(&self, statement: Statement) -> Result<Vec<PgRow>, StatementError> {
        within(self.timeout, async {
            if self.database.is_pooled() {
                // A prepared statement is known only to its own transaction.
                let mut transaction = self.begin().await?;
                let rows = on_postgres::rows(&mut transaction, statement, false).await?;
                known(transaction.commit().await)?;
                return Ok(rows);
            }
            let mut connection = known(self.database.pool().acquire().await)?;
            on_postgres::rows(&mut connection, statement, true).await
        })
        .await
    }

    async fn run(&self, statements: Vec<Statement>) -> Result<Vec<u64>, StatementError> {
        within(self.timeout, async {
            let is_prepared = !self.database.is_pooled();
            on_postgres::run(self.begin().await?, statements, is_prepared).await
        })
        .await
    }

    async fn run_all(
        &self,
        records: Vec<Vec<Statement>>,
        done: &mut (dyn FnMut() + Send),
    ) -> Result<(), StatementError> {
        let begun = within(self.timeout, self.begin()).await?;
        let is_prepared = !self.database.is_pooled();
        on_postgres::run_all(begun, records, is_prepared, self.timeout, done).await
    }

    async fn close(&self) {
        self.database.close().await;
    }
}
