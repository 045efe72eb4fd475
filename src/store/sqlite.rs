//! An SQLite file: durable, shared by the processes of one host.
//!
//! Write-ahead log with `synchronous=FULL`: what a statement acknowledged survives `kill -9` and a
//! loss of power. The schema is brought up to date on open, under SQLite's write lock, so that
//! several processes may start at once. A file is never touched by an older program than the
//! one that wrote its schema.

pub mod column;
mod database;
mod invalidation;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{Connection as _, Row as _, Sqlite};

pub use database::Database;
pub use invalidation::SqliteInvalidation;

use super::Failure;
use super::schema::{self, NewerSchema, Schema};

/// The time for which opening waits for another process that opens the same file.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// The settings of a file's connections.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The time for which a statement waits for another's lock, and for a free connection.
    pub busy_timeout: Duration,
    /// At most this many connections; each is a thread and, when used, some memory.
    pub max_connections: u32,
}

impl Default for Options {
    /// Five seconds, as befits commands; four connections, since SQLite has one writer anyway.
    fn default() -> Self {
        Self { busy_timeout: Duration::from_secs(5), max_connections: 4 }
    }
}

/// The reason why a file could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file or its folder cannot be made.
    #[error("cannot create {path}; DATA_DIR or DB_URL names another place", path = path.display())]
    Create {
        /// The file or folder that was to be made.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A newer program has been here.
    #[error(transparent)]
    NewerSchema(NewerSchema),
    /// SQLite refused.
    #[error("cannot open {path}", path = path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// SQLite's error.
        source: sqlx::Error,
    },
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        if is_transient(&error) { Self::TimedOut } else { Self::Unavailable(error.to_string()) }
    }
}

/// Makes a folder for the owner alone (mode 0700), where it is missing. [`open`] makes none: a
/// folder that is not there may be one that is not mounted.
///
/// # Errors
/// [`OpenError::Create`].
pub fn make_folder(folder: &Path) -> Result<(), OpenError> {
    use std::os::unix::fs::DirBuilderExt as _;

    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| OpenError::Create { path: folder.to_path_buf(), source })
}

/// Opens the file and brings its schema up to date. Where it is missing it is made for its owner
/// alone (mode 0600), who is the owner of its folder; modes of what is there are the operator's.
///
/// # Errors
/// [`OpenError`] where that is not possible.
pub async fn open(path: &Path, options: Options) -> Result<SqlitePool, OpenError> {
    create(path)?;
    let started = Instant::now();
    loop {
        match open_once(path, options).await {
            // Two processes that turn on the write-ahead log at once: SQLite refuses one of them
            // without waiting, whatever the busy timeout.
            Err(OpenError::Sqlite { source, .. })
                if is_transient(&source) && started.elapsed() < OPEN_TIMEOUT =>
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            done => return done,
        }
    }
}

/// A short timeout, as the gate has it, is no reason not to start on a slow disk.
fn is_transient(error: &sqlx::Error) -> bool {
    is_busy(error) || matches!(error, sqlx::Error::PoolTimedOut)
}

/// Returns whether SQLite gave up waiting for a lock.
pub fn is_busy(error: &sqlx::Error) -> bool {
    const BUSY: i64 = 5;
    const LOCKED: i64 = 6;
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    let code = code.and_then(|code| code.parse::<i64>().ok());
    // The low byte is the primary code, the rest says more.
    code.is_some_and(|code| matches!(code & 0xff, BUSY | LOCKED))
}

/// Makes the file where it is missing. SQLite gives its two companion files the owner and the mode
/// of the database.
fn create(path: &Path) -> Result<(), OpenError> {
    use std::os::unix::fs::OpenOptionsExt as _;

    let mut file = std::fs::OpenOptions::new();
    match file.write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            give_to_owner_of_folder(&file, path);
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(OpenError::Create { path: path.to_path_buf(), source }),
    }
}

/// A command that root runs must not make a file that the server cannot open. Who may not give files
/// away keeps them.
fn give_to_owner_of_folder(file: &std::fs::File, path: &Path) {
    use std::os::unix::fs::{MetadataExt as _, fchown};

    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Ok(folder) = std::fs::metadata(folder.unwrap_or_else(|| Path::new("."))) {
        let _not_ours_to_give = fchown(file, Some(folder.uid()), Some(folder.gid()));
    }
}

async fn open_once(path: &Path, options: Options) -> Result<SqlitePool, OpenError> {
    let failed = |source| OpenError::Sqlite { path: path.to_path_buf(), source };
    let pool = pool_options(options).connect_with(connect_options(path, options)).await;
    let pool = pool.map_err(failed)?;
    // One connection for all of it: another would stay, with a thread of its own.
    let mut connection = pool.acquire().await.map_err(failed)?;
    let migrated = schema::migrate::<Sqlite>(&mut connection, &path.display().to_string()).await;
    drop(connection);
    if let Err(newer) = migrated.map_err(failed)? {
        pool.close().await;
        return Err(OpenError::NewerSchema(newer));
    }
    Ok(pool)
}

fn pool_options(options: Options) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(options.max_connections)
        .acquire_timeout(options.busy_timeout)
        .max_lifetime(None)
        .idle_timeout(None)
        .test_before_acquire(false)
        .after_release(|connection, _| Box::pin(is_as_new(connection)))
}

/// Returns whether a connection may go back to the pool. After a full disk, an I/O error or a lock SQLite may
/// have ended a transaction by itself; the driver, whose rollback then finds none, takes it for open
/// for ever, and begins no other.
async fn is_as_new(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // The rollback of a transaction that was dropped is on its way before this, and has been tried
    // when it is answered.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

fn connect_options(path: &Path, options: Options) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(options.busy_timeout)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .statement_cache_capacity(32)
        .thread_name(|n| format!("sqlite-{n}"))
}

