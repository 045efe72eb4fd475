//! Tickets for web sockets: given out by the issuer, taken once by whichever gate is asked first.

use std::net::SocketAddr;

use serde_json::Value;

use crate::support::{
    app::{App, WEB_SOCKET},
    http::{Client, Response, bearer, get, request},
    issuer::{ALICE, Issuer, SCOPES, text},
    nginx::Nginx,
    realm::Realm,
    redis::{RedisServer, Transport},
};

const UPGRADE: [&str; 4] = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];
/// A whole frame, which the app sends back.
const FRAME: &[u8] = &[0x81, 0x82, 1, 2, 3, 4, b'h' ^ 1, b'i' ^ 2];

fn realm() -> Realm {
    let realm = Realm::issuing().with("ACCEPT_TICKETS", "ticket");
    realm.add_user(ALICE.0, ALICE.1, &SCOPES);
    realm
}

fn log_in(issuer: &Issuer) -> String {
    text(&issuer.log_in(), "access_token").to_owned()
}

/// A ticket for this access token.
fn ticket_of(issuer: &Issuer, token: &str) -> String {
    let answer = issuer.with_bearer("POST", "/ticket", token);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    let answer = answer.json();
    assert!((9..=10).contains(&answer["expires_in"].as_u64().expect("seconds")), "{answer}");
    text(&answer, "ticket").to_owned()
}

/// The answer to Traefik's question about this request of a client.
fn ask(gate: SocketAddr, demand: &str, method: &str, target: &str, lines: &[&str]) -> Response {
    let told = [
        format!("X-Forwarded-Method: {method}"),
        format!("X-Forwarded-Uri: {target}"),
        "X-Forwarded-Proto: https".to_owned(),
        "X-Forwarded-Host: a.test".to_owned(),
    ];
    let told: Vec<&str> = told.iter().map(String::as_str).chain(lines.iter().copied()).collect();
    get(gate, &format!("/validate_request/traefik{demand}"), &told)
}

/// The same about a handshake that shows a ticket in its address.
fn handshake(gate: SocketAddr, ticket: &str) -> Response {
    ask(gate, "", "GET", &format!("{WEB_SOCKET}?room=1&ticket={ticket}"), &UPGRADE)
}

fn code(answer: &Response) -> Value {
    answer.json()["error_description"].clone()
}

#[test]
fn a_ticket_opens_one_web_socket_for_the_session_of_its_token() {
    for mode in ["jwt", "opaque"] {
        let realm = realm().with("TOKEN_MODE", mode);
        let issuer = Issuer::start(&realm);
        let (gate, token) = (issuer.gate.address, log_in(&issuer));
        let by_token = get(gate, "/validate_request/traefik", &[&bearer(&token)]);
        let identity = |answer: &Response| {
            let own = answer.headers.iter().filter(|(name, _)| name.starts_with("x-auth-"));
            own.cloned().collect::<Vec<_>>()
        };
        let ticket = ticket_of(&issuer, &token);
        let first = handshake(gate, &ticket);
        assert_eq!((first.status, identity(&first)), (200, identity(&by_token)), "{mode}");
        let second = handshake(gate, &ticket);
        assert_eq!(
            (second.status, code(&second)),
            (401, "The ticket does not exist, was used, or has expired".into())
        );

        let protocol = format!("Sec-WebSocket-Protocol: chat, {}", ticket_of(&issuer, &token));
        let lines = [&UPGRADE[..], &[&protocol]].concat();
        let [by_protocol, again] = [0, 1].map(|_| ask(gate, "", "GET", WEB_SOCKET, &lines).status);
        assert_eq!((by_protocol, again), (200, 401), "{mode}");

        // It is used up by a question that was answered no.
        let ticket = ticket_of(&issuer, &token);
        let target = format!("/?ticket={ticket}");
        let denied = ask(gate, "?scope=admin", "GET", &target, &UPGRADE);
        assert_eq!((denied.status, handshake(gate, &ticket).status), (403, 401), "{mode}");

        let unused = ticket_of(&issuer, &token);
        assert_eq!(issuer.with_bearer("POST", "/logout", &token).status, 200);
        assert_eq!(handshake(gate, &unused).status, 401, "{mode}: its session is over");
        assert_eq!(issuer.with_bearer("POST", "/ticket", &token).status, 401, "{mode}");
        assert_eq!(issuer.send("POST", "/ticket", &[], b"").status, 401, "{mode}");
    }
}

