//! Opaque tokens: refresh tokens, and handles that stand for access tokens which never leave the
//! server. Kept by their digest, each tied to the session that it lives and dies with. Every store
//! is an [`OpaqueStore`] and passes one contract suite, `tests/it/opaque_store.rs`.

mod cookies;
mod marks;
pub mod memcached;
pub mod memory;
mod record;
pub mod redis;
mod seen;
pub mod sqlite;
mod store;
mod tokens;

pub use cookies::{CookiePair, cookie_of_user, names_user};
pub use marks::TokenMark;
pub use memcached::MemcachedOpaque;
pub use memory::MemoryOpaque;
pub use record::{OpaqueToken, PRIVATE_CLAIMS, TokenDigest, TokenKind, generate, is_generated};
pub use redis::RedisOpaque;
pub use sqlite::SqliteOpaque;
pub use store::{Exchange, OpaqueStore};
pub use tokens::Tokens;
