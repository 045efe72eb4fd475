//! Which denials become redirects, and where these lead.

use http::HeaderName;

use super::*;
use crate::gate::Dialect;
use crate::gate::denial::DenialCode;
use crate::policy::canonical::Told;
use crate::policy::return_address::ReturnHost;

const NOW: UnixTime = UnixTime::from_secs(1_000_000);
const NAVIGATION: &[&str] =
    &["Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Fetch-Site: none"];
const OLD_BROWSER: &[&str] = &["Accept: text/html,application/xhtml+xml,*/*;q=0.8"];

fn page() -> LoginPage {
    let hosts = vec![ReturnHost::parse("app.test").unwrap()];
    let url = Url::parse("https://login.test/start?lang=de").unwrap();
    LoginPage::new(url, ReturnAddresses::new(hosts, None).unwrap())
}

fn location(
    page: &LoginPage,
    method: &str,
    url: &str,
    lines: &[&str],
    denial: impl Into<Denial>,
) -> Option<String> {
    let told = Told::of_url(method, url).unwrap();
    let mut request = Dialect::Nginx.question(&told, &[]).unwrap().into_parts().0;
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        let name: HeaderName = name.parse().unwrap();
        request.headers.append(name, value.parse().unwrap());
    }
    let inquiry = Dialect::Nginx.read(&request);
    let location = page.location(&inquiry, &denial.into(), NOW).ok()?;
    Some(location.to_str().unwrap().to_owned())
}

fn leads_to_login(lines: &[&str]) -> bool {
    location(&page(), "GET", "https://app.test/", lines, DenialCode::MissingCredentials).is_some()
}

#[test]
fn whoever_opens_a_page_is_led_to_the_login_page() {
    for lines in [
        NAVIGATION,
        OLD_BROWSER,
        &["Accept: text/html"],
        &["Accept: image/png, TEXT/HTML ; q=0.9"],
        &["Accept: */*", "Accept: text/html"],
        // A browser that sends a password by itself, and says what it does.
        &["Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Authorization: Basic x"],
    ] {
        assert!(leads_to_login(lines), "{lines:?}");
    }
}

#[test]
fn scripts_programs_and_frames_are_not() {
    for lines in [
        &[][..],
        &["Accept: */*"],
        &["Accept: application/json"],
        &["Accept: text/*"],
        &["Accept: text/htmlx"],
        &["Accept: application/json; as=text/html"],
        &["Accept: text/html", "X-Requested-With: XMLHttpRequest"],
        &["Accept: text/html", "Authorization: Bearer x"],
        &["Accept: text/html", "Upgrade: websocket"],
        &["Accept: text/html", "Content-Type: application/grpc"],
        &["Accept: text/html", "Content-Type: application/grpc-web+proto"],
        &["Accept: text/html", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"],
        &["Accept: text/html", "Sec-Fetch-Mode: navigate"],
        &["Accept: text/html", "Sec-Fetch-Dest: document"],
        &["Accept: text/html", "Sec-Fetch-Site: same-origin"],
        &["Accept: text/html", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"],
        &["Accept: text/html", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"],
        &["Accept: text/html", "Sec-Fetch-Mode: websocket", "Sec-Fetch-Dest: websocket"],
        &["Sec-Fetch-Mode: navigate", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: document"],
        &["Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Upgrade: websocket"],
    ] {
        assert!(!leads_to_login(lines), "{lines:?}");
    }
}

#[test]
fn only_what_a_login_can_mend_leads_there() {
    for code in DenialCode::ALL.iter().copied() {
        let found = location(&page(), "GET", "https://app.test/", NAVIGATION, code);
        let status_401 = matches!(
            code.class(),
            Class::NoCredentials | Class::BadCredentials | Class::BadProof | Class::LoginAgain
        );
        assert_eq!(found.is_some(), status_401, "{code:?}");
    }
}

#[test]
fn the_way_back_is_the_page_that_was_asked_for() {
    let to = |method: &str, url: &str| {
        location(&page(), method, url, NAVIGATION, DenialCode::TokenExpired)
    };
    let start = "https://login.test/start?lang=de&rd=https%3A%2F%2Fapp.test";
    for (url, back) in [
        ("https://app.test/", "%2F"),
        ("https://APP.test:443/a%62?c=d&rd=//evil.test", "%2Fab%3Fc%3Dd%26rd%3D%2F%2Fevil.test"),
        ("https://app.test/caf%c3%a9", "%2Fcaf%25C3%25A9"),
    ] {
        assert_eq!(to("GET", url), Some(format!("{start}{back}")), "{url}");
        assert_eq!(to("HEAD", url), Some(format!("{start}{back}")), "{url}");
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "get"] {
            assert_eq!(to(method, url), None, "{method}");
        }
    }
    for url in [
        "http://app.test/",
        "https://other.test/",
        "https://app.test.evil.test/",
        "https://app.test:8443/",
        "https://app.test//evil.test",
        "https://app.test/../x",
        "https://evil.test\\@app.test/",
        "https://user@app.test/",
    ] {
        assert_eq!(to("GET", url), None, "{url}");
    }
}

#[test]
fn a_login_that_is_too_old_says_how_new_it_must_be() {
    let denial = Denial { max_age: Some(300), ..DenialCode::LoginTooOld.into() };
    let found = location(&page(), "GET", "https://app.test/", NAVIGATION, denial).unwrap();
    assert!(found.ends_with("&max_age=300"), "{found}");
}

#[test]
fn the_login_page_does_not_lead_to_itself() {
    let hosts = vec![ReturnHost::parse("login.test").unwrap()];
    let url = Url::parse("https://login.test/start").unwrap();
    let page = LoginPage::new(url, ReturnAddresses::new(hosts, None).unwrap());
    let to = |url: &str| location(&page, "GET", url, NAVIGATION, DenialCode::MissingCredentials);
    assert_eq!(to("https://login.test/start?rd=x"), None);
    assert!(to("https://login.test/other").is_some());
}

#[test]
fn what_the_gateway_did_not_tell_leads_nowhere() {
    let denial = Denial::from(DenialCode::MissingCredentials);
    let told = Told::of_url("GET", "https://app.test/").unwrap();
    for (missing, refusal) in [
        (Told { method: None, ..told }, Refusal::MissingMethod),
        (Told { scheme: None, ..told }, Refusal::MissingScheme),
        (Told { host: None, ..told }, Refusal::MissingHost),
        (Told { target: None, ..told }, Refusal::MissingTarget),
    ] {
        let mut request = Dialect::Nginx.question(&missing, &[]).unwrap().into_parts().0;
        request.headers.insert(ACCEPT, HeaderValue::from_static("text/html"));
        let inquiry = Dialect::Nginx.read(&request);
        let found = page().location(&inquiry, &denial, NOW);
        assert_eq!(found, Err(NotRedirected::Unclear(refusal)), "{missing:?}");
    }
}
