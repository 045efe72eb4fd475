//! Promises of a policy file in front of every gateway: which request takes which route, whatever a client makes of it.

use super::{IDENTITY, Stack, as_the_laxest_app_reads, is_alice};
use crate::support::{http::bearer, realm::Realm};

/// Routes of every kind. The gateway's own example knows nothing of them.
const POLICY: &str = r#"
default = "deny"
cors_preflight = "allow"

[[route]]
name = "rest"
path = "/*"

[[route]]
name = "own"
path = "/own/{user}/*"
require = { claims = { sub = "{user}" } }

[[route]]
name = "admin"
path = ["/admin", "/admin/*"]
require = { roles = ["admin"] }

[[route]]
name = "read"
path = "/read/*"
methods = ["GET"]

[[route]]
name = "open"
path = "/open/*"
require = "nothing"

[[route]]
name = "office"
path = "/office/*"
networks = ["192.0.2.0/24"]
require = "nothing"

[[route]]
name = "here"
path = "/here/*"
networks = ["127.0.0.0/8"]
require = "nothing"

[[route]]
name = "other"
host = "other.test"
path = "/*"
require = "never"
"#;

/// A realm whose gates judge by these routes.
pub fn realm() -> Realm {
    Realm::new().with_policy(POLICY)
}

/// All promises of this file.
pub fn holds<G>(stack: &Stack<G>) {
    each_route_asks_for_what_it_says(stack);
    a_public_route_names_nobody(stack);
    a_preflight_passes_where_its_request_has_a_route(stack);
    nothing_leads_around_a_route(stack);
}

/// The few lines that the README prints tell the whole request, and pass on what a credential may stand in.
pub fn the_least_configuration_holds<G>(stack: &Stack<G>) {
    let alice = stack.alice();
    stack.reaches_the_app_as_alice("/own/alice/x?y", &alice, &[]);
    stack.is_denied("another's", &stack.get("/own/bob/x", &alice), 403);
    stack.is_denied("another method", &stack.send("POST", "/read/1", &[&bearer(&alice)], b""), 403);
    stack.is_denied("another host", &stack.get_from("other.test", "/", &alice), 403);
    assert_eq!(stack.get("/here/a", &alice).status, 200, "the client's address");
    stack.app.take_one();
    let two = stack.send("GET", "/", &[&bearer(&alice), "X-Api-Key: another"], b"");
    stack.is_denied("an API key beside the token", &two, 401);
}

/// Each route lets in whom it names, and nobody else.
fn each_route_asks_for_what_it_says<G>(stack: &Stack<G>) {
    let alice = stack.alice();
    let bob = stack.realm.mint("bob", &["--role", "admin"]);
    for path in ["/", "/own/alice/x", "/own/%61lice/x", "/read/1?a=%2F", "/caf%C3%A9", "/admin2"] {
        stack.reaches_the_app_as_alice(path, &alice, &[]);
        stack.is_denied(path, &stack.send("GET", path, &[], b""), 401);
    }
    for path in ["/own/bob/x", "/own/Alice/x", "/admin", "/admin/", "/admin/a?b=/open/"] {
        stack.is_denied(path, &stack.get(path, &alice), 403);
        stack.is_denied(path, &stack.send("GET", path, &[], b""), 401);
    }
    assert_eq!(stack.get("/admin/a", &bob).status, 200);
    assert_eq!(stack.app.take_one().value("x-auth-roles"), "admin");
    let post = |path| stack.send("POST", path, &[&bearer(&alice)], b"a=b");
    stack.is_denied("POST", &post("/read/1"), 403);
    assert_eq!(post("/write/1").status, 200);
    is_alice(&stack.app.take_one(), &alice);
    let head = stack.send("HEAD", "/read/1", &[&bearer(&alice)], b"");
    assert_eq!(head.status, 200, "{head:?}");
    stack.app.take_one();
    stack.is_denied("another network", &stack.get("/office/a", &alice), 403);
    stack.is_denied("another host", &stack.get_from("other.test", "/", &alice), 403);
}

