//! Rights at the issuer: the administrator's token, whose sessions somebody may list and end, and whom a name
//! means.

use std::{os::unix::fs::PermissionsExt as _, time::Duration};

use portcullis::issuer::{error::IssueError, login::GrantParams};
use portcullis::secret::Secret;
use serde_json::json;

use crate::support::{
    gate::Gate,
    http::{Client, bearer, request},
    issuance::{self, Fixture},
    issuer::{ALICE, DEMO, Issuer, text},
    realm::Realm,
    tokens,
};

const ADMIN: &str = "an administrator's token of his own choice";
const UUID: &str = "9a1c1f0e-3a51-4d57-bd4c-4f7e1e0ad9f1";

#[test]
fn whatever_changes_or_lists_takes_the_administrators_token_on_loopback_too() {
    let realm = Realm::issuing();
    let issuer = Issuer::start(&realm);
    let file = realm.folder().join("admin-token");
    let mode = file.metadata().expect("it was made").permissions().mode() & 0o777;
    assert_eq!((issuer.admin_token.len(), mode), (43, 0o600));
    for (method, path) in [
        ("GET", "/admin/audit"),
        ("GET", "/admin/audit/summary"),
        ("GET", "/admin/sessions"),
        ("DELETE", "/admin/sessions/x"),
        ("GET", "/admin/users/x/sessions"),
        ("DELETE", "/admin/users/x/sessions"),
        ("POST", "/register_key"),
        ("POST", "/is_key_registered"),
    ] {
        // As nginx sends it, where somebody wrote `proxy_http_version 1.1` and no header.
        let missing = issuer.ask_internal(method, path, &[], "{}");
        assert_eq!(missing.status, 401, "{method} {path}");
        assert_eq!(missing.header("www-authenticate"), Some("Bearer realm=\"portcullis\""));
        let wrong = issuer.ask_internal(method, path, &[&bearer("wrong")], "{}");
        assert_eq!(wrong.status, 401, "{method} {path}");
        let right = issuer.as_admin(method, path, b"{}");
        assert!(!matches!(right.status, 401 | 403), "{method} {path}: {right:?}");
    }
    let token = issuer.admin_token.clone();
    drop(issuer);
    let issuer = Issuer::start(&realm);
    assert_eq!(issuer.admin_token, token, "it is made once");
    assert_eq!(issuer.as_admin("GET", "/admin/sessions", b"").status, 200);
    assert!(!issuer.gate.log().contains(&token));
}

#[test]
fn a_token_that_others_can_read_stops_the_start() {
    let realm = Realm::issuing();
    let file = realm.folder().join("admin-token");
    std::fs::write(&file, ADMIN).expect("a writable folder");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("a mode");
    let report = realm.exits(69, &["serve"], "").errors;
    assert!(report.contains("admin-token") && report.contains("chmod 600"), "{report}");
}

#[test]
fn jwthenticators_two_routes_are_open_where_the_operator_says_so() {
    let realm = Realm::issuing().with("OPEN_KEY_REGISTRATION", "true");
    let issuer = Issuer::start(&realm);
    let key = json!({"key": "a long and random key", "identifier": UUID}).to_string();
    assert_eq!(issuer.ask_internal("POST", "/register_key", &[], &key).status, 201);
    let asked = json!({"key": "a long and random key"}).to_string();
    assert_eq!(issuer.ask_internal("POST", "/is_key_registered", &[], &asked).status, 200);
    for line in ["X-Forwarded-For: 127.0.0.1", "Origin: http://localhost", "Via: 1.1 x"] {
        assert_eq!(
            issuer.ask_internal("POST", "/register_key", &[line], &key).status,
            403,
            "{line}"
        );
    }
    assert_eq!(issuer.ask_internal("GET", "/admin/sessions", &[], "").status, 401);
    let realm = realm.with("INTERNAL_LISTEN", "0.0.0.0:0").with("ADMIN_TOKEN", ADMIN);
    let output = realm.exits(64, &["check-config"], "");
    assert!(output.errors.contains("OPEN_KEY_REGISTRATION"));
}

