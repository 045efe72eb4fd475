//! Users, API keys, clients and imports on the command line.

mod audit;
mod ending;
mod import;
mod keys_and_clients;
mod users;

use std::sync::Arc;

use portcullis::account::password::{Checked, HashConfig, Passwords};
use portcullis::account::{
    AccountStore as _, ApiKey, Client, KeyDigest, Login, SqliteAccounts, User,
};
use portcullis::secret::{Secret, SystemRandom};
use serde_json::Value;

use crate::support::postgres::PostgresServer;
use crate::support::realm::Realm;
use crate::support::topology::runtime;

const GOOD: &str = "curiouser and curiouser";

fn in_store<T>(realm: &Realm, ask: impl AsyncFnOnce(SqliteAccounts) -> T) -> T {
    runtime().block_on(async {
        let path = realm.folder().join("portcullis.db");
        let options = crate::support::patient_sqlite();
        ask(SqliteAccounts::open(&path, options).await.expect("open")).await
    })
}

fn stored_user(realm: &Realm, login: &str) -> User {
    let login = Login::parse(login).expect("a login");
    in_store(realm, async |store| store.user_by_login(&login).await.expect("user"))
        .expect("there is such a user")
}

fn stored_key(realm: &Realm, key: &str) -> Option<ApiKey> {
    let digest = KeyDigest::of(&Secret::new(key));
    in_store(realm, async |store| store.key(&digest).await.expect("key"))
}

fn stored_client(realm: &Realm, id: &str) -> Client {
    in_store(realm, async |store| store.client(id).await.expect("client")).expect("a client")
}

fn check(user: &User, password: &str) -> Checked {
    let config = HashConfig { memory_kib: 64, passes: 1, lanes: 1, threads: 1, queue: 1 };
    let passwords = Passwords::new(config, Arc::new(SystemRandom)).expect("valid parameters");
    let password = Secret::new(password);
    let checked = passwords.check(&password, user.password.as_ref());
    runtime().block_on(checked).expect("an answer")
}

#[test]
fn accounts_in_postgresql_are_looked_after_by_the_same_commands() {
    let Some(server) = PostgresServer::shared() else { return };
    let realm = Realm::hashing_little().with("ACCOUNTS_URL", &server.database());
    let id = realm.exits(0, &["user", "add", "alice"], GOOD).printed;
    let key = realm.ask(&["apikey", "add", "alice"]);
    assert!(key.starts_with("pk_"));
    realm.ask(&["client", "add", "app"]);
    let listed = realm.ask_json(&["user", "list", "--json"]);
    assert_eq!(listed[0]["id"], id);
    realm.ask(&["user", "lock", "alice"]);
    let shown = realm.ask_json(&["user", "show", "alice", "--json"]);
    assert_eq!(shown["state"], "locked");
}

/// The lines of the audit log, without their times.
fn audited(realm: &Realm) -> Vec<Value> {
    let untimed = |mut line: Value| {
        let time = line.as_object_mut().expect("an object").remove("time").expect("a time");
        assert!(time.as_str().expect("a text").starts_with("20"), "{time}");
        line
    };
    realm.events().into_iter().map(untimed).collect()
}
