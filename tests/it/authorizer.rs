//! An external authorizer that routes ask, through real gates: what it is asked, what is believed of its answers, and for
//! how long.

mod failures;
mod memory;
mod settings;

use serde_json::{Value, json};

use crate::support::{
    app::App,
    envoy::{Envoy, Protocol},
    free_address,
    gate::Gate,
    http::{self, bearer},
    nginx::Nginx,
    realm::Realm,
    scripted_server::ScriptedServer,
    traefik::{self, Traefik},
};

/// The secret by which the gate shows the authorizer who it is.
const TOKEN: &str = "the-token-of-the-gate";

const POLICY: &str = r#"
[[route]]
path = "/orders/{id}"
require = { authorize = { action = "{method}", type = "order", resource = "{id}" } }

[[route]]
path = "/either/{id}"
[route.require]
any = [{ roles = ["admin"] }, { authorize = { action = "see", type = "thing", resource = "{id}" } }]

[[route]]
path = "/both/{id}"
[route.require]
scopes = ["user:write"]
authorize = { action = "write", type = "thing", resource = "{id}" }

[[route]]
path = "/plain/*"
"#;

/// A realm whose routes ask the authorizer at this address.
fn realm(url: &str) -> Realm {
    let realm = Realm::new().with("AUTHORIZER_URL", url).with("AUTHORIZER_TOKEN", TOKEN);
    realm.with_policy(POLICY)
}

/// The answer to Traefik's question about a request.
fn ask(gate: &Gate, method: &str, path: &str, token: &str) -> http::Response {
    let lines = [
        &format!("X-Forwarded-Method: {method}"),
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: app.test",
        &format!("X-Forwarded-Uri: {path}"),
        &bearer(token),
    ];
    http::get(gate.address, "/validate_request/traefik", &lines)
}

/// The number of times that the authorizer decided so.
fn decided(gate: &Gate, outcome: &str) -> f64 {
    gate.counter("portcullis_authorizer_decisions_total", &[("outcome", outcome)])
}

/// Head and body of a question.
fn parts(question: &str) -> (String, Value) {
    let (head, body) = question.split_once("\r\n\r\n").expect("a head");
    (head.to_ascii_lowercase(), serde_json::from_str(body).expect("JSON"))
}

#[test]
fn each_form_of_question_is_sent_and_each_form_of_answer_understood() {
    let simple = json!({
        "subject": "alice", "roles": ["clerk", "smith"], "scopes": ["user:read"], "action": "PUT",
        "type": "order", "resource": "17",
    });
    let authzen = json!({
        "subject": {
            "type": "user", "id": "alice",
            "properties": {"roles": ["clerk", "smith"], "scopes": ["user:read"]},
        },
        "action": {"name": "PUT"},
        "resource": {"type": "order", "id": "17"},
    });
    let oso = json!({
        "actor_type": "User", "actor_id": "alice", "action": "PUT", "resource_type": "order",
        "resource_id": "17",
    });
    for (format, path, question, yes, no) in [
        ("simple", "/decide", &simple, json!({"allow": true}), json!({"allow": false})),
        (
            "authzen",
            "/access/v1/evaluation",
            &authzen,
            json!({"decision": true, "context": {}}),
            json!({"decision": false}),
        ),
        (
            "opa",
            "/v1/data/app/allow",
            &json!({"input": simple}),
            json!({"result": true}),
            json!({}),
        ),
        (
            "opa",
            "/v1/data/app",
            &json!({"input": simple}),
            json!({"result": {"allow": true}}),
            json!({"result": {"allow": false}}),
        ),
        ("oso", "/api/authorize", &oso, json!({"allowed": true}), json!({"allowed": false})),
    ] {
        let server = ScriptedServer::start();
        let realm = realm(&server.url(path)).with("AUTHORIZER_FORMAT", format);
        let alice =
            realm.mint("alice", &["--scope", "user:read", "--role", "clerk", "--role", "smith"]);
        let gate = realm.gate();
        server.says(&yes);
        let response = ask(&gate, "PUT", "/orders/%317", &alice);
        assert_eq!(response.status, 200, "{format} {path}: {response:?} {}", gate.log());
        assert_eq!(response.header("x-auth-user"), Some("alice"), "{format}");
        server.says(&no);
        let response = ask(&gate, "PUT", "/orders/17", &alice);
        assert_eq!(response.status, 403, "{format} {path}: {response:?}");
        assert!(response.text().contains("The user may not do this"), "{}", response.text());
        let asked = server.take();
        assert_eq!(asked.len(), 2, "SESSION_STALENESS is 0 here: {asked:?}");
        for asked in asked {
            let (head, body) = parts(&asked);
            assert!(head.starts_with(&format!("post {path} http/1.1\r\n")), "{head}");
            assert!(head.contains("\r\ncontent-type: application/json"), "{head}");
            assert!(head.contains(&format!("\r\nauthorization: bearer {TOKEN}")), "{head}");
            assert_eq!(body, *question, "{format}");
        }
        assert_eq!((decided(&gate, "allowed"), decided(&gate, "denied")), (1.0, 1.0), "{format}");
        assert!(!gate.log().contains(TOKEN));
    }
}

