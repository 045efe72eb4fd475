//! What a gateway is told to do.

use std::sync::Arc;

use http::HeaderValue;
use hyper::body::Body as _;
use prost_types::Value;

use super::*;
use crate::gate::denial::{Class, DenialCode};
use crate::gate::dialect::{DenialConfig, Dialect};
use crate::gate::verdict::{Identity, Verdict};

/// A request that passes with these headers of identity.
fn grant(headers: &[(&'static str, &'static str)]) -> Grant {
    let header = |(name, value): &(&'static str, &'static str)| {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    let headers: HeaderMap = headers.iter().map(header).collect();
    Grant { route: Some("rest".into()), ..Identity::Public(Arc::new(headers)).into() }
}

fn client(names: &[&'static str]) -> HeaderMap {
    names
        .iter()
        .map(|name| (HeaderName::from_static(name), HeaderValue::from_static("x")))
        .collect()
}

/// Names and values of headers, all of which replace what was there.
fn pairs(headers: &[config::HeaderValueOption]) -> Vec<(&str, &str)> {
    let overwrite = HeaderAppendAction::OverwriteIfExistsOrAdd as i32;
    assert!(headers.iter().all(|option| option.append_action == overwrite));
    let headers = headers.iter().map(|option| option.header.as_ref().expect("a header"));
    headers.map(|header| (header.key.as_str(), header.value.as_str())).collect()
}

#[test]
fn every_identity_header_is_set_or_removed() {
    let grant = grant(&[
        ("x-auth-user", "alice"),
        ("x-auth-email", ""),
        ("x-auth-roles", "a%2Cb,c"),
        ("cache-control", "no-store"),
    ]);
    let client =
        client(&["x-auth-user", "x_auth_user", "x.auth-email", "x-auth-users", "xxauth_user"]);
    let answer = allowed(&grant, (&client).into());
    assert_eq!(answer.status.expect("a status").code, 0);
    let Some(HttpResponse::OkResponse(ok)) = answer.http_response else { panic!("it passes") };
    assert_eq!(pairs(&ok.headers), [("x-auth-user", "alice"), ("x-auth-roles", "a%2Cb,c")]);
    let mut removed = ok.headers_to_remove;
    removed.sort();
    assert_eq!(removed, ["x-auth-email", "x.auth-email", "x_auth_user"]);
    let metadata = answer.dynamic_metadata.expect("metadata").fields;
    assert_eq!(metadata["user"], Value::from("alice"));
    let roles = ["a,b", "c"].map(Value::from);
    assert_eq!(metadata["roles"], Value::from(roles.to_vec()));
    assert_eq!(metadata["route"], Value::from("rest"));
    assert_eq!(metadata.len(), 3);
}

/// The answer to a denial.
fn denial(code: DenialCode, is_grpc: bool) -> (rpc::Status, DeniedHttpResponse) {
    let config = DenialConfig {
        missing_credentials: StatusCode::UNAUTHORIZED,
        realm: "portcullis".to_owned(),
        accepts_basic: false,
    };
    let denial = Denial::from(code);
    let mut shown = Dialect::Envoy.render(&Verdict::Deny(denial.clone()), &config);
    if is_grpc {
        shown = grpc_denial::describe(shown, &denial);
    }
    let body = if shown.body().is_end_stream() { "" } else { "a body" };
    let answer = denied(&denial, (shown.status(), shown.headers(), body.to_owned()));
    assert!(answer.dynamic_metadata.is_none());
    let Some(HttpResponse::DeniedResponse(denied)) = answer.http_response else {
        panic!("{code:?} lets pass")
    };
    (answer.status.expect("a status"), denied)
}

#[test]
fn no_denial_lets_pass_and_each_says_why() {
    for code in DenialCode::ALL {
        let (status, shown) = denial(*code, false);
        assert_ne!(status.code, 0, "{code:?}");
        assert_eq!(status.message, code.as_str());
        let http = shown.status.expect("a status").code;
        let expected = match http {
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            429 => Code::ResourceExhausted,
            503 => Code::Unavailable,
            other => panic!("{code:?}: {other}"),
        };
        assert_eq!(status.code, expected as i32, "{code:?}");
        assert_eq!(shown.body, "a body");
        let headers = pairs(&shown.headers);
        let challenge = headers.iter().any(|(name, _)| *name == "www-authenticate");
        assert_eq!(challenge, http == 401 || code.class() == Class::NotEnough, "{code:?}");
        assert!(headers.contains(&("content-type", "application/json")), "{code:?}");
    }
}

#[test]
fn a_client_of_grpc_reads_the_denial_in_trailers() {
    for (code, expected) in [
        (DenialCode::MissingCredentials, "16"),
        (DenialCode::TokenExpired, "16"),
        (DenialCode::InsufficientScope, "7"),
        (DenialCode::NoRoute, "7"),
        (DenialCode::StoreUnavailable, "14"),
    ] {
        let (_, shown) = denial(code, true);
        assert_eq!(shown.status.expect("a status").code, 200);
        let headers = pairs(&shown.headers);
        let message = ("grpc-message", code.description());
        for header in [("content-type", "application/grpc"), ("grpc-status", expected), message] {
            assert!(headers.contains(&header), "{code:?}: {headers:?}");
        }
        assert_eq!(headers.iter().filter(|(name, _)| *name == "content-type").count(), 1);
        assert_eq!(shown.body, "");
    }
}
