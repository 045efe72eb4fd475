//! The issuer over HTTP, byte by byte: statuses, headers and bodies that clients go by, and what is never let in.

use serde_json::{Value, json};

use crate::support::{
    free_address,
    http::{self, Client, Response, request},
    issuer::{ALICE, DEMO, Issuer},
    realm::Realm,
};

const ADMIN: &str = "an administrator's token, 32 bytes";
const UUID: &str = "9a1c1f0e-3a51-4d57-bd4c-4f7e1e0ad9f1";

/// An issuer with alice and the client demo, whose secret it also gives.
fn start(realm: Realm) -> (Realm, Issuer, String) {
    let secret = realm.with_alice_and_demo();
    let issuer = Issuer::start(&realm);
    (realm, issuer, secret)
}

fn body(response: &Response) -> Value {
    serde_json::from_slice(&response.body)
        .unwrap_or_else(|error| panic!("{error}: {}", response.text()))
}

fn header<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    let found = response.headers.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

/// Alice's login, by the client demo where its secret is given.
fn log_in(issuer: &Issuer, secret: Option<&str>) -> Value {
    let mut form = vec![("grant_type", "password"), ("username", ALICE.0), ("password", ALICE.1)];
    if let Some(secret) = secret {
        form.extend([("client_id", DEMO), ("client_secret", secret)]);
    }
    let answer = issuer.form("/token", &form, &[]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    body(&answer)
}

fn text<'v>(answer: &'v Value, name: &str) -> &'v str {
    answer[name].as_str().unwrap_or_else(|| panic!("no {name} in {answer}"))
}

fn with_bearer(issuer: &Issuer, method: &str, path: &str, token: &str) -> Response {
    let line = http::bearer(token);
    Client::connect(issuer.public).exchange(request(method, path, &[&line], b""))
}

/// The internal listener, asked by its own address.
fn internal(issuer: &Issuer, method: &str, path: &str, lines: &[&str], body: &str) -> Response {
    let host = format!("Host: {}", issuer.internal);
    let all = [&[host.as_str()], lines].concat();
    Client::connect(issuer.internal).exchange(request(method, path, &all, body.as_bytes()))
}

