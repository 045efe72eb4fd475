//! Callers who disconnect in the middle: work that was begun for them comes to its end, and is audited.
//!
//! An application that is asked about a password, and answers when the test says so, holds a login in its middle. The test
//! goes on when the issuer has closed the caller's connection, so it has surely noticed the disconnect.

use std::{
    io::{BufReader, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
};

use serde_json::Value;

use crate::support::{
    PATIENCE, free_address,
    http::{self, request},
    issuer::Issuer,
    poll,
    realm::Realm,
};

/// An application that checks passwords.
struct Application(TcpListener);

/// A question of the issuer that is not answered yet.
struct Question(BufReader<TcpStream>);

impl Application {
    /// And a realm whose issuer asks it.
    fn start() -> (Self, Realm) {
        let listener = TcpListener::bind(free_address()).expect("a free port");
        let url = format!("http://{}/login", listener.local_addr().expect("bound"));
        let realm = Realm::issuing()
            .with("TOKEN_HOOK_URL", &url)
            .with("TOKEN_HOOK_SECRET", "sixteen bytes or more")
            .with("TOKEN_HOOK_TIMEOUT", "30");
        (Self(listener), realm)
    }

    /// Waits for a question.
    fn asked(&self) -> Question {
        let (stream, _) = self.0.accept().expect("the issuer asks");
        let mut stream = BufReader::new(stream);
        while http::read_line(&mut stream).is_some_and(|line| !line.is_empty()) {}
        Question(stream)
    }
}

impl Question {
    fn answer(mut self, status: &str, body: &str) {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n");
        self.0.get_mut().write_all(format!("{head}{body}").as_bytes()).expect("it reads");
    }
}

/// Somebody begins a login and goes away; the question about him, when his connection is closed.
fn begin_a_login(application: &Application, issuer: &Issuer) -> Question {
    let body = b"grant_type=password&username=bob&password=hunter22";
    let kind = "Content-Type: application/x-www-form-urlencoded";
    let mut stream = TcpStream::connect(issuer.public).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    stream.write_all(&request("POST", "/token", &[kind], body)).expect("it reads");
    let question = application.asked();
    stream.shutdown(Shutdown::Write).expect("it goes away");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("the issuer closes too");
    assert!(rest.is_empty(), "nobody was answered");
    question
}

/// The events of the audit log that are called so.
fn events(realm: &Realm, name: &str) -> Vec<Value> {
    let log = realm.audit_log();
    let whole = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    whole.filter(|event| event["event"] == name).collect()
}

#[test]
fn a_refused_login_is_audited_and_counted_though_the_caller_is_gone() {
    let (application, realm) = Application::start();
    let issuer = Issuer::start(&realm);
    begin_a_login(&application, &issuer).answer("403 Forbidden", "");
    let (refused, _) = poll("the event", PATIENCE, || events(&realm, "login_refused").pop());
    assert_eq!((&refused["login"], &refused["error"]), (&"bob".into(), &"invalid_grant".into()));
    let labels = [("grant", "password"), ("outcome", "invalid_grant")];
    poll("the counter", PATIENCE, || {
        let shown = issuer.gate.metrics().contains("portcullis_grants_total{");
        (shown && issuer.gate.counter("portcullis_grants_total", &labels) == 1.0).then_some(())
    });
}

#[test]
fn a_stop_waits_for_a_login_whose_caller_is_gone() {
    let (application, realm) = Application::start();
    let mut issuer = Issuer::start(&realm);
    let question = begin_a_login(&application, &issuer);
    issuer.gate.signal("TERM");
    poll("the drain", PATIENCE, || TcpStream::connect(issuer.public).err());
    question.answer("200 OK", r#"{"user_id": "42"}"#);
    assert!(issuer.gate.wait().success(), "{}", issuer.gate.log());
    let logins = events(&realm, "login");
    assert_eq!(logins.len(), 1, "{}", issuer.gate.log());
    assert_eq!(logins[0]["user"], "42");
}