#[test]
fn the_internal_listener_answers_to_its_own_name_and_nobody_to_two() {
    let issuer = Issuer::start(&Realm::issuing());
    let token = bearer(&issuer.admin_token);
    let status = |at, lines: &[&str]| {
        Client::connect(at).exchange(request("GET", "/admin/sessions", lines, b"")).status
    };
    let own = format!("Host: {}", issuer.internal);
    assert_eq!(status(issuer.internal, &[&own, &token]), 200);
    assert_eq!(status(issuer.internal, &["Host: localhost", &token]), 200);
    for host in ["Host: evil.example", "Host: 192.0.2.1", "Host: localhost.evil.example"] {
        assert_eq!(status(issuer.internal, &[host, &token]), 403, "{host}");
    }
    for more in [own.as_str(), "Host: evil.example"] {
        assert_eq!(status(issuer.internal, &[&own, more, &token]), 400, "{more}");
    }
    assert_eq!(status(issuer.public, &["Host: one.example", "Host: two.example"]), 400);
}

#[test]
fn a_unix_sockets_permissions_stand_in_for_a_token_where_none_is_set() {
    let realm = Realm::issuing();
    let socket = realm.folder().join("internal.sock");
    let realm = realm.with("INTERNAL_LISTEN", &format!("unix:{}", socket.display()));
    let ask = |lines: &[&str]| {
        let lines = [&["Host: localhost"], lines].concat();
        let bytes = request("GET", "/admin/sessions", &lines, b"");
        Client::connect_unix(&socket).exchange(bytes).status
    };
    let gate = Gate::start(realm.folder(), realm.settings());
    assert_eq!((ask(&[]), ask(&["X-Forwarded-For: 192.0.2.1"])), (200, 403));
    assert_eq!(socket.metadata().expect("a socket").permissions().mode() & 0o777, 0o660);
    assert!(!realm.folder().join("admin-token").exists(), "nothing needs one");
    drop(gate);
    let realm = realm.with("ADMIN_TOKEN", ADMIN);
    let _gate = Gate::start(realm.folder(), realm.settings());
    assert_eq!((ask(&[]), ask(&[&bearer(ADMIN)])), (401, 200));
}

#[test]
fn a_user_is_named_by_id_username_or_e_mail_and_nobody_is_404() {
    let realm = Realm::issuing();
    let add = ["user", "add", "bob", "--email", "bob@example.com", "--no-password"];
    let id = realm.ask(&add);
    let issuer = Issuer::start(&realm);
    for name in [id.as_str(), "bob", "BOB", "bob@example.com"] {
        let path = format!("/admin/users/{name}/sessions");
        let token = realm.mint(&id, &[]);
        let listed = issuer.as_admin("GET", &path, b"").json();
        assert_eq!(listed["sessions"].as_array().map(Vec::len), Some(1), "{name}: {listed}");
        let ended = issuer.as_admin("DELETE", &path, b"");
        assert_eq!((ended.status, ended.json()), (200, json!({"ended": 1})), "{name}");
        assert_eq!(issuer.check(&token), 401, "{name}");
        let token = realm.mint(&id, &[]);
        let listed = realm.ask(&["session", "list", "--user", name, "--json"]);
        assert!(listed.contains(tokens::claims(&token)["sid"].as_str().expect("a session")));
        realm.ask(&["session", "revoke", "--user", name]);
        assert_eq!(issuer.check(&token), 401, "{name}");
        let none = issuer.as_admin("DELETE", &path, b"");
        assert_eq!((none.status, none.json()), (200, json!({"ended": 0})), "he is known");
    }
    for method in ["GET", "DELETE"] {
        let nobody = issuer.as_admin(method, "/admin/users/nobody/sessions", b"");
        assert_eq!((nobody.status, nobody.json()["error"].as_str()), (404, Some("not_found")));
    }
    for command in ["list", "revoke"] {
        realm.exits(1, &["session", command, "--user", "nobody"], "");
    }
    // Whom the accounts do not know, as they do not know the hook's users, has sessions all the same.
    let path = "/admin/users/stranger/sessions";
    let token = realm.mint("stranger", &[]);
    assert_eq!(issuer.as_admin("GET", path, b"").status, 200);
    assert_eq!(issuer.as_admin("DELETE", path, b"").json(), json!({"ended": 1}));
    assert_eq!(issuer.check(&token), 401);
    assert_eq!(issuer.as_admin("DELETE", path, b"").status, 404);
    // The id of one and the name of another: neither is meant.
    realm.ask(&["user", "add", "eve", "--id", "mallory", "--no-password"]);
    realm.ask(&["user", "add", "mallory", "--no-password"]);
    assert_eq!(issuer.as_admin("DELETE", "/admin/users/mallory/sessions", b"").status, 400);
    realm.exits(64, &["session", "revoke", "--user", "mallory"], "");
}

