//! Every kind of store: the one place that starts what it needs and opens it. Every server is a real one.

use std::any::Any;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portcullis::account::{AccountStore, AuditStore, PostgresAccounts, RuleStore, SqliteAccounts};
use portcullis::opaque::{
    MemcachedTokenStore, MemoryTokenStore, OpaqueTokenStore, RedisTokenStore, SqliteTokenStore,
};
use portcullis::secret::{Secret, SystemRandom};
use portcullis::session::{MemcachedStore, MemoryStore, RedisStore, SessionStore, SqliteStore};
use portcullis::store::memcached::{self, Memcached, Servers};
use portcullis::store::records::{
    MemcachedRecordStore, MemoryRecordStore, RecordStore, RedisRecordStore, SqliteRecordStore,
};
use portcullis::store::redis::{self, Redis};
use portcullis::store::{postgres, sqlite};
use sqlx::SqlitePool;

use super::memcached::MemcachedServer;
use super::pgbouncer::PgBouncer;
use super::postgres::PostgresServer;
use super::redis::RedisServer;

/// The database of a Redis in these tests.
pub const DATABASE: u32 = 9;

/// The time that a server may take to be connected to, and to answer, on a busy machine.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// A Redis, in the database of these tests.
pub fn redis(url: &str) -> Redis {
    redis_with(url, &redis_options(ANSWER_TIMEOUT))
}

/// The same, reached in another way.
pub fn redis_with(url: &str, options: &redis::Options) -> Redis {
    Redis::new(&Secret::new(url), options).expect(url)
}

/// A Redis that answers within such a time.
pub fn redis_options(timeout: Duration) -> redis::Options {
    redis::Options {
        database: DATABASE,
        connect_timeout: timeout,
        response_timeout: timeout,
        ..Default::default()
    }
}

/// A memcached.
pub fn memcached(url: &str) -> Memcached {
    memcached_within(url, ANSWER_TIMEOUT)
}

/// A memcached that answers within such a time.
pub fn memcached_within(url: &str, timeout: Duration) -> Memcached {
    let options = memcached::Options {
        connect_timeout: timeout,
        response_timeout: timeout,
        ..Default::default()
    };
    Memcached::new(&Servers::parse(url).expect(url), &options)
}

/// The SQLite file in a folder, whose writers may queue for long.
pub async fn sqlite(folder: &Path) -> sqlite::Database {
    sqlite_with(folder, super::patient_sqlite()).await
}

/// The same, opened in another way.
pub async fn sqlite_with(folder: &Path, options: sqlite::Options) -> sqlite::Database {
    sqlite::Database::open(&folder.join(FILE), options).await.expect("open")
}

/// Options of a file for who does not wait for a lock.
pub fn hasty_sqlite() -> sqlite::Options {
    sqlite::Options { busy_timeout: Duration::from_millis(100), max_connections: 2 }
}

/// The SQLite file in a folder as an administrator opens it beside the stores.
pub async fn raw_sqlite(folder: &Path) -> SqlitePool {
    sqlite::open(&folder.join(FILE), sqlite::Options::default()).await.expect("open")
}

/// The SQLite file of these tests.
pub const FILE: &str = "portcullis.db";

/// A place where records are kept, as one process reaches it.
pub enum Backend {
    Memory,
    Sqlite(sqlite::Database),
    Postgres(Secret),
    Redis(Redis),
    Memcached(Memcached),
}

/// A trait of stores, which opens each of its kinds.
pub trait Opens {
    /// The store of that backend.
    ///
    /// # Panics
    ///
    /// Where the trait has none.
    async fn open(backend: Backend) -> Arc<Self>;
}

impl Opens for dyn SessionStore {
    async fn open(backend: Backend) -> Arc<Self> {
        match backend {
            Backend::Memory => Arc::new(MemoryStore::new()),
            Backend::Sqlite(database) => Arc::new(SqliteStore::new(database)),
            Backend::Redis(redis) => Arc::new(RedisStore::new(redis)),
            Backend::Memcached(memcached) => {
                Arc::new(MemcachedStore::new(memcached, Arc::new(SystemRandom)))
            }
            Backend::Postgres(_) => unreachable!("sessions are in no PostgreSQL"),
        }
    }
}

