//! Logs and metrics for an operator: log lines, of which every one is whole, and counters that count.

use serde_json::Value;

use crate::support::{
    gate::Gate,
    http::{self, Client, Response, bearer, request},
    realm::Realm,
};

const PATH: &str = "/validate_request";

/// Lines of the access log, as JSON.
fn accesses(log: &str) -> Vec<Value> {
    let objects = log.lines().map(|line| match serde_json::from_str(line) {
        Ok(Value::Object(line)) => Value::Object(line),
        other => panic!("{line:?} is no JSON object: {other:?}"),
    });
    objects.filter(|line| line["target"] == "portcullis::access").collect()
}

fn ask(gate: &Gate, path: &str, lines: &[&str]) -> Response {
    http::get(gate.address, path, lines)
}

#[test]
fn a_json_log_has_one_object_a_line_and_the_gateways_request_id() {
    let realm = Realm::new().with("LOG_FORMAT", "json").with("ACCESS_LOG", "all");
    let realm = realm.with("LOG_LEVEL", "debug");
    let mut gate = realm.gate();
    let good = bearer(&realm.mint("alice", &[]));
    ask(&gate, PATH, &[&good, "X-Request-Id: yes-1", "X-Original-URI: /a?b=c"]);
    ask(&gate, PATH, &["X-Request-Id: no-1", "X-Original-Method: DELETE"]);
    let own = ask(&gate, PATH, &["X-Request-Id: two words"]);
    let own = own.header("x-request-id").expect("an id of its own").to_owned();
    let raw = b"GET /validate_request HTTP/1.1\r\nHost: \"}{\r\nX-Request-Id: odd-1\r\n\
        X-Original-URI: /\"},{\"x\":\"\\\r\nX-Original-Method: \xff\xfe\r\n\r\n";
    assert_eq!(Client::connect(gate.address).exchange(raw).status, 401);
    ask(
        &gate,
        "/validate_request/traefik",
        &["X-Request-Id: t-1", "X-Forwarded-Uri: /\u{2028}%0a"],
    );
    gate.stop();

    let lines = accesses(&gate.log());
    let ids: Vec<&str> = lines.iter().filter_map(|line| line["request_id"].as_str()).collect();
    assert_eq!(ids, ["yes-1", "no-1", &own, "odd-1", "t-1"]);
    for (line, verdict, code, status, entry_point) in [
        (&lines[0], "allow", "ok", 200, "nginx"),
        (&lines[1], "deny", "missing_credentials", 401, "nginx"),
        (&lines[4], "deny", "missing_credentials", 401, "traefik"),
    ] {
        assert_eq!(line["verdict"], verdict, "{line}");
        assert_eq!(line["code"], code, "{line}");
        assert_eq!(line["status"], status, "{line}");
        assert_eq!(line["entry_point"], entry_point, "{line}");
        assert!(line["timestamp"].is_string() && line["level"] == "INFO", "{line}");
    }
    assert_eq!(lines[0]["user"], "alice", "{}", lines[0]);
    assert_eq!(lines[0]["path"], "/a", "{}", lines[0]);
    assert_eq!(lines[1]["method"], "DELETE", "{}", lines[1]);
}

#[test]
fn a_refusal_says_in_plain_words_who_asked_for_what_from_where() {
    for format in ["text", "json"] {
        let realm = Realm::new().with("LOG_FORMAT", format);
        let mut gate = realm.gate();
        let good = bearer(&realm.mint("alice", &[]));
        let lines = [
            &good,
            "Host: app.example",
            "X-Original-Method: GET",
            "X-Original-URI: /users/é?token=x",
            "X-Forwarded-For: 10.9.9.9, 198.51.100.7",
            "X-Request-Id: no-1",
        ];
        assert_eq!(ask(&gate, "/validate_request?scope=b", &lines).status, 403);
        gate.stop();
        let log = gate.log();
        assert!(!log.contains("Some(") && !log.contains("None"), "{log}");
        let fields = [
            ("request_id", "no-1"),
            ("entry_point", "nginx"),
            ("verdict", "deny"),
            ("code", "insufficient_scope"),
            ("client", "198.51.100.7"),
            ("user", "alice"),
            ("method", "GET"),
            ("host", "app.example"),
            ("path", "/users/é"),
        ];
        if format == "json" {
            let [line] = &accesses(&log)[..] else { panic!("one line: {log}") };
            for (name, value) in fields {
                assert_eq!(line[name], value, "{line}");
            }
        } else {
            let line =
                log.lines().find(|line| line.contains("portcullis::access")).expect("a line");
            for (name, value) in fields {
                let written = [format!("{name}=\"{value}\""), format!("{name}={value} ")];
                assert!(written.iter().any(|field| line.contains(field)), "{name}: {line}");
            }
        }
    }
}

