//! Settings and rules that cannot be meant so, certificates of its own, and what commands say without asking.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use super::{ask, realm};
use crate::support::{
    certificates::Authority, free_address, realm::Realm, scripted_server::ScriptedServer,
};

/// A server over TLS that says yes to everything, with a certificate of this authority.
fn yes_over_tls(authority: &Authority) -> SocketAddr {
    let (certificate, key) = authority.issue();
    let chain =
        vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("one").into_owned()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().expect("versions");
    let config = config.with_no_client_auth().with_single_cert(chain, key).expect("a pair");
    let config = Arc::new(config);
    let listener = TcpListener::bind(free_address()).expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
            let mut stream = StreamOwned::new(connection, stream);
            let mut question = [0; 8_192];
            if matches!(stream.read(&mut question), Ok(1..)) {
                let body = r#"{"allow":true}"#;
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
            }
        }
    });
    address
}

#[test]
fn only_the_authorities_that_are_named_vouch_for_the_authorizer() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = yes_over_tls(&authority);
    let realm = realm(&format!("https://localhost:{}/decide", server.port()));
    let alice = realm.mint("alice", &[]);
    let file = realm.folder().join("authorizer-ca.pem");
    let realm = realm.with("AUTHORIZER_CA_FILE", &file.display().to_string());
    for (trusted, status) in [(&authority, 200), (&other, 503)] {
        std::fs::write(&file, trusted.pem()).expect("writable");
        let gate = realm.gate();
        let response = ask(&gate, "GET", "/orders/1", &alice);
        assert_eq!(response.status, status, "{response:?} {}", gate.log());
    }
    let gate = realm.without("AUTHORIZER_CA_FILE").gate();
    assert_eq!(ask(&gate, "GET", "/orders/1", &alice).status, 503, "nor do the system's");
}

#[test]
fn an_authorizer_that_could_not_be_meant_so_is_a_mistake() {
    let https = "https://opa.example/v1/data/app/allow";
    for (settings, told) in [
        (&[("AUTHORIZER_URL", "http://opa.example/")][..], "AUTHORIZER_INSECURE_HTTP=true"),
        (&[("AUTHORIZER_URL", "https://user:secret@opa.example/")], "which is never sent"),
        (&[("AUTHORIZER_URL", "ftp://opa.example/")], "\"ftp\" is no scheme"),
        (&[("AUTHORIZER_URL", "opa.example")], "is no URL"),
        (&[("AUTHORIZER_FORMAT", "rego")], "write `simple`, `authzen`, `opa` or `oso`"),
        (&[("AUTHORIZER_FORMAT", "oso"), ("AUTHORIZER_TOKEN", "")], "needs AUTHORIZER_TOKEN"),
        (&[("AUTHORIZER_CACHE", "6"), ("SESSION_STALENESS", "5")], "more than SESSION_STALENESS"),
        (&[("AUTHORIZER_TIMEOUT", "0")], "AUTHORIZER_TIMEOUT"),
        (&[("AUTHORIZER_CA_FILE", "/dev/null")], "holds no certificate"),
        (&[("AUTHORIZER_TOKEN", "a\nb")], "cannot stand in a header"),
    ] {
        let realm =
            settings.iter().fold(realm(https), |realm, (name, value)| realm.with(name, value));
        let ended = realm.exits(64, &["check-config"], "");
        assert!(ended.errors.contains(told), "{settings:?}: {}", ended.errors);
        assert!(!ended.errors.contains("secret@"), "{}", ended.errors);
    }
    let inside = realm("http://opa.policy.svc:8181/v1/data/app/allow");
    inside.with("AUTHORIZER_INSECURE_HTTP", "true").exits(0, &["check-config"], "");
    let unused = realm(https).without("AUTHORIZER_URL").without("POLICY_FILE");
    let told = unused.exits(0, &["check-config"], "").errors;
    assert!(
        told.contains("AUTHORIZER_TOKEN") && told.contains("there is no AUTHORIZER_URL"),
        "{told}"
    );
}

