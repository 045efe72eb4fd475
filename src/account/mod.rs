//! Accounts: users, their passwords and API keys, and the clients of OAuth.

mod name;
mod named;
pub mod password;
pub mod policy;
mod record;
mod sql;
mod store;

pub use name::{InvalidLogin, Login};
pub use named::{Named, find};
pub use record::{
    ApiKey, Client, ClientSecret, KEY_PREFIX, KeyDigest, SECRET_OVERLAP, User, UserKind, UserState,
};
pub use sql::{PostgresAccounts, SqliteAccounts};
pub use store::{AccountError, AccountStore};
