//! Names that clients and browsers go by: one of the issuer, credentials that are empty, cookies that are over.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::{
    http::{self, Response, bearer},
    issuer::{ALICE, DEMO, Issuer},
    realm::Realm,
    tokens,
};

const METADATA: &str = "/.well-known/oauth-authorization-server";
const PASSWORD: [(&str, &str); 3] =
    [("grant_type", "password"), ("username", ALICE.0), ("password", ALICE.1)];

fn basic(text: &str) -> String {
    format!("Authorization: Basic {}", STANDARD.encode(text))
}

fn cookies(response: &Response) -> Vec<&str> {
    let set = response.headers.iter().filter(|(name, _)| name == "set-cookie");
    set.map(|(_, value)| value.as_str()).collect()
}

#[test]
fn metadata_and_tokens_name_one_issuer_to_the_letter() {
    let usual = || Realm::issuing().without("ISSUER");
    let listen = |realm: &Realm| {
        let at = realm.setting("ISSUER_LISTEN").expect("an address");
        format!("http://{at}")
    };
    let plain = usual();
    let at = listen(&plain);
    for (realm, issuer, endpoint) in [
        (plain, at.clone(), format!("{at}/token")),
        (
            usual().with("ISSUER", "https://id.example/"),
            "https://id.example/".into(),
            "https://id.example/token".into(),
        ),
        (
            usual().with("PUBLIC_URL", "https://id.example/x/"),
            "https://id.example/x/".into(),
            "https://id.example/x/token".into(),
        ),
        (
            usual().with("ISSUER", "prismaticain").with("PUBLIC_URL", "https://id.example"),
            "prismaticain".to_owned(),
            "https://id.example/token".to_owned(),
        ),
    ] {
        realm.add_user(ALICE.0, ALICE.1, &["user:read"]);
        let server = Issuer::start(&realm);
        let metadata = http::get(server.public, METADATA, &[]).json();
        let login = server.log_in();
        let token = login["access_token"].as_str().expect("a token");
        let claims = tokens::claims(token);
        assert_eq!(metadata["issuer"], issuer);
        assert_eq!((&claims["iss"], &claims["aud"]), (&metadata["issuer"], &metadata["issuer"]));
        assert_eq!(metadata["token_endpoint"], endpoint);
        assert_eq!(server.check(token), 200, "{issuer}: the gate beside it");
        assert_eq!(server.send("GET", "/sessions", &[&bearer(token)], b"").status, 200);
    }
}

#[test]
fn an_issuer_with_a_path_is_found_in_the_form_of_the_rfc() {
    let realm = Realm::issuing().with("ISSUER", "https://example.com/tenant/one/");
    let issuer = Issuer::start(&realm);
    let metadata = http::get(issuer.public, METADATA, &[]);
    assert_eq!(metadata.json()["issuer"], "https://example.com/tenant/one/");
    assert_eq!(metadata.json()["jwks_uri"], "https://example.com/tenant/one/jwks");
    let found = http::get(issuer.public, &format!("{METADATA}/tenant/one"), &[]);
    assert_eq!((found.status, found.json()), (200, metadata.json()));
    for other in ["/tenant", "/tenant/one/two", "/other", "/"] {
        let path = format!("{METADATA}{other}");
        assert_eq!(http::get(issuer.public, &path, &[]).status, 404, "{path}");
    }
}

