//! Requests without a credential (ANONYMOUS), and users that may only read (READ_ONLY_ROLES), before the real program.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::support::{
    gate::Gate,
    http::{Response, bearer, get},
    issuer::Issuer,
    nginx::Nginx,
    realm::Realm,
    suite::Stack,
    tokens,
};

const TRAEFIK: &str = "/validate_request/traefik";

fn realm_with(policy: &str) -> Realm {
    Realm::new().with("ANONYMOUS", "true").with_policy(policy)
}

/// The answer to Traefik's question about a client's request with these lines.
fn ask(gate: &Gate, method: &str, path: &str, lines: &[&str]) -> Response {
    let (method, uri) =
        (format!("X-Forwarded-Method: {method}"), format!("X-Forwarded-Uri: {path}"));
    let told =
        [method.as_str(), uri.as_str(), "X-Forwarded-Proto: https", "X-Forwarded-Host: a.test"];
    get(gate.address, TRAEFIK, &[&told, lines].concat())
}

#[test]
fn without_a_credential_one_passes_where_no_more_than_one_is_needed() {
    let realm = realm_with(
        r#"
        default = "user"
        [[route]]
        path = "/shop/*"
        require = "token"
        [[route]]
        path = "/account"
        require = "user"
        [[route]]
        path = "/write"
        require = { scopes = ["write"] }
        [[route]]
        path = "/role"
        require = { roles = ["anonymous"] }
        [[route]]
        path = "/shut"
        require = "never"
        [[route]]
        path = "/open"
        require = "nothing"
        "#,
    );
    let gate = realm.gate();
    for (path, status, roles) in [
        ("/shop/1", 200, Some("anonymous")),
        ("/account", 401, None),
        ("/write", 401, None),
        ("/role", 401, None),
        ("/shut", 403, None),
        ("/elsewhere", 401, None),
        ("/open", 200, Some("")),
    ] {
        let answer = ask(&gate, "GET", path, &[]);
        assert_eq!((answer.status, answer.header("x-auth-roles")), (status, roles), "{path}");
        if status == 200 {
            let named = ["x-auth-user", "x-auth-username", "x-auth-issuer", "x-auth-session"];
            assert!(named.iter().all(|name| answer.header(name) == Some("")), "{answer:?}");
        }
    }
    // A user of that name and with that role has what no anonymous request has: a name and an issuer.
    let named = bearer(&realm.mint("anonymous", &["--role", "anonymous"]));
    let answer = ask(&gate, "GET", "/shop/1", &[&named]);
    assert_eq!(answer.header("x-auth-user"), Some("anonymous"), "{answer:?}");
    assert!(answer.header("x-auth-issuer").is_some_and(|iss| !iss.is_empty()), "{answer:?}");
    for path in ["/account", "/role", "/elsewhere"] {
        assert_eq!(ask(&gate, "GET", path, &[&named]).status, 200, "{path}");
    }
}

#[test]
fn a_bad_credential_is_refused_where_none_would_pass() {
    let realm = Realm::new().with("ANONYMOUS", "true").with("TOKEN_COOKIES", "host");
    let gate = realm.gate();
    assert_eq!(get(gate.address, TRAEFIK, &[]).status, 200);
    let expired = bearer(&tokens::expired(&realm.mint("alice", &[]), &realm.private_pem()));
    let revoked = realm.mint("alice", &[]);
    realm.revoke(&revoked);
    for line in [
        "Authorization: Bearer rubbish",
        "Authorization: Bearer",
        "Authorization:",
        "Authorization: Basic YTpi",
        "Authorization: Digest x",
        "X-Api-Key: pk_x",
        "DPoP: x",
        "Cookie: __Host-access_token=x",
        "Cookie: __Host-access_token=x; __Host-user_id=alice",
        expired.as_str(),
        &bearer(&revoked),
    ] {
        let answer = get(gate.address, TRAEFIK, &[line]);
        assert_eq!(answer.status, 401, "{line}: {answer:?}");
        assert_eq!(answer.header("x-auth-roles"), None, "{line}");
    }
    assert_eq!(get(gate.address, &format!("{TRAEFIK}?scope=a"), &[]).status, 401);
    let told = realm.exits(0, &["check-config"], "").errors;
    assert!(told.contains("ANONYMOUS: every request without a credential passes"), "{told}");
    assert!(told.contains("and so does none (ANONYMOUS)"), "{told}");
}

