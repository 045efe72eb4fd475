//! The redirect to the login page, as the gate answers each kind of gateway, and as it is configured.

use portcullis::{
    clock::UnixTime,
    gate::Dialect,
    policy::{
        canonical::Told,
        return_address::{ReturnAddress, ReturnAddresses, ReturnRefusal},
    },
    secret::Secret,
};

use crate::support::{
    gate::Gate,
    http::{self, Response, request},
    realm::Realm,
};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The answer to a gateway's question about a browser that opens a page.
fn asked(gate: &Gate, dialect: Dialect, url: &str) -> Response {
    let told = Told::of_url("GET", url).expect("a URL");
    let question = dialect.question(&told, &[]).expect("a question");
    let headers = question.headers().iter();
    let mut lines: Vec<String> =
        headers.map(|(name, value)| format!("{name}: {}", value.to_str().expect("text"))).collect();
    lines.push("Accept: text/html".to_owned());
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let target = question.uri().to_string();
    http::Client::connect(gate.address).exchange(request(
        question.method().as_str(),
        &target,
        &lines,
        b"",
    ))
}

#[test]
fn each_gateway_gets_the_redirect_in_the_form_that_it_hands_on() {
    let realm = Realm::new()
        .with("LOGIN_URL", "https://login.test/")
        .with("RETURN_HOSTS", "app.test")
        .with("MISSING_CREDENTIALS_STATUS", "403");
    let gate = realm.gate();
    for dialect in Dialect::ALL {
        let name = dialect.name();
        let response = asked(&gate, dialect, "https://app.test/a?b");
        let is_for_nginx = matches!(dialect, Dialect::Nginx | Dialect::Ingress);
        assert_eq!(response.status, if is_for_nginx { 401 } else { 302 }, "{name}: {response:?}");
        let location = response.header("location");
        assert_eq!(
            location,
            Some("https://login.test/?rd=https%3A%2F%2Fapp.test%2Fa%3Fb"),
            "{name}"
        );
        assert_eq!(response.header("cache-control"), Some("no-store"), "{name}");
        assert!(response.header("vary").is_some_and(|it| it.contains("sec-fetch-mode")), "{name}");
        assert_eq!(response.header("www-authenticate").is_some(), is_for_nginx, "{name}");
        assert_eq!(response.body, b"", "{name}");
        let other = asked(&gate, dialect, "https://other.test/a");
        assert_eq!((other.status, other.header("location")), (403, None), "{name}: {other:?}");
    }
    gate.wait_for_log("missing_credentials");
}

#[test]
fn a_signed_way_back_is_checked_by_the_same_secret() {
    let realm = Realm::new()
        .with("LOGIN_URL", "https://login.test/")
        .with("RETURN_HOSTS", "any.test")
        .with("RETURN_SECRET", SECRET);
    let gate = realm.gate();
    let response = asked(&gate, Dialect::Traefik, "https://any.test/a?b");
    let location = response.header("location").expect("a redirect").to_owned();
    let (_, query) = location.split_once('?').expect("a query");
    let address = ReturnAddress::from_query(query).expect("an address");
    assert_eq!(address.url, "https://any.test/a?b");
    let ours = ReturnAddresses::new(Vec::new(), Some(&Secret::new(SECRET))).expect("a rule");
    let expires = address.signature.as_ref().expect("a signature").expires;
    let before = expires.before(std::time::Duration::from_secs(1));
    assert_eq!(ours.check(&address, before), Ok(()));
    assert_eq!(ours.check(&address, expires), Err(ReturnRefusal::Expired));
    let forged = ReturnAddress { url: "https://evil.test/".to_owned(), ..address };
    assert_eq!(ours.check(&forged, UnixTime::EPOCH), Err(ReturnRefusal::BadSignature));
    let evil = asked(&gate, Dialect::Traefik, "https://evil.test/");
    assert_eq!((evil.status, evil.header("location")), (401, None), "nothing is signed for it");
    assert!(!location.contains(SECRET) && !gate.log().contains(SECRET));
}

#[test]
fn explain_shows_the_redirect() {
    let realm =
        Realm::new().with("LOGIN_URL", "https://login.test/").with("RETURN_HOSTS", "app.test");
    let arguments = ["explain", "--json", "--url", "https://app.test/a", "--dialect", "traefik"];
    let plain = realm.exits(1, &arguments, "").json();
    assert_eq!(plain["status"], 401, "{plain}");
    assert!(
        plain["notes"].to_string().contains("nothing says that a person opens a page"),
        "{plain}"
    );
    let of_browser = [&arguments[..], &["--header", "Accept: text/html"]].concat();
    let shown = realm.exits(1, &of_browser, "").json();
    assert_eq!(shown["status"], 302, "{shown}");
    assert!(
        shown.to_string().contains("https://login.test/?rd=https%3A%2F%2Fapp.test%2Fa"),
        "{shown}"
    );
}

#[test]
fn a_login_page_without_a_rule_for_the_way_back_is_a_mistake() {
    let bare = Realm::new().with("LOGIN_URL", "https://login.test/");
    for realm in
        [bare.with("RETURN_SECRET", SECRET), Realm::new().with("LOGIN_URL", "https://a.test/")]
    {
        let errors = realm.exits(64, &["check-config"], "").errors;
        assert!(errors.contains("set RETURN_HOSTS"), "{errors}");
    }
    for (name, value, problem) in [
        ("LOGIN_URL", "http://login.test/", "https, or http to this host itself"),
        ("RETURN_HOSTS", "*.example.org", "write a host such as"),
        ("RETURN_HOSTS", ".org", "holds everybody below .org"),
        ("RETURN_SECRET", "short", "is shorter than 32 bytes"),
    ] {
        let realm = Realm::new()
            .with("LOGIN_URL", "https://login.test/")
            .with("RETURN_HOSTS", "app.test")
            .with(name, value);
        let errors = realm.exits(64, &["check-config"], "").errors;
        assert!(errors.contains(problem), "{name}: {errors}");
    }
    let alone =
        Realm::new().with("RETURN_HOSTS", "app.test").exits(0, &["check-config"], "").errors;
    assert!(alone.contains("has no effect without LOGIN_URL"), "{alone}");
}
