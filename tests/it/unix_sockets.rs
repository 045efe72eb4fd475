//! The gate at a unix socket, by the lines that the examples show for it: each test puts the commented line in the place of
//! the other, and changes nothing in it but the path.

use std::{net::SocketAddr, path::Path};

use crate::support::{
    caddy::Caddy,
    envoy::{Envoy, Protocol},
    free_address,
    haproxy::{self, Haproxy},
    in_repository,
    nginx::Nginx,
    realm::Realm,
    suite::{self, Stack},
};

/// The lines of an example about a socket.
struct Shown {
    /// The setting that opens the socket, and its path.
    setting: String,
    path: String,
    /// The line as the example has it, and the one in its place.
    line: String,
    instead: String,
}

/// A change of the example: from, to.
type Swap = (String, String);

impl Shown {
    fn in_example(file: &str) -> Self {
        let text = std::fs::read_to_string(in_repository(file)).expect("an example");
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let is_comment =
            |line: &&str| line.starts_with("# On the same host, ") && line.ends_with("place:");
        let at = lines.iter().position(is_comment).unwrap_or_else(|| panic!("{file}: no socket"));
        let said = lines[at].split_once("with ").and_then(|(_, rest)| rest.split_once("=unix:"));
        let (setting, path) = said.expect("a setting");
        let path = path.strip_suffix(", in its place:").expect("a path");
        let instead = lines[at + 1].strip_prefix("# ").expect("a line in a comment");
        assert!(instead.contains(path), "{file}: {instead:?} names another socket than {path:?}");
        let [setting, path, line, instead] =
            [setting, path, lines[at - 1], instead].map(str::to_owned);
        Self { setting, path, line, instead }
    }

    /// Puts one line in the place of the other. The example names this address by now, and asks at this socket.
    fn swaps(&self, address: SocketAddr, socket: &Path) -> [Swap; 2] {
        let usual = if self.setting == "LISTEN" { "8080" } else { "9001" };
        let line = self.line.replace(usual, &address.port().to_string());
        let instead = self.instead.replace(&self.path, &socket.display().to_string());
        [(line.clone(), format!("# {line}")), (format!("# {}", self.instead), instead)]
    }
}

/// Runs promises in front of a gateway that asks at the socket. Nobody listens at the address that it was told.
fn holds<G>(
    example: &str,
    gateway: impl FnOnce(SocketAddr, SocketAddr, [Swap; 2]) -> Option<(G, SocketAddr)>,
) {
    let (shown, realm, nobody) = (Shown::in_example(example), Realm::new(), free_address());
    let socket = realm.folder().join("gate.sock");
    let swaps = shown.swaps(nobody, &socket);
    let realm = realm.with(&shown.setting, &format!("unix:{}", socket.display()));
    let Some(mut stack) = Stack::start(realm, |_, app| gateway(nobody, app, swaps)) else { return };
    suite::only_a_good_token_gets_in(&stack);
    suite::a_revoked_session_is_over(&stack);
    suite::a_dead_gate_lets_nobody_in(&mut stack);
}

#[test]
fn nginx_asks_at_a_unix_socket() {
    holds("examples/nginx/nginx.conf", |gate, app, [plain, socket]| {
        // Only the gate's own user may open the socket. An nginx that root starts would ask as another one.
        let user = ("daemon off;\n", "daemon off;\nuser root;\n");
        let edits = [user, (&*plain.0, &*plain.1), (&*socket.0, &*socket.1)];
        let nginx = Nginx::start(gate, app, &edits)?;
        let address = nginx.address;
        Some((nginx, address))
    });
}

#[test]
fn caddy_asks_at_a_unix_socket() {
    holds("examples/caddy/Caddyfile", |gate, app, swaps| {
        let caddy =
            Caddy::start(gate, app, &swaps.each_ref().map(|(from, to)| (1, &**from, &**to)))?;
        let address = caddy.address;
        Some((caddy, address))
    });
}

#[test]
fn haproxy_asks_at_a_unix_socket() {
    holds("examples/haproxy/haproxy.cfg", |gate, app, swaps| {
        let rules = swaps.each_ref().map(|(from, to)| (1, &**from, &**to));
        let edits = haproxy::Edits { rules: &rules, ..haproxy::Edits::default() };
        let haproxy = Haproxy::start(gate, app, edits)?;
        let address = haproxy.address;
        Some((haproxy, address))
    });
}

#[test]
fn envoy_asks_at_a_unix_socket() {
    for (example, protocol) in [
        ("examples/envoy/envoy-http.yaml", Protocol::Http),
        ("examples/envoy/envoy-grpc.yaml", Protocol::Grpc),
    ] {
        holds(example, |gate, app, swaps| {
            let edits = swaps.each_ref().map(|(from, to)| (1, &**from, &**to));
            let envoy = Envoy::start(protocol, gate, app, &edits)?;
            let address = envoy.address;
            Some((envoy, address))
        });
    }
}
