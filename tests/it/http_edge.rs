//! Raw bytes at the gate: what gateways, probes and mischief really send. The numbers are those of the gateways'
//! traps: nginx turns all but 200, 401 and 403 into a 500 at the client.

mod framing;
mod head_cache;
mod hot_loop;
mod memory;

use crate::support::{
    gate::Gate,
    http::{self, Client, Response, bearer, request},
    realm::Realm,
    tokens,
};

const PATH: &str = "/validate_request";

struct Edge {
    realm: Realm,
    gate: Gate,
    good: String,
}

impl Edge {
    fn start(realm: Realm) -> Self {
        let gate = realm.gate();
        let good = realm.mint("alice", &["--scope", "user:read"]);
        Self { realm, gate, good }
    }

    fn connect(&self) -> Client {
        Client::connect(self.gate.address)
    }

    fn get(&self, path: &str, lines: &[&str]) -> Response {
        http::get(self.gate.address, path, lines)
    }

    /// GET with the good token.
    fn good(&self, path: &str, lines: &[&str]) -> Response {
        self.get(path, &[&[bearer(&self.good).as_str()], lines].concat())
    }
}

/// Exactly what every gateway takes as a yes.
fn is_yes(response: &Response) {
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header("content-length"), Some("0"), "{response:?}");
    assert_eq!(response.header("cache-control"), Some("no-store"), "{response:?}");
    assert_eq!(response.header("x-auth-user"), Some("alice"), "{response:?}");
    assert_eq!(response.body, b"");
}

/// Exactly what nginx takes as a no for want of a credential.
fn is_no(what: &str, response: &Response) {
    assert_eq!(response.status, 401, "{what}: {response:?}");
    assert!(
        response.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")),
        "{what}: {response:?}"
    );
    assert_eq!(response.header("cache-control"), Some("no-store"), "{what}: {response:?}");
    assert_eq!(response.header("x-auth-user"), None, "{what}: {response:?}");
}

#[test]
fn a_yes_is_exactly_200_with_every_identity_header_once() {
    let edge = Edge::start(Realm::new());
    let response =
        edge.good(PATH, &["X-Auth-User: root", "X-Auth-Roles: admin", "X_Auth_User: root"]);
    is_yes(&response);
    for name in ["user", "username", "email", "scopes", "roles", "session", "issuer"] {
        assert_eq!(response.count(&format!("x-auth-{name}")), 1, "{name}: {response:?}");
    }
    assert_eq!(response.header("x-auth-scopes"), Some("user:read"));
    assert_eq!(response.header("x-auth-roles"), Some(""));
    assert_eq!(response.header("x-auth-session"), tokens::claims(&edge.good)["sid"].as_str());
    assert_eq!(response.header("x-auth-issuer"), Some("prismaticain"));
    assert_eq!(response.count("set-cookie"), 0);
}

#[test]
fn conditions_ranges_and_agents_change_nothing() {
    let edge = Edge::start(Realm::new());
    for line in [
        "Range: bytes=0-0",
        "If-None-Match: *",
        "If-Match: \"x\"",
        "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT",
        "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT",
        "Accept: image/png",
        "Accept-Encoding: gzip",
        "User-Agent:",
        "User-Agent: kube-probe/1.31",
        "User-Agent: GoogleHC/1.0",
        "User-Agent: ELB-HealthChecker/2.0",
        "User-Agent: Go-http-client/1.1",
        "X-Original-URI: /public",
        "X-Forwarded-Uri: /health",
        "X-Original-Method: OPTIONS",
        "X-Forwarded-Method: OPTIONS",
        "Access-Control-Request-Method: POST",
        "X-HTTP-Method-Override: OPTIONS",
    ] {
        is_yes(&edge.good(PATH, &[line]));
        is_no(line, &edge.get(PATH, &[line]));
    }
}

#[test]
fn every_bad_token_is_refused_in_both_dialects() {
    let edge = Edge::start(Realm::new());
    for (what, token) in tokens::bad(&edge.realm, &edge.good) {
        is_no(what, &edge.gate.check(&token));
        let response = edge.get("/validate_request/traefik", &[&bearer(&token)]);
        is_no(what, &response);
        assert!(response.json()["error"].is_string(), "{what}: {}", response.text());
    }
}

