//! `portcullis serve` that issues tokens too, and the accounts that it needs.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    PATIENCE, free_address,
    gate::Gate,
    http::{self, Client, Response, bearer, request},
    in_repository, poll,
    realm::Realm,
};

/// The user of most tests.
pub const ALICE: (&str, &str) = ("alice", "a looking-glass and 7 pawns");
/// The client of most tests. Its name is another one once it is form-encoded, as RFC 6749, section 2.3.1 has it.
pub const DEMO: &str = "demo-app";
/// A client that has a key in place of a secret.
pub const ROBOT: &str = "robot";
/// The scopes of alice and the clients.
pub const SCOPES: [&str; 2] = ["user:read", "user:write"];

/// A gate and an issuer in one process.
pub struct Issuer {
    /// The gate beside it: address, log, metrics, and the process itself.
    pub gate: Gate,
    /// The address at which tokens are issued.
    pub public: SocketAddr,
    /// The address at which keys are registered and administrators ask.
    pub internal: SocketAddr,
    /// The address at which gRPC is served.
    pub grpc: SocketAddr,
    /// The administrator's token, set or made; empty where there is none.
    pub admin_token: String,
    /// Last, so that it goes after the process.
    _folder: Arc<TempDir>,
}

impl Realm {
    /// A realm that issues: hashing is cheap, nothing is limited, and its ISSUER is the URL where it can be found.
    pub fn issuing() -> Self {
        let public = free_address();
        Self::hashing_little()
            .with("AUTHORIZATION_SERVER", "true")
            .with("ISSUER_LISTEN", &public.to_string())
            .with("ISSUER", &format!("http://{public}"))
            .with("INTERNAL_LISTEN", &free_address().to_string())
            .with("GRPC_LISTEN", &free_address().to_string())
            .with("MAX_SESSIONS_PER_USER", "0")
            .with("MAX_SESSIONS_PER_KEY", "0")
            .with("RATE_LIMITS", "false")
    }

    /// Makes a user who may do all of `scopes`.
    pub fn add_user(&self, name: &str, password: &str, scopes: &[&str]) {
        let scopes = scopes.iter().flat_map(|scope| ["--scope", scope]);
        let arguments: Vec<&str> = ["user", "add", name].into_iter().chain(scopes).collect();
        self.exits(0, &arguments, password);
    }

    /// Makes a client with these flags besides its scopes; its secret, or what else the command prints.
    pub fn add_client(&self, id: &str, flags: &[&str]) -> String {
        let scopes = SCOPES.iter().flat_map(|scope| ["--scope", *scope]);
        let arguments =
            ["client", "add", id].into_iter().chain(scopes).chain(flags.iter().copied());
        self.ask(&arguments.collect::<Vec<_>>())
    }

    /// Alice, and the client demo with every grant and the right to introspect; its secret.
    pub fn with_alice_and_demo(&self) -> String {
        self.add_user(ALICE.0, ALICE.1, &SCOPES);
        let grants = ["password", "refresh_token", "client_credentials"];
        let flags: Vec<&str> = grants
            .into_iter()
            .flat_map(|grant| ["--grant", grant])
            .chain(["--introspect"])
            .collect();
        self.add_client(DEMO, &flags)
    }

    /// The client robot, which proves itself by an assertion signed with this realm's own key; the file of that key.
    pub fn with_robot(&self) -> PathBuf {
        let (key, set) =
            (self.folder().join("robot.private.pem"), self.folder().join("robot.jwks.json"));
        let file = key.display().to_string();
        self.ask(&["key", "generate", "--algorithm", "ES256", "--out", &file]);
        std::fs::write(&set, self.ask(&["key", "public", &file, "--jwks"])).expect("writable");
        let set = set.display().to_string();
        self.add_client(ROBOT, &["--grant", "client_credentials", "--jwks", &set]);
        key
    }
}

impl Issuer {
    /// Starts it where the realm says, and waits until all of it answers.
    pub fn start(realm: &Realm) -> Self {
        let address = |name: &str| {
            let text = realm.setting(name).unwrap_or_else(|| panic!("{name} is not set"));
            text.parse().unwrap_or_else(|_| panic!("{name}={text} is no address"))
        };
        let (public, internal, grpc) =
            (address("ISSUER_LISTEN"), address("INTERNAL_LISTEN"), address("GRPC_LISTEN"));
        let gate = Gate::start(realm.folder(), realm.settings());
        poll("the issuer", PATIENCE, || {
            let mut client = Client::try_connect(public).ok()?;
            let answer = client.try_exchange(request("GET", "/health", &[], b""))?;
            (answer.status == 200).then_some(())
        });
        let made = || std::fs::read_to_string(realm.folder().join("admin-token"));
        let set = realm.setting("ADMIN_TOKEN").map(str::to_owned);
        let admin_token = set.unwrap_or_else(|| made().unwrap_or_default().trim().to_owned());
        Self { gate, public, internal, grpc, admin_token, _folder: realm.keep_folder() }
    }

