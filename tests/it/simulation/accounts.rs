//! Accounts that nobody uses: refreshes in a simulation are of a login by the hook, whose word at login holds.

use async_trait::async_trait;
use portcullis::{
    account::{AccountError, AccountStore, ApiKey, Client, KeyDigest, Login, User, UserState},
    clock::UnixTime,
    secret::Secret,
    session::UserId,
};

/// No accounts.
#[derive(Debug)]
pub struct NoAccounts;

type Answer<T> = Result<T, AccountError>;

fn unused<T>() -> Answer<T> {
    unreachable!("nobody asks for accounts in a simulation")
}

#[async_trait]
impl AccountStore for NoAccounts {
    async fn add_user(&self, _: &User) -> Answer<()> {
        unused()
    }
    async fn user(&self, _: &UserId) -> Answer<Option<User>> {
        unused()
    }
    async fn user_by_login(&self, _: &Login) -> Answer<Option<User>> {
        unused()
    }
    async fn users(&self, _: Option<&UserId>, _: usize) -> Answer<Vec<User>> {
        unused()
    }
    async fn change_user(&self, _: &User) -> Answer<bool> {
        unused()
    }
    async fn set_state(&self, _: &UserId, _: UserState, _: UnixTime) -> Answer<bool> {
        unused()
    }
    async fn set_password(
        &self,
        _: &UserId,
        _: &Secret,
        _: Option<&Secret>,
        _: UnixTime,
    ) -> Answer<bool> {
        unused()
    }
    async fn record_login(&self, _: &UserId, _: UnixTime) -> Answer<()> {
        unused()
    }
    async fn delete_user(&self, _: &UserId) -> Answer<bool> {
        unused()
    }
    async fn add_key(&self, _: &ApiKey) -> Answer<()> {
        unused()
    }
    async fn key(&self, _: &KeyDigest) -> Answer<Option<ApiKey>> {
        unused()
    }
    async fn keys(&self, _: Option<&UserId>, _: usize) -> Answer<Vec<ApiKey>> {
        unused()
    }
    async fn renew_key(&self, _: &KeyDigest, _: Option<UnixTime>) -> Answer<bool> {
        unused()
    }
    async fn record_key_use(&self, _: &str, _: UnixTime) -> Answer<()> {
        unused()
    }
    async fn delete_key(&self, _: &str) -> Answer<bool> {
        unused()
    }
    async fn add_client(&self, _: &Client) -> Answer<()> {
        unused()
    }
    async fn client(&self, _: &str) -> Answer<Option<Client>> {
        unused()
    }
    async fn clients(&self) -> Answer<Vec<Client>> {
        unused()
    }
    async fn change_client(&self, _: &Client) -> Answer<bool> {
        unused()
    }
    async fn delete_client(&self, _: &str) -> Answer<bool> {
        unused()
    }
    async fn ping(&self) -> Answer<()> {
        unused()
    }
}