#[test]
fn whatever_else_decides_is_looked_at_first_and_nobody_is_asked_in_vain() {
    let server = ScriptedServer::start();
    let realm = realm(&server.url("/decide"));
    let [plain, admin] = [&[][..], &["--role", "admin"]].map(|roles| realm.mint("alice", roles));
    let writer = realm.mint("alice", &["--scope", "user:write"]);
    let gate = realm.gate();
    for (path, token, answer, status, questions) in [
        ("/plain/1", &plain, false, 200, 0),
        ("/either/1", &admin, false, 200, 0),
        ("/either/1", &plain, true, 200, 1),
        ("/either/1", &plain, false, 403, 1),
        ("/both/1", &plain, true, 403, 0),
        ("/both/1", &writer, true, 200, 1),
        ("/both/1", &writer, false, 403, 1),
        ("/nowhere", &admin, true, 403, 0),
        ("/orders/1", &"rubbish".to_owned(), true, 401, 0),
    ] {
        server.says(&json!({ "allow": answer }));
        let response = ask(&gate, "GET", path, token);
        assert_eq!(response.status, status, "{path} {answer}: {response:?}");
        assert_eq!(server.take().len(), questions, "{path} {answer}");
    }
    // What the gateway's address demands comes before any question too.
    let lines =
        ["X-Forwarded-Method: GET", "X-Forwarded-Proto: https", "X-Forwarded-Host: app.test"];
    let more = ["X-Forwarded-Uri: /orders/1", &bearer(&plain)];
    let path = "/validate_request/traefik?scope=user:write";
    let refused = http::get(gate.address, path, &[&lines[..], &more].concat());
    assert_eq!((refused.status, server.take().len()), (403, 0));
}

#[test]
fn a_decision_reaches_the_client_behind_every_kind_of_gateway() {
    let server = ScriptedServer::start();
    let asked = free_address();
    let realm = realm(&server.url("/decide")).with("EXT_AUTHZ_LISTEN", &asked.to_string());
    let alice = bearer(&realm.mint("alice", &[]));
    let (gate, app) = (realm.gate(), App::start());
    let Some(nginx) = Nginx::start(gate.address, app.address, &[]) else { return };
    let Some(traefik) = Traefik::start(gate.address, app.address, traefik::Edits::default()) else {
        return;
    };
    let Some(envoy) = Envoy::start(Protocol::Grpc, asked, app.address, &[]) else { return };
    app.take();
    for (name, address) in
        [("nginx", nginx.address), ("traefik", traefik.address), ("envoy", envoy.address)]
    {
        for (said, status) in [("true", 200), ("false", 403), ("\"true\"", 503)] {
            server.answers("200 OK", "", format!("{{\"allow\": {said}}}").as_bytes());
            let response = http::get(address, "/orders/17", &[&alice]);
            assert_eq!(response.status, status, "{name} {said}: {response:?} {}", gate.log());
            assert_eq!(app.take().len(), usize::from(status == 200), "{name} {said}");
            let (_, question) = parts(&server.take().concat());
            assert_eq!(question["resource"], "17", "{name} {said}");
        }
    }
}
