//! A PostgreSQL database: shared by the processes of any number of hosts.
//!
//! The schema is brought up to date on open, under an advisory lock, so that several processes may
//! start at once. A database that is up to date is only read, so that the role needs no right to
//! make tables. A newer program's schema is never changed. Every statement has a deadline here and
//! on the server.
//!
//! A pooler may hand each transaction to another of its connections (pgbouncer with
//! `pool_mode=transaction`). Then nothing may depend on one connection: no prepared statement, no
//! setting. `?pgbouncer=true` works without them, for two more round trips a call; the server has
//! no deadline of ours then.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Postgres};

use super::schema::{self, NewerSchema, Schema};
use crate::secret::Secret;

/// The parameters that a URL may have. sqlx would log an unknown one with its value, and that may
/// be a misspelt password.
const PARAMETERS: &[&str] = &[
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    POOLED,
];

/// The parameter for a pooler in transaction mode; it is not PostgreSQL's own.
const POOLED: &str = "pgbouncer";

/// The settings of a database's connections.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The time that a call may take, the wait for a free connection included.
    pub timeout: Duration,
    /// The time that opening may take, the schema's change included.
    pub open_timeout: Duration,
    /// At most this many connections.
    pub max_connections: u32,
}

impl Default for Options {
    /// Five seconds a call, thirty to open, eight connections.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            open_timeout: Duration::from_secs(30),
            max_connections: 8,
        }
    }
}

/// The reason why a database could not be opened. None of these holds a password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL cannot be used.
    #[error("not the URL of a PostgreSQL database: {0}")]
    Url(String),
    /// A newer program changed the schema; this one does not know it.
    #[error(transparent)]
    NewerSchema(NewerSchema),
    /// It did not answer in time.
    #[error("{place} did not answer within {limit:?}")]
    TimedOut {
        /// The database.
        place: String,
        /// The time limit.
        limit: Duration,
    },
    /// The server is not there, or refused.
    #[error("cannot open {place}")]
    Refused {
        /// The database.
        place: String,
        /// The server's error.
        source: sqlx::Error,
    },
}

/// An open database. A clone shares the connections.
#[derive(Clone, Debug)]
pub struct Database {
    pool: PgPool,
    is_pooled: bool,
}

impl Database {
    /// Connects, and brings the schema up to date. TLS follows `sslmode` in the URL, `prefer` where
    /// it has none.
    ///
    /// # Errors
    /// [`OpenError`] where that is not possible.
    pub async fn open(url: &Secret, options: Options) -> Result<Self, OpenError> {
        let Reach { options: connect, is_pooled } = Reach::parse(url)?;
        let place = place(&connect);
        let migrated = tokio::time::timeout(options.open_timeout, migrate(&connect, &place)).await;
        let timed_out =
            |_| OpenError::TimedOut { place: place.clone(), limit: options.open_timeout };
        let refused = |source| OpenError::Refused { place: place.clone(), source };
        migrated.map_err(timed_out)?.map_err(refused)?.map_err(OpenError::NewerSchema)?;
        let pool = pool(connect, options, is_pooled);
        Ok(Self { pool, is_pooled })
    }

    /// The connections.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Returns whether each transaction may run on another connection; nothing outside of one may
    /// depend on earlier ones.
    pub fn is_pooled(&self) -> bool {
        self.is_pooled
    }

    /// Waits for statements under way and closes the connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Checks whether a URL can be used, without connecting. Returns the name of its database for logs.
///
/// # Errors
/// [`OpenError::Url`].
pub fn check(url: &Secret) -> Result<String, OpenError> {
    Reach::parse(url).map(|reach| place(&reach.options))
}

/// Advice for the operator about an error, where there is one.
pub fn cure(error: &sqlx::Error) -> Option<&'static str> {
    const DUPLICATE_STATEMENT: &str = "42P05";
    const NO_SUCH_STATEMENT: &str = "26000";
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code)?;
    matches!(&*code, DUPLICATE_STATEMENT | NO_SUCH_STATEMENT).then_some(
        "behind pgbouncer in transaction mode, write ?pgbouncer=true at the end of ACCOUNTS_URL",
    )
}

