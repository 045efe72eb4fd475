//! `portcullis dev` behind a gateway: what must hold there of the issuer, whatever the gateway's name.

use std::{
    net::{SocketAddr, TcpStream},
    process::Command,
};

use tempfile::TempDir;

use super::{
    app::App,
    free_address, gate,
    http::{self, Client, Response, bearer, request},
    page::{self, Page},
    process::Running,
    realm::PORTCULLIS,
};

/// `portcullis dev` in a folder of its own, with alice and the client demo.
pub struct Demo {
    /// The gate that the gateway asks.
    pub gate: SocketAddr,
    /// The issuer of the tokens.
    pub issuer: SocketAddr,
    internal: SocketAddr,
    metrics: SocketAddr,
    _process: Running,
    folder: TempDir,
}

impl Demo {
    /// Starts it on free ports with no environment, and waits until it answers.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (gate, issuer, metrics) = (free_address(), free_address(), free_address());
        let internal = free_address();
        let mut command = Command::new(PORTCULLIS);
        command.env_clear().envs(gate::hot_loop()).current_dir(folder.path()).arg("dev");
        for (flag, address) in [
            ("--listen", gate),
            ("--issuer-listen", issuer),
            ("--metrics-listen", metrics),
            ("--internal-listen", internal),
            ("--grpc-listen", free_address()),
        ] {
            command.args([flag, &address.to_string()]);
        }
        // What is tried here is not how long a hash takes.
        for flag in ["--password-memory-kib=64", "--password-passes=1", "--password-lanes=1"] {
            command.arg(flag);
        }
        let mut process = Running::start(&mut command, &folder.path().join("dev.log"));
        process.wait_until("portcullis dev", || {
            let is_open = |address| TcpStream::connect(address).is_ok();
            [gate, issuer, metrics].into_iter().all(is_open)
                && [issuer, metrics]
                    .into_iter()
                    .all(|address| http::get(address, "/health", &[]).status == 200)
        });
        Self { gate, issuer, internal, metrics, _process: process, folder }
    }

    /// The page, with the addresses of this process in place of the usual ones.
    pub fn addresses_of(&self, page: Page) -> Page {
        [
            ("127.0.0.1:8080", self.gate),
            ("127.0.0.1:8081", self.issuer),
            ("127.0.0.1:8082", self.internal),
            ("127.0.0.1:9090", self.metrics),
        ]
        .into_iter()
        .fold(page, |page, (from, to)| if page.names(from) { page.with(from, to) } else { page })
    }

    /// A shell in the folder in which it was started.
    pub fn shell(&self) -> Command {
        page::shell(self.folder.path())
    }
}

/// Types the commands of an example's README, which names the gateway by `shown`; each `curl -i` must get the status
/// that its remark says, and the app must have been reached by alice, and once by nobody.
pub fn the_readme_can_be_typed(readme: &str, shown: &str, gateway: SocketAddr, app: &App) {
    let page = Page::read(readme).with(shown, gateway);
    let asked = page.commands().into_iter().filter(|command| command.starts_with("curl -i "));
    assert!(asked.count() >= 10, "{readme}: few commands");
    let folder = tempfile::tempdir().expect("a temporary folder");
    page.type_in(&mut page::shell(folder.path()), "");
    let seen = app.take();
    let reached: Vec<(&str, &str)> =
        seen.iter().map(|seen| (seen.target.as_str(), seen.value("X-Auth-Username"))).collect();
    assert_eq!(reached, [("/", "alice"), ("/", "alice"), ("/public/", ""), ("/", "alice")]);
    assert_eq!(seen[3].value("X-Auth-Scopes"), "user:read");
}

fn log_in(gateway: SocketAddr, lines: &[&str]) -> Response {
    let form = "grant_type=password&username=alice&password=wonderland";
    let lines = [&[FORM], lines].concat();
    Client::connect(gateway).exchange(request("POST", "/token", &lines, form.as_bytes()))
}

/// The issuer takes a client's address from the gateway, never from the client itself.
pub fn nobody_brings_an_address(gateway: SocketAddr) {
    let forged = [
        "X-Forwarded-For: 203.0.113.9",
        "X-Real-Ip: 203.0.113.9",
        "Forwarded: for=203.0.113.9",
        "User-Agent: the test",
    ];
    let answer = log_in(gateway, &forged);
    assert_eq!(answer.status, 200, "{answer:?}");
    let token = answer.json()["access_token"].as_str().expect("a token").to_owned();
    let listed = http::get(gateway, "/sessions", &[&bearer(&token)]);
    assert_eq!(listed.status, 200, "{listed:?}");
    let listed = listed.json();
    let current = listed["sessions"].as_array().expect("a list").iter();
    let current = current.filter(|session| session["current"] == true).collect::<Vec<_>>();
    assert_eq!(current.len(), 1, "{listed}");
    assert_eq!(current[0]["device"]["address"], "127.0.0.1", "{listed}");
    assert_eq!(current[0]["device"]["user_agent"], "the test", "{listed}");
}

