//! Moving in: the accounts of authnzerver and mdb-engine, as their own code made them, and imports that conflict, are
//! broken off, repeated or only tried.

mod authnzerver;
mod conflicts;
mod mdb_engine;
mod whole_or_not;

use std::path::{Path, PathBuf};

use portcullis::account::{
    AccountStore as _, ApiKey, Login, PostgresAccounts, SqliteAccounts, User,
};
use portcullis::secret::Secret;
use portcullis::store;
use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::support::{in_repository, realm::Realm, topology::runtime};

/// The text of a file beside these tests.
fn fixture(name: &str) -> String {
    std::fs::read_to_string(in_repository("tests/it/moving").join(name)).expect(name)
}

/// Runs SQL in an SQLite file, as whoever owns it would.
fn in_sqlite(path: &Path, sql: &str) {
    runtime().block_on(async {
        let options =
            sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let mut file = sqlx::SqliteConnection::connect_with(&options).await.expect("a file");
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        sqlx::raw_sql(sql).execute(&mut file).await.expect("SQL");
        file.close().await.expect("close");
    });
}

/// The file with the accounts of a realm.
fn accounts_file(realm: &Realm) -> PathBuf {
    realm.folder().join("portcullis.db")
}

/// All users and keys of a realm, by id; none where there is no file.
fn accounts(realm: &Realm) -> (Vec<User>, Vec<ApiKey>) {
    let path = accounts_file(realm);
    if realm.setting("ACCOUNTS_URL").is_none() && !path.exists() {
        return (Vec::new(), Vec::new());
    }
    runtime().block_on(async {
        let (users, keys) = match realm.setting("ACCOUNTS_URL") {
            Some(url) => {
                let options = store::postgres::Options::default();
                let store = PostgresAccounts::open(&Secret::new(url), options).await.expect("open");
                (store.users(None, 1_000).await, store.keys(None, 1_000).await)
            }
            None => {
                let options = crate::support::patient_sqlite();
                let store = SqliteAccounts::open(&path, options).await.expect("open");
                (store.users(None, 1_000).await, store.keys(None, 1_000).await)
            }
        };
        (users.expect("users"), keys.expect("keys"))
    })
}

/// The user of a realm with that username or e-mail.
fn account(realm: &Realm, name: &str) -> User {
    let login = Login::parse(name).expect("a name");
    let named = |user: &User| user.username == login || user.email.as_ref() == Some(&login);
    accounts(realm).0.into_iter().find(named).unwrap_or_else(|| panic!("nobody is {name}"))
}

/// An import from standard input of our own lines.
fn import(realm: &Realm, code: i32, more: &[&str], lines: &[Value]) -> Value {
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    realm.exits(code, &[&["import", "users", "-", "--json"], more].concat(), &lines).json()
}

/// A line of our own.
fn line(id: &str, username: &str) -> Value {
    json!({"id": id, "username": username})
}
