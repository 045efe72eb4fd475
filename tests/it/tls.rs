//! HTTPS between gateway and gate: real gateways with a certificate of their own, and
//! certificates that are replaced under load.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::{
    PATIENCE,
    app::App,
    caddy::Caddy,
    certificates::{Authority, Certificates},
    envoy::{Envoy, Protocol},
    free_address,
    haproxy::{self, Haproxy},
    http::{Client, bearer, request},
    nginx::Nginx,
    page::Page,
    poll,
    realm::Realm,
    suite::{self, Stack, requests},
    traefik::{self, Traefik},
};

/// A gate that lets in nobody without a certificate, and what gateways need for one.
fn realm() -> (Realm, Certificates) {
    realm_at("LISTEN")
}

/// The same, at the listener with this prefix.
fn realm_at(listener: &str) -> (Realm, Certificates) {
    let certificates = Certificates::new(Authority::new(), Some(&Authority::new()));
    let files =
        [("CERT", "server.pem"), ("KEY", "server-key.pem"), ("CLIENT_CA", "clients-ca.pem")];
    let realm = files.into_iter().fold(Realm::new(), |realm, (part, file)| {
        let path = certificates.path(file).display().to_string();
        realm.with(&format!("{listener}_TLS_{part}_FILE"), &path)
    });
    (realm, certificates)
}

/// The lines of the page for a gateway, with the files of the test; without a certificate of its
/// own unless it `shows` one.
fn lines(language: &str, certificates: &Certificates, shows: bool) -> String {
    let page = Page::read("docs/how-to/tls.md");
    let [block] = page.blocks(language)[..] else { panic!("one block of {language}") };
    let of_client = ["gateway.pem", "gateway-key.pem"];
    let mut lines: String = block
        .lines()
        .filter(|line| shows || !of_client.iter().any(|file| line.contains(file)))
        .map(|line| format!("{line}\n"))
        .collect();
    for (shown, file) in [
        ("portcullis-ca.pem", "servers-ca.pem"),
        ("gateway.pem", "client.pem"),
        ("gateway-key.pem", "client-key.pem"),
    ] {
        let path = certificates.path(file).display().to_string();
        for folder in ["/etc/nginx", "/etc/traefik", "/etc/caddy", "/etc/haproxy", "/etc/envoy"] {
            lines = lines.replace(&format!("{folder}/{shown}"), &path);
        }
    }
    lines.replace("gate.internal", "localhost")
}

/// nginx as in the page, and with `more` edits before.
fn nginx(
    certificates: &Certificates,
    shows: bool,
    more: &[(&str, &str)],
) -> impl FnOnce(SocketAddr, SocketAddr) -> Option<(Nginx, SocketAddr)> {
    const AFTER: &str = "            proxy_pass_request_body    off;\n";
    let owned = |(from, to): &(&str, &str)| ((*from).to_owned(), (*to).to_owned());
    let mut edits: Vec<_> = more.iter().map(owned).collect();
    for question in ["validate_request;", "validate_request?scope=user:write;"] {
        let asked = |scheme| format!("proxy_pass {scheme}://portcullis/{question}");
        edits.push((asked("http"), asked("https")));
    }
    edits.push((AFTER.to_owned(), AFTER.to_owned() + lines("nginx", certificates, shows).as_str()));
    move |gate, app| {
        let edits: Vec<_> = edits.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
        let nginx = Nginx::start(gate, app, &edits)?;
        let address = nginx.address;
        Some((nginx, address))
    }
}

/// Traefik as in the page.
fn traefik(
    certificates: &Certificates,
    shows: bool,
) -> impl FnOnce(SocketAddr, SocketAddr) -> Option<(Traefik, SocketAddr)> {
    let tls = lines("yaml", certificates, shows);
    move |gate, app| {
        let asked = |scheme| format!("address: {scheme}://{gate}/validate_request");
        let (plain, encrypted) = (asked("http"), asked("https"));
        let after = "        # The client's own X-Forwarded-* never reach Portcullis.\n";
        let routes = [(2, plain.as_str(), encrypted.as_str()), (1, after, tls.as_str())];
        let edits = traefik::Edits { fixed: &[], routes: &routes };
        let traefik = Traefik::start(gate, app, edits)?;
        let address = traefik.address;
        Some((traefik, address))
    }
}

