//! Searches through the real program: over the internal listener, and by commands.

use serde_json::{Value, json};

use crate::support::{
    http::bearer,
    issuer::{ALICE, Issuer, text},
    postgres::PostgresServer,
    realm::Realm,
};

const WRONG: &str = "no looking-glass at all";

/// The events that a search over HTTP finds.
fn found(issuer: &Issuer, query: &str) -> Vec<Value> {
    let answer = issuer.as_admin("GET", &format!("/admin/audit?{query}"), b"");
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    answer.json()["events"].as_array().expect("events").clone()
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| text(event, "event")).collect()
}

/// A realm in which alice logged in, was refused twice by other spellings of her name, and somebody else once.
fn with_a_history(realm: Realm) -> (Realm, Issuer, String) {
    realm.add_user(ALICE.0, ALICE.1, &[]);
    let issuer = Issuer::start(&realm);
    let login = issuer.log_in();
    for name in ["ALICE", " alice "] {
        assert_eq!(issuer.by_password(name, WRONG, &[]).status, 400);
    }
    let form = [("grant_type", "password"), ("username", "bob"), ("password", WRONG)];
    let from = "X-Forwarded-For: 2001:DB8:0:0::7";
    assert_eq!(issuer.form("/token", &form, &[from]).status, 400);
    let id = text(&login, "user_id").to_owned();
    (realm, issuer, id)
}

