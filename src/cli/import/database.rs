//! The database of another system, SQLite or PostgreSQL, opened to be read alone.

use std::collections::HashSet;

use anyhow::{Context as _, anyhow, bail};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, FromRow};

use super::super::Failure;
use crate::secret::Secret;
use crate::store::postgres;

/// The number of rows that are read at once.
const PAGE: i64 = 500;

/// The place of a database, on the command line.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// Its database: sqlite:PATH, or postgres://USER@HOST/DATABASE with the password in PGPASSWORD
    #[arg(value_name = "URL", required_unless_present = "from")]
    url: Option<String>,
    /// The same, as this was written first
    #[arg(long, value_name = "URL", hide = true, conflicts_with = "url")]
    from: Option<String>,
}

/// An open database. All that is read of it is of one moment.
pub(super) enum Source {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// A row of either database.
pub(super) trait FromEither:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

impl<T> FromEither for T where
    T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

/// Asks either database the same, and takes the rows as they are.
macro_rules! ask {
    ($source:expr, $connection:ident => $asked:expr) => {
        match $source {
            Source::Sqlite($connection) => $asked,
            Source::Postgres($connection) => $asked,
        }
    };
}

impl Source {
    /// Opens it. A URL as SQLAlchemy writes it, with the name of a driver, will do.
    pub(super) async fn open(place: &Place) -> Result<Self, Failure> {
        let url = place.url.as_deref().or(place.from.as_deref()).unwrap_or_default();
        let (scheme, rest) = url.split_once(':').unwrap_or_default();
        let scheme = scheme.split('+').next().unwrap_or_default();
        let mut source = match scheme {
            "sqlite" => Self::open_sqlite(sqlite_path(rest)).await?,
            "postgres" | "postgresql" => Self::open_postgres(&format!("{scheme}:{rest}")).await?,
            _ => return Err(Failure::usage(anyhow!("the URL is sqlite:PATH or postgres://..."))),
        };
        source.begin().await.map_err(Failure::unavailable)?;
        Ok(source)
    }

    async fn open_sqlite(path: &str) -> Result<Self, Failure> {
        let options = SqliteConnectOptions::new().filename(path).read_only(true);
        let opened = options.connect().await.with_context(|| format!("cannot open {path}"));
        Ok(Self::Sqlite(opened.map_err(Failure::unavailable)?))
    }

    async fn open_postgres(url: &str) -> Result<Self, Failure> {
        without_password(url).map_err(Failure::usage)?;
        let options = postgres::connect_options(&Secret::new(url)).map_err(Failure::usage)?;
        let opened = PgConnection::connect_with(&options).await;
        Ok(Self::Postgres(
            opened.context("cannot open the database").map_err(Failure::unavailable)?,
        ))
    }

    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        let begin = match self {
            Self::Sqlite(_) => "BEGIN",
            Self::Postgres(_) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        ask!(self, connection => sqlx::raw_sql(begin).execute(connection).await.map(drop))
    }

    /// The columns that there are, as `table.column`.
    pub(super) async fn columns(&mut self) -> anyhow::Result<HashSet<String>> {
        let sql = match self {
            Self::Sqlite(_) => {
                "SELECT t.name || '.' || c.name FROM sqlite_master t JOIN pragma_table_info(t.name) c"
            }
            Self::Postgres(_) => {
                "SELECT table_name || '.' || column_name FROM information_schema.columns \
                 WHERE table_schema = ANY (current_schemas(false))"
            }
        };
        let names: Vec<String> =
            ask!(self, connection => sqlx::query_scalar(sql).fetch_all(connection).await?);
        Ok(names.into_iter().collect())
    }

    /// The number that a query yields. `sql` is the program's own text.
    pub(super) async fn number(&mut self, sql: &str) -> anyhow::Result<u64> {
        let query = AssertSqlSafe(sql.to_owned());
        let number: i64 =
            ask!(self, connection => sqlx::query_scalar(query).fetch_one(connection).await?);
        Ok(u64::try_from(number)?)
    }

    /// The next rows of a query with `$1` for the last row that was read and `$2` for how many to
    /// read. `sql` is the program's own text.
    pub(super) async fn page<T: FromEither>(
        &mut self,
        sql: &str,
        after: i64,
    ) -> anyhow::Result<Vec<T>> {
        let sql = AssertSqlSafe(sql.to_owned());
        Ok(ask!(self, connection => {
            sqlx::query_as(sql).bind(after).bind(PAGE).fetch_all(connection).await?
        }))
    }

    /// A time in milliseconds. These systems store UTC without a zone.
    pub(super) fn millis(&self, column: &str) -> String {
        match self {
            Self::Sqlite(_) => format!("CAST(strftime('%s', {column}) AS BIGINT) * 1000"),
            Self::Postgres(_) => {
                format!("CAST(floor(extract(epoch FROM {column})) * 1000 AS BIGINT)")
            }
        }
    }
}

/// The path in a URL, read as in `ACCOUNTS_URL`; SQLAlchemy's four slashes before an absolute one
/// will do.
fn sqlite_path(rest: &str) -> &str {
    rest.strip_prefix("//").unwrap_or(rest)
}

/// Every user of the host can read a command line.
fn without_password(url: &str) -> anyhow::Result<()> {
    let parsed = url::Url::parse(url).context("the URL")?;
    if parsed.password().is_some() || parsed.query_pairs().any(|(name, _)| name == "password") {
        bail!("the URL holds a password, which every user of this host could read; use PGPASSWORD");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_on_the_command_line_is_refused() {
        for bad in ["postgres://u:hunter2@h/x", "postgres://u@h/x?password=hunter2", "postgres://["]
        {
            let told = without_password(bad).map_err(|error| format!("{error:#}"));
            assert!(told.as_ref().is_err_and(|told| !told.contains("hunter2")), "{bad}: {told:?}");
        }
        assert!(without_password("postgres://u@h/x?sslmode=require").is_ok());
    }
}
