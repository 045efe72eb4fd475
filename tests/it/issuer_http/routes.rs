//! Routes: all of the document, those of jwthenticator, and the pages of other origins that may call them.

use serde_json::json;

use super::{UUID, start};
use crate::support::{
    http::{self, Client, request},
    issuer::Issuer,
    realm::Realm,
};

#[test]
fn jwthenticators_routes_answer_to_the_letter_and_can_be_switched_off() {
    let (_realm, issuer, _) = start(Realm::issuing().with("OPEN_KEY_REGISTRATION", "true"));
    let key = json!({"key": "a long and random key", "identifier": UUID}).to_string();
    let made = issuer.ask_internal("POST", "/register_key", &[], &key);
    assert_eq!((made.status, made.json()), (201, json!({"result": true, "message": null})));
    assert_eq!(issuer.ask_internal("POST", "/register_key", &[], &key).status, 201, "again");
    let known = issuer.ask_internal(
        "POST",
        "/is_key_registered",
        &[],
        r#"{"key":"a long and random key"}"#,
    );
    assert_eq!(known.json()["result"], true);
    let post = |path: &str, body: &str| issuer.send("POST", path, &[], body.as_bytes());
    let answer = post("/authenticate", &key);
    let names: Vec<String> =
        answer.json().as_object().expect("an object").keys().cloned().collect();
    assert_eq!((answer.status, names), (200, vec!["jwt".to_owned(), "refresh_token".to_owned()]));
    assert_eq!(post("/authenticate", "[]").text(), r#"{"_schema": ["Invalid input type."]}"#);
    let unknown = post("/authenticate", &key.replace("random", "other"));
    assert_eq!((unknown.status, unknown.text().as_str()), (401, "{}"));
    let valid = json!({"jwt": answer.json()["jwt"]}).to_string();
    assert_eq!(post("/validate", &valid).status, 200, "the gate's own route");

    let realm =
        Realm::issuing().with("DISABLE_EXTERNAL_API", "true").with("DISABLE_INTERNAL_API", "true");
    let issuer = Issuer::start(&realm);
    for path in ["/authenticate", "/refresh", "/validate"] {
        assert_eq!(issuer.send("POST", path, &[], key.as_bytes()).status, 404, "{path}");
    }
    for path in ["/register_key", "/is_key_registered"] {
        assert_eq!(issuer.as_admin("POST", path, key.as_bytes()).status, 404, "{path}");
    }
}

#[test]
fn pages_of_allowed_origins_may_call_and_no_others() {
    let realm = Realm::issuing()
        .with("CORS_URLS", r#"["*.app.example", "http://localhost:3000"]"#)
        .with("CORS_ALLOW_CREDENTIALS", "true");
    let issuer = Issuer::start(&realm);
    for (origin, allowed) in [
        ("https://one.app.example", true),
        ("http://localhost:3000", true),
        ("https://app.example", false),
        ("https://evil.example", false),
        ("null", false),
    ] {
        let line = format!("Origin: {origin}");
        let preflight = [line.as_str(), "Access-Control-Request-Method: POST"];
        let answer = issuer.send("OPTIONS", "/token", &preflight, b"");
        let expected = allowed.then_some(origin);
        assert_eq!(answer.header("access-control-allow-origin"), expected, "{origin}");
        let answer = http::get(issuer.public, "/health", &[&line]);
        assert_eq!(answer.header("access-control-allow-origin"), expected, "{origin}");
    }
}

/// Method and path of every route, in the order of the document.
const ROUTES: &[&str] = &[
    "delete /account",
    "delete /admin/keys/{id}",
    "delete /admin/sessions/{id}",
    "delete /admin/users/{user}",
    "delete /admin/users/{user}/keys",
    "delete /admin/users/{user}/roles/{role}",
    "delete /admin/users/{user}/sessions",
    "delete /keys",
    "delete /keys/{id}",
    "delete /sessions",
    "delete /sessions/{id}",
    "get /",
    "get /.well-known/jwks.json",
    "get /.well-known/oauth-authorization-server",
    "get /account",
    "get /account/events",
    "get /admin/audit",
    "get /admin/audit/summary",
    "get /admin/roles",
    "get /admin/sessions",
    "get /admin/users",
    "get /admin/users/{user}",
    "get /admin/users/{user}/keys",
    "get /admin/users/{user}/sessions",
    "get /api/healthcheck",
    "get /csrf",
    "get /health",
    "get /jwks",
    "get /keys",
    "get /ready",
    "get /sessions",
    "get /validate_request",
    "get /validate_request/traefik",
    "patch /account",
    "patch /admin/users/{user}",
    "post /account",
    "post /account/email",
    "post /account/forgot-password",
    "post /account/password",
    "post /account/password/check",
    "post /account/reset-password",
    "post /account/verify",
    "post /account/verify/resend",
    "post /admin/invitations",
    "post /admin/users",
    "post /admin/users/{user}/keys",
    "post /admin/users/{user}/links",
    "post /admin/users/{user}/lock",
    "post /admin/users/{user}/password",
    "post /admin/users/{user}/unlock",
    "post /admin/users/{user}/verify",
    "post /authenticate",
    "post /introspect",
    "post /is_key_registered",
    "post /keys",
    "post /keys/refresh",
    "post /logout",
    "post /oauth/token",
    "post /refresh",
    "post /register_key",
    "post /revoke",
    "post /ticket",
    "post /validate",
    "put /admin/users/{user}/roles/{role}",
];

#[test]
fn the_document_covers_every_route_and_the_pages_load_nothing_from_elsewhere() {
    let issuer = Issuer::start(&Realm::issuing().with("TOKEN_URL", "/oauth/token"));
    let document = http::get(issuer.public, "/openapi.json", &[]).json();
    let mut routes: Vec<String> = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        routes.extend(item.as_object().expect("methods").keys().map(|it| format!("{it} {path}")));
    }
    routes.sort();
    assert_eq!(routes, ROUTES);
    // Each of them is there: none is 404, whatever else is wrong with an empty request.
    for route in ROUTES {
        let (method, path) = route.split_once(' ').expect("two words");
        let path = path.replace("{id}", "x").replace("{user}", "x");
        let is_internal =
            path.starts_with("/admin") || path.ends_with("_key") || path.ends_with("_registered");
        let at = match path.as_str() {
            "/validate_request/traefik" => issuer.gate.address,
            _ if is_internal => issuer.internal,
            _ => issuer.public,
        };
        let host = format!("Host: {at}");
        let bytes = request(&method.to_uppercase(), &path, &[&host], b"");
        let answer = Client::connect(at).exchange(bytes);
        let is_missing = answer.status == 405 || answer.text() == "404: Not Found";
        assert!(!is_missing, "{route}: {} {}", answer.status, answer.text());
    }
    let form = [("grant_type", "password")];
    assert_eq!(issuer.form("/token", &form, &[]).status, 404, "it has moved");
    // Where they come from otherwise is in issuer_document.rs.
    for page in ["/redoc", "/docs/", "/docs/index.html", "/docs/swagger-initializer.js"] {
        let page = http::get(issuer.public, page, &[]);
        assert_eq!(page.status, 200);
        let text = page.text();
        for outside in ["src=\"http", "src='http", "href=\"http", "src=\"//", "@import"] {
            assert!(!text.contains(outside), "{outside} in a page");
        }
    }
}
