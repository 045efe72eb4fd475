//! Traefik `forwardAuth`.
//!
//! Traefik asks with a GET (or the client's method) that carries the client's headers and its own
//! `X-Forwarded-*`, and hands any answer but 2xx to the client as it is: status, headers and body.
//! So a denial is written for the client's eyes.

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;

use super::{DenialConfig, refuse, with_body};
use crate::gate::denial::Denial;
use crate::gate::inquiry::{Inquiry, Original};

pub(super) fn read(request: &Parts) -> Inquiry<'_> {
    let original =
        Original { method: "x-forwarded-method", host: "x-forwarded-host", uri: "x-forwarded-uri" };
    Inquiry::of(request, original)
}

pub(super) fn deny(denial: &Denial, denial_config: &DenialConfig) -> Response<Full<Bytes>> {
    let mut response = with_body(refuse(denial, denial_config), denial);
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