impl Opens for dyn OpaqueTokenStore {
    async fn open(backend: Backend) -> Arc<Self> {
        match backend {
            Backend::Memory => Arc::new(MemoryTokenStore::new()),
            Backend::Sqlite(database) => Arc::new(SqliteTokenStore::new(database)),
            Backend::Redis(redis) => Arc::new(RedisTokenStore::new(redis)),
            Backend::Memcached(memcached) => Arc::new(MemcachedTokenStore::new(memcached)),
            Backend::Postgres(_) => unreachable!("tokens are in no PostgreSQL"),
        }
    }
}

impl Opens for dyn RecordStore {
    async fn open(backend: Backend) -> Arc<Self> {
        match backend {
            Backend::Memory => Arc::new(MemoryRecordStore::new()),
            Backend::Sqlite(database) => Arc::new(SqliteRecordStore::new(database)),
            Backend::Redis(redis) => Arc::new(RedisRecordStore::new(redis)),
            Backend::Memcached(memcached) => Arc::new(MemcachedRecordStore::new(memcached)),
            Backend::Postgres(_) => unreachable!("records are in no PostgreSQL"),
        }
    }
}

/// Stores in the accounts' database.
macro_rules! in_account_database {
    ($store:ident) => {
        impl Opens for dyn $store {
            async fn open(backend: Backend) -> Arc<Self> {
                match backend {
                    Backend::Sqlite(database) => {
                        Arc::new(SqliteAccounts::new(database, super::PATIENCE))
                    }
                    Backend::Postgres(url) => {
                        let options = postgres::Options::default();
                        Arc::new(PostgresAccounts::open(&url, options).await.expect("open"))
                    }
                    _ => unreachable!("accounts are in a database"),
                }
            }
        }
    };
}

in_account_database! { AccountStore }
in_account_database! { AuditStore }
in_account_database! { RuleStore }

/// A store with two handles on the same records, as two processes have them.
pub struct Fixture<S: ?Sized> {
    pub store: Arc<S>,
    pub other: Arc<S>,
    _kept: Box<dyn Any + Send>,
}

impl<S: Opens + ?Sized> Fixture<S> {
    /// In the memory of this process, where two handles are one.
    pub async fn memory() -> Option<Self> {
        let store = S::open(Backend::Memory).await;
        Some(Self { other: Arc::clone(&store), store, _kept: Box::new(()) })
    }

    /// In a new SQLite file.
    pub async fn sqlite() -> Option<Self> {
        let folder = tempfile::tempdir().expect("folder");
        let (one, two) = (sqlite(folder.path()).await, sqlite(folder.path()).await);
        Some(Self::of(Backend::Sqlite(one), Backend::Sqlite(two), folder).await)
    }

    /// In a new database of a PostgreSQL.
    pub async fn postgres() -> Option<Self> {
        let server = PostgresServer::shared()?;
        Some(Self::on_postgres(&server.database(), server).await)
    }

    /// The same by way of a pooler that hands each transaction to another connection.
    pub async fn pgbouncer() -> Option<Self> {
        let server = PostgresServer::shared()?;
        let bouncer = PgBouncer::before(&server)?;
        let url = format!("{}&pgbouncer=true", bouncer.url(&server.database()));
        Some(Self::on_postgres(&url, (bouncer, server)).await)
    }

    /// In a Redis of its own.
    pub async fn redis() -> Option<Self> {
        let server = RedisServer::start()?;
        let (one, two) = (redis(&server.url()), redis(&server.url()));
        Some(Self::of(Backend::Redis(one), Backend::Redis(two), server).await)
    }

    /// In a memcached of its own.
    pub async fn memcached() -> Option<Self> {
        let server = MemcachedServer::start()?;
        let (one, two) = (memcached(&server.url()), memcached(&server.url()));
        Some(Self::of(Backend::Memcached(one), Backend::Memcached(two), server).await)
    }

    /// In a database of a Redis that outlives the fixture.
    pub async fn in_database(url: &str, database: u32) -> Self {
        let options = redis::Options { database, ..redis_options(ANSWER_TIMEOUT) };
        let open = || Backend::Redis(redis_with(url, &options));
        Self::of(open(), open(), ()).await
    }

    async fn on_postgres(url: &str, kept: impl Any + Send) -> Self {
        let open = || Backend::Postgres(Secret::new(url));
        Self::of(open(), open(), kept).await
    }

    async fn of(one: Backend, two: Backend, kept: impl Any + Send) -> Self {
        Self { store: S::open(one).await, other: S::open(two).await, _kept: Box::new(kept) }
    }

    /// One handle or the other.
    pub fn either(&self, n: usize) -> Arc<S> {
        Arc::clone(if n.is_multiple_of(2) { &self.store } else { &self.other })
    }
}
