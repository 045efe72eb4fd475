//! A frontend of authnzerver's, in our own words: it seals requests and opens answers.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use fernet::Fernet;
use serde_json::{Value, json};

use super::{
    free_address,
    http::{Client, Response, request},
    issuer::Issuer,
    realm::Realm,
};

/// The key of most tests.
pub const KEY: &str = "d2hhdCBub2JvZHkgbWF5IGV2ZXIgc2VlIGluIGxvZ3M=";

/// A frontend that shares a key with the wire at an address.
pub struct Frontend {
    /// The address of the wire.
    pub address: SocketAddr,
    key: Fernet,
    /// The address of its client.
    pub client: String,
    next: AtomicU64,
}

impl Realm {
    /// A realm that issues, with authnzerver's wire.
    pub fn with_wire(self) -> Self {
        let address = free_address().to_string();
        self.with("AUTHNZERVER_LISTEN", &address).with("AUTHNZERVER_SECRET", KEY)
    }

    /// A frontend of the wire of this realm's process.
    pub fn frontend(&self) -> Frontend {
        let address = self.setting("AUTHNZERVER_LISTEN").expect("a wire");
        Frontend::new(address.parse().expect("an address"), KEY)
    }
}

impl Frontend {
    /// A frontend of the wire at this address.
    pub fn new(address: SocketAddr, key: &str) -> Self {
        let key = Fernet::new(key).expect("a key");
        Self { address, key, client: "192.0.2.7".to_owned(), next: AtomicU64::new(1) }
    }

    /// The same with another client.
    pub fn of_client(mut self, client: &str) -> Self {
        self.client = client.to_owned();
        self
    }

    /// A message with this content, made so many seconds from now.
    pub fn sealed(&self, content: &Value, seconds: i64) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let at = now.saturating_add_signed(seconds);
        STANDARD.encode(self.key.encrypt_at_time(content.to_string().as_bytes(), at))
    }

    /// The content of a request.
    pub fn content(&self, name: &str, body: &Value) -> Value {
        let reqid = self.next.fetch_add(1, Ordering::Relaxed);
        json!({ "request": name, "body": body, "reqid": reqid, "client_ipaddr": self.client })
    }

    /// POST of these bytes.
    pub fn post(&self, message: &[u8]) -> Response {
        let host = format!("Host: {}", self.address);
        Client::connect(self.address).exchange(request("POST", "/", &[&host], message))
    }

    /// The answer to a request as HTTP has it.
    pub fn send(&self, name: &str, body: &Value) -> Response {
        self.post(self.sealed(&self.content(name, body), 0).as_bytes())
    }

    /// The whole answer to a request that is served.
    #[track_caller]
    pub fn ask(&self, name: &str, body: &Value) -> Value {
        let answer = self.send(name, body);
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        self.opened(&answer)
    }

    /// The content of an answer.
    #[track_caller]
    pub fn opened(&self, answer: &Response) -> Value {
        let token = String::from_utf8(STANDARD.decode(&answer.body).expect("base64"));
        let content = self.key.decrypt(&token.expect("text")).expect("sealed with our key");
        serde_json::from_slice(&content).expect("JSON")
    }

    /// The response to a request that must succeed.
    #[track_caller]
    pub fn succeeds(&self, name: &str, body: &Value) -> Value {
        let answer = self.ask(name, body);
        assert_eq!(answer["success"], true, "{name}: {answer}");
        assert_eq!(answer["response"]["success"], true, "{answer}");
        assert_eq!(answer["response"]["messages"], answer["messages"], "{answer}");
        answer["response"].clone()
    }

    /// The response to a request that must fail, with its reason.
    #[track_caller]
    pub fn fails(&self, name: &str, body: &Value) -> Value {
        let answer = self.ask(name, body);
        assert_eq!(answer["success"], false, "{name}: {answer}");
        assert_eq!(answer["response"]["success"], false, "{answer}");
        assert!(answer["messages"].as_array().is_some_and(|all| !all.is_empty()), "{answer}");
        answer["response"].clone()
    }

    /// A session of a user, by its token; null is the anonymous one.
    #[track_caller]
    pub fn session_of(&self, user: &Value) -> String {
        let body = json!({
            "ip_address": "192.0.2.7", "user_agent": "test/1", "user_id": user,
            "expires": "2099-01-01T00:00:00.000000", "extra_info_json": { "theme": "dark" },
        });
        let opened = self.succeeds("session-new", &body);
        opened["session_token"].as_str().expect("a token").to_owned()
    }

    /// True while the session of this token lives.
    #[track_caller]
    pub fn lives(&self, token: &str) -> bool {
        let answer = self.ask("session-exists", &json!({ "session_token": token }));
        answer["success"].as_bool().expect("a yes or no")
    }
}

/// An issuer of the realm, and a frontend of its wire.
pub fn start(realm: Realm) -> (Realm, Issuer, Frontend) {
    let realm = realm.with_wire();
    let issuer = Issuer::start(&realm);
    let frontend = realm.frontend();
    (realm, issuer, frontend)
}