#[test]
fn other_sessions_are_reached_by_a_password_or_the_scope_for_it_alone() {
    let realm = Realm::issuing().with("SESSIONS_SCOPE", "sessions");
    realm.add_user(ALICE.0, ALICE.1, &["user:read", "sessions"]);
    let grants = ["--grant", "client_credentials"];
    let secret = realm.add_client(DEMO, &grants);
    let keys = ["user:read", "sessions"]
        .map(|scope| realm.ask(&["apikey", "add", ALICE.0, "--scope", scope]));
    let issuer = Issuer::start(&realm);
    let by = |fields: &[(&str, &str)]| {
        let answer = issuer.form("/token", fields, &[]);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    let by_key =
        |key: &str| by(&[("grant_type", "urn:portcullis:grant-type:api-key"), ("api_key", key)]);
    let person = issuer.log_in();
    let others = tokens::claims(text(&person, "access_token"))["sid"]
        .as_str()
        .expect("a session")
        .to_owned();
    let by_client = by(&[
        ("grant_type", "client_credentials"),
        ("client_id", DEMO),
        ("client_secret", &secret),
    ]);
    let narrow = [by_key(&keys[0]), by_client, json!({"access_token": realm.mint("x", &[])})];
    for login in &narrow {
        for (method, path) in [
            ("GET", "/sessions"),
            ("DELETE", "/sessions"),
            ("DELETE", "/sessions?except=current"),
            ("DELETE", &*format!("/sessions/{others}")),
            ("DELETE", "/sessions/none"),
        ] {
            let refused = issuer.with_bearer(method, path, text(login, "access_token"));
            assert_eq!(refused.status, 403, "{method} {path} {login}");
            assert_eq!(refused.json()["error"], "access_denied");
        }
    }
    assert_eq!(issuer.check(text(&person, "access_token")), 200, "nothing of that ended anything");
    let own = tokens::claims(text(&narrow[0], "access_token"))["sid"]
        .as_str()
        .expect("a session")
        .to_owned();
    let ended =
        issuer.with_bearer("DELETE", &format!("/sessions/{own}"), text(&narrow[0], "access_token"));
    assert_eq!(
        (ended.status, issuer.check(text(&narrow[0], "access_token"))),
        (200, 401),
        "its own it may end"
    );
    assert_eq!(issuer.with_bearer("POST", "/logout", text(&narrow[1], "access_token")).status, 200);

    let keeper = by_key(&keys[1]);
    for login in [&keeper, &person] {
        let listed = issuer.with_bearer("GET", "/sessions", text(login, "access_token")).json();
        assert_eq!(listed["sessions"].as_array().map(Vec::len), Some(2), "{listed}");
    }
    let next = issuer.by_refresh(text(&person, "refresh_token"), &[]).json();
    let ended =
        issuer.with_bearer("DELETE", "/sessions?except=current", text(&next, "access_token"));
    assert_eq!(ended.json(), json!({"ended": 1}), "the login goes on by its next token");
    assert_eq!(issuer.check(text(&keeper, "access_token")), 401);
}

#[tokio::test]
async fn introspection_allows_for_no_clock_but_its_own() {
    let fixture = Fixture::new(|setup| setup.leeway = Duration::from_secs(600)).await;
    let token = issuance::text(&fixture.login().await.access_token);
    let is_active = async || {
        let known = fixture.issuance.introspection.introspect(&token).await.expect("an answer");
        (known.is_some(), fixture.dependencies.verifier.verify(&token).is_ok())
    };
    fixture.clock.advance(Duration::from_secs(899));
    assert_eq!(is_active().await, (true, true));
    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(is_active().await, (false, true), "the gate allows for other clocks");
}

#[test]
fn a_client_that_is_deleted_takes_its_sessions_along() {
    let realm = Realm::issuing();
    let secret = realm.with_alice_and_demo();
    let issuer = Issuer::start(&realm);
    let demo = [("client_id", DEMO), ("client_secret", secret.as_str())];
    let by = |fields: &[(&str, &str)], client: &[(&str, &str)]| {
        let answer = issuer.form("/token", &[fields, client].concat(), &[]);
        text(&answer.json(), "access_token").to_owned()
    };
    let alice = [("grant_type", "password"), ("username", ALICE.0), ("password", ALICE.1)];
    let tokens =
        [by(&alice, &demo), by(&[("grant_type", "client_credentials")], &demo), by(&alice, &[])];
    assert_eq!(tokens.each_ref().map(|token| issuer.check(token)), [200; 3]);
    let report = realm.ask_json(&["client", "delete", DEMO, "--json"]);
    assert_eq!(report, json!({"id": DEMO, "done": true, "sessions_ended": 2}));
    assert_eq!(tokens.each_ref().map(|token| issuer.check(token)), [401, 401, 200]);
    realm.exits(1, &["client", "delete", DEMO], "");
}

#[tokio::test]
async fn whoever_is_logged_in_by_a_client_that_is_gone_by_then_gets_no_session() {
    let fixture = Fixture::usual().await;
    let accounts = &fixture.dependencies.accounts;
    // As it was when it showed its secret.
    let client = fixture.demo.clone();
    accounts.delete_client(&client.id).await.expect("deleted");
    let params = || GrantParams { client: Some(&client), ..GrantParams::default() };
    let (password, caller) = (Secret::new(issuance::ALICE.1), &fixture.caller);
    let refused = Err(IssueError::InvalidClient { by_header: false });
    let login =
        fixture.issuance.login.password(issuance::ALICE.0, &password, params(), caller).await;
    assert_eq!(login, refused);
    assert_eq!(fixture.issuance.login.client_credentials(&client, params(), caller).await, refused);
    assert_eq!(fixture.issuance.revocation.list(None, 10).await.map(|found| found.len()), Ok(0));
}

#[test]
fn no_key_is_registered_for_a_person() {
    const OTHER: &str = "01234567-89ab-cdef-0123-456789abcdef";
    let realm = Realm::issuing();
    realm.ask(&["user", "add", "alice", "--id", UUID, "--no-password"]);
    realm.ask(&["user", "add", OTHER, "--no-password"]);
    let issuer = Issuer::start(&realm);
    for identifier in [UUID, OTHER] {
        let body = json!({"key": "a long and random key", "identifier": identifier});
        let refused = issuer.json_internal("/register_key", &body);
        assert_eq!(refused.status, 403, "{identifier}: {}", refused.text());
        let why = refused.json()["identifier"][0].as_str().map(str::to_owned);
        assert!(why.is_some_and(|why| why.contains("person")), "{}", refused.text());
    }
    assert_eq!(realm.ask(&["apikey", "list", "--json"]), "[]");
    let users = realm.ask_json(&["user", "list", "--json"]);
    assert_eq!(users.as_array().map(Vec::len), Some(2), "nobody was made for it");
}

#[test]
fn sessions_end_by_a_name_that_is_somebody_elses_id_too() {
    let realm = Realm::issuing();
    realm.add_user(ALICE.0, ALICE.1, &[]);
    // The hook's users have ids of their own, which an account may have for a username.
    let token = realm.mint(ALICE.0, &[]);
    let issuer = Issuer::start(&realm);
    let path = format!("/admin/users/{}/sessions", ALICE.0);
    assert_eq!(issuer.check(&token), 200);
    assert_eq!(issuer.as_admin("DELETE", &path, b"").json(), json!({"ended": 1}));
    assert_eq!(issuer.check(&token), 401);
    let token = realm.mint(ALICE.0, &[]);
    realm.exits(0, &["session", "revoke", "--user", ALICE.0], "");
    assert_eq!(issuer.check(&token), 401);
}

#[test]
fn the_administrators_token_is_guessed_within_the_budget_where_services_ask_too() {
    let limits = Realm::issuing().with("RATE_LIMITS", "true").with("RATE_LIMIT_PER_MINUTE", "5");
    let issuer = Issuer::start(&limits);
    let guess =
        |token: &str| issuer.form("/introspect", &[("token", "x")], &[&bearer(token)]).status;
    let said: Vec<u16> = (0..12).map(|n| guess(&format!("guess {n}"))).collect();
    assert_eq!((said.first(), said.last()), (Some(&401), Some(&429)), "{said:?}");
    assert_eq!(guess(&issuer.admin_token), 200, "the right one is never refused for others'");
}
