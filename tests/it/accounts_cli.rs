//! Users, API keys, clients and imports on the command line.

use std::io::Write as _;
use std::process::{Output, Stdio};
use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis::account::password::{Checked, HashConfig, Passwords};
use portcullis::account::{
    AccountStore as _, ApiKey, Client, KeyDigest, Login, SqliteAccounts, User, UserKind, UserState,
};
use portcullis::clock::{SystemClock, UnixTime};
use portcullis::issuer::error::IssueError;
use portcullis::issuer::throttle::{AttemptName, Throttle, ThrottleConfig, TooEarly};
use portcullis::limit::Limits;
use portcullis::secret::{Secret, SystemRandom};
use portcullis::session::UserId;
use portcullis::store;
use portcullis::store::StoreMetrics;
use portcullis::store::records::{Records, SqliteRecordStore};
use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::support::postgres::{PASSWORD, PostgresServer};
use crate::support::realm::Realm;
use crate::support::redis::RedisServer;
use crate::support::tokens;

const GOOD: &str = "curiouser and curiouser";

/// A realm that hashes as little as Argon2 can.
fn realm() -> Realm {
    Realm::new()
        .with("PASSWORD_MEMORY_KIB", "64")
        .with("PASSWORD_PASSES", "1")
        .with("PASSWORD_LANES", "1")
}

