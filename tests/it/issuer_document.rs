//! The OpenAPI document and the pages that show it: valid, true of every answer, and framed by nobody.

use serde_json::{Value, json};

use crate::policy_models::with_permissions;
use crate::support::{
    http::{self, Client, Response, bearer, request},
    issuer::{ALICE, DEMO, Issuer},
    realm::Realm,
    script::{self, Interpreter},
};

const PASSWORD: [(&str, &str); 3] =
    [("grant_type", "password"), ("username", ALICE.0), ("password", ALICE.1)];
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// Method, path and the operation itself.
pub fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let all = paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().expect("operations").iter();
        let of_path = item.filter(|(name, _)| METHODS.contains(&name.as_str()));
        of_path.map(move |(method, operation)| {
            (method.to_uppercase(), path.clone(), operation.clone())
        })
    });
    all.collect()
}

#[test]
fn a_validator_accepts_the_document() {
    let realm = Realm::issuing().with("TOKEN_URL", "/oauth/token").with("TOKEN_COOKIES", "tp-auth");
    let issuer = Issuer::start(&realm);
    let parts = json!({ "issuer": issuer.url() });
    let steps = script::steps(Interpreter::Python, "openapi_document.py", parts, realm.folder());
    let Some(steps) = steps else { return };
    assert_eq!(steps, ["/openapi.json", "/docs/openapi.json"]);
}

#[test]
fn the_document_says_whom_each_route_asks_for_and_where_it_is() {
    let issuer = Issuer::start(&Realm::issuing().with("TOKEN_COOKIES", "tp-auth"));
    let document = http::get(issuer.public, "/openapi.json", &[]).json();
    assert_eq!(document["servers"][0]["url"], issuer.url());
    let schemes = &document["components"]["securitySchemes"];
    assert_eq!(schemes["basic"]["scheme"], "basic");
    assert_eq!(schemes["cookies"]["name"], "access_token");
    let all = operations(&document);
    let of = |path: &str| {
        let found = all.iter().find(|(_, at, _)| at == path);
        found.unwrap_or_else(|| panic!("no {path}")).2.clone()
    };
    assert_eq!(of("/token")["security"], json!([{"basic": []}, {}]));
    assert_eq!(of("/admin/sessions")["security"], json!([{"administrator": []}]));
    assert_eq!(of("/admin/sessions")["servers"][0]["url"], "http://{internal}");
    assert!(of("/validate_request/traefik").is_object(), "the other dialect");
    for (method, path, operation) in &all {
        for field in ["summary", "operationId"] {
            assert!(operation[field].is_string(), "{method} {path} has no {field}");
        }
        for (status, answer) in operation["responses"].as_object().expect("answers") {
            assert!(answer["description"].is_string(), "{method} {path} {status}");
        }
    }
}

#[test]
fn no_answer_has_a_status_that_the_document_does_not_tell() {
    let realm = with_permissions(Realm::issuing());
    let realm = realm.with("RATE_LIMITS", "true").with("RATE_LIMIT_PER_MINUTE", "8");
    let secret = realm.with_alice_and_demo();
    let key = realm.ask(&["apikey", "add", "alice", "--scope", "user:read"]);
    let issuer = Issuer::start(&realm);
    let document = http::get(issuer.public, "/openapi.json", &[]).json();
    // From an address of its own each time: the budget of this one is to be used up.
    let log_in = |n: usize| {
        let line = format!("X-Forwarded-For: 198.51.100.{n}");
        let answer = issuer.form("/token", &PASSWORD, &[&line]);
        assert_eq!(answer.status, 200, "{answer:?}");
        bearer(answer.json()["access_token"].as_str().expect("a token"))
    };
    let by_key = [("grant_type", "urn:portcullis:grant-type:api-key"), ("api_key", &*key)];
    let narrow = issuer.form("/token", &by_key, &[]).json();
    let narrow = bearer(narrow["access_token"].as_str().expect("a token"));
    let admin = bearer(&issuer.admin_token);
    let form = "Content-Type: application/x-www-form-urlencoded";
    let client =
        format!("client_id={DEMO}&client_secret={secret}&token=x&grant_type=client_credentials");
    let large = "x".repeat(70_000);
    let mut seen = std::collections::BTreeSet::new();
    for (n, (method, path, operation)) in operations(&document).into_iter().enumerate() {
        let tag = operation["tags"][0].as_str().unwrap_or_default();
        let at = match tag {
            "internal" => issuer.internal,
            "gate" => issuer.gate.address,
            _ => issuer.public,
        };
        let own = format!("Host: {at}");
        let path = path.replace("{id}", "x").replace("{user}", "nobody");
        let person = log_in(n);
        for (lines, body) in [
            (&[&*own][..], ""),
            (&[&*own, "Authorization: Basic"], ""),
            (&[&*own, "Authorization: Bearer x"], ""),
            (&[&*own, &person], ""),
            (&[&*own, &narrow], ""),
            (&[&*own, &admin], ""),
            (&[&*own, &admin, "Content-Type: application/json"], "{}"),
            (&[&*own, &admin, form], "token=x"),
            (&[&*own, form], &client),
            (&[&*own, form], "grant_type=password&username=a&password=b"),
            (&[&*own, form], "grant_type=nothing"),
            (&[&*own, form, "Origin: https://evil.example"], &client),
            (&["Host: evil.example", &admin], ""),
            (&[&*own, "X-Forwarded-For: 203.0.113.9"], if tag == "gate" { "" } else { &large }),
        ] {
            let answer: Response =
                Client::connect(at).exchange(request(&method, &path, lines, body.as_bytes()));
            let is_documented = operation["responses"].get(answer.status.to_string()).is_some();
            assert!(is_documented, "{method} {path} {lines:?}: {answer:?}");
            seen.insert(answer.status);
        }
        if tag != "gate" {
            let two = [&*own, &*own];
            let answer = Client::connect(at).exchange(request(&method, &path, &two, b""));
            let is_documented = operation["responses"].get(answer.status.to_string()).is_some();
            assert!(is_documented && answer.status == 400, "{method} {path}: {answer:?}");
        }
    }
    for status in [200, 400, 401, 403, 404, 413, 429] {
        assert!(seen.contains(&status), "{status} was not put to the test: {seen:?}");
    }
}

#[test]
fn the_pages_load_nothing_from_elsewhere_and_stand_in_no_frame() {
    let issuer = Issuer::start(&Realm::issuing());
    for page in ["/redoc", "/docs/", "/docs/index.html", "/docs/swagger-initializer.js"] {
        let answer = http::get(issuer.public, page, &[]);
        assert_eq!(answer.status, 200, "{page}");
        let policy = answer.header("content-security-policy").unwrap_or_default().to_owned();
        for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{page}: {part} is not in {policy:?}");
        }
        assert!(!policy.contains("script-src 'unsafe") && !policy.contains("http"), "{policy}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{page}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{page}");
        assert!(!answer.text().contains("<script>"), "{page}: the policy forbids it");
    }
}
