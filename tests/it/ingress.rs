//! The annotations of ingress-nginx, in examples/ingress-nginx: what they say, and what real nginx does with what the controller
//! makes of them.

use std::collections::BTreeSet;

use portcullis::gate::Dialect;

use crate::gateway::promises;
use crate::support::{
    app::App,
    grpc_app::GrpcApp,
    h2c,
    http::{Client, bearer, request},
    in_repository,
    ingress::{Apps, Edits, GATE, Ingress, MANIFESTS, Manifests, annotation},
    realm::Realm,
    suite::{self, IDENTITY, Stack, requests},
    yaml,
};

/// The example without the lines that tell the host by which nginx routed.
const WITHOUT_HOST: Edits<'static> = Edits {
    manifests: &[
        (1, "  X-Original-Host: $host\n", ""),
        (1, "  X-Original-URI: $request_uri\n", ""),
    ],
    rendered: &[],
};

fn stack_with(realm: Realm, edits: Edits<'_>) -> Option<Stack<Ingress>> {
    Stack::start(realm, |gate, app| {
        let ingress = Ingress::start(gate, Apps { http: app, grpc: app }, edits)?;
        let address = ingress.address;
        Some((ingress, address))
    })
}

/// Runs promises in front of nginx; it must not have complained about any answer.
fn holds(edits: Edits<'_>, promises: &[fn(&Stack<Ingress>)]) {
    let Some(stack) = stack_with(Realm::new(), edits) else { return };
    promises.iter().for_each(|promise| promise(&stack));
    assert_eq!(stack.gateway.nginx.errors(), Vec::<String>::new());
}

promises! {
    no_bad_token_gets_in: suite::no_bad_token_gets_in;
    a_revoked_session_is_over: suite::a_revoked_session_is_over;
    many_at_once_keep_their_identities: requests::many_at_once_keep_their_identities;
    no_claim_breaks_out_of_its_header: suite::an_identity_arrives_whole_and_alone;
    bodies_reach_the_app_whole: requests::bodies_reach_the_app_whole;
    conditions_and_ranges_do_not_change_the_verdict: requests::conditions_and_ranges_do_not_change_the_verdict;
    an_old_client_is_served: requests::an_old_client_is_served;
    many_and_large_headers_are_no_error: requests::many_and_large_headers_are_no_error;
    one_connection_carries_twenty_requests: requests::one_connection_carries_twenty_requests;
    two_authorization_lines_are_refused: requests::two_authorization_lines_are_refused;
    a_forged_identity_never_reaches_the_app: suite::a_forged_identity_never_reaches_the_app;
    a_connection_header_makes_no_room_for_a_forgery: suite::a_connection_header_makes_no_room_for_a_forgery;
}

/// nginx writes the body of a denial; the challenge is the gate's.
#[test]
fn only_a_good_token_gets_in_and_a_scope_is_asked_for() {
    let Some(stack) = stack_with(Realm::new(), Edits::default()) else { return };
    let response = stack.send("GET", "/", &[], b"");
    stack.is_denied("no token", &response, 401);
    let challenge = response.header("www-authenticate").expect("it is kept");
    assert!(challenge.starts_with("Bearer"), "{challenge}");
    let good = stack.alice();
    let seen = stack.reaches_the_app_as_alice("/hello?a=b", &good, &[]);
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/hello?a=b"));
    let writer = stack.realm.mint("bob", &["--scope", "user:read user:write"]);
    for path in ["/users", "/users/1?a=/public/", "//users", "/public/../users/1", "/%75sers"] {
        stack.is_denied(path, &stack.get(path, &good), 403);
        stack.is_denied(path, &stack.send("GET", path, &[], b""), 401);
        assert_eq!(stack.get(path, &writer).status, 200, "{path}");
        assert_eq!(stack.app.take_one().value("X-Auth-User"), "bob");
    }
}