/// Returns whether the server, or the wait for a connection, timed out.
pub fn is_timeout(error: &sqlx::Error) -> bool {
    const QUERY_CANCELED: &str = "57014";
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(error, sqlx::Error::PoolTimedOut)
        || code.is_some_and(|code| matches!(&*code, QUERY_CANCELED | LOCK_NOT_AVAILABLE))
}

/// Connection options for a URL, for readers of another program's database.
///
/// # Errors
/// [`OpenError::Url`]; it quotes no value.
pub fn connect_options(url: &Secret) -> Result<PgConnectOptions, OpenError> {
    Reach::parse(url).map(|reach| reach.options)
}

/// The content of a URL.
struct Reach {
    options: PgConnectOptions,
    is_pooled: bool,
}

impl Reach {
    fn parse(url: &Secret) -> Result<Self, OpenError> {
        let (url, is_pooled) = parse(url)?;
        // sqlx's own message about a value may quote it.
        let wrong = "a parameter after the ? has no value that is known";
        let options = PgConnectOptions::from_str(url.as_str());
        let options = options.map_err(|_| OpenError::Url(wrong.to_owned()))?;
        // No number here has a fraction, and pgbouncer refuses a setting that it does not know.
        let options = options.extra_float_digits(None).disable_statement_logging();
        Ok(Self { options, is_pooled })
    }
}

/// Returns the URL with the parameters for sqlx, and whether a pooler is between.
fn parse(url: &Secret) -> Result<(url::Url, bool), OpenError> {
    let wrong = |problem: &str| OpenError::Url(problem.to_owned());
    let text = url.expose_str().ok_or_else(|| wrong("it is not UTF-8"))?.trim();
    let mut parsed = url::Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(parsed.scheme(), "postgres" | "postgresql") {
        return Err(wrong("write postgres://USER:PASSWORD@HOST:PORT/DATABASE"));
    }
    for (name, _) in parsed.query_pairs() {
        if !PARAMETERS.contains(&&*name) && !name.starts_with("options[") {
            let known = PARAMETERS.join(", ");
            return Err(wrong(&format!("after the ? stands none of {known}, options[NAME]")));
        }
    }
    let (ours, others): (Vec<_>, Vec<_>) =
        parsed.query_pairs().into_owned().partition(|(name, _)| name == POOLED);
    let is_pooled = match ours.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>()[..] {
        [] => return Ok((parsed, false)),
        ["true"] => true,
        ["false"] => false,
        _ => return Err(wrong("pgbouncer is true or false")),
    };
    parsed.query_pairs_mut().clear().extend_pairs(others);
    Ok((parsed, is_pooled))
}

fn place(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or_else(|| options.get_username());
    match options.get_socket() {
        Some(folder) => format!("postgres {}/{database}", folder.display()),
        None => format!("postgres {}:{}/{database}", options.get_host(), options.get_port()),
    }
}

/// Connections are made when they are needed. One that lives longer than a call may take would work
/// for nobody, so the server has the deadline too.
fn pool(connect: PgConnectOptions, options: Options, is_pooled: bool) -> PgPool {
    let millis = options.timeout.as_millis().max(1);
    PgPoolOptions::new()
        .max_connections(options.max_connections)
        .acquire_timeout(options.timeout)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                if is_pooled {
                    // It would belong to another transaction.
                    return Ok(());
                }
                let set = AssertSqlSafe(format!("SET statement_timeout = {millis}"));
                connection.execute(set).await.map(drop)
            })
        })
        .connect_lazy_with(connect)
}

