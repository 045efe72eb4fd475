//! Tokens that are bound to a client's certificate, which each real gateway hands over in its own way.

use std::net::SocketAddr;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::{bound, sha256};
use crate::support::{
    caddy::Caddy,
    certificates::{Authority, Certificates},
    envoy::{Envoy, Protocol},
    free_address,
    haproxy::{self, Haproxy},
    http::{Response, bearer},
    https,
    nginx::Nginx,
    page::Page,
    realm::Realm,
    suite::{self, Stack, requests},
    traefik::{self, Traefik},
};

const PAGE: &str = "docs/how-to/sender-constrained-tokens.md";

/// The files of a gateway that speaks HTTPS, and the authority of its clients.
struct Site {
    certificates: Certificates,
    clients: Authority,
    https: SocketAddr,
}

impl Site {
    fn new() -> Self {
        let clients = Authority::new();
        let certificates = Certificates::new(Authority::new(), Some(&clients));
        Self { certificates, clients, https: free_address() }
    }

    /// A block of the page, with the files and the address of this site.
    fn block(&self, language: &str, index: usize) -> String {
        let page = Page::read(PAGE);
        let mut block = page.blocks(language)[index].to_owned();
        for file in ["server.pem", "server-key.pem", "clients-ca.pem"] {
            let path = self.certificates.path(file).display().to_string();
            for folder in ["nginx", "traefik", "caddy", "haproxy", "envoy"] {
                block = block.replace(&format!("/etc/{folder}/{file}"), &path);
            }
        }
        block.replace("127.0.0.1:8443", &self.https.to_string())
    }
}

/// The realm whose gateways prove themselves by their network, and hand certificates over in this header.
fn realm(header: &str) -> Realm {
    Realm::new().with("GATEWAY_NETWORKS", "127.0.0.0/8").with("CLIENT_CERTIFICATE_HEADER", header)
}

/// Checks that a bound token is for the client with its certificate alone, whatever else a client says of it in
/// `header`.
fn holds<G>(stack: &Stack<G>, site: &Site, https: SocketAddr, header: &str) {
    let (own, other) = (site.clients.issue(), site.clients.issue());
    let der = https::der(&own.0);
    let bound = bound(&stack.realm, &json!({ "x5t#S256": sha256(&der) }));
    let unbound = stack.alice();
    let ask = |shown: https::Shown<'_>, token: &str, more: &[&str]| -> Response {
        let credential = bearer(token);
        let lines = [&["Host: localhost", &credential], more].concat();
        https::get(https, &site.certificates, shown, "/x", &lines)
    };
    let passes = |what: &str, response: &Response| {
        assert_eq!(response.status, 200, "{what}: {response:?}");
        let seen = stack.app.take_one();
        assert_eq!(seen.value("x-auth-user"), "alice", "{what}");
    };
    passes("its own certificate", &ask(Some(&own), &bound, &[]));
    passes("its own certificate, again", &ask(Some(&own), &bound, &[]));
    passes("a token for anybody, with a certificate", &ask(Some(&other), &unbound, &[]));
    passes("a token for anybody, without one", &ask(None, &unbound, &[]));
    let base64 = STANDARD.encode(&der);
    let hex: String = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let forged = [
        utf8_percent_encode(&own.0, NON_ALPHANUMERIC).to_string(),
        base64.clone(),
        format!(":{base64}:"),
        format!("Hash={hex}"),
        format!("Hash={hex};Subject=\""),
    ];
    let forged = forged.map(|value| format!("{header}: {value}"));
    let none = String::new();
    for line in std::iter::once(&none).chain(&forged) {
        let more: &[&str] = if line.is_empty() { &[] } else { &[line] };
        for shown in [None, Some(&other)] {
            let response = ask(shown, &bound, more);
            stack.is_denied(line, &response, 401);
            let challenge = response.header("www-authenticate").expect("a challenge");
            assert!(challenge.contains("client certificate"), "{line}: {challenge}");
        }
        passes(line, &ask(Some(&own), &bound, more));
    }
    let denied = [("verdict", "deny"), ("code", "certificate_mismatch")];
    assert_eq!(stack.gate.counter("portcullis_requests_total", &denied), 12.0);
}