/// The controller itself tells the app two words of the client: in names of their own.
#[test]
fn nothing_else_that_a_client_says_of_its_request_reaches_the_app() {
    let Some(stack) = stack_with(Realm::new(), Edits::default()) else { return };
    let by_controller = ["X-Forwarded-Scheme", "X-Original-Forwarded-For", "X-Scheme"];
    let stripped: Vec<String> = suite::stripped_headers()
        .into_iter()
        .filter(|name| !by_controller.contains(&name.as_str()))
        .collect();
    let set = ["X-Forwarded-Proto", "X-Forwarded-Port", "X-Real-IP"];
    let set: Vec<String> = set.into_iter().chain(by_controller).map(str::to_owned).collect();
    requests::no_lie_is_believed(&stack, &stripped, &set);
    let lies = ["X-Forwarded-For: 192.0.2.1", "X-Forwarded-Host: evil.test"];
    let seen = stack.reaches_the_app_as_alice("/", &stack.alice(), &lies);
    assert_eq!(seen.value("X-Forwarded-For"), "127.0.0.1");
    assert_eq!(seen.value("X-Forwarded-Host"), "gate.test");
    assert_eq!(seen.value("X-Original-Forwarded-For"), "192.0.2.1");
    assert_eq!(seen.value("X-Original-Forwarded-Host"), "evil.test");
}

#[test]
fn a_policy_holds() {
    for edits in [Edits::default(), WITHOUT_HOST] {
        let Some(stack) = stack_with(suite::policy::realm(), edits) else { return };
        suite::policy::holds(&stack);
        assert_eq!(stack.gateway.nginx.errors(), Vec::<String>::new());
    }
}

/// The controller tells `$http_host`, and nginx routes an absolute target by its own host. With the line of the example the two
/// must agree; without it the client names the host by which he is judged.
#[test]
fn a_host_that_nginx_did_not_route_by_is_refused() {
    let told = "GET http://other.test/ HTTP/1.1\r\nHost: gate.test\r\n";
    for (edits, status) in [(Edits::default(), 403), (WITHOUT_HOST, 200)] {
        let Some(stack) = stack_with(suite::policy::realm(), edits) else { return };
        let good = bearer(&stack.alice());
        let asked = |head: &str| {
            Client::connect(stack.address).exchange(format!("{head}{good}\r\n\r\n")).status
        };
        assert_eq!(asked(told), status, "{:?}", edits.manifests);
        assert_eq!(stack.app.take().len(), usize::from(status == 200));
        // The same host twice is no lie.
        assert_eq!(asked("GET http://gate.test/a HTTP/1.1\r\nHost: gate.test\r\n"), 200);
        stack.app.take_one();
    }
}

/// All headers of a client come along in the question. Those that Portcullis reads, and that are not credentials, are not his.
#[test]
fn no_question_holds_what_a_client_says_of_its_request_or_its_certificate() {
    let (gate, app) = (App::start(), App::start());
    let apps = Apps { http: app.address, grpc: app.address };
    let Some(ingress) = Ingress::start(gate.address, apps, Edits::default()) else { return };
    let names = ["Host", "Method", "Proto", "Uri", "For", "Client-Cert", "Tls-Client-Cert"];
    let names = names.map(|name| format!("X-Forwarded-{name}")).into_iter();
    let others = ["X-Original-Method", "X-Original-Host", "X-Original-URI", "X-Original-URL"];
    let others = others.into_iter().chain(["X-Original-Proto", "X-Real-IP"]);
    let certificates = ["Client-Cert", "SSL-Client-Cert", "X-SSL-Client-Cert"];
    let all = names.chain(others.chain(certificates).map(str::to_owned));
    let lies: Vec<String> = all.map(|name| format!("{name}: a-lie")).collect();
    let mut lines: Vec<&str> = lies.iter().map(String::as_str).collect();
    lines.push("Cookie: a=b");
    Client::connect(ingress.address).exchange(request("POST", "/a?b", &lines, b"c"));
    let asked = gate.take_one();
    assert!(!format!("{asked:?}").contains("a-lie"), "{asked:?}");
    for (name, value) in [
        ("X-Original-URL", "http://gate.test/a?b"),
        ("X-Original-URI", "/a?b"),
        ("X-Original-Host", "gate.test"),
        ("X-Original-Proto", "http"),
        ("X-Original-Method", "POST"),
        ("Cookie", "a=b"),
    ] {
        assert_eq!(asked.value(name), value, "{name}");
    }
}

