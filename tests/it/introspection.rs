//! Opaque tokens of another issuer: a second portcullis that is asked about its handles, and issuers that
//! answer badly.

mod bad_answers;

use std::path::PathBuf;

use serde_json::json;

use crate::support::{
    gate::Gate,
    issuer::{ALICE, DEMO, Issuer, text},
    realm::Realm,
    scripted_server::ScriptedServer,
};

/// The secret of this gate as a client of the issuer.
const SECRET: &str = "the gate's own secret % of 40 characters";

/// The members of a table about an issuer that is asked there.
fn table(realm: &Realm, iss: &str, url: &str, secret: &str, more: &str) -> String {
    let file: PathBuf = realm.folder().join("introspection.secret");
    std::fs::write(&file, secret).expect("a writable folder");
    format!(
        "[[issuers]]\nissuer = {iss:?}\nintrospection_url = {url:?}\nintrospection_client_id = \
         {DEMO:?}\nintrospection_client_secret_file = {file:?}\n{more}\n"
    )
}

/// The same realm with these tables, and without keys of its own.
fn with_tables(realm: Realm, tables: &str) -> Realm {
    let file = realm.folder().join("issuers.toml");
    std::fs::write(&file, tables).expect("a writable folder");
    let realm = ["PUBLIC_KEY_FILE", "PRIVATE_KEY_FILE", "ALGORITHM"]
        .into_iter()
        .fold(realm, Realm::without);
    realm.with("CONFIG", &file.display().to_string())
}

/// A gate that asks `server` about its tokens.
fn gate_asking(server: &ScriptedServer, settings: &[(&str, &str)]) -> (Realm, Gate) {
    let realm = Realm::new();
    let tables = table(&realm, "https://login.example", &server.url("/introspect"), SECRET, "");
    let realm = settings
        .iter()
        .fold(with_tables(realm, &tables), |realm, (name, value)| realm.with(name, value));
    let gate = realm.gate();
    (realm, gate)
}

/// How often questions to the issuer ended so.
fn asked(gate: &Gate, outcome: &str) -> f64 {
    gate.counter("portcullis_introspections_total", &[("outcome", outcome)])
}

#[test]
fn a_handle_of_another_portcullis_is_good_as_long_as_that_one_says_so() {
    let theirs = Realm::issuing().with("TOKEN_MODE", "opaque");
    let secret = theirs.with_alice_and_demo();
    let issuer = Issuer::start(&theirs);
    let ours = Realm::new();
    let audience = format!("audiences = [{:?}]\nuser_prefix = \"them:\"", issuer.url());
    let url = format!("{}/introspect", issuer.url());
    let tables = table(&ours, &issuer.url(), &url, &secret, &audience);
    let ours = with_tables(ours, &tables);
    let gate = ours.gate();
    let login = issuer.log_in();
    let handle = text(&login, "access_token");
    let good = gate.check(handle);
    assert_eq!(good.status, 200, "{good:?} {}", gate.log());
    for (name, value) in [
        ("x-auth-issuer", issuer.url()),
        ("x-auth-scopes", "user:read user:write".to_owned()),
        ("x-auth-username", format!("them:{}", ALICE.0)),
        ("x-auth-user", format!("them:{}", text(&login, "user_id"))),
    ] {
        assert_eq!(good.header(name), Some(&*value), "{name}: {good:?}");
    }
    // A refresh token is active too, and lets nobody in.
    assert_eq!(gate.check(text(&login, "refresh_token")).status, 401);
    assert_eq!(gate.check("rubbish").status, 401);
    assert_eq!((asked(&gate, "active"), asked(&gate, "inactive")), (2.0, 1.0));
    let ended = issuer.form("/revoke", &[("token", text(&login, "refresh_token"))], &[]);
    assert_eq!(ended.status, 200);
    let refused = gate.check(handle);
    let challenge = refused.header("www-authenticate").expect("a challenge");
    assert_eq!(refused.status, 401);
    assert!(challenge.contains("invalid_token"), "{challenge}");
    let log = gate.log();
    assert!(!log.contains(handle) && !log.contains(&secret), "{log}");
}

