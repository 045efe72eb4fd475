//! NGINX Gateway Fabric: real nginx with what it makes of the SnippetsFilter in examples/nginx-gateway-fabric, and of the filter
//! ExternalAuth of the Gateway API.
//!
//! The controller is not here. [`rendered`] is a rendition of our own of the `server` and `location` that it writes (2.6), as far as
//! it decides what the gate, the app and the client get.

use std::net::SocketAddr;

use crate::gateway::promises;
use crate::support::{
    app::App,
    free_address,
    http::{Client, bearer},
    nginx::Nginx,
    realm::Realm,
    substituted,
    suite::{self, IDENTITY, Stack, requests},
    yaml,
};

const SNIPPETS: &str = "examples/nginx-gateway-fabric/snippets.yaml";
const GATE: &str = "http://portcullis.auth.svc.cluster.local:8080";

/// The texts that end up in a `server` and in its one `location`.
fn rendered(address: SocketAddr, app: SocketAddr, server: &str, location: &str) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path run/{name};\n"))
        .concat();
    format!(
        "daemon off;\npid run/nginx.pid;\nerror_log stderr notice;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}\
         large_client_header_buffers 4 64k;\n\
         map $http_host $gw_api_compliant_host {{ '' $host; default $http_host; }}\n\
         map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}\n\
         server {{\nlisten {address};\nserver_name _;\n{server}\nlocation / {{\n{location}\n\
         proxy_http_version 1.1;\nproxy_set_header Host \"$gw_api_compliant_host\";\n\
         proxy_set_header X-Forwarded-For \"$proxy_add_x_forwarded_for\";\n\
         proxy_set_header X-Real-IP \"$remote_addr\";\nproxy_set_header X-Forwarded-Proto \"$scheme\";\n\
         proxy_set_header X-Forwarded-Host \"$host\";\nproxy_set_header X-Forwarded-Port \"$server_port\";\n\
         proxy_set_header Upgrade \"$http_upgrade\";\nproxy_set_header Connection \"$connection_upgrade\";\n\
         proxy_pass http://{app};\n}}\n}}\n}}\n"
    )
}

/// nginx with the snippets of the example.
fn with_snippets(gate: SocketAddr, app: SocketAddr) -> Option<(Nginx, SocketAddr)> {
    let documents =
        yaml::documents(&substituted(SNIPPETS, &[(1, GATE, &format!("http://{gate}"))]))?;
    let [filter, route] = &documents[..] else { panic!("a filter and a route") };
    let named = &route["spec"]["rules"][0]["filters"][0]["extensionRef"]["name"];
    assert_eq!(named, &filter["metadata"]["name"]);
    let snippet = |context: &str| {
        let all = filter["spec"]["snippets"].as_array().expect("a list");
        let found = all.iter().find(|snippet| snippet["context"] == context);
        found.expect(context)["value"].as_str().expect("a text").to_owned()
    };
    let address = free_address();
    let (server, location) = (snippet("http.server"), snippet("http.server.location"));
    Some((Nginx::run(&rendered(address, app, &server, &location), address)?, address))
}

/// nginx with the filter ExternalAuth, which asks at this path: method and path stand in `Method` and `Path`, and the path is not
/// appended, as the Gateway API would have it.
fn with_filter(gate: SocketAddr, app: SocketAddr, path: &str) -> Option<(Nginx, SocketAddr)> {
    let address = free_address();
    let server = format!(
        "location /_ngf-internal-ext-auth {{\ninternal;\nproxy_set_header Host \"$gw_api_compliant_host\";\n\
         proxy_set_header Path \"$request_uri\";\nproxy_set_header Method \"$request_method\";\n\
         proxy_set_header Authorization \"$http_authorization\";\nproxy_pass http://{gate}{path};\n\
         proxy_pass_request_body off;\nproxy_set_header Content-Length \"\";\nproxy_pass_request_headers off;\n}}"
    );
    let identity = IDENTITY.map(|name| {
        let variable = name.to_lowercase().replace('-', "_");
        format!(
            "auth_request_set $ext_auth_response_{variable} $upstream_http_{variable};\n\
             proxy_set_header {name} $ext_auth_response_{variable};\n"
        )
    });
    let location = format!("auth_request /_ngf-internal-ext-auth;\n{}", identity.concat());
    Some((Nginx::run(&rendered(address, app, &server, &location), address)?, address))
}

