//! Restrictions that many processes keep together: a refresh token that was used, an assertion
//! that was seen, attempts that failed. tp-auth's "refresh restrict" database. Every store is a
//! [`RestrictStore`] and passes one contract suite, `tests/it/restrict_store.rs`.

mod arithmetic;
pub mod memcached;
pub mod memory;
mod name;
pub mod redis;
mod restrictions;
pub mod sqlite;
mod store;

pub use memcached::MemcachedRestrict;
pub use memory::MemoryRestrict;
pub use redis::RedisRestrict;
pub use restrictions::Restrictions;
pub use sqlite::SqliteRestrict;
pub use store::{Claim, RestrictStore, Strike};
