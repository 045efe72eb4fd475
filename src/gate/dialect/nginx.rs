//! nginx `auth_request`.
//!
//! nginx asks with a GET that carries the client's headers, and reads nothing but the status and
//! the headers of the answer. It understands 2xx, 401 and 403. Anything else becomes a 500 at the
//! client, and a 503 of ours is meant to: closed, and visible to the operator.

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body_util::Full;

use super::{DenialConfig, refuse};
use crate::gate::denial::Denial;
use crate::gate::inquiry::{Inquiry, Original};

pub(super) fn read(request: &Parts) -> Inquiry<'_> {
    let original = Original { method: "x-original-method", host: "host", uri: "x-original-uri" };
    Inquiry::of(request, original)
}

pub(super) fn deny(denial: &Denial, denial_config: &DenialConfig) -> Response<Full<Bytes>> {
    refuse(denial, denial_config)
}
