//! Accounts: users, their passwords and API keys, and the clients of OAuth.

mod name;
mod record;
mod store;

pub use name::{InvalidLogin, Login};
pub use record::{
    ApiKey, Client, ClientSecret, KeyDigest, SECRET_OVERLAP, User, UserKind, UserState,
};
pub use store::{AccountError, AccountStore};
