//! Requests of odd shapes and sizes, and what a client says of itself: none may change a verdict or become an error.

use std::net::SocketAddr;

use super::{Stack, is_alice, stripped_headers};
use crate::support::{
    app::ReceivedRequest,
    http::{Client, bearer, request},
};

/// Requests that clients may well send, rarely as they do, are neither refused nor let in for their shape.
pub fn odd_and_large_requests_are_no_error<G>(stack: &Stack<G>) {
    bodies_reach_the_app_whole(stack);
    conditions_and_ranges_do_not_change_the_verdict(stack);
    an_old_client_is_served(stack);
    many_and_large_headers_are_no_error(stack);
    one_connection_carries_twenty_requests(stack);
    control_characters_are_no_error(stack);
}

/// A header that cannot be read is a denial or a 400 of the gateway, never a 5xx.
pub fn control_characters_are_no_error<G>(stack: &Stack<G>) {
    let credential = bearer(&stack.alice());
    for byte in ["\x01", "\x0b", "\x1f", "\x7f"] {
        for lines in [
            format!("Authorization: Bearer {byte}x"),
            format!("Cookie: a={byte}"),
            format!("{credential}\r\nCookie: a={byte}; b=1"),
            format!("{credential}\r\nX-Any: {byte}"),
            format!("{credential}\r\nUser-Agent: a{byte}b"),
            format!("X-Request-Id: {byte}"),
        ] {
            let request = format!("GET / HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n\r\n");
            let response = Client::connect(stack.address).exchange(request);
            assert!(response.status < 500, "{lines:?}: {response:?}");
            for seen in stack.app.take() {
                assert_eq!(seen.value("x-auth-user"), "alice", "{lines:?}");
            }
        }
    }
}

/// Fields behind a body, which an app may merge with its headers, end at the gateway.
pub fn a_trailer_never_reaches_the_app<G>(stack: &Stack<G>) {
    for path in ["/public/page", "/"] {
        assert_eq!(send_trailer(stack, path).trailers, [], "{path}");
    }
}

/// The request at the app that a client sent with an identity behind its body.
pub fn send_trailer<G>(stack: &Stack<G>, path: &str) -> ReceivedRequest {
    let credential = bearer(&stack.alice());
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: a.test\r\n{credential}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na=b\r\n0\r\nX-Auth-User: root\r\n\r\n"
    );
    assert_eq!(Client::connect(stack.address).exchange(request).status, 200, "{path}");
    let seen = stack.app.take_one();
    assert_eq!(seen.body, b"a=b");
    let is_root = |(name, value): &(String, String)| name.contains("uth") && value == "root";
    assert!(!seen.headers.iter().any(is_root), "{path}: {seen:?}");
    seen
}

