//! Answers of the gate that no gateway reads: of probes, of `/validate`, and at wrong paths.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;

use crate::gate::jwthenticator;
use crate::wire::security_headers::SecurityHeaders;

pub(super) type Answer = Response<Full<Bytes>>;

/// The answer of a live process, as jwthenticator gives it.
pub fn health() -> Answer {
    json(StatusCode::OK, jwthenticator::GOOD.to_owned())
}

pub(super) fn wrong_method(allowed: &'static str) -> Answer {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

pub(super) fn plain(status: StatusCode, text: &'static str) -> Answer {
    finish(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}

pub(super) fn json(status: StatusCode, body: String) -> Answer {
    finish(status, "application/json; charset=utf-8", Bytes::from(body))
}

fn finish(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    SecurityHeaders::default().add(&mut response);
    response
}