/// The query is a part of X-Original-URL; it decides nothing, whatever stands in it.
#[test]
fn a_query_stays_out_of_the_judgement() {
    let Some(stack) = stack_with(suite::policy::realm(), Edits::default()) else { return };
    let good = stack.alice();
    for query in ["?a=b", "?scope=user:write", "?/open/../", "?a=%2F%00;&b=http://x/", "?", "?a?b"]
    {
        let seen = stack.reaches_the_app_as_alice(&format!("/read/1{query}"), &good, &[]);
        assert_eq!(seen.target, format!("/read/1{query}"));
        let path = format!("/admin/a{query}");
        stack.is_denied(&path, &stack.get(&path, &good), 403);
    }
}

/// `auth-signin`: each 401 is a redirect, whoever asks, with the way back escaped and on the host by which nginx routed.
#[test]
fn a_page_leads_to_the_login_page_and_back() {
    let Some(stack) = stack_with(Realm::new(), Edits::default()) else { return };
    let login = "https://login.example.org/start?rd=http://gate.test";
    for (path, back) in [
        ("/pages", "%2Fpages"),
        ("/pages/a?b=c&rd=//evil.test", "%2Fpages%2Fa%3Fb%3Dc%26rd%3D%2F%2Fevil.test"),
    ] {
        for lines in [&[][..], &["Authorization: Bearer rubbish"], &["Accept: application/json"]] {
            let response = stack.send("GET", path, lines, b"");
            stack.is_denied(path, &response, 302);
            assert_eq!(response.header("location"), Some(&*format!("{login}{back}")), "{lines:?}");
        }
    }
    let head = "GET http://gate.test/pages HTTP/1.1\r\nHost: evil.test\r\n\r\n";
    let response = Client::connect(stack.address).exchange(head);
    assert_eq!(response.header("location"), Some(&*format!("{login}%2Fpages")));
    stack.reaches_the_app_as_alice("/pages/a", &stack.alice(), &[]);
}

/// Headers are set for gRPC by another word of nginx'. Controllers before 1.0 wrote the one for HTTP, and the client named itself:
/// <https://github.com/kubernetes/ingress-nginx/issues/3914>.
#[test]
fn a_backend_of_grpc_gets_the_identity_and_no_forged_one() {
    let before_1_0: Vec<_> = (0..IDENTITY.len())
        .map(|index| {
            let name = IDENTITY[index];
            let set = |word: &str| format!("{word}_set_header '{name}' $authHeader{index};");
            (set("grpc"), set("proxy"))
        })
        .collect();
    let before_1_0: Vec<_> =
        before_1_0.iter().map(|(from, to)| (1, from.as_str(), to.as_str())).collect();
    let global = [(
        1,
        "  proxy-set-headers: ingress-nginx/removed-headers",
        "  proxy-set-headers: shop/portcullis-question",
    )];
    let old = Edits { manifests: &global, rendered: &before_1_0 };
    for (edits, expected) in [(Edits::default(), "alice"), (old, "root")] {
        let (realm, app) = (Realm::new(), GrpcApp::start());
        let gate = realm.gate();
        let apps = Apps { http: app.address, grpc: app.address };
        let Some(ingress) = Ingress::start(gate.address, apps, edits) else { return };
        let good = format!("Bearer {}", realm.mint("alice", &[]));
        let call = |headers: &[(&str, &str)]| h2c::get(ingress.grpc, "/shop.Cart/Add", headers).0;
        assert_eq!(call(&[("x-auth-user", "root")]), 401);
        assert_eq!(call(&[("x-auth-user", "root"), ("authorization", "Bearer rubbish")]), 401);
        assert_eq!(app.take().len(), 0, "reached the app");
        let forged = [("x-auth-user", "root"), ("x-auth-roles", "admin"), ("authorization", &good)];
        assert_eq!(call(&forged), 200);
        let [seen] = &app.take()[..] else { panic!("one call") };
        let users: Vec<_> = seen.get_all("x-auth-user").iter().collect();
        assert_eq!(users, [expected], "{seen:?}");
        assert_eq!(seen.contains_key("x-auth-roles"), expected == "root", "{seen:?}");
    }
}

