//! mdb-engine's users, from documents that its own code made (0.15.1, with bcrypt 5.0.0).

use portcullis::account::UserState;
use serde_json::{Value, json};

use super::{account, accounts, fixture};
use crate::support::in_repository;
use crate::support::issuer::Issuer;
use crate::support::realm::Realm;

const SHARED: &str = "mdb-engine-shared.json";
const OF_AN_APP: &str = "mdb-engine-users.json";
const SESSIONS: &str = "mdb-engine-sessions.json";

/// The path of a file beside these tests.
fn path(name: &str) -> String {
    in_repository("tests/it/moving").join(name).display().to_string()
}

fn import(realm: &Realm, files: &[&str]) -> Value {
    realm.ask_json(&[&["import", "mdb-engine", "--json"], files].concat())
}

#[test]
fn users_of_an_application_and_shared_ones_are_taken_over_and_sessions_are_told() {
    let realm = Realm::hashing_little();
    let files = [SHARED, OF_AN_APP, SESSIONS].map(path);
    let files = files.each_ref().map(String::as_str);
    let told = import(&realm, &files);
    assert_eq!(told["users"], json!({"new": 6, "there_already": 0}));
    let [sessions] = &told["left_out"].as_array().expect("a list")[..] else { panic!("{told}") };
    assert!(
        sessions["what"].as_str().expect("a text").starts_with("active sessions: people log in")
    );
    assert_eq!((&sessions["count"], &told["conflicts"]), (&json!(1), &json!([])));
    let of_apps = account(&realm, "member00003@example.net");
    assert_eq!(of_apps.id.as_str(), "6b091a3822c515297a767d29");
    assert_eq!(of_apps.roles, ["shop:viewer", "wiki:editor", "wiki:admin"]);
    assert_eq!(of_apps.full_name.as_deref(), Some("Name 3"));
    assert_eq!(Value::Object(of_apps.properties), json!({"phone": "+3"}));
    assert_eq!(of_apps.created.to_string(), "2026-11-27T05:50:48Z");
    assert!(!of_apps.email_verified, "mdb-engine never asked");
    let demo = account(&realm, "member00000@example.net");
    assert_eq!(demo.roles, ["admin", "demo"]);
    assert_eq!(demo.username.as_str(), "Member00000@example.net", "as it was written");
    assert_eq!(account(&realm, "member00001@example.net").state, UserState::Locked);
    let again = import(&realm, &files);
    assert_eq!(again["users"], json!({"new": 0, "there_already": 6}));
}

#[test]
fn people_of_mdb_engine_log_in_with_their_passwords() {
    let realm = Realm::issuing();
    import(&realm, &[&path(SHARED), &path(OF_AN_APP)]);
    let issuer = Issuer::start(&realm);
    for (name, password, status) in [
        ("member00000@example.net", "Passw0rd-5feceb66ffc8", 200),
        ("member00002@example.net", "Passw0rd-d4735e3a265e", 200),
        ("member00003@example.net", "Passw0rd-4e07408562be", 200),
        ("member00003@example.net", "Passw0rd-4e07408562bf", 400),
        ("member00001@example.net", "Passw0rd-6b86b273ff34", 400),
    ] {
        assert_eq!(issuer.by_password(name, password, &[]).status, status, "{name} {password}");
    }
}

#[test]
fn an_array_from_standard_input_will_do_and_a_mistake_imports_nobody() {
    let realm = Realm::hashing_little();
    let lines = fixture(SHARED);
    let array = format!("[{}]", lines.trim_end().replace('\n', ",\n"));
    for bad in [format!("{lines}hunter2"), array.replace(']', "")] {
        let ended = realm.exits(64, &["import", "mdb-engine", "-"], &bad);
        assert!(
            !ended.errors.contains("hunter2") && !ended.errors.contains("$2b$"),
            "{}",
            ended.errors
        );
    }
    let without_email = lines.replacen("\"email\"", "\"e_mail\"", 1);
    let ended = realm.exits(1, &["import", "mdb-engine", "-"], &without_email);
    assert!(ended.errors.contains("-, document 1: email: there is none"), "{}", ended.errors);
    realm.exits(69, &["import", "mdb-engine", "/none"], "");
    assert!(accounts(&realm).0.is_empty());
    realm.exits(0, &["import", "mdb-engine", "-"], &array);
    assert_eq!(accounts(&realm).0.len(), 3);
}
