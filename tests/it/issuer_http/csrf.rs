//! Forged requests: what changes something by cookies takes a proof that a page of ours, or a program that knows the
//! session, has sent it.

use super::start;
use crate::support::{
    http::{Response, bearer},
    issuer::{ALICE, Issuer, text},
    realm::Realm,
};

/// A browser's jar after a login.
struct Jar {
    pair: String,
    csrf: String,
    token: String,
}

impl Jar {
    /// Alice logs in.
    fn of(issuer: &Issuer) -> Self {
        let answer = issuer.by_password(ALICE.0, ALICE.1, &[]);
        let cookie = |name: &str| set_cookie(&answer, name).expect("a cookie").0;
        let pair = ["__Host-user_id", "__Host-access_token"]
            .map(|name| format!("{name}={}", cookie(name)));
        let token = text(&answer.json(), "access_token").to_owned();
        Self { pair: pair.join("; "), csrf: cookie("__Host-csrf_token"), token }
    }

    /// The line with its cookies, and this one against forged requests.
    fn line(&self, csrf: Option<&str>) -> String {
        let csrf = csrf.map_or_else(String::new, |csrf| format!("; __Host-csrf_token={csrf}"));
        format!("Cookie: {}{csrf}", self.pair)
    }
}

/// The value of a cookie that an answer sets, and its attributes.
fn set_cookie(answer: &Response, name: &str) -> Option<(String, String)> {
    let cookies = answer.headers.iter().filter(|(header, _)| header == "set-cookie");
    let mut named = cookies.filter_map(|(_, it)| it.strip_prefix(name)?.strip_prefix('='));
    let (value, attributes) = named.next()?.split_once("; ")?;
    Some((value.to_owned(), attributes.to_owned()))
}

fn own(issuer: &Issuer) -> String {
    format!("Origin: {}", issuer.url())
}

#[test]
fn what_changes_something_by_cookies_takes_a_proof() {
    let (_realm, issuer, _) = start(Realm::issuing().with("TOKEN_COOKIES", "host"));
    let (jar, other) = (Jar::of(&issuer), Jar::of(&issuer));
    let header = |token: &str| format!("X-CSRF-Token: {token}");
    let (good, kept) = (header(&jar.csrf), jar.line(Some(&jar.csrf)));
    let planted = jar.line(Some(&other.csrf));
    let nobody = "Host: id.example";
    let refused: &[&[&str]] = &[
        &[&jar.line(None)],
        &[&kept],
        &[&jar.line(None), &good],
        &[&planted, &good],
        &[&planted, &header(&other.csrf)],
        &[&kept, &header("x.y")],
        &[&kept, &good, &good],
        &[&kept, "Sec-Fetch-Site: cross-site"],
        &[&kept, "Sec-Fetch-Site: same-site"],
        &[&kept, &good, "Sec-Fetch-Site: cross-site"],
        &[&kept, &good, "Origin: https://evil.example"],
        &[&kept, "Origin: null"],
        &[&kept, "Origin: http://id.example", nobody, "Origin: http://id.example"],
        &[&kept, "Referer: http://id.example/", nobody],
    ];
    for lines in refused {
        // Each route that changes something of a session's own.
        for (method, path) in [
            ("POST", "/logout"),
            ("DELETE", "/sessions"),
            ("DELETE", "/sessions?except=current"),
            ("DELETE", "/sessions/x"),
        ] {
            let answer = issuer.send(method, path, lines, b"");
            assert_eq!(answer.status, 403, "{method} {path} {lines:?}: {answer:?}");
            assert_eq!(text(&answer.json(), "error"), "access_denied");
            assert_eq!(answer.count("set-cookie"), 0, "nor is anybody logged out: {answer:?}");
        }
        // What changes nothing needs no proof.
        assert_eq!(issuer.send("GET", "/sessions", lines, b"").status, 200, "{lines:?}");
    }
    assert_eq!(issuer.check(&jar.token), 200, "it lives");
    for proof in [&good, "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: none", &own(&issuer)] {
        let one = Jar::of(&issuer);
        let (kept, good) = (one.line(Some(&one.csrf)), header(&one.csrf));
        let proof = if proof.starts_with("X-") { &good } else { proof };
        let ended = issuer.send("POST", "/logout", &[&kept, proof], b"");
        assert_eq!(ended.status, 200, "{proof}: {ended:?}");
        assert_eq!(issuer.check(&one.token), 401, "{proof}");
        let (value, attributes) = set_cookie(&ended, "__Host-csrf_token").expect("it goes too");
        assert!(value.is_empty() && attributes.contains("Max-Age=0"), "{attributes}");
    }
}

