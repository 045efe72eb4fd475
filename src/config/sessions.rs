//! Sessions: where they are, and for how long what was read of them is believed.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::Reader;
use super::settings;
use super::store::{self, StoreConfig};
use crate::gate::cached_decision::CacheConfig;
use crate::gate::service::AccessLog;
use crate::session::SessionPolicy;

/// The sessions' section.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// The store.
    pub store: StoreConfig,
    /// The folder that may be made for them.
    pub data_dir: PathBuf,
    /// The rules by which they are read.
    pub policy: SessionPolicy,
}

pub(super) fn read(reader: &mut Reader<'_>) -> (SessionConfig, CacheConfig) {
    let inactivity = reader.get(settings::SESSION_INACTIVITY_TIMEOUT);
    let inactivity = (!inactivity.is_zero()).then_some(inactivity);
    let staleness = reader.get(settings::SESSION_STALENESS);
    // The store learns that a session is in use when it is read, which a long staleness delays.
    if inactivity.is_some_and(|limit| staleness.saturating_mul(10) > limit) {
        reader.wrong(
            settings::SESSION_STALENESS,
            "is more than a tenth of SESSION_INACTIVITY_TIMEOUT: sessions in use would seem idle",
        );
    }
    let timeout = reader.get(settings::STORE_TIMEOUT);
    let bytes = reader.get(settings::CACHE_BYTES);
    let is_logged = reader.get(settings::ACCESS_LOG) == AccessLog::All;
    let remembers_heads = reader.get(settings::HOT_LOOP) && !is_logged;
    let stale_if_error = reader.get(settings::SESSION_STORE_DOWN).unwrap_or(staleness);
    let suspect_when_down = stale_if_error < staleness;
    let binding = reader.get(settings::SESSION_BINDING);
    let policy =
        SessionPolicy { inactivity, timeout, records_use: true, binding, suspect_when_down };
    let store = store::read(reader);
    if store.is_behind_sentinels() && staleness < Duration::from_secs(1) {
        reader.wrong(
            settings::SESSION_STALENESS,
            "is less than a second: so late it may be known behind sentinels that the master is \
             another one",
        );
    }
    // A handle and its session are two questions, and no gateway waits for twice the time.
    let store_timeout = timeout.mul_f64(1.2);
    let data_dir = reader.get(settings::DATA_DIR);
    (
        SessionConfig { store, data_dir, policy },
        CacheConfig { staleness, stale_if_error, store_timeout, bytes, remembers_heads },
    )
}
