//! Tests of SQLite beyond the contract: damage, locks, and a file that goes away.

use portcullis::account::{AccountError, AccountStore as _, SqliteAccounts, User, UserState};
use portcullis::session::sqlite::SqliteStore;

use super::{at, client, id, key, login, names, open_sqlite, user, whole_user};
use crate::support::stores;

#[tokio::test]
async fn a_damaged_record_is_named_and_hides_no_other() {
    for (damage, what) in [
        ("UPDATE users SET claims = 'no json' WHERE id = 'bad'", "user"),
        ("UPDATE users SET claims = '[]' WHERE id = 'bad'", "user"),
        ("UPDATE users SET roles = '{}' WHERE id = 'bad'", "user"),
        ("UPDATE users SET scopes = '[1]' WHERE id = 'bad'", "user"),
        ("UPDATE users SET kind = 'robot' WHERE id = 'bad'", "user"),
        ("UPDATE users SET state = '' WHERE id = 'bad'", "user"),
        ("UPDATE users SET username = '' WHERE id = 'bad'", "user"),
        ("UPDATE users SET email = '' WHERE id = 'bad'", "user"),
        ("UPDATE users SET created = -1 WHERE id = 'bad'", "user"),
        ("UPDATE users SET last_login = -1 WHERE id = 'bad'", "user"),
        ("UPDATE users SET full_name = CAST(x'ff' AS TEXT) WHERE id = 'bad'", "user"),
        ("UPDATE api_keys SET scopes = 'x' WHERE id = 'bad'", "API key"),
        ("UPDATE api_keys SET expires = -1 WHERE id = 'bad'", "API key"),
        ("UPDATE api_keys SET address = 'somewhere' WHERE id = 'bad'", "API key"),
        ("UPDATE api_keys SET session = '' WHERE id = 'bad'", "API key"),
        ("UPDATE api_keys SET refresh_digest = 'x' WHERE id = 'bad'", "API key"),
        ("UPDATE clients SET secrets = '[{}]' WHERE id = 'bad'", "client"),
        ("UPDATE clients SET jwks = 'x' WHERE id = 'bad'", "client"),
        ("UPDATE clients SET grants = 'x' WHERE id = 'bad'", "client"),
    ] {
        let folder = tempfile::tempdir().expect("folder");
        let store = open_sqlite(folder.path()).await;
        for name in ["bad", "good"] {
            let named = whole_user(name);
            let named = User { username: login(name), email: None, ..named };
            store.add_user(&named).await.expect("user");
            store.add_client(&client(name)).await.expect("client");
        }
        for name in ["bad", "good"] {
            store.add_key(&key(name, "good", 2)).await.expect("key");
        }
        let raw = stores::raw_sqlite(folder.path()).await;
        sqlx::raw_sql(damage).execute(&raw).await.expect(damage);
        let (found, listed) = match what {
            "user" => (
                store.user(&id("bad")).await.map(drop),
                store.users(None, 9).await.expect("users").len(),
            ),
            "client" => {
                (store.client("bad").await.map(drop), store.clients().await.expect("clients").len())
            }
            _ => (
                store.key(&key("bad", "good", 2).digest).await.map(drop),
                store.keys(None, 9).await.expect("keys").len(),
            ),
        };
        let is_named = |error: &AccountError| matches!(error, AccountError::Corrupt { what: w, id, .. } if *w == what && id == "bad");
        assert!(found.as_ref().is_err_and(is_named), "{damage}: {found:?}");
        assert_eq!(listed, 1, "{damage}");
        raw.close().await;
    }
}

#[tokio::test]
async fn a_locked_file_is_read_and_times_out_on_writing() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join(stores::FILE);
    let store = SqliteAccounts::open(&file, stores::hasty_sqlite()).await.expect("open");
    store.add_user(&user("alice")).await.expect("add");
    let raw = stores::raw_sqlite(folder.path()).await;
    let lock = raw.begin_with("BEGIN IMMEDIATE").await.expect("lock");
    assert_eq!(store.add_user(&user("bob")).await, Err(AccountError::TimedOut));
    let locked = store.set_state(&id("alice"), UserState::Locked, at(1)).await;
    assert_eq!(locked, Err(AccountError::TimedOut));
    assert!(store.user(&id("alice")).await.expect("user").is_some());
    lock.rollback().await.expect("rollback");
    store.add_user(&user("bob")).await.expect("add");
    let listed = store.users(None, 9).await.expect("users");
    assert_eq!(names(&listed), ["alice", "bob"]);
}

#[tokio::test]
async fn a_file_that_was_deleted_or_replaced_answers_nobody() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open_sqlite(folder.path()).await;
    store.add_user(&user("alice")).await.expect("add");
    let file = folder.path().join(stores::FILE);
    let copy = folder.path().join("copy.db");
    std::fs::copy(&file, &copy).expect("copy");
    std::fs::rename(&copy, &file).expect("rename");
    for _ in 0..2 {
        for outcome in [
            store.user(&id("alice")).await.map(drop),
            store.add_user(&user("bob")).await,
            store.ping().await,
        ] {
            assert!(matches!(outcome, Err(AccountError::Unavailable(_))), "{outcome:?}");
        }
        let _ = std::fs::remove_file(&file);
    }
}

#[tokio::test]
async fn accounts_and_sessions_share_a_file() {
    let folder = tempfile::tempdir().expect("folder");
    let sessions = SqliteStore::new(stores::sqlite(folder.path()).await);
    let store = open_sqlite(folder.path()).await;
    store.add_user(&user("alice")).await.expect("add");
    let listing = portcullis::session::Filter::default();
    let listed = portcullis::session::SessionStore::list(&sessions, &listing, 9).await;
    assert_eq!(listed, Ok(Vec::new()));
}