#[test]
fn a_ticket_is_good_for_nothing_but_a_handshake() {
    let issuer = Issuer::start(&realm());
    let (gate, ticket) = (issuer.gate.address, ticket_of(&issuer, &log_in(&issuer)));
    let target = format!("/?ticket={ticket}");
    for (method, lines) in [
        ("GET", &[][..]),
        ("POST", &UPGRADE[..]),
        ("GET", &["Upgrade: websocket", "Connection: Upgrade"]),
    ] {
        let answer = ask(gate, "", method, &target, lines);
        assert_eq!(code(&answer), "A ticket opens a web socket, and nothing else", "{method}");
        assert_eq!(answer.status, 401);
    }
    let beside = [&UPGRADE[..], &["Authorization: Bearer x"]].concat();
    assert_eq!(ask(gate, "", "GET", &target, &beside).status, 401);
    for line in [bearer(&ticket), format!("X-Api-Key: {ticket}")] {
        assert_eq!(ask(gate, "", "GET", "/", &[&line]).status, 401, "{line:.15}");
        assert_eq!(issuer.send("POST", "/ticket", &[&line], b"").status, 401, "{line:.15}");
        assert_eq!(issuer.send("GET", "/sessions", &[&line], b"").status, 401, "{line:.15}");
    }
    let by_refresh = issuer.by_refresh(&ticket, &[]);
    assert_eq!((by_refresh.status, &by_refresh.json()["error"]), (400, &"invalid_grant".into()));
    // None of this used it up.
    assert_eq!(handshake(gate, &ticket).status, 200);
}

#[test]
fn where_nobody_accepts_tickets_one_is_no_credential() {
    let realm = Realm::issuing();
    realm.add_user(ALICE.0, ALICE.1, &SCOPES);
    let issuer = Issuer::start(&realm);
    let ticket = ticket_of(&issuer, &log_in(&issuer));
    let answer = handshake(issuer.gate.address, &ticket);
    assert_eq!((answer.status, code(&answer)), (401, "No credentials were sent".into()));
    for bad in ["a b", "a=b", "a&b", "ä"] {
        let told = Realm::new().with("ACCEPT_TICKETS", bad).exits(64, &["check-config"], "").errors;
        assert!(told.contains("ACCEPT_TICKETS"), "{told}");
    }
}

#[test]
fn a_browser_gets_a_ticket_by_its_cookies_and_shows_both() {
    let issuer = Issuer::start(&realm().with("TOKEN_COOKIES", "host"));
    let login = issuer.log_in();
    let cookies = format!(
        "Cookie: __Host-user_id={}; __Host-access_token={}",
        text(&login, "user_id"),
        text(&login, "access_token")
    );
    let foreign = [cookies.as_str(), "Sec-Fetch-Site: cross-site"];
    assert_eq!(issuer.send("POST", "/ticket", &foreign, b"").status, 403);
    let own = [cookies.as_str(), "Sec-Fetch-Site: same-origin"];
    let answer = issuer.send("POST", "/ticket", &own, b"");
    assert_eq!(answer.status, 200, "{answer:?}");
    let target = format!("/?ticket={}", text(&answer.json(), "ticket"));
    let lines = [&UPGRADE[..], &[&cookies]].concat();
    let [first, again] =
        [0, 1].map(|_| ask(issuer.gate.address, "", "GET", &target, &lines).status);
    // The cookies alone would do, and yet a ticket that was used is one.
    assert_eq!((first, again), (200, 401));
}

/// Two processes that share a store, and many who show one ticket to both at once.
fn one_of_many_gets_in(realm: Realm) {
    let first = Issuer::start(&realm);
    let (second, _realm) = Issuer::beside(realm);
    let token = log_in(&first);
    let gates = [first.gate.address, second.gate.address];
    for _ in 0..6 {
        let ticket = ticket_of(&first, &token);
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let asking: Vec<_> = (0..16)
                .map(|n| {
                    let ticket = &ticket;
                    scope.spawn(move || handshake(gates[n % 2], ticket).status)
                })
                .collect();
            asking.into_iter().map(|ask| ask.join().expect("an answer")).collect()
        });
        let count = |status| statuses.iter().filter(|answer| **answer == status).count();
        assert_eq!((count(200), count(401)), (1, 15), "{statuses:?}");
    }
}

#[test]
fn of_two_gates_on_one_file_that_are_asked_at_once_one_says_yes() {
    one_of_many_gets_in(realm().with("STORE_TIMEOUT", "10"));
}

#[test]
fn of_two_gates_on_one_redis_that_are_asked_at_once_one_says_yes() {
    let Some(server) = RedisServer::start_with(Transport::Tcp, &[]) else { return };
    one_of_many_gets_in(realm().with("DB_URL", &server.url()).with("STORE_TIMEOUT", "10"));
}

#[test]
fn while_the_store_is_down_no_ticket_is_good_and_none_is_given_out() {
    let Some(mut server) = RedisServer::start_with(Transport::Tcp, &[]) else { return };
    let issuer =
        Issuer::start(&realm().with("DB_URL", &server.url()).with("SESSION_STALENESS", "60"));
    let token = log_in(&issuer);
    let ticket = ticket_of(&issuer, &token);
    assert_eq!(issuer.check(&token), 200);
    server.kill();
    assert_eq!(handshake(issuer.gate.address, &ticket).status, 503);
    assert_eq!(issuer.check(&token), 200, "what is cached is believed");
    assert_eq!(issuer.with_bearer("POST", "/ticket", &token).status, 503);
}

