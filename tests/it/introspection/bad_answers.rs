//! Answers that are no yes: of an issuer that is broken, forged, or speaks of another token.

use serde_json::{Value, json};

use super::{SECRET, asked, gate_asking, table, with_tables};
use crate::support::{free_address, gate::Gate, realm::Realm, scripted_server::ScriptedServer};

/// Now, in seconds.
fn now() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
    since.as_secs()
}

/// The code of the denial by which a gate answers a token, told where Traefik would ask.
fn denied(gate: &Gate, token: &str) -> (u16, String) {
    let line = crate::support::http::bearer(token);
    let response = crate::support::http::get(gate.address, "/validate_request/traefik", &[&line]);
    (response.status, response.text())
}

#[test]
fn claims_are_checked_as_those_of_a_signed_token() {
    let server = ScriptedServer::start();
    let (_realm, gate) = gate_asking(&server, &[]);
    let hour = 3_600;
    for (claims, status, told) in [
        (json!({"sub": "carol"}), 200, ""),
        (json!({"sub": "carol", "exp": now() + hour, "nbf": now() - hour}), 200, ""),
        (json!({"sub": "carol", "iss": "https://login.example", "token_type": "Bearer"}), 200, ""),
        (json!({}), 401, "claim"),
        (json!({"username": "carol"}), 401, "claim"),
        (json!({"user_id": "carol"}), 401, "claim"),
        (json!({"sub": ""}), 401, "claim"),
        (json!({"sub": 7}), 401, "claim"),
        (json!({"sub": null}), 401, "claim"),
        (json!({"sub": "carol", "exp": now() - hour}), 401, "expired"),
        (json!({"sub": "carol", "exp": "soon"}), 401, "claim"),
        (json!({"sub": "carol", "exp": 1.5}), 401, "claim"),
        (json!({"sub": "carol", "nbf": now() + hour}), 401, "not valid yet"),
        (json!({"sub": "carol", "iat": now() + hour}), 401, "not valid yet"),
        (json!({"sub": "carol", "iss": "https://evil.example"}), 401, "issuer"),
        (json!({"sub": "carol", "iss": "https://login.example/"}), 401, "issuer"),
        (json!({"sub": "carol", "iss": ["https://login.example"]}), 401, "claim"),
        (json!({"sub": "carol", "aud": "another service"}), 401, "audience"),
        (json!({"sub": "carol", "token_type": "refresh_token"}), 401, "access token"),
        (json!({"sub": "carol", "token_use": "refresh"}), 401, "access token"),
        (json!({"sub": "carol", "scope": 5}), 401, "claim"),
    ] {
        let mut said = claims.clone();
        said["active"] = Value::Bool(true);
        server.says(&said);
        let (found, text) = denied(&gate, "opaque");
        assert_eq!(found, status, "{claims}: {text}");
        assert!(text.contains(told), "{claims}: {text}");
    }
}