/// Methods and bodies arrive as they were sent, and a denied body is not read as the next request.
pub fn bodies_reach_the_app_whole<G>(stack: &Stack<G>) {
    let good = stack.alice();
    let (credential, large) = (bearer(&good), vec![b'x'; 200_000]);
    for (method, body) in
        [("POST", &b"name=value"[..]), ("PUT", &large), ("PATCH", b"{}"), ("DELETE", b"")]
    {
        assert_eq!(stack.send(method, "/form", &[&credential], body).status, 200, "{method}");
        let seen = stack.app.take_one();
        is_alice(&seen, &good);
        assert_eq!((seen.method.as_str(), seen.body.as_slice()), (method, body));
    }
    let chunked = format!(
        "POST /form HTTP/1.1\r\nHost: a.test\r\n{credential}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    );
    assert_eq!(Client::connect(stack.address).exchange(chunked).status, 200);
    let seen = stack.app.take_one();
    is_alice(&seen, &good);
    assert_eq!(seen.body, b"hello world");

    assert_eq!(stack.send("HEAD", "/", &[&credential], b"").status, 200);
    assert_eq!(stack.app.take_one().method, "HEAD");
    stack.is_denied("HEAD without a token", &stack.send("HEAD", "/", &[], b""), 401);
    stack.is_denied(
        "POST without a token",
        &stack.send("POST", "/form", &[], b"GET / HTTP/1.1\r\n\r\n"),
        401,
    );
}

/// A client's conditions and ranges are for the app, never for the question to the gate.
pub fn conditions_and_ranges_do_not_change_the_verdict<G>(stack: &Stack<G>) {
    let good = stack.alice();
    for lines in [
        &["Range: bytes=0-0"][..],
        &["If-None-Match: *"],
        &["If-Match: \"nothing\""],
        &["If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT"],
        &["If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT"],
        &["Range: bytes=5-", "If-Range: \"x\"", "If-None-Match: \"a\", \"b\""],
        &["Accept-Encoding: gzip, br", "Accept: image/png", "TE: trailers"],
        &["User-Agent:"],
        &["User-Agent: kube-probe/1.31"],
        &["User-Agent: GoogleHC/1.0"],
    ] {
        stack.reaches_the_app_as_alice("/", &good, lines);
        stack.is_denied(lines[0], &stack.send("GET", "/", lines, b""), 401);
    }
}

/// Twenty requests on one connection, good and bad ones in turn, with bodies between them.
pub fn one_connection_carries_twenty_requests<G>(stack: &Stack<G>) {
    let good = stack.alice();
    let credential = bearer(&good);
    let mut client = Client::connect(stack.address);
    for round in 0..20 {
        let (method, body) =
            if round % 4 == 3 { ("POST", &b"a body"[..]) } else { ("GET", &b""[..]) };
        let lines: &[&str] = if round % 2 == 0 { &[&credential] } else { &[] };
        let response = client.exchange(request(method, "/", lines, body));
        let expected = if round % 2 == 0 { 200 } else { 401 };
        assert_eq!(response.status, expected, "request {round}: {response:?}");
        let seen = stack.app.take();
        assert_eq!(seen.len(), usize::from(expected == 200), "request {round}: {seen:?}");
        seen.iter().for_each(|seen| is_alice(seen, &good));
    }
}

/// Requests that are asked about at once keep their own identities.
pub fn many_at_once_keep_their_identities<G: Sync>(stack: &Stack<G>) {
    let users: Vec<String> = (0..8).map(|n| format!("user{n}")).collect();
    let tokens: Vec<String> = users.iter().map(|user| stack.realm.mint(user, &[])).collect();
    std::thread::scope(|scope| {
        for (user, token) in users.iter().zip(&tokens) {
            scope.spawn(move || {
                let mut client = Client::connect(stack.address);
                let (path, credential) = (format!("/{user}"), bearer(token));
                for _ in 0..25 {
                    let response = client.exchange(request("GET", &path, &[&credential], b""));
                    assert_eq!(response.status, 200, "{response:?}");
                }
            });
        }
    });
    let seen = stack.app.take();
    assert_eq!(seen.len(), 25 * users.len());
    for seen in seen {
        assert_eq!(seen.target, format!("/{}", seen.value("X-Auth-User")));
    }
}

/// A client that speaks HTTP/1.0.
pub fn an_old_client_is_served<G>(stack: &Stack<G>) {
    let good = stack.alice();
    let mut client = Client::connect(stack.address);
    let response =
        client.exchange(format!("GET / HTTP/1.0\r\nHost: a.test\r\n{}\r\n\r\n", bearer(&good)));
    assert_eq!(response.status, 200, "{response:?}");
    is_alice(&stack.app.take_one(), &good);
    let response = Client::connect(stack.address).exchange("GET / HTTP/1.0\r\n\r\n");
    stack.is_denied("HTTP/1.0, no token, no Host", &response, 401);
}

/// 150 headers, 32 KiB of cookies, and both.
pub fn many_and_large_headers_are_no_error<G>(stack: &Stack<G>) {
    let good = stack.alice();
    let many: Vec<String> = (0..150).map(|n| format!("X-Filler-{n}: {n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let cookies =
        (0..32).map(|n| format!("c{n}={}", "x".repeat(1020))).collect::<Vec<_>>().join("; ");
    let cookies = format!("Cookie: {cookies}");
    assert!(cookies.len() >= 32 * 1024, "{}", cookies.len());
    for lines in [many.clone(), vec![cookies.as_str()], [many, vec![cookies.as_str()]].concat()] {
        stack.reaches_the_app_as_alice("/", &good, &lines);
        stack.is_denied("many headers", &stack.send("GET", "/", &lines, b""), 401);
    }
}

/// A client is not believed in what it claims to ask for, or from where.
pub fn a_clients_word_on_the_request_is_not_believed<G>(stack: &Stack<G>) {
    // Those that the gateway sets itself, and those that it strips.
    let set = ["Host", "Proto", "For", "Port"].map(|name| format!("X-Forwarded-{name}"));
    let set = [&set[..], &["X-Real-IP".to_owned()]].concat();
    no_lie_is_believed(stack, &stripped_headers(), &set);
}

/// No value of a client's in these headers reaches the app, in any spelling, and those that are stripped are not there.
pub fn no_lie_is_believed<G>(stack: &Stack<G>, stripped: &[String], set: &[String]) {
    let good = stack.alice();
    let spellings = |name: &String| [name.clone(), name.to_uppercase(), name.replace('-', "_")];
    let lies = stripped.iter().chain(set).flat_map(spellings);
    let lies: Vec<String> = lies.map(|name| format!("{name}: /users/a-lie")).collect();
    let lies: Vec<&str> = lies.iter().map(String::as_str).collect();
    for path in ["/", "/users/1"] {
        stack.is_denied(path, &stack.send("GET", path, &lies, b""), 401);
    }
    let credential = bearer(&good);
    let with_token = [&[credential.as_str()], &lies[..]].concat();
    stack.is_denied("/users", &stack.send("GET", "/users/1", &with_token, b""), 403);
    let open = stack.send("GET", "/public/page", &lies, b"");
    assert_eq!(open.status, 200, "{open:?}");
    let on_the_open_route = stack.app.take_one();
    for seen in [on_the_open_route, stack.reaches_the_app_as_alice("/", &good, &lies)] {
        let believed = seen.headers.iter().find(|(_, value)| value.contains("a-lie"));
        assert_eq!(believed, None, "{}: {:?}", seen.target, seen.headers);
        for name in stripped {
            assert_eq!(seen.value(name), "", "{name} on {}", seen.target);
        }
    }
}

/// With an absolute request target its host counts, and `Host` does not.
pub fn an_absolute_target_decides_the_host<G>(stack: &Stack<G>) {
    let good = stack.alice();
    let bytes = format!(
        "GET http://true.test/page HTTP/1.1\r\nHost: false.test\r\n{}\r\n\r\n",
        bearer(&good)
    );
    let response = Client::connect(stack.address).exchange(bytes);
    assert_eq!(response.status, 200, "{response:?}");
    let seen = stack.app.take_one();
    is_alice(&seen, &good);
    assert_eq!(seen.value("Host"), "true.test");
    assert!(!format!("{seen:?}").contains("false.test"), "{seen:?}");
}

/// The tunnel of another protocol, such as HTTP/2, would carry requests that nobody asks about.
pub fn only_web_sockets_open_a_tunnel<G>(stack: &Stack<G>) {
    let good = stack.alice();
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let list = "Connection: keep-alive, X-Auth-User, Upgrade";
    for lines in [
        &[list, "Upgrade: WebSocket", key][..],
        &["Connection: Upgrade", "Upgrade: h2c", "Upgrade: websocket", key],
    ] {
        let seen = stack.reaches_the_app_as_alice("/", &good, lines);
        let connection = seen.value("Connection").to_lowercase();
        assert_eq!((seen.value("Upgrade"), &*connection), ("websocket", "upgrade"), "{seen:?}");
    }
    for lines in [
        &["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"][..],
        &["Connection: Upgrade", "Upgrade: h2c, websocket", key],
        &["Upgrade: h2c"],
    ] {
        let seen = stack.reaches_the_app_as_alice("/", &good, lines);
        assert_eq!(seen.value("Upgrade"), "", "{lines:?}: {seen:?}");
    }
}

/// The answer of an app that opens a web socket to the key of [`a_web_socket_is_opened`] (RFC 6455, section 1.3).
pub const WEB_SOCKET_OPENED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A web socket is opened for who may, by an app that answers [`WEB_SOCKET_OPENED`].
pub fn a_web_socket_is_opened(gateway: SocketAddr, good: &str) {
    let credential = bearer(good);
    for (lines, status) in [(&[][..], 401), (&[credential.as_str()][..], 101)] {
        let upgrade = [
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ];
        let bytes = request("GET", "/", &[&upgrade[..], lines].concat(), b"");
        let response = Client::connect(gateway).exchange_head(bytes);
        assert_eq!(response.status, status, "{response:?}");
    }
}

/// Two credentials are none, whichever comes first.
pub fn two_authorization_lines_are_refused<G>(stack: &Stack<G>) {
    let (good, bad) = (bearer(&stack.alice()), "Authorization: Bearer rubbish".to_owned());
    for lines in [[&good, &bad], [&bad, &good], [&good, &good]] {
        let response = stack.send("GET", "/", &lines.map(String::as_str), b"");
        assert!((400..500).contains(&response.status), "{response:?}");
        assert_eq!(stack.app.take().len(), 0, "reached the app");
    }
}