#[test]
fn no_log_line_and_no_metric_holds_a_ticket() {
    let realm = realm().with("LOG_LEVEL", "trace").with("ACCESS_LOG", "all");
    let mut issuer = Issuer::start(&realm);
    let (gate, token) = (issuer.gate.address, log_in(&issuer));
    let tickets = [0; 3].map(|_| ticket_of(&issuer, &token));
    for ticket in &tickets {
        for demand in ["", "?scope=user:read", "?nonsense=1"] {
            handshake(gate, ticket);
            ask(gate, demand, "POST", &format!("/?ticket={ticket}"), &UPGRADE);
            let protocol = format!("Sec-WebSocket-Protocol: {ticket}");
            ask(gate, demand, "GET", "/", &[&UPGRADE[..], &[&protocol]].concat());
        }
        get(gate, &format!("/validate_request?ticket={ticket}"), &UPGRADE);
        get(gate, &format!("/validate_request/envoy/ws?ticket={ticket}"), &UPGRADE);
        get(gate, &format!("/nowhere?ticket={ticket}"), &[]);
    }
    let url = format!("https://a.test/?ticket={}", tickets[0]);
    let explained = realm.run(&["explain", "--url", &url, "--header", "Sec-WebSocket-Version: 13"]);
    let metrics = issuer.gate.metrics();
    issuer.gate.stop();
    let log = issuer.gate.log();
    assert!(log.lines().count() > 20, "{log}");
    for (what, text) in [
        ("log", &log),
        ("metrics", &metrics),
        ("explain", &explained.printed),
        ("explain's errors", &explained.errors),
        ("audit log", &realm.audit_log()),
    ] {
        for ticket in &tickets {
            let random = ticket.strip_prefix("pt_").expect("the prefix");
            let at = text.lines().find(|line| line.contains(random));
            assert_eq!(at, None, "a ticket is in the {what}");
        }
    }
}

#[test]
fn explain_says_what_a_ticket_stands_for_and_does_not_use_it_up() {
    let realm = realm();
    let issuer = Issuer::start(&realm);
    let ticket = ticket_of(&issuer, &log_in(&issuer));
    let url = format!("https://a.test/?ticket={ticket}");
    let explain =
        || realm.run(&["explain", "--url", &url, "--header", "Sec-WebSocket-Version: 13"]);
    for round in 0..2 {
        let told = explain();
        assert!(told.printed.contains("yes ticket"), "{round}: {told:?}");
        assert!(told.printed.contains("verdict: allow"), "{round}: {told:?}");
    }
    assert_eq!(handshake(issuer.gate.address, &ticket).status, 200, "it was not used up");
    let after = explain();
    assert!(after.printed.contains("NO  ticket"), "{after:?}");
    assert!(after.printed.contains("verdict: deny (ticket_unknown)"), "{after:?}");
}

#[test]
fn a_web_socket_is_opened_by_a_ticket_behind_nginx() {
    let realm = realm();
    let (issuer, app) = (Issuer::start(&realm), App::start());
    let to_issuer = format!("server {};", issuer.public);
    let edits = [("server 127.0.0.1:8081;", to_issuer.as_str())];
    let Some(nginx) = Nginx::start(issuer.gate.address, app.address, &edits) else { return };
    let open = |target: &str, lines: &[&str]| {
        let mut client = Client::connect(nginx.address);
        let bytes = request("GET", target, &[&UPGRADE[..], lines].concat(), b"");
        let status = client.exchange_head(bytes).status;
        if status == 101 {
            client.send(FRAME);
            assert_eq!(client.read_bytes(FRAME.len()), FRAME);
        }
        status
    };
    let token = log_in(&issuer);
    let ticket = || {
        let lines = [bearer(&token)];
        let bytes = request("POST", "/ticket", &[&lines[0]], b"");
        let answer = Client::connect(nginx.address).exchange(bytes);
        assert_eq!(answer.status, 200, "{answer:?}");
        text(&answer.json(), "ticket").to_owned()
    };
    let target = format!("{WEB_SOCKET}?ticket={}", ticket());
    assert_eq!((open(&target, &[]), open(&target, &[])), (101, 401));
    let protocol = format!("Sec-WebSocket-Protocol: chat, {}", ticket());
    assert_eq!((open(WEB_SOCKET, &[&protocol]), open(WEB_SOCKET, &[&protocol])), (101, 401));
    let seen = app.take();
    let users: Vec<&str> = seen.iter().map(|seen| seen.value("X-Auth-Username")).collect();
    assert_eq!(users, [ALICE.0; 2]);
    // Without a handshake the address opens nothing, and uses nothing up.
    let target = format!("{WEB_SOCKET}?ticket={}", ticket());
    assert_eq!(get(nginx.address, &target, &[]).status, 401);
    assert_eq!(open(&target, &[]), 101);
    assert_eq!(open(&format!("{WEB_SOCKET}?ticket=pt_{}", "A".repeat(43)), &[]), 401);
    assert_eq!(open(WEB_SOCKET, &[]), 401);
}
