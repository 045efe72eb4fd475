//! Leases and limits that many processes keep together: a refresh token that is being rotated, an
//! assertion that was seen, attempts that failed. tp-auth's "refresh restrict" database. Every
//! store is a [`LimitStore`] and passes one contract suite, `tests/it/limit_store.rs`.

mod arithmetic;
mod limits;
pub mod memcached;
pub mod memory;
mod name;
pub mod redis;
pub mod sqlite;
mod store;

pub use limits::Limits;
pub use memcached::MemcachedLimitStore;
pub use memory::MemoryLimitStore;
pub use redis::RedisLimitStore;
pub use sqlite::SqliteLimitStore;
pub use store::{Attempt, Lease, LimitStore};