/// Runs a command with something on its standard input.
fn typed(realm: &Realm, arguments: &[&str], input: &str) -> Output {
    let mut command = realm.command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("portcullis runs");
    // Whoever refuses before reading closes the pipe.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    child.wait_with_output().expect("portcullis ends")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}

fn printed(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8").trim_end().to_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a command that must succeed.
fn done(realm: &Realm, arguments: &[&str], input: &str) -> String {
    let output = typed(realm, arguments, input);
    assert_eq!(code(&output), 0, "{arguments:?}: {}", stderr(&output));
    printed(&output)
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect(text)
}

fn in_store<T>(realm: &Realm, ask: impl AsyncFnOnce(SqliteAccounts) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("tokio").block_on(async {
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
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("tokio");
    let password = Secret::new(password);
    let checked = passwords.check(&password, user.password.as_ref());
    runtime.block_on(checked).expect("an answer")
}

#[test]
fn a_user_is_added_with_all_that_it_can_have() {
    let realm = realm();
    let arguments = [
        "user",
        "add",
        "Alice",
        "--email",
        "Alice@Example.com",
        "--email-verified",
        "--full-name",
        "Alice Liddell",
        "--role",
        "staff",
        "--scope",
        "user:read user:write",
        "--claim",
        "team=[1]",
        "--json",
    ];
    let shown = parsed(&done(&realm, &arguments, &format!("{GOOD}\n")));
    assert_eq!(shown["username"], "Alice");
    assert_eq!(shown["has_password"], true);
    let user = stored_user(&realm, "alice@example.com");
    assert_eq!(user.id.as_str(), shown["id"]);
    assert_eq!(user.id.as_str().len(), 22, "128 random bits");
    assert_eq!(user.scopes, ["user:read", "user:write"]);
    assert_eq!(user.claims["team"], json!([1]));
    assert!(user.email_verified);
    assert_eq!(check(&user, GOOD), Checked::Right);
    assert_eq!(check(&user, &format!("{GOOD}\n")), Checked::Wrong);
    let again = parsed(&done(&realm, &["user", "show", "ALICE", "--json"], ""));
    assert_eq!(again, shown);
    assert!(!again.to_string().contains("argon2"), "no hash is shown");
    let text = done(&realm, &["user", "show", shown["id"].as_str().expect("id")], "");
    assert!(text.contains("Alice Liddell") && !text.contains("argon2"), "{text}");
}

#[test]
fn the_id_of_a_new_user_is_alone_on_standard_output() {
    let realm = realm();
    let output = typed(&realm, &["user", "add", "bob", "--id", "b1"], GOOD);
    assert_eq!((code(&output), printed(&output).as_str()), (0, "b1"));
    let service = done(&realm, &["user", "add", "robot", "--kind", "service", "--no-password"], "");
    assert_eq!(stored_user(&realm, "robot").id.as_str(), service);
    assert_eq!(stored_user(&realm, "robot").password, None);
    let anonymous = done(&realm, &["user", "add", "nobody", "--kind", "anonymous"], "");
    assert_eq!(stored_user(&realm, "nobody").kind, UserKind::Anonymous);
    let listed = parsed(&done(&realm, &["user", "list", "--json"], ""));
    let mut ids = [service.as_str(), anonymous.as_str(), "b1"];
    ids.sort_unstable();
    let listed: Vec<_> = listed.as_array().expect("an array").iter().map(|u| &u["id"]).collect();
    assert_eq!(listed, ids);
    let limited = typed(&realm, &["user", "list", "--limit", "2"], "");
    assert_eq!(printed(&limited).lines().count(), 3, "a head and two users");
    assert!(stderr(&limited).contains("--limit"));
}

#[test]
fn what_is_taken_or_not_there_is_a_no() {
    let realm = realm();
    done(&realm, &["user", "add", "alice", "--email", "a@example.com"], GOOD);
    for arguments in [
        &["user", "add", "ALICE", "--no-password"][..],
        &["user", "add", "bob", "--no-password", "--email", "alice"],
        &["user", "add", "A@EXAMPLE.com", "--no-password"],
        &["user", "show", "bob"],
        &["user", "lock", "bob"],
        &["user", "delete", "bob"],
        &["user", "passwd", "bob"],
        &["apikey", "add", "bob"],
        &["apikey", "revoke", "key_x"],
        &["client", "rotate", "app"],
        &["client", "delete", "app"],
    ] {
        let output = typed(&realm, arguments, GOOD);
        assert_eq!((code(&output), printed(&output).as_str()), (1, ""), "{arguments:?}");
    }
}

#[test]
fn wrong_usage_changes_nothing() {
    let realm = realm();
    let long = "x".repeat(300);
    for arguments in [
        &["user", "add", "client:app"][..],
        &["user", "add", "ＣＬＩＥＮＴ:app"],
        &["user", "add", "x", "--id", "client:app"],
        &["user", "add", "x", "--id", "Client:app"],
        &["user", "add", ""],
        &["user", "add", &long],
        &["user", "add", "x", "--kind", "robot"],
        &["user", "add", "x", "--scope", "a\"b"],
        &["user", "add", "x", "--password", GOOD],
        &["client", "add", "a b"],
        &["client", "add", ""],
        &["client", "add", "x", "--grant", "implicit"],
        &["client", "add", "x", "--public", "--grant", "client_credentials"],
        &["client", "add", "x", "--public", "--introspect"],
        &["apikey", "revoke"],
        &["import", "jwthenticator"],
        &["import", "jwthenticator", "--from", "mysql://x"],
        &["import", "jwthenticator", "--from", "postgres://u:hunter2@127.0.0.1:1/x"],
    ] {
        let output = typed(&realm, arguments, GOOD);
        assert_eq!(code(&output), 64, "{arguments:?}: {}", stderr(&output));
        assert_eq!(printed(&output), "", "{arguments:?}");
        assert!(!stderr(&output).contains("hunter2"), "{}", stderr(&output));
    }
    assert_eq!(done(&realm, &["user", "list", "--json"], ""), "[]");
    assert_eq!(done(&realm, &["client", "list", "--json"], ""), "[]");
}

#[test]
fn a_password_that_the_policy_refuses_is_a_no_unless_the_operator_insists() {
    let realm = realm();
    for (password, advice) in [
        ("wonderland", "at least 12"),
        ("alice.liddell", "less like"),
        ("password-Q7#", "tries first"),
        ("839471620583", "more than digits"),
    ] {
        let output = typed(&realm, &["user", "add", "alice.liddell"], password);
        assert_eq!(code(&output), 1, "{password}");
        assert!(stderr(&output).contains(advice), "{password}: {}", stderr(&output));
        assert!(!stderr(&output).contains(password), "{}", stderr(&output));
    }
    for empty in ["", "\n", "\r\n"] {
        assert_eq!(code(&typed(&realm, &["user", "add", "alice"], empty)), 64, "{empty:?}");
    }
    done(&realm, &["user", "add", "alice", "--any-password"], "wonderland\nmore\n");
    assert_eq!(check(&stored_user(&realm, "alice"), "wonderland"), Checked::Right);
    let lax = realm.with("PASSWORD_MIN_LENGTH", "8");
    done(&lax, &["user", "passwd", "alice"], "v8Qz!mT3\r\n");
    assert_eq!(check(&stored_user(&lax, "alice"), "v8Qz!mT3"), Checked::Right);
    assert_eq!(check(&stored_user(&lax, "alice"), "wonderland"), Checked::Wrong);
}

#[test]
fn on_a_terminal_a_password_is_asked_for_twice_and_not_shown() {
    let realm = realm();
    let Some(script) = crate::support::require("script") else { return };
    let on_terminal = |arguments: &[&str], input: &str| {
        let program = realm.command(&[]).get_program().to_string_lossy().into_owned();
        let line = [&[program.as_str()], arguments].concat().join(" ");
        let mut command = realm.command(&[]);
        let environment: Vec<_> = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        command = std::process::Command::new(&script);
        command.env_clear().envs(environment).env("PATH", "/usr/bin:/bin").env("SHELL", "/bin/sh");
        command.args(["-q", "-e", "-c", &line, "/dev/null"]).current_dir(realm.folder());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("script runs");
        let mut keyboard = child.stdin.take().expect("a pipe");
        keyboard.write_all(input.as_bytes()).expect("a keyboard");
        child.wait_with_output().expect("script ends")
    };
    let twice = on_terminal(&["user", "add", "alice"], &format!("{GOOD}\n{GOOD}\n"));
    let seen = printed(&twice);
    assert_eq!(code(&twice), 0, "{seen}");
    assert!(seen.contains("New password: ") && seen.contains("The same again: "), "{seen}");
    assert_eq!(check(&stored_user(&realm, "alice"), GOOD), Checked::Right);
    let slip = on_terminal(&["user", "passwd", "alice"], &format!("{GOOD}!\n{GOOD}?\n"));
    assert_eq!(code(&slip), 64, "{}", printed(&slip));
    assert_eq!(check(&stored_user(&realm, "alice"), GOOD), Checked::Right);
}

#[test]
fn whoever_is_locked_or_deleted_loses_all_sessions() {
    let realm = realm();
    let gate = realm.gate();
    done(&realm, &["user", "add", "alice", "--id", "a1"], GOOD);
    done(&realm, &["user", "add", "bob", "--id", "b1"], GOOD);
    let (one, two) = (realm.mint("a1", &[]), realm.mint("a1", &[]));
    let other = realm.mint("b1", &[]);
    let locked = parsed(&done(&realm, &["user", "lock", "ALICE", "--json"], ""));
    assert_eq!(locked, json!({"id": "a1", "done": true, "sessions_ended": 2}));
    for (token, status) in [(&one, 401), (&two, 401), (&other, 200)] {
        assert_eq!(gate.check(token).status, status);
    }
    assert_eq!(stored_user(&realm, "alice").state, UserState::Locked);
    done(&realm, &["user", "unlock", "alice"], "");
    assert_eq!(stored_user(&realm, "alice").state, UserState::Active);
    assert_eq!(gate.check(&one).status, 401, "what is over stays over");
    let third = realm.mint("a1", &[]);
    done(&realm, &["user", "passwd", "alice"], "another good one, dinah");
    assert_eq!(gate.check(&third).status, 200);
    done(&realm, &["user", "passwd", "alice", "--end-sessions"], "another good one, dinah");
    assert_eq!(gate.check(&third).status, 401);
    let key = done(&realm, &["apikey", "add", "bob"], "");
    done(&realm, &["user", "delete", "bob"], "");
    assert_eq!(gate.check(&other).status, 401);
    assert_eq!(stored_key(&realm, &key), None);
}

/// A store that takes no writes, and then does again.
fn takes_writes(server: &RedisServer, is_so: bool) {
    let least = if is_so { "0" } else { "1" };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let set = ["CONFIG", "SET", "min-replicas-to-write", least];
    runtime.expect("tokio").block_on(server.ask::<String>(0, &set));
}

#[test]
fn a_deletion_that_failed_half_way_is_finished_by_the_same_command() {
    let Some(server) = RedisServer::start() else { return };
    let realm = realm().with("DB_URL", &server.url());
    done(&realm, &["user", "add", "alice", "--id", "a1"], GOOD);
    done(&realm, &["client", "add", "app"], "");
    let gate = realm.gate();
    let (of_user, of_client) = (realm.mint("a1", &[]), realm.mint("client:app", &[]));
    for (what, name, token, event) in
        [("user", "alice", &of_user, "user_locked"), ("client", "app", &of_client, "client_locked")]
    {
        takes_writes(&server, false);
        let failed = typed(&realm, &[what, "delete", name], "");
        assert_eq!(code(&failed), 69, "{what}: {}", stderr(&failed));
        assert!(stderr(&failed).contains("run the same again"), "{}", stderr(&failed));
        assert_eq!(audited(&realm).last().expect("a line")["event"], event);
        assert_eq!(gate.check(token).status, 200, "it lives on, as was said");
        takes_writes(&server, true);
        let again = parsed(&done(&realm, &[what, "delete", name, "--json"], ""));
        assert_eq!((&again["done"], &again["sessions_ended"]), (&json!(true), &json!(1)), "{what}");
        assert_eq!(gate.check(token).status, 401, "{what}");
        assert_eq!(code(&typed(&realm, &[what, "delete", name], "")), 1, "{what} is gone");
    }
    let client = typed(&realm, &["client", "list", "--json"], "");
    assert_eq!(printed(&client), "[]");
}

#[test]
fn what_is_half_deleted_gets_nothing_more() {
    let Some(server) = RedisServer::start() else { return };
    let realm = realm().with("DB_URL", &server.url());
    done(&realm, &["user", "add", "alice", "--id", "a1"], GOOD);
    done(&realm, &["client", "add", "app", "--introspect"], "");
    takes_writes(&server, false);
    for arguments in [["user", "delete", "alice"], ["client", "delete", "app"]] {
        assert_eq!(code(&typed(&realm, &arguments, "")), 69, "{arguments:?}");
    }
    let in_file = |realm: &Realm| (stored_user(realm, "alice"), stored_client(realm, "app"));
    let (user, client) = in_file(&realm);
    assert_eq!(user.state, UserState::Locked);
    assert_eq!((client.grants.len(), client.introspects), (0, false));
    assert!(!client.secrets.is_empty(), "it must not pass for a public client");
}

#[test]
fn nobody_is_meant_by_mistake() {
    let realm = realm();
    done(&realm, &["user", "add", "alice", "--id", "bob", "--no-password"], "");
    done(&realm, &["user", "add", "bob", "--id", "b1", "--no-password"], "");
    assert_eq!(code(&typed(&realm, &["user", "delete", "bob"], "")), 64);
    done(&realm, &["user", "delete", "b1"], "");
    done(&realm, &["user", "delete", "bob"], "");
    assert_eq!(done(&realm, &["user", "list", "--json"], ""), "[]");
}

#[test]
fn a_key_is_shown_once_and_known_by_its_digest() {
    let realm = realm();
    done(&realm, &["user", "add", "alice", "--no-password", "--scope", "a b"], "");
    let output =
        typed(&realm, &["apikey", "add", "alice", "--label", "build", "--scope", "a z"], "");
    let key = printed(&output);
    assert_eq!((code(&output), key.lines().count(), key.len()), (0, 1, 46), "{key}");
    assert!(key.starts_with("pk_") && !stderr(&output).contains(&key), "{}", stderr(&output));
    assert!(stderr(&output).contains("no scope z"), "{}", stderr(&output));
    let stored = stored_key(&realm, &key).expect("a key");
    assert_eq!((stored.label.as_deref(), stored.expires), (Some("build"), None));
    assert_eq!(stored.scopes, ["a", "z"]);
    let made = done(&realm, &["apikey", "add", "alice", "--days", "2", "--json"], "");
    let made = parsed(&made);
    let second = stored_key(&realm, made["key"].as_str().expect("a key")).expect("a key");
    assert_eq!(second.expires.map(|e| e.since(second.created).as_secs()), Some(172_800));
    let listed = done(&realm, &["apikey", "list", "alice", "--json"], "");
    assert_eq!(parsed(&listed).as_array().map(Vec::len), Some(2));
    assert!(!listed.contains(&key) && !listed.contains("sha512"), "{listed}");
    let ids = [stored.id.as_str(), made["id"].as_str().expect("an id")];
    let revoked = done(&realm, &["apikey", "revoke", ids[0], ids[1], "--json"], "");
    assert_eq!(revoked, r#"{"revoked":2}"#);
    assert_eq!(stored_key(&realm, &key), None);
    assert_eq!(done(&realm, &["apikey", "list", "--json"], ""), "[]");
}

#[test]
fn a_client_is_added_rotated_and_deleted() {
    let realm = realm();
    let output = typed(
        &realm,
        &[
            "client",
            "add",
            "app",
            "--label",
            "The app",
            "--grant",
            "api-key",
            "--grant",
            "refresh_token",
            "--scope",
            "a b",
            "--audience",
            "https://api.example.com",
            "--introspect",
        ],
        "",
    );
    let first = printed(&output);
    assert_eq!((code(&output), first.len()), (0, 43), "{first}");
    let client = stored_client(&realm, "app");
    assert_eq!(client.grants, ["urn:portcullis:grant-type:api-key", "refresh_token"]);
    assert_eq!(client.scopes, ["a", "b"]);
    assert!(client.introspects);
    assert_eq!(client.secrets[0].digest, KeyDigest::of(&Secret::new(first.as_str())));
    assert_eq!(code(&typed(&realm, &["client", "add", "app"], "")), 1, "the id is taken");

    let second = done(&realm, &["client", "rotate", "app", "--overlap", "60"], "");
    let [old, new] = stored_client(&realm, "app").secrets.try_into().expect("two secrets");
    assert_eq!(old.digest, KeyDigest::of(&Secret::new(first)));
    assert!(old.expires.is_some_and(|end| end > UnixTime::from_secs(0)));
    assert_eq!(new.digest, KeyDigest::of(&Secret::new(second.as_str())));
    assert_eq!(new.expires, None);
    let third = done(&realm, &["client", "rotate", "app", "--overlap", "0", "--json"], "");
    let third = parsed(&third);
    assert_eq!(third["old_until"], Value::Null);
    let secrets = stored_client(&realm, "app").secrets;
    let newest = KeyDigest::of(&Secret::new(third["secret"].as_str().expect("a secret")));
    assert_eq!(secrets.iter().map(|secret| &secret.digest).collect::<Vec<_>>(), [&newest]);

    let listed = done(&realm, &["client", "list", "--json"], "");
    assert!(!listed.contains("sha512") && !listed.contains(&second), "{listed}");
    done(&realm, &["client", "delete", "app"], "");
    assert_eq!(done(&realm, &["client", "list", "--json"], ""), "[]");
}

/// Runs a command whose standard output takes nothing.
fn into_the_void(realm: &Realm, arguments: &[&str]) -> Output {
    let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    realm.command(arguments).stdout(full).output().expect("it runs")
}

#[test]
fn a_secret_that_cannot_be_printed_changes_nothing() {
    let realm = realm();
    done(&realm, &["user", "add", "bob", "--no-password"], "");
    done(&realm, &["client", "add", "portal"], "");
    let before = stored_client(&realm, "portal").secrets;
    for arguments in [
        &["client", "rotate", "portal", "--overlap", "0"][..],
        &["client", "rotate", "portal", "--json"],
        &["client", "add", "other"],
        &["apikey", "add", "bob"],
        &["key", "generate"],
    ] {
        let output = into_the_void(&realm, arguments);
        assert_eq!(code(&output), 70, "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("cannot be printed"), "{}", stderr(&output));
    }
    assert_eq!(stored_client(&realm, "portal").secrets, before);
    assert_eq!(parsed(&done(&realm, &["apikey", "list", "--json"], "")), json!([]));
    let clients = parsed(&done(&realm, &["client", "list", "--json"], ""));
    assert_eq!(clients.as_array().map(Vec::len), Some(1), "{clients}");
    assert!(!audit_text(&realm).contains("client_rotated"), "{}", audit_text(&realm));
}

#[test]
fn a_key_that_is_not_there_is_a_no_beside_those_that_are_revoked() {
    let realm = realm();
    done(&realm, &["user", "add", "bob", "--no-password"], "");
    let key = parsed(&done(&realm, &["apikey", "add", "bob", "--json"], ""));
    let id = key["id"].as_str().expect("an id");
    let output = typed(&realm, &["apikey", "revoke", id, "key_typo"], "");
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    assert!(stored_key(&realm, key["key"].as_str().expect("a key")).is_none());
}

#[test]
fn an_import_takes_nobody_for_somebody_else() {
    let realm = realm();
    done(&realm, &["user", "add", "alice", "--id", "u1", "--no-password"], "");
    let import = |lines: &str| typed(&realm, &["import", "users", "-", "--json"], lines);
    let output = import(r#"{"id": "u1", "username": "mallory"}"#);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    let counts = json!({"added": 0, "there_already": 0, "refused": 1});
    assert_eq!(parsed(&printed(&output)), counts);
    assert!(stderr(&output).contains("line 1: the id or a name of mallory"), "{}", stderr(&output));
    let output = import(r#"{"id": "u1", "username": "ALICE"}"#);
    assert_eq!(parsed(&printed(&output))["there_already"], 1, "{}", stderr(&output));
}

#[test]
fn a_claim_that_would_be_dropped_is_refused() {
    let realm = realm();
    for claim in ["sub=x", "iss=x", "scope=a", "email=a@b.example", "roles=[\"admin\"]"] {
        let output = typed(&realm, &["user", "add", "bob", "--no-password", "--claim", claim], "");
        assert_eq!(code(&output), 64, "{claim}: {}", stderr(&output));
    }
    let line = r#"{"username": "bob", "claims": {"sub": "root"}}"#;
    let output = typed(&realm, &["import", "users", "-"], line);
    assert_eq!(code(&output), 64, "{}", stderr(&output));
    assert!(stderr(&output).contains("\"sub\""), "{}", stderr(&output));
    assert_eq!(parsed(&done(&realm, &["user", "list", "--json"], "")), json!([]));
}

#[test]
fn a_client_without_a_secret_has_none() {
    let realm = realm();
    assert_eq!(done(&realm, &["client", "add", "spa", "--public"], ""), "");
    let client = stored_client(&realm, "spa");
    assert_eq!(
        (client.secrets.len(), client.grants.join(" ")),
        (0, "password refresh_token".into())
    );
    assert_eq!(code(&typed(&realm, &["client", "rotate", "spa"], "")), 64);

    let file = realm.folder().join("jwks.json").display().to_string();
    let private = realm.folder().join("true.private.pem").display().to_string();
    let jwks = done(&realm, &["key", "public", &private, "--jwks"], "");
    std::fs::write(&file, &jwks).expect("a writable folder");
    let shown = parsed(&done(&realm, &["client", "add", "signer", "--jwks", &file, "--json"], ""));
    assert_eq!((&shown["secret"], &shown["jwks"]), (&Value::Null, &parsed(&jwks)));
    let mut private: Value = parsed(&jwks);
    private["keys"][0]["d"] = json!("AAAA");
    let empty = json!({"keys": []}).to_string();
    for bad in [private.to_string(), empty, "{}".to_owned(), "x".to_owned()] {
        std::fs::write(&file, bad).expect("a writable folder");
        let output = typed(&realm, &["client", "add", "bad", "--jwks", &file], "");
        assert_eq!(code(&output), 64, "{}", stderr(&output));
    }
}

#[test]
fn a_faulty_librarys_key_is_taken_and_what_can_never_verify_is_named() {
    let realm = realm();
    let file = realm.folder().join("jwks.json").display().to_string();
    let rsa = realm.folder().join("rsa.pem").display().to_string();
    done(&realm, &["key", "generate", "--algorithm", "RS256", "--out", &rsa], "");
    let public = ["key", "public", &rsa, "--jwks", "--algorithm", "RS256"];
    let mut padded = parsed(&done(&realm, &public, ""))["keys"][0].clone();
    for name in ["n", "e"] {
        let number = URL_SAFE_NO_PAD.decode(padded[name].as_str().expect("a number"));
        let number = [vec![0], number.expect("base64url")].concat();
        padded[name] = URL_SAFE_NO_PAD.encode(number).into();
    }
    let mut encrypts = padded.clone();
    encrypts["use"] = json!("enc");
    let set = json!({"keys": [padded, encrypts]});
    std::fs::write(&file, set.to_string()).expect("a writable folder");
    let output = typed(&realm, &["client", "add", "padded", "--jwks", &file], "");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("key 2 (") && said.contains("is left out: its `use`"), "{said}");
    assert!(!said.contains("key 1 ("), "{said}");
}

const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";

/// What jwthenticator 1.6.3 has: two keys of one identifier, one of another, and a bad one.
fn jwthenticators_rows(postgres: bool) -> String {
    let digest = |key: &str| KeyDigest::of(&Secret::new(key)).as_str().replace("sha512:", "");
    let (uuid, time) = if postgres { ("UUID", "TIMESTAMP") } else { ("CHAR(32)", "DATETIME") };
    format!(
        "CREATE TABLE keys (id {serial} PRIMARY KEY, key_hash VARCHAR(256) UNIQUE, \
         identifier {uuid} NOT NULL, created {time}, expires_at {time}); \
         INSERT INTO keys VALUES \
         (1, '{one}', '0123456789abcdef0123456789abcdef', NULL, '2030-01-02 03:04:05.678901'), \
         (2, '{two}', '0123456789abcdef0123456789abcdef', NULL, '2020-01-01 00:00:00.000000'), \
         (7, '{three}', 'ffffffffffffffffffffffffffffffff', NULL, '2030-01-01 00:00:00.000000'), \
         (8, 'no hash', 'ffffffffffffffffffffffffffffffff', NULL, '2030-01-01 00:00:00.000000')",
        serial = if postgres { "SERIAL" } else { "INTEGER" },
        one = digest("key one"),
        two = digest("key two"),
        three = digest("key three"),
    )
}

fn check_jwthenticators(realm: &Realm, from: &str, password: &str) {
    let import = || {
        let arguments = ["import", "jwthenticator", "--from", from, "--json"];
        let output = realm.command(&arguments).env("PGPASSWORD", password).output();
        let output = output.expect("portcullis runs");
        assert_eq!(code(&output), 1, "one key is refused: {}", stderr(&output));
        assert!(stderr(&output).contains("key 8"), "{}", stderr(&output));
        parsed(&printed(&output))
    };
    assert_eq!(import(), json!({"added": 3, "there_already": 0, "refused": 1}));
    let user = stored_user(realm, UUID);
    assert_eq!((user.id.as_str(), user.kind), (UUID, UserKind::Service));
    assert_eq!(user.password, None);
    for (key, expires) in [("key one", 1_893_553_445), ("key two", 1_577_836_800)] {
        let key = stored_key(realm, key).expect(key);
        assert_eq!(key.user, UserId::parse(UUID).expect("id"));
        assert_eq!(key.expires, Some(UnixTime::from_secs(expires)));
    }
    assert!(stored_key(realm, "key three").is_some());
    assert_eq!(import(), json!({"added": 0, "there_already": 3, "refused": 1}), "a second time");
    let line = |added: u64| json!({"event": "imported", "count": added, "reason": "jwthenticator"});
    assert_eq!(audited(realm), [line(3), line(0)]);
    assert_eq!(
        parsed(&done(realm, &["apikey", "list", "--json"], "")).as_array().map(Vec::len),
        Some(3)
    );
}

#[tokio::test]
async fn jwthenticators_keys_are_taken_over_from_sqlite() {
    let realm = realm();
    let path = realm.folder().join("jwthenticator.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut source = sqlx::SqliteConnection::connect_with(&options).await.expect("a file");
    let sql = sqlx::AssertSqlSafe(jwthenticators_rows(false));
    sqlx::raw_sql(sql).execute(&mut source).await.expect("tables");
    source.close().await.expect("close");
    let before = std::fs::read(&path).expect("a file");
    let from = format!("sqlite:{}", path.display());
    tokio::task::spawn_blocking(move || {
        check_jwthenticators(&realm, &from, "");
        assert_eq!(std::fs::read(&path).expect("a file"), before, "it was only read");
    })
    .await
    .expect("task");
}

#[test]
fn jwthenticators_keys_are_taken_over_from_postgresql() {
    let Some(server) = PostgresServer::shared() else { return };
    let url = server.database();
    server.psql(&url, &jwthenticators_rows(true));
    let from = url.replace(&format!(":{PASSWORD}@"), "@");
    check_jwthenticators(&realm(), &from, &PASSWORD.replace("%40", "@"));
}

#[test]
fn a_source_that_is_not_there_is_69() {
    let realm = realm();
    let file = format!("sqlite:{}/none.db", realm.folder().display());
    for from in [file.as_str(), "postgres://u@127.0.0.1:1/x"] {
        let output = typed(&realm, &["import", "jwthenticator", "--from", from], "");
        assert_eq!(code(&output), 69, "{}", stderr(&output));
    }
    assert_eq!(code(&typed(&realm, &["import", "users", "/none"], "")), 69);
    let nowhere = realm.with("ACCOUNTS_URL", "postgres://u:hunter2@127.0.0.1:1/x");
    let output = typed(&nowhere, &["user", "list"], "");
    assert_eq!(code(&output), 69, "{}", stderr(&output));
    assert!(!stderr(&output).contains("hunter2"), "{}", stderr(&output));
}

#[test]
fn users_with_older_hashes_are_taken_over_and_log_in() {
    let realm = realm();
    // Made by Python's bcrypt and by argon2-cffi.
    let bcrypt = "$2b$04$cNH0a/krC7MXXuEePJhU.uIOJgIcsIc8By2ahCComykkokdXWaQUK";
    let argon2 = "$argon2id$v=19$m=64,t=2,p=4$uHfXmsVDsXifm9JPFfzTFw$JQE4U0Ya2fQ9uxnnVfS4CzePE6bUc9EI/zBDyqnd+w0";
    let lines = [
        json!({"id": "7", "username": "alice", "email": "a@example.com", "password_hash": bcrypt,
               "full_name": "Alice", "scopes": ["a"], "roles": ["r"], "claims": {"x": 1}}),
        json!({"username": "bob", "password_hash": argon2}),
        json!({"username": "robot", "kind": "service"}),
    ];
    let file = lines.map(|line| line.to_string()).join("\n\n");
    let import = || parsed(&done(&realm, &["import", "users", "-", "--json"], &file));
    assert_eq!(import(), json!({"added": 3, "there_already": 0, "refused": 0}));
    assert_eq!(import(), json!({"added": 0, "there_already": 3, "refused": 0}), "a second time");
    let alice = stored_user(&realm, "A@example.com");
    assert_eq!((alice.id.as_str(), alice.full_name.as_deref()), ("7", Some("Alice")));
    for user in [alice, stored_user(&realm, "bob")] {
        assert_eq!(check(&user, "Ünder the sea"), Checked::NeedsRehash);
        assert_eq!(check(&user, "over the sea"), Checked::Wrong);
    }
    let clash = r#"{"id": "8", "username": "Alice"}"#;
    let output = typed(&realm, &["import", "users", "-", "--json"], clash);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("line 1"), "{}", stderr(&output));
}

#[test]
fn a_file_with_a_mistake_imports_nobody_and_is_not_quoted() {
    let realm = realm();
    for (bad, told_of) in [
        ("hunter2", "not JSON"),
        (r#"["hunter2"]"#, "wrong type"),
        (r#"{"email": "hunter2@example.com"}"#, "missing field `username`"),
        (r#"{"username": "x", "password": "hunter2"}"#, "unknown field `password`"),
        (r#"{"username": "x", "password_hash": "hunter2"}"#, "password_hash"),
        (r#"{"username": "x", "scopes": "hunter2"}"#, "wrong type"),
        (r#"{"username": "x", "scopes": ["hunter2 b"]}"#, "scopes"),
        (r#"{"username": "x", "kind": "hunter2"}"#, "kind"),
        (r#"{"username": "client:hunter2"}"#, "username"),
    ] {
        let file = format!("{{\"username\": \"good\"}}\n{bad}\n");
        let output = typed(&realm, &["import", "users", "-"], &file);
        assert_eq!(code(&output), 64, "{bad}: {}", stderr(&output));
        let stderr = stderr(&output);
        assert!(stderr.contains("line 2: ") && stderr.contains(told_of), "{bad}: {stderr}");
        assert!(!stderr.contains("hunter2"), "{stderr}");
    }
    assert_eq!(done(&realm, &["user", "list", "--json"], ""), "[]");
}

#[test]
fn accounts_in_postgresql_are_looked_after_by_the_same_commands() {
    let Some(server) = PostgresServer::shared() else { return };
    let realm = realm().with("ACCOUNTS_URL", &server.database());
    let id = done(&realm, &["user", "add", "alice"], GOOD);
    let key = done(&realm, &["apikey", "add", "alice"], "");
    assert!(key.starts_with("pk_"));
    done(&realm, &["client", "add", "app"], "");
    let listed = parsed(&done(&realm, &["user", "list", "--json"], ""));
    assert_eq!(listed[0]["id"], id);
    done(&realm, &["user", "lock", "alice"], "");
    let shown = parsed(&done(&realm, &["user", "show", "alice", "--json"], ""));
    assert_eq!(shown["state"], "locked");
}

/// The audit log as it stands in the file.
fn audit_text(realm: &Realm) -> String {
    std::fs::read_to_string(realm.folder().join("audit.jsonl")).unwrap_or_default()
}

/// The lines of the audit log, without their times.
fn audited(realm: &Realm) -> Vec<Value> {
    let untimed = |line: &str| {
        let mut line = parsed(line);
        let time = line.as_object_mut().expect("an object").remove("time").expect("a time");
        assert!(time.as_str().expect("a text").starts_with("20"), "{time}");
        line
    };
    audit_text(realm).lines().map(untimed).collect()
}

/// Runs a command that must add one line to the audit log; what it printed, and the line.
fn one_line(realm: &Realm, arguments: &[&str], input: &str) -> (String, Value) {
    let before = audited(realm).len();
    let printed = done(realm, arguments, input);
    let mut lines = audited(realm).split_off(before);
    assert_eq!(lines.len(), 1, "{arguments:?}: {lines:?}");
    (printed, lines.remove(0))
}

#[test]
fn each_command_on_users_and_sessions_writes_one_line() {
    let realm = realm();
    let line = |arguments: &[&str], input: &str| one_line(&realm, arguments, input).1;
    let plain = |event: &str| json!({"event": event, "user": "a1", "reason": "command"});
    let counted = |event: &str, count: u64| json!({"event": event, "user": "a1", "reason": "command", "count": count});
    let other = "another good one, dinah";
    assert_eq!(line(&["user", "add", "alice", "--id", "a1"], GOOD), plain("user_added"));
    assert_eq!(line(&["user", "passwd", "alice"], other), plain("password_set"));
    let mut secrets = vec![realm.mint("a1", &[])];
    let ending = ["user", "passwd", "alice", "--end-sessions"];
    assert_eq!(line(&ending, other), counted("password_set", 1));
    secrets.push(realm.mint("a1", &[]));
    assert_eq!(line(&["user", "lock", "alice"], ""), counted("user_locked", 1));
    assert_eq!(line(&["user", "unlock", "alice"], ""), plain("user_unlocked"));

    let token = realm.mint("a1", &[]);
    let mut one = plain("revoke");
    one["session"] = tokens::claims(&token)["sid"].clone();
    assert!(one["session"].is_string(), "{one}");
    assert_eq!(line(&["session", "revoke", "--token", &token], ""), one);
    secrets.extend([token, realm.mint("a1", &[]), realm.mint("a1", &[])]);
    let all = ["session", "revoke", "--user", "a1"];
    assert_eq!(line(&all, ""), counted("revoke_all", 2));
    assert_eq!(line(&["user", "delete", "alice"], ""), counted("user_deleted", 0));

    secrets.extend([GOOD.to_owned(), other.to_owned()]);
    tells_none_of(&realm, &secrets);
}

#[test]
fn each_command_on_keys_and_clients_writes_one_line() {
    let realm = realm();
    done(&realm, &["user", "add", "alice", "--id", "a1", "--no-password"], "");
    let client = |event: &str| json!({"event": event, "client": "app", "reason": "command"});
    let (made, line) = one_line(&realm, &["apikey", "add", "alice", "--json"], "");
    let made = parsed(&made);
    assert_eq!(line, json!({"event": "key_made", "user": "a1", "reason": made["id"]}));
    let id = made["id"].as_str().expect("an id");
    let (_, line) = one_line(&realm, &["apikey", "revoke", id], "");
    assert_eq!(line, json!({"event": "key_revoked", "reason": id}));

    let (first, line) = one_line(&realm, &["client", "add", "app"], "");
    assert_eq!(line, client("client_added"));
    let (second, line) = one_line(&realm, &["client", "rotate", "app"], "");
    assert_eq!(line, client("client_rotated"));
    let (_, line) = one_line(&realm, &["client", "delete", "app"], "");
    let mut deleted = client("client_deleted");
    deleted["count"] = json!(0);
    assert_eq!(line, deleted);

    let ring = realm.folder().join("ring.json").display().to_string();
    let (kid, line) = one_line(&realm, &["key", "rotate", "--ring", &ring], "");
    assert_eq!(line, json!({"event": "signing_key_added", "reason": kid}));
    let users = "{\"username\": \"bob\"}\n{\"username\": \"eve\"}\n";
    let (_, line) = one_line(&realm, &["import", "users", "-"], users);
    assert_eq!(line, json!({"event": "imported", "count": 2, "reason": "users"}));

    let key = made["key"].as_str().expect("a key").to_owned();
    tells_none_of(&realm, &[key, first, second]);
}

/// The audit log holds no secret, and no hash of one.
fn tells_none_of(realm: &Realm, secrets: &[String]) {
    let text = audit_text(realm);
    for secret in secrets.iter().map(String::as_str).chain(["argon2", "sha512", "PRIVATE"]) {
        assert!(secret.len() > 5 && !text.contains(secret), "{secret}: {text}");
    }
}

#[test]
fn a_command_that_changes_nothing_writes_no_line() {
    let realm = realm();
    done(&realm, &["user", "add", "alice", "--id", "a1"], GOOD);
    let before = audit_text(&realm);
    for (arguments, expected) in [
        (&["user", "list"][..], 0),
        (&["user", "show", "alice"], 0),
        (&["apikey", "list"], 0),
        (&["client", "list"], 0),
        (&["session", "list"], 0),
        (&["user", "add", "alice", "--no-password"], 1),
        (&["user", "passwd", "alice"], 1),
        (&["user", "lock", "bob"], 1),
        (&["user", "delete", "bob"], 1),
        (&["apikey", "add", "bob"], 1),
        (&["apikey", "revoke", "key_x"], 1),
        (&["client", "rotate", "app"], 1),
        (&["client", "delete", "app"], 1),
        (&["session", "revoke", "--user", "a1"], 1),
        (&["session", "revoke", "AAAAAAAAAAAAAAAAAAAAAA"], 1),
        (&["import", "users", "/none"], 69),
    ] {
        let output = typed(&realm, arguments, "weak");
        assert_eq!(code(&output), expected, "{arguments:?}: {}", stderr(&output));
        assert_eq!(audit_text(&realm), before, "{arguments:?}");
    }
}

#[test]
fn without_its_audit_log_a_command_changes_nothing() {
    let realm = realm();
    done(&realm, &["user", "add", "alice", "--id", "a1"], GOOD);
    let key = parsed(&done(&realm, &["apikey", "add", "alice", "--json"], ""));
    let id = key["id"].as_str().expect("an id").to_owned();
    done(&realm, &["client", "add", "app"], "");
    realm.mint("a1", &[]);
    let state = |realm: &Realm| {
        [["user", "list"], ["apikey", "list"], ["client", "list"], ["session", "list"]]
            .map(|what| done(realm, &[&what[..], &["--json"]].concat(), ""))
    };
    let before = state(&realm);
    let password = stored_user(&realm, "alice").password;
    let ring = realm.folder().join("ring.json");
    let ring_path = ring.display().to_string();
    let folder = realm.folder().display().to_string();
    let realm = realm.with("AUDIT_LOG", &folder);
    for arguments in [
        &["user", "add", "bob"][..],
        &["user", "passwd", "alice"],
        &["user", "lock", "alice"],
        &["user", "unlock", "alice"],
        &["user", "delete", "alice"],
        &["apikey", "add", "alice"],
        &["apikey", "revoke", &id],
        &["client", "add", "other"],
        &["client", "rotate", "app"],
        &["client", "delete", "app"],
        &["session", "revoke", "--user", "a1"],
        &["key", "rotate", "--ring", &ring_path],
    ] {
        let output = typed(&realm, arguments, GOOD);
        assert_eq!((code(&output), printed(&output).as_str()), (69, ""), "{arguments:?}");
        assert!(stderr(&output).contains("AUDIT_LOG"), "{}", stderr(&output));
    }
    let output = typed(&realm, &["import", "users", "-"], r#"{"username": "bob"}"#);
    assert_eq!(code(&output), 69, "{}", stderr(&output));
    assert_eq!(state(&realm), before);
    assert_eq!(stored_user(&realm, "alice").password, password);
    assert!(!ring.exists());
    let realm = realm.with("AUDIT_LOG", "off");
    let lines = audit_text(&realm);
    done(&realm, &["user", "lock", "alice"], "");
    assert_eq!(audit_text(&realm), lines);
}

#[test]
fn what_was_done_before_a_command_failed_is_told() {
    let realm = realm();
    done(&realm, &["user", "add", "alice", "--id", "a1"], GOOD);
    let realm = realm.with("DB_URL", "redis://127.0.0.1:1");
    let before = audited(&realm).len();
    let output = typed(&realm, &["user", "lock", "alice"], "");
    assert_eq!(code(&output), 69, "{}", stderr(&output));
    let locked = json!({"event": "user_locked", "user": "a1", "reason": "command"});
    assert_eq!(audited(&realm)[before..], [locked], "it is locked; nobody knows what ended");
    let output = typed(&realm, &["user", "unlock", "alice"], "");
    assert_eq!(code(&output), 69, "{}", stderr(&output));
    assert_eq!(stored_user(&realm, "alice").state, UserState::Locked);
    assert_eq!(audited(&realm).len(), before + 1);
}

#[test]
fn the_first_command_makes_the_folder_of_the_log_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let realm = realm();
    let ring = realm.folder().join("ring.json").display().to_string();
    let data = realm.folder().join("data");
    let realm = realm.with("DATA_DIR", &data.display().to_string());
    done(&realm, &["key", "rotate", "--ring", &ring], "");
    let mode = |path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(data.clone()), mode(data.join("audit.jsonl"))), (0o700, 0o600));
}

#[test]
fn who_is_unlocked_need_not_wait_out_failed_logins() {
    let realm = realm();
    done(&realm, &["user", "add", "alice", "--id", "a1", "--email", "a@example.com"], GOOD);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("tokio");
    let attempt = |name: &AttemptName| {
        runtime.block_on(async {
            let path = realm.folder().join("portcullis.db");
            let options = crate::support::patient_sqlite();
            let database = store::sqlite::Database::open(&path, options).await.expect("open");
            let (store, clock) = (SqliteRecordStore::new(database), Arc::new(SystemClock::new()));
            let records = Records::new(
                Arc::new(store),
                std::time::Duration::from_secs(5),
                clock.clone(),
                StoreMetrics::default(),
            );
            let config = ThrottleConfig {
                enabled: true,
                per_minute: 60,
                lock_tries: 1,
                lock_time: std::time::Duration::from_secs(3600),
            };
            let throttle = Throttle::new(Limits::new(records), config, clock);
            let wrong = async { Err::<(), _>(IssueError::InvalidGrant) };
            throttle.counted(name, TooEarly::RetryAfter, wrong).await.outcome
        })
    };
    let is_refused = |name: &AttemptName| match attempt(name) {
        Err(IssueError::InvalidGrant) => false,
        Err(IssueError::SlowDown(_)) => true,
        outcome => panic!("{outcome:?}"),
    };
    let hers = [
        AttemptName::user("a1"),
        AttemptName::written("alice"),
        AttemptName::written("a@example.com"),
    ];
    let others = [AttemptName::user("b1"), AttemptName::written("b1")];
    assert!(!hers.iter().chain(&others).any(is_refused));
    assert!(hers.iter().chain(&others).all(is_refused));
    done(&realm, &["user", "unlock", "alice"], "");
    assert!(!hers.iter().any(is_refused), "what was counted is forgotten");
    assert!(others.iter().all(is_refused), "and nobody else's");
}
