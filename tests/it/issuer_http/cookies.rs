//! Handles and cookies: no JWT leaves, and no other site logs anybody in or out.

use super::start;
use crate::support::{
    http,
    issuer::{ALICE, DEMO, Issuer, text},
    realm::Realm,
};

#[test]
fn a_handle_stands_for_a_token_that_never_leaves() {
    let realm = Realm::issuing()
        .with("TOKEN_MODE", "opaque")
        .with("TOKEN_COOKIES", "tp-auth")
        .with("UPSTREAM_JWT_HEADER", "X-Auth-Token");
    let secret = realm.with_alice_and_demo();
    // The gate signs for the app here, so it is given the private key too.
    let issuer = Issuer::start(&realm);
    let answer = issuer.by_password(ALICE.0, ALICE.1, &[]);
    let login = answer.json();
    let handle = text(&login, "access_token").to_owned();
    assert_eq!(handle.len(), 43);
    assert!(!answer.text().contains("eyJ"), "no JWT in {}", answer.text());
    let cookies: Vec<&str> = answer
        .headers
        .iter()
        .filter(|(name, _)| name == "set-cookie")
        .map(|(_, value)| value.as_str())
        .collect();
    // The id of the device stays for a year, and is no part of the pair.
    let (device, cookies): (Vec<&str>, Vec<&str>) =
        cookies.iter().partition(|cookie| cookie.starts_with("device_id="));
    // Nor is the token against forged requests, which scripts may read.
    let (csrf, cookies): (Vec<&str>, Vec<&str>) =
        cookies.iter().partition(|cookie| cookie.starts_with("csrf_token="));
    assert_eq!((device.len(), csrf.len(), cookies.len()), (1, 1, 2), "{cookies:?}");
    for cookie in &cookies {
        assert!(cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Strict"), "{cookie}");
    }
    let by_handle = issuer.gate.check(&handle);
    assert_eq!(by_handle.status, 200);
    assert!(by_handle.header("x-auth-token").is_some_and(|it| it.starts_with("eyJ")));
    let pair: Vec<&str> = cookies.iter().filter_map(|cookie| cookie.split(';').next()).collect();
    let line = format!("Cookie: {}", pair.join("; "));
    let by_cookies = http::get(issuer.gate.address, "/validate_request", &[&line]);
    assert_eq!(by_cookies.status, 200);
    let alone = format!("Cookie: {}", pair[1]);
    assert_eq!(http::get(issuer.gate.address, "/validate_request", &[&alone]).status, 401);

    let evil = [line.as_str(), "Sec-Fetch-Site: cross-site"];
    assert_eq!(issuer.send("POST", "/logout", &evil, b"").status, 403);
    assert_eq!(issuer.gate.check(&handle).status, 200);
    let asked = [("token", handle.as_str()), ("client_id", DEMO), ("client_secret", &secret)];
    let known = issuer.form("/introspect", &asked, &[]);
    assert_eq!(known.json()["username"], ALICE.0);
    let logout = issuer.send("POST", "/logout", &[&line, "Sec-Fetch-Site: same-origin"], b"");
    assert_eq!(logout.status, 200);
    assert!(
        logout
            .headers
            .iter()
            .any(|(name, value)| name == "set-cookie" && value.contains("Max-Age=0"))
    );
    assert_eq!(issuer.gate.check(&handle).status, 401);
}

#[test]
fn another_sites_page_cannot_log_its_visitor_in() {
    let (_realm, issuer, _) = start(Realm::issuing().with("TOKEN_COOKIES", "host"));
    let form = [("grant_type", "password"), ("username", ALICE.0), ("password", ALICE.1)];
    for (line, status) in [
        ("Sec-Fetch-Site: cross-site", 403),
        ("Origin: https://evil.example", 403),
        ("Sec-Fetch-Site: same-origin", 200),
        ("X-Nothing: else", 200),
    ] {
        let answer = issuer.form("/token", &form, &[line]);
        assert_eq!(answer.status, status, "{line}");
        assert_eq!(answer.header("set-cookie").is_some(), status == 200, "{line}");
    }
}
