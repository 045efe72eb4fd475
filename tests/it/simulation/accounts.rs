//! Accounts that nobody asks: who refreshes in a simulation came by the hook, whose word at login holds.

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

fn not_asked<T>() -> Answer<T> {
    unreachable!("nobody asks for accounts in a simulation")
}

#[async_trait]
impl AccountStore for NoAccounts {
    async fn add_user(&self, _: &User) -> Answer<()> {
        not_asked()
    }
    async fn user(&self, _: &UserId) -> Answer<Option<User>> {
        not_asked()
    }
    async fn user_by_login(&self, _: &Login) -> Answer<Option<User>> {
        not_asked()
    }
    async fn users(&self, _: Option<&UserId>, _: usize) -> Answer<Vec<User>> {
        not_asked()
    }
    async fn change_user(&self, _: &User) -> Answer<bool> {
        not_asked()
    }
    async fn set_state(&self, _: &UserId, _: UserState, _: UnixTime) -> Answer<bool> {
        not_asked()
    }
    async fn set_password(
        &self,
        _: &UserId,
        _: &Secret,
        _: Option<&Secret>,
        _: UnixTime,
    ) -> Answer<bool> {
        not_asked()
    }
    async fn note_login(&self, _: &UserId, _: UnixTime) -> Answer<()> {
        not_asked()
    }
    async fn delete_user(&self, _: &UserId) -> Answer<bool> {
        not_asked()
    }
    async fn add_key(&self, _: &ApiKey) -> Answer<()> {
        not_asked()
    }
    async fn key(&self, _: &KeyDigest) -> Answer<Option<ApiKey>> {
        not_asked()
    }
    async fn keys(&self, _: Option<&UserId>, _: usize) -> Answer<Vec<ApiKey>> {
        not_asked()
    }
    async fn renew_key(&self, _: &KeyDigest, _: Option<UnixTime>) -> Answer<bool> {
        not_asked()
    }
    async fn note_key_use(&self, _: &str, _: UnixTime) -> Answer<()> {
        not_asked()
    }
    async fn delete_key(&self, _: &str) -> Answer<bool> {
        not_asked()
    }
    async fn add_client(&self, _: &Client) -> Answer<()> {
        not_asked()
    }
    async fn client(&self, _: &str) -> Answer<Option<Client>> {
        not_asked()
    }
    async fn clients(&self) -> Answer<Vec<Client>> {
        not_asked()
    }
    async fn change_client(&self, _: &Client) -> Answer<bool> {
        not_asked()
    }
    async fn delete_client(&self, _: &str) -> Answer<bool> {
        not_asked()
    }
    async fn ping(&self) -> Answer<()> {
        not_asked()
    }
    fn describe(&self) -> String {
        "none".to_owned()
    }
}
