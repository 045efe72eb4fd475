//! A denial for a client of gRPC. It reads a status in the headers of the answer (Trailers-Only of gRPC over HTTP/2), and
//! takes a body for a broken message.
//!
//! The status of HTTP stays what it was: by that the gateway knows that the request may not pass.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Response};
use http_body_util::Full;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tonic::Code;

use super::denial::{Class, Denial};
use crate::wire::fields::{FieldValue, Fields};

/// The header that holds the code.
pub(super) const STATUS: HeaderName = HeaderName::from_static("grpc-status");

const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// The bytes that `grpc-message` does not hold as they are (gRPC over HTTP/2).
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// Returns whether the client reads its answer from trailers: a client of gRPC does, and one of
/// gRPC-Web, which has another content type, does not.
pub(super) fn is_call(client: Fields<'_>) -> bool {
    let kind = client.get(CONTENT_TYPE.as_str()).map_or(&b""[..], FieldValue::as_bytes);
    let rest = kind.strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// The status of gRPC for a denial; never OK.
pub(super) fn code(denial: &Denial) -> Code {
    match denial.code.class() {
        Class::NoCredentials | Class::BadCredentials | Class::BadProof | Class::LoginAgain => {
            Code::Unauthenticated
        }
        Class::NotEnough | Class::Refused | Class::Misconfigured => Code::PermissionDenied,
        Class::TooMany => Code::ResourceExhausted,
        Class::Unavailable => Code::Unavailable,
    }
}

/// The denial without a body, with its status and its reason in headers.
pub(super) fn describe(
    mut response: Response<Full<Bytes>>,
    denial: &Denial,
) -> Response<Full<Bytes>> {
    let message = utf8_percent_encode(denial.code.description(), ESCAPED).to_string();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, GRPC);
    headers.insert(STATUS, HeaderValue::from(code(denial) as i32));
    headers.extend(HeaderValue::try_from(message).ok().map(|message| (MESSAGE, message)));
    *response.body_mut() = Full::default();
    response
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    #[test]
    fn a_client_of_grpc_is_known_by_its_content_type() {
        for (kind, expected) in [
            (Some("application/grpc"), true),
            (Some("application/grpc+proto"), true),
            (Some("application/grpc;x=y"), true),
            (Some("application/grpc-web"), false),
            (Some("application/grpc-web+proto"), false),
            (Some("application/grpcx"), false),
            (Some("application/json"), false),
            (None, false),
        ] {
            let header = kind.map(|kind| (CONTENT_TYPE, HeaderValue::from_static(kind)));
            assert_eq!(
                is_call((&header.into_iter().collect::<HeaderMap>()).into()),
                expected,
                "{kind:?}"
            );
        }
    }
}
