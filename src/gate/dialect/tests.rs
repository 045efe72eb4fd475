//! Which path is whose, and what of it is the client's.

use http::Request;

use super::*;
use crate::gate::denial::DenialCode;
use crate::policy::canonical::canonical;

#[test]
fn a_path_names_one_gateway_to_the_letter() {
    for (path, name) in [
        ("/validate_request", Some("nginx")),
        ("/validate_request/traefik", Some("traefik")),
        ("/validate_request/ingress", Some("ingress")),
        ("/validate_request/caddy", Some("caddy")),
        ("/validate_request/caddy,scope=a", Some("caddy")),
        ("/validate_request/haproxy,", Some("haproxy")),
        ("/validate_request/envoy/", Some("envoy")),
        ("/validate_request/envoy/a/b", Some("envoy")),
        ("/validate_request/envoy,scope=a/caddy", Some("envoy")),
        ("/validate_request/envoy//", Some("envoy")),
        ("/validate_request/envoy", None),
        ("/validate_request/envoy,scope=a", None),
        ("/validate_request/nginx", None),
        ("/validate_request/", None),
        ("/validate_request,scope=a", None),
        ("/validate_request/traefik,scope=a", None),
        ("/validate_request/traefik/", None),
        ("/validate_request/caddy/a", None),
        ("/validate_request/Caddy", None),
        ("/validate_request/caddyy", None),
        ("/validate_requests", None),
        ("/", None),
        ("", None),
    ] {
        let found = Endpoint::at(path).map(|endpoint| endpoint.dialect.name());
        assert_eq!(found, name, "{path}");
    }
    for dialect in Dialect::ALL {
        let path = dialect.path() + if dialect.appends_path() { "/" } else { "" };
        assert_eq!(Endpoint::at(&path).map(|endpoint| endpoint.dialect), Some(dialect));
        assert_eq!(Dialect::named(dialect.name()), Some(dialect));
    }
}

fn read<T>(path: &str, then: impl FnOnce(Inquiry<'_>) -> T) -> T {
    let request = Request::put(path).header("Host", "app.test").body(()).unwrap().into_parts().0;
    then(Endpoint::at(request.uri.path()).expect(path).read(&(&request).into()))
}

#[test]
fn demands_are_read_where_no_client_writes() {
    let one = requirement::from_query(Some("scope=a"));
    let unknown = Err(DenialCode::UnknownRequirement);
    for (path, expected) in [
        ("/validate_request?scope=a", &one),
        ("/validate_request/traefik?scope=a", &one),
        ("/validate_request/traefik?role=a", &unknown),
        ("/validate_request/caddy,scope=a", &one),
        ("/validate_request/caddy,scope=a?scope=b&x", &one),
        ("/validate_request/caddy,role=a", &unknown),
        ("/validate_request/haproxy,scope=%61", &one),
        ("/validate_request/envoy,scope=a/users,scope=b?scope=c", &one),
    ] {
        read(path, |inquiry| assert_eq!(inquiry.requirement, *expected, "{path}"));
    }
    for path in ["/validate_request/caddy?scope=a", "/validate_request/envoy/a,scope=b?role=c"] {
        read(path, |inquiry| assert!(inquiry.requirement.unwrap().is_empty(), "{path}"));
    }
}

#[test]
fn what_is_appended_is_the_clients_request_to_the_letter() {
    for (path, target) in [
        ("/validate_request/envoy/", "/"),
        ("/validate_request/envoy/a/b?c=d?e", "/a/b?c=d?e"),
        ("/validate_request/envoy,scope=a/a%2Fb/..//c", "/a%2Fb/..//c"),
        ("/validate_request/envoy/validate_request/envoy/x", "/validate_request/envoy/x"),
        ("/validate_request/envoy/?", "/?"),
    ] {
        read(path, |inquiry| {
            let line = inquiry.line;
            let told = (line.method, line.host, line.target);
            assert_eq!(told, (Some("PUT"), Some("app.test"), Some(target)), "{path}");
        });
    }
}

#[test]
fn an_address_can_be_read_again() {
    let scopes = ["a".to_owned(), "b:c".to_owned()];
    for dialect in Dialect::ALL {
        let path = if dialect.appends_path() { "/x" } else { "" };
        let address = dialect.address(&scopes) + path;
        let expected = requirement::from_query(Some("scope=a&scope=b:c"));
        read(&address, |inquiry| assert_eq!(inquiry.requirement, expected, "{address}"));
    }
}

#[test]
fn a_question_tells_the_request_that_was_asked_about() {
    let told = Told {
        method: Some("PUT"),
        scheme: Some("https"),
        host: Some("app.test:8443"),
        target: Some("/a%20b?c=/d"),
        client: None,
    };
    let expected = canonical(&told).unwrap();
    for dialect in Dialect::ALL {
        let question = dialect.question(&told, &["x".to_owned()]).unwrap().into_parts().0;
        let endpoint = Endpoint::at(question.uri.path()).expect("an endpoint");
        let inquiry = endpoint.read(&(&question).into());
        assert_eq!(canonical(&inquiry.told().unwrap()), Ok(expected.clone()), "{dialect:?}");
        assert_eq!(
            inquiry.path(),
            Some(if dialect == Dialect::Ingress {
                "https://app.test:8443/a%20b"
            } else {
                "/a%20b"
            })
        );
        assert!(!inquiry.requirement.unwrap().is_empty(), "{dialect:?}");
    }
}

/// Status, `WWW-Authenticate` and `Retry-After` of a denial.
fn told(dialect: Dialect, denial: Denial, accepts_basic: bool) -> (u16, String, String) {
    let config = DenialConfig {
        missing_credentials: StatusCode::UNAUTHORIZED,
        realm: "app".to_owned(),
        accepts_basic,
    };
    let answer = dialect.render(&Verdict::Deny(denial), &config);
    let text = |name| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (challenge, wait) = (text(WWW_AUTHENTICATE), text(RETRY_AFTER));
    (answer.status().as_u16(), challenge.unwrap_or_default(), wait.unwrap_or_default())
}

#[test]
fn a_password_is_asked_for_where_it_would_help() {
    const BASIC: &str = "Basic realm=\"app\", charset=\"UTF-8\"";
    for (code, is_asked) in [
        (DenialCode::MissingCredentials, true),
        (DenialCode::WrongPassword, true),
        (DenialCode::TokenExpired, true),
        (DenialCode::InsufficientScope, false),
        (DenialCode::LoginTooOld, false),
        (DenialCode::NoRoute, false),
        (DenialCode::StoreUnavailable, false),
    ] {
        for dialect in Dialect::ALL {
            let (_, challenge, _) = told(dialect, code.into(), true);
            assert_eq!(challenge.ends_with(BASIC), is_asked, "{code:?} {challenge}");
            let (_, challenge, _) = told(dialect, code.into(), false);
            assert!(!challenge.contains("Basic"), "{code:?} {challenge}");
        }
    }
    let (_, challenge, _) = told(Dialect::Nginx, DenialCode::WrongPassword.into(), true);
    assert_eq!(challenge, format!("Bearer realm=\"app\", {BASIC}"), "it is no bad token");
}

#[test]
fn too_many_tries_are_429_where_the_gateway_relays_it() {
    for dialect in Dialect::ALL {
        let denial = Denial { retry_after: Some(7), ..DenialCode::TooManyAttempts.into() };
        let status = if dialect.gateway().shows_answer { 429 } else { 403 };
        let expected = (status, String::new(), "7".to_owned());
        assert_eq!(told(dialect, denial, true), expected, "{dialect:?}");
    }
}
