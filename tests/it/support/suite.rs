//! Promises that hold in front of every gateway, whatever its name: one function for each.
//!
//! nginx.rs and traefik.rs start the real thing and call these; they add what is particular to it.

pub mod browsers;
pub mod policy;
pub mod requests;

use std::net::SocketAddr;

use super::{
    app::{App, ReceivedRequest},
    gate::Gate,
    http::{Client, Response, bearer, request},
    realm::Realm,
    relay::Relay,
    tokens,
};

/// The identity headers of the default set.
pub const IDENTITY: [&str; 7] = [
    "X-Auth-User",
    "X-Auth-Username",
    "X-Auth-Email",
    "X-Auth-Scopes",
    "X-Auth-Roles",
    "X-Auth-Session",
    "X-Auth-Issuer",
];

/// Client, gateway, gate and app. The gateway reaches the gate through a relay that counts connections.
pub struct Stack<G> {
    /// Keys, store and command line.
    pub realm: Realm,
    /// The gate itself.
    pub gate: Gate,
    /// The app behind the gateway.
    pub app: App,
    /// The gate that the gateway asks.
    pub relay: Relay,
    /// The gateway.
    pub gateway: G,
    /// The address to which clients connect.
    pub address: SocketAddr,
}

impl<G> Stack<G> {
    /// Starts everything; `gateway` starts the gateway, given the addresses of what it asks and of the app.
    pub fn start(
        realm: Realm,
        gateway: impl FnOnce(SocketAddr, SocketAddr) -> Option<(G, SocketAddr)>,
    ) -> Option<Self> {
        let app = App::start();
        let gate = realm.gate();
        let relay = Relay::start(gate.address);
        let (gateway, address) = gateway(relay.address, app.address)?;
        app.take();
        Some(Self { realm, gate, app, relay, gateway, address })
    }

    /// A token of alice with the scope to read.
    pub fn alice(&self) -> String {
        self.realm.mint("alice", &["--scope", "user:read"])
    }

    /// One request on a connection of its own.
    pub fn send(&self, method: &str, path: &str, lines: &[&str], body: &[u8]) -> Response {
        let bytes = request(method, path, lines, body);
        let mut client = Client::connect(self.address);
        let response =
            if method == "HEAD" { client.exchange_head(bytes) } else { client.exchange(bytes) };
        assert!(response.status < 500, "{method} {path} {lines:?}: {response:?}");
        response
    }

    /// GET with a token.
    pub fn get(&self, path: &str, token: &str) -> Response {
        self.send("GET", path, &[&bearer(token)], b"")
    }

    /// GET of another host than tests usually name.
    pub fn get_from(&self, host: &str, path: &str, token: &str) -> Response {
        let credential = bearer(token);
        let bytes = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{credential}\r\n\r\n");
        Client::connect(self.address).exchange(bytes)
    }

    /// Sends GET with a token and these lines; the app must be reached, as alice and nobody else.
    pub fn reaches_the_app_as_alice(
        &self,
        path: &str,
        token: &str,
        lines: &[&str],
    ) -> ReceivedRequest {
        let credential = bearer(token);
        let response = self.send("GET", path, &[&[credential.as_str()], lines].concat(), b"");
        assert_eq!(response.status, 200, "{lines:?}: {response:?}");
        let seen = self.app.take_one();
        is_alice(&seen, token);
        seen
    }

    /// It was refused with this status, and the app not reached.
    pub fn is_denied(&self, what: &str, response: &Response, status: u16) {
        assert_eq!(response.status, status, "{what}: {response:?}");
        assert_eq!(self.app.take().len(), 0, "{what}: reached the app");
    }
}

/// The identity of a token made by `Stack::alice`, complete, and no second opinion.
pub fn is_alice(seen: &ReceivedRequest, token: &str) {
    let sid = tokens::claims(token)["sid"].as_str().expect("a session").to_owned();
    let expected = ["alice", "", "", "user:read", "", &sid, "prismaticain"];
    for (name, expected) in IDENTITY.into_iter().zip(expected) {
        assert_eq!(seen.value(name), expected, "{name}: {:?}", seen.headers);
    }
}

