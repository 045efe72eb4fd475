//! The parts that all stores share: access to a database, and the guard between it and the program.
//!
//! A folder or file for each database ([`sqlite`], [`redis`], [`memcached`], [`postgres`]): files
//! and their modes, schemas, connections, timeouts, TLS. Beside them the one [`StoreError`], the
//! deadline and circuit breaker in front of any store (`GuardedStore`), its metrics, changes by
//! others ([`invalidation`]), the epochs of records ([`EpochTable`]), by which a cache knows what is
//! outdated, and small records that are changed by comparison ([`records`]).
//!
//! Nothing here knows the content of records; their modules do. No error of this module holds a
//! password.

mod circuit_breaker;
mod epoch;
mod error;
mod fields;
mod guarded;
pub mod invalidation;
mod json_record;
pub mod memcached;
pub mod metrics;
pub mod postgres;
pub mod records;
pub mod redis;
mod schema;
pub mod sqlite;

pub(crate) use circuit_breaker::{CircuitBreaker, Priority};
pub use epoch::{Epoch, EpochStatus, EpochTable};
pub use error::{Failure, StoreError};
pub(crate) use fields::claims_text;
pub use fields::{BadField, Fields, Hash};
pub use guarded::CHANGE_TIMEOUT;
pub(crate) use guarded::GuardedStore;
pub(crate) use json_record::JsonRecord;
pub(crate) use metrics::Operation;
pub use metrics::{StoreKind, StoreMetrics};
pub use schema::NewerSchema;