#[test]
fn a_route_that_asks_nobody_or_about_nothing_is_a_mistake() {
    let realm = Realm::new();
    let file = realm.folder().join("policy.toml");
    let realm = realm.with("POLICY_FILE", &file.display().to_string());
    let url = "https://opa.example/v1/data/app/allow";
    for (authorize, has_url, told) in [
        (r#"{ action = "see", type = "order", resource = "{id}" }"#, false, "set AUTHORIZER_URL"),
        (r#"{ action = "", type = "order", resource = "{id}" }"#, true, "`action` is empty"),
        (r#"{ action = "see", type = "order", resource = "{nr}" }"#, true, "{nr} is neither"),
        (r#"{ action = "see", resource = "{id}" }"#, true, "missing field `type`"),
        (
            r#"{ action = "see", type = "order", resource = "1", owner = "2" }"#,
            true,
            "unknown field `owner`",
        ),
    ] {
        let text =
            format!("[[route]]\npath = \"/o/{{id}}\"\nrequire = {{ authorize = {authorize} }}\n");
        std::fs::write(&file, text).expect("writable");
        let realm = Realm::with(Realm::new(), "POLICY_FILE", &file.display().to_string());
        let realm = if has_url { realm.with("AUTHORIZER_URL", url) } else { realm };
        let ended = realm.exits(64, &["check-config"], "");
        assert!(ended.errors.contains(told), "{authorize}: {}", ended.errors);
        assert!(ended.errors.contains("policy.toml, line "), "{}", ended.errors);
    }
    std::fs::write(&file, "[[route]]\npath = \"/*\"\n").expect("writable");
    let told = realm.with("AUTHORIZER_URL", url).exits(0, &["check-config"], "").errors;
    assert!(told.contains("AUTHORIZER_URL is set, and no route asks there"), "{told}");
}

#[test]
fn explain_says_what_would_be_asked_and_asks_nobody() {
    let server = ScriptedServer::start();
    server.says(&json!({"allow": true}));
    let realm = realm(&server.url("/decide"));
    let alice = realm.mint("alice", &["--role", "clerk"]);
    let explain = |code: i32, more: &[&str]| {
        let url = "https://app.test/orders/17";
        let arguments = ["explain", "--url", url, "--method", "PUT", "--token", &alice];
        realm.exits(code, &[&arguments[..], more].concat(), "").printed
    };
    let told = explain(69, &[]);
    let step = told.lines().find(|line| line.starts_with("NO  authorize")).expect("a step");
    assert!(step.contains("that the authorizer lets alice PUT the order 17"), "{told}");
    assert!(
        step.contains("may alice, with the roles [clerk] and the scopes [], PUT the order 17?"),
        "{told}"
    );
    assert!(told.contains("authorizer_unavailable"), "{told}");
    assert!(explain(0, &["--authorizer", "allow"]).contains("taken for granted"));
    assert!(explain(1, &["--authorizer", "deny"]).contains("permission_denied"));
    assert_eq!(server.take().len(), 0);
}

#[test]
fn a_case_of_a_policy_says_what_the_authorizer_answers() {
    let server = ScriptedServer::start();
    let realm = realm(&server.url("/decide"));
    let cases = realm.folder().join("cases.toml");
    let case = |name: &str, more: &str| {
        format!(
            "[[case]]\nname = \"{name}\"\nurl = \"https://app.test/orders/17\"\nclaims = {{ sub = \
             \"alice\" }}\n{more}\n"
        )
    };
    let good = [
        case("yes", "authorizer = \"allow\"\nexpect = \"allow\""),
        case("no", "authorizer = \"deny\"\nexpect = \"deny\"\ncode = \"permission_denied\""),
        case("unasked", "expect = \"deny\"\ncode = \"authorizer_unavailable\""),
    ];
    std::fs::write(&cases, good.concat()).expect("writable");
    let path = cases.display().to_string();
    let shown = realm.exits(0, &["policy", "test", &path, "--json"], "").json();
    let asked = "may alice, with the roles [] and the scopes [], GET the order 17?";
    for case in shown["cases"].as_array().expect("a list") {
        assert_eq!(case["asked"], asked, "{shown}");
    }
    std::fs::write(&cases, case("hopeful", "expect = \"allow\"")).expect("writable");
    let told = realm.exits(1, &["policy", "test", &path], "").printed;
    assert!(told.contains("authorizer_unavailable") && told.contains(asked), "{told}");
    assert_eq!(server.take().len(), 0);
}
