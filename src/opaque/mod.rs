//! Opaque tokens: refresh tokens, and handles that stand for access tokens which never leave the
//! server. Kept by their digest, each tied to the session that it lives and dies with.

mod record;
mod store;

pub use record::{OpaqueToken, TokenDigest, TokenKind, generate};
pub use store::{Exchange, OpaqueStore};
