//! Accounts in a database: an SQLite file, or PostgreSQL.
//!
//! The statements are the same for both and stand here once; `engine` has what differs, `rows`
//! what a record looks like. Every write is one transaction.

mod engine;
mod rows;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

use super::{AccountError, AccountStore, ApiKey, Client, KeyDigest, Login, User, UserState};
use crate::clock::UnixTime;
use crate::secret::Secret;
use crate::session::UserId;
use crate::store::{postgres, sqlite};
use engine::{Engine, Statement, StatementError};
use rows::to_millis;

/// How long a call on a shared SQLite file may take beyond the wait for its lock.
const SQLITE_MARGIN: Duration = Duration::from_secs(1);

/// A database, and how long a call may take.
#[derive(Debug)]
struct AccountDatabase<D> {
    database: D,
    timeout: Duration,
}

/// Accounts in an SQLite file, which several processes of one host may share.
#[derive(Debug)]
pub struct SqliteAccounts(AccountDatabase<sqlite::Database>);

impl SqliteAccounts {
    /// Opens the file, making it where it is missing.
    ///
    /// # Errors
    /// [`sqlite::OpenError`] where that is not possible.
    pub async fn open(path: &Path, options: sqlite::Options) -> Result<Self, sqlite::OpenError> {
        let database = sqlite::Database::open(path, options).await?;
        Ok(Self::new(database, options.busy_timeout.saturating_add(SQLITE_MARGIN)))
    }

    /// Accounts in a file that other stores of this process use too; a call may take `timeout`.
    pub fn new(database: sqlite::Database, timeout: Duration) -> Self {
        Self(AccountDatabase { database, timeout })
    }
}

/// Accounts in PostgreSQL, which the processes of any number of hosts may share.
#[derive(Debug)]
pub struct PostgresAccounts(AccountDatabase<postgres::Database>);

impl PostgresAccounts {
    /// Connects, and brings the schema up to date.
    ///
    /// # Errors
    /// [`postgres::OpenError`] where that is not possible.
    pub async fn open(
        url: &Secret,
        options: postgres::Options,
    ) -> Result<Self, postgres::OpenError> {
        let database = postgres::Database::open(url, options).await?;
        Ok(Self(AccountDatabase { database, timeout: options.timeout }))
    }
}

/// Hands every call of the trait to the one implementation.
macro_rules! delegate {
    ($store:ty { $(fn $name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)* }) => {
        #[async_trait]
        impl AccountStore for $store {
            $(async fn $name(&self, $($argument: $kind),*) -> $answer {
                $name(&self.0, $($argument),*).await
            })*

            async fn close(&self) {
                self.0.close().await;
            }

            fn describe(&self) -> String {
                self.0.describe()
            }
        }
    };
}

macro_rules! account_store {
    ($($store:ty),*) => { $(delegate! { $store {
        fn add_user(user: &User) -> Done;
        fn user(id: &UserId) -> Found<User>;
        fn user_by_login(login: &Login) -> Found<User>;
        fn users(after: Option<&UserId>, limit: usize) -> Several<User>;
        fn change_user(user: &User) -> Existed;
        fn set_state(id: &UserId, state: UserState, at: UnixTime) -> Existed;
        fn set_password(
            id: &UserId, hash: &Secret, instead_of: Option<&Secret>, at: UnixTime
        ) -> Existed;
        fn record_login(id: &UserId, at: UnixTime) -> Done;
        fn delete_user(id: &UserId) -> Existed;
        fn add_key(key: &ApiKey) -> Done;
        fn key(digest: &KeyDigest) -> Found<ApiKey>;
        fn keys(user: Option<&UserId>, limit: usize) -> Several<ApiKey>;
        fn renew_key(digest: &KeyDigest, expires: Option<UnixTime>) -> Existed;
        fn record_key_use(id: &str, at: UnixTime) -> Done;
        fn delete_key(id: &str) -> Existed;
        fn add_client(client: &Client) -> Done;
        fn client(id: &str) -> Found<Client>;
        fn clients() -> Several<Client>;
        fn change_client(client: &Client) -> Existed;
        fn delete_client(id: &str) -> Existed;
        fn ping() -> Done;
    } })* };
}

account_store!(SqliteAccounts, PostgresAccounts);

type Done = Result<(), AccountError>;
type Existed = Result<bool, AccountError>;
type Found<T> = Result<Option<T>, AccountError>;
type Several<T> = Result<Vec<T>, AccountError>;

macro_rules! select_users {
    ($rest:literal) => {
        concat!(
            "SELECT id, username, email, email_verified, full_name, kind, state, roles, scopes, \
             claims, password, created, updated, last_login FROM users ",
            $rest
        )
    };
}

macro_rules! select_keys {
    ($rest:literal) => {
        concat!(
            "SELECT id, user_id, digest, label, scopes, created, expires, last_used FROM api_keys ",
            $rest
        )
    };
}

macro_rules! select_clients {
    ($rest:literal) => {
        concat!(
            "SELECT id, label, secrets, jwks, grants, scopes, audiences, introspects, created \
             FROM clients ",
            $rest
        )
    };
}

