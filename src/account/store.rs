//! The trait of all stores of accounts.

use std::fmt::Debug;

use async_trait::async_trait;

use super::name::Login;
use super::record::{ApiKey, Client, KeyDigest, SentMail, User, UserState};
use crate::clock::UnixTime;
use crate::secret::Secret;
use crate::session::UserId;

/// A store of accounts. Every write is one statement or one transaction.
#[async_trait]
pub trait AccountStore: Send + Sync + Debug {
    /// Adds a user.
    ///
    /// # Errors
    /// [`AccountError::Taken`] where its id, username or e-mail is in use; an e-mail must not be
    /// another user's username either.
    async fn add_user(&self, user: &User) -> Result<(), AccountError>;

    /// The user of that id.
    async fn user(&self, id: &UserId) -> Result<Option<User>, AccountError>;

    /// The user who logs in with that username or e-mail.
    async fn user_by_login(&self, login: &Login) -> Result<Option<User>, AccountError>;

    /// At most `limit` users after that id, by id.
    async fn users(&self, after: Option<&UserId>, limit: usize) -> Result<Vec<User>, AccountError>;

    /// Replaces the user with its id, except for the password and the times that are only noted:
    /// `created`, `last_login`, those of mails. It does so only where `updated` is still `read`, so
    /// that nobody undoes what another has changed meanwhile. Returns whether it did.
    async fn change_user(&self, user: &User, read: UnixTime) -> Result<bool, AccountError>;

    /// Locks or unlocks. Returns whether there is such a user.
    async fn set_state(
        &self,
        id: &UserId,
        state: UserState,
        at: UnixTime,
    ) -> Result<bool, AccountError>;

    /// Sets the hash of the password. With `instead_of`, only where that hash is still stored: a
    /// re-hash at login must not undo a change of the password. Returns whether it was set.
    async fn set_password(
        &self,
        id: &UserId,
        hash: &Secret,
        instead_of: Option<&Secret>,
        at: UnixTime,
    ) -> Result<bool, AccountError>;

    /// Records the time of a login.
    async fn record_login(&self, id: &UserId, at: UnixTime) -> Result<(), AccountError>;

    /// Records the time at which a mail was sent to the user; it never moves back.
    async fn record_sent(
        &self,
        id: &UserId,
        mail: SentMail,
        at: UnixTime,
    ) -> Result<(), AccountError>;

    /// Deletes a user and its API keys. Returns whether there was one.
    async fn delete_user(&self, id: &UserId) -> Result<bool, AccountError>;

    /// The next number for the id of a user, higher than every id of at most 15 digits that a user has or
    /// had, however it was made. Nobody is ever given it again.
    async fn next_user_number(&self) -> Result<u64, AccountError>;

    /// Adds an API key.
    ///
    /// # Errors
    /// [`AccountError::Taken`] where the id or the digest is there; [`AccountError::NoSuchUser`].
    async fn add_key(&self, key: &ApiKey) -> Result<(), AccountError>;

    /// The API key of that digest, expired or not.
    async fn key(&self, digest: &KeyDigest) -> Result<Option<ApiKey>, AccountError>;

    /// The API key of that id, expired or not.
    async fn key_by_id(&self, id: &str) -> Result<Option<ApiKey>, AccountError>;

    /// The API key that this refresh token was made for, also where another took its place.
    async fn key_by_refresh(&self, digest: &KeyDigest) -> Result<Option<ApiKey>, AccountError>;

    /// At most `limit` API keys, newest first; of one user or of all. A key that another took the
    /// place of is none of them.
    async fn keys(&self, user: Option<&UserId>, limit: usize) -> Result<Vec<ApiKey>, AccountError>;

    /// Moves the end of a key. Returns whether there is such a key.
    async fn renew_key(
        &self,
        digest: &KeyDigest,
        expires: Option<UnixTime>,
    ) -> Result<bool, AccountError>;

    /// Records the time of a use; it never moves back.
    async fn record_key_use(&self, id: &str, at: UnixTime) -> Result<(), AccountError>;

    /// Puts `key` in the place of the one of that id, where no other did so before. Returns whether
    /// it did; else nothing was changed.
    ///
    /// # Errors
    /// As [`add_key`](Self::add_key).
    async fn replace_key(&self, old: &str, key: &ApiKey) -> Result<bool, AccountError>;

    /// Deletes a key by its id, and all that were refreshed from one with it, also one that is being
    /// refreshed at this moment. Returns whether there was one.
    async fn delete_key(&self, id: &str) -> Result<bool, AccountError>;

    /// Deletes all keys of a user. Returns the number of those that no other had taken the place of.
    async fn delete_keys(&self, user: &UserId) -> Result<u64, AccountError>;

    /// Deletes keys that are of no use to anybody: those that another took the place of, and those
    /// that were bound to a session, where they and their refresh tokens ended before that time.
    /// Returns their number.
    async fn purge_keys(&self, ended_before: UnixTime) -> Result<u64, AccountError>;

    /// Adds users and API keys, which may be many: all of them, or none. Calls `added` after each.
    ///
    /// # Errors
    /// [`AccountError::Taken`] where an id, a name or a key is in use; [`AccountError::NoSuchUser`].
    async fn import(
        &self,
        users: &[User],
        keys: &[ApiKey],
        added: &mut (dyn FnMut() + Send),
    ) -> Result<(), AccountError>;

    /// Adds a client.
    ///
    /// # Errors
    /// [`AccountError::Taken`] where its id is there.
    async fn add_client(&self, client: &Client) -> Result<(), AccountError>;

    /// The client of that id.
    async fn client(&self, id: &str) -> Result<Option<Client>, AccountError>;

    /// All clients, by id.
    async fn clients(&self) -> Result<Vec<Client>, AccountError>;

    /// Replaces the client with its id. Returns whether there was one.
    async fn change_client(&self, client: &Client) -> Result<bool, AccountError>;

    /// Deletes a client. Returns whether there was one.
    async fn delete_client(&self, id: &str) -> Result<bool, AccountError>;

    /// Checks whether the store answers.
    async fn ping(&self) -> Result<(), AccountError>;

    /// Closes the store at the end of the process.
    async fn close(&self) {}
}

/// The reason why a store did not do what it was asked. None of these holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// It could not be reached, or refused.
    #[error("the account store is unavailable: {0}")]
    Unavailable(String),
    /// It did not answer in time. The change may or may not have happened.
    #[error("the account store did not answer in time")]
    TimedOut,
    /// There is a record whose content cannot be trusted.
    #[error("the stored {what} {id} cannot be read: {reason}")]
    Corrupt {
        /// A user, a key or a client.
        what: &'static str,
        /// Its id.
        id: String,
        /// The problem; never its content.
        reason: String,
    },
    /// The name is in use already.
    #[error("this {0} is taken")]
    Taken(&'static str),
    /// There is no such user to give the key to.
    #[error("there is no such user")]
    NoSuchUser,
}