fn holds(_: (), promises: &[fn(&Stack<Nginx>)]) {
    let Some(stack) = Stack::start(Realm::new(), with_snippets) else { return };
    promises.iter().for_each(|promise| promise(&stack));
    assert_eq!(stack.gateway.errors(), Vec::<String>::new());
}

promises! {
    no_bad_token_gets_in: suite::no_bad_token_gets_in;
    a_revoked_session_is_over: suite::a_revoked_session_is_over;
    a_forged_identity_never_reaches_the_app: forged_identities;
    no_claim_breaks_out_of_its_header: suite::an_identity_arrives_whole_and_alone;
    bodies_reach_the_app_whole: requests::bodies_reach_the_app_whole;
}

/// As for every gateway, but for the open route, which the example has not.
fn forged_identities(stack: &Stack<Nginx>) {
    suite::the_least_configuration_holds(stack);
    suite::a_connection_header_makes_no_room_for_a_forgery(stack);
    let good = stack.alice();
    for name in suite::stripped_headers() {
        let lie = format!("{name}: a-lie");
        let seen = stack.reaches_the_app_as_alice("/", &good, &[&lie]);
        assert_eq!(seen.value(&name), "", "{seen:?}");
    }
}

#[test]
fn a_policy_holds() {
    let Some(stack) = Stack::start(suite::policy::realm(), with_snippets) else { return };
    suite::policy::holds(&stack);
    let told = format!(
        "GET http://other.test/ HTTP/1.1\r\nHost: gate.test\r\n{}\r\n\r\n",
        bearer(&stack.alice())
    );
    stack.is_denied("another host", &Client::connect(stack.address).exchange(told), 403);
    assert_eq!(stack.gateway.errors(), Vec::<String>::new());
}

#[test]
fn a_dead_gate_lets_nobody_in() {
    let Some(mut stack) = Stack::start(Realm::new(), with_snippets) else { return };
    suite::a_dead_gate_lets_nobody_in(&mut stack);
}

/// Tokens and scopes are judged; what a policy needs is not told, and then nobody gets in.
#[test]
fn the_filter_is_good_for_tokens_and_scopes_and_not_for_a_policy() {
    let start = |path| move |gate, app| with_filter(gate, app, path);
    let scope = "/validate_request?scope=user:write";
    let Some(stack) = Stack::start(Realm::new(), start("/validate_request")) else { return };
    suite::no_bad_token_gets_in(&stack);
    suite::the_least_configuration_holds(&stack);
    let Some(stack) = Stack::start(Realm::new(), start(scope)) else { return };
    stack.is_denied("without the scope", &stack.get("/", &stack.alice()), 403);
    let bob = stack.realm.mint("bob", &["--scope", "user:write"]);
    assert_eq!(stack.get("/", &bob).status, 200);
    let Some(stack) = Stack::start(suite::policy::realm(), start("/validate_request")) else {
        return;
    };
    for path in ["/", "/open/a"] {
        stack.is_denied(path, &stack.get(path, &stack.alice()), 403);
    }
}

/// The paths for Envoy are another question: there the client's path is appended, which this gateway leaves out.
#[test]
fn at_envoys_path_the_filter_lets_nobody_in() {
    let (realm, app) = (suite::policy::realm(), App::start());
    let (gate, good) = (realm.gate(), realm.mint("alice", &["--role", "admin"]));
    for path in ["/validate_request/envoy", "/validate_request/envoy,scope=a", "/"] {
        let Some((_nginx, address)) = with_filter(gate.address, app.address, path) else { return };
        suite::nobody_gets_in(path, address, &app, &good);
    }
}
