//! Whom the roles restrict, and what counts as reading.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderName, HeaderValue, Request};
use serde_json::{Value, json};

use super::*;
use crate::clock::UnixTime;
use crate::gate::Dialect;
use crate::gate::identity::IdentityHeaders;
use crate::session::{SessionId, UserId};
use crate::token::Claims;

fn restricting(names: &[&str]) -> ReadOnlyRoles {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    ReadOnlyRoles::new(names, IdentityHeaders::default().roles())
}

fn token(claims: &Value) -> Verified {
    let claims = Claims::parse(claims.to_string().as_bytes()).unwrap();
    Verified {
        subject: "alice".to_owned(),
        scopes: claims.scopes().unwrap(),
        claims,
        session: None,
        issuer: Arc::default(),
        signature: None,
        usable_from: UnixTime::EPOCH,
        usable_until: UnixTime::from_secs(9),
    }
}

fn session(claims: Value) -> Session {
    let (id, user) = (SessionId::parse("s").unwrap(), UserId::parse("alice").unwrap());
    let Value::Object(claims) = claims else { panic!("no object") };
    Session { claims, ..Session::new(id, user, UnixTime::EPOCH, UnixTime::from_secs(9)) }
}

fn asked(lines: &[(&str, &str)]) -> Parts {
    let mut request = Request::get("/validate_request").body(()).unwrap();
    for (name, value) in lines {
        let name: HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
    }
    request.into_parts().0
}

fn code(
    roles: &ReadOnlyRoles,
    (token, session): (&Verified, Option<&Session>),
    lines: &[(&str, &str)],
) -> Option<DenialCode> {
    let request = asked(lines);
    check(roles, token, session, &Dialect::Nginx.read(&request)).err().map(|denial| denial.code)
}

#[test]
fn a_role_restricts_in_whatever_claim_it_stands() {
    let roles = restricting(&["demo", "guest"]);
    for (claims, of_session, is_restricted) in [
        (json!({"roles": ["editor", "demo"]}), None, true),
        (json!({"roles": "guest"}), None, true),
        (json!({"roles": ["editor"], "role": "demo"}), None, true),
        (json!({"roles": ["editor"]}), Some(json!({"roles": ["demo"]})), true),
        (json!({}), Some(json!({"role": "demo"})), true),
        (json!({"roles": ["editor"]}), None, false),
        (json!({"roles": ["Demo", "demo "]}), None, false),
        (json!({"groups": ["demo"], "name": "demo"}), Some(json!({"name": "demo"})), false),
    ] {
        let session = of_session.clone().map(session);
        let user = (&token(&claims), session.as_ref());
        let denied = code(&roles, user, &[("x-original-method", "DELETE")]);
        assert_eq!(denied.is_some(), is_restricted, "{claims} {of_session:?}");
        assert_eq!(code(&roles, user, &[("x-original-method", "GET")]), None, "{claims}");
        assert_eq!(code(&restricting(&[]), user, &[]), None, "{claims}");
    }
}

#[test]
fn only_a_safe_method_that_the_gateway_told_is_reading() {
    let (roles, token) = (restricting(&["demo"]), token(&json!({"roles": ["demo"]})));
    let method = |method| ("x-original-method", method);
    for (lines, passes) in [
        (&[method("GET")][..], true),
        (&[method("HEAD")], true),
        (&[method("OPTIONS")], true),
        (&[method("POST")], false),
        (&[method("PUT")], false),
        (&[method("PATCH")], false),
        (&[method("DELETE")], false),
        (&[method("TRACE")], false),
        (&[method("CONNECT")], false),
        (&[method("get")], false),
        (&[method("GET, POST")], false),
        (&[method("GET"), method("GET")], false),
        (&[method("GET"), ("x-forwarded-method", "POST")], false),
        (&[method("GET"), ("x-http-method-override", "DELETE")], false),
        (&[method("GET"), ("x-http-method", "PUT")], false),
        (&[method("GET"), ("x-method-override", "get")], false),
        (&[method("GET"), ("x-method-override", "HEAD")], true),
        (&[method("")], false),
        (&[], false),
    ] {
        let denied = code(&roles, (&token, None), lines);
        assert_eq!(denied, (!passes).then_some(DenialCode::ReadOnlyUser), "{lines:?}");
    }
}
