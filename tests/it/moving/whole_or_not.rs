//! Imports that are broken off in the middle: nothing of them is there, and repeated they end right.

use serde_json::{Value, json};
use sqlx::Connection as _;

use super::{accounts, accounts_file, import, in_sqlite, line};
use crate::support::PATIENCE;
use crate::support::postgres::PostgresServer;
use crate::support::process::Running;
use crate::support::realm::Realm;
use crate::support::topology::runtime;

/// The number of lines of an import.
const MANY: usize = 200;

fn lines() -> Vec<Value> {
    (0..MANY).map(|n| line(&format!("u{n:03}"), &format!("user{n:03}"))).collect()
}

#[test]
fn a_store_that_fails_in_the_middle_has_nothing_of_it() {
    let realm = Realm::hashing_little();
    realm.ask(&["user", "add", "carol", "--id", "c1", "--no-password"]);
    let before = accounts(&realm);
    let file = accounts_file(&realm);
    in_sqlite(
        &file,
        "CREATE TRIGGER fails BEFORE INSERT ON users WHEN new.id = 'u150' \
         BEGIN SELECT RAISE(ABORT, 'the disk is broken'); END",
    );
    let text: String = lines().iter().map(|line| format!("{line}\n")).collect();
    let ended = realm.exits(69, &["import", "users", "-"], &text);
    assert!(ended.errors.contains("the disk is broken"), "{}", ended.errors);
    assert_eq!(accounts(&realm), before);
    assert!(realm.events().iter().all(|event| event["event"] != "imported"));
    in_sqlite(&file, "DROP TRIGGER fails");
    assert_eq!(import(&realm, 0, &[], &lines())["users"]["new"], MANY);
    assert_eq!(accounts(&realm).0.len(), MANY + 1);
}

#[test]
fn a_name_that_is_taken_between_plan_and_deed_imports_nobody() {
    let realm = Realm::hashing_little();
    realm.ask(&["user", "list"]);
    // Somebody signs up in the middle.
    in_sqlite(
        &accounts_file(&realm),
        "CREATE TRIGGER sign_up AFTER INSERT ON users WHEN new.id = 'u100' BEGIN \
         INSERT INTO login_names (canonical, user_id) VALUES ('user150', new.id); END",
    );
    let text: String = lines().iter().map(|line| format!("{line}\n")).collect();
    let ended = realm.exits(1, &["import", "users", "-"], &text);
    assert!(ended.errors.contains("changed meanwhile"), "{}", ended.errors);
    assert!(accounts(&realm).0.is_empty());
}

/// An import that waits in the middle, for a name that another transaction has, is killed there.
#[test]
fn an_import_that_is_killed_in_the_middle_left_nothing_and_is_repeated() {
    let Some(server) = PostgresServer::shared() else { return };
    let url = server.database();
    let realm = Realm::hashing_little().with("ACCOUNTS_URL", &url);
    realm.ask(&["user", "add", "carol", "--id", "c1", "--no-password"]);
    let before = accounts(&realm);
    let file = realm.folder().join("users.jsonl");
    let text: String = lines().iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(&file, text).expect("a writable folder");
    runtime().block_on(async {
        let mut other = sqlx::PgConnection::connect(&url).await.expect("a connection");
        let mut held = other.begin().await.expect("a transaction");
        sqlx::query("INSERT INTO login_names (canonical, user_id) VALUES ('user150', 'c1')")
            .execute(&mut *held)
            .await
            .expect("a name");
        let mut command = realm.command(&["import", "users", "users.jsonl"]);
        let mut running = Running::start(&mut command, &realm.folder().join("import.log"));
        let waiting = "SELECT count(*) FROM pg_stat_activity \
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        running.wait_until("the import waits", || server.psql(&url, waiting) == "1");
        running.kill();
        held.rollback().await.expect("rollback");
    });
    // The server notices that its client is gone.
    crate::support::poll("the transaction ends", PATIENCE, || {
        let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
            AND pid <> pg_backend_pid()";
        (server.psql(&url, others) == "0").then_some(())
    });
    assert_eq!(accounts(&realm), before);
    let told = realm.ask_json(&["import", "users", "users.jsonl", "--json"]);
    assert_eq!(told["users"], json!({"new": MANY, "there_already": 0}));
    assert_eq!(accounts(&realm).0.len(), MANY + 1);
    let told = realm.ask_json(&["import", "users", "users.jsonl", "--json"]);
    assert_eq!(told["users"], json!({"new": 0, "there_already": MANY}));
}