/// No token: 401 that says what is wanted. A good one: in.
pub fn only_a_good_token_gets_in<G>(stack: &Stack<G>) {
    let response = stack.send("GET", "/", &[], b"");
    stack.is_denied("no token", &response, 401);
    let challenge = response.header("www-authenticate").expect("WWW-Authenticate is kept");
    assert!(challenge.starts_with("Bearer"), "{challenge}");
    assert!(response.json()["error"].is_string(), "{}", response.text());

    let good = stack.alice();
    let seen = stack.reaches_the_app_as_alice("/hello?a=b", &good, &[]);
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/hello?a=b"));
}

/// Every bad token is 401, also right after the good one was cached.
pub fn no_bad_token_gets_in<G>(stack: &Stack<G>) {
    let good = stack.alice();
    stack.reaches_the_app_as_alice("/", &good, &[]);
    for (what, token) in tokens::bad(&stack.realm, &good) {
        let response = stack.get("/", &token);
        stack.is_denied(what, &response, 401);
        assert!(response.header("www-authenticate").is_some(), "{what}: {response:?}");
    }
    for line in [
        "Authorization: Basic YWxpY2U6c2VjcmV0",
        "Authorization: Bearer",
        "Authorization:",
        "Cookie: a=b; ;=;\"\\",
    ] {
        stack.is_denied(line, &stack.send("GET", "/", &[line], b""), 401);
    }
    let huge = "a".repeat(20_000);
    stack.is_denied("a token of 20 kB", &stack.get("/", &huge), 401);
    stack.reaches_the_app_as_alice("/", &good, &[]);
}

/// A session that was revoked is over at the very next request.
pub fn a_revoked_session_is_over<G>(stack: &Stack<G>) {
    let (one, other) = (stack.alice(), stack.alice());
    stack.reaches_the_app_as_alice("/", &one, &[]);
    stack.realm.revoke(&one);
    stack.is_denied("revoked", &stack.get("/", &one), 401);
    stack.reaches_the_app_as_alice("/", &other, &[]);
}

/// The scope of a route is asked for, however its path is written.
pub fn no_way_leads_around_a_scope<G>(stack: &Stack<G>) {
    a_route_asks_for_its_scope(stack);
    no_spelling_of_a_path_leads_around_the_scope(stack);
}

/// The scope of the route is asked for, also of a token that was let in elsewhere.
fn a_route_asks_for_its_scope<G>(stack: &Stack<G>) {
    let (reader, writer) =
        (stack.alice(), stack.realm.mint("bob", &["--scope", "user:read user:write"]));
    stack.reaches_the_app_as_alice("/", &reader, &[]);
    for path in ["/users/1", "/Users/1?a=%2Fb%3F", "/USERS", "/users/a%20b"] {
        let response = stack.get(path, &reader);
        stack.is_denied(path, &response, 403);
        let challenge = response.header("www-authenticate").unwrap_or_default();
        assert!(challenge.contains("scope=\"user:write\""), "{path}: {response:?}");
        stack.is_denied(path, &stack.send("GET", path, &[], b""), 401);
        assert_eq!(stack.get(path, &writer).status, 200, "{path}");
        let seen = stack.app.take_one();
        assert_eq!((seen.value("X-Auth-User"), seen.target.as_str()), ("bob", path));
    }
}