#[test]
fn a_dead_gate_lets_nobody_in() {
    let Some(mut stack) = stack_with(Realm::new(), Edits::default()) else { return };
    suite::a_dead_gate_lets_nobody_in(&mut stack);
}

#[test]
fn a_question_at_another_path_lets_nobody_in() {
    let (realm, app) = (Realm::new(), App::start());
    let (gate, good) = (realm.gate(), realm.mint("alice", &[]));
    let apps = Apps { http: app.address, grpc: app.address };
    for path in ["/", "/health", "/ready", "/jwks", "/validate_request/", "/validate_request/ngf"] {
        let to = format!(":{}{path}\n", gate.address.port());
        let from = format!(":{}/validate_request/ingress\n", gate.address.port());
        let edits = Edits { manifests: &[(3, &from, &to)], rendered: &[] };
        let Some(ingress) = Ingress::start(gate.address, apps, edits) else { return };
        suite::nobody_gets_in(&to, ingress.address, &app, &good);
    }
    gate.wait_for_log("/validate_request/ingress (ingress");
}

/// The manifests say what the gate understands, and all that it sends.
#[test]
fn the_annotations_are_complete() {
    let text = std::fs::read_to_string(in_repository(MANIFESTS)).expect("the manifests");
    let Some(documents) = yaml::documents(&text) else { return };
    let manifests = Manifests(documents);
    let sorted = |names: Vec<String>| names.into_iter().collect::<BTreeSet<_>>();
    let address = format!("{}{}", GATE.1, Dialect::Ingress.path());
    let mut asked = 0;
    for ingress in manifests.ingresses() {
        let of = |name| annotation(ingress, name);
        let Some(url) = of("auth-url") else {
            assert_eq!(ingress["metadata"]["annotations"], serde_json::Value::Null);
            continue;
        };
        asked += 1;
        let demands = url.strip_prefix(&address).unwrap_or_else(|| panic!("{url}"));
        assert!(["", "?scope=user:write"].contains(&demands), "{url}");
        assert_eq!(of("auth-response-headers"), Some(&*IDENTITY.join(",")), "{url}");
        let called = of("auth-proxy-set-headers").expect("the question is complete");
        assert!(manifests.config_map(called).contains(&("X-Original-Host", "$host")));
        // What others ask of an identity must not be given to the next one, and the controller's own keep-alive is broken.
        for never in ["auth-cache-key", "auth-keepalive", "auth-method", "auth-snippet"] {
            assert_eq!(of(never), None, "{url}");
        }
    }
    assert_eq!(asked, GATE.0);
    let removed = manifests.config_map("ingress-nginx/removed-headers");
    assert!(removed.iter().all(|(_, value)| value.is_empty()), "{removed:?}");
    let removed = removed.into_iter().map(|(name, _)| name.to_owned()).collect();
    let by_controller = ["Proxy", "X-Forwarded-Scheme", "X-Original-Forwarded-For", "X-Scheme"];
    let stripped = suite::stripped_headers().into_iter();
    let stripped = stripped.filter(|name| !by_controller.contains(&name.as_str()));
    let expected = stripped.chain(IDENTITY.map(str::to_owned)).collect();
    assert_eq!(sorted(removed), sorted(expected));
}
