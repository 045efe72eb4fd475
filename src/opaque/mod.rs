//! Opaque tokens: refresh tokens, and handles that stand for access tokens which never leave the
//! server. Kept by their digest, each tied to the session that it lives and dies with.

mod cookies;
mod record;
mod store;
mod watched;

pub use cookies::{CookiePair, cookie_of_user, names_user};
pub use record::{OpaqueToken, TokenDigest, TokenKind, generate};
pub use store::{Exchange, OpaqueStore};
pub use watched::{TokenMark, WatchedStore};