#[test]
fn an_issuer_is_asked_as_rfc_7662_has_it_and_once_within_the_bound() {
    let server = ScriptedServer::start();
    server.says(&json!({"active": true, "sub": "carol", "scope": "user:read"}));
    let (_realm, gate) = gate_asking(&server, &[("SESSION_STALENESS", "3600")]);
    for _ in 0..5 {
        let response = gate.check("opaque+/=%&token");
        assert_eq!(response.status, 200, "{response:?} {}", gate.log());
        assert_eq!(response.header("x-auth-user"), Some("carol"));
        assert_eq!(response.header("x-auth-issuer"), Some("https://login.example"));
    }
    let questions = server.take();
    assert_eq!(questions.len(), 1, "{questions:?}");
    let question = questions[0].to_ascii_lowercase();
    assert!(question.starts_with("post /introspect http/1.1\r\n"), "{question}");
    assert!(question.ends_with("token=opaque%2b%2f%3d%25%26token&token_type_hint=access_token"));
    assert!(question.contains("\r\ncontent-type: application/x-www-form-urlencoded\r\n"));
    assert!(question.contains("\r\nauthorization: basic "));
    // CVE-2021-32701: scopes are checked on every request, also where the answer is remembered.
    let needing = |scope: &str| {
        let line = crate::support::http::bearer("opaque+/=%&token");
        let path = format!("/validate_request?scope={scope}");
        crate::support::http::get(gate.address, &path, &[&line]).status
    };
    assert_eq!(
        (needing("user:read"), needing("user:write"), needing("user:read")),
        (200, 403, 200)
    );
    // What is signed is not for the issuer, and a refusal is not remembered.
    assert_eq!(gate.check("a.b.c").status, 401);
    let of_ours = format!("pk_{}", "A".repeat(43));
    assert_eq!(gate.check(&of_ours).status, 401);
    assert_eq!(server.take().len(), 0);
    server.says(&json!({"active": false}));
    assert_eq!([(); 3].map(|()| gate.check("another").status), [401; 3]);
    assert_eq!(server.take().len(), 3);
}

#[test]
fn many_who_ask_at_once_cost_one_question() {
    let server = ScriptedServer::start();
    server.says(&json!({"active": true, "sub": "carol"}));
    let (_realm, gate) = gate_asking(&server, &[("SESSION_STALENESS", "3600")]);
    server.hold();
    let address = gate.address;
    let asking: Vec<_> = (0..20)
        .map(|_| {
            std::thread::spawn(move || {
                let line = crate::support::http::bearer("opaque");
                crate::support::http::get(address, "/validate_request", &[&line]).status
            })
        })
        .collect();
    server.wait_for_question();
    server.release();
    for answer in asking {
        assert_eq!(answer.join().expect("no panic"), 200);
    }
    assert_eq!(server.take().len(), 1);
}

/// CVE-2026-33496: whose token it is decides whom it is asked of, and is a part of what is remembered.
#[test]
fn tokens_of_several_issuers_are_told_by_their_beginning_and_sent_to_nobody_else() {
    let (one, other) = (ScriptedServer::start(), ScriptedServer::start());
    one.says(&json!({"active": true, "sub": "carol"}));
    other.says(&json!({"active": true, "sub": "carol"}));
    let realm = Realm::new();
    let of = |server: &ScriptedServer, name: &str, more: &str| {
        table(&realm, &format!("https://{name}.example"), &server.url("/introspect"), SECRET, more)
    };
    let tables = of(&one, "one", "token_prefix = \"one_\"")
        + &*of(&other, "other", "token_prefix = \"other_\"");
    let realm = with_tables(realm, &tables);
    let gate = realm.gate();
    for (token, iss) in [("one_x", "https://one.example"), ("other_x", "https://other.example")] {
        let response = gate.check(token);
        assert_eq!(response.header("x-auth-issuer"), Some(iss), "{response:?}");
    }
    assert_eq!(gate.check("third_x").status, 401);
    assert_eq!((one.take().len(), other.take().len()), (1, 1));
}

/// A token of theirs may look like a handle of ours; a handle of ours is sent to nobody.
#[test]
fn a_long_prefix_tells_their_tokens_from_our_handles() {
    for (prefix, is_asked) in [("theirs", true), ("their", false)] {
        let server = ScriptedServer::start();
        server.says(&json!({"active": true, "sub": "carol"}));
        let realm = Realm::new();
        let more = format!("token_prefix = {prefix:?}");
        let tables =
            table(&realm, "https://login.example", &server.url("/introspect"), SECRET, &more);
        let realm = with_tables(realm, &tables).with("TOKEN_MODE", "opaque");
        let gate = realm.gate();
        let token = format!("{prefix}{}", "x".repeat(43 - prefix.len()));
        let status = gate.check(&token).status;
        assert_eq!((status == 200, server.take().len() == 1), (is_asked, is_asked), "{prefix}");
        assert_eq!(gate.check(&format!("{token}x")).status, 200, "no handle: {prefix}");
    }
}

#[test]
fn explain_asks_the_issuer_too() {
    let server = ScriptedServer::start();
    server.says(&json!({"active": true, "sub": "carol"}));
    let realm = Realm::new();
    let tables = table(&realm, "https://login.example", &server.url("/introspect"), SECRET, "");
    let realm = with_tables(realm, &tables);
    let good = realm.exits(0, &["explain", "--token", "opaque"], "").printed;
    assert!(good.contains("an opaque token") && good.contains("verdict: allow"), "{good}");
    server.says(&json!({"active": false}));
    let bad = realm.exits(1, &["explain", "--token", "opaque"], "").printed;
    assert!(bad.contains("not active") && bad.contains("token_inactive"), "{bad}");
    let told = realm.exits(0, &["check-config"], "").errors;
    assert!(told.contains("asked at http://127.0.0.1") && !told.contains(SECRET), "{told}");
}