/// A path that could be read in two ways does not lead around the scope.
fn no_spelling_of_a_path_leads_around_the_scope<G>(stack: &Stack<G>) {
    let reader = stack.alice();
    for path in [
        "/users",
        "/users/",
        "//users",
        "/./users",
        "/public/../users",
        "/users/../public/../users",
        "/users/../public/page",
        "/users%2f..%2fpublic/page",
        "/%75sers",
        "/public/..%2fusers",
        "/public/%2e%2e/users",
        "/users?/public/",
        "/users#/public/",
        "/public/..%5cusers",
        "/public/..\\users",
        "/public/..;/users",
        "/public/..;a=b/users",
        "/;/users",
        "/;x=1/users",
        "/.;/users",
        "/%3bx/users",
        "/users;x=1",
        "/Users",
        "/USERS/1",
        "/uSeRs?a=b",
        "/u%C5%BFers",
        "//Users",
        "/%55sers",
        "/public/../USERS",
        "/public/..%2fUsers",
        "/%2575sers",
        "/%25%37%35sers",
        "/%2555SERS",
        "/public/%252e%252e/users",
        "/public/%252e%252e%252fusers",
        "/public/..%252f..%252fUsers",
        "/public/..%255cusers",
        "/public/%25252e%25252e/users",
    ] {
        let response = stack.get(path, &reader);
        for seen in stack.app.take() {
            let plain = as_the_laxest_app_reads(&seen.target);
            assert!(
                !plain.contains("..") && !plain.contains("users"),
                "{path} came to the app as {} with {}",
                seen.target,
                response.status
            );
        }
    }
}

/// A path as an app reads it that decodes again and again, and knows neither case nor backslashes.
fn as_the_laxest_app_reads(target: &str) -> String {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let mut plain = path.to_owned();
    for _ in 0..4 {
        plain = percent_encoding::percent_decode_str(&plain).decode_utf8_lossy().into_owned();
    }
    plain.to_ascii_lowercase().replace('\\', "/").replace('\u{17f}', "s")
}

/// The headers that the examples remove, as their list has them.
pub fn stripped_headers() -> Vec<String> {
    let list = std::fs::read_to_string(super::in_repository("examples/stripped-headers.txt"));
    let list = list.expect("the list");
    let names = list.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let names: Vec<String> = names.map(str::to_owned).collect();
    assert!(names.len() > 20, "only {} headers", names.len());
    names
}

/// Nothing that a client makes up about itself or its request is believed.
pub fn nothing_forged_reaches_the_app<G>(stack: &Stack<G>) {
    a_forged_identity_never_reaches_the_app(stack);
    a_connection_header_makes_no_room_for_a_forgery(stack);
    requests::a_clients_word_on_the_request_is_not_believed(stack);
    requests::an_absolute_target_decides_the_host(stack);
    requests::a_trailer_never_reaches_the_app(stack);
}

/// A header that the client makes up never reaches the app as an identity, in no spelling.
pub fn a_forged_identity_never_reaches_the_app<G>(stack: &Stack<G>) {
    let good = stack.alice();
    for name in IDENTITY {
        let tail = &name["X-Auth-".len()..];
        for forged in [
            name.to_owned(),
            name.to_lowercase(),
            name.to_uppercase(),
            name.replace('-', "_"),
            name.replace('-', "_").to_lowercase(),
            format!("X-Auth_{tail}"),
            format!("x_auth-{tail}"),
            name.replace('-', "."),
            name.replace('-', "~"),
            name.replace('-', "+"),
        ] {
            let line = format!("{forged}: root");
            let seen = stack.reaches_the_app_as_alice("/", &good, &[&line]);
            assert!(!format!("{seen:?}").contains("root"), "{line}: {seen:?}");
            let empty = format!("{forged}:");
            stack.reaches_the_app_as_alice("/", &good, &[&line, &line, &empty]);
            stack.is_denied(&line, &stack.send("GET", "/", &[&line], b""), 401);
            assert_eq!(stack.send("GET", "/public/page", &[&line], b"").status, 200);
            assert_eq!(stack.app.take_one().value(name), "", "{line} on an open route");
        }
    }
}

/// The few lines that the README prints let in who may, and no identity that the client made up.
pub fn the_least_configuration_holds<G>(stack: &Stack<G>) {
    let good = stack.alice();
    stack.is_denied("no token", &stack.send("GET", "/", &[], b""), 401);
    for name in IDENTITY {
        let forged = [format!("{name}: root"), format!("{}: root", name.replace('-', "_"))];
        let seen = stack.reaches_the_app_as_alice("/", &good, &forged.each_ref().map(|f| &**f));
        assert!(!format!("{seen:?}").contains("root"), "{name}: {seen:?}");
    }
}

