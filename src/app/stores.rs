//! The stores that the configuration names: nobody else knows which they are.

use std::cell::RefCell;
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

/// How long closing a store may take; nothing is lost if it takes longer.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

tokio::task_local! {
    /// What was opened in the course of [`closing`].
    static OPENED: RefCell<Vec<Opened>>;
}

enum Opened {
    Sessions(Arc<dyn SessionStore>),
    Accounts(Arc<dyn AccountStore>),
}

/// Does the work, and then closes all stores that were opened for it, however it ended: only a file
/// that is closed holds everything itself, so that a copy of it misses nothing.
pub async fn closing<T>(work: impl Future<Output = T>) -> T {
    let all = async {
        let outcome = work.await;
        for opened in OPENED.with(RefCell::take) {
            let closed = async {
                match opened {
                    Opened::Sessions(store) => store.close().await,
                    Opened::Accounts(store) => store.close().await,
                }
            };
            if tokio::time::timeout(CLOSE_LIMIT, closed).await.is_err() {
                tracing::debug!("a store was not closed in time");
            }
        }
        outcome
    };
    OPENED.scope(RefCell::default(), all).await
}

/// Has it closed at the end of the work that it was opened for, if somebody waits for that.
fn note(opened: Opened) {
    let _nobody_waits = OPENED.try_with(|all| all.borrow_mut().push(opened));
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
    let stores = stores(config).await?;
    note(Opened::Sessions(Arc::clone(&stores.sessions)));
    Ok(stores)
}

async fn stores(config: &SessionConfig) -> anyhow::Result<Stores> {
    let timeout = config.terms.timeout;
    Ok(match &config.store {
        StoreConfig::Sqlite(path) => {
            make_data_dir(path, &config.data_dir)?;
            let busy_timeout = timeout.max(CHANGE_TIMEOUT);
            let options = sqlite::Options { busy_timeout, ..sqlite::Options::default() };
            let database = Database::open(path, options).await?;
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

/// Makes `DATA_DIR` for a file that is to be in it. No other folder is made: one that is not there
/// may be one that is not mounted, or a slip of the pen.
///
/// # Errors
/// Where it cannot be made.
pub fn make_data_dir(file: &Path, data_dir: &Path) -> Result<(), sqlite::OpenError> {
    if file.parent() == Some(data_dir) { sqlite::make_folder(data_dir) } else { Ok(()) }
}

/// Opens the configured store of accounts. A login waits for a hash anyway, so it is given more
/// time than the sessions have.
///
/// # Errors
/// Where it cannot be opened; its schema is brought up to date here, so it must be there.
pub async fn open_accounts(config: &AccountsConfig) -> anyhow::Result<Arc<dyn AccountStore>> {
    let store: Arc<dyn AccountStore> = match &config.store {
        AccountStoreConfig::Sqlite(path) => {
            make_data_dir(path, &config.data_dir)?;
            Arc::new(SqliteAccounts::open(path, sqlite::Options::default()).await?)
        }
        AccountStoreConfig::Postgres(url) => {
            Arc::new(PostgresAccounts::open(url, postgres::Options::default()).await?)
        }
    };
    note(Opened::Accounts(Arc::clone(&store)));
    Ok(store)
}
