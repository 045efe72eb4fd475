//! The stores that the configuration names: nobody else knows which they are.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::account::{AccountStore, PostgresAccounts, SqliteAccounts};
use crate::config::{AccountStoreConfig, AccountsConfig, SessionConfig, StoreConfig};
use crate::opaque::{
    MemcachedTokenStore, MemoryTokenStore, OpaqueTokenStore, RedisTokenStore, SqliteTokenStore,
};
use crate::secret::SystemRandom;
use crate::session::{MemcachedStore, MemoryStore, RedisStore, SessionStore, SqliteStore};
use crate::store::CHANGE_TIMEOUT;
use crate::store::invalidation::{DeliveryMode, InvalidationSource, InvalidationState};
use crate::store::memcached::{self, Memcached};
use crate::store::records::{
    MemcachedRecordStore, MemoryRecordStore, RecordStore, RedisRecordStore, SqliteRecordStore,
};
use crate::store::redis::{Redis, RedisInvalidation};
use crate::store::sqlite::{Database, SqliteInvalidation};
use crate::store::{postgres, redis, sqlite};

/// Everything that is kept beside accounts.
#[derive(Clone, Debug)]
pub struct Stores {
    /// Sessions.
    pub sessions: Arc<dyn SessionStore>,
    /// Refresh tokens and handles, beside the sessions.
    pub opaque: Arc<dyn OpaqueTokenStore>,
    /// Leases and limits; with Redis in a database of their own.
    pub records: Arc<dyn RecordStore>,
    /// The source of invalidation events; `None` where there is none.
    pub invalidation: Option<Arc<dyn InvalidationSource>>,
    /// The state of that source.
    pub invalidation_state: Arc<InvalidationState>,
}

/// The time that closing a store may take; nothing is lost if it takes longer.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

tokio::task_local! {
    /// Stores that were opened in the course of [`close_stores_after`].
    static OPENED: RefCell<Vec<OpenedStore>>;
}

enum OpenedStore {
    Sessions(Arc<dyn SessionStore>),
    Accounts(Arc<dyn AccountStore>),
}

/// Does the work, and then closes all stores that were opened for it, however it ended: only a file
/// that is closed holds everything itself, so that a copy of it misses nothing.
pub async fn close_stores_after<T>(work: impl Future<Output = T>) -> T {
    let all = async {
        let outcome = work.await;
        for opened in OPENED.with(RefCell::take) {
            let closed = async {
                match opened {
                    OpenedStore::Sessions(store) => store.close().await,
                    OpenedStore::Accounts(store) => store.close().await,
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

/// Registers a store to be closed at the end of the work that it was opened for, if somebody waits
/// for that.
fn register_for_close(opened: OpenedStore) {
    let _nobody_waits = OPENED.try_with(|all| all.borrow_mut().push(opened));
}

/// Invalidation by a source: no events yet, before it is followed.
fn with_source(
    source: impl InvalidationSource + 'static,
) -> (Option<Arc<dyn InvalidationSource>>, Arc<InvalidationState>) {
    (Some(Arc::new(source)), Arc::new(InvalidationState::new(DeliveryMode::Bound)))
}

/// Invalidation of a store that has no source of events.
fn without_source(
    mode: DeliveryMode,
) -> (Option<Arc<dyn InvalidationSource>>, Arc<InvalidationState>) {
    (None, Arc::new(InvalidationState::new(mode)))
}

/// Opens the configured stores.
///
/// # Errors
/// Where the embedded store cannot be opened. A server that is down is no error: it may come up.
pub async fn open_stores(config: &SessionConfig) -> anyhow::Result<Stores> {
    let stores = stores(config).await?;
    register_for_close(OpenedStore::Sessions(Arc::clone(&stores.sessions)));
    Ok(stores)
}

async fn stores(config: &SessionConfig) -> anyhow::Result<Stores> {
    let timeout = config.policy.timeout;
    Ok(match &config.store {
        StoreConfig::Sqlite(path) => {
            make_data_dir(path, &config.data_dir)?;
            let busy_timeout = timeout.max(CHANGE_TIMEOUT);
            let options = sqlite::Options { busy_timeout, ..sqlite::Options::default() };
            let database = Database::open(path, options).await?;
            let (invalidation, invalidation_state) =
                with_source(SqliteInvalidation::new(database.clone()));
            Stores {
                sessions: Arc::new(SqliteStore::new(database.clone())),
                opaque: Arc::new(SqliteTokenStore::new(database.clone())),
                records: Arc::new(SqliteRecordStore::new(database)),
                invalidation,
                invalidation_state,
            }
        }
        StoreConfig::Redis { url, database, limits_database, ca_pem } => {
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
            let opaque = RedisTokenStore::new(logins.clone());
            let prefixes =
                sessions.invalidation_prefixes().into_iter().chain(opaque.invalidation_prefixes());
            let (invalidation, invalidation_state) =
                with_source(RedisInvalidation::new(logins, prefixes));
            Stores {
                sessions: Arc::new(sessions),
                opaque: Arc::new(opaque),
                records: Arc::new(RedisRecordStore::new(server(*limits_database)?)),
                invalidation,
                invalidation_state,
            }
        }
        StoreConfig::Memcached(servers) => {
            let options = memcached::Options {
                // A little less than our own deadline, so that a dead connection is noticed.
                response_timeout: timeout.mul_f64(0.8),
                ..memcached::Options::default()
            };
            let memcached = Memcached::new(servers, &options);
            let (invalidation, invalidation_state) = without_source(DeliveryMode::Bound);
            Stores {
                sessions: Arc::new(MemcachedStore::new(memcached.clone(), Arc::new(SystemRandom))),
                opaque: Arc::new(MemcachedTokenStore::new(memcached.clone())),
                records: Arc::new(MemcachedRecordStore::new(memcached)),
                invalidation,
                invalidation_state,
            }
        }
        StoreConfig::Memory => {
            let (invalidation, invalidation_state) = without_source(DeliveryMode::Own);
            Stores {
                sessions: Arc::new(MemoryStore::new()),
                opaque: Arc::new(MemoryTokenStore::new()),
                records: Arc::new(MemoryRecordStore::new()),
                invalidation,
                invalidation_state,
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
    register_for_close(OpenedStore::Accounts(Arc::clone(&store)));
    Ok(store)
}