/// `Connection: X-Auth-User` asks a proxy to drop that header on the way: the forged one, not the true one.
pub fn a_connection_header_makes_no_room_for_a_forgery<G>(stack: &Stack<G>) {
    let good = stack.alice();
    for connection in [
        "X-Auth-User",
        "x-auth-user, X_Auth_User",
        "keep-alive, X-Auth-User, X-Auth-Scopes",
        "close, Authorization",
    ] {
        let lines = [
            &format!("Connection: {connection}"),
            "X-Auth-User: root",
            "X_Auth_User: root",
            &bearer(&good),
        ];
        let response = stack.send("GET", "/", &lines, b"");
        let expected = if connection.contains("Authorization") { &[200, 401][..] } else { &[200] };
        assert!(expected.contains(&response.status), "{connection}: {response:?}");
        let seen = stack.app.take();
        assert_eq!(seen.len(), usize::from(response.status == 200), "{connection}: {seen:?}");
        seen.iter().for_each(|seen| is_alice(seen, &good));
        let response = stack.send("GET", "/", &lines[..3], b"");
        stack.is_denied(connection, &response, 401);
    }
}

/// Whatever the claims hold, the app reads them in their own headers.
pub fn an_identity_arrives_whole_and_alone<G>(stack: &Stack<G>) {
    no_claim_breaks_out_of_its_header(stack);
    a_large_identity_passes(stack);
}

/// Claims with line ends, commas and letters beyond ASCII stay within their headers.
fn no_claim_breaks_out_of_its_header<G>(stack: &Stack<G>) {
    let token = stack.realm.mint(
        "alice",
        &[
            "--scope",
            "user:read",
            "--claim",
            "preferred_username=\"Jürgen, Ops\"",
            "--claim",
            "email=\"a@b.test\\r\\nX-Auth-Roles: admin\\r\\n\\r\\n\\u0000\"",
        ],
    );
    assert_eq!(stack.get("/", &token).status, 200);
    let seen = stack.app.take_one();
    assert_eq!(seen.value("X-Auth-User"), "alice");
    assert_eq!(seen.value("X-Auth-Username"), "J%C3%BCrgen%2C Ops");
    assert_eq!(seen.value("X-Auth-Email"), "a@b.test%0D%0AX-Auth-Roles: admin%0D%0A%0D%0A%00");
    assert_eq!(seen.value("X-Auth-Roles"), "");
}

/// The largest identity that fits into a token fits through the gateway.
fn a_large_identity_passes<G>(stack: &Stack<G>) {
    let email = "ü".repeat(2_600);
    let token = stack.realm.mint("alice", &["--claim", &format!("email=\"{email}\"")]);
    assert!((7_000..=8_192).contains(&token.len()), "{}", token.len());
    assert_eq!(stack.get("/", &token).status, 200);
    assert_eq!(stack.app.take_one().value("X-Auth-Email"), "%C3%BC".repeat(2_600));
}

/// Nobody gets in by a gateway that asks at a path that answers no such question, whatever the client has.
pub fn nobody_gets_in(asked: &str, gateway: SocketAddr, app: &App, good: &str) {
    app.take();
    let good = bearer(good);
    for lines in [&[][..], &[good.as_str()], &["X-Auth-User: root", "X-Forwarded-For: 127.0.0.1"]] {
        let response = Client::connect(gateway).exchange(request("GET", "/", lines, b""));
        assert!(response.status >= 400, "asks {asked}, {lines:?}: {response:?}");
        assert_eq!(app.take().len(), 0, "asks {asked}, {lines:?}: reached the app");
    }
}

/// Nobody gets in while nobody can judge.
pub fn a_dead_gate_lets_nobody_in<G>(stack: &mut Stack<G>) {
    let good = stack.alice();
    stack.reaches_the_app_as_alice("/", &good, &[]);
    stack.gate.kill();
    let response =
        Client::connect(stack.address).exchange(request("GET", "/", &[&bearer(&good)], b""));
    assert!(matches!(response.status, 500..=504), "{response:?}");
    assert_eq!(stack.app.take().len(), 0, "reached the app");
    stack.gate.restart();
    stack.reaches_the_app_as_alice("/", &good, &[]);
}