#[test]
fn users_with_such_a_role_only_read_whatever_they_show() {
    let realm = Realm::issuing()
        .with("READ_ONLY_ROLES", "demo")
        .with("ACCEPT_BASIC", "true")
        .with("ACCEPT_API_KEYS", "true");
    for (name, role) in [("visitor", "demo"), ("editor", "editor")] {
        let password = "a looking-glass and 7 pawns";
        realm.exits(0, &["user", "add", name, "--role", role], password);
    }
    let issuer = Issuer::start(&realm);
    for (name, writes) in [("visitor", 403), ("editor", 200)] {
        let password = "a looking-glass and 7 pawns";
        let issued = issuer.by_password(name, password, &[]).json();
        let token = bearer(issued["access_token"].as_str().expect("a token"));
        let key = format!("X-Api-Key: {}", realm.ask(&["apikey", "add", name]));
        let basic = STANDARD.encode(format!("{name}:{password}"));
        for shown in [token, key, format!("Authorization: Basic {basic}")] {
            for (method, status) in [
                ("GET", 200),
                ("HEAD", 200),
                ("OPTIONS", 200),
                ("POST", writes),
                ("DELETE", writes),
                ("PATCH", writes),
            ] {
                let answer = ask(&issuer.gate, method, "/", &[&shown]);
                assert_eq!(answer.status, status, "{name} {method}: {answer:?}");
            }
        }
    }
    let denied = [("verdict", "deny"), ("code", "read_only_user")];
    assert_eq!(issuer.gate.counter("portcullis_requests_total", &denied), 9.0);
}

#[test]
fn a_demo_user_changes_nothing_of_his_account_and_logs_out() {
    let realm = Realm::issuing().with("READ_ONLY_ROLES", "demo");
    let password = "a looking-glass and 7 pawns";
    for (name, role) in [("visitor", "demo"), ("editor", "editor")] {
        realm.exits(0, &["user", "add", name, "--role", role], password);
    }
    let issuer = Issuer::start(&realm);
    let log_in = |name: &str| {
        let issued = issuer.by_password(name, password, &[]).json();
        issued["access_token"].as_str().expect("a token").to_owned()
    };
    let send = |method: &str, path: &str, token: &str, body: &str| {
        let lines = [bearer(token), "Content-Type: application/json".to_owned()];
        issuer.send(method, path, &lines.each_ref().map(String::as_str), body.as_bytes())
    };
    let (own, other) = (log_in("visitor"), log_in("visitor"));
    let change =
        format!(r#"{{"current_password": "{password}", "new_password": "{password} or 8"}}"#);
    let shown = format!(r#"{{"password": "{password}"}}"#);
    let moved = format!(r#"{{"email": "eve@example.org", "password": "{password}"}}"#);
    for (method, path, body) in [
        ("POST", "/account/password", change.as_str()),
        ("POST", "/account/email", &moved),
        ("PATCH", "/account", r#"{"full_name": "Eve"}"#),
        ("DELETE", "/account", &shown),
        ("POST", "/keys", "{}"),
        ("DELETE", "/keys", ""),
        ("DELETE", "/sessions", ""),
        ("DELETE", "/sessions?except=current", ""),
    ] {
        let answer = send(method, path, &own, body);
        assert_eq!(answer.status, 403, "{method} {path}: {answer:?}");
        assert!(answer.text().contains("may only read"), "{method} {path}: {answer:?}");
    }
    for (method, path) in [("GET", "/account"), ("GET", "/sessions"), ("POST", "/ticket")] {
        assert_eq!(send(method, path, &own, "").status, 200, "{method} {path}");
    }
    assert_eq!(send("POST", "/logout", &own, "").status, 200);
    // The other session lives: who may only read is refused where no method is told.
    assert_eq!((issuer.check(&own), issuer.check(&other)), (401, 403));
    // The role that was given just now counts, whatever the token says.
    let editor = log_in("editor");
    assert_eq!(send("PATCH", "/account", &editor, r#"{"full_name": "Ed"}"#).status, 200);
    realm.ask(&["role", "grant", "editor", "demo"]);
    assert_eq!(send("PATCH", "/account", &editor, r#"{"full_name": "Ed"}"#).status, 403);
}

#[test]
fn a_demo_user_behind_nginx_reads_and_does_not_write() {
    let realm = Realm::new().with("READ_ONLY_ROLES", "demo");
    let stack = Stack::start(realm, |gate, app| {
        let nginx = Nginx::start(gate, app, &[])?;
        let address = nginx.address;
        Some((nginx, address))
    });
    let Some(stack) = stack else { return };
    let demo = stack.realm.mint("visitor", &["--role", "demo"]);
    for (method, status) in [("GET", 200), ("POST", 403), ("DELETE", 403)] {
        let answer = stack.send(method, "/", &[&bearer(&demo)], b"");
        assert_eq!(answer.status, status, "{method}: {answer:?}");
    }
    // nginx tells the method, and a client's own word for it counts for nothing.
    let lines = [bearer(&demo), "X-Original-Method: GET".to_owned()];
    let answer = stack.send("POST", "/", &lines.each_ref().map(String::as_str), b"");
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(stack.app.take().len(), 1);
}
