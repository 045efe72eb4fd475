//! Promises about browsers in front of every gateway: whoever opens a page is led to the login page, and nothing else is.

use super::{Stack, is_alice};
use crate::support::{http::Response, realm::Realm};

/// The lines of a browser that opens a page.
const NAVIGATION: [&str; 4] = [
    "Host: localhost",
    "Accept: text/html,application/xhtml+xml,*/*;q=0.8",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Dest: document",
];

/// The login page, with the way back to an address that is escaped.
const LOGIN: &str = "https://login.test/start?lang=de&rd=http%3A%2F%2Flocalhost";

/// A realm whose gates know a login page.
pub fn realm() -> Realm {
    Realm::new()
        .with("LOGIN_URL", "https://login.test/start?lang=de")
        .with("RETURN_HOSTS", "localhost")
        .with("TOKEN_COOKIE", "session")
}

/// All promises of this file.
pub fn hold<G>(stack: &Stack<G>) {
    whoever_opens_a_page_is_led_to_the_login_page(stack);
    programs_get_the_denial(stack);
    nothing_leads_to_another_host(stack);
}

fn location(response: &Response) -> Option<&str> {
    response.header("location")
}

/// Without a good credential a page leads to the login page, and with one it is there.
fn whoever_opens_a_page_is_led_to_the_login_page<G>(stack: &Stack<G>) {
    let alice = stack.alice();
    let old_browser = &NAVIGATION[..2];
    let revoked = stack.alice();
    stack.realm.revoke(&revoked);
    let revoked = format!("Cookie: session={revoked}");
    for lines in [&NAVIGATION[..], old_browser, &[&NAVIGATION[..], &[&revoked]].concat()] {
        for (path, back) in
            [("/", "%2F"), ("/hello?a=b&rd=//evil.test", "%2Fhello%3Fa%3Db%26rd%3D%2F%2Fevil.test")]
        {
            let response = stack.send("GET", path, lines, b"");
            stack.is_denied(path, &response, 302);
            assert_eq!(location(&response), Some(&*format!("{LOGIN}{back}")), "{response:?}");
            assert_eq!(response.header("cache-control"), Some("no-store"), "{response:?}");
        }
    }
    let cookie = format!("Cookie: session={alice}");
    let response = stack.send("GET", "/hello", &[&NAVIGATION[..], &[&cookie]].concat(), b"");
    assert_eq!(response.status, 200, "{response:?}");
    is_alice(&stack.app.take_one(), &alice);
    // Good, and not enough: a login would change nothing.
    let response = stack.send("GET", "/users/1", &[&NAVIGATION[..], &[&cookie]].concat(), b"");
    stack.is_denied("without the scope", &response, 403);
    assert_eq!(location(&response), None, "{response:?}");
}

/// A script, a program and a form get the status that they can read.
fn programs_get_the_denial<G>(stack: &Stack<G>) {
    let of_fetch =
        ["Host: localhost", "Accept: text/html", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"];
    let of_socket = [
        "Host: localhost",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-Fetch-Mode: websocket",
        "Sec-Fetch-Dest: websocket",
    ];
    for (method, lines) in [
        ("GET", &["Host: localhost"][..]),
        ("GET", &["Host: localhost", "Accept: */*"]),
        ("GET", &["Host: localhost", "Accept: application/json"]),
        ("GET", &["Host: localhost", "Accept: text/html", "X-Requested-With: XMLHttpRequest"]),
        ("GET", &["Host: localhost", "Accept: text/html", "Authorization: Bearer rubbish"]),
        ("GET", &of_fetch),
        ("GET", &of_socket),
        ("POST", &NAVIGATION),
    ] {
        let body: &[u8] = if method == "POST" { b"a=b" } else { b"" };
        let response = stack.send(method, "/", lines, body);
        stack.is_denied(method, &response, 401);
        assert_eq!(location(&response), None, "{method} {lines:?}: {response:?}");
    }
}

/// Whatever a client says, the way back is to the host that was asked, where that is listed.
fn nothing_leads_to_another_host<G>(stack: &Stack<G>) {
    let lies = [
        "X-Forwarded-Host: evil.test",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Uri: //evil.test/",
        "X-Original-Host: evil.test",
        "X-Original-URI: //evil.test/",
        "X-Original-URL: https://evil.test/",
        "X_Forwarded_Host: evil.test",
        "Forwarded: host=evil.test",
        "Location: https://evil.test/",
    ];
    let mut led = 0;
    for lie in lies {
        let response = stack.send("GET", "/x", &[&NAVIGATION[..], &[lie]].concat(), b"");
        assert_eq!(stack.app.take().len(), 0, "{lie}: reached the app");
        let right = format!("{LOGIN}%2Fx");
        assert!(location(&response).is_none_or(|it| it == right), "{lie}: {response:?}");
        led += usize::from(location(&response).is_some());
    }
    assert!(led > 0, "none of {lies:?} was led to the login page");
    for path in
        ["//evil.test", "/\\evil.test", "/.//evil.test", "/..//evil.test", "http://evil.test/"]
    {
        let response = stack.send("GET", path, &NAVIGATION, b"");
        assert_eq!(stack.app.take().len(), 0, "{path}: reached the app");
        let is_ours =
            |it: &str| it.strip_prefix(LOGIN).is_some_and(|rest| !rest.starts_with("%2F%2F"));
        assert!(location(&response).is_none_or(is_ours), "{path}: {response:?}");
    }
    for host in
        ["Host: evil.test", "Host: localhost.evil.test", "Host: localhost:81", "Host: a.localhost"]
    {
        let lines = [&[host], &NAVIGATION[1..]].concat();
        let response = stack.send("GET", "/", &lines, b"");
        let is_ours = |it: &str| it == format!("{LOGIN}%2F");
        // nginx tells the host without its port.
        assert!(
            location(&response).is_none_or(|it| host.ends_with(":81") && is_ours(it)),
            "{host}: {response:?}"
        );
        assert_eq!(stack.app.take().len(), 0, "{host}: reached the app");
    }
}
