//! Heads that come again: answered as without the hot loop, each with the id that it has, and let pass for no longer.

use super::hot_loop::gates;
use crate::support::gate::Gate;
use crate::support::http::{Client, Response, bearer, request};
use crate::support::realm::Realm;
use crate::support::{PATIENCE, poll};

const HITS: &str = "portcullis_cache_repeated_heads_total";
/// The times that each head is asked: the first two are not answered from the first level of the cache, and the third is
/// remembered.
const TIMES: usize = 6;

const POLICY: &str = r#"
[[route]]
name = "page"
path = "/page/*"
require = { scopes = ["user:read"] }

[[route]]
name = "recent"
path = "/recent"
require = { max_login_age = 300 }

[[route]]
name = "either"
path = "/either"
require = { any = [{ roles = ["admin"] }, { max_login_age = 300 }] }

[[route]]
name = "open"
path = "/open"
require = "nothing"
"#;

/// A realm with that policy.
fn realm() -> Realm {
    Realm::new().with("TOKEN_COOKIE", "session").with_policy(POLICY)
}

/// The question of nginx about a path.
fn question(method: &str, path: &str, lines: &[&str]) -> Vec<u8> {
    let told = ["X-Original-Method: GET", "X-Original-Proto: https", "X-Original-Host: app.test"];
    let uri = format!("X-Original-URI: {path}");
    request(method, "/validate_request", &[&told[..], &[&uri], lines].concat(), b"")
}

/// What a gateway is told: all but the date.
fn told(response: &Response) -> (u16, Vec<(String, String)>) {
    let headers = response.headers.iter().filter(|(name, _)| name != "date");
    (response.status, headers.cloned().collect())
}

/// Asks both gates the same on connections that stay; as often as `TIMES`, with another number each time.
fn assert_alike(gates: &[Gate; 2], of: impl Fn(usize) -> Vec<u8>) -> f64 {
    let [hot, plain] = gates;
    let mut clients = [hot, plain].map(|gate| Client::connect(gate.address));
    let before = hot.counter(HITS, &[]);
    for time in 0..TIMES {
        let asked = of(time);
        let [hot, plain] = clients.each_mut().map(|client| told(&client.exchange(&asked)));
        assert_eq!(hot, plain, "time {time}: {}", String::from_utf8_lossy(&asked));
    }
    hot.counter(HITS, &[]) - before
}

#[test]
fn a_head_that_comes_again_is_answered_as_without_the_loop_with_its_own_id() {
    let realm = realm();
    let gates = gates(&realm);
    let good = bearer(&realm.mint("alice", &["--scope", "user:read"]));
    // Each page is one that nobody asked about before.
    for (page, (id, is_found)) in [
        ("", true),
        ("X-Request-Id: a{}", true),
        ("x-request-id: a{}", true),
        ("X-Request-ID: a{}", true),
        // These are not noticed before the head is parsed: each is another head.
        ("X-REQUEST-ID: a{}", false),
        ("X-Request-Id:a{}", false),
        ("X-Request-Id:  a{}", false),
        // These are no ids, and are not given back.
        ("X-Request-Id: a{} ", false),
        ("X-Request-Id: a b{}", false),
        ("X-Request-Id: \u{e9}{}", false),
        ("X-Request-Id: ", false),
        // The first one is the id, whatever the second one says.
        ("X-Request-Id: a{}\r\nX-Request-Id: b", false),
        ("X-Request-Id: a\r\nx-request-id: b{}", false),
        ("X-REQUEST-ID: a\r\nx-request-id: b{}", false),
        ("X_Request_Id: a{}", false),
    ]
    .into_iter()
    .enumerate()
    {
        let hits = assert_alike(&gates, |time| {
            let id = id.replace("{}", &time.to_string());
            let lines = [good.as_str(), &id];
            question("GET", &format!("/page/{page}"), &lines[..if id.is_empty() { 1 } else { 2 }])
        });
        assert_eq!(hits > 0.0, is_found, "{id:?}: {hits} hits");
    }
}

