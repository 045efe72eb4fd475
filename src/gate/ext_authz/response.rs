//! The answer of `ext_authz`: a verdict as changes to the request, or as what the client gets.
//!
//! Identity headers replace the client's. Those without a value are removed, and with them all
//! headers of the client that an application could take for one of them (`x_auth_user`): gateways
//! differ in what they make of an empty value, and of such names.

use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tonic::Code;

use super::generated::auth::check_response::HttpResponse;
use super::generated::auth::{CheckResponse, DeniedHttpResponse, OkHttpResponse};
use super::generated::config;
use super::generated::config::header_value_option::HeaderAppendAction;
use super::generated::rpc;
use super::generated::types::HttpStatus;
use super::metadata;
use crate::gate::denial::{Class, Denial};
use crate::gate::verdict::Grant;

/// The bytes that `grpc-message` does not hold as they are (gRPC over HTTP/2).
const MESSAGE: &AsciiSet = &CONTROLS.add(b'%');

/// The answer that lets a request pass.
pub(super) fn allowed(grant: &Grant, client: &HeaderMap) -> CheckResponse {
    let (mut headers, mut headers_to_remove) = (Vec::new(), Vec::new());
    // How long an answer may be kept concerns a gateway that asks over HTTP alone.
    let identity = || grant.headers().iter().filter(|(name, _)| *name != CACHE_CONTROL);
    for (name, value) in identity() {
        match value.to_str() {
            Ok(text) if !text.is_empty() => headers.push(overwrite(name.as_str(), text)),
            Ok(_) | Err(_) => headers_to_remove.push(name.as_str().to_owned()),
        }
    }
    let is_alias = |name: &&HeaderName| identity().any(|(own, _)| is_alias_of(name, own));
    headers_to_remove.extend(client.keys().filter(is_alias).map(ToString::to_string));
    let ok = OkHttpResponse { headers, headers_to_remove };
    CheckResponse {
        status: Some(rpc::Status { code: Code::Ok as i32, message: String::new() }),
        http_response: Some(HttpResponse::OkResponse(ok)),
        dynamic_metadata: metadata::of(grant),
    }
}

/// The answer that denies a request. The client gets status, headers and body of the answer over
/// HTTP; a client of gRPC gets what it reads instead.
pub(super) fn denied(
    denial: &Denial,
    (status, headers, body): (StatusCode, &HeaderMap, String),
    is_grpc: bool,
) -> CheckResponse {
    let code = code(denial);
    let own = headers.iter().filter(|(name, _)| *name != CONTENT_LENGTH);
    let own = own.filter(|(name, _)| !is_grpc || *name != CONTENT_TYPE);
    let texts =
        own.filter_map(|(name, value)| Some(overwrite(name.as_str(), value.to_str().ok()?)));
    let mut headers: Vec<_> = texts.collect();
    if is_grpc {
        let message = utf8_percent_encode(denial.code.description(), MESSAGE).to_string();
        headers.push(overwrite("content-type", "application/grpc"));
        headers.push(overwrite("grpc-status", &(code as i32).to_string()));
        headers.push(overwrite("grpc-message", &message));
    }
    let status = if is_grpc { StatusCode::OK } else { status };
    let denied = DeniedHttpResponse {
        status: Some(HttpStatus { code: i32::from(status.as_u16()) }),
        headers,
        body: if is_grpc { String::new() } else { body },
    };
    let message = denial.code.as_str().to_owned();
    CheckResponse {
        status: Some(rpc::Status { code: code as i32, message }),
        http_response: Some(HttpResponse::DeniedResponse(denied)),
        dynamic_metadata: None,
    }
}

/// The status of gRPC for a denial; never OK.
fn code(denial: &Denial) -> Code {
    match denial.code.class() {
        Class::NoCredentials | Class::BadCredentials | Class::BadProof | Class::LoginAgain => {
            Code::Unauthenticated
        }
        Class::NotEnough | Class::Refused | Class::Misconfigured => Code::PermissionDenied,
        Class::TooMany => Code::ResourceExhausted,
        Class::Unavailable => Code::Unavailable,
    }
}

/// A header in place of those of that name.
fn overwrite(name: &str, value: &str) -> config::HeaderValueOption {
    let header = config::HeaderValue {
        key: name.to_owned(),
        value: value.to_owned(),
        ..config::HeaderValue::default()
    };
    config::HeaderValueOption {
        header: Some(header),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd as i32,
        keep_empty_value: false,
    }
}

/// Returns whether an application could read a header under another one's name: CGI and its kin see
/// one sign in place of all but letters and digits.
fn is_alias_of(name: &HeaderName, own: &HeaderName) -> bool {
    let (name, own) = (name.as_str().as_bytes(), own.as_str().as_bytes());
    let is_sign = |b: &u8| !b.is_ascii_alphanumeric();
    let is_like = |(a, b): (&u8, &u8)| a == b || (is_sign(a) && is_sign(b));
    name.len() == own.len() && name != own && name.iter().zip(own).all(is_like)
}

#[cfg(test)]
mod tests;