/// What a route makes public passes without a credential and with a bad one, and names nobody.
fn a_public_route_names_nobody<G>(stack: &Stack<G>) {
    let alice = bearer(&stack.alice());
    for path in ["/open/a", "/here/a"] {
        for lines in [&[][..], &["Authorization: Bearer rubbish"], &[&alice, "X-Auth-User: root"]] {
            let response = stack.send("GET", path, lines, b"");
            assert_eq!(response.status, 200, "{path} {lines:?}: {response:?}");
            let seen = stack.app.take_one();
            for name in IDENTITY {
                assert_eq!(seen.value(name), "", "{name} {lines:?}: {:?}", seen.headers);
            }
        }
    }
}

/// A CORS preflight passes where the request that it announces has a route, and only then.
fn a_preflight_passes_where_its_request_has_a_route<G>(stack: &Stack<G>) {
    let origin = "Origin: https://site.test";
    let asks = |method: &str| format!("Access-Control-Request-Method: {method}");
    for (path, method, passes) in [
        ("/admin/a", "DELETE", true),
        ("/read/1", "GET", true),
        ("/read/1", "POST", false),
        ("/office/a", "GET", false),
    ] {
        let response = stack.send("OPTIONS", path, &[origin, &asks(method)], b"");
        if passes {
            assert_eq!(response.status, 200, "{path} {method}: {response:?}");
            assert_eq!(stack.app.take_one().value("x-auth-user"), "");
        } else {
            stack.is_denied(path, &response, 403);
        }
    }
    // What is no preflight is a request like any other.
    for lines in [&[][..], &[origin], &[&asks("GET")]] {
        stack.is_denied("OPTIONS", &stack.send("OPTIONS", "/admin/a", lines, b""), 401);
    }
}

/// No spelling of a path, and no header of the client's, leads around a route.
fn nothing_leads_around_a_route<G>(stack: &Stack<G>) {
    let alice = stack.alice();
    for path in [
        "//admin",
        "/./admin",
        "/open/../admin",
        "/open/%2e%2e/admin",
        "/open/..%2fadmin",
        "/open/..%5cadmin",
        "/open/..\\admin",
        "/open/..;/admin",
        "/;/admin",
        "/admin;x=1",
        "/admin;/",
        "/%61dmin",
        "/%2561dmin",
        "/open/%252e%252e/admin",
        "/Admin",
        "/ADMIN/a",
        "/admin%00",
        "/admin%2f",
        "/admin/%2e/",
        "/own/alice/../../admin",
    ] {
        let response = stack.get(path, &alice);
        for seen in stack.app.take() {
            let plain = as_the_laxest_app_reads(&seen.target);
            assert!(
                !plain.contains("..") && !plain.starts_with("/admin"),
                "{path} came to the app as {} with {}",
                seen.target,
                response.status
            );
        }
    }
    let open = ["URI", "URL", "Path"].map(|name| format!("X-Original-{name}: /open/a"));
    let lies = [
        "X-Forwarded-Uri: /open/a",
        "X-Forwarded-Method: OPTIONS",
        "X-Forwarded-Host: open.test",
        "X-Original-Method: OPTIONS",
        "X_Original_URI: /open/a",
        "X_Forwarded_Uri: /open/a",
        "X-Rewrite-URL: /open/a",
        "Forwarded: for=127.0.0.1;host=open.test",
    ];
    for lie in open.iter().map(String::as_str).chain(lies) {
        let denied = stack.send("GET", "/admin/a", &[&bearer(&alice), lie], b"");
        stack.is_denied(lie, &denied, 403);
    }
    for lie in ["X-Forwarded-For: 192.0.2.1", "X-Real-IP: 192.0.2.1", "Forwarded: for=192.0.2.1"] {
        stack.is_denied(lie, &stack.send("GET", "/office/a", &[&bearer(&alice), lie], b""), 403);
    }
}