#[test]
fn odd_credentials_are_refused_and_never_an_error() {
    let edge = Edge::start(Realm::new());
    let credential = bearer(&edge.good);
    for line in [
        "Authorization:",
        "Authorization: Bearer",
        "Authorization: Bearer ",
        "Authorization: Basic YTpi",
        "Authorization: Bearer a b",
        "Authorization: Bearer ..",
        "Authorization: Bearer \u{fc}.\u{fc}.\u{fc}",
        &format!("Authorization: Bearer {},{}", edge.good, edge.good),
        &format!("Authorization: {}", edge.good),
        &format!("Authorization: Token {}", edge.good),
        &format!("Authorization: Bearer \"{}\"", edge.good),
        &format!("Authorization: Bearer {}", "a".repeat(8_193)),
        &format!("Authorization: Bearer {}", "a.".repeat(30_000)),
        &format!("Proxy-Authorization: Bearer {}", edge.good),
        &format!("X-Authorization: Bearer {}", edge.good),
        &format!("Cookie: access_token={}", edge.good),
        &format!("Authorization : Bearer {}", edge.good),
    ] {
        let response = edge.get(PATH, &[line]);
        assert!(matches!(response.status, 400 | 401), "{:.60}: {response:?}", line);
        assert_eq!(response.header("x-auth-user"), None, "{:.60}: {response:?}", line);
    }
    for lines in [
        [credential.as_str(), "Authorization: Bearer x"],
        ["Authorization: Bearer x", &credential],
        [&credential, &credential],
    ] {
        is_no("two lines", &edge.get(PATH, &lines));
    }
    is_yes(&edge.get(PATH, &[&format!("aUTHORIZATION: bEARER {}", edge.good)]));

    let raw = [
        format!("GET {PATH} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ").as_bytes(),
        b"\xff\xfe.\x80.\xc3\x28\r\n\r\n",
    ]
    .concat();
    is_no("bytes that are no UTF-8", &edge.connect().exchange(raw));
}

#[test]
fn only_the_configured_cookie_is_a_credential_and_a_broken_one_is_none() {
    let edge = Edge::start(Realm::new().with("TOKEN_COOKIE", "session"));
    let good = &edge.good;
    for line in [
        format!("Cookie: session={good}"),
        format!("Cookie: a=b;session={good};c"),
        format!("Cookie: ;; =x; session={good}"),
    ] {
        is_yes(&edge.get(PATH, &[&line]));
    }
    for line in [
        "Cookie:".to_owned(),
        "Cookie: session".to_owned(),
        "Cookie: session=".to_owned(),
        "Cookie: session=\"".to_owned(),
        "Cookie: ;;;=;=".to_owned(),
        format!("Cookie: Session={good}"),
        format!("Cookie: xsession={good}"),
        format!("Cookie: a=session={good}"),
        format!("Cookie: session%3D={good}"),
    ] {
        is_no(&line, &edge.get(PATH, &[&line]));
    }
    let raw = [
        format!("GET {PATH} HTTP/1.1\r\nHost: a\r\nCookie: session=").as_bytes(),
        b"\xff\xfe; \x80=\xc3\r\n\r\n",
    ]
    .concat();
    is_no("bytes that are no UTF-8", &edge.connect().exchange(raw));
}

#[test]
fn scopes_come_from_the_query_and_nothing_else_does() {
    let edge = Edge::start(Realm::new());
    for path in [
        "/validate_request?scope=user:read",
        "/validate_request?scope=user%3Aread",
        "/validate_request?scope=user%3aread&scope=user:read",
    ] {
        is_yes(&edge.good(path, &[]));
    }
    for query in [
        "scope=user:write",
        "scope=user%3Awrite",
        "scope=user:read&scope=user:write",
        "scope=user:rea",
        "scope=USER:READ",
        "scopes=user:read",
        "scope[]=user:read",
        "SCOPE=user:read",
        "scope=user:read&debug=1",
        "x",
        "scope=user:read&",
        "scope=%ff",
        "role=admin",
        "scope=user:read%00",
    ] {
        // A trailing `&` holds no parameter, so it may pass; anything else unknown is the operator's slip and shuts the route.
        for path in [PATH, "/validate_request/traefik"] {
            let response = edge.good(&format!("{path}?{query}"), &[]);
            assert!(
                response.status == 403 || (query.ends_with('&') && response.status == 200),
                "{query}: {response:?}"
            );
        }
    }
    assert_ne!(edge.good("/validate_request?scope=", &[]).status, 200, "an empty scope is a slip");
    let response = edge.good("/validate_request?scope=user:write", &[]);
    assert!(
        response
            .header("www-authenticate")
            .is_some_and(|value| value.contains("insufficient_scope")),
        "{response:?}"
    );
    is_no("no token, with a scope", &edge.get("/validate_request?scope=user:read", &[]));
}

#[test]
fn what_is_not_there_is_404_and_a_wrong_method_405() {
    let edge = Edge::start(Realm::new().with("OPEN_GATE_PATHS", "/health, /jwks"));
    for path in [
        "/validate_request/",
        "/validate_request/other",
        "//validate_request",
        "/VALIDATE_REQUEST",
        "/validate_request%2f",
        "/x/../validate_request",
        "/validate_request;a",
    ] {
        assert_eq!(edge.good(path, &[]).status, 404, "{path}");
    }
    for (method, path) in [("GET", "/validate"), ("POST", "/jwks"), ("DELETE", "/health")] {
        let response = edge.connect().exchange(request(method, path, &[], b""));
        assert_eq!(response.status, 405, "{method} {path}");
        assert!(response.header("allow").is_some(), "{method} {path}: {response:?}");
    }
    for path in ["/health", "/jwks"] {
        assert_eq!(edge.get(path, &[]).status, 200, "{path}");
    }
    assert!(!edge.get("/jwks", &[]).text().contains("\"d\""), "a private key was published");
}

