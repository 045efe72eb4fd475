//! Accounts in a database: an SQLite file, or PostgreSQL.
//!
//! The statements are the same for both and stand here once, in `users`, `api_keys` and `clients`.
//! `engine` has the differences between the two, `rows` the columns of a record. Every write is one
//! transaction, also an `import` of many.

mod api_keys;
mod audit_events;
mod clients;
mod engine;
mod import;
mod rows;
mod rules;
mod user_numbers;
mod users;

use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

use super::{
    AccountError, AccountStore, ApiKey, Client, KeyDigest, Login, SentMail, User, UserState,
};
use crate::clock::UnixTime;
use crate::secret::Secret;
use crate::session::UserId;
use crate::store::{postgres, sqlite};
use api_keys::{
    add_key, delete_key, delete_keys, key, key_by_id, key_by_refresh, keys, purge_keys,
    record_key_use, renew_key, replace_key,
};
use clients::{add_client, change_client, client, clients, delete_client};
use engine::{Engine, Statement, StatementError};
use import::import;
use user_numbers::next_user_number;
use users::{
    add_user, change_user, delete_user, record_login, record_sent, set_password, set_state, user,
    user_by_login, users,
};

/// The time that a call on a shared SQLite file may take beyond the wait for its lock.
const SQLITE_MARGIN: Duration = Duration::from_secs(1);

/// Accounts in a database, and the time that a call may take.
#[derive(Debug)]
pub struct SqlAccounts<D> {
    database: D,
    timeout: Duration,
}

/// Accounts in an SQLite file, which several processes of one host may share.
pub type SqliteAccounts = SqlAccounts<sqlite::Database>;

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
        Self { database, timeout }
    }
}

/// Accounts in PostgreSQL, which the processes of any number of hosts may share.
pub type PostgresAccounts = SqlAccounts<postgres::Database>;

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
        Ok(Self { database, timeout: options.timeout })
    }
}

/// Hands every call of the trait to the function of its name.
macro_rules! delegate {
    ($(fn $name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl<D: Debug + Send + Sync> AccountStore for SqlAccounts<D>
        where
            Self: Engine,
        {
            $(async fn $name(&self, $($argument: $kind),*) -> $answer {
                $name(self, $($argument),*).await
            })*

            async fn close(&self) {
                Engine::close(self).await;
            }
        }
    };
}

delegate! {
    fn add_user(user: &User) -> Done;
    fn user(id: &UserId) -> Found<User>;
    fn user_by_login(login: &Login) -> Found<User>;
    fn users(after: Option<&UserId>, limit: usize) -> Several<User>;
    fn change_user(user: &User, read: UnixTime) -> Existed;
    fn set_state(id: &UserId, state: UserState, at: UnixTime) -> Existed;
    fn set_password(
        id: &UserId, hash: &Secret, instead_of: Option<&Secret>, at: UnixTime
    ) -> Existed;
    fn record_login(id: &UserId, at: UnixTime) -> Done;
    fn record_sent(id: &UserId, mail: SentMail, at: UnixTime) -> Done;
    fn delete_user(id: &UserId) -> Existed;
    fn next_user_number() -> Result<u64, AccountError>;
    fn add_key(key: &ApiKey) -> Done;
    fn key(digest: &KeyDigest) -> Found<ApiKey>;
    fn key_by_id(id: &str) -> Found<ApiKey>;
    fn key_by_refresh(digest: &KeyDigest) -> Found<ApiKey>;
    fn keys(user: Option<&UserId>, limit: usize) -> Several<ApiKey>;
    fn renew_key(digest: &KeyDigest, expires: Option<UnixTime>) -> Existed;
    fn record_key_use(id: &str, at: UnixTime) -> Done;
    fn replace_key(old: &str, key: &ApiKey) -> Existed;
    fn delete_key(id: &str) -> Existed;
    fn delete_keys(user: &UserId) -> Counted;
    fn purge_keys(ended_before: UnixTime) -> Counted;
    fn import(users: &[User], keys: &[ApiKey], added: &mut (dyn FnMut() + Send)) -> Done;
    fn add_client(client: &Client) -> Done;
    fn client(id: &str) -> Found<Client>;
    fn clients() -> Several<Client>;
    fn change_client(client: &Client) -> Existed;
    fn delete_client(id: &str) -> Existed;
    fn ping() -> Done;
}

type Done = Result<(), AccountError>;
type Existed = Result<bool, AccountError>;
type Counted = Result<u64, AccountError>;
type Found<T> = Result<Option<T>, AccountError>;
type Several<T> = Result<Vec<T>, AccountError>;

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

/// Runs one statement. Returns whether it changed a row.
async fn change(engine: &impl Engine, statement: Statement) -> Existed {
    touched(written(engine.run(vec![statement]).await, |_| "value"))
}

fn touched(counts: Result<Vec<u64>, AccountError>) -> Existed {
    Ok(counts?.first().is_some_and(|count| *count > 0))
}

/// Converts an error to that of the trait; `taken` names the value that the statement at an index
/// inserts.
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
