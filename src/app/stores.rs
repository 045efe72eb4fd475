//! The stores that the configuration names: nobody else knows which they are.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::account::{AccountStore, AuditStore, PostgresAccounts, RuleStore, SqliteAccounts};
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

/// A source of invalidation events, if there is one, and its state.
type Invalidation = (Option<Arc<dyn InvalidationSource>>, Arc<InvalidationState>);

impl Stores {
    fn of(
        sessions: impl SessionStore + 'static,
        opaque: impl OpaqueTokenStore + 'static,
        records: impl RecordStore + 'static,
        (invalidation, invalidation_state): Invalidation,
    ) -> Self {
        Self {
            sessions: Arc::new(sessions),
            opaque: Arc::new(opaque),
            records: Arc::new(records),
            invalidation,
            invalidation_state,
        }
    }
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
fn with_source(source: impl InvalidationSource + 'static) -> Invalidation {
    (Some(Arc::new(source)), Arc::new(InvalidationState::new(DeliveryMode::Bound)))
}

/// Invalidation of a store that has no source of events.
fn without_source(mode: DeliveryMode) -> Invalidation {
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
    // A little less than our own deadline, so that a dead connection is noticed.
    let response_timeout = timeout.mul_f64(0.8);
    Ok(match &config.store {
        StoreConfig::Sqlite(path) => {
            make_data_dir(path, &config.data_dir)?;
            let busy_timeout = timeout.max(CHANGE_TIMEOUT);
            let options = sqlite::Options { busy_timeout, ..sqlite::Options::default() };
            let database = Database::open(path, options).await?;
            Stores::of(
                SqliteStore::new(database.clone()),
                SqliteTokenStore::new(database.clone()),
                SqliteRecordStore::new(database.clone()),
                with_source(SqliteInvalidation::new(database)),
            )
        }
        StoreConfig::Redis { url, database, limits_database, ca_pem } => {
            let server = |database| {
                let (ca_pem, usual) = (ca_pem.clone(), redis::Options::default());
                Redis::new(url, &redis::Options { database, ca_pem, response_timeout, ..usual })
            };
            let logins = server(*database)?;
            let sessions = RedisStore::new(logins.clone());
            let opaque = RedisTokenStore::new(logins.clone());
            let records = RedisRecordStore::new(server(*limits_database)?);
            let prefixes =
                sessions.invalidation_prefixes().into_iter().chain(opaque.invalidation_prefixes());
            let source = with_source(RedisInvalidation::new(logins, prefixes));
            Stores::of(sessions, opaque, records, source)
        }
        StoreConfig::Memcached(servers) => {
            let options = memcached::Options { response_timeout, ..memcached::Options::default() };
            let memcached = Memcached::new(servers, &options);
            Stores::of(
                MemcachedStore::new(memcached.clone(), Arc::new(SystemRandom)),
                MemcachedTokenStore::new(memcached.clone()),
                MemcachedRecordStore::new(memcached),
                without_source(DeliveryMode::Bound),
            )
        }
        StoreConfig::Memory => Stores::of(
            MemoryStore::new(),
            MemoryTokenStore::new(),
            MemoryRecordStore::new(),
            without_source(DeliveryMode::Own),
        ),
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
    Ok(open_account_database(config).await?.accounts)
}

/// The database of accounts.
#[derive(Clone, Debug)]
pub struct AccountDatabase {
    /// The accounts.
    pub accounts: Arc<dyn AccountStore>,
    /// The audit events that are kept beside them.
    pub events: Arc<dyn AuditStore>,
    /// The rules of the policy.
    pub rules: Arc<dyn RuleStore>,
}

impl AccountDatabase {
    fn of(store: impl AccountStore + AuditStore + RuleStore + 'static) -> Self {
        let store = Arc::new(store);
        Self { accounts: store.clone(), events: store.clone(), rules: store }
    }
}

/// The same, with the audit events and the rules of the policy.
///
/// # Errors
/// As [`open_accounts`].
pub async fn open_account_database(config: &AccountsConfig) -> anyhow::Result<AccountDatabase> {
    let database = match &config.store {
        AccountStoreConfig::Sqlite(path) => {
            make_data_dir(path, &config.data_dir)?;
            let options = sqlite::Options::default();
            AccountDatabase::of(SqliteAccounts::open(path, options).await?)
        }
        AccountStoreConfig::Postgres(url) => {
            let options = postgres::Options::default();
            AccountDatabase::of(PostgresAccounts::open(url, options).await?)
        }
    };
    register_for_close(OpenedStore::Accounts(Arc::clone(&database.accounts)));
    Ok(database)
}