#[test]
fn no_answer_that_can_be_used_is_503_and_never_a_yes() {
    let server = ScriptedServer::start();
    let (_realm, gate) = gate_asking(&server, &[]);
    let token = "t0ken-of-theirs";
    let yes = br#"{"active": true, "sub": "carol"}"#;
    let huge =
        [&br#"{"active": true, "sub": "carol", "x": ""#[..], &[b'x'; 70_000], b"\"}"].concat();
    let redirect = format!("Location: http://{}/elsewhere\r\n", server.address);
    for (status, lines, body) in [
        ("200 OK", "", &b""[..]),
        ("200 OK", "", b"<html>"),
        ("200 OK", "", br#"{"active": "true", "sub": "carol"}"#),
        ("200 OK", "", br#"{"active": 1, "sub": "carol"}"#),
        ("200 OK", "", br#"{"sub": "carol"}"#),
        ("200 OK", "", br#"{"active": false, "active": true, "sub": "carol"}"#),
        ("200 OK", "", &huge),
        ("204 No Content", "", b""),
        ("201 Created", "", yes),
        ("302 Found", &redirect, yes),
        ("307 Temporary Redirect", &redirect, yes),
        ("401 Unauthorized", "", yes),
        ("403 Forbidden", "", yes),
        ("500 Internal Server Error", "", yes),
    ] {
        server.answers(status, lines, body);
        let (found, text) = denied(&gate, token);
        assert_eq!(found, 503, "{status} {text}");
        assert!(text.contains("introspection_unavailable"), "{status} {text}");
        // A circuit that failed often is open for a moment: a good answer closes it again.
        server.says(&json!({"active": false}));
        crate::support::poll("an answer", crate::support::PATIENCE, || {
            (denied(&gate, "another").0 == 401).then_some(())
        });
    }
    let questions = server.take();
    assert!(questions.iter().all(|it| it.starts_with("POST /introspect ")), "{questions:?}");
    for cut in ["HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"active\": true", "", "rubbish\r\n"]
    {
        server.sends(cut.as_bytes().to_vec());
        assert_eq!(denied(&gate, token).0, 503, "{cut}");
    }
    assert!(asked(&gate, "failed") >= 14.0);
    gate.wait_for_log("an issuer gave no answer about its tokens");
    let log = gate.log();
    assert!(!log.contains(SECRET) && !log.contains(token), "{log}");
}

/// Anybody can make tokens up at which an issuer balks; it is asked about all others as before.
#[test]
fn tokens_that_were_made_up_keep_no_good_one_out() {
    let server = ScriptedServer::start();
    let (_realm, gate) = gate_asking(&server, &[]);
    for status in ["400 Bad Request", "413 Content Too Large", "429 Too Many Requests"] {
        server.answers(status, "", b"");
        assert_eq!([(); 20].map(|()| denied(&gate, "made-up").0), [503; 20], "{status}");
        assert_eq!(server.take().len(), 20, "{status}");
        server.says(&json!({"active": true, "sub": "carol"}));
        assert_eq!(denied(&gate, "good").0, 200, "{status}");
        server.take();
    }
    server.answers("500 Internal Server Error", "", b"");
    assert_eq!([(); 20].map(|()| denied(&gate, "good").0), [503; 20]);
    assert!(server.take().len() < 20, "it is left alone for a while");
}

#[test]
fn what_was_good_is_not_believed_beyond_the_bound_while_its_issuer_is_silent() {
    let server = ScriptedServer::start();
    server.says(&json!({"active": true, "sub": "carol"}));
    let settings = [("SESSION_STORE_DOWN", "stale-for 3600"), ("INTROSPECTION_TIMEOUT", "1")];
    let (_realm, gate) = gate_asking(&server, &settings);
    let until_good = || {
        crate::support::poll("an answer", crate::support::PATIENCE, || {
            (denied(&gate, "opaque").0 == 200).then_some(())
        });
    };
    until_good();
    server.hold();
    assert_eq!(denied(&gate, "opaque").0, 503, "SESSION_STALENESS is 0 here");
    server.release();
    until_good();
}

#[test]
fn an_issuer_that_is_not_there_lets_nobody_in() {
    let realm = Realm::new();
    let url = format!("http://{}/introspect", free_address());
    let tables = table(&realm, "https://login.example", &url, SECRET, "");
    let realm = with_tables(realm, &tables);
    let gate = realm.gate();
    assert_eq!([(); 12].map(|()| denied(&gate, "opaque").0), [503; 12]);
    assert_eq!(gate.ready().status, 200, "others may get in");
}

#[test]
fn a_table_that_could_send_secrets_elsewhere_is_a_mistake() {
    let realm = Realm::new();
    let of = |name: &str, url: &str, more: &str| {
        table(&realm, &format!("https://{name}.example"), url, SECRET, more)
    };
    let https = "https://login.example/introspect";
    let cases = [
        (of("a", "http://login.example/introspect", ""), "https"),
        (of("a", "https://u:p@login.example/introspect", ""), "introspection_url"),
        (of("a", https, "jwks_url = \"https://a.example/keys\""), "exactly one"),
        (of("a", https, "algorithm = \"ES256\""), "say nothing of tokens"),
        (of("a", https, "token_prefix = \"\""), "token_prefix"),
        (of("a", https, "token_prefix = \"eyJ\""), "signed tokens"),
        (of("a", https, "token_prefix = \"pk_\""), "API keys"),
        (of("a", https, "") + &*of("b", https, ""), "token_prefix"),
        (
            of("a", https, "token_prefix = \"x_\"") + &*of("b", https, "token_prefix = \"x_y_\""),
            "the beginning of another one",
        ),
        (of("a", https, "") + &*of("a", https, ""), "there twice"),
        (
            "[[issuers]]\nissuer = \"a\"\nintrospection_url = \"https://a.example/i\"\n".to_owned(),
            "introspection_client_id",
        ),
        (
            "[[issuers]]\nissuer = \"a\"\njwks_url = \"https://a.example/k\"\ntoken_prefix = \"x_\"\n"
                .to_owned(),
            "introspection_url",
        ),
    ];
    let file = realm.folder().join("issuers.toml");
    let checked = with_tables(Realm::new(), "").with("CONFIG", &file.display().to_string());
    for (tables, told) in cases {
        std::fs::write(&file, &tables).expect("a writable folder");
        let ended = checked.exits(64, &["check-config"], "");
        assert!(ended.errors.contains(told), "{tables}\n{}", ended.errors);
        assert!(!ended.errors.contains(SECRET), "{}", ended.errors);
    }
}