#[test]
fn a_bearer_token_needs_no_proof_since_no_browser_adds_it() {
    let (_realm, issuer, _) = start(Realm::issuing().with("TOKEN_COOKIES", "host"));
    let jar = Jar::of(&issuer);
    let lines = [&*bearer(&jar.token), "Sec-Fetch-Site: cross-site"];
    assert_eq!(issuer.send("POST", "/logout", &lines, b"").status, 200);
}

#[test]
fn a_token_comes_with_each_login_and_whenever_it_is_asked_for() {
    let (_realm, issuer, _) = start(Realm::issuing().with("TOKEN_COOKIES", "host"));
    let login = issuer.by_password(ALICE.0, ALICE.1, &[]);
    let (_, attributes) = set_cookie(&login, "__Host-csrf_token").expect("a cookie");
    assert_eq!(attributes, "Path=/; Secure; SameSite=Strict", "scripts of our pages read it");
    let jar = Jar::of(&issuer);
    let asked = issuer.send("GET", "/csrf", &[&jar.line(None)], b"");
    let token = text(&asked.json(), "csrf_token").to_owned();
    assert_eq!(set_cookie(&asked, "__Host-csrf_token").expect("a cookie").0, token);
    assert_ne!(token, jar.csrf);
    let lines = [jar.line(Some(&token)), format!("X-CSRF-Token: {token}")];
    let ended = issuer.send("POST", "/logout", &[&lines[0], &lines[1]], b"");
    assert_eq!(ended.status, 200);
    for cookies in
        [jar.line(None), "Cookie: __Host-user_id=alice".to_owned(), "X-Nothing: at all".to_owned()]
    {
        assert_eq!(issuer.send("GET", "/csrf", &[&cookies], b"").status, 401, "{cookies}");
    }

    // The next access token of the session has its own.
    let first = issuer.by_password(ALICE.0, ALICE.1, &[]);
    let next = issuer.by_refresh(text(&first.json(), "refresh_token"), &[]);
    let of = |answer: &Response, name: &str| set_cookie(answer, name).expect("a cookie").0;
    let cookies = |csrf: &str| {
        let token = of(&next, "__Host-access_token");
        let user = of(&next, "__Host-user_id");
        format!(
            "Cookie: __Host-user_id={user}; __Host-access_token={token}; __Host-csrf_token={csrf}"
        )
    };
    for (csrf, status) in
        [(of(&first, "__Host-csrf_token"), 403), (of(&next, "__Host-csrf_token"), 200)]
    {
        let lines = [cookies(&csrf), format!("X-CSRF-Token: {csrf}")];
        assert_eq!(issuer.send("POST", "/logout", &[&lines[0], &lines[1]], b"").status, status);
    }
}

#[test]
fn tp_auths_names_are_protected_as_well_and_pages_that_may_call_with_cookies_are_let_in() {
    let realm = Realm::issuing()
        .with("TOKEN_COOKIES", "tp-auth")
        .with("CORS_URLS", "https://app.example")
        .with("CORS_ALLOW_CREDENTIALS", "true");
    let (_realm, issuer, _) = start(realm);
    let login = issuer.by_password(ALICE.0, ALICE.1, &[]);
    let of = |name: &str| format!("{name}={}", set_cookie(&login, name).expect("a cookie").0);
    let line = format!("Cookie: {}; {}; {}", of("user_id"), of("access_token"), of("csrf_token"));
    for (proof, status) in [
        ("X-Nothing: at all", 403),
        ("Origin: https://other.example", 403),
        ("Origin: https://app.example", 200),
    ] {
        let answer = issuer.send("DELETE", "/sessions?except=current", &[&line, proof], b"");
        assert_eq!(answer.status, status, "{proof}: {answer:?}");
    }
}

#[test]
fn our_own_origin_is_that_of_public_url_whatever_host_the_gateway_asks() {
    let realm = Realm::issuing().with("TOKEN_COOKIES", "host").without("ISSUER");
    let (_realm, issuer, _) = start(realm.with("PUBLIC_URL", "https://id.example/auth"));
    for (host, origin, status) in [
        ("127.0.0.1", "https://id.example", 200),
        ("id.example", "http://id.example", 403),
        ("other.example", "https://other.example", 200),
        ("127.0.0.1", "https://other.example", 403),
    ] {
        let jar = Jar::of(&issuer);
        let lines = [jar.line(None), format!("Host: {host}"), format!("Origin: {origin}")];
        let lines = lines.each_ref().map(String::as_str);
        let answer = issuer.send("DELETE", "/sessions?except=current", &lines, b"");
        assert_eq!(answer.status, status, "{host} {origin}: {answer:?}");
    }
}