/// Each path that some version, or some other system, answers 200 to anybody, and some that none does.
const NOT_JUDGED: [&str; 13] = [
    "/",
    "/health",
    "/ready",
    "/jwks",
    "/.well-known/jwks.json",
    "/.well-known/oauth-authorization-server",
    "/metrics",
    "/api/healthcheck",
    "/token",
    "/openapi.json",
    "/validate",
    "/Validate_Request",
    "/validate_request/nginx",
];
/// The headers of the questions of Traefik and Caddy, of nginx by our example, and of ingress-nginx.
const QUESTIONS: [&[&str]; 3] = [
    &["X-Forwarded-Method: GET", "X-Forwarded-Uri: /", "X-Forwarded-Host: a.test"],
    &["X-Original-Method: GET", "X-Original-URI: /"],
    &["X-Original-URL: http://a.test/", "X-Sent-From: nginx-ingress-controller"],
];

#[test]
fn nothing_but_a_verdict_is_a_yes_on_the_listener_of_the_gate() {
    let edge = Edge::start(Realm::new());
    for path in NOT_JUDGED {
        for method in ["GET", "HEAD", "POST", "OPTIONS"] {
            let bytes = request(method, path, &[&bearer(&edge.good)], b"");
            let mut client = edge.connect();
            let response = match method {
                "HEAD" => client.exchange_head(bytes),
                _ => client.exchange(bytes),
            };
            assert!((400..500).contains(&response.status), "{method} {path}: {response:?}");
        }
    }
    edge.gate.wait_for_log("/validate_request/traefik (traefik)");
}

#[test]
fn a_question_where_nobody_is_judged_is_refused_on_every_listener() {
    let open = "/, /health, /ready, /jwks, /.well-known/jwks.json";
    let edge = Edge::start(Realm::new().with("OPEN_GATE_PATHS", open));
    for path in open.split(", ") {
        assert_eq!(edge.get(path, &[]).status, 200, "{path} is opened by the setting");
    }
    for lines in QUESTIONS {
        for path in NOT_JUDGED {
            let response = edge.good(path, lines);
            assert_eq!(response.status, 403, "{path} {lines:?}: {response:?}");
            assert_eq!(response.json()["error"], "wrong_path", "{path}");
            let response = http::get(edge.gate.metrics, path, lines);
            assert_eq!(response.status, 403, "metrics, {path} {lines:?}: {response:?}");
        }
        let jwt = serde_json::json!({ "jwt": edge.good }).to_string();
        let bytes = request("POST", "/validate", lines, jwt.as_bytes());
        assert_eq!(edge.connect().exchange(bytes).status, 403, "{lines:?}");
    }
    let refused = [("entry_point", "elsewhere"), ("code", "wrong_path")];
    let count = u32::try_from(QUESTIONS.len() * (2 * NOT_JUDGED.len() + 1)).expect("few");
    assert_eq!(edge.gate.counter("portcullis_requests_total", &refused), f64::from(count));
    edge.gate.wait_for_log("OPEN_GATE_PATHS: the gate answers 200 there to anybody");
    edge.gate.wait_for_log("no question of a gateway is answered at this path");
    for path in ["/metrics", "/health", "/ready"] {
        let lines = ["X-Forwarded-For: 192.0.2.1"];
        assert_eq!(http::get(edge.gate.metrics, path, &lines).status, 200, "a proxied {path}");
    }
}

#[test]
fn a_request_id_is_taken_over_only_when_it_is_harmless() {
    let edge = Edge::start(Realm::new());
    let long = "a".repeat(129);
    assert_eq!(
        edge.good(PATH, &["X-Request-Id: abc-123._~"]).header("x-request-id"),
        Some("abc-123._~")
    );
    for id in ["a b", "a\u{fc}", "a,b", "<script>", &long, ""] {
        let response = edge.get(PATH, &[&format!("X-Request-Id: {id}")]);
        is_no(id, &response);
        let own =
            response.header("x-request-id").expect("a denial has an id to look for in the log");
        assert_ne!(own, id);
        assert!((1..=128).contains(&own.len()), "{own}");
    }
}

#[test]
fn the_status_for_missing_credentials_can_be_403() {
    let edge = Edge::start(Realm::new().with("MISSING_CREDENTIALS_STATUS", "403"));
    assert_eq!(edge.get(PATH, &[]).status, 403);
    assert_eq!(edge.gate.check("rubbish").status, 401);
    is_yes(&edge.good(PATH, &[]));
}