#[test]
fn a_credential_in_the_gateways_query_is_not_written_down_and_a_flood_of_it_is_cut_and_counted() {
    let realm = Realm::new().with("LOG_FORMAT", "json");
    let mut gate = realm.gate();
    let token = realm.mint("alice", &[]);
    let flood = format!("/validate_request?access_token={token}");
    for path in std::iter::repeat_n(flood, 600).chain([format!("/validate_request?{token}")]) {
        assert_eq!(ask(&gate, &path, &[]).status, 403);
    }
    let lost = [("log", "log"), ("reason", "rate")];
    assert!(gate.counter("portcullis_log_lines_lost_total", &lost) > 0.0, "{}", gate.log());
    let lost = [("log", "log"), ("reason", "room")];
    assert_eq!(gate.counter("portcullis_log_lines_lost_total", &lost), 0.0);
    gate.stop();
    let log = gate.log();
    for part in token.split('.') {
        assert!(!log.contains(part), "a part of the token is in the log");
    }
    let lines = log.lines().filter(|line| line.contains("asks for something else")).count();
    assert!((1..600).contains(&lines), "{lines} lines");
    assert!(log.contains("\"parameter\":\"access_token\""), "{log}");
    assert_eq!(accesses(&log).len(), 601);
}

#[test]
fn the_access_log_holds_what_was_asked_of_it() {
    for (setting, expected) in [
        (Some("off"), &[][..]),
        (Some("denied"), &["no-1", "no-2"]),
        (None, &["no-1", "no-2"]),
        (Some("all"), &["yes-1", "no-1", "no-2"]),
    ] {
        let mut realm = Realm::new().with("LOG_FORMAT", "json");
        if let Some(setting) = setting {
            realm = realm.with("ACCESS_LOG", setting);
        }
        let mut gate = realm.gate();
        let good = bearer(&realm.mint("alice", &[]));
        ask(&gate, PATH, &[&good, "X-Request-Id: yes-1"]);
        ask(&gate, PATH, &["X-Request-Id: no-1"]);
        ask(&gate, "/validate_request?scope=b", &[&good, "X-Request-Id: no-2"]);
        gate.stop();
        let lines = accesses(&gate.log());
        let ids: Vec<&str> = lines.iter().filter_map(|line| line["request_id"].as_str()).collect();
        assert_eq!(ids, expected, "{setting:?}");
    }
}

#[test]
fn the_metrics_count_verdicts_the_cache_and_the_store() {
    let realm = Realm::new().with("SESSION_STALENESS", "3600");
    let gate = realm.gate();
    let good = bearer(&realm.mint("alice", &[]));
    for _ in 0..4 {
        assert_eq!(ask(&gate, PATH, &[&good]).status, 200);
    }
    ask(&gate, "/validate_request/traefik?scope=b", &[&good]);
    ask(&gate, PATH, &[]);
    ask(&gate, PATH, &[]);
    ask(&gate, PATH, &["Authorization: Bearer rubbish"]);
    let body = serde_json::json!({ "jwt": &good["Authorization: Bearer ".len()..] }).to_string();
    let bytes = request("POST", "/validate", &[], body.as_bytes());
    assert_eq!(Client::connect(gate.address).exchange(bytes).status, 200);

    for (entry_point, verdict, code, count) in [
        ("nginx", "allow", "ok", 4.0),
        ("nginx", "deny", "missing_credentials", 2.0),
        ("nginx", "deny", "token_malformed", 1.0),
        ("nginx", "deny", "store_unavailable", 0.0),
        ("traefik", "deny", "insufficient_scope", 1.0),
        ("validate", "allow", "ok", 1.0),
    ] {
        let labels = [("entry_point", entry_point), ("verdict", verdict), ("code", code)];
        let counted = gate.counter("portcullis_requests_total", &labels);
        assert_eq!(counted, count, "{labels:?}");
    }
    assert_eq!(gate.counter("portcullis_requests_total", &[]), 9.0);
    // One of the six that bring the token reads its session; the others find it. One more reads it
    // where the gate hears only then that `mint` opened it.
    let outcome = |name| gate.counter("portcullis_cache_requests_total", &[("outcome", name)]);
    let (hits, misses, rechecks) = (outcome("hit"), outcome("miss"), outcome("recheck"));
    assert_eq!(hits + misses + rechecks, 7.0);
    assert!(hits >= 4.0 && misses >= 2.0, "{hits} found, {misses} not");
    let reads = gate.counter("portcullis_store_seconds_count", &[("operation", "get")]);
    assert_eq!(reads, 6.0 - hits, "whoever does not find it reads it");
    let seconds = gate.counter("portcullis_store_seconds_sum", &[("operation", "get")]);
    assert!(seconds > 0.0, "{seconds}");
    assert_eq!(gate.counter("portcullis_store_failures_total", &[]), 0.0);
    let answer = http::get(gate.metrics, "/metrics", &[]);
    let kind = answer.header("content-type").expect("a content type");
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    assert!(answer.text().ends_with("# EOF\n"), "{}", answer.text());
    assert_eq!(ask(&gate, "/metrics", &[]).status, 404, "not for everyone who can ask the gate");
}