#[test]
fn a_login_is_answered_as_oauth_and_tp_auth_want_it() {
    let (_realm, issuer, secret) = start(Realm::issuing());
    let form = [
        ("grant_type", "password"),
        ("username", "ALICE "),
        ("password", ALICE.1),
        ("client_id", DEMO),
        ("client_secret", &secret),
        ("scope", "user:read root"),
    ];
    let answer = issuer.form("/token", &form, &[]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(header(&answer, "cache-control"), Some("no-store"));
    assert_eq!(header(&answer, "pragma"), Some("no-cache"));
    assert_eq!(header(&answer, "content-type"), Some("application/json; charset=utf-8"));
    let answer = body(&answer);
    assert_eq!(answer["token_type"], "Bearer");
    assert_eq!(answer["expires_in"], 900);
    assert_eq!(answer["scope"], "user:read", "narrowed, never widened");
    assert_eq!(answer["token"], answer["access_token"]);
    assert_eq!(text(&answer, "refresh_token").len(), 43);
    assert_eq!(issuer.gate.check(text(&answer, "access_token")).status, 200);
}

#[test]
fn what_is_refused_is_refused_with_the_rfcs_codes() {
    let (_realm, issuer, secret) = start(Realm::issuing());
    let alice = [("grant_type", "password"), ("username", ALICE.0), ("password", ALICE.1)];
    let demo = [("client_id", DEMO), ("client_secret", secret.as_str())];
    let check = |fields: &[&[(&str, &str)]], status: u16, error: &str| {
        let answer = issuer.form("/token", &fields.concat(), &[]);
        assert_eq!((answer.status, text(&body(&answer), "error")), (status, error), "{fields:?}");
        assert_eq!(header(&answer, "cache-control"), Some("no-store"), "{fields:?}");
        answer
    };
    check(&[], 400, "invalid_request");
    check(&[&[("grant_type", "")]], 400, "invalid_request");
    check(&[&[("grant_type", "authorization_code")]], 400, "unsupported_grant_type");
    check(&[&alice[..2]], 400, "invalid_request");
    check(&[&alice, &[("password", "x")]], 400, "invalid_request");
    check(&[&alice[..2], &[("password", "x")]], 400, "invalid_grant");
    check(
        &[&[("grant_type", "password"), ("username", "nobody"), ("password", "x")]],
        400,
        "invalid_grant",
    );
    check(&[&alice, &[("scope", "root")]], 400, "invalid_scope");
    check(&[&alice, &[("scope", "a\"b")]], 400, "invalid_scope");
    check(&[&alice, &[("resource", "https://elsewhere.example")]], 400, "invalid_target");
    check(&[&alice, &demo[..1]], 401, "invalid_client");
    let refused =
        check(&[&alice, &[("client_id", "nobody"), ("client_secret", "x")]], 401, "invalid_client");
    assert!(header(&refused, "www-authenticate").is_some_and(|it| it.starts_with("Basic ")));
    check(&[&[("grant_type", "client_credentials")]], 401, "invalid_client");
    check(&[&[("grant_type", "refresh_token"), ("refresh_token", "x")]], 400, "invalid_grant");
    let key = [("grant_type", "urn:portcullis:grant-type:api-key"), ("api_key", "x")];
    check(&[&key], 400, "invalid_grant");
    check(&[&key, &demo], 400, "unauthorized_client");
    let json = issuer.json("/token", &json!({ "grant_type": "password" }));
    assert_eq!((json.status, text(&body(&json), "error")), (400, "invalid_request"));
    assert_eq!(http::get(issuer.public, "/token", &[]).status, 405);
    assert_eq!(http::get(issuer.public, "/nothing", &[]).status, 404);
    let large = [("grant_type", "password"), ("password", &"x".repeat(70_000))];
    assert_eq!(issuer.form("/token", &large, &[]).status, 413);
}

#[test]
fn a_clients_refresh_token_is_the_clients_alone() {
    let (realm, issuer, secret) = start(Realm::issuing());
    let other = realm.add_client("other", &["--grant", "refresh_token"]);
    let login = log_in(&issuer, Some(&secret));
    let refresh = |lines: &[(&str, &str)]| {
        let form =
            [("grant_type", "refresh_token"), ("refresh_token", text(&login, "refresh_token"))];
        issuer.form("/token", &[&form, lines].concat(), &[])
    };
    for form in [&[][..], &[("client_id", "other"), ("client_secret", &other)]] {
        let answer = refresh(form);
        assert_eq!((answer.status, text(&body(&answer), "error")), (400, "invalid_grant"));
    }
    let by_jwthenticator = json!({"refresh_token": login["refresh_token"], "identifier": UUID});
    assert_eq!(issuer.json("/refresh", &by_jwthenticator).status, 401);
    let good = refresh(&[("client_id", DEMO), ("client_secret", &secret)]);
    assert_eq!(good.status, 200, "nobody who was refused used it up: {}", good.text());
    // Whoever comes with a used one ends the family; rubbish ends nothing.
    let next = body(&good);
    assert_eq!(refresh(&[("client_id", DEMO), ("client_secret", "wrong")]).status, 401);
    assert_eq!(issuer.gate.check(text(&next, "access_token")).status, 200);
    assert_eq!(refresh(&[("client_id", DEMO), ("client_secret", &secret)]).status, 400);
    assert_eq!(issuer.gate.check(text(&next, "access_token")).status, 401);
}

#[test]
fn sessions_are_listed_and_ended_by_who_has_them() {
    let (_realm, issuer, _) = start(Realm::issuing());
    let logins: Vec<Value> = (0..4).map(|_| log_in(&issuer, None)).collect();
    let tokens: Vec<&str> = logins.iter().map(|login| text(login, "access_token")).collect();
    let alive = || -> Vec<u16> { tokens.iter().map(|it| issuer.gate.check(it).status).collect() };

    let list = body(&with_bearer(&issuer, "GET", "/sessions", tokens[0]));
    let list = list["sessions"].as_array().expect("a list");
    assert_eq!(list.len(), 4);
    assert_eq!(list.iter().filter(|session| session["current"] == true).count(), 1);
    assert_eq!(list[0]["device"]["address"], "127.0.0.1");

    let newest = text(&list[0], "id");
    assert_eq!(
        with_bearer(&issuer, "DELETE", &format!("/sessions/{newest}"), tokens[0]).status,
        200
    );
    assert_eq!(alive(), [200, 200, 200, 401]);
    assert_eq!(with_bearer(&issuer, "DELETE", "/sessions/someone-elses", tokens[0]).status, 404);

    let logout = with_bearer(&issuer, "POST", "/logout", tokens[2]);
    assert_eq!((logout.status, body(&logout)), (200, json!({"status": 200})));
    assert_eq!(alive(), [200, 200, 401, 401]);
    assert_eq!(with_bearer(&issuer, "POST", "/logout", tokens[2]).status, 401);

    let others = with_bearer(&issuer, "DELETE", "/sessions?except=current", tokens[0]);
    assert_eq!((others.status, body(&others)), (200, json!({"ended": 1})));
    assert_eq!(alive(), [200, 401, 401, 401]);
    assert_eq!(with_bearer(&issuer, "DELETE", "/sessions?except=all", tokens[0]).status, 400);
    let all = with_bearer(&issuer, "DELETE", "/sessions", tokens[0]);
    assert_eq!((all.status, body(&all)), (200, json!({"ended": 1})));
    assert_eq!(alive(), [401, 401, 401, 401]);
    for (method, path) in [("GET", "/sessions"), ("DELETE", "/sessions"), ("POST", "/logout")] {
        let refused = Client::connect(issuer.public).exchange(request(method, path, &[], b""));
        assert_eq!(refused.status, 401, "{method} {path}");
    }
}

#[test]
fn the_least_recently_seen_session_goes_for_a_newer_one() {
    let (_realm, issuer, _) = start(Realm::issuing().with("MAX_SESSIONS_PER_USER", "2"));
    let logins: Vec<Value> = (0..4).map(|_| log_in(&issuer, None)).collect();
    let check = |login: &Value| issuer.gate.check(text(login, "access_token")).status;
    assert_eq!(logins.iter().map(check).collect::<Vec<_>>(), [401, 401, 200, 200]);
}

#[test]
fn only_those_may_introspect_who_were_given_the_right() {
    let (realm, issuer, secret) = start(Realm::issuing().with("ADMIN_TOKEN", ADMIN));
    let other = realm.add_client("other", &["--grant", "password"]);
    let login = log_in(&issuer, None);
    let ask = |token: &str, client: &[(&str, &str)], lines: &[&str]| {
        issuer.form("/introspect", &[&[("token", token)], client].concat(), lines)
    };
    let demo = [("client_id", DEMO), ("client_secret", secret.as_str())];
    for name in ["access_token", "refresh_token"] {
        let known = ask(text(&login, name), &demo, &[]);
        assert_eq!((known.status, &body(&known)["active"]), (200, &json!(true)), "{name}");
        assert_eq!(body(&known)["sub"], login["user_id"]);
    }
    let admin = http::bearer(ADMIN);
    assert_eq!(body(&ask(text(&login, "access_token"), &[], &[&admin]))["active"], true);
    assert_eq!(body(&ask("rubbish", &demo, &[])), json!({"active": false}));
    assert_eq!(ask("rubbish", &[], &[]).status, 401);
    assert_eq!(ask("rubbish", &demo[..1], &[]).status, 401);
    assert_eq!(ask("x", &[("client_id", "other"), ("client_secret", &other)], &[]).status, 403);
    let own = http::bearer(text(&login, "access_token"));
    assert_eq!(ask("x", &[], &[&own]).status, 401, "no user's token will do");
    issuer.form("/revoke", &[("token", text(&login, "refresh_token"))], &[]);
    assert_eq!(body(&ask(text(&login, "access_token"), &demo, &[])), json!({"active": false}));
}

#[test]
fn a_handle_stands_for_a_token_that_never_leaves() {
    let realm = Realm::issuing()
        .with("TOKEN_MODE", "opaque")
        .with("TOKEN_COOKIES", "tp-auth")
        .with("UPSTREAM_JWT_HEADER", "X-Auth-Token");
    let secret = realm.with_alice_and_demo();
    let (key, ring) = (realm.folder().join("true.private.pem"), realm);
    let _ = key;
    // The gate signs for the app here, so it is given the private key too.
    let issuer = Issuer::start(&ring);
    let form = [("grant_type", "password"), ("username", ALICE.0), ("password", ALICE.1)];
    let answer = issuer.form("/token", &form, &[]);
    let login = body(&answer);
    let handle = text(&login, "access_token").to_owned();
    assert_eq!(handle.len(), 43);
    assert!(!answer.text().contains("eyJ"), "no JWT in {}", answer.text());
    let cookies: Vec<&str> = answer
        .headers
        .iter()
        .filter(|(name, _)| name == "set-cookie")
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(cookies.len(), 2, "{cookies:?}");
    for cookie in &cookies {
        assert!(cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Strict"), "{cookie}");
    }
    let by_handle = issuer.gate.check(&handle);
    assert_eq!(by_handle.status, 200);
    assert!(header(&by_handle, "x-auth-token").is_some_and(|it| it.starts_with("eyJ")));
    let pair: Vec<&str> = cookies.iter().filter_map(|cookie| cookie.split(';').next()).collect();
    let line = format!("Cookie: {}", pair.join("; "));
    let by_cookies = http::get(issuer.gate.address, "/validate_request", &[&line]);
    assert_eq!(by_cookies.status, 200);
    let alone = format!("Cookie: {}", pair[1]);
    assert_eq!(http::get(issuer.gate.address, "/validate_request", &[&alone]).status, 401);

    let mut client = Client::connect(issuer.public);
    let evil = [line.as_str(), "Sec-Fetch-Site: cross-site"];
    assert_eq!(client.exchange(request("POST", "/logout", &evil, b"")).status, 403);
    assert_eq!(issuer.gate.check(&handle).status, 200);
    let known = issuer.form(
        "/introspect",
        &[("token", &handle), ("client_id", DEMO), ("client_secret", &secret)],
        &[],
    );
    assert_eq!(body(&known)["username"], ALICE.0);
    let mut client = Client::connect(issuer.public);
    let logout = client.exchange(request("POST", "/logout", &[&line], b""));
    assert_eq!(logout.status, 200);
    assert!(
        logout
            .headers
            .iter()
            .any(|(name, value)| name == "set-cookie" && value.contains("Max-Age=0"))
    );
    assert_eq!(issuer.gate.check(&handle).status, 401);
}

#[test]
fn tp_auths_one_token_slides() {
    let realm = Realm::issuing()
        .with("TOKEN_MODE", "opaque")
        .with("REFRESH_POLICY", "sliding")
        .with("EXPIRY", "60")
        .with("REFRESH_RESTRICT_MINUTES", "60");
    let (_realm, issuer, _) = start(realm);
    let login = log_in(&issuer, None);
    assert_eq!(login["access_token"], login["refresh_token"]);
    let token = text(&login, "access_token");
    for _ in 0..3 {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        let again = issuer.form("/token", &form, &[]);
        assert_eq!(again.status, 200, "{}", again.text());
        assert_eq!(body(&again)["access_token"], token, "the same handle lives on");
    }
    assert_eq!(issuer.gate.check(token).status, 200);
}

#[test]
fn the_administrator_lists_and_ends_sessions_where_nobody_else_comes() {
    let (_realm, issuer, _) = start(Realm::issuing().with("ADMIN_TOKEN", ADMIN));
    let login = log_in(&issuer, None);
    let list = format!("/admin/users/{}/sessions", text(&login, "user_id"));
    for path in [list.as_str(), "/register_key", "/admin/sessions"] {
        assert_eq!(http::get(issuer.public, path, &[]).status, 404, "{path} is not public");
    }
    let ended = issuer.as_admin("DELETE", &list, b"");
    assert_eq!((ended.status, body(&ended)), (200, json!({"ended": 1})));
    assert_eq!(issuer.gate.check(text(&login, "access_token")).status, 401);
    assert_eq!(issuer.as_admin("DELETE", "/admin/sessions/none", b"").status, 404);
}

#[test]
fn jwthenticators_routes_answer_to_the_letter_and_can_be_switched_off() {
    let (_realm, issuer, _) = start(Realm::issuing().with("OPEN_KEY_REGISTRATION", "true"));
    let key = json!({"key": "a long and random key", "identifier": UUID}).to_string();
    let made = internal(&issuer, "POST", "/register_key", &[], &key);
    assert_eq!((made.status, body(&made)), (201, json!({"result": true, "message": null})));
    assert_eq!(internal(&issuer, "POST", "/register_key", &[], &key).status, 201, "again");
    let known =
        internal(&issuer, "POST", "/is_key_registered", &[], r#"{"key":"a long and random key"}"#);
    assert_eq!(body(&known)["result"], true);
    let post = |path: &str, body: &str| {
        Client::connect(issuer.public).exchange(request("POST", path, &[], body.as_bytes()))
    };
    let answer = post("/authenticate", &key);
    let names: Vec<String> =
        body(&answer).as_object().expect("an object").keys().cloned().collect();
    assert_eq!((answer.status, names), (200, vec!["jwt".to_owned(), "refresh_token".to_owned()]));
    assert_eq!(post("/authenticate", "[]").text(), r#"{"_schema": ["Invalid input type."]}"#);
    let unknown = post("/authenticate", &key.replace("random", "other"));
    assert_eq!((unknown.status, unknown.text().as_str()), (401, "{}"));
    let valid = json!({"jwt": body(&answer)["jwt"]}).to_string();
    assert_eq!(post("/validate", &valid).status, 200, "the gate's own route");

    let realm =
        Realm::issuing().with("DISABLE_EXTERNAL_API", "true").with("DISABLE_INTERNAL_API", "true");
    let issuer = Issuer::start(&realm);
    for path in ["/authenticate", "/refresh", "/validate"] {
        let mut client = Client::connect(issuer.public);
        assert_eq!(
            client.exchange(request("POST", path, &[], key.as_bytes())).status,
            404,
            "{path}"
        );
    }
    for path in ["/register_key", "/is_key_registered"] {
        assert_eq!(issuer.as_admin("POST", path, key.as_bytes()).status, 404, "{path}");
    }
}

#[test]
fn guessing_is_slowed_down_whatever_name_is_used() {
    let realm =
        Realm::issuing().with("RATE_LIMITS", "true").with("RATE_LIMIT_PER_MINUTE", "100000");
    let realm = realm.with("LOCK_TRIES", "3").with("LOCK_TIME", "600");
    let (realm, issuer, _) = start(realm);
    let try_as = |name: &str, password: &str| {
        let form = [("grant_type", "password"), ("username", name), ("password", password)];
        issuer.form("/token", &form, &[])
    };
    // The account's name in one canonical form: neither case nor blanks dodge the count.
    for name in ["alice", "ALICE", " Alice "] {
        assert_eq!(try_as(name, "wrong").status, 400, "{name:?}");
    }
    let locked = try_as("alice", ALICE.1);
    assert_eq!((locked.status, text(&body(&locked), "error")), (429, "slow_down"));
    let wait: u64 = header(&locked, "retry-after").expect("a time").parse().expect("seconds");
    assert!((500..=600).contains(&wait), "{wait}");
    for _ in 0..3 {
        assert_eq!(try_as("nobody", "wrong").status, 400);
    }
    assert_eq!(try_as("nobody", "wrong").status, 429, "a name that nobody has is no different");
    let audit = std::fs::read_to_string(realm.folder().join("audit.jsonl")).expect("the audit log");
    let events: Vec<Value> =
        audit.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let locks = events.iter().filter(|event| event["event"] == "temporary_lock").count();
    assert_eq!(locks, 2, "{audit}");
    assert!(!audit.contains("wrong") && !audit.contains(ALICE.1), "{audit}");
}

#[test]
fn one_address_has_a_budget() {
    let realm = Realm::issuing().with("RATE_LIMITS", "true").with("RATE_LIMIT_PER_MINUTE", "10");
    let (_realm, issuer, _) = start(realm);
    let from = |address: &str| {
        let line = format!("X-Forwarded-For: {address}");
        issuer.form("/token", &[("grant_type", "refresh_token"), ("refresh_token", "x")], &[&line])
    };
    for _ in 0..5 {
        assert_eq!(from("203.0.113.7").status, 400);
    }
    let refused = from("203.0.113.7");
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert!(header(&refused, "retry-after").is_some());
    assert_eq!(from("203.0.113.8").status, 400, "another address has its own");
    assert_eq!(
        from("203.0.113.8, 203.0.113.7").status,
        429,
        "what the client wrote does not count"
    );
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
        let mut client = Client::connect(issuer.public);
        let answer = client.exchange(request("OPTIONS", "/token", &preflight, b""));
        let expected = allowed.then_some(origin);
        assert_eq!(header(&answer, "access-control-allow-origin"), expected, "{origin}");
        let answer = http::get(issuer.public, "/health", &[&line]);
        assert_eq!(header(&answer, "access-control-allow-origin"), expected, "{origin}");
    }
}

#[test]
fn the_document_covers_every_route_and_the_pages_load_nothing_from_elsewhere() {
    let issuer = Issuer::start(&Realm::issuing().with("TOKEN_URL", "/oauth/token"));
    let document = body(&http::get(issuer.public, "/openapi.json", &[]));
    let mut routes: Vec<String> = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        routes.extend(item.as_object().expect("methods").keys().map(|it| format!("{it} {path}")));
    }
    routes.sort();
    let expected = [
        "delete /admin/sessions/{id}",
        "delete /admin/users/{user}/sessions",
        "delete /sessions",
        "delete /sessions/{id}",
        "get /",
        "get /.well-known/jwks.json",
        "get /.well-known/oauth-authorization-server",
        "get /admin/sessions",
        "get /admin/users/{user}/sessions",
        "get /api/healthcheck",
        "get /health",
        "get /jwks",
        "get /ready",
        "get /sessions",
        "get /validate_request",
        "get /validate_request/traefik",
        "post /authenticate",
        "post /introspect",
        "post /is_key_registered",
        "post /logout",
        "post /oauth/token",
        "post /refresh",
        "post /register_key",
        "post /revoke",
        "post /validate",
    ];
    assert_eq!(routes, expected);
    // Each of them is there: none is 404, whatever else is wrong with an empty request.
    for route in &expected {
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

#[test]
fn a_hook_takes_the_place_of_the_accounts() {
    use crate::support::app::App;
    // The app of the tests answers every request 200 with a body that names nobody: no login.
    let app = App::start();
    let realm = Realm::issuing()
        .with("TOKEN_HOOK_URL", &format!("http://{}/login", app.address))
        .with("TOKEN_HOOK_SECRET", "sixteen bytes or more");
    let issuer = Issuer::start(&realm);
    let form = [("grant_type", "password"), ("username", "bob"), ("password", "hunter22")];
    let answer = issuer.form("/token", &form, &[]);
    assert_eq!(answer.status, 503, "fail closed: {}", answer.text());
    let seen = app.take_one();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/login"));
    let sent: Value = serde_json::from_slice(&seen.body).expect("JSON");
    assert_eq!((&sent["username"], &sent["password"]), (&json!("bob"), &json!("hunter22")));
    assert_eq!(sent["client_address"], "127.0.0.1");
    let signature = seen.values("portcullis-signature");
    assert_eq!(signature.len(), 1);
    let time = signature[0].split(',').next().and_then(|t| t.strip_prefix("t=")).expect("a time");
    let expected = portcullis::issuer::hook::signature(
        &portcullis::secret::Secret::new("sixteen bytes or more"),
        portcullis::clock::UnixTime::from_secs(time.parse().expect("seconds")),
        &seen.body,
    );
    assert_eq!(signature[0], expected);
    // Nobody listens: fail closed too.
    let realm = realm.with("TOKEN_HOOK_URL", &format!("http://{}/login", free_address()));
    let (issuer, _realm) = Issuer::beside(realm);
    assert_eq!(issuer.form("/token", &form, &[]).status, 503);
}

/// An application that knows bob, and refuses everybody else.
fn application() -> std::net::SocketAddr {
    use std::io::{BufReader, Write as _};
    let listener = std::net::TcpListener::bind(free_address()).expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = BufReader::new(stream);
            let mut length = 0;
            while let Some(line) = http::read_line(&mut stream).filter(|line| !line.is_empty()) {
                let line = line.to_ascii_lowercase();
                if let Some(value) = line.strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a length");
                }
            }
            let body = http::read_exactly(&mut stream, length);
            let asked: Value = serde_json::from_slice(&body).expect("JSON");
            let is_out = asked["password"] == "out of order";
            let (status, body) = match asked["username"].as_str() {
                _ if is_out => ("500 Internal Server Error", "{}".to_owned()),
                Some("bob") => (
                    "200 OK",
                    json!({
                        "user_id": "42",
                        "scopes": ["user:read", "report:read"],
                        "claims": {"email": "bob@example.com", "sub": "root", "sid": "stolen"},
                    })
                    .to_string(),
                ),
                _ => ("401 Unauthorized", "{}".to_owned()),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            stream.get_mut().write_all(format!("{head}{body}").as_bytes()).expect("it reads");
        }
    });
    address
}

#[test]
fn whom_the_hook_knows_gets_tokens_that_live_without_it() {
    let realm = Realm::issuing()
        .with("TOKEN_HOOK_URL", &format!("http://{}/login", application()))
        .with("TOKEN_HOOK_SECRET", "sixteen bytes or more");
    let issuer = Issuer::start(&realm);
    let log_in = |name: &str| {
        let form = [("grant_type", "password"), ("username", name), ("password", "hunter22")];
        issuer.form("/token", &form, &[])
    };
    let login = body(&log_in("bob"));
    assert_eq!(
        (&login["user_id"], &login["scope"]),
        (&json!("42"), &json!("user:read report:read"))
    );
    let check = issuer.gate.check(text(&login, "access_token"));
    assert_eq!(check.status, 200);
    assert_eq!(
        header(&check, "x-auth-user"),
        Some("42"),
        "the hook cannot write the issuer's claims"
    );
    assert_eq!(header(&check, "x-auth-email"), Some("bob@example.com"));
    let sessions = with_bearer(&issuer, "GET", "/sessions", text(&login, "access_token"));
    assert_eq!(sessions.status, 200, "the hook saw a password: {}", sessions.text());
    let form = [("grant_type", "refresh_token"), ("refresh_token", text(&login, "refresh_token"))];
    let next = issuer.form("/token", &form, &[]);
    assert_eq!((next.status, &body(&next)["scope"]), (200, &login["scope"]), "{}", next.text());
    let refused = log_in("eve");
    assert_eq!((refused.status, text(&body(&refused), "error")), (400, "invalid_grant"));
}

#[test]
fn what_the_hook_did_not_check_is_not_counted() {
    let realm = Realm::issuing()
        .with("TOKEN_HOOK_URL", &format!("http://{}/login", application()))
        .with("TOKEN_HOOK_SECRET", "sixteen bytes or more")
        .with("RATE_LIMITS", "true")
        .with("RATE_LIMIT_PER_MINUTE", "10")
        .with("LOCK_TRIES", "2");
    let issuer = Issuer::start(&realm);
    let log_in = |name: &str, password: &str| {
        let form = [("grant_type", "password"), ("username", name), ("password", password)];
        issuer.form("/token", &form, &[])
    };
    for _ in 0..10 {
        assert_eq!(log_in("bob", "out of order").status, 503);
    }
    let login = log_in("bob", "hunter22");
    assert_eq!(login.status, 200, "neither the name nor the address has to wait: {login:?}");
    for expected in [400, 400, 429] {
        assert_eq!(log_in("eve", "wrong").status, expected, "a refusal is counted");
    }
}

#[test]
fn a_token_for_somebody_else_is_revoked_and_introspected_by_who_issued_it() {
    let (realm, issuer, _) = start(Realm::issuing());
    let secret = realm.add_client(
        "shop",
        &[
            "--grant",
            "password",
            "--grant",
            "refresh_token",
            "--audience",
            "https://api2.example",
            "--introspect",
        ],
    );
    let shop = [("client_id", "shop"), ("client_secret", secret.as_str())];
    let form = [
        ("grant_type", "password"),
        ("username", ALICE.0),
        ("password", ALICE.1),
        ("resource", "https://api2.example"),
    ];
    let login = body(&issuer.form("/token", &[&form[..], &shop].concat(), &[]));
    let token = text(&login, "access_token");
    assert_eq!(issuer.gate.check(token).status, 401, "it is not for this gate");
    let known = |token: &str| {
        body(&issuer.form("/introspect", &[&[("token", token)][..], &shop].concat(), &[]))["active"]
            .clone()
    };
    assert_eq!(known(token), true);
    let refresh = |resource: &str, token: &str| {
        let form =
            [("grant_type", "refresh_token"), ("refresh_token", token), ("resource", resource)];
        issuer.form("/token", &[&form[..], &shop].concat(), &[])
    };
    let refused = refresh("https://api3.example", text(&login, "refresh_token"));
    assert_eq!(text(&body(&refused), "error"), "invalid_target");
    let next = refresh("https://api2.example", text(&login, "refresh_token"));
    assert_eq!(next.status, 200, "{}", next.text());
    let next = body(&next);
    assert_eq!(issuer.form("/revoke", &[&[("token", token)][..], &shop].concat(), &[]).status, 200);
    assert_eq!(known(text(&next, "access_token")), false, "its session has ended");
}

#[test]
fn a_client_is_never_refused_for_the_guesses_of_others() {
    let realm = Realm::issuing().with("RATE_LIMITS", "true").with("RATE_LIMIT_PER_MINUTE", "10");
    let (_realm, issuer, secret) = start(realm);
    let ask = |secret: &str| {
        let form =
            [("grant_type", "client_credentials"), ("client_id", DEMO), ("client_secret", secret)];
        issuer.form("/token", &form, &[]).status
    };
    for _ in 0..5 {
        assert_eq!(ask("wrong"), 401);
    }
    assert_eq!(ask("wrong"), 429);
    for _ in 0..20 {
        assert_eq!(ask(&secret), 200);
    }
}

#[test]
fn tokens_of_an_issuer_without_a_name_are_accepted_by_its_own_gate() {
    let (_realm, issuer, _) = start(Realm::issuing().with("ISSUER", ""));
    let login = log_in(&issuer, None);
    assert_eq!(issuer.gate.check(text(&login, "access_token")).status, 200);
    assert_eq!(with_bearer(&issuer, "GET", "/sessions", text(&login, "access_token")).status, 200);
}

#[test]
fn another_sites_page_cannot_log_its_visitor_in() {
    let (_realm, issuer, _) = start(Realm::issuing().with("TOKEN_COOKIES", "host"));
    let form = [("grant_type", "password"), ("username", ALICE.0), ("password", ALICE.1)];
    for (line, status) in [
        ("Sec-Fetch-Site: cross-site", 403),
        ("Origin: https://evil.example", 403),
        ("Sec-Fetch-Site: same-origin", 200),
        ("X-Nothing: else", 200),
    ] {
        let answer = issuer.form("/token", &form, &[line]);
        assert_eq!(answer.status, status, "{line}");
        assert_eq!(header(&answer, "set-cookie").is_some(), status == 200, "{line}");
    }
}
