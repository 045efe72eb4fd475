//! `portcullis explain` of requests that were recorded: by curl, by a browser, by the gate's own log.

use serde_json::{Value, json};

use crate::support::{
    http::{self, bearer},
    realm::Realm,
};

const POLICY: &str = r#"
[[route]]
name = "own"
path = "/users/{id}/*"
require = { claims = { sub = "{id}" } }

[[route]]
name = "write"
path = "/items/*"
methods = ["POST"]
"#;

fn realm() -> Realm {
    Realm::new().with_policy(POLICY)
}

/// The explanation, which must not hold the token.
fn explained(realm: &Realm, arguments: &[&str], input: &str, token: &str) -> Value {
    let ended = realm.run_with(&[&["explain", "--json"], arguments].concat(), input);
    assert!(matches!(ended.code, 0 | 1), "{arguments:?}: {}", ended.errors);
    assert!(!ended.printed.contains(token) && !ended.errors.contains(token), "{ended:?}");
    ended.json()
}

#[test]
fn a_curl_command_is_judged_as_the_request_that_it_sends() {
    let realm = realm();
    let token = realm.mint("alice", &[]);
    let command = |rest: &str| format!("curl -s -H 'Authorization: Bearer {token}' {rest}");
    for (rest, code, route) in [
        ("https://app.test/users/alice/x", "ok", "own"),
        ("'https://app.test/users/bob/x?a=b&c'", "wrong_claim", "own"),
        ("-d '{}' https://app.test/items/1", "ok", "write"),
        ("-I https://app.test/items/1", "no_route", "another method"),
        ("--path-as-is https://app.test/users/alice/../bob/x", "ambiguous_request", "dot_segment"),
    ] {
        let shown = explained(&realm, &["--curl", "-"], &command(rest), &token);
        assert_eq!(shown["code"], code, "{rest}: {shown}");
        assert!(shown.to_string().contains(route), "{rest}: {shown}");
    }
    let shown =
        explained(&realm, &["--curl", &command("https://app.test/users/alice/")], "", &token);
    assert_eq!(shown["verdict"], "allow", "{shown}");
    for bad in ["--unknown x", "-b cookies.txt", ""] {
        let ended = realm.exits(64, &["explain", "--curl", &command(bad)], "");
        assert!(
            ended.errors.contains("--curl") && !ended.errors.contains(&token),
            "{}",
            ended.errors
        );
    }
}

#[test]
fn an_entry_of_a_browsers_record_is_judged() {
    let realm = realm().with("TOKEN_COOKIE", "session");
    let token = realm.mint("alice", &[]);
    let entry = |url: &str| {
        json!({"request": {"method": "GET", "url": url, "headers": [
            {"name": ":method", "value": "GET"},
            {"name": "Cookie", "value": format!("session={token}")},
            {"name": "X-Forwarded-Host", "value": "evil.test"},
        ]}})
    };
    let entries = [entry("https://app.test/users/alice/"), entry("https://app.test/users/bob/")];
    let har = json!({"log": {"version": "1.2", "entries": entries}});
    std::fs::write(realm.folder().join("page.har"), har.to_string()).expect("writable");
    for (number, code) in [("1", "ok"), ("2", "wrong_claim")] {
        let shown = explained(&realm, &["--har", "page.har", "--entry", number], "", &token);
        assert_eq!(shown["code"], code, "{shown}");
        assert!(shown["notes"].to_string().contains("x-forwarded-host is left out"), "{shown}");
    }
    let ended = realm.exits(64, &["explain", "--har", "page.har"], "");
    assert!(ended.errors.contains("it has 2 entries"), "{}", ended.errors);
}

#[test]
fn a_request_is_found_in_the_gates_own_log_by_its_id() {
    for format in ["text", "json"] {
        let realm = realm().with("LOG_FORMAT", format).with("ACCESS_LOG", "all");
        let gate = realm.gate();
        let token = realm.mint("alice", &[]);
        let lines = [
            "X-Request-Id: my.request-1",
            "X-Forwarded-Method: GET",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: app.test",
            "X-Forwarded-Uri: /users/bob/a%20%22b%22?token=x",
            &bearer(&token),
        ];
        let answered = http::get(gate.address, "/validate_request/traefik", &lines);
        assert_eq!(answered.status, 403, "{answered:?}");
        gate.wait_for_log("my.request-1");
        std::fs::write(realm.folder().join("gate.log"), gate.log()).expect("writable");
        let found = ["--request-id", "my.request-1", "--log", "gate.log"];
        let shown = explained(&realm, &[&found[..], &["--token", &token]].concat(), "", &token);
        assert_eq!(shown["code"], "wrong_claim", "{shown}");
        assert!(
            shown.to_string().contains("GET https://app.test/users/bob/a%20%22b%22"),
            "{shown}"
        );
        assert!(shown["notes"].to_string().contains("the log has no query"), "{shown}");
        let ended = realm.run(&[&["explain"], &found[..]].concat());
        assert_eq!(ended.code, 1, "{}", ended.errors);
        assert!(ended.printed.contains("verdict: deny (missing_credentials)"), "{}", ended.printed);
        assert!(ended.printed.contains("note: the log has no query"), "{}", ended.printed);
        let none = ["explain", "--request-id", "other", "--log", "gate.log"];
        let ended = realm.exits(64, &none, "");
        assert!(ended.errors.contains("no answer of the gate with this id"), "{}", ended.errors);
    }
}

#[test]
fn one_request_is_explained_and_a_policy_needs_one() {
    let realm = realm();
    for arguments in [
        &["--url", "https://a.test/", "--curl", "curl https://a.test/"][..],
        &["--curl", "curl https://a.test/", "--method", "POST"],
        &["--har", "x", "--request-id", "y", "--log", "z"],
        &["--request-id", "y"],
        &["--log", "y"],
        &["--entry", "1"],
    ] {
        realm.exits(64, &[&["explain"], arguments].concat(), "");
    }
    let ended = realm.exits(64, &["explain", "--token", "x"], "");
    assert!(ended.errors.contains("--url, --curl, --har or --request-id"), "{}", ended.errors);
}

#[test]
fn a_request_that_no_policy_judges_is_noted() {
    let realm = Realm::new();
    let token = realm.mint("alice", &[]);
    let by_url = ["--url", "https://app.test/", "--method", "PUT", "--token", &token];
    let shown = explained(&realm, &by_url, "", &token);
    assert!(shown["notes"].to_string().contains("POLICY_FILE is not set"), "{shown}");
    let shown = explained(&realm, &["--token", &token], "", &token);
    assert_eq!(shown["notes"], json!([]), "{shown}");
}
