//! Accounts: the calls of a store counted, and a store that nobody calls.

use async_trait::async_trait;
use portcullis::{
    account::{
        AccountError, AccountStore, ApiKey, Client, KeyDigest, Login, RoleGroup, RuleSet,
        RuleStore, SentMail, StoredRule, User, UserState,
    },
    clock::UnixTime,
    secret::Secret,
    session::UserId,
};

use super::FaultyStore;

/// Hands all methods of the trait that a caller may see fail to a macro.
macro_rules! account_methods {
    ($implement:ident) => {
        $implement! {
            add_user(user: &User) -> ();
            user(id: &UserId) -> Option<User>;
            user_by_login(login: &Login) -> Option<User>;
            users(after: Option<&UserId>, limit: usize) -> Vec<User>;
            change_user(user: &User, read: UnixTime) -> bool;
            set_state(id: &UserId, state: UserState, at: UnixTime) -> bool;
            set_password(id: &UserId, hash: &Secret, old: Option<&Secret>, at: UnixTime) -> bool;
            record_login(id: &UserId, at: UnixTime) -> ();
            record_sent(id: &UserId, mail: SentMail, at: UnixTime) -> ();
            delete_user(id: &UserId) -> bool;
            next_user_number() -> u64;
            add_key(key: &ApiKey) -> ();
            key(digest: &KeyDigest) -> Option<ApiKey>;
            key_by_id(id: &str) -> Option<ApiKey>;
            key_by_refresh(digest: &KeyDigest) -> Option<ApiKey>;
            keys(user: Option<&UserId>, limit: usize) -> Vec<ApiKey>;
            renew_key(digest: &KeyDigest, expires: Option<UnixTime>) -> bool;
            record_key_use(id: &str, at: UnixTime) -> ();
            replace_key(old: &str, key: &ApiKey) -> bool;
            delete_key(id: &str) -> bool;
            delete_keys(user: &UserId) -> u64;
            purge_keys(ended_before: UnixTime) -> u64;
            import(users: &[User], keys: &[ApiKey], added: &mut (dyn FnMut() + Send)) -> ();
            add_client(client: &Client) -> ();
            client(id: &str) -> Option<Client>;
            clients() -> Vec<Client>;
            change_client(client: &Client) -> bool;
            delete_client(id: &str) -> bool;
        }
    };
}

macro_rules! counted {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl<S: AccountStore> AccountStore for FaultyStore<S> {
            $(async fn $name(&self, $($argument: $type),*) -> Result<$answer, AccountError> {
                self.faults.call(stringify!($name), self.inner.$name($($argument),*)).await
            })*
            async fn ping(&self) -> Result<(), AccountError> {
                self.inner.ping().await
            }
            async fn close(&self) {
                self.inner.close().await;
            }
        }
    };
}

/// No accounts: refreshes in a simulation are of a login by the hook, whose word at login holds.
#[derive(Debug)]
pub struct NoAccounts;

macro_rules! never_called {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl AccountStore for NoAccounts {
            $(async fn $name(&self, $(_: $type),*) -> Result<$answer, AccountError> {
                unreachable!("nobody asks for accounts")
            })*
            async fn ping(&self) -> Result<(), AccountError> {
                unreachable!("nobody asks for accounts")
            }
        }
    };
}

#[async_trait]
impl RuleStore for NoAccounts {
    async fn rules_version(&self) -> Result<u64, AccountError> {
        unreachable!("nobody asks for rules")
    }
    async fn rules(&self) -> Result<RuleSet, AccountError> {
        unreachable!("nobody asks for rules")
    }
    async fn add_rules(&self, _: &[StoredRule]) -> Result<u64, AccountError> {
        unreachable!("nobody asks for rules")
    }
    async fn remove_rules(&self, _: &[StoredRule]) -> Result<u64, AccountError> {
        unreachable!("nobody asks for rules")
    }
    async fn role_groups(&self) -> Result<Vec<RoleGroup>, AccountError> {
        unreachable!("nobody asks for roles")
    }
}

account_methods! { counted }
account_methods! { never_called }