/// Caddy as in the page.
fn caddy(
    certificates: &Certificates,
    shows: bool,
) -> impl FnOnce(SocketAddr, SocketAddr) -> Option<(Caddy, SocketAddr)> {
    const AFTER: &str = "\t\t\tresponse_header_timeout 3s\n";
    let tls = AFTER.to_owned() + lines("caddyfile", certificates, shows).as_str();
    move |gate, app| {
        let caddy = Caddy::start(gate, app, &[(1, AFTER, tls.as_str())])?;
        let address = caddy.address;
        Some((caddy, address))
    }
}

/// HAProxy as in the page, which asks itself.
fn haproxy(
    certificates: &Certificates,
    shows: bool,
) -> impl FnOnce(SocketAddr, SocketAddr) -> Option<(Haproxy, SocketAddr)> {
    const BEFORE: &str = "    retries 0\n";
    let read = |name| std::fs::read_to_string(certificates.path(name)).expect("a file");
    // What HAProxy shows is one file.
    let key = read("client-key.pem");
    if !read("client.pem").contains(&key) {
        certificates.write("client.pem", &(read("client.pem") + key.as_str()));
    }
    let tls = lines("haproxy", certificates, shows);
    move |gate, app| {
        let tls = BEFORE.to_owned() + tls.as_str();
        let edits = haproxy::Edits { rules: &[(1, BEFORE, tls.as_str())], ..Default::default() };
        let haproxy = Haproxy::start(gate, app, edits)?;
        let address = haproxy.address;
        Some((haproxy, address))
    }
}

/// Envoy as in the page; over gRPC it asks at this address.
fn envoy(
    certificates: &Certificates,
    shows: bool,
    by_grpc: Option<SocketAddr>,
) -> impl FnOnce(SocketAddr, SocketAddr) -> Option<(Envoy, SocketAddr)> {
    const AFTER: &str = "  - name: portcullis\n    connect_timeout: 1s\n";
    let tls = AFTER.to_owned() + lines("yml", certificates, shows).as_str();
    move |gate, app| {
        let protocol = if by_grpc.is_some() { Protocol::Grpc } else { Protocol::Http };
        let edits = [(1, AFTER, tls.as_str())];
        let envoy = Envoy::start(protocol, by_grpc.unwrap_or(gate), app, &edits)?;
        let address = envoy.address;
        Some((envoy, address))
    }
}

/// Checks that all holds over HTTPS as it does without.
fn holds<G>(stack: &Stack<G>) {
    suite::only_a_good_token_gets_in(stack);
    suite::no_bad_token_gets_in(stack);
    suite::a_revoked_session_is_over(stack);
    requests::bodies_reach_the_app_whole(stack);
    requests::many_and_large_headers_are_no_error(stack);
    let before = stack.relay.accepted();
    requests::one_connection_carries_twenty_requests(stack);
    let opened = stack.relay.accepted() - before;
    assert!(opened <= 2, "{opened} connections for twenty questions");
}

#[test]
fn behind_nginx_with_a_client_certificate_all_holds() {
    let (realm, certificates) = realm();
    let Some(stack) = Stack::start(realm, nginx(&certificates, true, &[])) else { return };
    holds(&stack);
    suite::no_way_leads_around_a_scope(&stack);
    assert_eq!(stack.gateway.errors(), Vec::<String>::new());
}

#[test]
fn behind_traefik_with_a_client_certificate_all_holds() {
    let (realm, certificates) = realm();
    let Some(stack) = Stack::start(realm, traefik(&certificates, true)) else { return };
    holds(&stack);
    suite::no_way_leads_around_a_scope(&stack);
}

#[test]
fn behind_caddy_with_a_client_certificate_all_holds() {
    let (realm, certificates) = realm();
    let Some(stack) = Stack::start(realm, caddy(&certificates, true)) else { return };
    holds(&stack);
    suite::no_way_leads_around_a_scope(&stack);
}

#[test]
fn behind_haproxy_with_a_client_certificate_all_holds() {
    let (realm, certificates) = realm();
    let Some(stack) = Stack::start(realm, haproxy(&certificates, true)) else { return };
    holds(&stack);
    suite::no_way_leads_around_a_scope(&stack);
}