/// What a user logs in with, by its canonical form, so that two who want each other's names take
/// them in one order and neither waits for the other for ever.
fn login_names(user: &User) -> Vec<(&str, &'static str)> {
    let mut names = vec![(user.username.canonical(), "username")];
    let email = user.email.as_ref().map(Login::canonical);
    names.extend(email.filter(|email| *email != names[0].0).map(|email| (email, "e-mail")));
    names.sort_unstable();
    names
}

async fn add_user(engine: &impl Engine, user: &User) -> Done {
    let hash = user.password.as_ref().map(rows::hash).transpose()?;
    let names = login_names(user);
    let insert = Statement::new(
        "INSERT INTO users (username, email, email_verified, full_name, kind, state, roles, \
         scopes, claims, updated, id, password, created, last_login) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    );
    let insert = rows::bind_user(insert, user)
        .text(user.id.as_str())
        .optional_text(hash)
        .number(to_millis(user.created))
        .optional_number(user.last_login.map(to_millis));
    let mut statements = vec![insert];
    statements.extend(names.iter().map(|(canonical, _)| {
        Statement::new("INSERT INTO login_names (canonical, user_id) VALUES ($1, $2)")
            .text(*canonical)
            .text(user.id.as_str())
    }));
    let taken = |index| match index {
        0 => "user id",
        index => names.get(index - 1).map_or("name", |(_, what)| what),
    };
    written(engine.run(statements).await, taken).map(drop)
}

async fn user(engine: &impl Engine, id: &UserId) -> Found<User> {
    let statement = Statement::new(select_users!("WHERE id = $1")).text(id.as_str());
    one(engine, statement, rows::user).await
}

async fn user_by_login(engine: &impl Engine, login: &Login) -> Found<User> {
    let statement = Statement::new(select_users!(
        "WHERE id = (SELECT user_id FROM login_names WHERE canonical = $1)"
    ));
    one(engine, statement.text(login.canonical()), rows::user).await
}

async fn users(engine: &impl Engine, after: Option<&UserId>, limit: usize) -> Several<User> {
    // No id is empty, so all come after nothing.
    let statement = Statement::new(select_users!("WHERE id > $1 ORDER BY id LIMIT $2"))
        .text(after.map_or("", UserId::as_str))
        .number(i64::try_from(limit).unwrap_or(i64::MAX));
    readable(engine, statement, rows::user).await
}

async fn change_user(engine: &impl Engine, user: &User) -> Existed {
    let names = login_names(user);
    let update = Statement::new(
        "UPDATE users SET username = $1, email = $2, email_verified = $3, full_name = $4, \
         kind = $5, state = $6, roles = $7, scopes = $8, claims = $9, updated = $10 \
         WHERE id = $11",
    );
    let forget = Statement::new("DELETE FROM login_names WHERE user_id = $1");
    let mut statements =
        vec![rows::bind_user(update, user).text(user.id.as_str()), forget.text(user.id.as_str())];
    statements.extend(names.iter().map(|(canonical, _)| {
        Statement::new(
            "INSERT INTO login_names (canonical, user_id) SELECT $1, id FROM users WHERE id = $2",
        )
        .text(*canonical)
        .text(user.id.as_str())
    }));
    let before = statements.len() - names.len();
    let taken = |index: usize| {
        let name = index.checked_sub(before).and_then(|index| names.get(index));
        name.map_or("name", |(_, what)| what)
    };
    touched(written(engine.run(statements).await, taken))
}

async fn set_state(engine: &impl Engine, id: &UserId, state: UserState, at: UnixTime) -> Existed {
    let statement = Statement::new("UPDATE users SET state = $2, updated = $3 WHERE id = $1")
        .text(id.as_str())
        .text(state.as_str())
        .number(to_millis(at));
    change(engine, statement).await
}

async fn set_password(
    engine: &impl Engine,
    id: &UserId,
    hash: &Secret,
    instead_of: Option<&Secret>,
    at: UnixTime,
) -> Existed {
    let statement = Statement::new(
        "UPDATE users SET password = $2, updated = $3 \
         WHERE id = $1 AND ($4 IS NULL OR password = $4)",
    );
    let statement = statement
        .text(id.as_str())
        .text(rows::hash(hash)?)
        .number(to_millis(at))
        .optional_text(instead_of.map(rows::hash).transpose()?);
    change(engine, statement).await
}

async fn record_login(engine: &impl Engine, id: &UserId, at: UnixTime) -> Done {
    let statement = Statement::new(
        "UPDATE users SET last_login = $2 \
         WHERE id = $1 AND (last_login IS NULL OR last_login < $2)",
    );
    change(engine, statement.text(id.as_str()).number(to_millis(at))).await.map(drop)
}

async fn delete_user(engine: &impl Engine, id: &UserId) -> Existed {
    // Names and API keys go with it, by their foreign keys.
    change(engine, Statement::new("DELETE FROM users WHERE id = $1").text(id.as_str())).await
}

async fn add_key(engine: &impl Engine, key: &ApiKey) -> Done {
    let statement = Statement::new(
        "INSERT INTO api_keys (id, user_id, digest, label, scopes, created, expires, last_used) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    );
    let statement = statement
        .text(&key.id)
        .text(key.user.as_str())
        .text(key.digest.as_str())
        .optional_text(key.label.as_deref())
        .text(rows::list(&key.scopes))
        .number(to_millis(key.created))
        .optional_number(key.expires.map(to_millis))
        .optional_number(key.last_used.map(to_millis));
    written(engine.run(vec![statement]).await, |_| "API key").map(drop)
}

async fn key(engine: &impl Engine, digest: &KeyDigest) -> Found<ApiKey> {
    let statement = Statement::new(select_keys!("WHERE digest = $1")).text(digest.as_str());
    one(engine, statement, rows::key).await
}

async fn keys(engine: &impl Engine, user: Option<&UserId>, limit: usize) -> Several<ApiKey> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let statement = match user {
        Some(user) => Statement::new(select_keys!(
            "WHERE user_id = $1 ORDER BY created DESC, id DESC LIMIT $2"
        ))
        .text(user.as_str()),
        None => Statement::new(select_keys!("ORDER BY created DESC, id DESC LIMIT $1")),
    };
    readable(engine, statement.number(limit), rows::key).await
}

async fn renew_key(engine: &impl Engine, digest: &KeyDigest, expires: Option<UnixTime>) -> Existed {
    let statement = Statement::new("UPDATE api_keys SET expires = $2 WHERE digest = $1")
        .text(digest.as_str())
        .optional_number(expires.map(to_millis));
    change(engine, statement).await
}

async fn record_key_use(engine: &impl Engine, id: &str, at: UnixTime) -> Done {
    let statement = Statement::new(
        "UPDATE api_keys SET last_used = $2 WHERE id = $1 AND (last_used IS NULL OR last_used < $2)",
    );
    change(engine, statement.text(id).number(to_millis(at))).await.map(drop)
}

async fn delete_key(engine: &impl Engine, id: &str) -> Existed {
    change(engine, Statement::new("DELETE FROM api_keys WHERE id = $1").text(id)).await
}

async fn add_client(engine: &impl Engine, client: &Client) -> Done {
    let statement = Statement::new(
        "INSERT INTO clients \
         (label, secrets, jwks, grants, scopes, audiences, introspects, id, created) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    );
    let statement =
        rows::bind_client(statement, client).text(&client.id).number(to_millis(client.created));
    written(engine.run(vec![statement]).await, |_| "client id").map(drop)
}

async fn client(engine: &impl Engine, id: &str) -> Found<Client> {
    one(engine, Statement::new(select_clients!("WHERE id = $1")).text(id), rows::client).await
}

async fn clients(engine: &impl Engine) -> Several<Client> {
    readable(engine, Statement::new(select_clients!("ORDER BY id")), rows::client).await
}

async fn change_client(engine: &impl Engine, client: &Client) -> Existed {
    let statement = Statement::new(
        "UPDATE clients SET label = $1, secrets = $2, jwks = $3, grants = $4, scopes = $5, \
         audiences = $6, introspects = $7 WHERE id = $8",
    );
    change(engine, rows::bind_client(statement, client).text(&client.id)).await
}

async fn delete_client(engine: &impl Engine, id: &str) -> Existed {
    change(engine, Statement::new("DELETE FROM clients WHERE id = $1").text(id)).await
}

async fn ping(engine: &impl Engine) -> Done {
    read(engine, Statement::new("SELECT id FROM users LIMIT 1")).await.map(drop)
}

async fn read<E: Engine>(engine: &E, statement: Statement) -> Several<E::Row> {
    written(engine.rows(statement).await, |_| "value")
}

/// The one record that a statement finds.
async fn one<E: Engine, T>(
    engine: &E,
    statement: Statement,
    record: fn(&E::Row) -> Result<T, AccountError>,
) -> Found<T> {
    read(engine, statement).await?.first().map(record).transpose()
}

/// All records that can be read; one that cannot is named in the log and hides no other.
async fn readable<E: Engine, T>(
    engine: &E,
    statement: Statement,
    record: fn(&E::Row) -> Result<T, AccountError>,
) -> Several<T> {
    let rows = read(engine, statement).await?;
    let records = rows.iter().map(record).filter_map(|read| {
        read.inspect_err(|error| tracing::warn!(%error, "left out of the list")).ok()
    });
    Ok(records.collect())
}

/// Runs one statement; whether it touched anything.
async fn change(engine: &impl Engine, statement: Statement) -> Existed {
    touched(written(engine.run(vec![statement]).await, |_| "value"))
}

fn touched(counts: Result<Vec<u64>, AccountError>) -> Existed {
    Ok(counts?.first().is_some_and(|count| *count > 0))
}

/// The error of the trait; `taken` names what the statement at a place brings.
fn written<T>(
    outcome: Result<T, StatementError>,
    taken: impl Fn(usize) -> &'static str,
) -> Result<T, AccountError> {
    outcome.map_err(|error| match error {
        StatementError::UniqueViolation(index) => AccountError::Taken(taken(index)),
        StatementError::ForeignKeyViolation => AccountError::NoSuchUser,
        StatementError::Failed(error) => error,
    })
}