#[test]
fn credentials_that_are_empty_are_credentials_that_are_wrong() {
    let realm = Realm::issuing();
    realm.with_alice_and_demo();
    let issuer = Issuer::start(&realm);
    for header in ["Authorization: Basic", "Authorization: basic  ", &basic(""), &basic(":")] {
        let refused = issuer.form("/token", &PASSWORD, &[header]);
        assert_eq!(refused.status, 401, "{header}");
        assert_eq!(refused.json()["error"], "invalid_client", "{header}");
        let scheme = refused.header("www-authenticate").expect("a scheme").to_owned();
        assert!(scheme.starts_with("Basic "), "{header}: {scheme}");
    }
    for (lines, challenge, error) in [
        (&[][..], "Bearer realm=\"portcullis\"", "missing_credentials"),
        (&["Authorization: Basic x"], "Bearer realm=\"portcullis\"", "missing_credentials"),
        (
            &["Authorization: Bearer"],
            "Bearer realm=\"portcullis\", error=\"invalid_token\"",
            "invalid_token",
        ),
        (
            &["Authorization: Bearer x"],
            "Bearer realm=\"portcullis\", error=\"invalid_token\"",
            "invalid_token",
        ),
    ] {
        for (method, path) in [("GET", "/sessions"), ("DELETE", "/sessions"), ("POST", "/logout")] {
            let refused = issuer.send(method, path, lines, b"");
            assert_eq!(refused.status, 401, "{method} {path} {lines:?}");
            assert_eq!(refused.header("www-authenticate"), Some(challenge), "{lines:?}");
            assert_eq!(refused.json()["error"], error, "{lines:?}");
        }
    }
}

#[test]
fn an_empty_secret_in_the_header_is_as_good_as_none() {
    let realm = Realm::issuing();
    realm.with_alice_and_demo();
    realm.add_client("spa", &["--public"]);
    let issuer = Issuer::start(&realm);
    let by_header = issuer.form("/token", &PASSWORD, &[&basic("spa:")]);
    assert_eq!(by_header.status, 200, "{}", by_header.text());
    let claims = tokens::claims(by_header.json()["access_token"].as_str().expect("a token"));
    assert_eq!(claims["client_id"], "spa");
    let by_form = [&PASSWORD[..], &[("client_id", "spa"), ("client_secret", "")]].concat();
    assert_eq!(issuer.form("/token", &by_form, &[]).status, 200);
    for client in [DEMO, "nobody"] {
        let refused = issuer.form("/token", &PASSWORD, &[&basic(&format!("{client}:"))]);
        assert_eq!(
            (refused.status, refused.json()["error"].as_str()),
            (401, Some("invalid_client"))
        );
        assert!(refused.header("www-authenticate").is_some_and(|it| it.starts_with("Basic ")));
    }
}

#[test]
fn cookies_of_a_session_that_is_over_are_cleared() {
    let realm = Realm::issuing().with("TOKEN_COOKIES", "host");
    realm.with_alice_and_demo();
    let issuer = Issuer::start(&realm);
    let log_in = || {
        let login = issuer.form("/token", &PASSWORD, &[]);
        let pair =
            cookies(&login).iter().filter_map(|set| set.split(';').next()).collect::<Vec<_>>();
        (format!("Cookie: {}", pair.join("; ")), login.json())
    };
    let are_cleared = |answer: &Response| {
        let set = cookies(answer);
        set.len() == 3 && set.iter().all(|cookie| cookie.contains("Max-Age=0"))
    };
    let (line, login) = log_in();
    let sid = tokens::claims(login["access_token"].as_str().expect("a token"))["sid"].clone();
    let own = format!("/sessions/{}", sid.as_str().expect("a session"));
    const OWN_PAGE: &str = "Sec-Fetch-Site: same-origin";
    let ended = issuer.send("DELETE", &own, &[&line, OWN_PAGE], b"");
    assert!(ended.status == 200 && are_cleared(&ended), "{ended:?}");
    for (method, path) in [("POST", "/logout"), ("DELETE", "/sessions")] {
        let over = issuer.send(method, path, &[&line, OWN_PAGE], b"");
        assert!(over.status == 401 && are_cleared(&over), "{method} {path}: {over:?}");
        let none = issuer.send(method, path, &[OWN_PAGE], b"");
        assert!(none.status == 401 && are_cleared(&none), "{method} {path}: {none:?}");
        // Another site's page must not log its visitor out.
        for lines in
            [&[line.as_str(), "Sec-Fetch-Site: cross-site"][..], &["Origin: https://evil.example"]]
        {
            let evil = issuer.send(method, path, lines, b"");
            assert!(matches!(evil.status, 401 | 403) && cookies(&evil).is_empty(), "{evil:?}");
        }
    }
    let kept = issuer.send("DELETE", "/sessions?except=current", &[&line, OWN_PAGE], b"");
    assert!(kept.status == 401 && cookies(&kept).is_empty(), "{kept:?}");
}
