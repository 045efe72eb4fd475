//! Opaque tokens: refresh tokens, and handles that stand for access tokens which never leave the
//! server. Kept by their digest, each tied to the session that it lives and dies with. Every store
//! is an [`OpaqueTokenStore`] and passes one contract suite, `tests/it/opaque_store.rs`.

mod cookies;
mod digest_cache;
pub mod memcached;
pub mod memory;
mod record;
pub mod redis;
pub mod sqlite;
mod store;
mod successors;
mod tickets;
mod tokens;

pub use cookies::{CookiePair, cookie_of_user, names_user};
pub use memcached::MemcachedTokenStore;
pub use memory::MemoryTokenStore;
pub use record::{
    OpaqueToken, PRIVATE_CLAIMS, TokenDigest, TokenEpoch, TokenKind, generate, is_generated,
};
pub use redis::RedisTokenStore;
pub use sqlite::SqliteTokenStore;
pub use store::{OpaqueTokenStore, Rotation};
pub use tickets::{TICKET_PREFIX, Ticket, TicketError, Tickets};
pub use tokens::Tokens;