/// The file's `user_version` says how many steps it has seen.
impl Schema for Sqlite {
    const STEPS: &'static [&'static str] = &[
        include_str!("migrations/sqlite/0001_sessions.sql"),
        include_str!("migrations/sqlite/0002_accounts.sql"),
        include_str!("migrations/sqlite/0003_issuance.sql"),
        include_str!("migrations/sqlite/0004_changes.sql"),
        include_str!("migrations/sqlite/0005_records.sql"),
        include_str!("migrations/sqlite/0006_devices.sql"),
        include_str!("migrations/sqlite/0007_life_of_accounts.sql"),
        include_str!("migrations/sqlite/0008_audit_events.sql"),
        include_str!("migrations/sqlite/0009_policy_rules.sql"),
        include_str!("migrations/sqlite/0010_api_keys.sql"),
        include_str!("migrations/sqlite/0011_user_numbers.sql"),
        include_str!("migrations/sqlite/0012_changes_of_sessions.sql"),
    ];
    const BEGIN: &'static str = "BEGIN IMMEDIATE";
    // The transaction has the write lock already.
    const LOCK: &'static str = "SELECT 1";

    async fn version(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
        sqlx::query("PRAGMA user_version").fetch_one(connection).await?.try_get(0)
    }

    fn set_version(version: i64) -> String {
        format!("PRAGMA user_version = {version}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).expect("metadata").permissions().mode() & 0o777
    }

    async fn pragma(pool: &SqlitePool, query: &'static str) -> String {
        let row = sqlx::query(query).fetch_one(pool).await.expect(query);
        row.try_get::<String, _>(0)
            .or_else(|_| row.try_get::<i64, _>(0).map(|n| n.to_string()))
            .expect(query)
    }

    #[tokio::test]
    async fn what_open_makes_is_for_the_owner_alone_and_no_folder() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("data").join("portcullis.db");
        let refused = open(&path, Options::default()).await;
        assert!(matches!(refused, Err(OpenError::Create { .. })), "{refused:?}");
        assert!(!path.parent().expect("parent").exists());
        make_folder(path.parent().expect("parent")).expect("folder");
        let pool = open(&path, Options::default()).await.expect("open");
        assert_eq!(mode(path.parent().expect("parent")), 0o700);
        for suffix in ["", "-wal", "-shm"] {
            let file = PathBuf::from(format!("{}{suffix}", path.display()));
            assert_eq!(mode(&file), 0o600, "{}", file.display());
        }
        pool.close().await;
    }

    #[tokio::test]
    async fn every_connection_syncs_its_log_at_each_commit() {
        let folder = tempfile::tempdir().expect("folder");
        let pool = open(&folder.path().join("db"), Options::default()).await.expect("open");
        let held = pool.acquire().await.expect("connection");
        assert_eq!(pragma(&pool, "PRAGMA synchronous").await, "2");
        assert_eq!(pragma(&pool, "PRAGMA journal_mode").await, "wal");
        assert_eq!(pragma(&pool, "PRAGMA busy_timeout").await, "5000");
        drop(held);
    }

    #[tokio::test]
    async fn a_connection_whose_transaction_was_ended_by_an_error_is_not_used_again() {
        let folder = tempfile::tempdir().expect("folder");
        let one = Options { max_connections: 1, ..Options::default() };
        let pool = open(&folder.path().join("db"), one).await.expect("open");
        for _ in 0..3 {
            let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.expect("begin");
            // As SQLite does by itself when the disk is full.
            sqlx::raw_sql("ROLLBACK").execute(&mut *transaction).await.expect("rollback");
            drop(transaction);
        }
        let transaction = pool.begin_with("BEGIN IMMEDIATE").await.expect("another transaction");
        transaction.commit().await.expect("commit");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn several_may_open_a_new_file_at_once() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("db");
        let opening: Vec<_> = (0..12)
            .map(|_| {
                let path = path.clone();
                tokio::spawn(async move { open(&path, Options::default()).await })
            })
            .collect();
        for opened in opening {
            let pool = opened.await.expect("task").expect("open");
            let version = pragma(&pool, "PRAGMA user_version").await;
            assert_eq!(version, Sqlite::STEPS.len().to_string());
        }
    }

    #[tokio::test]
    async fn a_newer_schema_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("db");
        let pool = open(&path, Options::default()).await.expect("open");
        sqlx::raw_sql("PRAGMA user_version = 99").execute(&pool).await.expect("pragma");
        pool.close().await;
        let refused = open(&path, Options::default()).await;
        let Err(OpenError::NewerSchema(newer)) = refused else { panic!("{refused:?}") };
        let told = newer.to_string();
        assert!(told.contains("has schema version 99, this program knows"), "{told}");
        assert!(open(&path, Options::default()).await.is_err(), "it was changed");
    }

    #[tokio::test]
    async fn what_is_no_database_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("notes.txt");
        std::fs::write(&path, "dear diary, ".repeat(200)).expect("write");
        let refused = open(&path, Options::default()).await;
        assert!(matches!(refused, Err(OpenError::Sqlite { .. })), "{refused:?}");
        assert!(matches!(
            open(&path.join("below"), Options::default()).await,
            Err(OpenError::Create { .. })
        ));
        assert!(matches!(
            open(folder.path(), Options::default()).await,
            Err(OpenError::Sqlite { .. })
        ));
    }
}
