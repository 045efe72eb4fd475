//! Opaque tokens: refresh tokens, and handles that stand for access tokens which never leave the
//! server. Kept by their digest, each tied to the session that it lives and dies with. Every store
//! is an [`OpaqueStore`] and passes one contract suite, `tests/it/opaque_store.rs`.

pub mod memory;
mod cookies;
mod record;
pub mod redis;
pub mod sqlite;
mod store;
mod tokens;

pub use memory::MemoryOpaque;
mod watched;

pub use cookies::{CookiePair, cookie_of_user, names_user};
pub use record::{OpaqueToken, TokenDigest, TokenKind, generate};
pub use redis::RedisOpaque;
pub use sqlite::SqliteOpaque;
pub use store::{Exchange, OpaqueStore};
pub use tokens::Tokens;
pub use watched::{TokenMark, WatchedStore};
