//! nginx `auth_request`.
//!
//! nginx asks with a GET that carries the client's headers and reads nothing but the status and
//! the headers of the answer. It understands 2xx, 401 and 403; anything else becomes a 500 at the
//! client, which is what a 503 of ours is meant to become: closed, and visible to the operator.

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body_util::Full;

use super::{Manners, refuse};
use crate::gate::inquiry::{Inquiry, Original};
use crate::gate::requirement::Requirement;
use crate::gate::verdict::Denial;

pub(super) fn read(request: &Parts) -> Inquiry<'_> {
    Inquiry {
        headers: &request.headers,
        requirement: Requirement::from_query(request.uri.query()),
        original: Some(Original {
            method: "x-original-method",
            host: "x-original-host",
            uri: "x-original-uri",
        }),
    }
}

pub(super) fn deny(denial: &Denial, manners: &Manners) -> Response<Full<Bytes>> {
    refuse(denial, manners)
}