#[test]
fn behind_envoy_with_a_client_certificate_all_holds() {
    let (realm, certificates) = realm();
    let Some(stack) = Stack::start(realm, envoy(&certificates, true, None)) else { return };
    holds(&stack);
    suite::no_way_leads_around_a_scope(&stack);
}

#[test]
fn behind_envoy_that_asks_by_grpc_with_a_client_certificate_all_holds() {
    let (realm, certificates) = realm_at("EXT_AUTHZ");
    let asked = free_address();
    let realm = realm.with("EXT_AUTHZ_LISTEN", &asked.to_string());
    let Some(stack) = Stack::start(realm, envoy(&certificates, true, Some(asked))) else { return };
    suite::only_a_good_token_gets_in(&stack);
    suite::no_way_leads_around_a_scope(&stack);
}

#[test]
fn a_gateway_without_a_certificate_lets_nobody_in() {
    let (realm, certificates) = realm();
    let (gate, app, good) = (realm.gate(), App::start(), realm.mint("alice", &[]));
    let asked = "https://, without a certificate";
    let nginx = nginx(&certificates, false, &[])(gate.address, app.address);
    let traefik = traefik(&certificates, false)(gate.address, app.address);
    let caddy = caddy(&certificates, false)(gate.address, app.address);
    let haproxy = haproxy(&certificates, false)(gate.address, app.address);
    let envoy = envoy(&certificates, false, None)(gate.address, app.address);
    let at = [
        nginx.as_ref().map(|(_, at)| *at),
        traefik.as_ref().map(|(_, at)| *at),
        caddy.as_ref().map(|(_, at)| *at),
        haproxy.as_ref().map(|(_, at)| *at),
        envoy.as_ref().map(|(_, at)| *at),
    ];
    for at in at.into_iter().flatten() {
        suite::nobody_gets_in(asked, at, &app, &good);
    }
    gate.wait_for_log("a TLS handshake failed");
}

/// Asks without a pause, on four connections, while `replace` happens, and counts the answers.
fn no_request_is_lost<G>(stack: &Stack<G>, certificates: &Certificates) {
    /// Ends the clients also where a check panics.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let credential = bearer(&stack.alice());
    let (answered, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let address = stack.address;
    let ask = || {
        while !is_over.load(Ordering::SeqCst) {
            let mut client = Client::connect(address);
            for _ in 0..20 {
                let response = client.exchange(request("GET", "/", &[&credential], b""));
                assert_eq!(response.status, 200, "{response:?}");
                answered.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    let until_more = |more| {
        let enough = answered.load(Ordering::SeqCst) + more;
        poll("more answers", PATIENCE, || {
            (answered.load(Ordering::SeqCst) >= enough).then_some(())
        });
    };
    std::thread::scope(|scope| {
        let _over = Over(&is_over);
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        until_more(100);
        replace(stack, certificates);
        until_more(100);
        is_over.store(true, Ordering::SeqCst);
        for client in clients {
            client.join().expect("every request is answered");
        }
    });
    stack.app.take();
}

/// Replaces the certificate of the gate, and waits until the new one is in use.
fn replace<G>(stack: &Stack<G>, certificates: &Certificates) {
    let expires = "portcullis_tls_certificate_expiry_timestamp_seconds";
    let expires = || stack.gate.counter(expires, &[("listener", "gate")]);
    let before = expires();
    certificates.replace(&certificates.servers.issue_until(2041));
    poll("the new certificate", PATIENCE, || (expires() > before).then_some(()));
}

#[test]
fn a_certificate_is_replaced_under_load_and_no_request_is_lost() {
    // Connections that are kept, and a new one for each question.
    let http_1_0 = (
        "            proxy_http_version 1.1;\n            proxy_pass_request_body    off;\n",
        "            proxy_http_version 1.0;\n            proxy_pass_request_body    off;\n",
    );
    for more in [&[][..], &[http_1_0]] {
        let (realm, certificates) = realm();
        let Some(stack) = Stack::start(realm, nginx(&certificates, true, more)) else { return };
        no_request_is_lost(&stack, &certificates);
        assert_eq!(stack.gateway.errors(), Vec::<String>::new());
    }
    let (realm, certificates) = realm();
    let Some(stack) = Stack::start(realm, traefik(&certificates, true)) else { return };
    no_request_is_lost(&stack, &certificates);
}