/// Brings the schema up to date, on a connection of its own.
async fn migrate(
    options: &PgConnectOptions,
    place: &str,
) -> Result<Result<(), NewerSchema>, sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    let migrated = schema::migrate::<Postgres>(&mut connection, place).await?;
    connection.close().await?;
    Ok(migrated)
}

/// `portcullis_schema` has the number of steps that were applied.
impl Schema for Postgres {
    const STEPS: &'static [&'static str] = &[
        include_str!("migrations/postgres/0001_accounts.sql"),
        include_str!("migrations/postgres/0002_life_of_accounts.sql"),
        include_str!("migrations/postgres/0003_audit_events.sql"),
        include_str!("migrations/postgres/0004_policy_rules.sql"),
        include_str!("migrations/postgres/0005_api_keys.sql"),
        include_str!("migrations/postgres/0006_user_numbers.sql"),
    ];
    const BEGIN: &'static str = "BEGIN ISOLATION LEVEL READ COMMITTED";
    /// The transaction's own lock, since the connection may be another's behind a pooler:
    /// "portcull" in ASCII.
    const LOCK: &'static str = "SELECT pg_advisory_xact_lock(x'706f727463756c6c'::bigint)";

    async fn version(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
        let table = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_class \
             WHERE relname = 'portcullis_schema' AND pg_catalog.pg_table_is_visible(oid))",
        );
        let is_there: bool = table.persistent(false).fetch_one(&mut *connection).await?;
        if !is_there {
            return Ok(0);
        }
        let version = sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM portcullis_schema");
        version.persistent(false).fetch_one(connection).await
    }

    fn set_version(version: i64) -> String {
        format!(
            "CREATE TABLE IF NOT EXISTS portcullis_schema (version BIGINT NOT NULL); \
             DELETE FROM portcullis_schema; INSERT INTO portcullis_schema VALUES ({version})"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_understood_or_refused_without_a_word_of_it() {
        for good in [
            "postgres://portcullis:hunter2@db.example:5433/accounts?sslmode=verify-full",
            "postgresql://localhost/accounts",
            "postgres://user@localhost/x?host=/run/postgresql&options[search_path]=auth",
            "postgres://user@localhost/x?options[search_path]=auth&pgbouncer=true",
        ] {
            let checked = check(&Secret::new(good));
            assert!(checked.is_ok(), "{good}: {checked:?}");
        }
        for bad in [
            "hunter2",
            "mysql://user:hunter2@localhost/x",
            "postgres://user@localhost/x?passwd=hunter2",
            "postgres://user@localhost/x?hunter2=yes",
            "postgres://user@localhost/x?sslmode=hunter2",
            "postgres://user@localhost/x?pgbouncer=hunter2",
            "postgres://user@localhost/x?pgbouncer=true&pgbouncer=true",
            "postgres://user@localhost/x?port=hunter2",
            "postgres://user:hunter2@localhost:port/x",
        ] {
            let error = check(&Secret::new(bad)).expect_err(bad);
            let told = format!("{error} {error:?}");
            assert!(!told.contains("hunter2"), "{bad}: {told}");
        }
    }

    #[test]
    fn what_says_that_a_pooler_is_between_is_no_parameter_of_the_server() {
        for (url, is_pooled, left) in [
            ("postgres://u:p%40@h/x", false, "postgres://u:p%40@h/x"),
            ("postgres://u:p%40@h/x?pgbouncer=true", true, "postgres://u:p%40@h/x?"),
            ("postgres://h/x?user=a&pgbouncer=false", false, "postgres://h/x?user=a"),
        ] {
            let (parsed, found) = parse(&Secret::new(url)).expect(url);
            assert_eq!((parsed.as_str(), found), (left, is_pooled), "{url}");
        }
    }

    #[test]
    fn a_place_has_no_credentials() {
        let url = Secret::new("postgres://portcullis:hunter2@db.example:5433/accounts");
        let options = connect_options(&url).expect("URL");
        assert_eq!(place(&options), "postgres db.example:5433/accounts");
    }
}
