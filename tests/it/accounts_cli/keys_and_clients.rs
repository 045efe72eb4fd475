//! API keys and clients: secrets that are shown once, and public keys.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis::account::KeyDigest;
use portcullis::clock::UnixTime;
use portcullis::secret::Secret;
use serde_json::{Value, json};

use super::{stored_client, stored_key};
use crate::support::realm::{Ended, Realm};

#[test]
fn a_key_is_shown_once_and_known_by_its_digest() {
    let realm = Realm::hashing_little();
    realm.ask(&["user", "add", "alice", "--no-password", "--scope", "a b"]);
    let flags = ["--label", "build", "--scope", "a z"];
    let output = realm.exits(0, &[&["apikey", "add", "alice"], &flags[..]].concat(), "");
    let key = output.printed;
    assert_eq!((key.lines().count(), key.len()), (1, 46), "{key}");
    assert!(key.starts_with("pk_") && !output.errors.contains(&key), "{}", output.errors);
    assert!(output.errors.contains("no scope z"), "{}", output.errors);
    let stored = stored_key(&realm, &key).expect("a key");
    assert_eq!((stored.label.as_deref(), stored.expires), (Some("build"), None));
    assert_eq!(stored.scopes, ["a", "z"]);
    let made = realm.ask_json(&["apikey", "add", "alice", "--days", "2", "--json"]);
    let second = stored_key(&realm, made["key"].as_str().expect("a key")).expect("a key");
    assert_eq!(second.expires.map(|e| e.since(second.created).as_secs()), Some(172_800));
    let listed = realm.ask_json(&["apikey", "list", "alice", "--json"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    let listed = listed.to_string();
    assert!(!listed.contains(&key) && !listed.contains("sha512"), "{listed}");
    let ids = [stored.id.as_str(), made["id"].as_str().expect("an id")];
    let revoked = realm.ask(&["apikey", "revoke", ids[0], ids[1], "--json"]);
    assert_eq!(revoked, r#"{"revoked":2}"#);
    assert_eq!(stored_key(&realm, &key), None);
    assert_eq!(realm.ask(&["apikey", "list", "--json"]), "[]");
}

#[test]
fn a_client_is_added_rotated_and_deleted() {
    let realm = Realm::hashing_little();
    let grants = ["--grant", "api-key", "--grant", "refresh_token", "--scope", "a b"];
    let more = ["--label", "The app", "--audience", "https://api.example.com", "--introspect"];
    let first = realm.ask(&[&["client", "add", "app"][..], &grants, &more].concat());
    assert_eq!(first.len(), 43, "{first}");
    let client = stored_client(&realm, "app");
    assert_eq!(client.grants, ["urn:portcullis:grant-type:api-key", "refresh_token"]);
    assert_eq!(client.scopes, ["a", "b"]);
    assert!(client.introspects);
    assert_eq!(client.secrets[0].digest, KeyDigest::of(&Secret::new(first.as_str())));
    realm.exits(1, &["client", "add", "app"], "");

    let second = realm.ask(&["client", "rotate", "app", "--overlap", "60"]);
    let [old, new] = stored_client(&realm, "app").secrets.try_into().expect("two secrets");
    assert_eq!(old.digest, KeyDigest::of(&Secret::new(first)));
    assert!(old.expires.is_some_and(|end| end > UnixTime::from_secs(0)));
    assert_eq!(new.digest, KeyDigest::of(&Secret::new(second.as_str())));
    assert_eq!(new.expires, None);
    let third = realm.ask_json(&["client", "rotate", "app", "--overlap", "0", "--json"]);
    assert_eq!(third["old_until"], Value::Null);
    let secrets = stored_client(&realm, "app").secrets;
    let newest = KeyDigest::of(&Secret::new(third["secret"].as_str().expect("a secret")));
    assert_eq!(secrets.iter().map(|secret| &secret.digest).collect::<Vec<_>>(), [&newest]);

    let listed = realm.ask(&["client", "list", "--json"]);
    assert!(!listed.contains("sha512") && !listed.contains(&second), "{listed}");
    realm.ask(&["client", "delete", "app"]);
    assert_eq!(realm.ask(&["client", "list", "--json"]), "[]");
}

/// Runs a command whose standard output takes nothing.
fn into_the_void(realm: &Realm, arguments: &[&str]) -> Ended {
    let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    Ended::of(realm.command(arguments).stdout(full).output().expect("it runs"))
}

#[test]
fn a_secret_that_cannot_be_printed_changes_nothing() {
    let realm = Realm::hashing_little();
    realm.ask(&["user", "add", "bob", "--no-password"]);
    realm.ask(&["client", "add", "portal"]);
    let before = stored_client(&realm, "portal").secrets;
    for arguments in [
        &["client", "rotate", "portal", "--overlap", "0"][..],
        &["client", "rotate", "portal", "--json"],
        &["client", "add", "other"],
        &["apikey", "add", "bob"],
        &["key", "generate"],
    ] {
        let output = into_the_void(&realm, arguments);
        assert_eq!(output.code, 70, "{arguments:?}: {}", output.errors);
        assert!(output.errors.contains("cannot be printed"), "{}", output.errors);
    }
    assert_eq!(stored_client(&realm, "portal").secrets, before);
    assert_eq!(realm.ask_json(&["apikey", "list", "--json"]), json!([]));
    let clients = realm.ask_json(&["client", "list", "--json"]);
    assert_eq!(clients.as_array().map(Vec::len), Some(1), "{clients}");
    assert!(!realm.audit_log().contains("client_rotated"), "{}", realm.audit_log());
}

#[test]
fn a_key_that_is_not_there_is_a_no_beside_those_that_are_revoked() {
    let realm = Realm::hashing_little();
    realm.ask(&["user", "add", "bob", "--no-password"]);
    let key = realm.ask_json(&["apikey", "add", "bob", "--json"]);
    let id = key["id"].as_str().expect("an id");
    realm.exits(1, &["apikey", "revoke", id, "key_typo"], "");
    assert!(stored_key(&realm, key["key"].as_str().expect("a key")).is_none());
}

#[test]
fn a_client_without_a_secret_has_none() {
    let realm = Realm::hashing_little();
    assert_eq!(realm.ask(&["client", "add", "spa", "--public"]), "");
    let client = stored_client(&realm, "spa");
    assert_eq!(
        (client.secrets.len(), client.grants.join(" ")),
        (0, "password refresh_token".into())
    );
    realm.exits(64, &["client", "rotate", "spa"], "");

    let file = realm.folder().join("jwks.json").display().to_string();
    let private = realm.folder().join("true.private.pem").display().to_string();
    let jwks = realm.ask_json(&["key", "public", &private, "--jwks"]);
    std::fs::write(&file, jwks.to_string()).expect("a writable folder");
    let shown = realm.ask_json(&["client", "add", "signer", "--jwks", &file, "--json"]);
    assert_eq!((&shown["secret"], &shown["jwks"]), (&Value::Null, &jwks));
    let mut private = jwks;
    private["keys"][0]["d"] = json!("AAAA");
    let empty = json!({"keys": []}).to_string();
    for bad in [private.to_string(), empty, "{}".to_owned(), "x".to_owned()] {
        std::fs::write(&file, bad).expect("a writable folder");
        realm.exits(64, &["client", "add", "bad", "--jwks", &file], "");
    }
}

#[test]
fn a_faulty_librarys_key_is_taken_and_what_can_never_verify_is_named() {
    let realm = Realm::hashing_little();
    let file = realm.folder().join("jwks.json").display().to_string();
    let rsa = realm.folder().join("rsa.pem").display().to_string();
    realm.ask(&["key", "generate", "--algorithm", "RS256", "--out", &rsa]);
    let public = ["key", "public", &rsa, "--jwks", "--algorithm", "RS256"];
    let mut padded = realm.ask_json(&public)["keys"][0].clone();
    for name in ["n", "e"] {
        let number = URL_SAFE_NO_PAD.decode(padded[name].as_str().expect("a number"));
        let number = [vec![0], number.expect("base64url")].concat();
        padded[name] = URL_SAFE_NO_PAD.encode(number).into();
    }
    let mut encrypts = padded.clone();
    encrypts["use"] = json!("enc");
    let set = json!({"keys": [padded, encrypts]});
    std::fs::write(&file, set.to_string()).expect("a writable folder");
    let output = realm.exits(0, &["client", "add", "padded", "--jwks", &file], "");
    let said = output.errors;
    assert!(said.contains("key 2 (") && said.contains("is left out: its `use`"), "{said}");
    assert!(!said.contains("key 1 ("), "{said}");
}