/// Each address that the issuer's metadata name leads to the issuer, and not to the app or to a challenge of the gate;
/// so does what the page about the API loads.
pub fn all_that_is_advertised_leads_to_the_issuer(gateway: SocketAddr, app: &App) {
    app.take();
    let metadata = http::get(gateway, "/.well-known/oauth-authorization-server", &[]).json();
    let metadata = metadata.as_object().expect("an object");
    let urls = metadata.iter().filter(|(name, _)| {
        name.ends_with("_endpoint") || name.ends_with("_uri") || *name == "service_documentation"
    });
    let path = |url: &serde_json::Value| {
        let url = url.as_str().and_then(|url| url::Url::parse(url).ok());
        url.expect("a URL").path().to_owned()
    };
    let mut paths: Vec<String> = urls.map(|(_, url)| path(url)).collect();
    assert!(paths.len() >= 5, "{paths:?}");
    paths.extend(["/openapi.json", "/redoc", "/docs/", "/docs/index.css"].map(str::to_owned));
    for path in paths {
        let answer = http::get(gateway, &path, &[]);
        // The page is a folder, so that its own address leads there.
        assert!(matches!(answer.status, 200 | 303 | 405), "{path}: {answer:?}");
        assert_eq!(app.take().len(), 0, "{path} reached the app");
    }
    // The path of RFC 8414, section 3.1, for an issuer with a path, which this one has not.
    let answer = http::get(gateway, "/.well-known/oauth-authorization-server/tenant/a.b", &[]);
    assert_eq!((answer.status, app.take().len()), (404, 0), "{answer:?}");
    let lines = ["Authorization: Basic ZGVtbzpkZW1vLXNlY3JldA==", FORM];
    let form = request("POST", "/introspect", &lines, b"token=rubbish");
    let answer = Client::connect(gateway).exchange(form);
    assert_eq!((answer.status, &answer.json()["active"]), (200, &false.into()), "{answer:?}");
    let stranger = request("POST", "/introspect", &[FORM], b"token=rubbish");
    let answer = Client::connect(gateway).exchange(stranger);
    assert_eq!((answer.status, &answer.json()["error"]), (401, &"invalid_client".into()));
}

/// The line of a form.
const FORM: &str = "Content-Type: application/x-www-form-urlencoded";

/// A path that is not listed is the app's, or nobody's: it never gets to the issuer.
pub fn only_what_is_listed_leads_to_the_issuer(gateway: SocketAddr, app: &App) {
    let answer = log_in(gateway, &[]);
    let token = bearer(answer.json()["access_token"].as_str().expect("a token"));
    app.take();
    for path in [
        "/register_key",
        "/is_key_registered",
        "/admin/sessions",
        "/validate_request",
        "/introspect/",
        "/docs/x/y",
        "/openapi_json",
        "/token/",
        "/tokens",
        "/sessions/a/b",
        "/keys/a/b",
        "/.well-known/other",
    ] {
        assert_eq!(http::get(gateway, path, &[]).status, 401, "{path} without a token");
        assert_eq!(app.take().len(), 0, "{path} without a token");
        assert_eq!(http::get(gateway, path, &[&token]).status, 200, "{path}");
        assert_eq!(app.take_one().target, path);
    }
    for path in ["/jwks", "/.well-known/jwks.json", "/.well-known/oauth-authorization-server"] {
        assert!(http::get(gateway, path, &[]).json().is_object(), "{path}");
    }
    let ended = Client::connect(gateway).exchange(request(
        "DELETE",
        "/sessions?except=current",
        &[&token],
        b"",
    ));
    assert_eq!(ended.status, 200, "{ended:?}");
    assert!(ended.json()["ended"].is_u64(), "{ended:?}");
    assert_eq!(http::get(gateway, "/sessions", &[&token]).status, 200, "the current one lives on");
    assert!(http::get(gateway, "/keys", &[&token]).json()["keys"].is_array(), "the API keys");
    let refused =
        Client::connect(gateway).exchange(request("POST", "/keys/refresh", &[&token], b"{}"));
    assert_eq!((refused.status, &refused.json()["error"]), (400, &"invalid_request".into()));
    let out = Client::connect(gateway).exchange(request("POST", "/logout", &[&token], b""));
    assert_eq!((out.status, out.json()["status"].as_u64()), (200, Some(200)));
    assert_eq!(http::get(gateway, "/", &[&token]).status, 401);
    assert_eq!(app.take().len(), 0, "the issuer's paths reached the app");
}
