//! The stores that the configuration names: nobody else knows which they are.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::account::{AccountStore, PostgresAccounts, SqliteAccounts};
use crate::config::{AccountStoreConfig, AccountsConfig, SessionConfig, StoreConfig};
use crate::opaque::{MemcachedOpaque, MemoryOpaque, OpaqueStore, RedisOpaque, SqliteOpaque};
use crate::restrict::{
    MemcachedRestrict, MemoryRestrict, RedisRestrict, RestrictStore, SqliteRestrict,
};
use crate::secret::SystemRandom;
use crate::session::{
    CHANGE_TIMEOUT, MemcachedStore, MemoryStore, RedisStore, SessionStore, SqliteStore,
};
use crate::storage::memcached::{self, Memcached};
use crate::storage::news::{Means, NewsSource, NewsState};
use crate::storage::redis::{Redis, RedisNews};
use crate::storage::sqlite::{Database, SqliteNews};
use crate::storage::{postgres, redis, sqlite};

/// Everything that is kept beside accounts.
#[derive(Clone, Debug)]
pub struct Stores {
    /// Sessions.
    pub sessions: Arc<dyn SessionStore>,
    /// Refresh tokens and handles, beside the sessions.
    pub opaque: Arc<dyn OpaqueStore>,
    /// Restrictions; with Redis in a database of their own.
    pub restrict: Arc<dyn RestrictStore>,
    /// Where news of changes by others come from; `None` where there are none.
    pub news: Option<Arc<dyn NewsSource>>,
    /// By what means they come.
    pub news_state: Arc<NewsState>,
}

/// How news come from a source: not yet, before it is followed.
fn with_news(source: impl NewsSource + 'static) -> (Option<Arc<dyn NewsSource>>, Arc<NewsState>) {
    (Some(Arc::new(source)), Arc::new(NewsState::new(Means::Bound)))
}

/// How news come of a store that has no source of them.
fn without_news(means: Means) -> (Option<Arc<dyn NewsSource>>, Arc<NewsState>) {
    (None, Arc::new(NewsState::new(means)))
}

/// Opens the configured stores.
///
/// # Errors
/// Where the embedded store cannot be opened. A server that is down is no error: it may come up.
pub async fn open_stores(config: &SessionConfig) -> anyhow::Result<Stores> {
    let timeout = config.terms.timeout;
    Ok(match &config.store {
        StoreConfig::Sqlite(path) => {
            let database = open_file(path, timeout.max(CHANGE_TIMEOUT)).await?;
            let (news, news_state) = with_news(SqliteNews::new(database.clone()));
            Stores {
                sessions: Arc::new(SqliteStore::new(database.clone())),
                opaque: Arc::new(SqliteOpaque::new(database.clone())),
                restrict: Arc::new(SqliteRestrict::new(database)),
                news,
                news_state,
            }
        }
        StoreConfig::Redis { url, database, restrict_database, ca_pem } => {
            let server = |database| {
                let options = redis::Options {
                    database,
                    ca_pem: ca_pem.clone(),
                    // A little less than our own deadline, so that a dead connection is noticed.
                    response_timeout: timeout.mul_f64(0.8),
                    ..redis::Options::default()
                };
                Redis::new(url, &options)
            };
            let logins = server(*database)?;
            let sessions = RedisStore::new(logins.clone());
            let opaque = RedisOpaque::new(logins.clone());
            let remembered = sessions.remembered().into_iter().chain(opaque.remembered());
            let (news, news_state) = with_news(RedisNews::new(logins, remembered));
            Stores {
                sessions: Arc::new(sessions),
                opaque: Arc::new(opaque),
                restrict: Arc::new(RedisRestrict::new(server(*restrict_database)?)),
                news,
                news_state,
            }
        }
        StoreConfig::Memcached(servers) => {
            let options = memcached::Options {
                // A little less than our own deadline, so that a dead connection is noticed.
                response_timeout: timeout.mul_f64(0.8),
                ..memcached::Options::default()
            };
            let memcached = Memcached::new(servers, &options);
            let (news, news_state) = without_news(Means::Bound);
            Stores {
                sessions: Arc::new(MemcachedStore::new(memcached.clone(), Arc::new(SystemRandom))),
                opaque: Arc::new(MemcachedOpaque::new(memcached.clone())),
                restrict: Arc::new(MemcachedRestrict::new(memcached)),
                news,
                news_state,
            }
        }
        StoreConfig::Memory => {
            let (news, news_state) = without_news(Means::Own);
            Stores {
                sessions: Arc::new(MemoryStore::new()),
                opaque: Arc::new(MemoryOpaque::new()),
                restrict: Arc::new(MemoryRestrict::new()),
                news,
                news_state,
            }
        }
    })
}

async fn open_file(path: &Path, busy_timeout: Duration) -> Result<Database, sqlite::OpenError> {
    let options = sqlite::Options { busy_timeout, ..sqlite::Options::default() };
    Database::open(path, options).await
}

/// Opens the configured store of accounts. A login waits for a hash anyway, so it is given more
/// time than the sessions have.
///
/// # Errors
/// Where it cannot be opened; its schema is brought up to date here, so it must be there.
pub async fn open_accounts(config: &AccountsConfig) -> anyhow::Result<Arc<dyn AccountStore>> {
    Ok(match &config.store {
        AccountStoreConfig::Sqlite(path) => {
            Arc::new(SqliteAccounts::open(path, sqlite::Options::default()).await?)
        }
        AccountStoreConfig::Postgres(url) => {
            Arc::new(PostgresAccounts::open(url, postgres::Options::default()).await?)
        }
    })
}