fn is_searched_over_http_and_by_commands(realm: Realm) {
    let (realm, issuer, id) = with_a_history(realm);
    // What this process was told is there at once, and what a command was told before it.
    assert_eq!(
        kinds(&found(&issuer, "")),
        ["login_refused", "login_refused", "login_refused", "login", "user_added"]
    );
    for (query, expected) in [
        (format!("user={id}"), &["login", "user_added"][..]),
        ("login=Alice".to_owned(), &["login_refused", "login_refused"]),
        ("address=2001:db8::7".to_owned(), &["login_refused"]),
        ("address=127.0.0.1&kind=login".to_owned(), &["login"]),
        ("kind=refresh".to_owned(), &[]),
        ("from=2020-01-01&to=2020-01-02T00:00:00Z".to_owned(), &[]),
        ("from=2020-01-01&kind=user_added".to_owned(), &["user_added"]),
    ] {
        assert_eq!(kinds(&found(&issuer, &query)), expected, "{query}");
    }
    let bob = found(&issuer, "login=bob").remove(0);
    assert_eq!((text(&bob, "error"), text(&bob, "reason")), ("invalid_grant", "password"));
    assert_eq!((text(&bob, "address"), text(&bob, "login")), ("2001:db8::7", "bob"));

    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = issuer.as_admin("GET", &format!("/admin/audit?limit=2{cursor}"), b"").json();
        pages.push(answer["events"].as_array().expect("events").len());
        let Some(next) = answer["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(pages, [2, 2, 1]);

    let summary = issuer.as_admin("GET", "/admin/audit/summary?from=2020-01-01", b"").json();
    assert_eq!(summary["events"][0], json!({"event": "login_refused", "count": 3, "left_out": 0}));
    assert_eq!(summary["refused_logins"][0], json!({"login": "alice", "count": 2}));
    let by_command = realm.ask_json(&["audit", "summary", "--from", "2020-01-01", "--json"]);
    assert_eq!(by_command, summary);

    let listed = realm.ask_json(&["audit", "list", "--user", "alice", "--json"]);
    assert_eq!(listed["events"], json!(found(&issuer, &format!("user={id}"))));
    let table = realm.ask(&["audit", "list", "--login", "bob"]);
    assert!(table.contains("login_refused") && table.contains("2001:db8::7"), "{table}");
    let first = realm.exits(0, &["audit", "list", "--limit", "4"], "");
    let cursor = first.errors.trim().rsplit(' ').next().expect("a cursor").to_owned();
    let rest = realm.ask(&["audit", "list", "--cursor", &cursor]);
    assert_eq!((first.printed.lines().count(), rest.lines().count()), (5, 2), "heads included");

    assert_eq!(realm.ask_json(&["audit", "purge", "--json"])["purged"], 0, "nothing is old");
    let purge = ["audit", "purge", "--before", "2100-01-01", "--json"];
    assert_eq!(realm.ask_json(&purge)["purged"], 5);
    let left = found(&issuer, "");
    assert_eq!((kinds(&left), &left[0]["count"]), (vec!["audit_purged"], &json!(5)));
}

#[test]
fn events_in_sqlite_are_searched_over_http_and_by_commands() {
    is_searched_over_http_and_by_commands(Realm::issuing());
}

#[test]
fn events_in_postgresql_are_searched_over_http_and_by_commands() {
    let Some(server) = PostgresServer::shared() else { return };
    is_searched_over_http_and_by_commands(
        Realm::issuing().with("ACCOUNTS_URL", &server.database()),
    );
}

#[test]
fn a_name_that_no_database_can_hold_keeps_no_other_event_out() {
    let Some(server) = PostgresServer::shared() else { return };
    let realm = Realm::issuing().with("ACCOUNTS_URL", &server.database());
    let (_realm, issuer, _) = with_a_history(realm);
    let long = "é".repeat(5_000);
    for name in ["nul\0nul", &long] {
        assert_eq!(issuer.by_password(name, WRONG, &[]).status, 400);
        let found = found(&issuer, "limit=1").remove(0);
        let login = text(&found, "login");
        assert!(login == "nul\u{fffd}nul" || login == "é".repeat(127), "{found}");
    }
}

#[test]
fn a_search_that_cannot_be_read_finds_nothing_rather_than_too_much() {
    let (realm, issuer, _) = with_a_history(Realm::issuing());
    for query in [
        "users=alice",
        "user=a&user=b",
        "kind=nonsense",
        "kind=Login",
        "address=nowhere",
        "from=yesterday",
        "to=2026-02-30",
        "limit=0",
        "limit=1001",
        "limit=all",
        "cursor=x",
    ] {
        let answer = issuer.as_admin("GET", &format!("/admin/audit?{query}"), b"");
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
        assert_eq!(text(&answer.json(), "error"), "invalid_request", "{query}");
    }
    assert_eq!(issuer.as_admin("GET", "/admin/audit/summary?kind=login", b"").status, 400);
    for (flag, value) in [("--kind", "nonsense"), ("--from", "now"), ("--limit", "0")] {
        realm.exits(64, &["audit", "list", flag, value], "");
    }
    realm.exits(64, &["audit", "purge", "--before", "now"], "");
    let realm = realm.with("AUDIT_RETENTION", "0");
    realm.exits(64, &["audit", "purge"], "");
}

#[test]
fn nobody_but_the_administrator_searches() {
    let (_realm, issuer, _) = with_a_history(Realm::issuing());
    for path in ["/admin/audit", "/admin/audit/summary"] {
        assert_eq!(issuer.ask_internal("GET", path, &[], "").status, 401, "{path}");
        assert_eq!(issuer.ask_internal("GET", path, &[&bearer("wrong")], "").status, 401, "{path}");
        assert_eq!(issuer.send("GET", path, &[], b"").status, 404, "{path} is not public");
    }
    let refused = found(&issuer, "kind=admin_refused");
    let routes: Vec<_> = refused.iter().rev().map(|event| text(event, "reason")).collect();
    let summary = "/admin/audit/summary";
    assert_eq!(routes, ["/admin/audit", "/admin/audit", summary, summary]);
}

#[test]
fn everybody_sees_what_happened_to_the_own_account_and_to_no_other() {
    let (realm, issuer, id) = with_a_history(Realm::issuing());
    realm.add_user("bob", WRONG, &["user:read"]);
    let key = realm.ask(&["apikey", "add", "bob"]);
    let bob = issuer.by_password("bob", WRONG, &[]).json();
    let own =
        issuer.with_bearer("GET", "/account/events?limit=2", text(&bob, "access_token")).json();
    let events = own["events"].as_array().expect("events");
    assert_eq!(kinds(events), ["login", "key_made"]);
    let rest = format!("/account/events?cursor={}", text(&own, "next"));
    let rest = issuer.with_bearer("GET", &rest, text(&bob, "access_token")).json();
    assert_eq!(kinds(rest["events"].as_array().expect("events")), ["user_added"]);
    assert!(!own.to_string().contains(&id), "{own}");
    for query in ["user=alice", "login=alice", "cursor=x"] {
        let path = format!("/account/events?{query}");
        assert_eq!(
            issuer.with_bearer("GET", &path, text(&bob, "access_token")).status,
            400,
            "{query}"
        );
    }
    assert_eq!(issuer.send("GET", "/account/events", &[], b"").status, 401);
    let form = [("grant_type", "urn:portcullis:grant-type:api-key"), ("api_key", &*key)];
    let narrow = issuer.form("/token", &form, &[]).json();
    let refused = issuer.with_bearer("GET", "/account/events", text(&narrow, "access_token"));
    assert_eq!(refused.status, 403, "not for whom a key stands: {refused:?}");
}

#[test]
fn a_refusal_names_the_route_and_not_whom_its_path_names() {
    let (_realm, issuer, _) = with_a_history(Realm::issuing());
    for path in ["/admin/users/alice@example.com/sessions", "/alice@example.com"] {
        assert_eq!(issuer.ask_internal("GET", path, &[], "").status, 401);
    }
    let refused = found(&issuer, "kind=admin_refused");
    let routes: Vec<_> = refused.iter().rev().map(|event| text(event, "reason")).collect();
    assert_eq!(routes, ["/admin/users/{user}/sessions", "no such route"]);
}

#[test]
fn what_was_told_before_a_stop_is_in_the_table_after_it() {
    let (realm, mut issuer, _) = with_a_history(Realm::issuing());
    for n in 0..60 {
        assert_eq!(issuer.by_password(&format!("nobody{n}"), WRONG, &[]).status, 400);
    }
    assert!(issuer.gate.stop().success());
    let summary = realm.ask_json(&["audit", "summary", "--json"]);
    assert_eq!(summary["events"][0]["count"], 63);
    let lines = realm.events().len();
    let kept = realm.ask_json(&["audit", "list", "--limit", "1000", "--json"]);
    assert_eq!(kept["events"].as_array().map(Vec::len), Some(lines), "as many as in the log");
}

#[test]
fn without_a_table_there_is_nothing_to_search_and_the_log_is_as_before() {
    let realm = Realm::issuing().with("AUDIT_STORE", "off");
    let (realm, issuer, _) = with_a_history(realm);
    assert_eq!(issuer.as_admin("GET", "/admin/audit", b"").status, 404);
    assert_eq!(realm.events().len(), 5);
    let kept = realm.ask_json(&["audit", "list", "--json"]);
    assert_eq!(kept, json!({"events": [], "next": null}));
}

#[test]
fn a_command_that_needs_no_accounts_makes_none_to_tell_of_itself() {
    let realm = Realm::hashing_little();
    let ring = realm.folder().join("ring.json").display().to_string();
    let rotated = realm.exits(0, &["key", "rotate", "--ring", &ring], "");
    assert!(!realm.folder().join("portcullis.db").exists());
    assert!(!rotated.errors.contains("audit"), "{}", rotated.errors);
    realm.ask(&["user", "add", "alice", "--no-password"]);
    realm.ask(&["key", "rotate", "--ring", &ring]);
    let listed = realm.ask_json(&["audit", "list", "--json"]);
    let events = listed["events"].as_array().expect("events");
    assert_eq!(kinds(events), ["signing_key_added", "user_added"]);
}

#[test]
fn a_table_that_cannot_be_written_stops_no_command_and_is_spoken_of() {
    let nobody = crate::support::free_address();
    let realm = Realm::hashing_little()
        .with("ACCOUNTS_URL", &format!("postgres://portcullis:hunter2@{nobody}/accounts"));
    let token = realm.mint("a1", &[]);
    let revoked = realm.exits(0, &["session", "revoke", "--token", &token], "");
    assert!(revoked.errors.contains("audit log"), "{}", revoked.errors);
    assert!(!revoked.errors.contains("hunter2"), "{}", revoked.errors);
    assert_eq!(realm.events().len(), 1);
}
