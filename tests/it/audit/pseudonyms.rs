//! Names and addresses as keyed hashes: nowhere in the database and the logs, and still found.

use std::path::Path;

use serde_json::Value;

use crate::support::{
    http::{self, bearer},
    issuer::{Issuer, text},
    postgres::PostgresServer,
    realm::Realm,
};

const KEY: &str = "a key for hashes of personal data";
const NAME: &str = "charlotte.dodgson@wonderland.example";
const PASSWORD: &str = "a looking-glass and 7 pawns";
const ADDRESS: &str = "203.0.113.77";

fn hashed() -> Realm {
    Realm::issuing()
        .with("AUDIT_HASH_KEY", KEY)
        .with("ACCESS_LOG", "all")
        .with("LOG_LEVEL", "debug")
        // So that the name is nowhere but where it is hashed: accounts must know their own names.
        .with("ACCOUNTS_URL", "sqlite:accounts.db")
}

/// Events of all sorts that name the person and her address; the issuer's log.
fn make_history(realm: &Realm) -> String {
    let mut issuer = Issuer::start(realm);
    let from = format!("X-Forwarded-For: {ADDRESS}");
    for (name, password) in [(NAME, PASSWORD), (&NAME.to_uppercase(), "wrong, and long enough")] {
        let form = [("grant_type", "password"), ("username", name), ("password", password)];
        issuer.form("/token", &form, &[&from]);
    }
    let path = format!("/admin/users/{NAME}/sessions");
    issuer.ask_internal("GET", &path, &[&from], "");
    let token = realm.mint(NAME, &[]);
    for line in [bearer(&token), bearer("x")] {
        http::get(issuer.gate.address, "/validate_request", &[&line, &from]);
    }
    realm.ask(&["session", "revoke", "--user", NAME]);
    let search = format!("/admin/audit?login={NAME}");
    let found = issuer.as_admin("GET", &search, b"").json();
    assert_eq!(found["events"][0]["event"], "login_refused", "{found}");
    issuer.gate.stop();
    issuer.gate.log()
}

/// Says what of the person stands in a text, in whatever case.
fn named(bytes: &[u8]) -> Vec<&'static str> {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    [NAME, ADDRESS].into_iter().filter(|clear| text.contains(clear)).collect()
}

fn files(folder: &Path, beginning: &str) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if name.starts_with(beginning) {
            all.extend(std::fs::read(&path).expect("a file"));
        }
    }
    assert!(!all.is_empty(), "no {beginning} in {}", folder.display());
    all
}

#[test]
fn no_log_and_no_table_names_a_person_and_the_administrator_still_finds_her() {
    let realm = hashed();
    // She logs in by no account, so that the file of accounts has no business with her name.
    let log = make_history(&realm);
    assert_eq!(named(log.as_bytes()), [""; 0], "{log}");
    assert!(log.contains("hmac:"), "the access log has hashes: {log}");
    assert_eq!(named(&files(realm.folder(), "audit.jsonl")), [""; 0]);
    assert_eq!(named(&files(realm.folder(), "accounts.db")), [""; 0]);
    let events = |arguments: &[&str]| -> Vec<Value> {
        let all = [&["audit", "list", "--json"], arguments].concat();
        realm.ask_json(&all)["events"].as_array().expect("events").clone()
    };
    let by_login = events(&["--login", NAME]);
    assert_eq!(by_login.len(), 2);
    let hash = text(&by_login[0], "login");
    assert!(hash.starts_with("hmac:") && hash.len() == 27, "{hash}");
    assert_eq!(events(&["--login", &NAME.to_uppercase()]), by_login, "in any spelling");
    assert_eq!(events(&["--login", hash]), by_login, "by the hash, as the log has it");
    assert_eq!(events(&["--address", ADDRESS]).len(), 3);
    let by_user = events(&["--user", NAME]);
    assert_eq!(text(&by_user[0], "event"), "revoke_all");
    assert_eq!(text(&by_user[0], "user"), hash, "an id that is a name is hashed as one");
    let line = realm.events().into_iter().find(|line| line["event"] == "login_refused");
    assert_eq!(text(&line.expect("a refusal"), "login"), hash, "the same in the log and the table");
    let other = realm.with("AUDIT_HASH_KEY", "another key for hashes of data");
    assert_eq!(
        other.ask_json(&["audit", "list", "--login", NAME, "--json"])["events"],
        Value::from(Vec::<Value>::new())
    );
}

#[test]
fn no_table_in_postgresql_names_a_person_either() {
    let Some(server) = PostgresServer::shared() else { return };
    let realm = hashed().with("ACCOUNTS_URL", &server.database());
    make_history(&realm);
    let listed = realm.ask(&["audit", "list", "--limit", "1000", "--json"]);
    assert_eq!(named(listed.as_bytes()), [""; 0], "{listed}");
    assert!(listed.matches("hmac:").count() > 4, "{listed}");
}

#[test]
fn without_a_key_everything_is_named_and_the_old_systems_word_for_that_is_read() {
    for (setting, value) in
        [("AUDIT_HASH_KEY", "none"), ("PIISALT", "none"), ("AUDIT_LOG", "audit.jsonl")]
    {
        let realm = hashed().without("AUDIT_HASH_KEY").with(setting, value);
        let log = make_history(&realm);
        assert_eq!(named(log.as_bytes()), [NAME, ADDRESS], "{setting}={value}");
        assert_eq!(named(&files(realm.folder(), "audit.jsonl")), [NAME, ADDRESS]);
    }
    let realm = hashed().without("AUDIT_HASH_KEY").with("PIISALT", KEY);
    make_history(&realm);
    assert_eq!(
        named(&files(realm.folder(), "audit.jsonl")),
        [""; 0],
        "the salt of before is a key"
    );
    hashed().with("AUDIT_HASH_KEY", "too short").exits(64, &["check-config"], "");
}
