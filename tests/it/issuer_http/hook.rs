//! The hook that checks passwords in place of the accounts.

use serde_json::{Value, json};

use crate::support::{
    free_address, http,
    issuer::{Issuer, text},
    realm::Realm,
};

#[test]
fn a_hook_takes_the_place_of_the_accounts() {
    use crate::support::app::App;
    // The app of the tests answers every request 200 with a body that names nobody: no login.
    let app = App::start();
    let realm = Realm::issuing()
        .with("TOKEN_HOOK_URL", &format!("http://{}/login", app.address))
        .with("TOKEN_HOOK_SECRET", "sixteen bytes or more");
    let issuer = Issuer::start(&realm);
    let answer = issuer.by_password("bob", "hunter22", &[]);
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
    assert_eq!(issuer.by_password("bob", "hunter22", &[]).status, 503);
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
    let log_in = |name: &str| issuer.by_password(name, "hunter22", &[]);
    let login = log_in("bob").json();
    assert_eq!(
        (&login["user_id"], &login["scope"]),
        (&json!("42"), &json!("user:read report:read"))
    );
    let check = issuer.gate.check(text(&login, "access_token"));
    assert_eq!(check.status, 200);
    assert_eq!(
        check.header("x-auth-user"),
        Some("42"),
        "the hook cannot write the issuer's claims"
    );
    assert_eq!(check.header("x-auth-email"), Some("bob@example.com"));
    let sessions = issuer.with_bearer("GET", "/sessions", text(&login, "access_token"));
    assert_eq!(sessions.status, 200, "the hook saw a password: {}", sessions.text());
    let next = issuer.by_refresh(text(&login, "refresh_token"), &[]);
    assert_eq!((next.status, &next.json()["scope"]), (200, &login["scope"]), "{}", next.text());
    let refused = log_in("eve");
    assert_eq!((refused.status, text(&refused.json(), "error")), (400, "invalid_grant"));
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
    let log_in = |name: &str, password: &str| issuer.by_password(name, password, &[]);
    for _ in 0..10 {
        assert_eq!(log_in("bob", "out of order").status, 503);
    }
    let login = log_in("bob", "hunter22");
    assert_eq!(login.status, 200, "neither the name nor the address has to wait: {login:?}");
    for expected in [400, 400, 429] {
        assert_eq!(log_in("eve", "wrong").status, expected, "a refusal is counted");
    }
}