    /// A second process of the same realm, on addresses of its own; its tokens name the same issuer.
    pub fn beside(realm: Realm) -> (Self, Realm) {
        let realm = ["ISSUER_LISTEN", "INTERNAL_LISTEN", "GRPC_LISTEN"]
            .into_iter()
            .fold(realm, |realm, name| realm.with(name, &free_address().to_string()));
        (Self::start(&realm), realm)
    }

    /// The issuer's URL, as clients know it.
    pub fn url(&self) -> String {
        format!("http://{}", self.public)
    }

    /// POST of a form to the public listener.
    pub fn form(&self, path: &str, fields: &[(&str, &str)], lines: &[&str]) -> Response {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let kind = "Content-Type: application/x-www-form-urlencoded";
        self.send("POST", path, &[&[kind], lines].concat(), body.as_bytes())
    }

    /// POST of JSON to the public listener.
    pub fn json(&self, path: &str, body: &Value) -> Response {
        self.send("POST", path, &["Content-Type: application/json"], body.to_string().as_bytes())
    }

    /// POST of JSON to the internal listener by the administrator.
    pub fn json_internal(&self, path: &str, body: &Value) -> Response {
        self.as_admin("POST", path, body.to_string().as_bytes())
    }

    /// One request of the administrator to the internal listener, which answers to its own address and to no other name.
    pub fn as_admin(&self, method: &str, path: &str, body: &[u8]) -> Response {
        let (host, token) = (format!("Host: {}", self.internal), bearer(&self.admin_token));
        let lines = [host.as_str(), "Content-Type: application/json", token.as_str()];
        Client::connect(self.internal).exchange(request(method, path, &lines, body))
    }

    /// One request to the public listener on a connection of its own.
    pub fn send(&self, method: &str, path: &str, lines: &[&str], body: &[u8]) -> Response {
        Client::connect(self.public).exchange(request(method, path, lines, body))
    }

    /// One request with a bearer token to the public listener.
    pub fn with_bearer(&self, method: &str, path: &str, token: &str) -> Response {
        self.send(method, path, &[&bearer(token)], b"")
    }

    /// One request to the internal listener by its own address, with nothing but these lines.
    pub fn ask_internal(&self, method: &str, path: &str, lines: &[&str], body: &str) -> Response {
        let host = format!("Host: {}", self.internal);
        let all = [&[host.as_str()], lines].concat();
        Client::connect(self.internal).exchange(request(method, path, &all, body.as_bytes()))
    }

    /// The answer of `/token` to a name and a password, with more fields of the form.
    pub fn by_password(&self, name: &str, password: &str, more: &[(&str, &str)]) -> Response {
        let fields = [("grant_type", "password"), ("username", name), ("password", password)];
        self.form("/token", &[&fields, more].concat(), &[])
    }

    /// The answer of `/token` to a refresh token, with more fields of the form.
    pub fn by_refresh(&self, token: &str, more: &[(&str, &str)]) -> Response {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
        self.form("/token", &[&fields, more].concat(), &[])
    }

    /// Alice logs in without a client, as tp-auth's people do; the answer of `/token`.
    pub fn log_in(&self) -> Value {
        let answer = self.by_password(ALICE.0, ALICE.1, &[]);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// The status by which the gate beside it answers an access token.
    pub fn check(&self, token: &str) -> u16 {
        http::get(self.gate.address, "/validate_request", &[&bearer(token)]).status
    }

    /// The parameters of the scripts in tests/it/clients.
    pub fn parts(&self, realm: &Realm) -> Value {
        json!({
            "issuer": self.url(),
            "internal": format!("http://{}", self.internal),
            "gate": format!("http://{}", self.gate.address),
            "grpc": self.grpc.to_string(),
            "username": ALICE.0,
            "password": ALICE.1,
            "client_id": DEMO,
            "robot_id": ROBOT,
            "policy": realm.setting("REFRESH_POLICY").unwrap_or("rotate"),
            "proto": in_repository("proto").display().to_string(),
        })
    }
}

/// A text in an answer.
pub fn text<'v>(answer: &'v Value, name: &str) -> &'v str {
    answer[name].as_str().unwrap_or_else(|| panic!("no {name} in {answer}"))
}
