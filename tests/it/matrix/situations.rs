//! The rows of the matrix: a request, and what client and app must see of it, whichever gateway is between them.

use super::requests::Bench;
use super::seen::Cell;

/// One row.
pub struct Situation {
    /// The name, at the head of the row.
    pub name: &'static str,
    /// The request.
    pub ask: fn(&Bench<'_>) -> Cell,
    client: &'static str,
    app: &'static str,
}

impl Situation {
    const fn new(
        name: &'static str,
        ask: fn(&Bench<'_>) -> Cell,
        client: &'static str,
        app: &'static str,
    ) -> Self {
        Self { name, ask, client, app }
    }

    /// The cell that every gateway must have.
    pub fn expected(&self) -> Cell {
        Cell { client: self.client.to_owned(), app: self.app.to_owned() }
    }
}

const NO_TOKEN: &str = "401 `Bearer`";
const BAD_TOKEN: &str = "401 `Bearer` `invalid_token`";
const NO_SCOPE: &str = "403 `Bearer` `insufficient_scope` `user:write`";
const NOTHING: &str = "nothing";
const ALICE: &str = "`GET /` of alice";

/// All rows.
pub static SITUATIONS: [Situation; 24] = [
    Situation::new("no token", |b| b.get("/", None, &[]), NO_TOKEN, NOTHING),
    Situation::new("good token", |b| b.get("/", Some(&b.good), &[]), "200", ALICE),
    Situation::new("expired token", |b| b.get("/", Some(&b.expired), &[]), BAD_TOKEN, NOTHING),
    Situation::new("revoked token, let in just before", |b| b.revoked(), BAD_TOKEN, NOTHING),
    Situation::new("wrong scope", |b| b.get("/users/1", Some(&b.good), &[]), NO_SCOPE, NOTHING),
    Situation::new(
        "forged identity, no token",
        |b| b.forged_identity("/", None),
        NO_TOKEN,
        NOTHING,
    ),
    Situation::new(
        "forged identity, good token",
        |b| b.forged_identity("/", Some(&b.good)),
        "200",
        ALICE,
    ),
    Situation::new(
        "forged identity, public path",
        |b| b.forged_identity("/public/page", None),
        "200",
        "`GET /public/page` of nobody",
    ),
    Situation::new(
        "forged forwarded, no token",
        |b| b.forged_forwarded("/", None),
        NO_TOKEN,
        NOTHING,
    ),
    Situation::new(
        "forged forwarded, wrong scope",
        |b| b.forged_forwarded("/users/1", Some(&b.good)),
        NO_SCOPE,
        NOTHING,
    ),
    Situation::new(
        "forged forwarded, good token",
        |b| b.forged_forwarded("/", Some(&b.good)),
        "200",
        ALICE,
    ),
    Situation::new("POST with body, no token", |b| b.post(None), NO_TOKEN, NOTHING),
    Situation::new(
        "POST with body, good token",
        |b| b.post(Some(&b.good)),
        "200",
        "`POST /form` of alice, 200000 bytes",
    ),
    Situation::new("large headers, no token", |b| b.large_headers(None), NO_TOKEN, NOTHING),
    Situation::new("large headers, good token", |b| b.large_headers(Some(&b.good)), "200", ALICE),
    Situation::new("WebSocket, no token", |b| b.web_socket(None), NO_TOKEN, NOTHING),
    Situation::new(
        "WebSocket, expired token",
        |b| b.web_socket(Some(&b.expired)),
        BAD_TOKEN,
        NOTHING,
    ),
    Situation::new(
        "WebSocket, good token",
        |b| b.web_socket(Some(&b.good)),
        "101, frame came back",
        "`GET /web-socket` of alice, upgrade to websocket",
    ),
    Situation::new(
        "gRPC call, no token",
        |b| b.call(None, true),
        "gRPC `Unauthenticated`",
        NOTHING,
    ),
    Situation::new(
        "gRPC call, expired token",
        |b| b.call(Some(&b.expired), true),
        "gRPC `Unauthenticated`",
        NOTHING,
    ),
    Situation::new(
        "gRPC call, good token",
        |b| b.call(Some(&b.good), false),
        "gRPC `Ok`",
        "`POST /grpc.health.v1.Health/Check` of alice",
    ),
    Situation::new(
        "gRPC call, good token, forged identity",
        |b| b.call(Some(&b.good), true),
        "gRPC `Ok`",
        "`POST /grpc.health.v1.Health/Check` of alice",
    ),
    Situation::new("HTTP/1.0, no token", |b| b.http_1_0(None), NO_TOKEN, NOTHING),
    Situation::new("HTTP/1.0, good token", |b| b.http_1_0(Some(&b.good)), "200", ALICE),
];