#[test]
fn behind_nginx_a_bound_token_is_for_its_client_alone() {
    const SERVER: &str = "        client_max_body_size 1m;\n";
    const QUESTION: &str = "            proxy_pass_request_body    off;\n";
    let site = Site::new();
    let (server, question) = (
        format!("{SERVER}{}", site.block("nginx", 0)),
        format!("{QUESTION}{}", site.block("nginx", 1)),
    );
    let stack = Stack::start(realm("Client-Cert"), |gate, app| {
        let nginx = Nginx::start(gate, app, &[(SERVER, &server), (QUESTION, &question)])?;
        let address = nginx.address;
        Some((nginx, address))
    });
    let Some(stack) = stack else { return };
    holds(&stack, &site, site.https, "Client-Cert");
    assert_eq!(stack.gateway.errors(), Vec::<String>::new());
}

const TRAEFIKS: &str = "X-Forwarded-Tls-Client-Cert";

/// Traefik as in the page, in front of a gate of this realm.
fn traefik(site: &Site, realm: Realm) -> Option<Stack<Traefik>> {
    let entry = format!("{}\nproviders:\n", site.block("yaml", 0));
    let middleware = format!("\n  middlewares:\n{}    signed-in:\n", site.block("yaml", 1));
    let tls = format!("{}\nhttp:\n  routers:\n", site.block("yaml", 2));
    let asked = format!("Sec-WebSocket-Protocol, {TRAEFIKS}]");
    Stack::start(realm, |gate, app| {
        let edits = traefik::Edits {
            fixed: &[(1, "\nproviders:\n", &entry)],
            routes: &[
                (6, "entryPoints: [web]", "entryPoints: [web, websecure]"),
                (2, "middlewares: [signed-in]", "middlewares: [client-certificate, signed-in]"),
                (1, "middlewares: [user-write]", "middlewares: [client-certificate, user-write]"),
                (1, "trustForwardHeader: false", "trustForwardHeader: true"),
                (1, "Sec-WebSocket-Protocol]", &asked),
                (1, "\n  middlewares:\n    signed-in:\n", &middleware),
                (1, "http:\n  routers:\n", &tls),
            ],
        };
        let traefik = Traefik::start(gate, app, edits)?;
        let address = traefik.address;
        Some((traefik, address))
    })
}

#[test]
fn behind_traefik_a_bound_token_is_for_its_client_alone() {
    let site = Site::new();
    let Some(stack) = traefik(&site, realm(TRAEFIKS)) else { return };
    holds(&stack, &site, site.https, TRAEFIKS);
    // It has to believe its own headers for that, and still no client's.
    requests::a_clients_word_on_the_request_is_not_believed(&stack);
    let realm = suite::policy::realm().with("GATEWAY_NETWORKS", "127.0.0.0/8");
    let Some(stack) = traefik(&Site::new(), realm) else { return };
    suite::policy::holds(&stack);
}

#[test]
fn behind_caddy_a_bound_token_is_for_its_client_alone() {
    const SITE: &str = "\n\tbind 127.0.0.1\n\n\t# Paths";
    let site = Site::new();
    let tls = format!("\n\tbind 127.0.0.1\n{}\n\t# Paths", site.block("caddyfile", 0));
    let asked = format!("\t\turi {{args[0]}}?\n{}", site.block("caddyfile", 1));
    let stack = Stack::start(realm("Client-Cert"), |gate, app| {
        let edits = [
            (1, "\tpersist_config off\n", "\tpersist_config off\n\tauto_https disable_redirects\n"),
            (1, "}\n\nhttp://:", "}\n\nhttps://:"),
            (1, SITE, tls.as_str()),
            (1, "\t\turi {args[0]}?\n", &asked),
        ];
        let caddy = Caddy::start(gate, app, &edits)?;
        let address = caddy.address;
        Some((caddy, address))
    });
    let Some(stack) = stack else { return };
    holds(&stack, &site, stack.address, "Client-Cert");
}

