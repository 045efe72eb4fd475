//! What a client gets to see of a limit that is reached, behind every kind of gateway; behind nginx by what its example makes of a
//! 403.

use super::{is_over, mint, realm};
use crate::matrix::calls::{self, Calls};
use crate::matrix::gateways::{Gateway, Site};
use crate::support::{
    app::App,
    free_address,
    http::{self, bearer},
};

#[test]
fn whoever_is_over_is_told_how_long_to_wait_behind_every_kind_of_gateway() {
    let asked = free_address();
    let realm = realm().with("EXT_AUTHZ_LISTEN", &asked.to_string());
    let gate = realm.gate();
    for (number, kind) in Gateway::ALL.into_iter().enumerate() {
        let name = kind.name();
        let (app, calls) = (App::start(), Calls::start());
        let site = Site { gate: gate.address, asked, app: app.address, calls: calls.address };
        let Some(running) = kind.start(&site) else { continue };
        app.take();
        // A user for each gateway.
        let token = mint(&realm, &format!("alice-{number}"), "authenticated");
        let credential = bearer(&token);
        let get = |path: &str| http::get(running.http1, path, &[&credential]);
        assert_eq!([(); 4].map(|()| get("/limited/1").status), [200; 4], "{name}");
        assert_eq!(calls::call(running.http2, Some(&token), false), "gRPC `Ok`", "{name}");
        assert_eq!((app.take().len(), calls.take().len()), (4, 1), "{name}");
        let over = get("/limited/1");
        is_over(name, &over);
        assert_eq!(over.json()["error"], "too_many_requests", "{name}");
        assert_eq!(over.header("cache-control"), Some("no-store"), "{name}");
        let call = calls::call(running.http2, Some(&token), false);
        // Envoy over HTTP makes a status of gRPC of the status of HTTP, whatever the answer says.
        let is_own = kind == Gateway::EnvoyHttp;
        let code = if is_own { "Unavailable" } else { "ResourceExhausted" };
        assert_eq!(call, format!("gRPC `{code}`"), "{name}");
        // A 403 for another reason stays one, and says nothing of waiting.
        let denied = get("/admin/1");
        assert_eq!(
            (denied.status, denied.header("retry-after")),
            (403, None),
            "{name}: {denied:?}"
        );
        assert!(denied.header("www-authenticate").is_some(), "{name}: {denied:?}");
        assert_eq!((app.take().len(), calls.take().len()), (0, 0), "{name}");
    }
}

/// nginx would make 500 of a 429.
#[test]
fn a_gate_tells_the_kinds_of_nginx_by_a_403_with_the_time_to_wait() {
    let realm = realm();
    let credential = bearer(&mint(&realm, "alice", "authenticated"));
    let gate = realm.gate();
    let nginx = [
        "X-Original-Method: GET",
        "X-Original-Proto: https",
        "X-Original-Host: app.test",
        "X-Original-URI: /limited/1",
    ];
    let ingress = ["X-Original-Method: GET", "X-Original-URL: https://app.test/limited/1"];
    let ask = |path: &str, lines: &[&str]| {
        http::get(gate.address, path, &[lines, &[&credential]].concat())
    };
    assert_eq!([(); 5].map(|()| ask("/validate_request", &nginx).status), [200; 5]);
    for (path, lines) in
        [("/validate_request", &nginx[..]), ("/validate_request/ingress", &ingress)]
    {
        let response = ask(path, lines);
        assert_eq!(response.status, 403, "{path}");
        assert!(response.header("retry-after").is_some(), "{path}: {response:?}");
    }
}
