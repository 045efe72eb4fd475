//! The requests of the matrix, and what comes of each.

use super::calls::{self, Calls};
use super::gateways::Running;
use super::seen::{Cell, FORGED, answer, reached};
use crate::support::{
    app::{App, WEB_SOCKET},
    http::{Client, bearer, request},
    issuer::Issuer,
    realm::Realm,
    suite::{IDENTITY, stripped_headers},
};

/// One gateway with all that stands around it.
pub struct Bench<'b> {
    /// Keys and store.
    pub realm: &'b Realm,
    /// The gate, and the issuer beside it.
    pub issuer: &'b Issuer,
    /// The app.
    pub app: &'b App,
    /// The app of gRPC.
    pub calls: &'b Calls,
    /// The gateway.
    pub running: &'b Running,
    /// A token that is good, with the scope to read.
    pub good: String,
    /// The same, but that it has expired.
    pub expired: String,
}

/// A text frame of five letters, masked as a client must (RFC 6455, section 5.7).
const FRAME: [u8; 11] = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];

/// More than a socket's buffer holds at once.
static BODY: [u8; 200_000] = [b'x'; 200_000];

impl Bench<'_> {
    /// GET with a token, and more lines.
    pub fn get(&self, path: &str, token: Option<&str>, lines: &[&str]) -> Cell {
        self.send("GET", path, token, lines, b"")
    }

    /// POST of a body.
    pub fn post(&self, token: Option<&str>) -> Cell {
        self.send("POST", "/form", token, &[], &BODY)
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        lines: &[&str],
        body: &[u8],
    ) -> Cell {
        let credential = token.map(bearer);
        let lines: Vec<&str> =
            credential.iter().map(String::as_str).chain(lines.iter().copied()).collect();
        self.exchange(token, &request(method, path, &lines, body))
    }

    fn exchange(&self, token: Option<&str>, bytes: &[u8]) -> Cell {
        let response = Client::connect(self.running.http1).exchange(bytes);
        Cell { client: answer(&response), app: reached(&self.app.take(), token) }
    }

    /// A token that was let in a moment ago, and was revoked since.
    pub fn revoked(&self) -> Cell {
        let token = self.realm.mint("alice", &["--scope", "user:read"]);
        assert_eq!(self.get("/", Some(&token), &[]).client, "200", "before it was revoked");
        let ended = self.issuer.with_bearer("POST", "/logout", &token);
        assert_eq!(ended.status, 200, "{ended:?}");
        self.get("/", Some(&token), &[])
    }

    /// GET with an identity of the client's own making, in spellings that an app may take for it. `Connection` names the
    /// true headers, so that a proxy may drop those.
    pub fn forged_identity(&self, path: &str, token: Option<&str>) -> Cell {
        let spellings = |name: &str| {
            [
                name.to_owned(),
                name.replace('-', "_"),
                name.replace('-', "."),
                name.replace('-', "~"),
            ]
        };
        let named = IDENTITY.into_iter().flat_map(spellings);
        let mut lines: Vec<String> = named.map(|name| format!("{name}: {FORGED}")).collect();
        lines.push("Connection: X-Auth-User, X-Auth-Roles".to_owned());
        self.get(path, token, &lines.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// GET with headers that claim another request than this one: a public path, another host, address and method.
    pub fn forged_forwarded(&self, path: &str, token: Option<&str>) -> Cell {
        let own = ["Host", "Proto", "For", "Port"].map(|name| format!("X-Forwarded-{name}"));
        let names = [stripped_headers(), own.to_vec(), vec!["X-Real-IP".to_owned()]].concat();
        let spellings = |name: &String| [name.clone(), name.replace('-', "_")];
        let lines =
            names.iter().flat_map(spellings).map(|name| format!("{name}: /public/{FORGED}"));
        let lines: Vec<String> = lines.collect();
        self.get(path, token, &lines.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// GET with 150 headers and 32 KiB of cookies.
    pub fn large_headers(&self, token: Option<&str>) -> Cell {
        let many = (0..150).map(|n| format!("X-Filler-{n}: {n}"));
        let cookies = (0..32).map(|n| format!("c{n}={}", "x".repeat(1_020))).collect::<Vec<_>>();
        let lines: Vec<String> = many.chain([format!("Cookie: {}", cookies.join("; "))]).collect();
        self.get("/", token, &lines.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// A web socket, and one frame through it, which the app sends back.
    pub fn web_socket(&self, token: Option<&str>) -> Cell {
        let credential = token.map(bearer);
        let lines = [
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ];
        let lines: Vec<&str> = lines.into_iter().chain(credential.as_deref()).collect();
        let mut client = Client::connect(self.running.http1);
        let response = client.exchange_head(request("GET", WEB_SOCKET, &lines, b""));
        let mut seen = answer(&response);
        if response.status == 101 {
            client.send(FRAME);
            let came_back = client.read_bytes(FRAME.len()) == FRAME;
            seen += if came_back { ", frame came back" } else { ", another frame came back" };
        }
        Cell { client: seen, app: reached(&self.app.take(), token) }
    }

    /// A call of gRPC.
    pub fn call(&self, token: Option<&str>, is_forged: bool) -> Cell {
        let client = calls::call(self.running.http2, token, is_forged);
        let app = reached(&[self.app.take(), self.calls.take()].concat(), token);
        Cell { client, app }
    }

    /// GET of a client that speaks HTTP/1.0.
    pub fn http_1_0(&self, token: Option<&str>) -> Cell {
        let credential = token.map(|token| bearer(token) + "\r\n").unwrap_or_default();
        self.exchange(
            token,
            format!("GET / HTTP/1.0\r\nHost: a.test\r\n{credential}\r\n").as_bytes(),
        )
    }
}