#[test]
fn behind_haproxy_a_bound_token_is_for_its_client_alone() {
    const FRONT: &str = "frontend web\n";
    const QUESTIONS: &str = "    # The questions.";
    let site = Site::new();
    let read = |name| std::fs::read_to_string(site.certificates.path(name)).expect("a file");
    // HAProxy wants both in one file.
    site.certificates.write("server.pem", &[read("server.pem"), read("server-key.pem")].concat());
    let front = format!("{FRONT}{}", site.block("haproxy", 0));
    let questions = format!("{}\n{QUESTIONS}", site.block("haproxy", 1));
    let asked = format!("local ASKED = {{\n{}", site.block("lua", 0));
    let stack = Stack::start(realm("Client-Cert"), |gate, app| {
        let edits = haproxy::Edits {
            rules: &[(1, FRONT, &front), (1, QUESTIONS, &questions)],
            script: &[(1, "local ASKED = {\n", &asked)],
            ..haproxy::Edits::default()
        };
        let haproxy = Haproxy::start(gate, app, edits)?;
        let address = haproxy.address;
        Some((haproxy, address))
    });
    let Some(stack) = stack else { return };
    holds(&stack, &site, site.https, "Client-Cert");
}

/// Envoy with a second chain of filters for TLS: the plain one says when it is ready.
fn envoy(site: &Site, protocol: Protocol, more: &[(usize, &str, &str)]) -> EnvoyEdits {
    const CHAIN: &str = "    filter_chains:\n    - filters:\n";
    const CLUSTERS: &str = "\n  clusters:\n";
    let chain = "    listener_filters: [{ name: tls, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector } }]\n    \
                 filter_chains:\n    - filter_chain_match: { transport_protocol: raw_buffer }\n      filters: &web\n";
    let second = format!(
        "\n    - filter_chain_match: {{ transport_protocol: tls }}\n      filters: *web\n{}{CLUSTERS}",
        site.block("yml", 0)
    );
    let mut edits = vec![(1, CHAIN.to_owned(), chain.to_owned()), (1, CLUSTERS.to_owned(), second)];
    edits.extend(more.iter().map(|(times, from, to)| (*times, from.to_string(), to.to_string())));
    EnvoyEdits { protocol, edits }
}

struct EnvoyEdits {
    protocol: Protocol,
    edits: Vec<(usize, String, String)>,
}

impl EnvoyEdits {
    fn start(&self, asked: SocketAddr, app: SocketAddr) -> Option<(Envoy, SocketAddr)> {
        let edits: Vec<_> =
            self.edits.iter().map(|(n, from, to)| (*n, from.as_str(), to.as_str())).collect();
        let envoy = Envoy::start(self.protocol, asked, app, &edits)?;
        let address = envoy.address;
        Some((envoy, address))
    }
}

#[test]
fn behind_envoy_a_bound_token_is_for_its_client_alone() {
    const HEADER: &str = "X-Forwarded-Client-Cert";
    const MANAGER: &str = "          stat_prefix: web\n";
    let site = Site::new();
    let manager = format!("{MANAGER}{}", site.block("yml", 1));
    let more = [
        (1, MANAGER, manager.as_str()),
        (1, "                - remove: X-Forwarded-Client-Cert\n", ""),
        (
            1,
            "                - { exact: x-requested-with }\n",
            "                - { exact: x-requested-with }\n                - { exact: x-forwarded-client-cert }\n",
        ),
    ];
    let edits = envoy(&site, Protocol::Http, &more);
    let stack = Stack::start(realm(HEADER), |gate, app| edits.start(gate, app));
    let Some(stack) = stack else { return };
    holds(&stack, &site, stack.address, HEADER);
}

#[test]
fn behind_envoy_by_grpc_a_bound_token_is_for_its_client_alone() {
    const FILTER: &str = "              encode_raw_headers: true\n";
    let (site, asked) = (Site::new(), free_address());
    let filter = format!("{FILTER}{}", site.block("yml", 2));
    let edits = envoy(&site, Protocol::Grpc, &[(1, FILTER, &filter)]);
    let realm = Realm::new().with("GATEWAY_NETWORKS", "127.0.0.0/8");
    let realm = realm.with("EXT_AUTHZ_LISTEN", &asked.to_string());
    let stack = Stack::start(realm, |_, app| edits.start(asked, app));
    let Some(stack) = stack else { return };
    holds(&stack, &site, stack.address, "X-Forwarded-Client-Cert");
}
