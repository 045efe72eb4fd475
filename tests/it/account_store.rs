//! The contract of every account store, and what each has to show beyond it.
//!
//! A case of the contract is written once and runs against an SQLite file and a real PostgreSQL.

mod contract;
mod postgres;
mod rules;
mod sqlite;

use std::path::Path;

use portcullis::account::{
    AccountStore, ApiKey, Client, ClientSecret, KeyDigest, Login, PostgresAccounts, SqliteAccounts,
    User, UserKind, UserState,
};
use portcullis::clock::UnixTime;
use portcullis::secret::Secret;
use portcullis::session::UserId;
use portcullis::store;
use serde_json::json;

use crate::support::stores;

type Fixture = stores::Fixture<dyn AccountStore>;

/// Some moment; all times of these tests are milliseconds around it.
const T: u64 = 1_800_000_000_000;

fn at(offset: u64) -> UnixTime {
    UnixTime::from_millis(T + offset)
}

fn id(text: &str) -> UserId {
    UserId::parse(text).expect(text)
}

fn login(text: &str) -> Login {
    Login::parse(text).expect(text)
}

fn secret(text: &str) -> Secret {
    Secret::new(text)
}

/// A user with nothing but a name, which is its id too.
fn user(name: &str) -> User {
    User::new(id(name), login(name), at(0))
}

/// A user with everything that a user can have.
fn whole_user(name: &str) -> User {
    let claims = json!({
        "": "", "float": 0.1, "max": u64::MAX, "min": i64::MIN, "none": null, "yes": true,
        "nested": {"a": [1, [2, {"b": []}]]}, "quotes \" ' \\ $1 ?1": "'; DROP TABLE users; --",
        "名前": "Jürgen 🦀\u{0}\n",
    });
    User {
        username: login("Jürgen O'Neil"),
        email: Some(login("J.ONeil@Example.com")),
        email_verified: true,
        full_name: Some("Jürgen \"$1\" O'Neil\t名".to_owned()),
        kind: UserKind::Service,
        state: UserState::Locked,
        roles: vec!["staff".to_owned(), "a,b \"c\"".to_owned()],
        scopes: vec!["user:read".to_owned(), "user:write".to_owned()],
        properties: json!({"theme": "dark", "roles": ["no claim"]})
            .as_object()
            .expect("it")
            .clone(),
        claims: claims.as_object().expect("an object").clone(),
        password: Some(secret("$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA")),
        created: at(1),
        updated: at(2),
        last_login: Some(at(3)),
        verification_sent: Some(at(4)),
        reset_sent: Some(at(5)),
        ..user(name)
    }
}

fn key(name: &str, owner: &str, created: u64) -> ApiKey {
    ApiKey::new(name.to_owned(), id(owner), KeyDigest::of(&secret(name)), at(created))
}

fn client(name: &str) -> Client {
    Client {
        id: name.to_owned(),
        label: Some("The $1 app".to_owned()),
        secrets: vec![
            ClientSecret { digest: KeyDigest::of(&secret("old")), expires: Some(at(9)) },
            ClientSecret { digest: KeyDigest::of(&secret("new")), expires: None },
        ],
        jwks: Some(json!({"keys": [{"kty": "EC", "x": "é"}]})),
        grants: vec!["client_credentials".to_owned()],
        scopes: vec!["user:read".to_owned()],
        audiences: vec!["https://api.example.com".to_owned()],
        introspects: true,
        created: at(1),
    }
}

fn names(users: &[User]) -> Vec<&str> {
    users.iter().map(|user| user.id.as_str()).collect()
}

fn key_names(keys: &[ApiKey]) -> Vec<&str> {
    keys.iter().map(|key| key.id.as_str()).collect()
}

async fn open_sqlite(folder: &Path) -> SqliteAccounts {
    SqliteAccounts::new(stores::sqlite(folder).await, crate::support::PATIENCE)
}

async fn open_postgres(url: &str) -> PostgresAccounts {
    let options = store::postgres::Options::default();
    PostgresAccounts::open(&secret(url), options).await.expect("open")
}

impl Fixture {
    async fn add(&self, user: &User) {
        self.store.add_user(user).await.expect("add");
    }

    async fn user(&self, name: &str) -> Option<User> {
        self.store.user(&id(name)).await.expect("user")
    }

    async fn by_login(&self, name: &str) -> Option<String> {
        let found = self.store.user_by_login(&login(name)).await.expect("user");
        found.map(|user| user.id.as_str().to_owned())
    }
}
