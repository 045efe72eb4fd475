//! Sessions: what a token's `sid` refers to, and where that is kept.
//!
//! A session is over when it expired, when it was not used for too long, or when it was revoked,
//! alone or with all of its user's. Which of these holds is decided here, by [`Session::ended`]
//! and the clock that is passed in; a store only remembers, it never judges. Every store is a
//! [`SessionStore`] and passes one contract suite, `tests/it/session_store.rs`.

mod batch_loader;
mod binding;
mod device;
mod id;
mod last_seen;
pub mod memcached;
pub mod memory;
mod record;
pub mod redis;
mod sessions;
pub mod sqlite;
mod store;

pub use binding::{NotBound, SessionBinding, ShownClient};
pub use device::{Device, DeviceId, DeviceName, InvalidDevice};
pub use id::{InvalidSessionId, InvalidUserId, SessionId, UserId};
pub use memcached::MemcachedStore;
pub use memory::MemoryStore;
pub use record::{Ended, Session};
pub use redis::RedisStore;
pub use sessions::{NotLive, SessionEpoch, SessionPolicy, Sessions};
pub use sqlite::SqliteStore;
use store::MAX_BATCH;
pub use store::{Filter, FoundSession, InvalidatedRecord, SessionKey, SessionStore};