#[test]
fn what_may_be_judged_otherwise_next_time_is_judged_each_time() {
    let realm = realm();
    let gates = gates(&realm);
    let minted = realm.mint("alice", &["--scope", "user:read"]);
    let good = bearer(&minted);
    let cookie = good.replace("Authorization: Bearer ", "Cookie: session=");
    let asked = |method: &'static str, path: &'static str, line: &str| {
        let asked = question(method, path, &[line, "X-Request-Id: one"]);
        assert_alike(&gates, |_| asked.clone())
    };
    assert!(asked("GET", "/page/1", &good) > 0.0);
    assert!(asked("GET", "/page/1", &cookie) > 0.0);
    assert!(asked("POST", "/page/1", &good) > 0.0, "it has no body");
    for (path, line) in [
        ("/recent", good.as_str()),
        ("/either", &good),
        ("/open", &good),
        ("/nowhere", &good),
        ("/page/1", "Authorization: Bearer no"),
        ("/page/1", "Accept: text/html"),
    ] {
        assert_eq!(asked("GET", path, line), 0.0, "{path} {line}");
    }
    let head = question("HEAD", "/page/2", &[&good]);
    let [hot, plain] = gates.each_ref().map(|gate| {
        let mut client = Client::connect(gate.address);
        let answers = (0..TIMES).map(|_| told(&client.exchange_head(&head)));
        (answers.collect::<Vec<_>>(), gate.counter(HITS, &[]))
    });
    assert_eq!(hot.0, plain.0);
    assert_eq!((hot.1, plain.1), (gates[0].counter(HITS, &[]), 0.0), "the loop is off");
}

#[test]
fn a_head_is_let_pass_no_longer_than_its_session_lives() {
    let realm = realm();
    let [gate, _] = gates(&realm);
    let token = realm.mint("alice", &["--scope", "user:read"]);
    let asked = question("GET", "/page/1", &[&bearer(&token), "X-Request-Id: one"]);
    let mut client = Client::connect(gate.address);
    for _ in 0..TIMES {
        assert_eq!(client.exchange(&asked).status, 200);
    }
    assert!(gate.counter(HITS, &[]) > 0.0);
    realm.revoke(&token);
    poll("the end of the session", PATIENCE, || {
        (client.exchange(&asked).status == 401).then_some(())
    });
    assert_eq!(client.exchange(&asked).status, 401);
}

#[test]
fn a_head_is_let_pass_no_longer_than_its_policy_is_in_force() {
    let realm = realm();
    let [gate, _] = gates(&realm);
    let asked =
        question("GET", "/page/1", &[&bearer(&realm.mint("alice", &["--scope", "user:read"]))]);
    let mut client = Client::connect(gate.address);
    for _ in 0..TIMES {
        assert_eq!(client.exchange(&asked).status, 200);
    }
    assert!(gate.counter(HITS, &[]) > 0.0);
    let file = realm.setting("POLICY_FILE").expect("a policy");
    let (new, policy) = (format!("{file}.new"), POLICY.replace("user:read", "user:write"));
    std::fs::write(&new, policy).expect("writable");
    std::fs::rename(&new, file).expect("renamed");
    poll("the new policy", PATIENCE, || (client.exchange(&asked).status == 403).then_some(()));
    assert_eq!(client.exchange(&asked).status, 403);
}

#[test]
fn with_a_log_of_all_requests_each_is_logged() {
    let realm = realm().with("ACCESS_LOG", "all");
    let [gate, _] = gates(&realm);
    let good = bearer(&realm.mint("alice", &["--scope", "user:read"]));
    let mut client = Client::connect(gate.address);
    for time in 0..TIMES {
        let asked = question("GET", "/page/1", &[&good, &format!("X-Request-Id: id-{time}")]);
        assert_eq!(client.exchange(&asked).status, 200);
    }
    for time in 0..TIMES {
        gate.wait_for_log(&format!("id-{time}"));
    }
    assert_eq!(gate.counter(HITS, &[]), 0.0);
}
